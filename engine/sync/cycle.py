"""The cycles: phase A of a first sync for a whole policy, and one cycle of one mailbox in the product's fixed order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from engine.ledger import calendar_window, links, mailboxes, matching, plans
from engine.ledger import feeds as feed_units
from engine.ledger.copies import hold_copies, retake
from engine.ledger.fence import Fence
from engine.ledger.health import LedgerFault
from engine.ledger.leave import MADE
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.matching import Candidate
from engine.ledger.store import StaleLease
from engine.model.activity import ActivityKind
from engine.model.modules import (
    EVENT_MODULES,
    RECORD_MODULES,
    STEP_MODULES,
    STEPS,
    Module,
    Side,
    Step,
)
from engine.model.port import Account, Containers, Page, Scope, Structure
from engine.model.states import CycleKind, StepState
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.apply import apply_writes
from engine.sync.audience import audience
from engine.sync.calendar import first_run_ended, narrow, widen
from engine.sync.choose import choose_records, remember_rules, rules_changed
from engine.sync.chosen import Chosen
from engine.sync.context import Feed, PolicyContext, Run, Stopped, SuspiciousSource, Waits
from engine.sync.doubles import plan_double
from engine.sync.faults import backoff_ms, fault_class, waits_for_person
from engine.sync.filters import window
from engine.sync.guard import hold_excess
from engine.sync.guests import hold_invitations, may_mail
from engine.sync.observe import read_crm, read_mailbox
from engine.sync.plan import Planned, Planning, find_twins, plan_link, rules_for
from engine.sync.recover import recover, repeat_lost
from engine.sync.reinit import begin_afresh
from engine.sync.reread import ROUNDS, read_again
from engine.sync.structure import (
    containers_structure,
    identity_of,
    label_structure,
    made_ids,
    part,
    with_activities,
)
from engine.sync.vanished import read_feed
from engine.sync.waiting import carry_out
from engine.sync.window import Window

#: Links planned in one transaction.
PLAN_BATCH = 500

#: Failures of these kinds concern the whole mailbox: no later step would fare better.
HOPELESS = frozenset({ErrorKind.CREDENTIAL, ErrorKind.DELEGATION, ErrorKind.CONFIGURATION})


def account_of(record: MailboxRecord) -> Account:
    """The mailbox as connectors know it."""
    return Account(record.email, record.zone or "UTC", record.crm_user, record.exchange_email)


async def crm_feeds(context: PolicyContext) -> list[Feed]:
    """The CRM feeds of a policy, with their rows in the ledger."""
    known = {row.key: row for row in await context.ledger.read(feed_units.scopes_of, context.policy.name, 0)}
    feeds = []
    for each in context.crm.scopes(context.modules()):
        scope = with_activities(context.policy, each)
        row = known.get(scope.key)
        identity = identity_of(context.policy, scope)
        if row is None or row.remote_id != identity:
            row = await context.ledger.write(
                feed_units.ensure_scope, context.policy.name, 0, Side.CRM.value, scope.key, identity
            )
        feeds.append(Feed(scope, row))
    return feeds


async def baseline(
    context: PolicyContext,
    records: Sequence[MailboxRecord],
    *,
    complete: bool,
    on_page: Callable[[Feed, Page, Counter[int]], None] | None = None,
) -> None:
    """Read the CRM once for all mailboxes of a policy. In a first sync this is phase A (``complete``).

    Raises:
        ProviderError, SuspiciousSource, Stopped, StaleLease: as the reading ended.
    """
    await read_crm(context, audience(records), complete=complete, on_page=on_page)


#: What a cycle does with the modules of a step, instead of bringing both sides in step.
Work = Callable[[Run, Sequence[Module], Sequence[Feed]], Awaitable[None]]


async def run_cycle(
    context: PolicyContext,
    record: MailboxRecord,
    fence: Fence,
    kind: CycleKind,
    stop: asyncio.Event,
    *,
    work: Work | None = None,
    cycle_id: int = 0,
    chosen: Chosen | None = None,
    window: Window | None = None,
    steps: Sequence[Step] = STEPS,
) -> Run:
    """One cycle of one mailbox: structure, then the five steps in order, each on its own (phase B).

    A step that fails does not stop later independent ones; a refused credential ends the cycle.

    Args:
        context: the policy.
        record: the mailbox.
        fence: of the mailbox.
        kind: of cycle.
        stop: set to end it at a page boundary.
        work: carries out an admin's order instead (``engine.sync.orders``); containers are left as they are.
        cycle_id: the record of that order.
        chosen: the part of a preview that alone is carried out.
        window: of CalendarSynchronization, which runs the calendar step alone (``engine.sync.calendar``).
        steps: those that are run; some alone after a hint of a provider.

    Returns:
        the finished run, with counts and faults.

    Raises:
        Stopped: at a page boundary, when asked.
        Waits: a provider asked to come back later.
        StaleLease: somebody else has taken over.
    """
    run = Run(
        context, record, account_of(record), fence, kind, stop, cycle_id=cycle_id, chosen=chosen, window=window
    )
    steps = steps if window is None else (Step.CALENDAR,)
    whole = steps == STEPS
    run.reinit = dict(record.reinit) if chosen is None and whole else {}
    run.phase = "B" if kind is CycleKind.FIRST else ""
    run.containers = dict(record.containers)
    run.feeds = await stored_feeds(run)
    run.tell(ActivityKind.CYCLE, text=f"{kind.value} started", sign="▸")
    try:
        await recover(run)
        structure = context.fingerprint()
        if not whole:
            # What else a changed policy needs in the mailbox is the full sync's to make.
            if not any(EVENT_MODULES & set(feed.scope.modules) for feed in run.feeds):
                await _ensure(run)
        elif work is None and (record.structure != structure or not run.feeds):
            await _ensure(run)
        for step in steps:
            await _step(run, step, work)
        if window is not None and not run.faults and run.asked:
            await first_run_ended(run)
    except ProviderError as error:
        if run.step is not None:
            run.step_state(run.step, StepState.FAILED, str(error))
        _fault(run, str(error), error, in_step=False)
        await _remember_fault(run, error)
    except (Stopped, Waits) as end:
        await run.close_cycle("stopped", str(end))
        raise
    except (LedgerFault, StaleLease):  # nothing more may be stored
        raise
    except Exception as error:
        await run.open_cycle()
        await run.close_cycle("failed", f"internal error: {error.__class__.__name__}: {error}")
        raise
    if run.faults:
        # What failed is in the history and counted, also when it failed before it had anything to do.
        await run.open_cycle()
    return run


def _fault(run: Run, text: str, error: Exception, *, in_step: bool) -> None:
    run.fault(text, fault_class(error, in_step=in_step))
    if isinstance(error, ProviderError) and error.retry_after is not None:
        run.retry_after = max(run.retry_after or 0.0, error.retry_after)


async def _remember_fault(run: Run, error: ProviderError) -> None:
    await run.ledger.write(
        mailboxes.set_mailbox_fenced, run.fence, fault=str(error), fault_kind=error.kind.value
    )


async def stored_feeds(run: Run) -> list[Feed]:
    """The feeds of a mailbox as its last cycle stored them, with their rows in the ledger."""
    rows = {row.key: row for row in await run.ledger.read(feed_units.scopes_of, run.policy.name, run.record.id)}
    feeds = []
    for key, remote_id, names in run.record.scopes:
        if key not in rows:
            continue
        scope = Scope(key, remote_id, tuple(Module(name) for name in names), run.account)
        row = rows[key]
        if row.remote_id != identity_of(run.policy, scope):
            row = await _feed_row(run, scope)
        feeds.append(Feed(scope, row))
    return feeds


async def _feed_row(run: Run, scope: Scope) -> feed_units.ScopeRow:
    return await run.ledger.write(
        feed_units.ensure_scope,
        run.policy.name,
        run.record.id,
        Side.MAILBOX.value,
        scope.key,
        identity_of(run.policy, scope),
    )


async def _ensure(run: Run) -> None:
    """Groups, calendar and task list exist, and their ids are stored, so that later cycles need no call for them."""
    run.note("preparing groups, calendar and task list")
    structure = containers_structure(run.policy)
    if run.chosen is not None:
        structure = part(structure, run.chosen.modules)
    elif run.window is not None:
        structure = part(structure, EVENT_MODULES)
    found = await run.base.mailbox.ensure(run.account, structure, run.containers)
    _remember(run, structure, found)
    await _store_structure(run, found.scopes, complete=False)


def _remember(run: Run, structure: Structure, found: Containers) -> None:
    """Ids of containers; and which of them we made, so that leaving the mailbox takes away no others."""
    for name in found.created:
        run.note(f"created {name}", "+")
    run.containers |= found.ids
    run.containers |= {f"{MADE}{name}": value for name, value in made_ids(structure, found).items()}


async def _store_structure(run: Run, scopes: Sequence[Scope], *, complete: bool) -> None:
    feeds = {feed.scope.key: feed for feed in run.feeds}
    for scope in scopes:
        feeds[scope.key] = Feed(scope, await _feed_row(run, scope))
    run.feeds = list(feeds.values())
    values: dict[str, object] = {
        "containers": run.containers,
        "scopes": [[feed.scope.key, feed.scope.remote_id, list(feed.scope.modules)] for feed in run.feeds],
    }
    if complete:
        values["structure"] = run.base.fingerprint()
    await run.ledger.write(mailboxes.set_mailbox_fenced, run.fence, **values)


async def _step(run: Run, step: Step, work: Work | None) -> None:
    """One of the five steps. Raises only what ends the cycle."""
    run.check_stop()
    if work is not None and step is Step.LABELS:
        run.step_state(step, StepState.SKIPPED)
        return
    # A mailbox is left with all that is in it, also of modules that are off by now.
    there = [
        module for module in STEP_MODULES[step] if module in run.base.modules() or run.kind is CycleKind.LEAVE
    ]
    if not run.record.calendar_sync and run.kind is not CycleKind.LEAVE:
        there = [module for module in there if module not in EVENT_MODULES]
    lost = run.base.lost_modules()
    on = [module for module in there if module not in lost]
    missing = [module for module in there if module in lost]
    labels = label_structure(run.policy).labels if step is Step.LABELS else ()
    if run.chosen is not None:
        on = [module for module in on if module in run.chosen.modules]
        missing = [module for module in missing if module in run.chosen.modules]
        labels = labels if RECORD_MODULES & run.chosen.modules else ()
    run.done, run.total = 0, None
    if missing:
        why = "; ".join(dict.fromkeys(lost[module] for module in missing))
        run.fault(f"{', '.join(module.value for module in missing)}: {why}. Nothing was deleted")
        if not on and not labels:
            run.step_state(step, StepState.FAILED, why)
            return
    if not on and not labels:
        off = step is Step.CALENDAR and not run.record.calendar_sync
        run.step_state(step, StepState.SKIPPED, "Calendar Sync is off for this person" if off else "")
        if run.chosen is None and step is Step.LABELS and run.record.structure != run.base.fingerprint():
            await _store_structure(run, (), complete=True)
        return
    run.step_state(step, StepState.RUNNING)
    try:
        if step is Step.LABELS:
            await _labels(run)
        elif work is not None:
            await _ordered(run, on, work)
        else:
            await _modules(run, step, on)
    except ProviderError as error:
        if error.kind in HOPELESS:
            raise
        if error.kind is ErrorKind.THROTTLED:
            raise Waits(str(error), run.clock.now_ms() + backoff_ms(1, error.retry_after)) from error
        run.step_state(step, StepState.FAILED, str(error))
        _fault(run, f"{step.value}: {error}", error, in_step=True)
        if waits_for_person(error):
            await _remember_fault(run, error)  # not retried blindly: it waits for a person
    except SuspiciousSource as error:
        run.step_state(step, StepState.FAILED, str(error))
        _fault(run, f"{step.value}: {error}", error, in_step=True)
    else:
        run.step_state(step, StepState.DONE)


async def _labels(run: Run) -> None:
    structure = label_structure(run.policy)
    fresh = run.record.structure == run.base.fingerprint()
    if fresh and all(f"label:{path}" in run.containers for path in structure.labels):
        return
    found = await run.base.mailbox.ensure(run.account, structure, run.containers)
    _remember(run, structure, found)
    run.done = run.total = len(structure.labels)
    run.progress()
    await _store_structure(run, found.scopes, complete=run.chosen is None)


async def _modules(run: Run, step: Step, modules: list[Module]) -> None:
    """Read the mailbox's feeds of a step, then plan and write until both sides agree."""
    if step is Step.RECORDS and not all(
        name in run.containers for name in (f"label:{path}" for path in label_structure(run.policy).labels)
    ):
        raise ProviderError(
            ErrorKind.NOT_FOUND,
            "label structure",
            "the labels of step 4 are missing",
            advice="it is tried again next cycle",
        )
    feeds = []
    for feed in list(run.feeds):
        if set(feed.scope.modules) & set(modules):
            feeds.append(await read_feed(run, feed))
            run.asked += 1
    await begin_afresh(run, modules, feeds)
    if run.window is not None:
        await widen(run)
    elif step is Step.CALENDAR:
        await _roll_window(run)
    names = [module.value for module in modules]
    pending = await run.ledger.read(links.pending, run.record.id, names, deferred=run.window is None)
    changed = step is Step.RECORDS and rules_changed(run)
    if not pending.dirty and not pending.open and not changed:
        return
    if pending.open:
        await repeat_lost(run, modules)
    await carry_out(run, feeds, names)
    run.total = pending.dirty
    run.progress()
    crowded = await choose_records(run, modules)
    if changed:
        await remember_rules(run)
    planning = planning_for(run, modules, crowded=crowded)
    for _ in range(ROUNDS):
        planned = await _plan_all(run, planning, names)
        await hold_excess(run, modules)
        await hold_invitations(run, modules)
        conflicts = await apply_writes(run, modules)
        if conflicts:
            await read_again(run, feeds, modules, conflicts)
        elif not planned or not await run.ledger.read(links.left, run.record.id, names):
            break


async def _ordered(run: Run, modules: list[Module], work: Work) -> None:
    """Read the mailbox's feeds of a step, then carry out an order there."""
    feeds = []
    for feed in list(run.feeds):
        if not set(feed.scope.modules) & set(modules):
            continue
        if run.kind is CycleKind.LEAVE:
            # A container that somebody deleted is what leaving wants; it is not made anew for it.
            try:
                await read_mailbox(run, feed)
            except ProviderError as error:
                if error.kind is not ErrorKind.NOT_FOUND:
                    raise
                run.note(f"{feed.scope.key} is gone already")
            feeds.append(feed)
        else:
            feeds.append(await read_feed(run, feed))
    await repeat_lost(run, modules)
    await work(run, modules, feeds)


async def _roll_window(run: Run) -> None:
    """Events that come into the calendar window as time goes by are looked at again."""
    _, until = window(run.policy, run.clock.now_ms())
    if await run.ledger.read(calendar_window.wake_window, run.record.id, until):
        await run.ledger.write(calendar_window.open_window, run.fence, until)


def planning_for(
    run: Run,
    modules: Sequence[Module],
    *,
    nowhere: int | None = None,
    crowded: frozenset[int] = frozenset(),
) -> Planning:
    """What planning needs to know about some modules.

    Args:
        run: the cycle.
        modules: of one step.
        nowhere: scope id that stands for a container which is not there yet; without it that is a fault.
        crowded: see ``Planning.crowded``.
    """
    rules, guards, scopes = {}, {}, {}
    for module in modules:
        records = {side: run.base.capability(side, module) for side in Side}
        crm, mailbox = records[Side.CRM], records[Side.MAILBOX]
        assert crm is not None
        assert mailbox is not None
        rules[module] = rules_for(run.policy, module, crm, mailbox)
        for side, capability in ((Side.CRM, crm), (Side.MAILBOX, mailbox)):
            guards[side, module] = capability.guard
            feed = run.feed_for(side, module)
            if feed is None and nowhere is not None:
                scopes[side, module] = nowhere
                continue
            if feed is None:
                raise ProviderError(
                    ErrorKind.NOT_FOUND, module.value, f"there is no place for it in the {side.value}"
                )
            scopes[side, module] = feed.row.id
    return Planning(
        run.policy,
        run.account.email,
        run.clock.now_ms(),
        rules,
        guards,
        scopes,
        # Invariant I12: a first sync mails nobody, whatever the policy says.
        mails=may_mail(run.policy, run.kind),
        windowed=run.window is None,
        crowded=crowded,
    )


async def _plan_all(run: Run, planning: Planning, names: list[str]) -> int:
    """Plan every due link; returns how many intents were planned."""
    await _match(run, names)
    doubles = await run.ledger.read(matching.doubles, run.record.id, names)
    after, total = 0, 0
    while True:
        run.check_stop()
        rows = await run.ledger.read(
            links.work_list,
            run.record.id,
            names,
            run.clock.now_ms(),
            PLAN_BATCH,
            after,
            deferred=run.window is None,
        )
        if not rows:
            return total
        after, whole = rows[-1].id, len(rows) < PLAN_BATCH
        await run.open_cycle()
        if run.window is not None:
            rows = await narrow(run, rows)
        one_sided = [row.id for row in rows if row.base is None and (row.crm is None or row.mailbox is None)]
        held: dict[int, str] = {}
        if one_sided:
            candidates = await candidates_of(run, one_sided)
            _, held = find_twins(candidates, set(one_sided), run.policy.match_existing)
            for row in rows:
                if row.reason == links.BESIDE:
                    held.pop(row.id, None)
        planned = [
            (plan_double(row, doubles[row.id], planning) if row.id in doubles else None)
            or plan_link(row, planning, held.get(row.id))
            for row in rows
        ]
        if run.chosen is not None:
            planned = [one for one in planned if run.chosen.take(one)]
        total += await run.ledger.write(
            plans.commit_plan, run.fence, run.cycle_id, [one.plan for one in planned], run.clock.now_ms()
        )
        _tell_planned(run, planned)
        if whole:
            return total
        await asyncio.sleep(0)


async def _match(run: Run, names: list[str]) -> None:
    """Join one-sided links with their twins before anything is created."""
    made = await run.ledger.read(matching.found_creates, run.record.id, names)
    beside = [(keep, copy) for keep, copy, occupied in made if occupied]
    if beside:
        await run.ledger.write(hold_copies, run.fence, beside)
    found = [(keep, drop) for keep, drop, occupied in made if not occupied]
    back = await run.ledger.read(matching.reborn, run.record.id, names)
    found += [(gone, new) for gone, new, waited in back if not waited]
    if found:
        await run.ledger.write(matching.merge_links, run.fence, found)
    taken = {one for pair in found for one in pair}
    waited = [(gone, new) for gone, new, waited in back if waited and taken.isdisjoint((gone, new))]
    if waited:
        await run.ledger.write(retake, run.fence, waited)
    after = 0
    while True:
        rows = await run.ledger.read(
            matching.new_links,
            run.record.id,
            names,
            run.clock.now_ms(),
            PLAN_BATCH,
            after,
            deferred=run.window is None,
        )
        if not rows:
            return
        after, whole = rows[-1], len(rows) < PLAN_BATCH
        candidates = await candidates_of(run, rows)
        pairs, _ = find_twins(candidates, set(rows), run.policy.match_existing)
        if run.chosen is not None:
            pairs = run.chosen.pairs(pairs)
        if pairs:
            # Second copies of one create are not twins of each other.
            second = (await run.ledger.read(matching.doubles, run.record.id, names)).keys()
            pairs = [pair for pair in pairs if second.isdisjoint(pair)]
        if pairs:
            await run.ledger.write(matching.merge_links, run.fence, pairs)
            run.note(f"matched {len(pairs)} items that were already on both sides")
        if whole:
            return


async def candidates_of(run: Run, link_ids: list[int]) -> list[Candidate]:
    """Possible twins of links, and the possible twins of those: a match needs one candidate on each side."""
    found = await run.ledger.read(matching.candidates, link_ids)
    others = {one.other_link_id for one in found if one.other_link_id is not None} - set(link_ids)
    if others:
        found += await run.ledger.read(matching.candidates, sorted(others))
    return found


def _tell_planned(run: Run, planned: Sequence[Planned]) -> None:
    counts = Counter((one.module, one.outcome) for one in planned if one.outcome is not None)
    for one in planned:
        if one.text:
            run.tell(ActivityKind.ITEMS, sign=one.sign, text=one.text)
    run.done += sum(not one.plan.intents for one in planned)
    run.count({(module, outcome): count for (module, outcome), count in counts.items() if outcome is not None})
