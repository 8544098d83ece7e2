"""``syncline why``: why an item, a mailbox or a job stands as it does; the same answers as in the app, as text or JSON."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterable, Sequence

from engine.service import Explanation, Filtered, Hit, Item, Service, Standing
from tui import exits
from tui.exits import Trouble
from tui.format import module_word
from tui.out import Out
from tui.printing import plain, table

#: Longest value of a field in a table of the command line.
LONGEST = 60


async def why(service: Service, given: Namespace, out: Out) -> int:
    """Explain an item, or tell why a mailbox or a job does not run now."""
    query = " ".join(given.query).strip()
    standing = service.why(query, out.zone) if given.user is None else None
    if given.filtered and (standing is None or standing.kind != "user"):
        raise Trouble(exits.USAGE, f"--filtered needs a mailbox of a policy; {query!r} is none")
    if standing is not None and standing.kind == "user":
        await _user(service, standing, given, out)
    elif standing is not None:
        _print(given, out, {"kind": "job", **dataclasses.asdict(standing)}, standing_text(standing))
    else:
        found = await service.explain(query, given.user, out.zone)
        if found.item is None and not found.hits:
            raise Trouble(exits.USAGE, found.note)
        _print(given, out, {"kind": "item", **dataclasses.asdict(found)}, explanation_text(found))
    return exits.OK


def _print(given: Namespace, out: Out, value: object, text: str) -> None:
    if given.json:
        out.show(value)
    else:
        out.print(text)


async def _user(service: Service, standing: Standing, given: Namespace, out: Out) -> None:
    """A mailbox: why it does not run, what waits in it, what does not cross over; all pages of that on request."""
    page = await service.filtered(standing.id)
    rows = list(page.rows)
    while given.filtered and page.after is not None:
        page = await service.filtered(standing.id, after=page.after)
        rows += page.rows
    waiting = len(await service.waiting(standing.id))
    value = {
        **dataclasses.asdict(standing),
        "waiting": waiting,
        "filtered": [dataclasses.asdict(one) for one in page.counts],
    }
    parts = [standing_text(standing)]
    if waiting:
        parts.append(f"{waiting:,} waiting for you: syncline held --mailbox {standing.id}")
    parts.append(counts_text(page))
    if given.filtered:
        value["rows"] = [dataclasses.asdict(one) for one in rows]
        parts.append(hits_text(rows))
    _print(given, out, value, "\n\n".join(part for part in parts if part))


def standing_text(standing: Standing) -> str:
    """Why a mailbox or a job does not run."""
    return "\n".join([f"{standing.id}: {standing.state}", *(f"  {plain(one, 400)}" for one in standing.why)])


def counts_text(page: Filtered) -> str:
    """What does not cross over, by reason."""
    if not page.counts:
        return "everything that was read crosses over; nothing is filtered"
    rows = [[one.count, _word(one.module), one.kind, plain(one.reason, 120)] for one in page.counts]
    return table(["items", "module", "kind", "why it stays where it is"], rows)


def hits_text(hits: Sequence[Hit]) -> str:
    """Items to choose from."""
    rows = [
        [
            "-" if one.link is None else f"#{one.link}",
            one.mailbox,
            _word(one.module),
            plain(one.name, 40),
            one.state,
            plain(one.reason, 100),
        ]
        for one in hits
    ]
    return table(["item", "mailbox", "module", "name", "state", "reason"], rows) if rows else ""


def _word(module: str) -> str:
    return module_word(module)


def explanation_text(found: Explanation) -> str:
    """One item explained, or those that fit the question."""
    if found.item is not None:
        return "\n\n".join(_item(found.item))
    more = "\nand more; name more words, or the mailbox with --user" if found.more else ""
    return f"{len(found.hits):,} items fit {found.query!r}; ask for one by its number:\n\n{hits_text(found.hits)}{more}"


def _item(item: Item) -> Iterable[str]:
    hit = item.hit
    number = f"#{hit.link} " if hit.link is not None else ""
    yield f"{number}{_word(hit.module)}: {plain(hit.name, 80)}   {hit.mailbox}, policy {item.policy}\n{plain(item.answer, 600)}"
    if item.fields:
        rows = [
            [
                one.label,
                plain(one.crm, LONGEST),
                plain(one.agreed, LONGEST),
                plain(one.mailbox, LONGEST),
                DIFFERS[one.differs],
                one.plan,
            ]
            for one in item.fields
        ]
        yield table(["field", "CRM", "last agreed", "mailbox", "differs", "planned"], rows)
    for section in item.sections:
        facts = [f"  {plain(fact.label, 24):<12} {plain(fact.text, 400)}".rstrip() for fact in section.facts]
        yield "\n".join([section.title, *facts])


#: Which side differs from what was agreed, in words.
DIFFERS = {
    "": "",
    "crm": "CRM changed",
    "mailbox": "mailbox changed",
    "both": "both changed",
    "first": "never agreed",
}
