"""CalendarSynchronization as an admin has it: Exchange and Salesforce over real sockets, and batches of 1, 7 and 512."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.service import CALENDAR, RunRow, Service
from tests.acceptance.calendars import NOBODY_MEETS, OFF, Calendars
from tests.acceptance.mailroom import SERVICES
from tests.acceptance.town import TODAY, assert_all_green, engine, town
from tests.clocks import AheadClock

SIZES = (1, 7, 512)


async def full(service: Service) -> None:
    """One full sync of every policy, which must end well."""
    report = await service.sync(None, "admin")
    assert [user["text"] for user in report["users"] if user["text"]] == []


async def run(service: Service) -> RunRow:
    """One run of the job, which must end well."""
    done = await service.run_job(CALENDAR, "admin")
    assert (done.result, done.errors) == ("ok", 0), done
    return done


async def filtered(service: Service, done: RunRow) -> dict[str, dict[str, int]]:
    """What a run left out, and why, by mailbox."""
    return {box.mailbox: dict(box.filtered) for box in (await service.jobs.detail(done.id)).mailboxes}


async def test_first_and_later_runs_end_the_same_whatever_the_batch_size(tmp_path: Path) -> None:
    with town(tmp_path, users=len(SIZES), sizes=NOBODY_MEETS, options=SERVICES) as place:
        room = Calendars(place)
        users = place.users
        near = [f"near {number}" for number in range(9)]
        record: dict[tuple[str, str], str] = {}
        for user in users:
            for subject, days in (("gone", -181), ("winter", -179), ("june", -60), ("far", 700), ("late", 3)):
                record[user, subject] = room.meet(user, subject, days)
            for number, subject in enumerate(near):
                record[user, subject] = room.meet(user, subject, 1 + number)
        async with engine(tmp_path, room.company(dict(zip(users, SIZES, strict=True)))) as service:
            await full(service)
            assert [room.subjects(user) for user in users] == [sorted(["late", *near])] * 3

            # The first run: everything ahead, and 180 days back; what is older is counted.
            place.reset()
            done = await run(service)
            assert done.items == 3 * 3
            assert [room.subjects(user) for user in users] == [
                sorted(["winter", "june", "far", "late", *near])
            ] * 3
            assert await filtered(service, done) == {
                user: {"ended more than 180 days ago": 1} for user in users
            }
            assert "3 filtered" in done.note

            # Later runs: what is ahead and was made, changed or cancelled since, on either side.
            for user in users:
                shown = {item.shown["Subject"]: item for item in room.calendar(user) if item.key}
                place.change("Event", record[user, "june"], Subject="june, edited")
                for number in range(8):
                    place.change("Event", record[user, f"near {number}"], Subject=f"next {number}")
                place.remove("Event", record[user, "far"])
                place.remove("Event", record[user, "winter"])
                room.remove(user, shown["late"])
                room.change(user, shown["near 8"], "CalendarItem", Location="Room 8")
                room.meet(user, "yesterday", -1)
                room.meet(user, "tomorrow", 1)
                room.meet_in_outlook(user, "in a week", 7)
                room.meet_in_outlook(user, "a week ago", -7)
            done = await run(service)
            ahead = [*(f"next {number}" for number in range(8)), "near 8", "tomorrow", "in a week"]
            assert [room.subjects(user) for user in users] == [
                sorted(["winter", "june", "a week ago", *ahead])
            ] * 3
            assert await filtered(service, done) == {
                user: {"ended already; later runs look at future appointments only": 4} for user in users
            }
            crm = sorted(["gone", "june, edited", "yesterday", *ahead])
            assert [[subject for subject, _, _ in room.in_crm(user)] for user in users] == [crm] * 3
            [place_of] = place.soql(f"SELECT Location FROM Event WHERE Id = '{record[users[0], 'near 8']}'")
            assert place_of["Location"] == "Room 8"

            # Nothing new: nothing is written, and one call for each calendar.
            await run(service)
            place.reset()
            assert (await run(service)).items == 0
            assert room.writes() == {}
            assert room.asked() == {"SyncFolderItems": 3}

            # What it left is the full sync's; both sides agree to the second, whatever the batch size was.
            await full(service)
            await full(service)
            everything = [("june, edited", -60), ("yesterday", -1), ("a week ago", -7)]
            subjects = sorted([*(name for name, _ in everything), *ahead])
            assert [room.subjects(user) for user in users] == [subjects] * 3
            assert room.in_outlook(users[0]) == room.in_outlook(users[1]) == room.in_outlook(users[2])
            for user in users:
                assert [row for row in room.in_crm(user) if row[0] != "gone"] == room.in_outlook(user)
            place.reset()
            assert (await run(service)).items == 0
            await full(service)
            assert room.writes() == {}
            assert place.stats()["exchange.mails"] == 0
            room.assert_no_doubles()
            await assert_all_green(service)


#: Zone of a person, as Windows calls it, and which all-day events end at the edge or after it: the day before the one that ends
#: there in Berlin, that day, and the next.
ZONES = {
    "Etc/GMT+12": ("Dateline Standard Time", (False, True, True)),
    "Europe/Berlin": ("W. Europe Standard Time", (False, True, True)),
    "Pacific/Kiritimati": ("Line Islands Standard Time", (False, False, True)),
}


class Standing(AheadClock):
    """An engine's clock that stands at a moment."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now_ms(self) -> int:
        return int(self.moment.timestamp() * 1000)


async def test_the_edge_is_exact_on_both_sides_and_for_whole_days_of_any_zone(
    tmp_path: Path,
) -> None:
    # 180 days before is the midnight at which a day ends in Berlin. In most of the year the clocks have changed since; days
    # that never change are those of tests/sync/test_window.py and tests/mailbox/exchange/test_window.py.
    last = date.fromisoformat(TODAY) - timedelta(days=179)
    edge = datetime.combine(last + timedelta(days=1), time(), ZoneInfo("Europe/Berlin")).astimezone(UTC)
    clock = Standing(edge + timedelta(days=180))
    second = timedelta(seconds=1)
    with town(tmp_path, users=len(ZONES), sizes=NOBODY_MEETS, options=SERVICES) as place:
        config = Calendars(place).config("enabled = true\n" + OFF)
        wanted: dict[str, set[str]] = {}
        for user, (zone, (windows, inside)) in zip(place.users, ZONES.items(), strict=True):
            room = Calendars(place, now=edge)
            config = config.replace(f'email = "{user}"', f'email = "{user}"\nzone = "{zone}"')
            wanted[user] = {"timed", "timed here"}
            for name, seconds in (("timed", 0), ("timed out", -1)):
                room.meet(user, name, seconds / 86_400)
                room.meet_in_outlook(user, f"{name} here", seconds / 86_400)
            for number, is_in in enumerate(inside, -1):
                day = last + timedelta(days=number)
                whole = f"{day}T00:00:00.000Z"
                body = {"IsAllDayEvent": True, "StartDateTime": whole, "DurationInMinutes": 1440}
                room.meet(user, f"day {number}", 0, **body)
                start = datetime.combine(day, time(), ZoneInfo(zone))
                room.meet_in_outlook(
                    user, f"day {number} here", (start + timedelta(days=1) - edge) / timedelta(days=1), windows
                )
                if is_in:
                    wanted[user] |= {f"day {number}", f"day {number} here"}

        def both(user: str) -> set[str]:
            """What is on both sides."""
            return {row[0] for row in room.in_crm(user)} & set(room.subjects(user))

        async with engine(tmp_path, config, clock=clock) as service:
            await full(service)
            assert [both(user) for user in place.users] == [set()] * 3, "the policy looks back 45 days"
            done = await run(service)
            assert {user: both(user) for user in place.users} == wanted
            left = await filtered(service, done)
            assert left == {
                user: {"ended more than 180 days ago": 10 - len(found)} for user, found in wanted.items()
            }
            # Later runs: what ended a second ago is past, what ends at this very moment is not.
            now = Calendars(place, now=clock.moment)
            for user in place.users:
                now.meet(user, "over", -second / timedelta(days=1))
                now.meet(user, "ending", 0)
                now.meet_in_outlook(user, "over here", -second / timedelta(days=1))
                now.meet_in_outlook(user, "ending here", 0)
            done = await run(service)
            for user in place.users:
                assert both(user) == wanted[user] | {"ending", "ending here"}
            later = "ended already; later runs look at future appointments only"
            assert await filtered(service, done) == {user: {later: 2} for user in place.users}
