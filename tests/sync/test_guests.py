"""The guest-mail guard: nobody is mailed in a first sync, and no cycle mails more guests than its budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.ledger import guests as units
from engine.ledger import waiting
from engine.ledger.fence import Fence
from engine.ledger.fence import epoch as epoch_of
from engine.model.modules import Module
from engine.model.policy import Attendees, CalendarSettings, Policy
from engine.model.port import Scope, Write
from engine.sync.guests import over_budget
from tests.sync.test_cycle import moment
from tests.sync.world import A, World

INVITING = Policy("sales", "crm", "mail", calendar=CalendarSettings(attendees=Attendees.INVITED))


def people(*names: str) -> list[dict[str, object]]:
    return [
        {"email": f"{name}@guests.example", "name": None, "status": "none", "optional": False} for name in names
    ]


class Post(World):
    """A world that counts the guests whom the mail system mails."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy=policy)
        self.posted: list[tuple[str, int]] = []

        def watch(point: str, _scope: Scope | None, write: Write | None) -> None:
            if point == "write" and write is not None and write.notify:
                known = self.mail.shelf(f"{A}/calendar").now.get(write.remote_id)
                fields = {**(known.fields if known is not None else {}), **write.fields}
                guests = [one for one in fields.get("attendees") or () if one["email"] != A]
                self.posted.append((write.kind.value, len(guests)))

        self.mail.faults = watch

    def meeting(self, subject: str, day: int, *names: str, **more: object) -> str:
        fields = {"start": moment(day, 9), "end": moment(day, 10), "attendees": people(*names) or None}
        return self.crm.add(A, Module.APPOINTMENT, subject=subject, **{**fields, **more})

    async def waits(self) -> list[waiting.Waiting]:
        mailbox = (await self.mailbox(A)).id
        return [one for one in await self.ledger.read(waiting.listed, [mailbox]) if one.kind == "guests"]

    async def fence(self) -> Fence:
        mailbox = (await self.mailbox(A)).id
        return Fence("sales", mailbox, await self.ledger.read(epoch_of, "sales", mailbox))


async def post(budget: int = 50, policy: Policy = INVITING) -> Post:
    world = Post(replace(policy, guest_mail_budget=budget))
    await world.start()
    return world


async def test_a_first_sync_mails_nobody_and_later_cycles_mail_what_guests_should_know() -> None:
    world = await post()
    first = world.meeting("Kick-off", 3, "ann", "ben")
    await world.settle(1)
    assert len(world.mail.of(A, Module.APPOINTMENT)) == 1
    assert world.posted == []
    world.crm.edit("Event", first, subject="Kick-off 2")
    await world.settle(1)
    assert world.posted == [], "a new title is not worth a mail"
    world.crm.edit("Event", first, location="Room 2")
    world.meeting("Review", 4, "cid")
    world.meeting("Alone", 5)
    await world.settle(1)
    assert sorted(world.posted) == [("create", 1), ("update", 2)]
    world.crm.delete("Event", first)
    await world.settle(1)
    assert world.posted[-1] == ("delete", 2)


@pytest.mark.parametrize("attendees", [Attendees.LISTED, Attendees.UNSHARED])
async def test_other_modes_mail_nobody(attendees: Attendees) -> None:
    world = await post(policy=replace(INVITING, calendar=CalendarSettings(attendees=attendees)))
    await world.settle(1)
    item = world.meeting("Review", 4, "cid")
    await world.settle(1)
    world.crm.edit("Event", item, location="Room 2")
    await world.settle(1)
    assert world.posted == []


async def test_what_is_beyond_the_budget_waits_and_the_rest_goes_on() -> None:
    world = await post(budget=5)
    await world.settle(1)
    for number in range(4):
        world.meeting(f"Meeting {number}", 3 + number, "ann", "ben")
    world.meeting("Alone", 9)
    await world.settle(1)
    assert sum(count for _, count in world.posted) == 4
    assert world.names(world.mail.side, module=Module.APPOINTMENT) == ["Alone", "Meeting 0", "Meeting 1"]
    waits = await world.waits()
    assert [(one.guests, one.fields["subject"]) for one in waits] == [(2, "Meeting 2"), (2, "Meeting 3")]
    assert "beyond the 5" in waits[0].reason
    await world.settle(2)
    assert sum(count for _, count in world.posted) == 4, "waiting is no reason to try again"


async def test_an_admin_lets_them_go_out_with_or_without_mail_or_not_at_all() -> None:
    world = await post(budget=0)
    await world.settle(1)
    for name in ("Mailed", "Quiet", "Given up"):
        world.meeting(name, 3, "ann", "ben", location=name)
    await world.settle(1)
    ids = {one.fields["subject"]: one.id for one in await world.waits()}
    fence = await world.fence()
    await world.ledger.write(units.decide, fence, [ids["Mailed"]], units.INVITED)
    await world.ledger.write(units.decide, fence, [ids["Quiet"]], units.QUIET)
    await world.ledger.write(units.discard, fence, [ids["Given up"]], world.clock.ms)
    await world.settle(2)
    assert world.names(world.mail.side, module=Module.APPOINTMENT) == ["Mailed", "Quiet"]
    assert world.posted == [("create", 2)]
    assert await world.waits() == []
    # A decision counts once: what changes later is asked about again.
    mailed = next(one for one in world.crm.of(A, Module.APPOINTMENT) if one.fields["subject"] == "Mailed")
    world.crm.edit("Event", mailed.id, location="Elsewhere")
    await world.settle(1)
    assert [one.fields["subject"] for one in await world.waits()] == ["Mailed"]
    assert world.posted == [("create", 2)]


async def test_more_guests_than_the_admin_saw_are_asked_about_again() -> None:
    world = await post(budget=0)
    await world.settle(1)
    item = world.meeting("Mailed", 3, "ann")
    await world.settle(1)
    [waits] = await world.waits()
    await world.ledger.write(units.decide, await world.fence(), [waits.id], units.INVITED)
    world.crm.edit("Event", item, attendees=people("ann", "ben", "cid"))
    await world.settle(1)
    assert world.posted == []
    assert [one.guests for one in await world.waits()] == [3]


async def test_an_item_that_changes_while_it_waits_is_planned_afresh() -> None:
    world = await post(budget=0)
    await world.settle(1)
    item = world.meeting("Mailed", 3, "ann")
    await world.settle(1)
    world.crm.edit("Event", item, attendees=None)
    await world.settle(1)
    assert await world.waits() == []
    assert world.names(world.mail.side, module=Module.APPOINTMENT) == ["Mailed"]
    assert world.posted == []


def test_the_budget_is_spent_in_order_and_never_exceeded() -> None:
    assert over_budget([(1, 3), (2, 3), (3, 2), (4, 1)], 5) == [2, 4]
    assert over_budget([(1, 3)], 5, spent=3) == [1]
    assert over_budget([(1, 1)], 0) == [1]
