"""Series and their occurrences: what an occurrence looks like, which of them lie in a span, how one is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from engine.sandbox.exchange import recurrence, store, times, zones
from engine.sandbox.exchange.errors import EwsError, not_found
from engine.sandbox.exchange.nodes import Doc, attribute, child, children, text, truth
from engine.sandbox.exchange.store import Item
from engine.sandbox.kit.world import World

DELETED = "_deleted"
"""Private entry of a series' document: original starts (epoch ms) of occurrences that do not take place."""
CUSTOM_ZONE = "_zone"
"""Private entry: the definition of a zone that is none of the known ones."""
_LONGEST = 5 * 366 * 86_400_000
_SERIES_ONLY = ("Recurrence", DELETED, "ModifiedOccurrences", "DeletedOccurrences")


def zone_of(doc: Doc) -> tzinfo:
    """The zone in which an appointment was made; UTC where it names none."""
    if CUSTOM_ZONE in doc:
        return zones.read_definition(doc[CUSTOM_ZONE])[1]
    name = attribute(doc.get("StartTimeZone"), "Id")
    return zones.of(name) if name else UTC


def span(doc: Doc) -> tuple[int, int]:
    """Start and end of an appointment (of a series: of its first occurrence), epoch milliseconds."""
    return times.parse_ms(text(doc["Start"])), times.parse_ms(text(doc["End"]))


def settle(doc: Doc) -> tuple[int, int]:
    """Check an appointment's times and recurrence, put them into their normal form, and give the span of the whole.

    Raises:
        EwsError: the end lies before the start, or it is too long, or the pattern makes no sense.
    """
    start, end = span(doc)
    zone = zone_of(doc)
    if truth(doc.get("IsAllDayEvent")):
        start, end = _whole_days(start, end, zone)
    if end < start:
        raise EwsError("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate")
    if end - start > _LONGEST:
        raise EwsError("ErrorCalendarDurationIsTooLong", "Duration is too long.")
    rule = doc.get("Recurrence")
    if rule is not None:
        recurrence.check(rule)
        found = recurrence.originals(rule, start, zone)
        first = next(found, None)
        if first is None:
            raise EwsError("ErrorRecurrenceHasNoOccurrence", "The recurrence has no occurrence in its range.")
        start, end = first, first + (end - start)
        last = first
        if recurrence.bounded(rule):
            last = max(found, default=first)
    doc["Start"], doc["End"] = times.stamp(start), times.stamp(end)
    if rule is None:
        return start, end
    return start, last + (end - start) if recurrence.bounded(rule) else store.NEVER


def _whole_days(start: int, end: int, zone: tzinfo) -> tuple[int, int]:
    """The days that a span touches. One that ends where a day begins does not touch it, also where clocks skip midnight."""
    first = times.from_ms(start).astimezone(zone).date()
    last = times.from_ms(end).astimezone(zone).date()
    if last == first or end != _begins(last, zone):
        last += timedelta(days=1)
    return _begins(first, zone), _begins(last, zone)


def _begins(day: date, zone: tzinfo) -> int:
    return times.to_ms(datetime.combine(day, time(), zone).astimezone(UTC))


def originals(master: Item) -> Iterator[int]:
    """The starts of all occurrences by the pattern, deleted and moved ones too, epoch milliseconds."""
    return recurrence.originals(master.doc["Recurrence"], span(master.doc)[0], zone_of(master.doc))


def deleted(master: Item) -> list[int]:
    """Original starts of the occurrences that do not take place."""
    return list(master.doc.get(DELETED, ()))


def view(master: Item, original: int, changed: Item | None) -> Item:
    """An occurrence as it is seen: the series' properties, its own times, and what was changed in it."""
    start, end = span(master.doc)
    doc = {name: value for name, value in master.doc.items() if name not in _SERIES_ONLY}
    doc["Start"], doc["End"] = times.stamp(original), times.stamp(original + end - start)
    own = replace(
        master,
        row=0,
        master=master.row,
        original=original,
        doc=doc,
        start_ms=original,
        end_ms=original + end - start,
        mime=None,
    )
    if changed is not None:
        own.row = changed.row
        for name, value in changed.doc.items():
            if value is None:
                doc.pop(name, None)
            elif name == "ExtendedProperty":
                doc[name] = {**doc.get(name, {}), **value}
            else:
                doc[name] = value
        own.start_ms, own.end_ms = span(doc)
        own.modified_ms = changed.modified_ms
    return own


def occurrence(world: World, master: Item, original: int) -> Item:
    """The occurrence of a series with that original start.

    Raises:
        EwsError: it is deleted, or the pattern has none at that time.
    """
    if "Recurrence" not in master.doc:
        raise not_found()
    if original in deleted(master):
        raise EwsError(
            "ErrorItemNotFound", "The specified object was not found in the store., The occurrence is deleted."
        )
    changed = store.occurrence(world, master.row, original)
    if changed is None and original != next((one for one in originals(master) if one >= original), None):
        raise not_found()
    return view(master, original, changed)


def by_index(world: World, master: Item, index: int) -> Item:
    """The ``index``-th occurrence of a series, counted from 1, deleted ones too.

    Raises:
        EwsError: out of range or deleted.
    """
    if "Recurrence" not in master.doc:
        raise EwsError(
            "ErrorCalendarCannotUseIdForOccurrenceId", "The Id is not that of a recurring master item."
        )
    for number, original in enumerate(originals(master), 1):
        if number == index:
            if original in deleted(master):
                raise EwsError(
                    "ErrorCalendarOccurrenceIsDeletedFromRecurrence",
                    "Occurrence is deleted from the recurrence.",
                )
            return view(master, original, store.occurrence(world, master.row, original))
    raise EwsError(
        "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange", "Occurrence index is out of recurrence range."
    )


def within(world: World, folder: int, low: int, high: int) -> list[Item]:
    """All appointments of a folder that touch [low, high): single ones, and series as their occurrences; by start."""
    found = []
    for one in store.items_where(
        world,
        "folder = ? AND tag = 'CalendarItem' AND master = 0 AND start_ms < ? AND end_ms >= ?",
        (folder, high, low),
    ):
        if "Recurrence" not in one.doc:
            if _touches(one.start_ms, one.end_ms, low, high):
                found.append(one)
            continue
        changed = {own.original: own for own in store.changed_occurrences(world, one.row)}
        length, gone = span(one.doc)[1] - span(one.doc)[0], set(deleted(one))
        for original in originals(one):
            if original >= high:
                break
            # What was not changed lies where the pattern puts it; most are before the span and need no look.
            if original in gone or (
                original not in changed and not _touches(original, original + length, low, high)
            ):
                continue
            own = view(one, original, changed.get(original))
            if _touches(own.start_ms, own.end_ms, low, high):
                found.append(own)
    # A changed occurrence may lie outside of its series' span.
    for changed_one in store.items_where(
        world,
        "folder = ? AND tag = 'CalendarItem' AND master <> 0 AND start_ms < ? AND end_ms >= ?",
        (folder, high, low),
    ):
        master = store.item(world, changed_one.master)
        if master is None or any(
            own.master == changed_one.master and own.original == changed_one.original for own in found
        ):
            continue
        own = view(master, changed_one.original, changed_one)
        if _touches(own.start_ms, own.end_ms, low, high):
            found.append(own)
    return sorted(found, key=lambda own: (own.start_ms, own.end_ms, own.row))


def _touches(start: int, end: int, low: int, high: int) -> bool:
    return start < high and (end > low or (start == end and start >= low))


def occurrences(master: Item, changed: dict[int, Item], until: int) -> Iterator[Item]:
    """The occurrences of a series that take place and whose original start is before ``until``."""
    gone = set(deleted(master))
    for original in originals(master):
        if original >= until:
            return
        if original not in gone:
            yield view(master, original, changed.get(original))


def check_move(world: World, master: Item, original: int, start: int) -> None:
    """Refuse to move an occurrence onto the day of a neighbour or past it, as Exchange does.

    Raises:
        EwsError: ``ErrorOccurrenceCrossingBoundary``.
    """
    zone = zone_of(master.doc)
    changed = {own.original: own for own in store.changed_occurrences(world, master.row)}
    day = times.from_ms(start).astimezone(zone).date()
    for other in occurrences(master, changed, store.NEVER):
        if other.original == original:
            continue
        beside = times.from_ms(other.start_ms).astimezone(zone).date()
        wrong = day <= beside if other.original < original else day >= beside
        if wrong:
            raise EwsError(
                "ErrorOccurrenceCrossingBoundary",
                "Modified occurrence is crossing or overlapping adjacent occurrence.",
            )
        if other.original > original:
            return


def delete_occurrence(world: World, master: Item, original: int) -> None:
    """Take an occurrence out of its series; the last one takes the series with it.

    Raises:
        EwsError: there is no such occurrence.
    """
    occurrence(world, master, original)
    changed = store.occurrence(world, master.row, original)
    if changed is not None:
        store.delete_item(world, changed)
    master.doc[DELETED] = sorted({*deleted(master), original})
    left = next(occurrences(master, {}, store.NEVER), None)
    if left is None:
        store.delete_item(world, master)
    else:
        store.update_item(world, master)


def series_changed(before: Doc, after: Doc) -> bool:
    """Whether a change of a series takes its changed and deleted occurrences with it: another pattern or other times."""
    return any(before.get(name) != after.get(name) for name in ("Start", "End", "Recurrence", "StartTimeZone"))


def recurs(doc: Doc) -> bool:
    """Whether it is a series."""
    return "Recurrence" in doc and bool(children(doc["Recurrence"]))


def home_zone(name: str) -> tzinfo:
    """The zone of a mailbox's owner."""
    return UTC if name in ("UTC", "Etc/UTC") else ZoneInfo(name)


def recipients(doc: Doc, *names: str) -> list[tuple[str, str]]:
    """Address and name of attendees in the given properties."""
    found = []
    for name in names:
        for _, one in children(doc.get(name)):
            mailbox = child(one, "Mailbox") if child(one, "Mailbox") is not None else one
            address = text(child(mailbox, "EmailAddress"))
            if address:
                found.append((address.lower(), text(child(mailbox, "Name")) or address))
    return found
