"""Which items a policy lets through. A filtered item is counted and named, never dropped in silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.model.canonical import Fields, instant
from engine.model.modules import EVENT_MODULES, RECORD_MODULES, Module
from engine.model.policy import Policy, PrivateItems

DAY_MS = 86_400_000

#: Zones reach from UTC-12 to UTC+14: an all-day item may begin so much earlier or later than its date in UTC.
ZONE_MARGIN_MS = 14 * 3_600_000


def window(policy: Policy, now: int) -> tuple[int, int]:
    """The calendar window as (first end, last start) in epoch milliseconds."""
    return now - policy.calendar.past_days * DAY_MS, now + policy.calendar.future_days * DAY_MS


def millis(moment: datetime) -> int:
    """Epoch milliseconds."""
    return int(moment.timestamp() * 1000)


def why_filtered(
    policy: Policy,
    module: Module,
    fields: Fields,
    modified: int | None,
    now: int,
    *,
    occurrence: bool = False,
    windowed: bool = True,
) -> str | None:
    """Why a new item does not cross over; ``None`` when it does. Items already linked are never asked.

    A changed ``occurrence`` goes wherever its series goes: without it the other side would show it where it no longer is.
    ``windowed=False`` leaves the policy's calendar window out.
    """
    if module in EVENT_MODULES:
        if fields.get("private") and policy.calendar.private is PrivateItems.SKIP:
            return "private, and the policy leaves private items out"
        if windowed and fields.get("start") and not fields.get("cancelled") and not occurrence:
            reason = _outside(policy, fields, now)
            if reason:
                return reason
    if module in RECORD_MODULES and policy.labels.open_records(module) and fields.get("closed"):
        return "closed, and only open records are shown below the labels"
    if policy.start_date is not None and modified is not None and not occurrence:
        start = datetime.combine(policy.start_date, datetime.min.time(), UTC)
        if modified < millis(start):
            return f"last changed before the policy's start date {policy.start_date.isoformat()}"
    return None


def _outside(policy: Policy, fields: Fields, now: int) -> str | None:
    earliest_end, latest_start = window(policy, now)
    start = fields["start"]
    end = fields.get("end") or start
    margin = ZONE_MARGIN_MS if "date" in start else 0
    if millis(instant(start)) - margin > latest_start:
        return f"starts more than {policy.calendar.future_days} days ahead"
    if fields.get("rule"):
        last = _until(fields["rule"]["lines"])
        if last is not None and millis(last + timedelta(days=1)) < earliest_end:
            return f"the series ended more than {policy.calendar.past_days} days ago"
        return None
    if millis(instant(end)) + margin < earliest_end:
        return f"ended more than {policy.calendar.past_days} days ago"
    return None


def _until(lines: list[str]) -> datetime | None:
    """The UNTIL of a rule, if it has one; a rule with COUNT or without end is taken as still running."""
    for line in lines:
        for part in line.removeprefix("RRULE:").split(";"):
            name, _, value = part.partition("=")
            if name == "UNTIL":
                digits = value.rstrip("Z")
                form = "%Y%m%dT%H%M%S" if "T" in digits else "%Y%m%d"
                return datetime.strptime(digits, form).replace(tzinfo=UTC)
    return None
