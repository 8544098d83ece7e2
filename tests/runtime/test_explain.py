"""Explain this item: one answer for everything that can become of an item, and nothing written by asking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engine.jobs.queue import EmbeddedQueue, Priority
from engine.ledger.schema import item, metadata
from engine.model.modules import Direction, Module
from engine.model.policy import (
    CalendarSettings,
    DeleteMode,
    DeleteSafety,
    DeleteThreshold,
    ModuleSettings,
    Policy,
    PrivateItems,
)
from engine.model.port import CreateKey
from engine.monitor.explain import Explanation, Item
from engine.monitor.fold import Fold
from engine.monitor.store import Store
from engine.runtime import rows
from engine.runtime.explain import explain, filtered
from engine.runtime.office import Office
from tests.sync.fakes import place_of
from tests.sync.world import A, B, World, faulty

CONTACTS = f"{A}/{place_of(Module.CONTACT)}"


async def office_of(world: World) -> Office:
    """The office of an engine on a world's ledger and providers."""
    store = Store()
    office = Office(world.ledger, world.clock, store, Fold(store), EmbeddedQueue())
    office.policies = {world.policy.name: world.policy}
    office._crm, office._mailbox = {"crm": world.crm}, {"mail": world.mail}  # type: ignore[dict-item]
    await rows.build(office)
    return office


async def ask(world: World, query: str, mailbox: str | None = None) -> Explanation:
    """Ask, and make sure that asking changes nothing anywhere."""
    office = await office_of(world)
    before = await dump(world), list(world.crm.calls), list(world.mail.calls)
    found = await explain(office, query, mailbox)
    assert (await dump(world), world.crm.calls, world.mail.calls) == before
    json.dumps(asdict(found))
    return found


async def dump(world: World) -> list[Any]:
    def read(connection: sa.Connection) -> list[Any]:
        return [tuple(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]

    return await world.ledger.read(read)


def only(found: Explanation) -> Item:
    assert found.item is not None, found
    return found.item


def text(one: Item) -> str:
    """All that is said."""
    lines = [one.answer]
    lines += [
        f"{each.label}|{each.crm}|{each.agreed}|{each.mailbox}|{each.differs}|{each.plan}"
        for each in one.fields
    ]
    for section in one.sections:
        lines.append(section.title)
        lines += [f"{fact.label}: {fact.text}" for fact in section.facts]
    return "\n".join(lines)


def section(one: Item, title: str) -> str:
    return "\n".join(
        f"{fact.label}: {fact.text}"
        for each in one.sections
        if each.title.startswith(title)
        for fact in each.facts
    )


async def settled(policy: Policy | None = None, **more: Any) -> tuple[World, str]:
    """A world with one contact on both sides."""
    world = World(policy=policy, **more)
    ann = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@acme.example", title="Buyer")
    await world.start()
    await world.settle()
    return world, ann


def twin_of(world: World) -> str:
    return world.mail.of(A, Module.CONTACT)[0].id


async def test_an_item_in_step_by_every_way_of_asking() -> None:
    world, ann = await settled()
    answers = [
        only(await ask(world, query))
        for query in ("#1", "1", ann, twin_of(world), "ann@acme.example", "lee ANN")
    ]
    assert {one.hit.link for one in answers} == {1}
    one = answers[0]
    assert one.answer == "In step: both sides show what was agreed, and nothing is to do."
    assert (one.hit.mailbox, one.hit.module, one.hit.name, one.policy) == (A, "contact", "Ann Lee", "sales")
    assert {each.label: (each.crm, each.agreed, each.mailbox) for each in one.fields}["job title"] == (
        "Buyer",
    ) * 3
    assert not any(each.differs or each.plan for each in one.fields)
    sides = section(one, "Both sides")
    assert f"CRM: there, id {ann}, in Contact" in sides
    assert "carries our mark" in sides
    assert "carries group:contact" in sides
    assert "create: in the mailbox: done" in section(one, "Work")
    assert "create: mailbox: new in the CRM" in section(one, "Journal")
    assert "both ways" in section(one, "Rules")
    assert f"{A}: idle; last cycle that ended well: " in section(one, "Its mailbox")
    assert "The engine is not running" in section(one, "Its mailbox")


async def test_an_edit_that_waits_shows_who_differs_and_what_is_planned() -> None:
    world, ann = await settled()
    world.crm.edit("Contact", ann, title="Chief buyer")
    with faulty(world.mail, lambda point, *_: "unavailable" if point == "apply" else None):
        await world.cycle()
    one = only(await ask(world, ann))
    title = next(each for each in one.fields if each.name == "title")
    assert (title.crm, title.agreed, title.mailbox) == ("Chief buyer", "Buyer", "Buyer")
    assert (title.differs, title.plan) == ("crm", "to the mailbox")
    assert "update: job title; job title changed in the CRM; only if it still is version" in section(
        one, "Planned"
    )


async def test_who_won_and_what_was_lost_is_in_the_journal() -> None:
    world, ann = await settled()
    world.crm.edit("Contact", ann, title="From the CRM")
    world.mail.edit(CONTACTS, twin_of(world), title="From the mailbox")
    await world.settle()
    one = only(await ask(world, ann))
    told = section(one, "Journal")
    assert "conflict: CRM: both sides differed; the mailbox was changed last" in told
    assert "job title: From the CRM → From the mailbox" in told


async def test_a_refused_item_says_what_the_provider_said_and_when_it_comes_back() -> None:
    world, ann = await settled()
    world.crm.edit("Contact", ann, title="Refused")
    with faulty(world.mail, lambda point, *_: "rejected" if point == "write" else None):
        await world.cycle()
        one = only(await ask(world, ann))
        assert one.answer.startswith("Refused 1 time in a row: this value is not allowed. It is tried again ")
        assert "in 30 s" in one.answer
        assert one.tone == "fault"
        assert "update: in the mailbox: refused" in section(one, "Work")
        for _ in range(8):
            world.clock.ms += 3_600_000
            await world.cycle()
    one = only(await ask(world, ann))
    assert one.answer.startswith("In quarantine after it was refused too often: this value is not allowed.")
    assert "update: job title" in section(one, "Planned")


async def test_a_held_twin_names_its_reason_and_its_twin() -> None:
    world = World()
    world.crm.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@acme.example")
    world.mail.add(A, Module.CONTACT, own=True, given="Ann", family="Lee", email="ann@acme.example")
    await world.start()
    await world.settle()
    found = await ask(world, "ann@acme.example")
    states = {hit.state: hit for hit in found.hits}
    assert set(states) == {"held", "own"}
    assert states["own"].name == "the person's own item"
    one = only(await ask(world, f"#{states['held'].link}"))
    assert (
        "Held, and waits for you: the mailbox already has an item of its own with the same e-mail" in one.answer
    )
    assert "own item: the same e-mail address" in section(one, "Possible twins")
    assert "held: the mailbox already has an item" in section(one, "Planned")
    own = only(await ask(world, states["own"].remote_id))
    assert "stays in the mailbox" in own.answer


async def test_a_held_delete_and_a_tombstone() -> None:
    safety = DeleteSafety(contacts=DeleteThreshold(0, 100))
    world, ann = await settled(Policy("sales", "crm", "mail", delete_safety=safety))
    world.crm.delete("Contact", ann)
    await world.cycle()
    one = only(await ask(world, "#1"))
    assert one.answer.startswith("Its delete in the mailbox is held and waits for you: 1 deletes, more than")
    assert "delete: in the mailbox: held" in section(one, "Work")
    world, ann = await settled()
    world.crm.delete("Contact", ann)
    await world.settle()
    one = only(await ask(world, "#1"))
    assert one.answer.startswith("Gone on both sides")
    assert "mailbox: deleted" in section(one, "Both sides")


async def test_kept_on_one_side_by_the_policy() -> None:
    world, _ = await settled(Policy("sales", "crm", "mail", mailbox_deletes=DeleteMode.NEVER))
    world.mail.delete(CONTACTS, twin_of(world))
    await world.settle()
    one = only(await ask(world, "#1"))
    assert one.answer.startswith("Stays in the CRM: deleted in one place; the policy keeps it in the other.")
    assert "mailbox to CRM: never" in section(one, "Rules")


async def test_a_direction_and_a_filter_are_named() -> None:
    one_way = {
        **dict(Policy("p", "c", "m").modules),
        Module.CONTACT: ModuleSettings(direction=Direction.TO_MAILBOX),
    }
    world = World(policy=Policy("sales", "crm", "mail", modules=one_way))
    mine = world.mail.add(A, Module.CONTACT, given="Bo", family="New", email="bo@acme.example")
    old = world.crm.add(A, Module.APPOINTMENT, subject="Old times", start=moment(-100), end=moment(-100))
    await world.start()
    await world.settle()
    one = only(await ask(world, mine))
    assert "Stays in the mailbox: the policy's direction keeps it on its side" in one.answer
    assert "CRM to mailbox only" in section(one, "Rules")
    one = only(await ask(world, old))
    assert "Stays in the CRM: ended more than 45 days ago" in one.answer
    assert "filters: ended more than 45 days ago" in section(one, "Rules")


def moment(days: int) -> Mapping[str, Any]:
    """An all-day date so many days from the world's first day (18 November 2026)."""
    return {"date": (date(2026, 11, 18) + timedelta(days=days)).isoformat()}


async def test_what_is_filtered_is_counted_by_reason_and_listed_page_by_page() -> None:
    private = CalendarSettings(private=PrivateItems.SKIP)
    world = World(policy=Policy("sales", "crm", "mail", calendar=private), people=(A, B))
    for number in range(5):
        world.crm.add(A, Module.APPOINTMENT, subject=f"Old {number}", start=moment(-100), end=moment(-100))
    world.crm.add(A, Module.APPOINTMENT, subject="Doctor", private=True, start=moment(1), end=moment(2))
    world.crm.add(B, Module.APPOINTMENT, subject="Of Bob", start=moment(-100), end=moment(-100))
    world.mail.add(A, Module.CONTACT, own=True, given="Mum", family="Lee")
    await world.start()
    await world.settle()
    office = await office_of(world)
    page = await filtered(office, A, None, None, 0, 4)
    assert [(one.kind, one.module, one.reason, one.count) for one in page.counts] == [
        ("filtered", "appointment", "ended more than 45 days ago", 5),
        ("filtered", "appointment", "private, and the policy leaves private items out", 1),
        ("own", "contact", "the person's own, outside the policy's groups and colours", 1),
    ]
    assert len(page.rows) == 4
    rest = await filtered(office, A, None, None, page.after or 0, 4)
    assert len(rest.rows) == 2
    assert rest.after is None
    names = [one.name for one in (*page.rows, *rest.rows)]
    assert sorted(names) == ["(private)", *(f"Old {number}" for number in range(5))]
    reason = "private, and the policy leaves private items out"
    assert [one.name for one in (await filtered(office, A, "appointment", reason, 0)).rows] == ["(private)"]


async def test_a_private_item_shows_no_value_and_is_not_found_by_its_words() -> None:
    world = World()
    secret = world.crm.add(
        A,
        Module.APPOINTMENT,
        subject="Divorce lawyer",
        body="call Jim",
        private=True,
        start=moment(1),
        end=moment(2),
    )
    await world.start()
    await world.settle()
    world.crm.edit("Event", secret, subject="Divorce judge")
    await world.settle()
    assert (await ask(world, "Divorce")).note
    one = only(await ask(world, secret))
    assert one.hit.name == "(private)"
    assert "Divorce" not in text(one)
    assert "Jim" not in text(one)
    assert "update: mailbox: subject changed in the CRM" in section(one, "Journal")


async def test_texts_of_others_are_not_shown_but_their_length() -> None:
    world, ann = await settled()
    world.crm.edit("Contact", ann, notes="a secret of 21 letters")
    await world.settle()
    one = only(await ask(world, ann))
    notes = next(each for each in one.fields if each.name == "notes")
    assert notes.crm == notes.mailbox == "22 characters"
    assert "secret" not in text(one)


async def test_several_that_fit_are_listed_to_choose_from() -> None:
    world = World(people=(A, B))
    for who in (A, B):
        world.crm.add(
            who, Module.CONTACT, given="Åsa", family="Öberg", email=f"asa@{who.split('@')[0]}.example"
        )
    await world.start()
    await world.settle()
    found = await ask(world, "åsa öberg")
    assert [(hit.mailbox, hit.name, hit.state) for hit in found.hits] == [
        (A, "Åsa Öberg", "live"),
        (B, "Åsa Öberg", "live"),
    ]
    assert only(await ask(world, "ÅSA", B)).hit.mailbox == B
    assert (await ask(world, "asa@ada.example")).item is not None


@pytest.mark.parametrize(
    "query", ["", "   ", "#99", "nobody@nowhere.example", "100%_~", "'; DROP TABLE item; --"]
)
async def test_what_fits_nothing_says_how_to_ask(query: str) -> None:
    world, _ = await settled()
    found = await ask(world, query)
    assert found.item is None
    assert not found.hits
    assert "an e-mail address, or words of its name" in found.note


async def test_a_module_that_was_switched_off_is_said() -> None:
    world, ann = await settled()
    off = {**dict(world.policy.modules), Module.CONTACT: ModuleSettings(enabled=False)}
    world.policy = replace(world.policy, modules=off)
    one = only(await ask(world, ann))
    assert "the policy sales does not sync contact items" in section(one, "Planned")
    assert "the module is off in the policy" in section(one, "Rules")


async def test_a_write_of_unknown_outcome_is_said_to_be_looked_for() -> None:
    world = World(mail_key=CreateKey.MARKER, lag=600)
    ann = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee")
    await world.start()
    with faulty(world.mail, lambda point, *_: "lost-after" if point == "write" else None):
        await world.cycle(Priority.ADMIN)
    one = only(await ask(world, ann))
    assert "was sent and its outcome is not known yet" in one.answer
    assert "looked for again" in section(one, "Work")
    assert len(await world.rows(sa.select(item))) >= 1
