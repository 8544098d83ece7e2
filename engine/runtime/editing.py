"""Changing the stored configuration piece by piece: one policy, some users, one connection, each as a whole or not at all.

The forms of the app and the configuration file go through the same validation (``engine.model.form``). A form that began
from settings which somebody else has changed since is refused, so that no change is lost unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from engine.connect import connect_crm, connect_mailbox
from engine.jobs.schedule import next_due
from engine.ledger import conflicts as conflict_units
from engine.ledger import editing as units
from engine.ledger import mailboxes
from engine.model import form
from engine.model.config import CRM_KINDS, ConfigErrors, check_users, policy_from_doc, policy_to_doc
from engine.model.config_problems import Collector
from engine.model.policy import Connection
from engine.model.port import Account, Connector, Finding
from engine.model.states import PolicyState
from engine.monitor.commands import (
    AddUsers,
    Answer,
    DeleteConnection,
    DeletePolicy,
    Editing,
    ImportUsers,
    RemoveUsers,
    SaveConnection,
    SavePolicy,
    SetOperator,
    SetUser,
    TestConnection,
)
from engine.monitor.store import Table
from engine.net.errors import ProviderError
from engine.runtime import operators, ordering, rows, words
from engine.runtime.office import Office
from engine.runtime.timekeeper import FULL, VERIFY, Timekeeper
from engine.sync.cycle import account_of

#: Names that an answer lists at most.
NAMED = 5


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """What a form of a policy begins with.

    Attributes:
        name: empty for a new one.
        settings: the document to edit.
        was: the stored document; None for a new policy.
        connections: kind by name.
        others: names of the other policies.
        users: how many it has.
    """

    name: str
    settings: Mapping[str, Any]
    was: Mapping[str, Any] | None
    connections: Mapping[str, str]
    others: tuple[str, ...]
    users: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionDraft:
    """What a form of a connection begins with; see ``PolicyDraft``. ``policies`` use it; ``crm`` says which end it is."""

    name: str
    kind: str
    crm: bool
    settings: Mapping[str, Any]
    was: Mapping[str, Any] | None
    others: tuple[str, ...]
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """One connection for a list: its kind, the policies that use it, and where its secret is kept (never the secret)."""

    id: str
    kind: str
    policies: tuple[str, ...]
    secret: str
    address: str
    crm: bool


# -- reading ---------------------------------------------------------------------------------------------


def policy_draft(office: Office, name: str, copy_of: str = "") -> PolicyDraft:
    """The form of a stored policy, of a copy of one (``copy_of``), or of a new one (both empty).

    Raises:
        KeyError: there is no such policy.
    """
    kinds = {one.name: one.kind for one in office.connections.values()}
    others = tuple(each for each in office.policies if each != name)
    if name or copy_of:
        document = policy_to_doc(office.policies[name or copy_of])
        users = sum(row.policy == name for row in office.store.users.values())
        return PolicyDraft(name, document, document if name else None, kinds, others, users)
    ends = [[each for each, kind in kinds.items() if (kind in CRM_KINDS) is crm] for crm in (True, False)]
    only = [some[0] if len(some) == 1 else "" for some in ends]
    return PolicyDraft("", form.new_policy(*only), None, kinds, others)


def connection_draft(office: Office, name: str, kind: str = "") -> ConnectionDraft:
    """The form of a stored connection, or of a new one of a kind.

    Raises:
        KeyError: there is no such connection.
    """
    others = tuple(each for each in office.connections if each != name)
    if not name:
        return ConnectionDraft("", kind, kind in CRM_KINDS, {}, None, others)
    one = office.connections[name]
    return ConnectionDraft(
        name,
        one.kind,
        one.kind in CRM_KINDS,
        dict(one.settings),
        dict(one.settings),
        others,
        _users_of(office, name),
    )


def connection_rows(office: Office) -> list[ConnectionRow]:
    """All connections."""
    found = []
    for one in office.connections.values():
        places = [
            f"{key}: {value}"
            for key, value in one.settings.items()
            if key.endswith(("_file", "_env")) and value
        ]
        address = next(
            (str(value) for key, value in one.settings.items() if key.endswith("_url") and value), ""
        )
        found.append(
            ConnectionRow(
                one.name,
                one.kind,
                _users_of(office, one.name),
                ", ".join(places),
                address,
                one.kind in CRM_KINDS,
            )
        )
    return found


def _users_of(office: Office, connection: str) -> tuple[str, ...]:
    return tuple(one.name for one in office.policies.values() if connection in {one.crm, one.mailbox})


def next_runs(settings: Mapping[str, Any], now_ms: int, count: int = 5) -> list[int]:
    """When full syncs would begin with these settings, if each took no time: epoch milliseconds; empty when never.

    Settings that are not right yet have no next run.
    """
    try:
        scheduling = policy_from_doc("draft", settings).scheduling
    except ConfigErrors:
        return []
    found: list[int] = []
    at = now_ms
    while len(found) < count:
        due = next_due(scheduling, at)
        if due.at_ms is None:
            break
        found.append(due.at_ms)
        at = due.at_ms
    return found


# -- saying ----------------------------------------------------------------------------------------------


def what_happens(office: Office, command: Editing) -> tuple[str, ...]:
    """What a command is about to do, for the confirmation."""
    match command:
        case DeletePolicy(policy):
            row = office.store.policies[policy]
            return (
                f"The policy {policy} is forgotten, with its settings and its {words.count(row.users, 'user', 'users')}.",
                f"{row.items:,} items that were synced stay in the mailboxes and in the CRM; nothing syncs them any more.",
                "To remove what Syncline made in the mailboxes, press L before you delete.",
                "A user who is added to a policy again is matched with what is there; nothing is made twice.",
            )
        case RemoveUsers(policy, emails):
            items = sum(office.store.users[each].items for each in emails if each in office.store.users)
            return (
                f"{_listed(list(emails))} {'leaves' if len(emails) == 1 else 'leave'} the policy {policy}.",
                f"{items:,} items that were synced stay where they are; nothing syncs them any more.",
            )
        case DeleteConnection(name):
            return (f"The connection {name} is forgotten. Its key file or variable stays where it is.",)
        case _:
            return ()


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


# -- doing -----------------------------------------------------------------------------------------------


async def do(office: Office, keeper: Timekeeper, command: Editing) -> Answer:
    """Carry out a command on the configuration.

    Raises:
        KeyError: its object no longer exists.
    """
    match command:
        case SavePolicy():
            return await _save_policy(office, keeper, command)
        case DeletePolicy():
            return await _delete_policy(office, keeper, command)
        case AddUsers():
            return await _add_users(office, keeper, command)
        case SetOperator():
            return await operators.set_operator(office, command)
        case ImportUsers():
            answer, stored = await operators.carry_out(office, command)
            if stored:
                await _rebuilt(office, keeper)
            return answer
        case RemoveUsers():
            return await _remove_users(office, keeper, command)
        case SetUser():
            return await _set_user(office, keeper, command)
        case SaveConnection():
            return await _save_connection(office, command)
        case DeleteConnection(name):
            used = _users_of(office, name)
            if used:
                return Answer(
                    False, f"{name} is used by {_listed(list(used))}; give that another connection first"
                )
            if name not in office.connections:
                raise KeyError(name)
            await office.ledger.write(units.drop_connection, name)
            del office.connections[name]
            await office.forget_connector(name)
            return Answer(True, f"the connection {name} is deleted")
        case TestConnection():
            return await _test(office, command)


def _refused(problems: tuple[form.FormProblem, ...]) -> Answer:
    count = words.count(len(problems), "field is", "fields are")
    told = tuple(f"{each.path or 'name'}: {each}" for each in problems)
    return Answer(False, f"nothing was saved: {count} not right; {told[0]}", told)


async def _save_policy(office: Office, keeper: Timekeeper, command: SavePolicy) -> Answer:
    name, new = command.policy.strip(), command.was is None
    stored = office.policies.get(name)
    kinds = {one.name: one.kind for one in office.connections.values()}
    others = tuple(each for each in office.policies if new or each != name)
    problems = form.check_policy(name, command.settings, kinds, others)
    if problems:
        return _refused(problems)
    if not new:
        if stored is None:
            return Answer(False, f"{name} was deleted meanwhile; nothing was saved")
        if policy_to_doc(stored) != dict(command.was or {}):
            return Answer(
                False, f"{name} was changed by somebody else meanwhile; nothing was saved. esc, then e shows it"
            )
    policy = policy_from_doc(name, command.settings)
    moved = stored is not None and (stored.crm, stored.mailbox) != (policy.crm, policy.mailbox)
    if moved and office.runner.running(name):
        return Answer(
            False, f"{name} is running; its connections can be changed when the run has ended (x stops it)"
        )
    await office.ledger.write(units.put_policy, name, policy_to_doc(policy), new=new)
    await office.ledger.write(conflict_units.ask_again)
    office.policies[name] = policy
    await _rebuilt(office, keeper)
    if new:
        return Answer(True, f"{name} is stored and off; J adds its users, o switches it on")
    follows = "the next full sync of each mailbox goes by it"
    if office.store.policies[name].state is not PolicyState.ENABLED:
        follows = "it is off; o switches it on"
    return Answer(True, f"{name} is stored; {follows}")


async def _delete_policy(office: Office, keeper: Timekeeper, command: DeletePolicy) -> Answer:
    name = command.policy
    row = office.store.policies[name]
    if row.state is not PolicyState.DISABLED:
        return Answer(False, f"{name} is on; o switches it off first")
    if office.runner.running(name) or keeper.running(VERIFY.prefix + name):
        return Answer(False, f"{name} is running; try again when the run has ended")
    if name in await ordering.leaving(office):
        return Answer(False, f"the mailboxes of {name} are being left; delete it when that has ended")
    left = await office.ledger.write(units.drop_policy, name, [FULL.prefix + name, VERIFY.prefix + name])
    del office.policies[name]
    await _rebuilt(office, keeper)
    return Answer(True, f"{name} is deleted, {words.count(left, 'user', 'users')} with it; their items stay")


async def _add_users(office: Office, keeper: Timekeeper, command: AddUsers) -> Answer:
    policy = command.policy
    problems = Collector()
    asked: list[Mapping[str, Any]] = [
        {
            "email": email,
            "policy": policy,
            **({"crm_user": crm_user} if crm_user else {}),
            **({"zone": zone} if zone else {}),
        }
        for email, crm_user, zone in command.users
    ]
    users = check_users(asked, office.policies, problems)
    if problems.problems:
        told = tuple(str(each) for each in problems.problems)
        return Answer(False, f"nobody was added: {told[0]}", told)
    here = [one.email for one in users if one.email in office.store.users]
    elsewhere = [each for each in here if office.store.users[each].policy != policy]
    if elsewhere:
        where = office.store.users[elsewhere[0]].policy
        return Answer(
            False,
            f"nobody was added: {_listed(elsewhere)} is in {where} already, and a mailbox has one policy; "
            "remove it there first",
        )
    fresh = [one for one in users if one.email not in here]
    if not fresh:
        return Answer(False, f"{_listed(here)} is in {policy} already" if here else "no address was given")
    if taken := next(filter(None, (_taken(office, policy, one.email, one.crm_user) for one in fresh)), ""):
        return Answer(False, f"nobody was added: {taken}")
    await office.ledger.write(units.add_users, [astuple(one) for one in fresh])
    await _rebuilt(office, keeper)
    on = office.store.policies[policy].state is PolicyState.ENABLED
    follows = "the first sync of each begins with the next run" if on else f"{policy} is off; o switches it on"
    return Answer(True, f"{words.count(len(fresh), 'user', 'users')} added to {policy}; {follows}")


def _taken(office: Office, policy: str, mailbox: str, crm_user: str) -> str:
    """Why a person of the CRM cannot be this mailbox's: another one has what is his; empty when it can."""
    others = (
        row.id
        for row in office.store.users.values()
        if crm_user and row.crm_user == crm_user and row.policy == policy and row.id != mailbox
    )
    other = next(others, "")
    why = f"{other} is {crm_user} already, and one mailbox receives what is that person's"
    return why if other else ""


async def _set_user(office: Office, keeper: Timekeeper, command: SetUser) -> Answer:
    row = office.store.users[command.mailbox]
    problems = Collector()
    asked: dict[str, Any] = {"email": command.mailbox, "policy": row.policy}
    asked |= {"crm_user": command.crm_user, "zone": command.zone}
    if not check_users([asked], office.policies, problems) or problems.problems:
        told = tuple(str(each) for each in problems.problems)
        return Answer(False, f"nothing was changed: {told[0]}", told)
    if taken := _taken(office, row.policy, command.mailbox, command.crm_user):
        return Answer(False, f"nothing was changed: {taken}")
    if office.runner.running(row.policy):
        return Answer(False, f"{row.policy} is running; try again when the run has ended")
    mailbox_id = office.mailbox_ids[command.mailbox]
    await office.ledger.write(
        mailboxes.set_mailbox, mailbox_id, crm_user=command.crm_user, zone=command.zone, fault_kind=""
    )
    row.crm_user, row.zone = command.crm_user, command.zone
    office.store.touch(Table.USERS, row)
    await _rebuilt(office, keeper)
    who = f"{command.crm_user} in the CRM" if command.crm_user else "found in the CRM by the address"
    return Answer(True, f"{command.mailbox} is {who}; the next cycle goes by it, r runs one now")


async def _remove_users(office: Office, keeper: Timekeeper, command: RemoveUsers) -> Answer:
    policy = command.policy
    if office.runner.running(policy):
        return Answer(
            False, f"{policy} is running; users can be removed when the run has ended (x stops a mailbox)"
        )
    mine = [each for each in command.mailboxes if each in office.store.users]
    if not mine:
        raise KeyError(next(iter(command.mailboxes), ""))
    if any(office.store.users[each].policy != policy for each in mine):
        return Answer(False, f"not all of them are users of {policy}; nobody was removed")
    await office.ledger.write(units.remove_users, mine)
    await _rebuilt(office, keeper)
    return Answer(True, f"{words.count(len(mine), 'user', 'users')} removed from {policy}; their items stay")


async def _save_connection(office: Office, command: SaveConnection) -> Answer:
    name, new = command.connection.strip(), command.was is None
    others = tuple(each for each in office.connections if new or each != name)
    problems = form.check_connection(name, command.kind, command.settings, others)
    if problems:
        return _refused(problems)
    stored = office.connections.get(name)
    if not new and (stored is None or dict(stored.settings) != dict(command.was or {})):
        return Answer(
            False, f"{name} was changed by somebody else meanwhile; nothing was saved. esc, then e shows it"
        )
    busy = [each for each in _users_of(office, name) if office.runner.running(each)]
    if busy:
        return Answer(False, f"{_listed(busy)} is running over it; save again when the run has ended")
    settings = _absolute(command.settings)
    await office.ledger.write(units.put_connection, name, command.kind, settings)
    office.connections[name] = Connection(name, command.kind, settings)
    await office.forget_connector(name)
    used = _users_of(office, name)
    follows = f"used by {_listed(list(used))}" if used else "no policy uses it yet"
    return Answer(True, f"the connection {name} is stored; {follows}")


def _absolute(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: str(Path(value).expanduser())
        if key.endswith("_file") and isinstance(value, str) and value
        else value
        for key, value in settings.items()
    }


async def _test(office: Office, command: TestConnection) -> Answer:
    """Test settings as they are typed: nothing is stored, and the connector lives for this test only."""
    name = command.connection or "this connection"
    problems = form.check_connection(name, command.kind, command.settings)
    if problems:
        told = tuple(f"{each.path or 'name'}: {each}" for each in problems)
        return Answer(False, f"it cannot be tested yet; {told[0]}", told)
    made = Connection(name, command.kind, _absolute(command.settings))
    crm = command.kind in CRM_KINDS
    account = None if crm else await _account(office, command)
    if not crm and account is None:
        return Answer(False, "a mail connection is tested with a mailbox: type its address")
    try:
        connector: Connector = connect_crm(made, office.net) if crm else connect_mailbox(made, office.net)
    except ProviderError as error:
        return Answer(False, f"{name}: {error.detail}. {error.advice}")
    try:
        findings = await connector.check(account)
    except ProviderError as error:
        findings = [Finding(False, error.kind.value, error.detail, error.advice)]
    finally:
        await connector.close()
    bad = [one for one in findings if not one.ok]
    with_whom = "" if account is None else f" with {account.email}"
    return Answer(
        not bad,
        f"{name}: {bad[0].check}: {bad[0].detail}"
        if bad
        else f"{name} works{with_whom}: {words.count(len(findings), 'check', 'checks')} passed",
        tuple(
            f"{'✓' if one.ok else '✗'} {one.check}: {one.detail}" + (f". {one.advice}" if one.advice else "")
            for one in findings
        ),
    )


async def _account(office: Office, command: TestConnection) -> Account | None:
    records = await office.ledger.read(mailboxes.mailboxes)
    if command.mailbox:
        found = next((one for one in records if one.email == command.mailbox), None)
        return account_of(found) if found is not None else Account(command.mailbox)
    mine = {policy.name for policy in office.policies.values() if policy.mailbox == command.connection}
    found = next((one for one in records if one.policy in mine), None)
    return None if found is None else account_of(found)


async def _rebuilt(office: Office, keeper: Timekeeper) -> None:
    """Rows of policies, users and jobs after a change."""
    await rows.build(office)
    await office.incidents.load()
    await keeper.build()
