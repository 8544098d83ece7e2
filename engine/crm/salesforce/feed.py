"""Feeds: the rows of one sObject that changed, for all mailboxes at once, in one call when nothing did."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from engine.crm.salesforce import soql
from engine.crm.salesforce.client import QueryPage, SalesforceClient
from engine.crm.salesforce.errors import SalesforceError
from engine.crm.salesforce.mapping import Context, Row
from engine.crm.salesforce.mapping_event import (
    is_occurrence,
    is_series,
    lists,
    occurrence_moment,
    occurrence_of,
)
from engine.crm.salesforce.mapping_record import ACTIVITIES
from engine.crm.salesforce.objects import EVENT, PREFIXES, SYSTEM, SObject, cancelled, observe
from engine.model.port import Observation, Page
from engine.model.turns import in_slices
from engine.net.errors import CursorExpired, ErrorKind, ProviderError

#: The recycle bin forgets after 15 days, and with it a feed loses deletions (providers.md section 6).
EXPIRES = timedelta(days=15)

#: Columns that orgs can switch off; the others are required.
OPTIONAL = frozenset({"MiddleName", "Suffix", "Salutation", "CurrencyIsoCode"})

#: Ids in one query. 500 ids of 18 characters, quoted and encoded, stay below the 16,384 characters of a URL.
IDS_PER_QUERY = 500

#: Queries that one composite request may hold.
QUERIES_PER_COMPOSITE = 5

_SERIES_COLUMNS = (
    "Id, IsDeleted, IsRecurrence2, GroupEventType, RecurrenceActivityId, IsAllDayEvent, StartDateTime, "
    "Recurrence2PatternText, Recurrence2PatternTimeZone, Syncline_Occurrence__c"
)


class Feeds:
    """Reads of all objects of one org. Remembers only which optional columns the org does not have."""

    def __init__(self, client: SalesforceClient, overlap_seconds: float, extra: Sequence[str] = ()) -> None:
        """Make the feeds.

        Args:
            client: the org.
            overlap_seconds: how far before the last read the next one starts.
            extra: further columns of opportunities.
        """
        self._client = client
        self._overlap = timedelta(seconds=overlap_seconds)
        self._extra = tuple(extra)
        self._absent: set[tuple[str, str]] = set()

    def columns(self, sobject: SObject) -> str:
        """The select list of an object, without what this org is known not to have."""
        extra = self._extra if sobject.name == "Opportunity" else ()
        return ", ".join(
            column
            for column in (*SYSTEM, *sobject.select, *extra)
            if (sobject.name, column) not in self._absent
        )

    def learn(self, sobject: SObject, error: ProviderError) -> None:
        """Leave out an optional column that the org says it does not have.

        Raises:
            ProviderError: ``error`` was about something else; for a required column, with what to do.
        """
        column = error.missing_column if isinstance(error, SalesforceError) else ""
        if not column:
            raise error
        if column in OPTIONAL and (sobject.name, column) not in self._absent:
            self._absent.add((sobject.name, column))
            return
        package = (
            "Install the connector's metadata package" if column.startswith("Syncline_") else "Check the field"
        )
        raise ProviderError(
            ErrorKind.CONFIGURATION,
            error.provider,
            f"{sobject.name} has no field {column} for the integration user",
            advice=f"{package}, and give the user's permission set read and edit access to it",
            status=error.status,
        ) from None

    async def changes(self, sobject: SObject, context: Context, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of what changed since ``cursor``, oldest first; all live rows when it is ``None``.

        A cursor is the server's time from which the next read must start: that of this read's first answer, less the
        overlap. What was seen within the overlap is listed again, with the same etag, as soon as anything there is new.

        Raises:
            CursorExpired: it is older than the recycle bin, so deletions may have been missed.
            ProviderError: a call failed.
        """
        start = _parse(cursor)
        while True:
            started = False
            try:
                async for page in self._read(sobject, context, start):
                    started = True
                    yield page
                return
            except SalesforceError as error:
                if started:
                    raise
                self.learn(sobject, error)

    async def select(self, sobject: SObject, where: str, *, deleted: bool = False) -> list[Row]:
        """All columns of the rows that meet a condition.

        Raises:
            ProviderError: a call failed.
        """
        while True:
            try:
                return await self._client.rows(
                    f"SELECT {self.columns(sobject)} FROM {sobject.name} WHERE {where}",  # noqa: S608
                    deleted=deleted,
                )
            except SalesforceError as error:
                self.learn(sobject, error)

    async def fetch(self, sobject: SObject, context: Context, ids: Sequence[str]) -> list[Observation]:
        """The present state of rows by id, in the order of ``ids``; what does not exist is deleted.

        Raises:
            ProviderError: a call failed.
        """
        found: dict[str, Row] = {}
        chunks = [ids[at : at + IDS_PER_QUERY] for at in range(0, len(ids), IDS_PER_QUERY)]
        for at in range(0, len(chunks), QUERIES_PER_COMPOSITE):
            for row in await self._fetch_rows(sobject, chunks[at : at + QUERIES_PER_COMPOSITE]):
                found[row["Id"]] = row
        observed = {each.remote_id: each for each in await self.observe_all(sobject, context, found.values())}
        return [observed.get(each) or Observation(each, sobject.modules[0], deleted=True) for each in ids]

    async def occurrences(self, sobject: SObject, context: Context, series: Sequence[str]) -> list[Observation]:
        """The changed and cancelled occurrences of series.

        Raises:
            ProviderError: a call failed.
        """
        rows: list[Row] = []
        for at in range(0, len(series), IDS_PER_QUERY):
            rows += await self.select(
                sobject,
                f"RecurrenceActivityId IN {soql.texts(series[at : at + IDS_PER_QUERY])} AND IsChild = false"
                " AND (IsRecurrence2Exception = true OR IsDeleted = true)",
                deleted=True,
            )
        found = await self.observe_all(sobject, context, rows)
        return [one for one in found if one.parent is not None and not one.deleted]

    async def observe_all(
        self, sobject: SObject, context: Context, rows: Iterable[Row], gone: set[str] | None = None
    ) -> list[Observation]:
        """What rows say, deleted occurrences of living series as cancelled ones.

        Args:
            sobject: whose rows.
            context: for reading them.
            rows: the rows.
            gone: ids of deleted series of this read, which this call extends.
        """
        rows = list(rows)
        if sobject is not EVENT:
            return await in_slices(lambda row: observe(sobject, row, context), rows)
        gone = set() if gone is None else gone
        gone.update(row["Id"] for row in rows if row["IsDeleted"] and is_series(row))
        doubtful = [
            row
            for row in rows
            if row["IsDeleted"]
            and is_occurrence(row)
            and row["RecurrenceActivityId"] not in gone
            and occurrence_of(row)
        ]
        off = await self._cancelled(doubtful) if doubtful else set()

        def seen(row: Row) -> Observation:
            return cancelled(row) if row["Id"] in off else observe(sobject, row, context)

        return await in_slices(seen, rows)

    async def _read(self, sobject: SObject, context: Context, cursor: Cursor | None) -> AsyncIterator[Page]:
        gone: set[str] = set()
        first: QueryPage | None = None
        newest: datetime | None = None  # of the first page
        listed: set[str] = set()
        activities: list[Row] = []  # those that changed, oldest first
        async for page, activity in self._pages(sobject, cursor):
            rows = list(page.rows)
            listed.update(row["Id"] for row in rows)
            if first is None:
                first = page
                activities = activity
                newest = soql.stamp(page.rows[-1]["SystemModstamp"]) if page.rows else None
                now = page.date or newest
                if cursor is not None and now is not None and now - cursor.since > EXPIRES:
                    raise CursorExpired(f"{sobject.name}: the last read is older than the recycle bin")
            following = None
            if page.last:
                position = self._position(first, newest, cursor)
                seen = sorted([*rows, *activities], key=lambda row: soql.stamp(row["SystemModstamp"]))
                if position is not None:
                    following = Cursor(position, _digest(seen, position) if page is first else "")
                if page is first and cursor is not None and cursor.seen == _digest(seen, cursor.since):
                    yield Page((), _unchanged(cursor, following, seen).text(), False, 0)
                    return
                if activities:
                    rows += await self._touched(sobject, activities, listed)
            observations = await self.observe_all(sobject, context, rows, gone)
            # Without any row and any date there is nothing to go on from: the next read is a first one again.
            text = following.text() if following else _NOWHERE if page.last else None
            yield Page(tuple(observations), text, cursor is None, page.total)

    async def _pages(
        self, sobject: SObject, cursor: Cursor | None
    ) -> AsyncIterator[tuple[QueryPage, list[Row]]]:
        """Pages of the object's rows; with the first one, where they are asked for, the activities that changed.

        A task of a record changes no stamp of the record. All three queries are one call, as one was before.
        """
        query = self._soql(sobject, cursor.since if cursor else None)
        if cursor is None or not sobject.activities:
            async for page in self._client.query(query, deleted=True):
                yield page, []
            return
        asked = [_changed_activities(name, cursor.since) for name in ACTIVITIES]
        (first, following), *others = await self._client.queries([query, *asked], deleted=True)
        activities: list[Row] = []
        for page, more in others:
            activities += page.rows
            async for rest in self._client.more(more):
                activities += rest.rows
        yield first, activities
        async for page in self._client.more(following):
            yield page, []

    async def _touched(self, sobject: SObject, activities: Sequence[Row], listed: Collection[str]) -> list[Row]:
        """The rows whose activities changed, as far as they are not listed anyway; 2,500 a call."""
        prefix = PREFIXES[sobject.name]
        ids = sorted(
            {row["WhatId"] for row in activities if str(row["WhatId"]).startswith(prefix)}.difference(listed)
        )
        chunks = [ids[at : at + IDS_PER_QUERY] for at in range(0, len(ids), IDS_PER_QUERY)]
        rows: list[Row] = []
        for at in range(0, len(chunks), QUERIES_PER_COMPOSITE):
            rows += await self._fetch_rows(sobject, chunks[at : at + QUERIES_PER_COMPOSITE])
        return rows

    def _position(self, first: QueryPage, newest: datetime | None, cursor: Cursor | None) -> datetime | None:
        """Where the next read starts.

        Whatever was committed before the first answer, less the overlap, has been seen. If one answer brought all, the
        newest stamp in it tells the same, which matters only for a server whose ``Date`` is behind its stamps.
        """
        told = [
            at for at in (first.date, newest if first.last or first.date is None else None) if at is not None
        ]
        if not told:
            return cursor.since if cursor else None
        position = max(told) - self._overlap
        position = position.replace(microsecond=position.microsecond // 1000 * 1000)  # as literals have it
        return position if cursor is None else max(position, cursor.since)

    def _soql(self, sobject: SObject, since: datetime | None) -> str:
        live = f"({sobject.live})" if sobject.live else ""
        if since is None:
            where = " AND ".join(part for part in ("IsDeleted = false", live) if part)
            if sobject is EVENT:
                where = (
                    f"({where}) OR (IsDeleted = true AND IsRecurrence2 = true AND RecurrenceActivityId != null)"
                )
        else:
            # A converted lead must still be reported, as gone; so the condition of live leads is not asked here.
            narrow = live if sobject.name != "Lead" else ""
            where = f"SystemModstamp >= {soql.moment(since)}"
            if narrow:
                where += f" AND ({narrow} OR IsDeleted = true)"
        return f"SELECT {self.columns(sobject)} FROM {sobject.name} WHERE {where} ORDER BY SystemModstamp, Id"  # noqa: S608

    async def _fetch_rows(self, sobject: SObject, chunks: Sequence[Sequence[str]]) -> list[Row]:
        while True:
            requests = [
                {
                    "method": "GET",
                    "referenceId": f"rows{number}",
                    "url": self._client.query_url(self._by_ids(sobject, chunk), deleted=True),
                }
                for number, chunk in enumerate(chunks)
            ]
            answers = await self._client.composite(requests, idempotent=True)
            failed = next((answer for answer in answers if isinstance(answer, ProviderError)), None)
            if failed is None:
                return [row for answer in answers for row in await self._client.rest_of(answer)]
            self.learn(sobject, failed)

    def _by_ids(self, sobject: SObject, ids: Sequence[str]) -> str:
        return f"SELECT {self.columns(sobject)} FROM {sobject.name} WHERE Id IN {soql.texts(ids)}"  # noqa: S608

    async def _cancelled(self, rows: Sequence[Row]) -> set[str]:
        """Ids of those deleted occurrences that people cancelled.

        An occurrence also goes when the rule of its series no longer lists it, or is replaced by a new one when the
        rule changes: it was cancelled only if its series lives, still lists it, and has no living one at that start.
        """
        series = sorted({row["RecurrenceActivityId"] for row in rows})
        starts = sorted({occurrence_moment(occurrence_of(row) or "") for row in rows})
        related: list[Row] = []
        for at in range(0, len(series), 100):
            names = soql.texts(series[at : at + 100])
            related += await self._client.rows(
                f"SELECT {_SERIES_COLUMNS} FROM Event WHERE Id IN {names}",  # noqa: S608
                deleted=True,
            )
            for begin in range(0, len(starts), 100):
                related += await self._client.rows(
                    f"SELECT {_SERIES_COLUMNS} FROM Event WHERE IsDeleted = false AND RecurrenceActivityId IN {names}"  # noqa: S608
                    f" AND Syncline_Occurrence__c IN ({', '.join(_literal(s) for s in starts[begin : begin + 100])})",
                    deleted=True,
                )
        heads = {row["Id"]: row for row in related if is_series(row) and not row["IsDeleted"]}
        alive = {
            (row["RecurrenceActivityId"], occurrence_moment(occurrence_of(row) or ""))
            for row in related
            if is_occurrence(row) and not row["IsDeleted"]
        }
        out = set()
        for row in rows:
            start = occurrence_moment(occurrence_of(row) or "")
            head = heads.get(row["RecurrenceActivityId"])
            if head is not None and (head["Id"], start) not in alive and lists(head, start):
                out.add(row["Id"])
        return out


def _changed_activities(name: str, since: datetime) -> str:
    return (
        f"SELECT Id, WhatId, IsDeleted, SystemModstamp FROM {name} WHERE WhatId != null"  # noqa: S608
        f" AND SystemModstamp >= {soql.moment(since)} ORDER BY SystemModstamp, Id"
    )


def _literal(start: str) -> str:
    return start.removesuffix("Z") + ".000Z"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a read starts and what the one before saw from there on.

    Attributes:
        since: first stamp that is read.
        seen: digest of the rows from ``since`` on that were listed already; empty when they did not fit one page.
    """

    since: datetime
    seen: str

    def text(self) -> str:
        """The cursor as the engine keeps it."""
        return json.dumps({"from": soql.moment(self.since), "seen": self.seen})


_NOWHERE = json.dumps({"from": None})

#: An unchanged feed keeps its cursor, so that an idle cycle has nothing to store, but not for longer than this.
_RENEWED_AFTER = timedelta(days=1)


def _parse(cursor: str | None) -> Cursor | None:
    if cursor is None or cursor == _NOWHERE:
        return None
    try:
        value = json.loads(cursor)
        return Cursor(soql.stamp(value["from"]), str(value.get("seen", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CursorExpired("the cursor cannot be read") from None


def _digest(rows: Sequence[Row], since: datetime) -> str:
    """A digest of the versions of the rows from ``since`` on."""
    digest = blake2b(digest_size=12)
    for row in rows:
        stamp = row["SystemModstamp"]
        if soql.stamp(stamp) >= since:
            # Whole seconds do not tell two edits apart: there the values count.
            whole = stamp[-9:-5] == ".000"
            digest.update(repr(row).encode() if whole else f"{row['Id']}{stamp}{row['IsDeleted']}".encode())
    return digest.hexdigest()


def _unchanged(cursor: Cursor, following: Cursor | None, rows: Sequence[Row]) -> Cursor:
    """The cursor after a read that saw nothing new: the same, unless a later one would spare rows the next time."""
    if following is None:
        return cursor
    spares = bool(rows) and soql.stamp(rows[0]["SystemModstamp"]) < following.since
    return following if spares or following.since - cursor.since > _RENEWED_AFTER else cursor
