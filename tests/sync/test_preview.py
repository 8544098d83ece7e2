"""A preview shows what a cycle would do, and changes nothing but what was read and the proposals themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from engine.jobs.errands import Selection, apply_errand, preview_errand
from engine.jobs.runner import PolicyRun
from engine.ledger import mailboxes, proposals
from engine.ledger.proposals import Proposal
from engine.ledger.schema import conflict, guard, intent, journal, link, mailbox
from engine.model.modules import Module, Side
from engine.model.policy import Attendees, CalendarSettings, ConflictRule, DeleteMode, Policy
from tests.sync.test_cycle import moment
from tests.sync.test_guests import people
from tests.sync.world import A, B, World

#: Whatever a preview may not change, beside what it reads: items, cursors, keys, work list.
UNTOUCHED = (guard, journal)


async def off(world: World) -> World:
    """The policy was never switched on."""
    await world.start()
    await world.ledger.write(mailboxes.set_policy, "sales", state="disabled")
    return world


async def run(world: World, errand: Any) -> PolicyRun:
    stop = asyncio.Event()
    server = asyncio.ensure_future(world.queue.serve(world.runner.handle, 2, stop))
    try:
        return await world.runner.run_errand(world.policy, errand)
    finally:
        stop.set()
        await server


async def preview(world: World, email: str = A) -> list[Proposal]:
    result = await run(world, preview_errand(None))
    assert result.faults == {}
    return await shown(world, email)


async def shown(world: World, email: str = A) -> list[Proposal]:
    return await world.ledger.read(proposals.lines, (await world.mailbox(email)).id)


async def apply(world: World, rows: list[Proposal], email: str = A) -> PolicyRun:
    return await run(world, apply_errand(Selection(ids={row.id for row in rows}), {email}))


def kinds(rows: list[Proposal]) -> Counter[str]:
    return Counter(row.kind for row in rows)


def writes(world: World) -> list[str]:
    return [*world.crm.log, *world.mail.log]


async def state(world: World) -> Any:
    """Everything that a preview must leave as it is."""
    rows = {table.name: await world.rows(sa.select(table).order_by(table.c.id)) for table in UNTOUCHED}
    rows["link"] = await world.rows(
        sa.select(link.c.id, link.c.state, link.c.base, link.c.reason, link.c.generation)
    )
    rows["intent"] = await world.rows(sa.select(intent).where(intent.c.state.not_in(proposals.STATES)))
    rows["mailbox"] = await world.rows(
        sa.select(mailbox.c.id, mailbox.c.phase, mailbox.c.structure, mailbox.c.containers, mailbox.c.scopes)
    )
    return rows


async def test_a_first_sync_is_previewed_without_enabling_or_writing_anything() -> None:
    world = await off(World())
    world.crm.add(A, Module.CONTACT, given="Ann", family="New", email="new@x.example")
    world.crm.add(A, Module.CONTACT, given="Tom", family="Twin", email="twin@x.example", title="Head")
    world.mail.add(
        A,
        Module.CONTACT,
        given="Tom",
        family="Twin",
        email="twin@x.example",
        phone_work={"raw": "1", "e164": None},
    )
    world.crm.add(A, Module.CONTACT, given="Own", family="Own", email="own@x.example")
    world.mail.add(A, Module.CONTACT, own=True, given="Own", family="Own", email="own@x.example")
    world.crm.add(
        A, Module.APPOINTMENT, subject="Kick-off", start=moment(3), end=moment(3, 10), attendees=people("ann")
    )
    before = writes(world)
    rows = await preview(world)
    assert writes(world) == before
    assert "ensure" not in world.mail.calls
    assert (await world.mailbox(A)).phase == "new"
    found = kinds(rows)
    assert found["create"] == 2
    assert found["merge"] == 2, "the twin takes what each side lacks, one line per side"
    assert found["hold"] == 1
    assert found["container"] > 0
    merge = {row.side: row for row in rows if row.kind == "merge"}
    assert merge["mailbox"].patch == {"title": "Head"}
    assert merge["mailbox"].before == {"title": None}
    assert merge["crm"].patch == {"phone_work": {"raw": "1", "e164": None}}
    hold = next(row for row in rows if row.kind == "hold")
    assert "of its own with the same e-mail address" in hold.why
    assert all(row.guests == 0 for row in rows), "a first sync mails nobody"


async def test_nothing_but_proposals_and_what_was_read_is_changed() -> None:
    world = await World(people=(A, B)).start()
    item = world.crm.add(A, Module.CONTACT, family="One", email="one@x.example")
    gone = world.crm.add(A, Module.CONTACT, family="Gone")
    world.crm.add(B, Module.TASK, subject="Call back")
    await world.settle(2)
    world.crm.edit("Contact", item, title="Chief")
    world.crm.delete("Contact", gone)
    world.mail.add(A, Module.TASK, subject="From the phone")
    # What a cycle reads first is a fact; here everything is read by a first preview.
    await preview(world)
    before, wrote = await state(world), writes(world)
    rows = await preview(world)
    assert await state(world) == before
    assert writes(world) == wrote
    assert kinds(rows) == {"update": 1, "delete": 1, "create": 1}
    update = next(row for row in rows if row.kind == "update")
    assert (update.side, update.patch, update.before) == ("mailbox", {"title": "Chief"}, {"title": None})


async def test_a_first_sync_does_what_its_preview_said() -> None:
    world = await off(World(people=(A, B)))
    for number in range(7):
        world.crm.add(A, Module.CONTACT, family=f"C{number}", email=f"c{number}@x.example")
        world.mail.add(B, Module.TASK, subject=f"T{number}")
    world.mail.add(A, Module.CONTACT, family="C1", email="c1@x.example")
    await preview(world)
    expected = Counter()
    for email in (A, B):
        for row in await shown(world, email):
            if row.kind == "create":
                expected[row.side] += 1
    await world.ledger.write(mailboxes.set_policy, "sales", state="enabled")
    await world.settle(2)
    await world.check()
    made = (
        Counter(line.split()[0] for line in world.mail.log),
        Counter(line.split()[0] for line in world.crm.log),
    )
    assert (made[0]["create"], made[1]["create"]) == (expected["mailbox"], expected["crm"])
    assert all(row.state == "outdated" for row in await shown(world) if row.kind != "container")


async def test_a_part_is_applied_and_the_policy_stays_as_it_was() -> None:
    world = await off(World())
    for number in range(4):
        world.crm.add(A, Module.CONTACT, family=f"C{number}", email=f"c{number}@x.example")
    world.crm.add(A, Module.TASK, subject="Call back")
    rows = await preview(world)
    chosen = [row for row in rows if row.patch.get("family") in {"C1", "C3"}]
    result = await apply(world, chosen)
    assert result.faults == {}
    assert world.names(Side.MAILBOX) == ["C1", "C3"]
    assert world.mail.of(A, Module.TASK) == []
    assert world.mail.made[A] == {"group:contact"}, "no lead, list or label is chosen"
    assert (await world.mailbox(A)).phase == "new"
    left = {row.patch.get("family") for row in await shown(world) if row.kind == "create"}
    assert left == {"C0", "C2", None}
    assert all(row.state == "proposed" for row in await shown(world) if row.kind == "create")
    # Enabled later, the rest follows and nothing is made twice.
    await world.ledger.write(mailboxes.set_policy, "sales", state="enabled")
    await world.settle(2)
    await world.check()
    assert world.names(Side.MAILBOX) == ["C0", "C1", "C2", "C3"]


async def test_a_twin_is_merged_when_its_row_is_applied() -> None:
    world = await off(World())
    world.crm.add(A, Module.CONTACT, family="Twin", email="twin@x.example", title="Head")
    world.mail.add(A, Module.CONTACT, family="Twin", email="twin@x.example")
    rows = await preview(world)
    await apply(world, [row for row in rows if row.kind == "merge"])
    [contact] = world.mail.of(A, Module.CONTACT)
    assert contact.fields["title"] == "Head"
    assert kinds(await shown(world))["merge"] == 0


async def test_what_changed_since_the_preview_is_left_alone_and_told() -> None:
    world = await off(World())
    one = world.crm.add(A, Module.CONTACT, family="One", email="one@x.example")
    two = world.crm.add(A, Module.CONTACT, family="Two", email="two@x.example")
    world.crm.add(A, Module.CONTACT, family="Three", email="three@x.example")
    rows = await preview(world)
    world.crm.edit("Contact", one, title="Chief")
    world.crm.delete("Contact", two)
    await apply(world, [row for row in rows if row.kind == "create"])
    assert world.names(Side.MAILBOX) == ["Three"]
    reasons = {row.patch["family"]: row.reason for row in await shown(world) if row.kind == "create"}
    assert reasons.keys() == {"One", "Two"}
    assert all(row.state == "outdated" for row in await shown(world) if row.kind == "create")
    assert "changed since the preview" in reasons["One"]


async def test_an_update_of_an_item_with_another_version_is_void() -> None:
    world = await World().start()
    item = world.crm.add(A, Module.CONTACT, family="One", email="one@x.example")
    await world.settle(2)
    world.crm.edit("Contact", item, title="Chief")
    rows = await preview(world)
    [mine] = world.mail.of(A, Module.CONTACT)
    world.mail.edit(f"{A}/contacts", mine.id, company="Acme")
    await apply(world, rows)
    assert world.mail.of(A, Module.CONTACT)[0].fields.get("title") is None
    [row] = await shown(world)
    assert (row.state, row.kind) == ("outdated", "update")
    await world.settle(2)
    await world.check()


async def test_deletes_beyond_the_threshold_are_shown_as_held_and_are_held_when_applied() -> None:
    world = await World().start()
    items = [world.crm.add(A, Module.CONTACT, family=f"C{n}", email=f"c{n}@x.example") for n in range(20)]
    await world.settle(2)
    for item in items[:10]:
        world.crm.delete("Contact", item)
    rows = await preview(world)
    assert {row.kind for row in rows} == {"delete"}
    assert all("more than the 25 %" in row.held for row in rows)
    await apply(world, rows)
    assert len(world.mail.of(A, Module.CONTACT)) == 20
    held = await world.rows(sa.select(intent).where(intent.c.state == "held"))
    assert len(held) == 10


async def test_guests_are_counted_and_those_beyond_the_budget_would_wait() -> None:
    policy = Policy(
        "sales", "crm", "mail", calendar=CalendarSettings(attendees=Attendees.INVITED), guest_mail_budget=3
    )
    world = await World(policy=policy).start()
    await world.settle(1)
    for number in range(3):
        world.crm.add(
            A,
            Module.APPOINTMENT,
            subject=f"M{number}",
            start=moment(3 + number),
            end=moment(3 + number, 10),
            attendees=people("ann", "ben"),
        )
    rows = await preview(world)
    assert [(row.guests, bool(row.held)) for row in rows] == [(2, False), (2, True), (2, True)]
    assert world.mail.mailed == 0
    [total] = await world.ledger.read(proposals.sums, [(await world.mailbox(A)).id])
    assert (total.items, total.held, total.guests) == (3, 2, 2)


async def test_a_new_preview_replaces_the_old_one_and_an_old_one_is_forgotten() -> None:
    world = await off(World())
    world.crm.add(A, Module.CONTACT, family="One")
    first = await preview(world)
    second = await preview(world)
    assert len(first) == len(second)
    assert {row.preview for row in first} & {row.preview for row in second} == set()
    await world.ledger.write(proposals.drop_old, world.clock.ms + 1)
    assert await shown(world) == []
    assert await world.ledger.read(proposals.previews, "sales") == []


async def test_a_feed_that_fails_is_told_and_the_rest_is_previewed() -> None:
    world = await off(World())
    world.crm.add(A, Module.CONTACT, family="One")
    world.crm.add(A, Module.TASK, subject="Call back")
    world.mail.faults = lambda point, scope, _write: (
        "unavailable" if point == "changes" and scope is not None and scope.key == "tasks" else None
    )
    await run(world, preview_errand(None))
    [record] = await world.ledger.read(proposals.previews, "sales")
    assert "tasks" in record.fault
    assert [row.module for row in await shown(world) if row.kind == "create"] == ["contact"]


async def test_a_series_and_its_changed_occurrence_are_paired_in_memory() -> None:
    world = await off(World())
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    master = {"subject": "Daily", "start": moment(3), "end": moment(3, 10), "rule": rule}
    crm = world.crm.add(A, Module.APPOINTMENT, **master)
    mail = world.mail.add(A, Module.APPOINTMENT, **master)
    start = moment(4)["utc"]
    for provider, where, item in ((world.crm, "Event", crm), (world.mail, f"{A}/calendar", mail)):
        thing = provider.shelf(where).now[item]
        fields = {"subject": "Daily moved", "start": moment(4, 15), "end": moment(4, 16)}
        provider._store(
            where, replace(thing, id=f"{item}_x", fields=fields, parent=item, occurrence=start, marker=None)
        )
    rows = await preview(world)
    assert kinds(rows)["merge"] == 2
    assert kinds(rows)["create"] == 0


@pytest.mark.parametrize("deletes", [DeleteMode.MIRROR])
async def test_a_preview_during_the_policys_life_blocks_no_cycle(deletes: DeleteMode) -> None:
    world = await World(policy=Policy("sales", "crm", "mail", mailbox_deletes=deletes)).start()
    await world.settle(1)
    world.crm.add(A, Module.CONTACT, family="One", email="one@x.example")
    await preview(world)
    await world.settle(2)
    await world.check()
    assert [row.state for row in await shown(world)] == ["outdated"]
    [total] = await world.ledger.read(proposals.sums, [(await world.mailbox(A)).id])
    assert (total.items, total.outdated) == (1, 1)


async def test_a_field_that_would_wait_for_an_admin_is_shown_and_nobody_is_asked_yet() -> None:
    policy = Policy("sales", "crm", "mail", conflict=ConflictRule.ASK)
    world = await World(policy=policy).start()
    for family in ("Lee", "Ray"):
        world.crm.add(A, Module.CONTACT, family=family, title="a")
    await world.settle(2)
    for number, thing in enumerate(world.mail.of(A, Module.CONTACT)):
        world.mail.edit(f"{A}/contacts", thing.id, title="m", **({"department": "R&D"} if number else {}))
    for thing in world.crm.of(A, Module.CONTACT):
        world.crm.edit("Contact", thing.id, title="c")
    rows = await preview(world)
    assert kinds(rows) == {"hold": 1, "update": 1}
    assert all("job title waits for you: both sides changed it" in row.why for row in rows)
    assert not await world.rows(sa.select(conflict))
    await apply(world, [row for row in rows if row.kind == "update"])
    assert {one.fields.get("department") for one in world.crm.of(A, Module.CONTACT)} == {None, "R&D"}
    assert [row.field for row in await world.rows(sa.select(conflict))] == ["title"]
    await world.settle(2)
    assert len(await world.rows(sa.select(conflict))) == 2
