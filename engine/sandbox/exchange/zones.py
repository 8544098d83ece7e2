"""Time zones as Exchange names them (Windows ids), and their rules as it writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import tz_win, win_tz

from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Node, attribute, child, children, parent, text

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_INDEXES = {"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}
_DURATION = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


@dataclass(frozen=True, slots=True)
class Change:
    """A yearly change of the clock.

    ``nth`` is the week of the month (-1 the last), ``weekday`` 0 for Monday, ``at`` the wall clock before the change.
    """

    month: int
    nth: int
    weekday: int
    at: timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """Offsets from UTC of standard and daylight time, and when each begins; no changes where there is no daylight time."""

    standard: timedelta
    daylight: timedelta | None = None
    to_daylight: Change | None = None
    to_standard: Change | None = None


class _Ruled(tzinfo):
    """A zone by rules alone, for definitions that match none of the known zones."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return self._rules.standard + (self.dst(moment) or timedelta())

    def dst(self, moment: datetime | None) -> timedelta:
        rules = self._rules
        if moment is None or rules.daylight is None or rules.to_daylight is None or rules.to_standard is None:
            return timedelta()
        wall = moment.replace(tzinfo=None)
        begin, end = _moment(rules.to_daylight, wall.year), _moment(rules.to_standard, wall.year)
        inside = begin <= wall < end if begin < end else not end <= wall < begin
        return rules.daylight - rules.standard if inside else timedelta()

    def tzname(self, moment: datetime | None) -> str:
        return "custom"


def _moment(change: Change, year: int) -> datetime:
    if change.nth > 0:
        day = datetime(year, change.month, 1)
        day += timedelta(days=(change.weekday - day.weekday()) % 7 + 7 * (change.nth - 1))
    else:
        day = datetime(year + change.month // 12, change.month % 12 + 1, 1) - timedelta(days=1)
        day -= timedelta(days=(day.weekday() - change.weekday) % 7)
    return day + change.at


def ruled(rules: Rules) -> tzinfo:
    """A zone by rules alone."""
    return _Ruled(rules) if rules.daylight is not None else timezone(rules.standard)


def of(windows_id: str) -> tzinfo:
    """The zone of a Windows id.

    Raises:
        EwsError: ``ErrorCalendarInvalidTimeZone``.
    """
    if windows_id in ("UTC", "tzone://Microsoft/Utc", "Etc/UTC"):
        return UTC
    name = win_tz.get(windows_id)
    if name is None:
        raise EwsError(
            "ErrorCalendarInvalidTimeZone", f"The time zone {windows_id[:80]!r} is not known to the server."
        )
    return ZoneInfo(name)


def windows_id(iana: str) -> str:
    """The Windows id of an IANA zone; ``UTC`` where it has none."""
    return tz_win.get(iana, "UTC")


def names() -> list[str]:
    """All Windows ids."""
    return sorted({*win_tz, "UTC"})


def shown(windows_id: str) -> str:
    """The display name of a zone."""
    offset = rules_of(of(windows_id), 2026).standard
    if not offset and windows_id == "UTC":
        return "(UTC) Coordinated Universal Time"
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"(UTC{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}) {win_tz.get(windows_id, windows_id).rpartition('/')[2].replace('_', ' ')}"


@cache
def rules_of(zone: tzinfo, year: int) -> Rules:
    """The rules of a zone as they are in ``year``."""
    changes = []
    before = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + 1, 1, 1, tzinfo=UTC)
    offset = before.astimezone(zone).utcoffset() or timedelta()
    first = offset
    while before < end:
        after = before + timedelta(days=7)
        later = after.astimezone(zone).utcoffset() or timedelta()
        if later != offset:
            low, high = before, after
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                if (middle.astimezone(zone).utcoffset() or timedelta()) == offset:
                    low = middle
                else:
                    high = middle
            changes.append((high.replace(second=0, microsecond=0), offset, later))
            offset = later
        before = after
    if len(changes) < 2:
        return Rules(offset if changes else first)
    ups = [one for one in changes if one[2] > one[1]]
    downs = [one for one in changes if one[2] < one[1]]
    if not ups or not downs:
        return Rules(offset)
    up, down = ups[0], downs[-1]
    return Rules(down[2], up[2], _change(up[0], up[1]), _change(down[0], down[1]))


def _change(instant: datetime, offset: timedelta) -> Change:
    wall = (instant + offset).replace(tzinfo=None)
    last = (wall + timedelta(days=7)).month != wall.month
    midnight = wall.replace(hour=0, minute=0)
    return Change(wall.month, -1 if last else (wall.day - 1) // 7 + 1, wall.weekday(), wall - midnight)


# -- definitions as nodes --------------------------------------------------------------------------------


def duration(text_: str) -> timedelta:
    """The length of an ``xs:duration`` of days and less.

    Raises:
        ValueError: months or years, or no duration at all.
    """
    found = _DURATION.fullmatch(text_.strip())
    if found is None:
        raise ValueError(f"{text_!r} is not a duration of days, hours, minutes and seconds")
    sign, days, hours, minutes, seconds = found.groups()
    length = timedelta(
        days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0)
    )
    return -length if sign else length


def written(length: timedelta) -> str:
    """A length as an ``xs:duration``."""
    seconds = round(abs(length).total_seconds())
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    parts = (
        (f"{hours}H" if hours else "")
        + (f"{minutes}M" if minutes else "")
        + (f"{seconds % 60}S" if seconds % 60 else "")
    )
    return ("-" if length < timedelta() else "") + "PT" + (parts or "0S")


def definition(windows_id_: str, year: int, *, full: bool = True) -> Node:
    """A ``TimeZoneDefinition`` value, with its periods and transitions when ``full``."""
    zone = of(windows_id_)
    attributes = {"Id": windows_id_, "Name": shown(windows_id_)}
    if not full:
        return {"a": attributes, "c": []}
    rules = rules_of(zone, year)
    standard = {"a": {"Bias": written(-rules.standard), "Name": "Standard", "Id": "Std"}, "t": ""}
    periods = [["Period", standard]]
    if rules.daylight is None or rules.to_daylight is None or rules.to_standard is None:
        group = [["Transition", parent(("To", {"a": {"Kind": "Period"}, "t": "Std"}))]]
    else:
        periods.append(
            ["Period", {"a": {"Bias": written(-rules.daylight), "Name": "Daylight", "Id": "Dlt"}, "t": ""}]
        )
        group = [_recurring("Dlt", rules.to_daylight), _recurring("Std", rules.to_standard)]
        group.sort(key=lambda one: int(text(child(one[1], "Month"))))
    return {
        "a": attributes,
        "c": [
            ["Periods", {"c": periods}],
            ["TransitionsGroups", {"c": [["TransitionsGroup", {"a": {"Id": "0"}, "c": group}]]}],
            ["Transitions", {"c": [["Transition", parent(("To", {"a": {"Kind": "Group"}, "t": "0"}))]]}],
        ],
    }


def _recurring(period: str, change: Change) -> list[Node]:
    return [
        "RecurringDayTransition",
        parent(
            ("To", {"a": {"Kind": "Period"}, "t": period}),
            ("TimeOffset", written(change.at)),
            ("Month", str(change.month)),
            ("DayOfWeek", _DAYS[change.weekday]),
            ("Occurrence", str(change.nth)),
        ),
    ]


def meeting_zone(windows_id_: str, year: int) -> Node:
    """The ``MeetingTimeZone`` value of Exchange 2007's clients."""
    rules = rules_of(of(windows_id_), year)
    pairs: list[tuple[str, Node | None]] = [("BaseOffset", written(-rules.standard))]
    if rules.daylight is not None and rules.to_daylight is not None and rules.to_standard is not None:
        pairs.append(("Standard", _old_change("Standard", timedelta(), rules.to_standard)))
        pairs.append(("Daylight", _old_change("Daylight", rules.standard - rules.daylight, rules.to_daylight)))
    return parent(*pairs, TimeZoneName=windows_id_)


def _old_change(name: str, offset: timedelta, change: Change) -> Node:
    index = next(key for key, nth in _INDEXES.items() if nth == (change.nth if change.nth < 5 else -1))
    pattern = parent(
        ("DaysOfWeek", _DAYS[change.weekday]), ("DayOfWeekIndex", index), ("Month", _MONTHS[change.month - 1])
    )
    at = (datetime(2000, 1, 1) + change.at).time().isoformat()
    return parent(
        ("Offset", written(offset)), ("RelativeYearlyRecurrence", pattern), ("Time", at), TimeZoneName=name
    )


def read_definition(node: Node) -> tuple[str, tzinfo]:
    """Windows id and zone of a ``TimeZoneDefinition``, by its id or else by its rules.

    Raises:
        EwsError: ``ErrorCalendarInvalidTimeZone``.
    """
    name = attribute(node, "Id")
    if name in win_tz or name in ("UTC", "tzone://Microsoft/Utc"):
        return ("UTC" if name.startswith("tzone") else name), of(name)
    periods = {
        attribute(one, "Id"): -duration(attribute(one, "Bias")) for _, one in children(child(node, "Periods"))
    }
    if not periods:
        # What clients send who name IANA zones; Exchange refuses it, too.
        return name, of(name)
    groups = children(child(node, "TransitionsGroups"))
    last = children(groups[-1][1]) if groups else []
    found = {}
    for kind, one in last:
        target = periods.get(text(child(one, "To")))
        if target is None:
            raise EwsError(
                "ErrorCalendarInvalidTimeZone", "A transition of the time zone names no period of it."
            )
        if kind == "RecurringDayTransition":
            nth = int(text(child(one, "Occurrence")))
            day = _DAYS.index(text(child(one, "DayOfWeek")))
            found[target] = Change(
                int(text(child(one, "Month"))), nth, day, duration(text(child(one, "TimeOffset")))
            )
    return _by_offsets(found, next(iter(periods.values())))


def read_meeting_zone(node: Node) -> tuple[str, tzinfo]:
    """Windows id and zone of a ``MeetingTimeZone``, by its name or else by its rules.

    Raises:
        EwsError: ``ErrorCalendarInvalidTimeZone``.
    """
    name = attribute(node, "TimeZoneName")
    if name in win_tz or name == "UTC":
        return name, of(name)
    if child(node, "BaseOffset") is None:
        raise EwsError(
            "ErrorCalendarInvalidTimeZone", f"The time zone {name[:80]!r} is not known to the server."
        )
    base = duration(text(child(node, "BaseOffset")))
    found = {}
    for part in ("Standard", "Daylight"):
        one = child(node, part)
        pattern = child(one, "RelativeYearlyRecurrence")
        if pattern is not None:
            hours, minutes, seconds = (float(word) for word in text(child(one, "Time"))[:8].split(":"))
            found[-(base + duration(text(child(one, "Offset"))))] = Change(
                _MONTHS.index(text(child(pattern, "Month"))) + 1,
                _INDEXES[text(child(pattern, "DayOfWeekIndex"))],
                _DAYS.index(text(child(pattern, "DaysOfWeek"))),
                timedelta(hours=hours, minutes=minutes, seconds=seconds),
            )
    return _by_offsets(found, -base)


def _by_offsets(found: dict[timedelta, Change], fixed: timedelta) -> tuple[str, tzinfo]:
    if len(found) != 2:
        rules = Rules(fixed)
    else:
        low, high = sorted(found)
        rules = Rules(low, high, found[high], found[low])
    for name in names():
        if rules_of(of(name), 2026) == rules:
            return name, of(name)
    return "Customized Time Zone", ruled(rules)
