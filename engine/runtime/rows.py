"""Rows for the screens, built from the stored configuration and state."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from engine.jobs import rollout
from engine.jobs.schedule import blackout_until, describe, next_due
from engine.ledger import conflicts, intents, links, mailboxes
from engine.ledger.mailboxes import MailboxRecord, PolicyRecord
from engine.model.modules import Module
from engine.model.policy import DeleteThreshold, Policy
from engine.model.port import CalendarMode
from engine.model.states import FaultClass, PolicyState, UserState
from engine.monitor.rows import PolicyRow, UserRow
from engine.monitor.store import Table
from engine.runtime import lingering
from engine.runtime.office import Office

#: A user in these states has a cycle that ends by itself, whatever becomes of his policy.
UNDER_WAY = frozenset({UserState.SYNCING, UserState.INITIALIZING})


async def build(office: Office) -> None:
    """Build the rows of policies and users afresh: at the start, and after the configuration changed."""
    store = office.store
    records = await office.ledger.read(mailboxes.mailboxes)
    stored = {record.name: record for record in await office.ledger.read(mailboxes.policies)}
    held = await office.ledger.read(intents.held_counts)
    asked = await office.ledger.read(conflicts.counts)
    live = await office.ledger.read(_live, [record.id for record in records])
    # From here on nobody else has a turn: a list that is asked for meanwhile has all rows, with all their numbers.
    office.mailbox_ids = {record.email: record.id for record in records}
    store.users = {
        record.email: _user_row(office, stored[record.policy], record, store.users.get(record.email))
        for record in records
    }
    store.policies = {name: policy_row(office, record, records) for name, record in stored.items()}
    for record in records:
        store.users[record.email].held = held.get(record.id, 0)
        store.users[record.email].conflicts = asked.get(record.id, 0)
        store.users[record.email].items = live[record.id]
    for line_mailbox in list(store.lines):
        if line_mailbox not in store.users:
            del store.lines[line_mailbox]
    office.fold.recount()
    _sum_all(office)
    for policy in store.policies.values():
        sum_up(office, policy)
    store.reshape(Table.POLICIES)
    store.reshape(Table.USERS)


def _user_row(office: Office, policy: PolicyRecord, record: MailboxRecord, old: UserRow | None) -> UserRow:
    if old is not None:
        old.calendar_sync, old.exchange_email = record.calendar_sync, record.exchange_email
    if old is not None and old.policy == record.policy:
        off = policy.state == PolicyState.DISABLED and old.state not in UNDER_WAY
        if off or old.state in {UserState.DISABLED, UserState.IDLE}:
            old.state = user_state(policy, record)
        return old
    row = UserRow(record.email, record.policy, user_state(policy, record), record.crm_user, record.zone)
    row.calendar_sync, row.exchange_email = record.calendar_sync, record.exchange_email
    row.last_success_ms = record.last_success_at
    row.text = record.fault
    row.why = f"paused by {record.paused_by}" if record.paused else record.fault
    row.fault_class = FaultClass(record.fault_class) if record.fault and record.fault_class else None
    return row


def _live(connection: Connection, mailbox_ids: Iterable[int]) -> dict[int, int]:
    """Live links by mailbox. It reads them all, so it is for the start and for mailboxes that wrote something."""
    return {
        mailbox_id: sum(
            count
            for (_, state), count in links.module_totals(connection, mailbox_id).items()
            if state == "live"
        )
        for mailbox_id in mailbox_ids
    }


def user_state(policy: PolicyRecord, record: MailboxRecord) -> UserState:
    """The state of a user of whom no cycle runs."""
    if record.paused:
        return UserState.PAUSED
    if policy.state == PolicyState.DISABLED:
        return UserState.DISABLED
    if record.fault:
        return UserState.FAILED
    return UserState.IDLE if record.phase == "ready" else UserState.QUEUED


def policy_row(office: Office, record: PolicyRecord, records: list[MailboxRecord]) -> PolicyRow:
    """One line of the Policies tab."""
    policy = office.policies[record.name]
    mine = [one for one in records if one.policy == record.name]
    row = office.store.policies.get(record.name) or PolicyRow(record.name)
    row.state = PolicyState(record.state)
    row.crm, row.mailbox = policy.crm, policy.mailbox
    row.crm_kind = _kind(office, policy.crm)
    row.mailbox_kind = _kind(office, policy.mailbox)
    row.modules = frozenset(module for module in Module if policy.on(module))
    row.users = len(mine)
    row.initialised = bool(mine) and all(one.phase == "ready" for one in mine)
    row.last_full_ms = record.last_full_at
    row.fault = record.fault
    row.fault_class = FaultClass(record.fault_class) if record.fault and record.fault_class else None
    show_rollout(office, row, record, mine)
    row.blackout_until_ms = blackout_until(policy.scheduling, office.clock.now_ms())
    row.schedule = describe(policy.scheduling)
    row.windows = f"calendar -{policy.calendar.past_days} d .. +{policy.calendar.future_days} d, contacts all"
    row.conflict = _conflict(policy)
    row.guard = (
        f"contacts {_threshold(policy.delete_safety.contacts)}, "
        f"appointments {_threshold(policy.delete_safety.appointments)}, "
        f"tasks {_threshold(policy.delete_safety.tasks)}"
    )
    row.calendar = (
        "colours in the default calendar"
        if policy.calendar.mode is CalendarMode.COLOUR
        else f"separate calendar {policy.calendar.name!r}"
    )
    row.notify = ", ".join(policy.error_addresses)
    if row.state is PolicyState.ENABLED and row.last_full_ms is not None and row.next_full_ms is None:
        due = next_due(policy.scheduling, row.last_full_ms)
        row.next_full_ms, row.next_why = due.at_ms, due.why
    if row.state is PolicyState.DISABLED:
        row.next_full_ms, row.next_why = None, "the policy is off; o turns it on"
    return row


def show_rollout(office: Office, row: PolicyRow, record: PolicyRecord, records: list[MailboxRecord]) -> None:
    """How far a policy's roll-out is, and which of its users it holds back."""
    progress = rollout.read(record.rollout)
    row.rollout = rollout.said(progress)
    row.rollout_stage = progress.stage.value if progress is not None and row.rollout else ""
    for one in records:
        user = office.store.users.get(one.email)
        if user is None or user.state in UNDER_WAY | {UserState.PAUSED, UserState.DISABLED}:
            continue
        why = rollout.held_back(progress, one.wave)
        if why and user.why != why:
            user.state, user.why, user.text = UserState.QUEUED, why, why
            office.store.touch(Table.USERS, user)
        elif not why and user.why.startswith(rollout.WAITS):
            user.state, user.why, user.text = user_state(record, one), "", ""
            office.store.touch(Table.USERS, user)


def _kind(office: Office, name: str) -> str:
    connection = office.connections.get(name)
    return connection.kind.capitalize() if connection else "?"


def _conflict(policy: Policy) -> str:
    words = {
        "newest": "newest wins",
        "crm": "the CRM wins",
        "mailbox": "the mailbox wins",
        "ask": "you are asked",
        "union": "lists united, else newest wins",
    }
    others = {
        rule for one in policy.modules.values() for rule in (one.conflict, *one.conflicts.values()) if rule
    }
    return words[policy.conflict] + (", some fields otherwise" if others - {policy.conflict} else "")


def _threshold(threshold: DeleteThreshold) -> str:
    return f"{threshold.count} or {threshold.percent:g} %"


async def refresh_policy(office: Office, name: str) -> None:
    """Bring the sums of a policy's row up to date (users by state, items, held, failed), and its lingering troubles."""
    row = office.store.policies.get(name)
    if row is None:
        return
    held = await office.ledger.read(intents.held_counts)
    asked = await office.ledger.read(conflicts.counts)
    for user in office.store.users.values():
        counts = tuple(found.get(office.mailbox_ids[user.id], 0) for found in (held, asked))
        if (user.held, user.conflicts) != counts:
            user.held, user.conflicts = counts
            office.store.touch(Table.USERS, user)
    wrote = [
        user for user in office.store.users.values() if user.policy == name and user.id in office.fold.wrote
    ]
    live = await office.ledger.read(_live, [office.mailbox_ids[user.id] for user in wrote]) if wrote else {}
    for user in wrote:
        user.items = live[office.mailbox_ids[user.id]]
        office.fold.wrote.discard(user.id)
    await _name_crm_users(office, name)
    sum_up(office, row)
    _sum_all(office)
    office.store.touch(Table.POLICIES, row)
    await lingering.look(office, name)


async def _name_crm_users(office: Office, name: str) -> None:
    """Take over who was found by address, and in which zone."""
    unnamed = [
        one for one in office.store.users.values() if one.policy == name and not (one.crm_user and one.zone)
    ]
    if not unnamed:
        return
    found = {record.email: record for record in await office.ledger.read(mailboxes.mailboxes, name)}
    for user in unnamed:
        record = found.get(user.id)
        if record is not None and (record.crm_user, record.zone) != (user.crm_user, user.zone):
            user.crm_user, user.zone = record.crm_user, record.zone
            office.store.touch(Table.USERS, user)


def _sum_all(office: Office) -> None:
    """What waits for an admin in all mailboxes, for the header."""
    engine, users = office.store.engine, office.store.users.values()
    engine.held = sum(user.held for user in users)
    engine.conflicts = sum(user.conflicts for user in users)


def sum_up(office: Office, row: PolicyRow) -> None:
    """The sums of a policy over its users."""
    row.users_by_state = {}
    row.items = row.held = row.conflicts = row.failed = 0
    for user in office.store.users.values():
        if user.policy != row.id:
            continue
        row.users_by_state[user.state] = row.users_by_state.get(user.state, 0) + 1
        row.items += user.items
        row.held += user.held
        row.conflicts += user.conflicts
        row.failed += user.failed
