"""CalendarSynchronization on a whole engine: window, lease, override, stop, trace, history, retries, and beside full syncs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import jobs as units
from engine.ledger.schema import dirty, link
from engine.ledger.store import StaleLease
from engine.model.modules import Module
from engine.service import (
    CALENDAR,
    DisableJob,
    EditJob,
    EnableJob,
    JobState,
    RemoveOverride,
    RunJob,
    RunRow,
    Service,
    StopJob,
    SyncNow,
    TraceJob,
    UserState,
)
from tests.clocks import AheadClock
from tests.ledgers import begun
from tests.runtime.test_freshness import FILE
from tests.sync.fakes import FakeCrm, FakeMail, VirtualClock, no_faults
from tests.sync.world import A, B

DAY = 86_400_000
JOBS = """
[access_groups.Reps]
policies = ["Sales"]
[jobs.CalendarSynchronization]
context = "Reps"
"""


class Company:
    """A running engine on fakes, whose calendars people fill by days from now."""

    def __init__(self, service: Service, clock: AheadClock, crm: FakeCrm, mail: FakeMail) -> None:
        self.service, self.clock, self.crm, self.mail = service, clock, crm, mail

    def at(self, days: float) -> dict[str, Any]:
        moment = datetime.fromtimestamp((self.clock.now_ms() + days * DAY) / 1000, UTC)
        return {"utc": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "zone": "UTC"}

    def meet(self, subject: str, days: float, email: str = A, **more: Any) -> str:
        """An appointment in the CRM that ends so many days from now."""
        start, end = self.at(days - 0.02), self.at(days)
        return self.crm.add(email, Module.APPOINTMENT, subject=subject, start=start, end=end, **more)

    def move(self, item: str, **fields: Any) -> None:
        self.crm.edit("Event", item, **fields)

    def shown(self, email: str = A) -> list[str]:
        return sorted(one.fields["subject"] for one in self.mail.of(email, Module.APPOINTMENT))

    async def full(self) -> None:
        await self.service.sync("Sales", "test")

    async def run(self, *, ok: bool = True) -> RunRow:
        """Run the job now, to its end."""
        answer = await self.service.do(RunJob(CALENDAR), "alice")
        assert answer.ok, answer
        async with asyncio.timeout(30):
            await self.service._timekeeper.finished(CALENDAR)
        run = self.service.store.jobs[CALENDAR].last
        assert run is not None
        if ok:
            assert run.result == "ok", run
        return run

    async def rows(self, query: sa.Select[Any]) -> list[Any]:
        return await self.service._ledger.read(lambda connection: list(connection.execute(query).all()))


@asynccontextmanager
async def company(
    folder: Path, clock: AheadClock | None = None, more: str = JOBS, *, schedule: bool = False
) -> AsyncIterator[Company]:
    clock = clock or AheadClock()
    service = await Service.open(begun(folder / "data"), clock=clock)
    try:
        answer = await service.apply(FILE.replace("{contact}", "enabled = true") + more, "sales.toml", "test")
        assert answer.ok, answer
        virtual = VirtualClock()
        crm, mail = FakeCrm(virtual, [A, B]), FakeMail(virtual)
        crm.usage = mail.usage = lambda: []  # type: ignore[attr-defined, method-assign]
        service._office._crm["crm"] = crm  # type: ignore[assignment]
        service._office._mailbox["mail"] = mail  # type: ignore[assignment]
        async with service.running(schedule=schedule):
            yield Company(service, clock, crm, mail)
    finally:
        await service.close()


async def test_the_job_ships_switched_off_and_an_admin_enables_it(tmp_path: Path) -> None:
    async with company(tmp_path, more="") as it:
        row = it.service.store.jobs[CALENDAR]
        assert row.state is JobState.DISABLED
        assert (row.next_run_ms, row.next_why) == (None, "not applicable: the job is off, o turns it on")
        assert it.service.jobs.next_runs(CALENDAR) == ()
        assert (row.schedule, row.context, row.overridden) == ("every 15 min", "system runtime context", False)
        assert (await it.service.do(EnableJob(CALENDAR), "alice")).ok
        assert row.state is JobState.ENABLED
        assert row.next_run_ms is not None
        assert row.next_run_ms % 900_000 == 0
        assert len(it.service.jobs.next_runs(CALENDAR)) == 10
        assert it.service.jobs.next_runs(CALENDAR)[0] == row.next_run_ms
        # No mailbox of this company is polled: that is told, and looks like no success.
        run = await it.run(ok=False)
        assert run.result == "skipped"
        assert "no policy has mailboxes that are polled" in run.note
        assert (await it.service.do(DisableJob(CALENDAR), "alice")).ok
        assert row.next_run_ms is None


async def test_the_first_run_looks_back_and_ahead_and_later_runs_only_ahead(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        for subject, days in (("old", -181), ("spring", -179), ("june", -60), ("near", 3), ("far", 700)):
            it.meet(subject, days)
        it.meet("series", -300, rule={"lines": ["RRULE:FREQ=WEEKLY"]})
        await it.full()
        assert it.shown() == ["near", "series"], "the policy's own window: 45 days back, 400 ahead"
        run = await it.run()
        assert it.shown() == ["far", "june", "near", "series", "spring"]
        assert run.items == 3
        (box,) = [one for one in (await it.service.jobs.detail(run.id)).mailboxes if one.mailbox == A]
        assert box.filtered == {"ended more than 180 days ago": 1}
        assert box.counts["appointment.filtered"] == 1
        assert [one.text for one in await it.service.jobs.items(box.cycle_id)] == [
            "appointment 'spring' from CRM",
            "appointment 'june' from CRM",
            "appointment 'far' from CRM",
        ]
        # Later: what is past is filtered, and counted.
        spring = next(one.id for one in it.crm.of(A, Module.APPOINTMENT) if one.fields["subject"] == "spring")
        near = next(one.id for one in it.crm.of(A, Module.APPOINTMENT) if one.fields["subject"] == "near")
        it.move(spring, subject="spring, edited")
        it.move(near, subject="near, edited")
        it.meet("yesterday", -1)
        it.meet("tomorrow", 1)
        run = await it.run()
        assert it.shown() == ["far", "june", "near, edited", "series", "spring", "tomorrow"]
        (box,) = [one for one in (await it.service.jobs.detail(run.id)).mailboxes if one.mailbox == A]
        assert box.filtered == {"ended already; later runs look at future appointments only": 2}
        # It is counted once, and left to the full sync, which neither loses it nor undoes what the job did.
        run = await it.run()
        assert (run.items, run.note) == (0, "2 operators")
        await it.full()
        assert it.shown() == [
            "far",
            "june",
            "near, edited",
            "series",
            "spring, edited",
            "tomorrow",
            "yesterday",
        ]
        assert not [line for line in it.mail.log if line.startswith("delete")]
        assert await it.rows(sa.select(dirty)) == []
        await it.full()
        run = await it.run()
        assert run.items == 0
        assert it.shown() == [
            "far",
            "june",
            "near, edited",
            "series",
            "spring, edited",
            "tomorrow",
            "yesterday",
        ]


async def test_the_first_run_has_not_ended_while_something_of_its_window_is_refused(tmp_path: Path) -> None:
    clock = AheadClock()
    async with company(tmp_path, clock) as it:
        await it.full()
        it.meet("winter", -150)
        it.mail.faults = lambda point, _scope, write: "rejected" if point == "write" and write else None
        await it.run(ok=False)
        assert it.shown() == []
        it.mail.faults = no_faults
        clock.ahead_ms += 3_600_000
        await it.run()
        assert it.shown() == ["winter"], "the run after it looks back as far as the first one"


async def test_a_cancelled_future_appointment_goes_and_a_past_one_waits_for_the_full_sync(
    tmp_path: Path,
) -> None:
    async with company(tmp_path) as it:
        past, future = it.meet("past", -2), it.meet("future", 2)
        await it.full()
        await it.run()
        it.crm.delete("Event", past)
        it.crm.delete("Event", future)
        await it.run()
        assert it.shown() == ["past"]
        await it.full()
        assert it.shown() == []


async def test_an_item_that_is_moved_into_or_out_of_the_past_is_synchronised(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        item = it.meet("moved", 2)
        await it.full()
        await it.run()
        it.move(item, start=it.at(-3.02), end=it.at(-3))
        await it.run()
        (there,) = it.mail.of(A, Module.APPOINTMENT)
        assert there.fields["end"] == it.crm.shelf("Event").now[item].fields["end"]
        it.move(item, start=it.at(5), end=it.at(5.1))
        await it.run()
        (there,) = it.mail.of(A, Module.APPOINTMENT)
        assert there.fields["end"] == it.crm.shelf("Event").now[item].fields["end"]


async def test_only_calendars_are_read_and_only_operators_are_served(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        it.crm.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@x.test")
        await it.full()
        it.meet("for ada", 1)
        it.meet("for bob", 1, B)
        it.crm.add(A, Module.CONTACT, given="Bo", family="New", email="bo@x.test")
        it.crm.calls.clear()
        it.mail.calls.clear()
        it.service.store.users[B].calendar_sync = False
        await it.run()
        assert it.crm.calls == ["changes"] * 3, "events, tasks (that hold calls) and service calls"
        assert it.mail.calls == ["changes", "apply"]
        assert (it.shown(A), it.shown(B)) == (["for ada"], [])
        assert len(it.mail.of(A, Module.CONTACT)) == 1
        await it.full()  # what the job read of the CRM for others is not lost
        assert it.shown(B) == ["for bob"]
        assert len(it.mail.of(A, Module.CONTACT)) == 2


async def test_an_override_is_a_layer_of_its_own(tmp_path: Path) -> None:
    async with company(tmp_path, more="") as it:
        row = it.service.store.jobs[CALENDAR]
        await it.service.do(EnableJob(CALENDAR), "alice")
        wrong = await it.service.do(EditJob(CALENDAR, {"schedule": "daily", "at": "7 o'clock"}), "alice")
        assert not wrong.ok
        assert wrong.details[0].startswith("at: ")
        assert "allowed: a time of day from 00:00 to 24:00" in wrong.details[0]
        assert (row.schedule, row.overridden) == ("every 15 min", False)
        verdict = it.service.jobs.check(CALENDAR, {"schedule": "daily", "at": "07:00", "zone": "Europe/Berlin"})
        assert (verdict.problems, verdict.schedule, len(verdict.next_ms)) == ((), "daily 07:00", 10)
        answer = await it.service.do(
            EditJob(CALENDAR, {"schedule": "daily", "at": "07:00", "zone": "Europe/Berlin"}), "alice"
        )
        assert answer.ok
        assert (row.schedule, row.zone, row.overridden) == ("daily 07:00", "Europe/Berlin", True)
        assert row.next_run_ms == verdict.next_ms[0]
        draft = await it.service.jobs.draft(CALENDAR)
        assert draft.document == {"schedule": "daily", "at": "07:00", "zone": "Europe/Berlin"}
        assert draft.shipped == "every 15 min"
        text = await it.service.export()
        assert '[jobs.CalendarSynchronization]\nenabled = true\nschedule = "daily"\nat = "07:00"' in text
        assert (await it.service.apply(text, "again.toml", "alice")).ok
        assert (row.schedule, row.state) == ("daily 07:00", JobState.ENABLED)
        assert (await it.service.do(RemoveOverride(CALENDAR), "alice")).ok
        assert (row.schedule, row.overridden, row.state) == ("every 15 min", False, JobState.ENABLED)
        assert not (await it.service.do(RemoveOverride(CALENDAR), "alice")).ok
    async with company(tmp_path, more="") as it:
        assert it.service.store.jobs[CALENDAR].state is JobState.ENABLED, "the switch outlives a restart"


async def test_one_node_at_a_time_and_the_second_says_who_until_when(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        await it.full()
        now = it.clock.now_ms()
        write = it.service._ledger.write
        taken, theirs = await write(units.take_lease, CALENDAR, "pid 7 on other-node", now, 60_000)
        assert taken
        run = await it.run(ok=False)
        assert run.result == "skipped"
        assert run.note.startswith("pid 7 on other-node runs it, and holds its lease until 2")
        assert run.note.endswith(" UTC")
        assert "pid 7 on other-node, until" in await it.service.jobs.lease_said()
        it.clock.ahead_ms += 60_001  # it died without a word: its lease runs out
        await it.run()
        lease = await it.service._timekeeper.calendar.lease()
        assert lease is not None
        assert lease.token == theirs.token + 1
        with pytest.raises(StaleLease, match="taken over by pid"):
            await write(units.renew_lease, CALENDAR, theirs.token, now)


async def test_a_run_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        await it.full()
        it.meet("soon", 1)
        changes = it.mail.changes

        async def robbed(scope, cursor):  # type: ignore[no-untyped-def]
            async for page in changes(scope, cursor):
                now = it.clock.now_ms() + 120_000
                await it.service._ledger.write(units.take_lease, CALENDAR, "pid 9 on thief", now, 60_000)
                yield page

        it.mail.changes = robbed  # type: ignore[method-assign]
        run = await it.run(ok=False)
        assert run.result == "stopped"
        assert it.shown() == []
        boxes = (await it.service.jobs.detail(run.id)).mailboxes
        assert {one.result for one in boxes} == {"stopped"}
        assert "taken over by pid 9 on thief" in boxes[0].note
        it.mail.changes = changes  # type: ignore[method-assign]
        it.clock.ahead_ms += 300_000
        await it.run()
        assert it.shown() == ["soon"]


async def test_stop_ends_a_run_at_a_page_and_a_full_sync_never_overlaps_it(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        await it.full()
        it.meet("soon", 1)
        gate, began = asyncio.Event(), asyncio.Event()
        changes = it.mail.changes

        async def slow(scope, cursor):  # type: ignore[no-untyped-def]
            began.set()
            await gate.wait()
            async for page in changes(scope, cursor):
                yield page

        it.mail.changes = slow  # type: ignore[method-assign]
        it.crm.calls.clear()
        assert (await it.service.do(RunJob(CALENDAR), "alice")).ok
        async with asyncio.timeout(20):
            await began.wait()
            assert it.service.store.users[A].state is UserState.SYNCING
            assert (await it.service.do(SyncNow("", "Sales"), "alice")).ok
            for _ in range(50):
                await asyncio.sleep(0)
            assert it.crm.calls == ["changes"] * 3, "the full sync waits, and has read nothing yet"
            assert (await it.service.do(StopJob(CALENDAR), "alice")).ok
            assert it.service.store.jobs[CALENDAR].state is JobState.STOPPING
            gate.set()
            await it.service._timekeeper.finished(CALENDAR)
            run = it.service.store.jobs[CALENDAR].last
            assert run is not None
            assert run.result == "stopped"
            await it.service._timekeeper.finished("full:Sales")
        assert it.shown() == ["soon"], "the full sync took its turn afterwards"


async def test_a_trace_is_kept_on_demand(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        await it.full()
        it.meet("soon", 1)
        run = await it.run()
        assert (await it.service.jobs.detail(run.id)).trace == ()
        assert (await it.service.do(TraceJob(CALENDAR, True), "alice")).ok
        assert it.service.store.jobs[CALENDAR].traced
        it.meet("later", 2)
        run = await it.run()
        lines = [(mailbox, text) for _, mailbox, _, text in (await it.service.jobs.detail(run.id)).trace]
        assert ("", lines[0][1]) == lines[0]
        assert lines[0][1].startswith("lease 2 taken by pid ")
        assert (A, "later run: future appointments that changed") in lines
        assert any(who == A and "'later'" in text for who, text in lines)
        assert lines[-1][1] == "ok"


async def test_a_failing_operator_is_retried_cancelled_once_and_heals(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        await it.full()
        calendar = it.service._timekeeper.calendar
        it.service._office.runner.trouble.minutes = lambda _connection: 10
        it.mail.faults = lambda point, scope, _: (
            "unavailable" if point == "changes" and scope is not None and scope.account.email == A else None  # type: ignore[union-attr]
        )
        run = await it.run(ok=False)
        assert (run.result, run.errors) == ("failed", 1)
        boxes = {one.mailbox: one for one in (await it.service.jobs.detail(run.id)).mailboxes}
        assert (boxes[A].result, boxes[B].result) == ("failed", "ok")
        assert boxes[A].note == "calendar: Fake: unavailable"
        assert it.service.store.users[A].state is UserState.FAILED
        waits = []
        states = []
        for _ in range(7):
            await it.service._flush()
            states.append(it.service._office.incidents.live(A, kind="job").state)  # type: ignore[union-attr, arg-type]
            if A not in calendar.retries:
                break
            waits.append(round((calendar.retries[A] - it.clock.now_ms()) / 1000))
            it.clock.ahead_ms += calendar.retries[A] - it.clock.now_ms() + 1
            await it.run(ok=False)
        # Measured some time after the run that failed: a busy machine takes a second or two for that.
        wanted = (30, 60, 120, 240, 150)
        assert len(waits) == len(wanted)
        assert all(0 <= most - wait <= 10 for wait, most in zip(waits, (31, *wanted[1:]), strict=True)), waits
        assert states == ["open"] * 5 + ["cancelled"]
        incidents = await it.rows(sa.text("SELECT state, due_at, last_at FROM incident WHERE kind = 'job'"))  # type: ignore[arg-type]
        assert [row.state for row in incidents] == ["cancelled"]
        assert incidents[0].due_at <= it.clock.now_ms()
        last = await it.service.runs(CALENDAR)
        assert [one.errors for one in last] == [1] * 6
        assert "1 cancelled" in last[0].note
        it.mail.faults = lambda *_: None
        await it.run()
        await it.service._flush()
        assert it.service._office.incidents.live(A, kind="job") is None  # type: ignore[arg-type]
        assert it.service.store.users[A].state is UserState.IDLE


async def test_a_mailbox_whose_first_sync_has_not_ended_is_told_as_skipped(tmp_path: Path) -> None:
    async with company(tmp_path) as it:
        run = await it.run(ok=False)
        assert (run.result, run.note) == ("skipped", "0 operators, 2 skipped")
        boxes = (await it.service.jobs.detail(run.id)).mailboxes
        assert {one.note for one in boxes} == {"the first sync of this mailbox has not ended yet"}
        assert await it.rows(sa.select(link)) == []
