"""25: poison and truncated answers, short lists, missing versions, twins, taken ids and copied marks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.modules import Module, Side
from tests.acceptance.town import Town, assert_idle, day, engine, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import (
    PRIMARY,
    TINY,
    colour,
    crm_event,
    cycle,
    ours,
    record_of,
    settled,
    shown,
    until_quiet,
)
from tests.failure_cases.test_04_05_06_sources import MIRROR, away, mirror_policy, short
from tests.sync.test_cycle import moment
from tests.sync.world import A, World


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY | {"contacts": 6, "appointments": 6}) as running:
        yield running


async def test_25_one_unreadable_item_stops_nobody(place: Town, tmp_path: Path) -> None:
    """An event without times, version and text comes with the feed: everything else goes on, and nothing is lost."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR), clock=HastyClock()) as service:
        await until_quiet(place, service)
        poison = [{"id": "poison1", "status": "confirmed", "colorId": colour(place, user)}, {"id": "poison2"}]
        record = crm_event(place, user, "After poison", f"{day(12)}T09:00:00Z")
        contact = record_of(ours(place.contacts(user), "003")[0])
        place.change("Contact", contact, Title="Chief of Maps")
        place.fault(
            {
                "route": r"calendar\.events\.list$",
                "status": 200,
                "body": {"items": poison, "nextSyncToken": "nobody knows this"},
            }
        )
        await service.sync("Demo", "admin")
        assert shown(place, user, record)["summary"] == "After poison"
        assert "Chief of Maps" in str(place.contacts(user))
        for _ in range(3):
            report = await service.sync("Demo", "admin")
        assert_idle(report)
        await settled(place, service)


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_25_a_list_that_is_capped_in_silence_deletes_nothing(where: str) -> None:
    """The first read is short, a later one is whole, a third one short again."""
    world = await World(policy=mirror_policy()).start()
    for number in range(60):
        world.crm.add(A, Module.CONTACT, given="N", family=f"F{number:03d}")
    provider = world.crm if where == "crm" else world.mail
    whole = provider.changes

    def cap(scope: object, cursor: str | None) -> object:
        return short(whole(scope, cursor), 25)  # type: ignore[arg-type]

    for capped in (True, False, True, False):
        provider.changes = cap if capped else whole  # type: ignore[method-assign, assignment]
        away(world, 1)
        await world.settle(2)
    assert not [line for line in world.mail.log + world.crm.log if line.startswith("delete")]
    assert len(world.names(Side.MAILBOX)) == len(world.names(Side.CRM)) == 60
    await world.check()


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_25_items_without_a_version_are_read_all_the_same(where: str) -> None:
    world = await World().start()
    provider = world.crm if where == "crm" else world.mail
    show = provider.show
    provider.show = lambda thing: replace(show(thing), etag=None)  # type: ignore[method-assign]
    world.crm.add(A, Module.CONTACT, given="Cara", family="crm")
    world.mail.add(A, Module.CONTACT, given="Mo", family="mail")
    world.crm.add(A, Module.APPOINTMENT, subject="crm", start=moment(25), end=moment(25, 10))
    world.mail.add(A, Module.APPOINTMENT, subject="mail", start=moment(26), end=moment(26, 10))
    await world.settle(3)
    for module in (Module.CONTACT, Module.APPOINTMENT):
        assert world.names(Side.CRM, A, module) == world.names(Side.MAILBOX, A, module) == ["crm", "mail"]
    writes = len(world.crm.log) + len(world.mail.log)
    await world.settle(3)
    assert len(world.crm.log) + len(world.mail.log) == writes


@pytest.mark.parametrize("where", ["crm", "mail", "both"])
async def test_25_two_items_of_one_key_lose_nothing_and_keep_still(where: str) -> None:
    """Two people with one address, two meetings with one name at one time: none is taken for the other and dropped."""
    world = await World(policy=mirror_policy()).start()
    made = 0
    for provider in (world.crm, world.mail):
        if where in ("both", "crm" if provider is world.crm else "mail"):
            for name in ("one", "two"):
                provider.add(A, Module.CONTACT, given=name, family="Twin", email="twin@x.test")
                provider.add(
                    A, Module.APPOINTMENT, subject="Twin", body=name, start=moment(25), end=moment(25, 10)
                )
            made += 1
    await world.settle(4)
    assert not [line for line in world.mail.log + world.crm.log if line.startswith("delete")]
    for module, field in ((Module.CONTACT, "given"), (Module.APPOINTMENT, "body")):
        for provider in (world.crm, world.mail):
            found = [one.fields.get(field) for one in provider.of(A, module)]
            if where in ("both", "crm" if provider is world.crm else "mail"):
                assert sorted(map(str, found)) == ["one", "two"], module
            assert len(found) <= 2, module
    writes = len(world.crm.log) + len(world.mail.log)
    await world.settle(3)
    assert len(world.crm.log) + len(world.mail.log) == writes


async def test_25_an_id_that_a_deleted_event_has_taken_is_no_dead_end(place: Town, tmp_path: Path) -> None:
    """The event was deleted in the mailbox and the ledger is lost: the same key meets its own tombstone, again and again."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        record = record_of(next(one for one in ours(place.events(user), "00U") if "recurrence" not in one))
    for turn in range(3):
        place.google(user, "DELETE", f"{PRIMARY}/{shown(place, user, record)['id']}")
        async with engine(tmp_path / str(turn), place.config(policy="enabled = true")) as service:
            await cycle(service)
            assert shown(place, user, record)["status"] == "confirmed"
            await settled(place, service)


async def test_25_a_copy_that_carries_our_mark_costs_nobody_his_original(place: Town, tmp_path: Path) -> None:
    """A person copies an event and a contact with all that is on them, later deletes the copies: the originals stay."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR)) as service:
        await cycle(service)
        await cycle(service)
        event = next(one for one in ours(place.events(user), "00U") if "recurrence" not in one)
        person = ours(place.contacts(user), "003")[0]
        kept = ("summary", "start", "end", "colorId", "extendedProperties", "location", "description")
        body = {name: event[name] for name in kept if name in event}
        copy = place.google(user, "POST", PRIMARY, json=body)
        fields = {name: person[name] for name in ("names", "clientData", "memberships") if name in person}
        bare = {
            name: [{key: value for key, value in one.items() if key != "metadata"} for one in entries]
            for name, entries in fields.items()
        }
        twin = place.google(user, "POST", "v1/people:createContact", json=bare)

        def originals() -> None:
            assert place.google(user, "GET", f"{PRIMARY}/{event['id']}")["status"] == "confirmed"
            assert place.contact(user, person["resourceName"])["names"]
            for name, item in (("Event", event), ("Contact", person)):
                assert len(place.soql(f"SELECT Id FROM {name} WHERE Id = '{record_of(item)}'")) == 1

        for _ in range(3):
            await service.sync("Demo", "admin")
            originals()
        place.change("Event", record_of(event), Location="Upstairs")
        place.change("Contact", record_of(person), Title="Chief of Maps")
        await service.sync("Demo", "admin")
        assert place.google(user, "GET", f"{PRIMARY}/{event['id']}")["location"] == "Upstairs"
        assert "Chief of Maps" in str(place.contact(user, person["resourceName"]))
        place.google(user, "DELETE", f"{PRIMARY}/{copy['id']}")
        place.google(user, "DELETE", f"v1/{twin['resourceName']}:deleteContact")
        for _ in range(3):
            await service.sync("Demo", "admin")
        originals()
        await settled(place, service)
