"""RFC 5545 rules and Exchange's recurrence patterns.

Exchange knows six patterns (Microsoft's page "Recurrence patterns and EWS"); a rule that is none of them cannot be written
and says so. Days 29 to 31 of a month mean its last day where it is shorter, which RFC 5545 says differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any

from engine.mailbox.exchange.xml import element, leaf, name_of, text_of
from engine.mailbox.exchange.zones import info
from engine.model.canonical import instant
from engine.model.recurrence import LONGEST, occurrences

_DAYS = {
    "MO": "Monday",
    "TU": "Tuesday",
    "WE": "Wednesday",
    "TH": "Thursday",
    "FR": "Friday",
    "SA": "Saturday",
    "SU": "Sunday",
}
_CODES = {name: code for code, name in _DAYS.items()}
_ORDER = tuple(_DAYS)
_SETS = {
    "Day": _ORDER,
    "Weekday": _ORDER[:5],
    "WeekendDay": _ORDER[5:],
}
_POSITIONS = {1: "First", 2: "Second", 3: "Third", 4: "Fourth", -1: "Last"}
_NUMBERS = {name: number for number, name in _POSITIONS.items()}
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class Unwritable(ValueError):
    """A value that Exchange cannot hold; the text says what and why, for people."""


# -- writing -----------------------------------------------------------------------------------------------


def local_start(start: Mapping[str, Any], zone: str) -> datetime:
    """The naive wall time at which a series begins, from its canonical start."""
    if "date" in start:
        return datetime.combine(date.fromisoformat(start["date"]), time())
    return instant(start).astimezone(info(zone)).replace(tzinfo=None)


def pattern(lines: list[str], start: Mapping[str, Any], zone: str) -> str:
    """The content of ``t:Recurrence`` for a canonical rule.

    Args:
        lines: RFC 5545 lines; exactly one ``RRULE``. ``EXDATE`` is left to the caller.
        start: canonical moment of the master's start.
        zone: IANA zone of the series.

    Raises:
        Unwritable: Exchange has no such pattern.
    """
    rules = [line.partition(":")[2] for line in lines if line.upper().startswith("RRULE")]
    if len(rules) != 1 or any(line.upper().startswith("RDATE") for line in lines):
        raise Unwritable("Exchange holds one repetition rule and no single added days")
    parts = dict(part.upper().partition("=")[::2] for part in rules[0].split(";") if part)
    first = local_start(start, zone)
    return _body(parts, first) + _range(parts, first, "date" in start, zone)


def _body(parts: dict[str, str], first: datetime) -> str:
    frequency = parts.get("FREQ", "")
    interval = int(parts.get("INTERVAL") or 1)
    days = [day for day in parts.get("BYDAY", "").split(",") if day]
    known = {"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST", "COUNT", "UNTIL"}
    odd = set(parts) - known
    if odd:
        raise Unwritable(f"Exchange has no repetition by {', '.join(sorted(odd))}")
    simple = "BYMONTHDAY" not in parts and "BYSETPOS" not in parts
    if frequency == "DAILY" and simple and "BYMONTH" not in parts:
        if not days:
            return element("t:DailyRecurrence", leaf("t:Interval", interval))
        if interval == 1:
            frequency = "WEEKLY"  # every Monday to Friday
    if frequency == "WEEKLY" and simple and "BYMONTH" not in parts:
        codes = days or [_ORDER[first.weekday()]]
        if all(code in _DAYS for code in codes):
            names = " ".join(_DAYS[code] for code in _ORDER if code in codes)
            week = leaf("t:FirstDayOfWeek", _DAYS[parts.get("WKST", "MO")]) if interval > 1 else ""
            return element(
                "t:WeeklyRecurrence", leaf("t:Interval", interval) + leaf("t:DaysOfWeek", names) + week
            )
    if frequency in {"MONTHLY", "YEARLY"}:
        return _monthly(parts, frequency, interval, days, first)
    raise Unwritable("Exchange has no such repetition: " + ";".join(f"{a}={b}" for a, b in parts.items()))


def _monthly(parts: dict[str, str], frequency: str, interval: int, days: list[str], first: datetime) -> str:
    months = [int(one) for one in parts.get("BYMONTH", "").split(",") if one]
    if frequency == "YEARLY" and not months:
        months = [first.month]
    if len(months) > 1 or (frequency == "MONTHLY" and months):
        raise Unwritable("Exchange has no repetition in several months of the year")
    month = leaf("t:Month", _MONTHS[months[0] - 1]) if months else ""
    if months and interval > 1:
        # Every other year is every 24th month, provided that the series begins in that month.
        if months[0] != first.month:
            raise Unwritable("Exchange has no repetition every few years that begins in another month")
        interval, month = 12 * interval, ""
    prefix = "Yearly" if month else "Monthly"
    each = "" if month else leaf("t:Interval", interval)
    if days:
        names, position = _relative(days, parts)
        inner = each + leaf("t:DaysOfWeek", names) + leaf("t:DayOfWeekIndex", position) + month
        return element(f"t:Relative{prefix}Recurrence", inner)
    day = _month_day(parts, first)
    return element(f"t:Absolute{prefix}Recurrence", each + leaf("t:DayOfMonth", day) + month)


def _relative(days: list[str], parts: dict[str, str]) -> tuple[str, str]:
    """Day (or kind of day) and position of "the second Tuesday", "the last weekday"."""
    if "BYMONTHDAY" in parts:
        raise Unwritable("Exchange has no repetition by weekday and day of the month together")
    if len(days) == 1 and days[0][:-2]:
        codes, number = [days[0][-2:]], int(days[0][:-2])
    else:
        codes, number = days, int(parts.get("BYSETPOS") or 0)
    names = _DAYS.get(codes[0]) if len(codes) == 1 else None
    if names is None:
        names = next((name for name, members in _SETS.items() if sorted(members) == sorted(codes)), None)
    if names is None or number not in _POSITIONS:
        raise Unwritable(
            "Exchange knows the first to the fourth and the last of one weekday in a month, no more"
        )
    return names, _POSITIONS[number]


def _month_day(parts: dict[str, str], first: datetime) -> int:
    wanted = [int(one) for one in parts.get("BYMONTHDAY", "").split(",") if one] or [first.day]
    if len(wanted) > 1:
        # "28 to 30, and of these the last" is how RFC 5545 says "the 30th, or the last day".
        if parts.get("BYSETPOS") == "-1" and wanted == list(range(28, max(wanted) + 1)):
            return max(wanted)
        raise Unwritable("Exchange has no repetition on several days of a month")
    if "BYSETPOS" in parts:
        raise Unwritable("Exchange has no such choice among the days of a month")
    if wanted[0] == -1:
        return 31
    if not 1 <= wanted[0] <= 31:
        raise Unwritable("Exchange counts the days of a month from its beginning, or names the last one")
    return wanted[0]


def _range(parts: dict[str, str], first: datetime, all_day: bool, zone: str) -> str:
    begin = leaf("t:StartDate", first.date().isoformat())
    if parts.get("COUNT"):
        return element("t:NumberedRecurrence", begin + leaf("t:NumberOfOccurrences", int(parts["COUNT"])))
    if parts.get("UNTIL"):
        last = max(_last_day(parts["UNTIL"], first, all_day, zone), first.date())
        return element("t:EndDateRecurrence", begin + leaf("t:EndDate", last.isoformat()))
    return element("t:NoEndRecurrence", begin)


def _last_day(until: str, first: datetime, all_day: bool, zone: str) -> date:
    """The last day, in the series' zone, on which an occurrence may begin."""
    if len(until) == 8:
        return datetime.strptime(until, "%Y%m%d").date()
    at = datetime.strptime(until.removesuffix("Z"), "%Y%m%dT%H%M%S")
    if until.endswith("Z") and not all_day:
        at = at.replace(tzinfo=UTC).astimezone(info(zone)).replace(tzinfo=None)
    return at.date() if at.time() >= first.time() else at.date() - timedelta(days=1)


def excluded(lines: list[str], zone: str) -> list[str]:
    """The original starts that ``EXDATE`` lines take out: dates, or UTC date-times with Z."""
    found = []
    for line in lines:
        head, _, values = line.partition(":")
        if not head.upper().startswith("EXDATE"):
            continue
        name = next((part[5:] for part in head.split(";") if part.upper().startswith("TZID=")), zone)
        for value in filter(None, values.split(",")):
            if len(value) == 8:
                found.append(datetime.strptime(value, "%Y%m%d").date().isoformat())
                continue
            at = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S")
            at = at.replace(tzinfo=UTC if value.endswith("Z") else info(name))
            found.append(at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    return found


def index_of(lines: list[str], start: Mapping[str, Any], zone: str, occurrence: str) -> int | None:
    """Which occurrence of its series begins originally at ``occurrence``; the first is 1, deleted ones count.

    ``None``: the series has none there, or its rule cannot be read.
    """
    first = local_start(start, zone)
    if "date" in start:
        wanted = datetime.fromisoformat(occurrence[:10])
    else:
        at = datetime.fromisoformat(occurrence.removesuffix("Z")).replace(tzinfo=UTC)
        wanted = at.astimezone(info(zone)).replace(tzinfo=None)
    kept = [line for line in lines if not line.upper().startswith("EXDATE")]
    try:
        for number, at in enumerate(islice(occurrences(kept, first), LONGEST), 1):
            if at == wanted:
                return number
            if at > wanted:
                return None
    except (ValueError, TypeError):
        return None
    return None


# -- reading -----------------------------------------------------------------------------------------------


def rule_of(node: Any, start: Mapping[str, Any], zone: str) -> list[str] | None:
    """The canonical lines of a ``t:Recurrence`` element; ``None`` for a pattern that we do not know.

    Args:
        node: the element.
        start: canonical moment of the master's start.
        zone: IANA zone of the series.
    """
    if node is None or len(node) < 2:
        return None
    parts = _parts(node[0], local_start(start, zone))
    if parts is None:
        return None
    kind = name_of(node[1])
    if kind == "NumberedRecurrence":
        parts.append(f"COUNT={text_of(node[1], 'NumberOfOccurrences')}")
    elif kind == "EndDateRecurrence":
        parts.append(f"UNTIL={_until(text_of(node[1], 'EndDate'), start, zone)}")
    return ["RRULE:" + ";".join(parts)]


def _parts(node: Any, first: datetime) -> list[str] | None:
    kind = name_of(node)
    interval = int(text_of(node, "Interval") or 1)
    every = [f"INTERVAL={interval}"] if interval > 1 else []
    if kind == "DailyRecurrence":
        return ["FREQ=DAILY", *every]
    if kind == "WeeklyRecurrence":
        codes = [_CODES[name] for name in text_of(node, "DaysOfWeek").split() if name in _CODES]
        if not codes:
            codes = list(
                next((_SETS[name] for name in text_of(node, "DaysOfWeek").split() if name in _SETS), ())
            )
        days = ",".join(code for code in _ORDER if code in codes)
        week = _CODES.get(text_of(node, "FirstDayOfWeek"), "SU")
        said = [f"WKST={week}"] if interval > 1 and week != "MO" else []
        return ["FREQ=WEEKLY", *every, f"BYDAY={days}", *said]
    yearly = kind.endswith("YearlyRecurrence")
    frequency = "MONTHLY"
    months: list[str] = []
    if yearly:
        frequency = "YEARLY"
        name = text_of(node, "Month")
        if name not in _MONTHS:
            return None
        months = [f"BYMONTH={_MONTHS.index(name) + 1}"]
    elif interval % 12 == 0:
        # Every 24th month is every other year, and is compared as that.
        frequency, months = "YEARLY", [f"BYMONTH={first.month}"]
        every = [f"INTERVAL={interval // 12}"] if interval > 12 else []
    if kind.startswith("Absolute"):
        day = int(text_of(node, "DayOfMonth") or 0)
        if not 1 <= day <= 31:
            return None
        return [f"FREQ={frequency}", *every, *months, *_on(day)]
    if kind.startswith("Relative"):
        number = _NUMBERS.get(text_of(node, "DayOfWeekIndex"))
        day_name = text_of(node, "DaysOfWeek")
        if number is None or not (day_name in _CODES or day_name in _SETS):
            return None
        if day_name in _CODES:
            return [f"FREQ={frequency}", *every, *months, f"BYDAY={number}{_CODES[day_name]}"]
        members = ",".join(_SETS[day_name])
        return [f"FREQ={frequency}", *every, *months, f"BYDAY={members}", f"BYSETPOS={number}"]
    return None


def _on(day: int) -> list[str]:
    if day == 31:
        return ["BYMONTHDAY=-1"]
    if day > 28:
        return ["BYMONTHDAY=" + ",".join(str(one) for one in range(28, day + 1)), "BYSETPOS=-1"]
    return [f"BYMONTHDAY={day}"]


def _until(end_date: str, start: Mapping[str, Any], zone: str) -> str:
    day = date.fromisoformat(end_date[:10])
    if "date" in start:
        return f"{day:%Y%m%d}"
    first = local_start(start, zone)
    at = datetime.combine(day, first.time(), tzinfo=info(zone)).astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%SZ}"
