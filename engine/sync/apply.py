"""Carrying out planned writes, batch by batch: commit "in flight", call, commit what came back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from engine.ledger import intents as units
from engine.ledger.health import LedgerFault
from engine.ledger.intents import Applied, IntentRow, Unsettled
from engine.ledger.store import StaleLease
from engine.model.activity import ActivityKind
from engine.model.canonical import FIELDS, same
from engine.model.modules import EVENT_MODULES, ItemOutcome, Module, Side
from engine.model.port import Capability, CreateKey, Observation, Outcome, Result, Write, WriteKind
from engine.model.states import FaultClass
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.audience import audience
from engine.sync.context import Feed, Run, Stopped, Waits
from engine.sync.plan import line_for
from engine.sync.reconcile import after_write
from engine.sync.reread import read_occurrences
from engine.sync.resolve import crm_seen, without_private_body
from engine.sync.structure import branch_path
from engine.sync.undo import undone

#: A cycle waits so long by itself when a provider asks for it; longer, and the mailbox comes back later.
PATIENCE_SECONDS = 90.0

#: So many refusals of one batch in a row, and the mailbox comes back later.
REFUSALS = 6

#: Writes that are taken in hand at once.
ROUND = 1000

_COUNTED = {
    WriteKind.CREATE: ItemOutcome.CREATED,
    WriteKind.UPDATE: ItemOutcome.UPDATED,
    WriteKind.DELETE: ItemOutcome.DELETED,
}


async def apply_writes(run: Run, modules: Sequence[Module]) -> set[str]:
    """Carry out what is planned for some modules: creates, updates, deletes; the mailbox first, then the CRM.

    Returns:
        remote ids that were in conflict, to be read again.

    Raises:
        Waits: a provider asked for a longer wait; what is left stays planned.
        ProviderError: a call failed as a whole for a reason that no repeat mends.
    """
    conflicts: set[str] = set()
    names = [module.value for module in modules]
    series = not EVENT_MODULES.isdisjoint(modules)
    present = await run.ledger.read(units.planned_kinds, run.record.id, names)
    for kind in (WriteKind.CREATE, WriteKind.UPDATE, WriteKind.DELETE):
        for side in (Side.MAILBOX, Side.CRM):
            if (kind, side) not in present:
                continue
            refusals = 0
            while True:
                run.check_stop()
                rows = await run.ledger.read(
                    units.planned, run.record.id, names, side.value, kind.value, ROUND, series=series
                )
                if not rows:
                    break
                wait = await _round(run, side, rows, conflicts)
                refusals = refusals + 1 if wait is not None else 0
                if wait is not None:
                    await _pause(run, wait, refusals)
                elif len(rows) < ROUND and not (series and kind is WriteKind.CREATE):
                    break  # all were settled; only masters that were made now let others follow
    return conflicts


async def _pause(run: Run, seconds: float, refusals: int) -> None:
    until = run.clock.now_ms() + int(seconds * 1000)
    if seconds > PATIENCE_SECONDS or refusals >= REFUSALS:
        raise Waits("the provider asks to come back later", until)
    run.tell(ActivityKind.THROTTLED, until_ms=until, text=f"throttled, waiting {seconds:.0f} s")
    await run.sleep(seconds)


async def _round(run: Run, side: Side, rows: Sequence[IntentRow], conflicts: set[str]) -> float | None:
    """One pass over planned intents of one kind and side; returns the longest wait that a provider asked for.

    Modules that live in one scope (contacts and leads) share its batches, which saves a call for each of them.
    """
    groups: dict[int, list[IntentRow]] = {}
    for row in rows:
        groups.setdefault(row.scope_id, []).append(row)
    waits: list[float] = []
    failures: list[ProviderError | Stopped | StaleLease | LedgerFault] = []
    for scope_id, group in groups.items():
        capabilities = [_capability(run, row) for row in group]
        size = min(capability.batch for capability in capabilities)
        feed = next(
            (one for one in (run.base.crm_feeds if side is Side.CRM else run.feeds) if one.row.id == scope_id),
            None,
        )
        if feed is None:
            await _settle(
                run,
                group,
                [Outcome(Result.REJECTED, reason="its container is gone")] * len(group),
                conflicts,
            )
            continue
        batches = [group[index : index + size] for index in range(0, len(group), size)]
        gate = asyncio.Semaphore(min(capability.parallel for capability in capabilities))

        async def one_batch(
            batch: list[IntentRow],
            feed: Feed = feed,
            gate: asyncio.Semaphore = gate,
        ) -> None:
            async with gate:
                if waits or failures:
                    return  # a failed batch stops those behind it
                try:
                    run.check_stop()
                    wait = await _batch(run, side, feed, batch, conflicts)
                except (ProviderError, Stopped, StaleLease, LedgerFault) as failure:
                    failures.append(failure)
                    return
                if wait is not None:
                    waits.append(wait)

        async with asyncio.TaskGroup() as tasks:
            for batch in batches:
                tasks.create_task(one_batch(batch))
        if failures:
            raise failures[0]
        if waits:
            break
    return max(waits, default=None)


async def _batch(
    run: Run,
    side: Side,
    feed: Feed,
    batch: list[IntentRow],
    conflicts: set[str],
) -> float | None:
    connector = run.base.crm if side is Side.CRM else run.base.mailbox
    await _see_what_goes_along(run, side, feed, batch)
    along = [row.id for row in batch if row.kind == WriteKind.DELETE or _takes_along(row)]
    await run.ledger.write(units.take_flight, run.fence, [row.id for row in batch], run.clock.now_ms(), along)
    try:
        outcomes = await connector.apply(feed.scope, [_write(run, side, row) for row in batch])
    except ProviderError as error:
        result = Result.UNKNOWN if error.maybe_applied else Result.REFUSED
        await _settle(
            run,
            batch,
            [Outcome(result, reason=error.detail, retry_after=error.retry_after)] * len(batch),
            conflicts,
        )
        if error.kind in {ErrorKind.THROTTLED, ErrorKind.UNAVAILABLE, ErrorKind.MALFORMED}:
            return error.retry_after or 2.0
        raise
    wait = await _settle(run, batch, outcomes, conflicts)
    await _see_what_stands(run, side, feed, batch, outcomes)
    return wait


async def _see_what_stands(
    run: Run, side: Side, feed: Feed, batch: Sequence[IntentRow], outcomes: Sequence[Outcome]
) -> None:
    """Occurrences that somebody has changed before we could: what they say is read, and merged like any other edit.

    Overwritten, or taken for what the provider makes of our values, it would be gone without trace (seed 97735). The feed tells
    of them as well, but late, or not at all of one that it told of when its series was none of ours.
    """
    series = {
        row.parent
        for row, outcome in zip(batch, outcomes, strict=True)
        if outcome.result is Result.CONFLICT and row.kind == WriteKind.CREATE and row.parent is not None
    }
    if series:
        await read_occurrences(run, side, feed, sorted(series))


async def _see_what_goes_along(run: Run, side: Side, feed: Feed, batch: Sequence[IntentRow]) -> None:
    """Changed occurrences go with their series, and no version of the series protects them: they are read just before.

    A series that gets other times loses them as well: all of them at Exchange, those that have no place in it any more at
    Google (seed 3295). What a person has written there since the feed was read, or since it tells of (it may lag), is in the
    journal then (seed 53277). The provider is asked which there are: the feed may have told of the series in the very
    version that we write to, and not yet of an occurrence that nobody here has heard of (seed 86676).
    """
    series = [row.remote_id for row in batch if _takes_along(row) and row.mode in ("", "undo")]
    if series:
        await read_occurrences(run, side, feed, series)


def _takes_along(row: IntentRow) -> bool:
    """Whether what was changed about the occurrences of a series does not outlive a write."""
    if not row.shown.get("rule") or row.kind == WriteKind.CREATE:
        return False
    return row.kind == WriteKind.DELETE or not {"start", "rule"}.isdisjoint(row.patch)


def _capability(run: Run, row: IntentRow) -> Capability:
    capability = run.base.capability(Side(row.side), Module(row.module))
    assert capability is not None
    return capability


def _write(run: Run, side: Side, row: IntentRow) -> Write:
    kind, module = WriteKind(row.kind), Module(row.module)
    return Write(
        kind=kind,
        module=module,
        key=row.key,
        remote_id=row.remote_id,
        fields=row.fields,
        patch=row.patch,
        etag=row.etag,
        native=row.native,
        containers=_containers(run, module) if side is Side.MAILBOX and kind is not WriteKind.DELETE else (),
        parent=row.parent,
        occurrence=row.occurrence,
        attempt=row.attempt,
        notify=row.notify,
        owner=run.account.crm_user if side is Side.CRM else "",
    )


def _containers(run: Run, module: Module) -> tuple[str, ...]:
    """Ids of the group, colour or label branch that an item of this module carries in the mailbox."""
    ids = run.containers
    if module in run.policy.labels.assign_to:
        path = branch_path(run.policy, module)
        return (f"label:{ids[f'label:{path}']}", f"path:{path}")
    return tuple(ids[name] for name in (f"group:{module}", f"colour:{module}") if name in ids)


async def _settle(
    run: Run,
    batch: Sequence[IntentRow],
    outcomes: Sequence[Outcome],
    conflicts: set[str],
) -> float | None:
    now = run.clock.now_ms()
    applied: list[Applied] = []
    unsettled: list[Unsettled] = []
    counts: Counter[tuple[Module, ItemOutcome]] = Counter()
    waits: list[float] = []
    for row, outcome in zip(batch, outcomes, strict=True):
        kind, module, capability = WriteKind(row.kind), Module(row.module), _capability(run, row)
        match outcome.result:
            case Result.DONE:
                applied.append(_applied(row, module, capability, outcome))
                counts[module, _COUNTED[kind]] += 1
                if (
                    row.attempt
                    and outcome.observation is not None
                    and _is_anothers(run, row, outcome.observation)
                ):
                    conflicts.add(outcome.observation.remote_id)
            case Result.GONE if kind is WriteKind.DELETE:
                applied.append(_applied(row, module, capability, outcome))
                counts[module, ItemOutcome.DELETED] += 1
            case Result.GONE if kind is WriteKind.CREATE:
                # Nothing can be gone that is yet to be made: its series or container is. Told, retried ever more
                # rarely, then set aside; not sent again in every cycle for ever.
                counts[module, ItemOutcome.FAILED] += 1
                unsettled.append(Unsettled(row, "failed", outcome.reason or "what it belongs to is gone"))
            case Result.GONE:
                # Read by id before anything is made in its place: a second copy would be the price of a wrong answer.
                conflicts.add(row.remote_id)
                reason = outcome.reason or "not found"
                unsettled.append(
                    Unsettled(row, "gone", f"there when it is read, gone when it is written: {reason}")
                )
            case Result.CONFLICT if kind is WriteKind.DELETE and row.shown.get("rule"):
                # A person is at work in the series. What he changed of its occurrences would go with it unseen, so the
                # feed has its time to tell (seed 383), at the next cycle at the earliest (seed 12805).
                later = now + max(capability.lag_seconds, 1) * 1000
                unsettled.append(Unsettled(row, "later", outcome.reason, later))
            case Result.CONFLICT if kind is WriteKind.CREATE:
                # A person was at this occurrence first, and both versions are merged when his is known (seed 117679); a
                # feed that lags tells of it no earlier than that.
                later = now + max(capability.lag_seconds, 1) * 1000
                unsettled.append(Unsettled(row, "taken", outcome.reason, later))
            case Result.CONFLICT:
                conflicts.add(row.remote_id)
                unsettled.append(Unsettled(row, "reread", outcome.reason))
            case Result.REFUSED:
                waits.append(outcome.retry_after or 2.0)
                unsettled.append(Unsettled(row, "again", outcome.reason))
            case Result.UNKNOWN if kind is not WriteKind.CREATE:
                conflicts.add(row.remote_id)
                unsettled.append(Unsettled(row, "unsure", outcome.reason))
            case Result.UNKNOWN if capability.create_key is CreateKey.MARKER:
                unsettled.append(Unsettled(row, "unknown", outcome.reason, now + capability.lag_seconds * 1000))
            case Result.UNKNOWN:
                waits.append(1.0)
                unsettled.append(Unsettled(row, "again", outcome.reason))
            case Result.REJECTED:
                counts[module, ItemOutcome.FAILED] += 1
                unsettled.append(Unsettled(row, "failed", outcome.reason))
    quarantined = await run.ledger.write(units.record_outcomes, run.fence, applied, unsettled, now)
    for one in applied:
        fields = one.intent.fields or one.intent.shown
        patch = one.intent.patch if one.intent.kind == WriteKind.UPDATE else ()
        module = Module(one.intent.module)
        sign, text = line_for(module, Side(one.intent.side), one.intent.kind, fields, patch)
        run.tell(ActivityKind.ITEMS, sign=sign, text=text)
    for failed in unsettled:
        if failed.how == "failed" or failed.intent.link_id in quarantined:
            intent = failed.intent
            _, text = line_for(
                Module(intent.module), Side(intent.side), intent.kind, intent.fields or intent.shown
            )
            aside = " and set aside in quarantine" if intent.link_id in quarantined else ""
            told = f"{text}: refused{aside}: {failed.error}"
            run.tell(ActivityKind.ITEMS, sign="✗", text=told, ok=False, fault=FaultClass.ITEM)
    run.done += len(applied)
    run.count(counts)
    run.progress()
    return max(waits, default=None)


def _applied(row: IntentRow, module: Module, capability: Capability, outcome: Outcome) -> Applied:
    seen = outcome.observation
    if seen is None:
        return Applied(row, row.remote_id, None, {}, {}, None, (), None, drifted=False)
    shows = without_private_body(module, seen.fields)
    shared = capability.fields
    if row.kind == WriteKind.CREATE:
        made = after_write(module, shared & set(row.fields) | _filled(row, shows, shared), row.fields, shows)
        # After a lost answer the item may have been edited before we found it: its differences are edits then.
        accepted, drifted = ({}, bool(made)) if row.attempt else (made, False)
    else:
        patched = after_write(module, frozenset(row.patch), row.fields, shows)
        kept = {name: pair for name, pair in row.accepted.items() if name not in row.patch}
        accepted = {**kept, **(undone(row, module, shows) if row.mode == "undo" else patched)}
        # A field that we did not touch shows something else than before: a person was at work meanwhile.
        table = FIELDS[module]
        drifted = any(
            not same(table[name].kind, row.shown.get(name), shows.get(name)) for name in shared - set(row.patch)
        )
    return Applied(
        row,
        seen.remote_id,
        seen.etag,
        shows,
        accepted,
        dict(seen.native) if seen.native is not None else None,
        seen.containers,
        seen.modified,
        drifted,
        untold=capability.net,
        reset=capability.resets and not row.mode and row.kind == WriteKind.UPDATE and _takes_along(row),
    )


def _is_anothers(run: Run, row: IntentRow, seen: Observation) -> bool:
    """Whether a record that we made was given to somebody else before its create was repeated.

    The feed has told that already, of a record that nobody knew as ours: it will not say so again (seed 25758).
    """
    return row.side == Side.CRM and not crm_seen(run.policy, seen, audience([run.record]))


def _filled(row: IntentRow, shows: dict[str, object], shared: frozenset[str]) -> frozenset[str]:
    """Fields that the provider filled by itself although we sent none (a default, a required field)."""
    return frozenset(name for name in shared if name in shows and name not in row.fields)
