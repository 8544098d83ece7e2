"""Removing what we made in a mailbox, and nothing else: item by item, guarded by its version. Used to leave, and to clear.

Ours is what bears our mark for this mailbox; what was adopted as the twin of a CRM record is the person's own and stays, as
do the CRM's records. An edit of the person that the CRM has not received stops its item, unless the admin asks for that too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.ledger import leave as units
from engine.ledger import links
from engine.ledger import plans as plan_units
from engine.ledger import undo as undo_units
from engine.ledger.leave import Standing
from engine.ledger.links import LinkRow
from engine.ledger.orders import Left
from engine.ledger.plans import LinkPlan, NewIntent
from engine.ledger.store import Ledger
from engine.model.modules import RECORD_MODULES, Module, Side
from engine.model.policy import Policy
from engine.model.port import Capability, Guard, WriteKind
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.apply import apply_writes
from engine.sync.context import Feed, PolicyContext, Run
from engine.sync.markers import is_for
from engine.sync.plan import rules_for, tree_of
from engine.sync.reconcile import Rules, changed
from engine.sync.reread import ROUNDS, read_again, read_occurrences

#: Items judged in one transaction.
BATCH = 500

OWN = "the person's own: it was there before, and was only linked"
EDITED = "edited in the mailbox, and the edit has not reached the CRM"
UNKNOWN = "it was never compared with the CRM, so that nobody knows whether it was edited"
OCCURRENCE = "an occurrence of it was edited in the mailbox, and the edit has not reached the CRM"
FILED = "the person has filed mails of their own under its label"
OFF = "its module is not known to both connections any more"


@dataclass(frozen=True, slots=True)
class Removal:
    """What removing needs to know beside the items.

    Attributes:
        email: the mailbox.
        mode: ``leave`` or ``clear``, for the intents.
        rules: by module.
        guards: kind of guard of the mailbox by module.
        edited_too: remove also what the person has edited; its values stay in the journal.
    """

    email: str
    mode: str
    rules: Mapping[Module, Rules]
    guards: Mapping[Module, Guard]
    edited_too: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """One item: removed when ``why`` is empty, otherwise the reason why it stays."""

    row: LinkRow
    why: str = ""


def removal_of(context: PolicyContext, email: str, mode: str, *, edited_too: bool) -> Removal:
    """What removing in a mailbox needs, from both capability records."""
    rules: dict[Module, Rules] = {}
    guards: dict[Module, Guard] = {}
    for module in Module:
        crm, mailbox = context.capability(Side.CRM, module), context.capability(Side.MAILBOX, module)
        if crm is not None and mailbox is not None:
            rules[module] = _rules(context.policy, module, crm, mailbox)
            guards[module] = mailbox.guard
    return Removal(email, mode, rules, guards, edited_too)


def _rules(policy: Policy, module: Module, crm: Capability, mailbox: Capability) -> Rules:
    return rules_for(policy, module, crm, mailbox)


def judge(row: LinkRow, mark: str | None, removal: Removal, occurrences: Sequence[LinkRow] = ()) -> Judged:
    """Whether an item of the mailbox is removed, or why it stays."""
    module = Module(row.module)
    if mark is None or not is_for(mark, removal.email):
        return Judged(row, OWN)
    if module not in removal.rules:
        return Judged(row, OFF)
    if removal.edited_too:
        return Judged(row)
    if row.base is None:
        return Judged(row, UNKNOWN)
    if _edited(row, removal.rules[module]):
        return Judged(row, EDITED)
    for one in occurrences:
        live = one.mailbox is not None and not one.mailbox.deleted
        if live and (one.base is None or _edited(one, removal.rules[module])):
            return Judged(row, OCCURRENCE)
    return Judged(row)


def _edited(row: LinkRow, rules: Rules) -> bool:
    tree = tree_of(row)
    return tree.mailbox is not None and changed(tree, tree.mailbox, rules)


def plan_removal(row: LinkRow, removal: Removal) -> LinkPlan:
    """The delete of an item that we made."""
    item = row.mailbox
    assert item is not None
    guarded = removal.guards[Module(row.module)] is Guard.ETAG
    intent = NewIntent(
        side=Side.MAILBOX.value,
        scope_id=item.scope_id,
        kind=WriteKind.DELETE.value,
        key=f"{row.id}.{removal.mode}",
        remote_id=item.remote_id,
        fields={},
        patch={},
        before=item.fields,
        etag=item.etag if guarded else None,
        why="an admin removes what we made in this mailbox",
        mode=removal.mode,
    )
    return LinkPlan(row.id, row.module, settled=False, intents=(intent,))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a removal: what is judged, and the last link of it."""

    judged: list[Judged]
    last: int


async def judge_page(
    ledger: Ledger, mailbox_id: int, removal: Removal, modules: Sequence[Module], after: int
) -> Page | None:
    """Judge the next items of a mailbox; None when there are no more. Reads only."""
    names = [module.value for module in modules]
    found: list[Standing] = await ledger.read(units.standing, mailbox_id, names, after, BATCH)
    if not found:
        return None
    ids = [one.link_id for one in found]
    rows = {row.id: row for row in await ledger.read(links.trees, ids)}
    children = await ledger.read(undo_units.occurrences_of, ids)
    every = sorted(one for some in children.values() for one in some)
    below = {row.id: row for row in await ledger.read(links.trees, every)}
    judged = [
        judge(
            rows[one.link_id],
            one.marker,
            removal,
            [below[child] for child in children.get(one.link_id, ()) if child in below],
        )
        for one in found
        if one.link_id in rows
    ]
    return Page(judged, ids[-1])


async def remove_ours(
    run: Run, removal: Removal, modules: Sequence[Module], feeds: Sequence[Feed]
) -> list[Left]:
    """Remove what we made of some modules. The feeds were just read; what changes meanwhile is read and judged again.

    Returns:
        what stays though we made it, with its reason.
    """
    names = [module.value for module in modules]
    await run.ledger.write(units.set_held_aside, run.fence, names)
    filed = await _filed(run, modules, feeds)
    await _see_occurrences(run, removal, modules, feeds)
    for _ in range(ROUNDS):
        planned = await _plan(run, removal, modules, filed)
        conflicts = await apply_writes(run, modules)
        if conflicts:
            await read_again(run, feeds, modules, conflicts)
        elif not planned:
            break
    return await _left(run, removal, modules, filed)


async def _see_occurrences(
    run: Run, removal: Removal, modules: Sequence[Module], feeds: Sequence[Feed]
) -> None:
    """Ask for the changed occurrences of series that would go: a feed may not have told yet what a person did there."""
    series: dict[int, list[str]] = {}
    after = 0
    while (page := await judge_page(run.ledger, run.record.id, removal, modules, after)) is not None:
        after = page.last
        for one in page.judged:
            item = one.row.mailbox
            if not one.why and item is not None and item.fields.get("rule"):
                series.setdefault(item.scope_id, []).append(item.remote_id)
    for feed in feeds:
        if feed.row.id not in series:
            continue
        try:
            await read_occurrences(run, Side.MAILBOX, feed, series[feed.row.id])
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:  # a container that somebody deleted is what leaving wants
                raise


async def _filed(run: Run, modules: Sequence[Module], feeds: Sequence[Feed]) -> set[str]:
    """Remote ids of labels under which the person has filed something."""
    records = [module for module in modules if module in RECORD_MODULES]
    found: set[str] = set()
    for feed in feeds:
        ids: set[str] = set()
        for module in records:
            if module in feed.scope.modules:
                ids |= await run.ledger.read(
                    links.live_remote_ids, run.record.id, Side.MAILBOX.value, module.value
                )
        if ids:
            found |= await run.base.mailbox.occupied(feed.scope, sorted(ids))
    return found


def _stays(one: Judged, removal: Removal, filed: set[str], refused: Mapping[int, str]) -> str:
    if one.why:
        return one.why
    if one.row.id in refused:
        return f"refused: {refused[one.row.id]}"
    if not removal.edited_too and one.row.mailbox is not None and one.row.mailbox.remote_id in filed:
        return FILED
    return ""


async def _plan(run: Run, removal: Removal, modules: Sequence[Module], filed: set[str]) -> int:
    await run.open_cycle()
    after = total = 0
    while (page := await judge_page(run.ledger, run.record.id, removal, modules, after)) is not None:
        run.check_stop()
        after = page.last
        refused = await run.ledger.read(units.tried, run.cycle_id, [one.row.id for one in page.judged])
        plans = [
            plan_removal(one.row, removal) for one in page.judged if not _stays(one, removal, filed, refused)
        ]
        if plans:
            total += await run.ledger.write(
                plan_units.commit_plan, run.fence, run.cycle_id, plans, run.clock.now_ms()
            )
    return total


async def _left(run: Run, removal: Removal, modules: Sequence[Module], filed: set[str]) -> list[Left]:
    after = 0
    left: list[Left] = []
    while (page := await judge_page(run.ledger, run.record.id, removal, modules, after)) is not None:
        after = page.last
        refused = await run.ledger.read(units.tried, run.cycle_id, [one.row.id for one in page.judged])
        for one in page.judged:
            why = _stays(one, removal, filed, refused) or "it changed while it was to be removed"
            if why != OWN and one.row.mailbox is not None:
                left.append(Left(one.row.id, one.row.module, Side.MAILBOX.value, one.row.mailbox.fields, why))
    return left
