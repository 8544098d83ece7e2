"""The configuration as a whole: applied, read again, written out; its users as a table; what its forms begin with."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

from engine.ledger import conflicts as conflict_units
from engine.ledger import jobs as job_units
from engine.ledger import mailboxes
from engine.model.config import ConfigErrors, Configuration, parse, policy_to_doc, resolved
from engine.model.config import export as as_toml
from engine.model.config_jobs import group_to_doc, job_to_doc
from engine.model.config_setup import setup_to_docs
from engine.model.job import SHIPPED
from engine.model.states import PolicyState
from engine.model.user_import import NotReadable, UserImport
from engine.monitor.actor import By
from engine.monitor.audited import lines_changed
from engine.monitor.commands import Answer, ImportUsers
from engine.runtime import editing, operators, words
from engine.runtime.editing import ConnectionDraft, ConnectionRow, PolicyDraft
from engine.runtime.jobdesk import stored_jobs
from engine.service.parts import Parts
from engine.service.views import ServiceError


async def apply(parts: Parts, text: str, source: str, by: By, *, folder: Path | None = None) -> Answer:
    """Store a whole declarative configuration; on any error nothing is changed and every error is told.

    Args:
        text: TOML, see ``docs/configuration.md``.
        source: the path of its file, for messages; relative paths in it start at its folder.
        by: who asks.
        folder: where relative paths start, if ``source`` is relative to another process's directory.
    """
    refused = await parts._refused(by, "apply", source)
    if refused:
        return Answer(False, refused)
    try:
        wanted = resolved(parse(text, source), folder or Path(source).absolute().parent)
    except ConfigErrors as errors:
        count = len(errors.problems)
        return Answer(
            False,
            f"{source}: {count} {'error' if count == 1 else 'errors'}, nothing was changed",
            tuple(str(problem) for problem in errors.problems),
        )
    busy = [name for name in parts._office.policies if parts._office.runner.running(name)]
    if busy:
        return Answer(
            False,
            f"{', '.join(busy)} is running; stop it or wait for its end, then apply again. Nothing was changed",
        )
    before = await export(parts)
    await parts._ledger.write(
        _store,
        wanted,
        [(one.name, one.kind, one.settings) for one in wanted.connections],
        [(one.name, policy_to_doc(one), wanted.enabled.get(one.name)) for one in wanted.policies],
        [astuple(one) for one in wanted.users],
        setup_to_docs(wanted.setup),
    )
    await parts._ledger.write(_forgive)
    await parts._ledger.write(conflict_units.ask_again)
    await parts._load()
    parts._mailman.again()
    parts._pusher.again()
    text = (
        f"{source}: {words.count(len(wanted.connections), 'connection', 'connections')}, {words.count(len(wanted.policies), 'policy', 'policies')}, "
        f"{words.count(len(wanted.users), 'user', 'users')} applied"
    )
    await parts._audit(by, "apply", source, text, *lines_changed(before, await export(parts)))
    return Answer(True, text)


async def reload(parts: Parts) -> Answer:
    """Read secrets and settings of connections again (SIGHUP): cycles that begin from now on use them."""
    parts._office.retire_connectors()
    text = "the connections are made anew; cycles that run keep those they have"
    await parts._audit("engine", "Reload", "connections", text)
    return Answer(True, text)


async def export(parts: Parts) -> str:
    """The stored configuration as TOML that ``apply`` takes."""
    office = parts._office
    records = await parts._ledger.read(mailboxes.mailboxes)
    stored = await parts._ledger.read(mailboxes.policies)
    groups, jobs = await stored_jobs(office)
    return as_toml(
        Configuration(
            connections=tuple(office.connections.values()),
            policies=tuple(office.policies.values()),
            enabled={record.name: record.state != PolicyState.DISABLED for record in stored},
            users=tuple(record.target for record in records),
            groups=groups,
            jobs=jobs,
            setup=office.setup,
        )
    )


def policy_draft(parts: Parts, name: str, copy_of: str = "") -> PolicyDraft:
    """What the form of a policy, of a copy of one, or of a new one (both empty) begins with.

    Raises:
        KeyError: there is no such policy.
    """
    return editing.policy_draft(parts._office, name, copy_of)


def connection_draft(parts: Parts, name: str, kind: str = "") -> ConnectionDraft:
    """What the form of a connection, or of a new one of a kind, begins with.

    Raises:
        KeyError: there is no such connection.
    """
    return editing.connection_draft(parts._office, name, kind)


def connections(parts: Parts) -> list[ConnectionRow]:
    """All connections, each with where its secret is kept."""
    return editing.connection_rows(parts._office)


async def preview_import(parts: Parts, command: ImportUsers) -> UserImport:
    """What an import of users would do; nothing is stored.

    Raises:
        ServiceError: the file is no table of users.
    """
    try:
        return await operators.preview(parts._office, command)
    except NotReadable as error:
        raise ServiceError(f"{command.source} {error}") from None


async def export_users(parts: Parts) -> str:
    """All users as a CSV file that an import takes."""
    return await operators.export(parts._office)


def _store(connection: Any, wanted: Configuration, *parts: Any) -> None:
    """Store a whole configuration in one transaction."""
    mailboxes.replace_configuration(connection, *parts)
    declared = {job.name: (job_to_doc(job.override) or None, job.enabled) for job in wanted.jobs}
    job_units.replace(
        connection,
        {group.name: group_to_doc(group) for group in wanted.groups},
        {name: declared.get(name, (None, None)) for name in SHIPPED},
    )


def _forgive(connection: Any) -> None:
    """A person has applied a configuration: what waited for a person is given another try."""
    for record in mailboxes.policies(connection):
        if record.fault:
            mailboxes.set_policy(connection, record.name, fault="", fault_class="")
    for user in mailboxes.mailboxes(connection):
        if user.fault_kind:
            mailboxes.set_mailbox(connection, user.id, fault_kind="")
