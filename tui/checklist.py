"""What the screen and the command of the first sync's checklist have in common; and ``syncline checklist``."""

from __future__ import annotations

import dataclasses
import shlex
from argparse import Namespace
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from engine.service import ASKED, BLOCKS, CheckLine, Checklist, CheckState, Module, Service, TestPolicy
from tui import exits
from tui import format as form
from tui.exits import Trouble
from tui.out import Out
from tui.printing import table
from tui.run import running

#: Sign, word and role of a line; the word says all that the colour does.
SIGNS: Mapping[CheckState, tuple[str, str, str]] = {
    CheckState.OK: ("✓", "right", "text"),
    CheckState.LOOK: ("!", "look", "alert"),
    CheckState.UNKNOWN: ("◌", "open", "alert"),
    CheckState.WRONG: ("✗", "wrong", "fault"),
}


@dataclass(frozen=True, slots=True)
class Mend:
    """How a line is put right: the key and its action on the screen, and the command of a script."""

    key: str
    word: str
    action: str
    command: str


_TEST = Mend("t", "test", "test", "doctor")
_LINK = Mend("&", "connections", "connections", "apply FILE.toml")
_USERS = Mend("J", "users", "members", "users import FILE.csv")
_PREVIEW = Mend("P", "preview", "preview", "preview {policy}")
_EDIT = Mend("e", "edit", "edit", "apply FILE.toml")
_QUEUE = Mend("2", "then %", "tab('queue')", "status")
_READ_BACK = Mend("V", "read back", "verify", "verify --policy {policy}")
TICK = Mend("space", "tick", "mark", "")

#: What is asked, in a few words; the whole of it is in ``ASKED``.
ASKED_TITLE: Mapping[str, str] = {
    "told": "Users were told",
    "other": "Other sync tools are off",
    "backup": "A backup covers them",
    "stay": "Nobody will stop it",
}

_MENDS: Mapping[str, Mend] = {
    "fault": _TEST,
    "crm": _TEST,
    "mail": _TEST,
    "users": _USERS,
    "mailboxes": _PREVIEW,
    "preview": _PREVIEW,
    "guests": _PREVIEW,
    "deletes": _EDIT,
    "waves": _EDIT,
    "limits": _QUEUE,
    "blackout": _EDIT,
    "notify": _EDIT,
    "after": _READ_BACK,
}


def mend(line: CheckLine) -> Mend:
    """How a line is put right."""
    if line.state is CheckState.WRONG and line.id in {"crm", "mail"}:
        return _LINK
    if line.state in {CheckState.LOOK, CheckState.WRONG} and line.id == "mailboxes":
        return _USERS
    return _MENDS[line.id]


def estimate(found: Checklist) -> str:
    """How much is written."""
    if not found.previewed:
        return "How much it writes, and how long it lasts, a preview tells."
    if not found.items:
        return "Nothing would be written."
    told = ", ".join(f"{number:,} {form.MODULE_WORD[Module(module)]}" for module, number in found.items)
    return told + (f", of {found.previewed:,} previewed mailboxes" * (found.previewed < found.mailboxes))


def lasts(found: Checklist) -> str:
    """How long it lasts, as a range; empty while nobody can tell."""
    if found.seconds is None:
        return ""
    low, high = map(_roughly, found.seconds)
    return f"About {low}" if low == high else f"About {low} to {high}"


def _roughly(seconds: float) -> str:
    """A duration of which nobody knows the seconds: ``42 min``, ``2 h 44 min``."""
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest and hours < 10 else f"{hours:,} h"


def sums(found: Checklist, width: int = 1 << 30) -> str:
    """How much is written, and how long it lasts; in few words where the modules do not fit into ``width``."""
    told = ": ".join(part for part in (lasts(found), estimate(found)) if part)
    if len(told) <= width:
        return told
    items = form.count(sum(number for _, number in found.items), "item")
    return f"{lasts(found) or 'In all'}: {items} of {form.count(len(found.items), 'module')}"


async def checklist(service: Service, given: Namespace, out: Out) -> int:
    """Test the connections of a policy, and tell what must be right before its first sync."""
    async with running(service, schedule=False):
        if given.policy not in service.store.policies:
            raise Trouble(exits.USAGE, f"there is no policy {given.policy!r}")
        if not given.last:
            answer = await service.do(TestPolicy(given.policy), out.by)
            if not answer.ok and not answer.details:
                raise Trouble(exits.REFUSED, answer.text)
        found = await service.checklist(given.policy)
    if given.json:
        out.show(as_json(found))
    else:
        out.print(text(found))
    return exits.FAULTS if any(line.state in BLOCKS for line in found.lines) else exits.OK


def as_json(found: Checklist) -> dict[str, object]:
    """The checklist as JSON-able values, each line with the command that puts it right."""
    lines = [
        {
            **dataclasses.asdict(line),
            "mend": "" if line.state is CheckState.OK else _command(line, found.policy),
        }
        for line in found.lines
    ]
    ready = not any(line.state in BLOCKS for line in found.lines)
    return {**dataclasses.asdict(found), "ready": ready and found.first, "lines": lines, "asked": dict(ASKED)}


def _command(line: CheckLine, policy: str) -> str:
    return "syncline " + mend(line).command.format(policy=shlex.quote(policy))


def text(found: Checklist, ticked: Collection[str] = ()) -> str:
    """The checklist for people."""
    body = [
        [
            " ".join(SIGNS[line.state][:2]),
            line.title,
            line.found,
            "" if line.state is CheckState.OK else _command(line, found.policy),
        ]
        for line in found.lines
    ]
    body += [
        ["[x] yes" if key in ticked else "[ ] open", asked, "only you can know", ""]
        for key, asked in ASKED.items()
    ]
    head = f"First sync of {found.policy}: {found.about}, {form.count(found.mailboxes, 'mailbox', 'mailboxes')}"
    if not found.first:
        head = f"{found.policy} was synchronised already: this is how it would be now"
    told = [line for each in found.lines if each.state in BLOCKS for line in each.told]
    return "\n".join(
        [
            head,
            sums(found),
            "",
            table(["", "what must be right", "found", "put right by"], body),
            *(["", *told] if told else []),
        ]
    )
