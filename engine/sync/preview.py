"""The preview of a cycle: both sides are read, the plan is made and stored as proposals, and nothing is written.

What was read is kept, since it is a fact: items, cursors, and which links must be looked at. Everything else stays as it is
(invariant I13): no container is made, no link changes its state or base, no decision is carried out, nothing goes to a
provider. Twins that a cycle would join are paired in memory only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.ledger import feeds, guarding, links, matching, proposals
from engine.ledger.fence import Fence
from engine.ledger.links import LinkRow
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.matching import Candidate
from engine.ledger.proposals import Proposal
from engine.ledger.schema import Gone
from engine.model.canonical import FIELDS
from engine.model.modules import EVENT_MODULES, STEP_MODULES, STEPS, ItemOutcome, Module, Side, Step
from engine.model.port import Scope
from engine.model.states import CycleKind
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.choose import choose_records
from engine.sync.context import Feed, PolicyContext, Run, Stopped, SuspiciousSource
from engine.sync.cycle import (
    HOPELESS,
    PLAN_BATCH,
    account_of,
    candidates_of,
    planning_for,
    stored_feeds,
)
from engine.sync.doubles import plan_double
from engine.sync.filters import window
from engine.sync.guard import judge
from engine.sync.guests import over_budget
from engine.sync.observe import read_mailbox
from engine.sync.plan import PARENT_OUT, Planned, Planning, find_twins, plan_link
from engine.sync.structure import identity_of, whole_structure

#: Mark of a feed that was read before the mailbox has all its containers: the first cycle that makes them reads it again.
PROVISIONAL = " provisional"

#: Scope of writes into a container that is not there yet.
NOWHERE = 0


@dataclass(slots=True)
class _Pairs:
    """Twins that a cycle would join: link that stays to link that goes up in it, and back."""

    drop: dict[int, int] = field(default_factory=dict)
    keep: dict[int, int] = field(default_factory=dict)
    #: Links whose create is under way and was found again: a cycle's recovery settles them.
    skip: set[int] = field(default_factory=set)

    def add(self, keep: int, drop: int) -> None:
        if not {keep, drop} & (self.drop.keys() | self.keep.keys()):
            self.drop[keep] = drop
            self.keep[drop] = keep


async def preview_mailbox(
    context: PolicyContext,
    record: MailboxRecord,
    fence: Fence,
    stop: asyncio.Event,
) -> Run:
    """Make the preview of one mailbox: what its next cycle, or its first sync, would do. An earlier one is replaced.

    The CRM has been read before (``engine.sync.cycle.baseline``). A feed that fails is told in ``Run.faults`` and in the
    preview's record; the rest is previewed.

    Returns:
        the run, whose ``counts`` say what is not listed: filtered and unchanged items.

    Raises:
        Stopped: at a page boundary, when asked; there is no preview then.
        StaleLease: somebody else has taken over.
    """
    first = record.phase != "ready"
    run = Run(context, record, account_of(record), fence, CycleKind.PREVIEW, stop)
    run.containers = dict(record.containers)
    preview = await run.ledger.write(proposals.begin, fence, run.clock.now_ms())
    try:
        try:
            await _survey(run, preview)
            for step in STEPS:
                await _step(run, preview, step, first)
        except ProviderError as error:
            run.fault(str(error))
    except Stopped:
        await run.ledger.write(proposals.drop, [record.id])
        raise
    counts = {f"{module}.{outcome}": count for (module, outcome), count in run.counts.items()}
    await run.ledger.write(proposals.finish, fence, preview, counts, "; ".join(run.faults), run.clock.now_ms())
    return run


async def _survey(run: Run, preview: int) -> None:
    """The feeds to read; containers that are not there are lines of the preview."""
    structure = whole_structure(run.policy)
    if run.record.structure == run.base.fingerprint() and run.record.scopes:
        run.feeds = await stored_feeds(run)
        return
    found = await run.base.mailbox.survey(run.account, structure, run.containers)
    run.containers |= found.ids
    known = {row.key: row for row in await run.ledger.read(feeds.scopes_of, run.policy.name, run.record.id)}
    for scope in found.scopes:
        row = known.get(scope.key)
        if row is None or row.remote_id != identity_of(run.policy, scope):
            row = await _provisional(run, scope)
        run.feeds.append(Feed(scope, row))
    missing = [Proposal(0, "", "container", Side.MAILBOX.value, why=name) for name in found.missing]
    await run.ledger.write(proposals.propose, run.fence, preview, missing)


async def _provisional(run: Run, scope: Scope) -> feeds.ScopeRow:
    return await run.ledger.write(
        feeds.ensure_scope,
        run.policy.name,
        run.record.id,
        Side.MAILBOX.value,
        scope.key,
        identity_of(run.policy, scope) + PROVISIONAL,
    )


async def _step(run: Run, preview: int, step: Step, first: bool) -> None:
    """Preview one of the five steps; a feed that fails does not hold up the others."""
    run.check_stop()
    modules = [module for module in STEP_MODULES[step] if module in run.base.modules()]
    if not modules:
        return
    try:
        for feed in [feed for feed in run.feeds if set(feed.scope.modules) & set(modules)]:
            await read_mailbox(run, feed)
        await _plan(run, preview, modules, first)
        await _guard(run, preview, modules)
    except ProviderError as error:
        if error.kind in HOPELESS or error.kind is ErrorKind.THROTTLED:
            raise
        run.fault(f"{step.value}: {error}")
    except SuspiciousSource as error:
        run.fault(f"{step.value}: {error}")


async def _plan(run: Run, preview: int, modules: Sequence[Module], first: bool) -> None:
    names = [module.value for module in modules]
    crowded = await choose_records(run, modules)
    planning = planning_for(run, modules, nowhere=NOWHERE, crowded=crowded)
    if first:
        planning = replace(planning, mails=False)
    pairs = await _pairs(run, names)
    doubles = await run.ledger.read(matching.doubles, run.record.id, names)
    out: dict[int, str] = {}
    after = 0
    while True:
        run.check_stop()
        rows = await run.ledger.read(
            links.work_list, run.record.id, names, run.clock.now_ms(), PLAN_BATCH, after
        )
        if not rows:
            break
        after = rows[-1].id
        await _batch(run, preview, planning, pairs, doubles, out, rows)
        await asyncio.sleep(0)
    if EVENT_MODULES & set(modules):
        _, until = window(run.policy, run.clock.now_ms())
        coming = await run.ledger.read(proposals.coming_in, run.record.id, until)
        rows = [row for row in await run.ledger.read(links.trees, coming) if row.module in names]
        if rows:
            await _batch(run, preview, planning, pairs, doubles, out, rows)


async def _pairs(run: Run, names: list[str]) -> _Pairs:
    """Pair one-sided links with their twins as a cycle would, in memory."""
    pairs = _Pairs()
    for keep, drop, _ in await run.ledger.read(matching.found_creates, run.record.id, names):
        pairs.skip |= {keep, drop}
    after = 0
    while True:
        rows = await run.ledger.read(
            matching.new_links, run.record.id, names, run.clock.now_ms(), PLAN_BATCH, after
        )
        if not rows:
            break
        after = rows[-1]
        candidates = await candidates_of(run, rows)
        found, _ = find_twins(candidates, set(rows), run.policy.match_existing)
        for keep, drop in found:
            pairs.add(keep, drop)
    occurrences: dict[tuple[int, str], list[int]] = {}
    for series, link_id, start in await run.ledger.read(proposals.children, sorted({*pairs.drop, *pairs.keep})):
        occurrences.setdefault((pairs.keep.get(series, series), start), []).append(link_id)
    for (series, _), found_ids in occurrences.items():
        if len(found_ids) == 2 and series in pairs.drop:
            pairs.add(found_ids[0], found_ids[1])
    return pairs


async def _batch(
    run: Run,
    preview: int,
    planning: Planning,
    pairs: _Pairs,
    doubles: Mapping[int, matching.Double],
    out: dict[int, str],
    rows: Sequence[LinkRow],
) -> None:
    """Plan a batch of links and store what it would come to."""
    rows = [row for row in rows if row.id not in pairs.keep and row.id not in pairs.skip]
    dropped = {
        row.id: row
        for row in await run.ledger.read(
            links.trees, sorted(pairs.drop[row.id] for row in rows if row.id in pairs.drop)
        )
    }
    alone = [
        row.id
        for row in rows
        if row.base is None and (row.crm is None or row.mailbox is None) and row.id not in pairs.drop
    ]
    held: dict[int, str] = {}
    if alone:
        candidates = await candidates_of(run, alone)
        _, held = find_twins(candidates, set(alone), run.policy.match_existing)
        held = {key: _with_key(reason, key, candidates) for key, reason in held.items()}
        for row in rows:
            if row.reason == links.BESIDE:
                held.pop(row.id, None)
    found: list[Proposal] = []
    counts: Counter[tuple[Module, ItemOutcome]] = Counter()
    for row in rows:
        twin = dropped.get(pairs.drop.get(row.id, 0))
        whole = _joined(row, twin) if twin is not None else row
        parent = pairs.keep.get(whole.parent_link or 0, whole.parent_link)
        if parent in out:
            whole = replace(whole, parent_state=out[parent])
        planned = (plan_double(row, doubles[row.id], planning) if row.id in doubles else None) or plan_link(
            whole, planning, held.get(row.id)
        )
        if planned.plan.state in PARENT_OUT:
            out[row.id] = planned.plan.state or ""
        found += _proposed(whole, planned, 0 if twin is None else twin.id)
        if planned.outcome in {ItemOutcome.FILTERED, ItemOutcome.UNCHANGED} and twin is None:
            counts[planned.module, planned.outcome] += 1
    await run.ledger.write(proposals.propose, run.fence, preview, found)
    run.counts.update(counts)


def _with_key(reason: str, link_id: int, candidates: Sequence[Candidate]) -> str:
    """The reason why a twin is held, and how many items it may be the same as."""
    likely = {
        one.other_link_id
        for one in candidates
        if one.link_id == link_id and not one.key.startswith("ref:") and one.other_link_id is not None
    }
    return f"{reason} ({len(likely)} likely duplicates)" if len(likely) > 1 else reason


def _joined(row: LinkRow, twin: LinkRow) -> LinkRow:
    """Two one-sided links as the one that a cycle would make of them."""
    return replace(
        row,
        crm=row.crm if row.crm is not None and not row.crm.deleted else twin.crm or row.crm,
        mailbox=twin.mailbox if row.mailbox is None or row.mailbox.deleted else row.mailbox,
        series={**twin.series, **row.series},
    )


def _proposed(row: LinkRow, planned: Planned, twin: int) -> list[Proposal]:
    plan = planned.plan
    shown: Mapping[str, object] = next(
        (one.fields for one in (row.crm, row.mailbox) if one is not None and not one.deleted), {}
    )
    if plan.state == "held":
        side = Side.CRM if row.crm is not None and not row.crm.deleted else Side.MAILBOX
        return [Proposal(row.id, plan.module, "hold", side.value, fields=shown, why=plan.reason)]
    lost = f"; {plan.lost[0][4]}" if plan.lost else ""
    asked = [
        f"{FIELDS[Module(plan.module)][one.field].label} waits for you: {one.why}"
        for one in (plan.questions.asked if plan.questions is not None else ())
    ]
    if asked and not plan.intents:
        return [Proposal(row.id, plan.module, "hold", Side.CRM.value, fields=shown, why="; ".join(asked))]
    found = [
        Proposal(
            row.id,
            plan.module,
            "merge" if twin else one.kind,
            one.side,
            one.remote_id,
            {} if one.kind == "create" else one.fields or shown,
            one.patch,
            one.before,
            one.etag,
            "; ".join([one.why + lost, *asked]),
            twin,
            guests=one.guests,
        )
        for one in plan.intents
    ]
    if twin and not found and plan.state == "live":
        why = "both sides have it, and it is the same on both"
        return [Proposal(row.id, plan.module, "merge", fields=shown, why=why, twin=twin)]
    return found


async def _guard(run: Run, preview: int, modules: Sequence[Module]) -> None:
    """Note which of the proposed writes would wait for an admin (delete safety, guest mails)."""
    proposed = await run.ledger.read(proposals.deletes, preview, run.record.id)
    for (name, side), ids in proposed.items():
        module = Module(name)
        if module not in modules:
            continue
        total = await run.ledger.read(guarding.live_items, run.record.id, name, side)
        by_how: dict[Gone, list[int]] = {}
        for key, how in (await run.ledger.read(guarding.hows, ids)).items():
            by_how.setdefault(how, []).append(key)
        for _, held, why in judge(by_how, Side(side), total, run.policy, module):
            await run.ledger.write(proposals.hold, run.fence, held, why)
    mailed = await run.ledger.read(proposals.mailed, preview, run.record.id)
    over = over_budget(mailed, run.policy.guest_mail_budget)
    if over:
        why = f"it would mail guests beyond the {run.policy.guest_mail_budget} that the policy allows in one cycle"
        await run.ledger.write(proposals.hold, run.fence, over, why)
