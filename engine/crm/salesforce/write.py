"""Writes: up to 200 records of each kind in one composite request, which also reads back what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from engine.crm.salesforce import mapping_event, soql
from engine.crm.salesforce.client import SalesforceClient
from engine.crm.salesforce.errors import SalesforceError, item_outcome
from engine.crm.salesforce.feed import Feeds
from engine.crm.salesforce.mapping import Context, Row, Unwritable
from engine.crm.salesforce.objects import EVENT, KEY, SObject, cancelled, stamp_of
from engine.model.canonical import compact
from engine.model.occurrences import OCCUPIED, occupied
from engine.model.port import Observation, Outcome, Result, Write, WriteKind
from engine.net.errors import ErrorKind, ProviderError

#: Records of one collection subrequest.
BATCH = 200


@dataclass(slots=True)
class _Job:
    """One write on its way: what shall be sent, or its outcome once that is known."""

    write: Write
    kind: WriteKind
    record_id: str = ""
    body: Row = field(default_factory=dict)
    etag: str | None = None
    cancels: bool = False  # the delete of an occurrence, which its series keeps as cancelled
    outcome: Outcome | None = None


class Writer:
    """Applies writes to one object of the org."""

    def __init__(self, client: SalesforceClient, feeds: Feeds, sobject: SObject, context: Context) -> None:
        """Make a writer.

        Args:
            client: the org.
            feeds: for reading back.
            sobject: what is written.
            context: for reading back.
        """
        self._client = client
        self._feeds = feeds
        self._sobject = sobject
        self._context = context

    async def apply(self, writes: Sequence[Write]) -> list[Outcome]:
        """Make the changes; one outcome per write, in order.

        One call for up to 200 records of each kind, and one before it when there are versions to compare, keys to look
        up after an unknown outcome, or occurrences to find.

        Raises:
            ProviderError: a call failed before anything was applied, or nobody can tell (``maybe_applied``).
        """
        jobs = [self._job(write) for write in writes]
        await self._probe([job for job in jobs if self._open(job)])
        await self._guard([job for job in jobs if self._open(job)])
        # Last, right before the write: what a person has changed or cancelled by now is left alone.
        await self._find_occurrences([job for job in jobs if self._open(job) and job.write.parent])
        todo = [job for job in jobs if self._open(job)]
        for number, chunk in enumerate(self._chunks(todo)):
            try:
                await self._send(chunk)
            except ProviderError as error:
                if number == 0:
                    raise
                # The first chunks are applied: their outcomes must not be lost with this one's.
                for job in chunk:
                    job.outcome = job.outcome or failed(error)
        await self._exclude(jobs)
        return [job.outcome or Outcome(Result.UNKNOWN, reason="no answer for this record") for job in jobs]

    def _job(self, write: Write) -> _Job:
        job = _Job(write, write.kind, write.remote_id, etag=write.etag)
        wants_cancel = bool(write.fields.get("cancelled") or write.patch.get("cancelled"))
        if write.parent and (wants_cancel or write.kind is WriteKind.DELETE):
            job.kind, job.cancels = WriteKind.DELETE, True
            return job
        if write.kind is WriteKind.DELETE:
            return job
        create = write.kind is WriteKind.CREATE and not write.parent
        writable = self._sobject.writable[write.module] - {"cancelled"}
        if write.parent:
            writable -= {"rule"}
        names = writable & (write.fields if write.kind is WriteKind.CREATE else write.patch).keys()
        if create and "family" in writable:
            names |= {"family"}
        try:
            job.body = self._sobject.write(write.module, write.fields, names, create)
        except Unwritable as error:
            job.outcome = Outcome(Result.REJECTED, reason=str(error))
        if write.kind is WriteKind.CREATE:
            job.body[KEY] = write.key
        if create and write.owner:
            job.body["OwnerId"] = write.owner
        return job

    @staticmethod
    def _open(job: _Job) -> bool:
        return job.outcome is None

    async def _find_occurrences(self, jobs: Sequence[_Job]) -> None:
        """Turn creates of single occurrences into updates or deletes of the events that Salesforce made for them.

        As long as nobody has changed these: a create is settled here where somebody was there first.
        """
        jobs = [job for job in jobs if not job.record_id]
        if not jobs:
            return
        found: dict[tuple[str, str], Row] = {}
        for at in range(0, len(jobs), BATCH):
            part = jobs[at : at + BATCH]
            parents = soql.texts(sorted({job.write.parent or "" for job in part}))
            starts = ", ".join(sorted({_literal(job.write.occurrence or "") for job in part}))
            rows = await self._feeds.select(
                EVENT,
                f"RecurrenceActivityId IN {parents} AND Syncline_Occurrence__c IN ({starts})",
                deleted=True,
            )
            for row in sorted(rows, key=lambda row: not row["IsDeleted"]):  # the living one wins
                found[(row["RecurrenceActivityId"], soql.utc(row["Syncline_Occurrence__c"]))] = row
        taken: list[tuple[_Job, Row]] = []
        for job in jobs:
            start = mapping_event.occurrence_moment(job.write.occurrence or "")
            event = found.get((job.write.parent or "", start))
            if event is None:
                job.outcome = Outcome(
                    Result.GONE, reason=f"the series has no occurrence that starts at {job.write.occurrence}"
                )
            elif event["IsDeleted"] and job.cancels:
                job.outcome = Outcome(Result.DONE, cancelled(event))
            elif event["IsDeleted"] or (event["IsRecurrence2Exception"] and job.write.kind is WriteKind.CREATE):
                taken.append((job, event))
            else:
                job.record_id = event["Id"]
                if job.kind is WriteKind.CREATE:
                    job.kind = WriteKind.UPDATE
        await self._settle_taken(taken)

    async def _settle_taken(self, taken: Sequence[tuple[_Job, Row]]) -> None:
        """Creates of occurrences that are no longer as their series makes them: done if they are as wanted, else a conflict."""
        seen = {
            each.remote_id: each
            for each in await self._feeds.observe_all(
                self._sobject, self._context, [event for _, event in taken]
            )
        }
        for job, event in taken:
            now = seen[event["Id"]]
            if now.deleted:
                # It went with its series, or with a change of the rule: nobody has cancelled it.
                job.outcome = Outcome(
                    Result.REJECTED, reason="Salesforce cannot bring back a deleted occurrence"
                )
            elif occupied(job.write, now.fields):
                job.outcome = Outcome(Result.CONFLICT, reason=OCCUPIED)
            else:
                job.outcome = Outcome(Result.DONE, now)

    async def _probe(self, jobs: Sequence[_Job]) -> None:
        """Adopt what an earlier attempt of a create made. Upsert would do, but for fields that only a create may set."""
        jobs = [job for job in jobs if job.kind is WriteKind.CREATE and job.write.attempt > 0]
        for at in range(0, len(jobs), BATCH):
            part = {job.write.key: job for job in jobs[at : at + BATCH]}
            rows = await self._feeds.select(self._sobject, f"{KEY} IN {soql.texts(part)}")
            for seen in await self._feeds.observe_all(self._sobject, self._context, rows):
                if seen.marker in part:
                    part[seen.marker].record_id = seen.remote_id
                    part[seen.marker].outcome = Outcome(Result.DONE, seen)

    async def _guard(self, jobs: Sequence[_Job]) -> None:
        """Settle what changed or went since we read it. Collections know no If-Match, so versions are compared just
        before the write: two writers within the same moment are told apart by the next read only."""
        guarded = [job for job in jobs if job.kind is not WriteKind.CREATE and job.etag and job.write.remote_id]
        if not guarded:
            return
        stamps: dict[str, Row] = {}
        for at in range(0, len(guarded), BATCH):
            ids = soql.texts(job.record_id for job in guarded[at : at + BATCH])
            for row in await self._client.rows(
                f"SELECT Id, IsDeleted, SystemModstamp FROM {self._sobject.name} WHERE Id IN {ids}",  # noqa: S608
                deleted=True,
            ):
                stamps[row["Id"]] = row
        for job in guarded:
            now = stamps.get(job.record_id)
            if now is None or now["IsDeleted"]:
                job.outcome = Outcome(Result.GONE, reason="it was deleted in Salesforce")
            elif now["SystemModstamp"] != stamp_of(job.etag or ""):
                job.outcome = Outcome(Result.CONFLICT, reason="it changed in Salesforce since it was read")

    @staticmethod
    def _chunks(jobs: Sequence[_Job]) -> list[list[_Job]]:
        """Chunks of at most 200 jobs of each kind."""
        chunks: list[list[_Job]] = []
        for kind in WriteKind:
            same = [job for job in jobs if job.kind is kind]
            for number, at in enumerate(range(0, len(same), BATCH)):
                if number == len(chunks):
                    chunks.append([])
                chunks[number] += same[at : at + BATCH]
        return chunks

    async def _send(self, jobs: Sequence[_Job]) -> None:
        """One composite request: upserts, updates, deletes, and the read of what was written.

        Raises:
            ProviderError: the call failed as a whole, or every subrequest did for the same general reason.
        """
        name, root = self._sobject.name, self._client.root
        by_kind = {kind: [job for job in jobs if job.kind is kind] for kind in WriteKind}
        creates, updates, deletes = (by_kind[kind] for kind in WriteKind)
        changes = [job for job in updates if job.body]
        requests: list[dict[str, Any]] = []
        parts: list[list[_Job]] = []

        def add(part: list[_Job], method: str, url: str, body: Any = None) -> None:
            if part:
                request = {"method": method, "url": root + url, "referenceId": f"part{len(parts)}"}
                requests.append(request if body is None else {**request, "body": body})
                parts.append(part)

        add(creates, "PATCH", f"/composite/sobjects/{name}/{KEY}", self._records(creates, lambda job: {}))
        add(changes, "PATCH", "/composite/sobjects", self._records(changes, lambda job: {"id": job.record_id}))
        ids = ",".join(job.record_id for job in deletes)
        add(deletes, "DELETE", "/composite/sobjects?" + urlencode({"ids": ids, "allOrNone": "false"}))
        if creates or updates:
            requests.append(
                {"method": "GET", "referenceId": "readback", "url": self._readback(creates, updates)}
            )
        answers = await self._client.composite(requests, idempotent=False)
        failures = [answer for answer in answers[: len(parts)] if isinstance(answer, SalesforceError)]
        if parts and len(failures) == len(parts) and failures[0].kind in GENERAL:
            raise failures[0]
        for part, answer in zip(parts, answers, strict=False):
            self._settle(part, answer)
        if creates or updates:
            await self._see(answers[-1], creates, updates)

    def _records(self, jobs: Sequence[_Job], extra: Callable[[_Job], Row]) -> dict[str, Any]:
        return {
            "allOrNone": False,
            "records": [{"attributes": {"type": self._sobject.name}, **extra(job), **job.body} for job in jobs],
        }

    def _readback(self, creates: Sequence[_Job], updates: Sequence[_Job]) -> str:
        conditions = []
        if creates:
            conditions.append(f"{KEY} IN {soql.texts(job.write.key for job in creates)}")
        if updates:
            conditions.append(f"Id IN {soql.texts(job.record_id for job in updates)}")
        where = " OR ".join(conditions)
        return self._client.query_url(
            f"SELECT {self._feeds.columns(self._sobject)} FROM {self._sobject.name} WHERE {where}"  # noqa: S608
        )

    def _settle(self, jobs: Sequence[_Job], answer: Any) -> None:
        """Outcomes from the answer to one subrequest: a list of ``{id, success, errors}`` in the order of the jobs."""
        if isinstance(answer, SalesforceError):
            for job in jobs:
                job.outcome = failed(answer)
            return
        for job, row in zip(jobs, answer if isinstance(answer, list) else [], strict=False):
            if row.get("success"):
                job.record_id = row.get("id") or job.record_id
                seen = self._cancelled(job) if job.cancels else None
                job.outcome = Outcome(Result.DONE, seen)
            else:
                job.outcome = item_outcome(row.get("errors"), existing=job.kind is not WriteKind.CREATE)

    def _cancelled(self, job: _Job) -> Observation:
        write = job.write
        return Observation(
            job.record_id, write.module, {"cancelled": True}, parent=write.parent, occurrence=write.occurrence
        )

    async def _see(self, answer: Any, creates: Sequence[_Job], updates: Sequence[_Job]) -> None:
        """Put what was read back into the outcomes of what was written."""
        written = [
            job for job in (*creates, *updates) if job.outcome is None or job.outcome.result is Result.DONE
        ]
        try:
            if isinstance(answer, SalesforceError):
                ids = [job.record_id for job in written if job.record_id]
                observations = await self._feeds.fetch(self._sobject, self._context, ids)
            else:
                rows = await self._client.rest_of(answer)
                observations = await self._feeds.observe_all(self._sobject, self._context, rows)
        except ProviderError:
            # It is written all the same: say what we sent, without a version; the feed brings the rest.
            observations = [self._sent(job) for job in written if job.outcome is not None]
        seen = {each.remote_id: each for each in observations}
        for job in written:
            observation = seen.get(job.record_id)
            if job.kind is WriteKind.UPDATE and (observation is None or observation.deleted):
                job.outcome = Outcome(Result.GONE, reason="it was deleted in Salesforce")
            else:
                job.outcome = Outcome(Result.DONE, observation or self._sent(job))

    def _sent(self, job: _Job) -> Observation:
        write = job.write
        known = self._sobject.fields[write.module]
        fields = compact({name: value for name, value in write.fields.items() if name in known})
        return Observation(
            job.record_id,
            write.module,
            fields,
            marker=job.body.get(KEY),
            parent=write.parent,
            occurrence=write.occurrence,
        )

    async def _exclude(self, jobs: Sequence[_Job]) -> None:
        """Delete the occurrences that ``EXDATE`` lines take out of the series that were just written."""
        if self._sobject is not EVENT:
            return
        wanted = {
            job.record_id: starts
            for job in jobs
            if job.outcome is not None
            and job.outcome.result is Result.DONE
            and "Recurrence2PatternText" in job.body
            and (starts := mapping_event.excluded(job.write.fields))
        }
        if not wanted:
            return
        try:
            await self._delete_occurrences(wanted)
        except ProviderError as error:
            # The series stands, its exclusions perhaps not: a repeat finds the series by its key and excludes again.
            for job in jobs:
                if job.record_id in wanted:
                    job.outcome = Outcome(Result.UNKNOWN, reason=error.detail)

    async def _delete_occurrences(self, wanted: Mapping[str, Sequence[str]]) -> None:
        literals = ", ".join(sorted({_literal(start) for starts in wanted.values() for start in starts}))
        rows = await self._client.rows(
            f"SELECT Id, RecurrenceActivityId, Syncline_Occurrence__c FROM Event WHERE "  # noqa: S608
            f"RecurrenceActivityId IN {soql.texts(wanted)} AND Syncline_Occurrence__c IN ({literals})"
        )
        ids = [
            row["Id"]
            for row in rows
            if soql.utc(row["Syncline_Occurrence__c"]) in wanted[row["RecurrenceActivityId"]]
        ]
        for at in range(0, len(ids), BATCH):
            await self._client.request(
                "DELETE",
                "/composite/sobjects",
                params={"ids": ",".join(ids[at : at + BATCH]), "allOrNone": "false"},
                idempotent=True,
            )


#: Failures that do not concern single records.
GENERAL = frozenset(
    {
        ErrorKind.THROTTLED,
        ErrorKind.UNAVAILABLE,
        ErrorKind.CREDENTIAL,
        ErrorKind.PERMISSION,
        ErrorKind.CONFIGURATION,
    }
)


def failed(error: ProviderError) -> Outcome:
    """The outcome of each record of a request that failed as a whole."""
    if error.maybe_applied:
        return Outcome(Result.UNKNOWN, reason=error.detail)
    if error.kind in GENERAL:
        return Outcome(Result.REFUSED, reason=error.detail, retry_after=error.retry_after)
    return Outcome(Result.REJECTED, reason=error.detail)


def _literal(occurrence: str) -> str:
    return mapping_event.occurrence_moment(occurrence).removesuffix("Z") + ".000Z"
