"""Canary roll-out: a first sync, or a change of the rules, reaches some mailboxes first. Pure: no input or output.

Mailboxes are put into waves once. A wave is judged after its cycles and a verification; above the error or delete rate
that the policy allows the roll-out stops by itself, with a reason, and admits nobody else. What it has admitted goes on
under all other guards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from engine.model.policy import Rollout
from engine.model.states import Move

#: A mailbox whose fault passes by itself is given so many cycles before its wave is judged.
PATIENCE = 3

#: How the reason begins for which a mailbox is held back.
WAITS = "waits for wave"

#: How the reason begins of a roll-out that an admin has stopped.
BY_ADMIN = "stopped by "

#: Settings of a policy that say when and for whom, not what: their change is no change of the rules.
NOT_RULES = frozenset({"scheduling", "error_addresses", "rollout", "delete_safety"})


class Stage(StrEnum):
    """How far a roll-out is."""

    RUNNING = "running"  # the present wave is being synchronised
    ASKS = "asks"  # it was good; an admin says when the next one begins
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Tally:
    """What the cycles of one mailbox did since its wave began.

    Attributes:
        written: items created, updated and deleted.
        deleted: items deleted, or whose delete Delete Safety holds.
        failed: items that a provider refused.
        fault: of the last cycle; empty when it ended well.
        failures: cycles in a row that failed.
        people: the fault waits for a person.
    """

    written: int = 0
    deleted: int = 0
    failed: int = 0
    fault: str = ""
    failures: int = 0
    people: bool = False

    def and_then(self, later: Tally) -> Tally:
        """This and a later cycle of the same mailbox."""
        return replace(
            later,
            written=self.written + later.written,
            deleted=max(self.deleted, later.deleted),
            failed=max(self.failed, later.failed),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """A roll-out as the ledger keeps it (``policy.rollout``).

    Attributes:
        wave: the present wave, from 1.
        waves: how many there are.
        why: why it stopped, or what the last wave was judged to be.
        rules: of the policy that is being rolled out.
        tallies: of the present wave, by mailbox id.
    """

    stage: Stage
    wave: int
    waves: int
    why: str = ""
    rules: str = ""
    tallies: Mapping[int, Tally] = field(default_factory=dict)

    def doc(self) -> dict[str, Any]:
        """As a JSON document."""
        return {**asdict(self), "tallies": {str(key): asdict(one) for key, one in self.tallies.items()}}


def read(doc: Mapping[str, Any] | None) -> Progress | None:
    """The opposite of ``Progress.doc``."""
    if not doc:
        return None
    tallies = {int(key): Tally(**one) for key, one in doc["tallies"].items()}
    return Progress(Stage(doc["stage"]), doc["wave"], doc["waves"], doc["why"], doc["rules"], tallies)


@dataclass(frozen=True, slots=True)
class Member:
    """A mailbox as a roll-out sees it; in the order of their names."""

    id: int
    phase: str
    wave: int | None


def rules_of(settings: Mapping[str, Any]) -> str:
    """A digest of the settings of a policy that decide what is written."""
    rules = {name: value for name, value in settings.items() if name not in NOT_RULES}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def waves(setting: Rollout, ids: Sequence[int]) -> dict[int, int]:
    """Mailboxes by wave: so many in each, and the rest in the last."""
    found: dict[int, int] = {}
    left = list(ids)
    number = 0
    for size in setting.waves:
        if not left:
            break
        number += 1
        taken, left = (left, []) if size == 0 else (left[:size], left[size:])
        found |= dict.fromkeys(taken, number)
    return found | dict.fromkeys(left, number + 1)


def begin(
    setting: Rollout, progress: Progress | None, rules: str, members: Sequence[Member]
) -> tuple[Progress | None, dict[int, int | None]]:
    """What a roll-out is at the beginning of a run, and which mailboxes change their wave.

    A policy that never synchronised anybody begins one, and so does one whose rules have changed since the last run.
    Who joins while a roll-out is under way belongs to its last wave; who joins a proven policy waits for nobody.
    """
    if not setting.waves:
        return None, {one.id: None for one in members if one.wave is not None}
    fresh = progress is None and all(one.phase == "new" for one in members)
    changed = progress is not None and progress.rules != rules
    if members and (fresh or changed):
        placed = waves(setting, [one.id for one in members])
        count = max(placed.values())
        if count > 1:
            return Progress(Stage.RUNNING, 1, count, rules=rules), dict(placed)
        return Progress(Stage.DONE, 1, 1, rules=rules), {one.id: None for one in members if one.wave}
    if progress is None:
        return Progress(Stage.DONE, 1, 1, rules=rules), {}
    if progress.stage is Stage.DONE:
        return progress, {}
    return progress, {one.id: progress.waves for one in members if one.wave is None and one.phase == "new"}


def admits(progress: Progress | None, wave: int | None) -> bool:
    """Whether mailboxes of a wave may be synchronised."""
    return progress is None or progress.stage is Stage.DONE or wave is None or wave <= progress.wave


def tallied(progress: Progress, mailbox_id: int, tally: Tally) -> Progress:
    """With one more cycle of a mailbox of the present wave."""
    earlier = progress.tallies.get(mailbox_id)
    now = tally if earlier is None else earlier.and_then(tally)
    return replace(progress, tallies={**progress.tallies, mailbox_id: now})


def finished(progress: Progress, members: Collection[int]) -> bool:
    """Whether all mailboxes of the present wave have shown how they fare."""
    if progress.stage is not Stage.RUNNING:
        return False
    tallies = [progress.tallies.get(one) for one in members]
    return all(one is not None and (not one.fault or one.people or one.failures >= PATIENCE) for one in tallies)


def judged(
    progress: Progress, setting: Rollout, members: Mapping[int, str], *, items: int, differ: int, checks: int
) -> Progress:
    """The roll-out after its present wave has ended.

    Args:
        progress: with the tallies of all its members.
        setting: the policy's.
        members: mailboxes of the wave: id to address.
        items: live items of these mailboxes.
        differ: checks of the verification that differ.
        checks: all of them.
    """
    why = _too_bad(progress, setting, members, items=items, differ=differ, checks=checks)
    if why:
        return replace(progress, stage=Stage.STOPPED, why=why)
    count = len(members)
    good = (
        f"wave {progress.wave} was good: {count:,} {'mailbox' if count == 1 else 'mailboxes'}, {items:,} items"
    )
    if progress.wave >= progress.waves:
        return replace(progress, stage=Stage.DONE, why=good, tallies={})
    if setting.ask:
        return replace(progress, stage=Stage.ASKS, why=good)
    return replace(progress, wave=progress.wave + 1, why=good, tallies={})


def _too_bad(
    progress: Progress, setting: Rollout, members: Mapping[int, str], *, items: int, differ: int, checks: int
) -> str:
    """Why a wave must not be followed by the next one; empty when it may."""
    tallies = {key: progress.tallies[key] for key in members}
    failing = [key for key, one in tallies.items() if one.fault]
    most = f"the {setting.error_percent:g} % that the policy allows"
    if len(failing) * 100 > setting.error_percent * len(members):
        first = f"{members[failing[0]]}: {tallies[failing[0]].fault}"
        return f"{len(failing)} of {len(members)} mailboxes of wave {progress.wave} failed, more than {most}. {first}"
    deleted = sum(one.deleted for one in tallies.values())
    if deleted * 100 > setting.delete_percent * (items + deleted):
        return (
            f"wave {progress.wave} deleted or would delete {deleted:,} of {items + deleted:,} items, more than the "
            f"{setting.delete_percent:g} % that the policy allows"
        )
    failed = sum(one.failed for one in tallies.values())
    tried = failed + sum(one.written for one in tallies.values())
    if failed * 100 > setting.error_percent * tried:
        return f"{failed:,} of {tried:,} items of wave {progress.wave} were refused, more than {most}"
    if differ * 100 > setting.error_percent * checks:
        return (
            f"{differ:,} of {checks:,} checks differ when wave {progress.wave} is read back, more than {most}"
        )
    return ""


def moved(progress: Progress | None, move: Move, by: str) -> tuple[Progress | None, str]:
    """What an admin's command makes of a roll-out, and why not when it cannot be done."""
    if progress is None or progress.stage is Stage.DONE:
        return progress, "no roll-out is under way: all its mailboxes are synchronised"
    if move is Move.STOP:
        if progress.stage is Stage.STOPPED:
            return progress, f"it has stopped already: {progress.why}"
        return replace(progress, stage=Stage.STOPPED, why=f"{BY_ADMIN}{by}"), ""
    if move is Move.ALL or progress.wave >= progress.waves:
        return replace(progress, stage=Stage.DONE, why=f"all admitted by {by}", tallies={}), ""
    if progress.stage is Stage.RUNNING:
        return progress, (
            f"wave {progress.wave} of {progress.waves} is still under way; it is judged when all its mailboxes have had "
            "a cycle. all admits everybody without waiting for it"
        )
    nxt = progress.wave + 1
    return replace(progress, stage=Stage.RUNNING, wave=nxt, why=f"wave {nxt} admitted by {by}", tallies={}), ""


def said(progress: Progress | None) -> str:
    """The roll-out in one line; empty when there is none to speak of."""
    if progress is None or progress.stage is Stage.DONE:
        return ""
    of = f"wave {progress.wave} of {progress.waves}"
    match progress.stage:
        case Stage.RUNNING:
            return f"{of} runs"
        case Stage.ASKS:
            return f"{progress.why}; wave {progress.wave + 1} of {progress.waves} waits for you"
        case _:
            return f"stopped at {of}: {progress.why}"


def gave_up(progress: Progress | None) -> bool:
    """Whether it stopped by itself: what an admin stops, somebody knows of."""
    return progress is not None and progress.stage is Stage.STOPPED and not progress.why.startswith(BY_ADMIN)


def held_back(progress: Progress | None, wave: int | None) -> str:
    """Why a mailbox does not run yet; empty when the roll-out does not hold it back."""
    if progress is None or admits(progress, wave):
        return ""
    text = f"{WAITS} {wave} of {progress.waves}"
    return f"{text}; the roll-out {said(progress)}" if progress.stage is Stage.STOPPED else text
