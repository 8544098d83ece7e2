"""Changing users in bulk: Calendar Sync and Exchange e-mail of operators, and users from a CSV file, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace

from engine.ledger import mailboxes
from engine.model.config import check_users
from engine.model.config_problems import Collector
from engine.model.incident import IncidentKind
from engine.model.policy import TargetUser
from engine.model.user_import import FIELDS, NotReadable, UserImport, read_users, write_users
from engine.monitor.commands import Answer, ImportUsers, SetOperator
from engine.monitor.store import Table
from engine.runtime import words
from engine.runtime.office import Office


async def users(office: Office) -> list[TargetUser]:
    """All users as the configuration declares them."""
    return [record.target for record in await office.ledger.read(mailboxes.mailboxes)]


async def preview(office: Office, command: ImportUsers) -> UserImport:
    """What an import would do; nothing is stored.

    Raises:
        NotReadable: the file is no table of users.
    """
    return read_users(
        command.content,
        await users(office),
        list(office.policies),
        mapping=dict(command.mapping),
        policy=command.policy,
    )


async def export(office: Office) -> str:
    """All users as a CSV file that an import takes."""
    return write_users(await users(office))


async def set_operator(office: Office, command: SetOperator) -> Answer:
    """Change what operators are synchronised with.

    Raises:
        KeyError: one of them is no user any more.
    """
    if command.exchange_email is not None and len(command.mailboxes) != 1:
        return Answer(False, "an Exchange e-mail belongs to one user alone; nothing was changed")
    everybody = await users(office)
    present = {user.email: user for user in everybody}
    for one in command.mailboxes:
        if one not in present:
            raise KeyError(one)
    changed: list[TargetUser] = []
    for one in command.mailboxes:
        before = present[one]
        after = before
        if command.calendar_sync is not None:
            after = replace(after, calendar_sync=command.calendar_sync)
        if command.exchange_email is not None:
            after = replace(after, exchange_email=command.exchange_email.strip())
        if after != before:
            changed.append(after)
    if not changed:
        return Answer(False, "it is so already; nothing was changed")
    if command.exchange_email is not None and office.runner.running(changed[0].policy):
        # Another mailbox begins anew; a cycle that still reads the old one would mix the two.
        return Answer(
            False,
            f"{changed[0].policy} is running; the mailbox can be changed when the run has ended (x stops it)",
        )
    problem, valid = _problem(office, everybody, changed)
    if problem:
        return Answer(False, f"nothing was changed: {problem}")
    await office.ledger.write(mailboxes.put_users, [astuple(one) for one in valid])
    for after in valid:
        row = office.store.users[after.email]
        row.calendar_sync, row.exchange_email = after.calendar_sync, after.exchange_email
        office.store.touch(Table.USERS, row)
    if command.calendar_sync is False:  # no job serves them any more
        await office.incidents.dismiss(IncidentKind.JOB, *(one.email for one in valid))
    who = valid[0].email if len(valid) == 1 else words.count(len(valid), "operator", "operators")
    if command.calendar_sync is not None:
        return Answer(True, f"Calendar Sync of {who} is {'on' if command.calendar_sync else 'off'}")
    shown = valid[0].exchange_email or f"{valid[0].email}, the own address"
    return Answer(True, f"Exchange e-mail of {who}: {shown}; the next cycle reads that mailbox anew")


def _problem(
    office: Office, everybody: Sequence[TargetUser], changed: Sequence[TargetUser]
) -> tuple[str, list[TargetUser]]:
    """The first thing wrong with changed users, by the rules of the configuration file, and the users as these read them."""
    mine = {user.email for user in changed}
    whole = [*(user for user in everybody if user.email not in mine), *changed]
    problems = Collector()
    usual = TargetUser("", "")
    found = check_users(
        [
            {
                name: value
                for name in FIELDS
                if (value := getattr(user, name)) != getattr(usual, name) or name in {"email", "policy"}
            }
            for user in whole
        ],
        office.policies,
        problems,
    )
    told = [str(one).partition(".")[2] for one in problems.problems]
    return (told[0] if told else ""), [user for user in found if user.email in mine]


async def carry_out(office: Office, command: ImportUsers) -> tuple[Answer, bool]:
    """Store what a file declares, all or nothing. Returns the answer, and whether something was stored."""
    try:
        found = await preview(office, command)
    except NotReadable as error:
        return Answer(False, f"{command.source} {error}; nothing was changed"), False
    if found.rejects:
        lines = tuple(
            f"line {one.line}: {one.field or 'row'}"
            + (f": {one.value}" if one.value else "")
            + f": {one.reason}"
            for one in found.rejects
        )
        count = words.count(len(found.rejects), "cell is", "cells are")
        return Answer(False, f"{command.source}: {count} not right, nothing was changed", lines), False
    if not found.users:
        return Answer(
            True, f"{command.source}: all {found.same:,} users are so already; nothing was changed"
        ), False
    moved = [change for change in found.changes if {"policy", "exchange_email"} & set(change.fields)]
    busy = {
        str(policy)
        for change in moved
        for policy in change.fields.get("policy", (change.user.policy,))
        if office.runner.running(str(policy))
    }
    if busy:
        names = ", ".join(sorted(busy))
        return Answer(
            False,
            f"{names} is running, and users would leave or join it, or change their mailbox; "
            "try again when it has ended",
        ), False
    await office.ledger.write(mailboxes.put_users, [astuple(one) for one in found.users])
    text = (
        f"{command.source}: {words.count(len(found.adds), 'user', 'users')} added, {len(found.changes):,} changed, "
        f"{found.same:,} as before"
    )
    return Answer(True, text), True
