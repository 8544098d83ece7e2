"""Salesforce as an archive of e-mails: EmailMessage with its people and files, and records made from mails.

Sources: object reference of EmailMessage (addresses of people whom Salesforce knows go by id into ``ToIds`` and its like,
the others into ``ToAddress``; a stored message cannot be changed but for custom fields, hence creates and no upserts),
EmailMessageRelation (the sender needs a row of type ``FromAddress``), ContentVersion (a file given its
``FirstPublishLocationId`` is linked to that record). Each message and file carries its key in the package's unique
external id, which the server checks: whatever is repeated, by whom, stands there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from engine.crm.salesforce import soql
from engine.crm.salesforce.client import SalesforceClient
from engine.crm.salesforce.errors import SalesforceError, item_outcome
from engine.crm.salesforce.mapping import Row, Unwritable
from engine.crm.salesforce.objects import KEY, OF_MODULE
from engine.crm.salesforce.write import BATCH, GENERAL, failed
from engine.model.mail import Address, Filed, Filing, MadeRecord, NewRecord, Person
from engine.model.modules import Module
from engine.model.port import Outcome, Result
from engine.net.beside import to_base64
from engine.net.errors import ProviderError

#: Characters that the fields take (field reference).
SUBJECT, BODY, LIST, HEADERS, NAME, ID, FILE_TITLE, FILE_PATH = 3000, 131_072, 4000, 32_000, 1000, 765, 255, 500

#: Characters of addresses in one query, which keeps the WHERE clause below 4,000.
QUERY_CHARACTERS = 3500
QUERIES = 5

#: Characters of bodies, and bytes of files, in one request.
REQUEST_BYTES = 4_000_000

SUBREQUESTS = 25

#: Status of an EmailMessage: read, sent.
READ, SENT = "1", "3"

REQUIRED: Mapping[Module, tuple[str, ...]] = {
    Module.CONTACT: ("family",),
    Module.LEAD: ("family", "company"),
    Module.OPPORTUNITY: ("name", "stage", "close_date"),
    Module.CASE: ("name",),
}


class SalesforceArchive:
    """The ``MailArchive`` part of the Salesforce connector."""

    _client: SalesforceClient

    def mail_required(self, module: Module) -> tuple[str, ...]:
        """Fields that Salesforce demands of a new record."""
        return REQUIRED.get(module, ())

    async def mail_people(self, addresses: Sequence[str]) -> dict[str, Person]:
        """Contacts, leads and users by address, five queries a call.

        Raises:
            ProviderError: a call failed.
        """
        wanted = sorted({address.casefold() for address in addresses if "@" in address})
        queries = [
            (kind, question.format(soql.texts(part)))
            for part in _by_characters(wanted)
            for kind, question in _PEOPLE
        ]
        found: dict[tuple[str, str], Person] = {}
        for start in range(0, len(queries), QUERIES):
            part = queries[start : start + QUERIES]
            requests = [
                {"method": "GET", "url": self._client.query_url(text), "referenceId": f"people{number}"}
                for number, (_, text) in enumerate(part)
            ]
            for (kind, _), answer in zip(
                part, await self._client.composite(requests, idempotent=True), strict=True
            ):
                if isinstance(answer, SalesforceError):
                    raise answer
                for row in await self._client.rest_of(answer):
                    person = Person(
                        row["Id"], kind, row["Email"].casefold(), row["Name"] or "", row.get("AccountId") or ""
                    )
                    found.setdefault((person.address, kind), person)
        people: dict[str, Person] = {}
        for kind, _ in reversed(_PEOPLE):
            people |= {address: person for (address, one), person in found.items() if one == kind}
        return people

    async def mail_file(self, filings: Sequence[Filing]) -> list[Filed]:
        """File mails: one call for up to 200 small ones, one for the senders whom Salesforce knows, one for files.

        Raises:
            ProviderError: nothing at all could be written (session, rights, allowance).
        """
        filed: dict[int, Filed] = {}
        for chunk in _chunks(filings):
            try:
                answers = await self._messages([filings[index] for index in chunk])
            except ProviderError as error:
                if error.kind in GENERAL and not error.maybe_applied and not filed:
                    raise
                filed |= {index: Filed(failed(error)) for index in chunk}
                continue
            filed |= dict(zip(chunk, answers, strict=True))
        done = [index for index, one in filed.items() if one.activity]
        await self._complete(filings, filed, done)
        return [filed[index] for index in range(len(filings))]

    async def mail_find(self, keys: Sequence[str]) -> dict[str, str]:
        """Ids of messages by key, 200 keys a call.

        Raises:
            ProviderError: a call failed.
        """
        found: dict[str, str] = {}
        for start in range(0, len(keys), BATCH):
            wanted = soql.texts(keys[start : start + BATCH])
            rows = await self._client.rows(f"SELECT Id, {KEY} FROM EmailMessage WHERE {KEY} IN {wanted}")  # noqa: S608
            found |= {row[KEY]: row["Id"] for row in rows}
        return found

    async def mail_unfile(self, activities: Sequence[str]) -> list[Outcome]:
        """Delete e-mails, 200 a call.

        Raises:
            ProviderError: a call failed as a whole.
        """
        outcomes: list[Outcome] = []
        for start in range(0, len(activities), BATCH):
            part = activities[start : start + BATCH]
            answer = await self._client.request(
                "DELETE",
                "/composite/sobjects",
                params={"ids": ",".join(part), "allOrNone": "false"},
                idempotent=True,
            )
            outcomes += [
                Outcome(Result.DONE) if row.get("success") else item_outcome(row.get("errors"), existing=True)
                for row in answer.body
            ]
        return outcomes

    async def mail_create(self, records: Sequence[NewRecord]) -> list[MadeRecord]:
        """Make records by upsert of their keys; one call per object and 200 records.

        Raises:
            ProviderError: a call failed before anything was applied, or nobody can tell.
        """
        made: dict[int, MadeRecord] = {}
        bodies: dict[str, list[tuple[int, Row]]] = {}
        for index, record in enumerate(records):
            sobject = OF_MODULE[record.module]
            names = sobject.writable[record.module] & record.fields.keys()
            try:
                body = sobject.write(record.module, dict(record.fields), names, True)
            except Unwritable as error:
                made[index] = MadeRecord(Outcome(Result.REJECTED, reason=str(error)))
                continue
            body |= {KEY: record.key, **_related(record), **({"OwnerId": record.owner} if record.owner else {})}
            bodies.setdefault(sobject.name, []).append((index, body))
        for name, rows in bodies.items():
            for start in range(0, len(rows), BATCH):
                part = rows[start : start + BATCH]
                answer = await self._client.request(
                    "PATCH",
                    f"/composite/sobjects/{name}/{KEY}",
                    body={
                        "allOrNone": False,
                        "records": [{"attributes": {"type": name}, **body} for _, body in part],
                    },
                    idempotent=True,  # the key is unique
                )
                for (index, _), row in zip(part, answer.body, strict=True):
                    if row.get("success"):
                        made[index] = MadeRecord(Outcome(Result.DONE), str(row["id"]))
                    else:
                        made[index] = MadeRecord(item_outcome(row.get("errors"), existing=False))
        return [made[index] for index in range(len(records))]

    # -- inside ------------------------------------------------------------------------------------------

    async def _messages(self, filings: Sequence[Filing]) -> list[Filed]:
        """Create messages, and read back by key which stand there: those made now and those of before."""
        keys = soql.texts(filing.key for filing in filings)
        records = [{"attributes": {"type": "EmailMessage"}, **_body(filing)} for filing in filings]
        root = self._client.root
        create, back = await self._client.composite(
            [
                {
                    "method": "POST",
                    "url": f"{root}/composite/sobjects",
                    "referenceId": "create",
                    "body": {"allOrNone": False, "records": records},
                },
                {
                    "method": "GET",
                    "referenceId": "back",
                    "url": self._client.query_url(
                        f"SELECT Id, {KEY} FROM EmailMessage WHERE {KEY} IN {keys}"  # noqa: S608
                    ),
                },
            ]
        )
        if isinstance(create, SalesforceError):
            raise create
        there: dict[str, str] = {}
        if not isinstance(back, SalesforceError):
            there = {row[KEY]: row["Id"] for row in await self._client.rest_of(back)}
        answers = []
        for filing, row in zip(filings, create, strict=True):
            if row.get("success"):
                answers.append(Filed(Outcome(Result.DONE), str(row["id"])))
            elif filing.key in there:
                answers.append(Filed(Outcome(Result.DONE), there[filing.key], before=True))
            else:
                answers.append(Filed(item_outcome(row.get("errors"), existing=False)))
        return answers

    async def _complete(self, filings: Sequence[Filing], filed: dict[int, Filed], done: Sequence[int]) -> None:
        """Senders and files of messages that stand; one that cannot be completed now is not done."""
        senders, files = set[str](), set[str]()
        before = [index for index in done if filed[index].before]
        try:
            if before:
                ids = soql.texts(filed[index].activity for index in before)
                senders = {
                    row["EmailMessageId"]
                    for row in await self._client.rows(
                        "SELECT EmailMessageId FROM EmailMessageRelation WHERE RelationType = 'FromAddress' AND "  # noqa: S608
                        f"EmailMessageId IN {ids}"
                    )
                }
                files = {
                    row[KEY]
                    for row in await self._client.rows(
                        f"SELECT {KEY} FROM ContentVersion WHERE FirstPublishLocationId IN {ids}"  # noqa: S608
                    )
                }
            await self._senders(filings, filed, [one for one in done if filed[one].activity not in senders])
        except ProviderError as error:
            # The repeat finds the message by its key and goes on here.
            later = Filed(Outcome(Result.UNKNOWN, reason=error.detail, retry_after=error.retry_after))
            filed |= dict.fromkeys(done, later)
            return
        await self._files(filings, filed, done, files)

    async def _senders(
        self, filings: Sequence[Filing], filed: Mapping[int, Filed], done: Sequence[int]
    ) -> None:
        rows = []
        for index in done:
            filing = filings[index]
            person = filing.people.get(filing.mail.sender.address.casefold())
            if person is not None:
                rows.append(
                    {
                        "attributes": {"type": "EmailMessageRelation"},
                        "EmailMessageId": filed[index].activity,
                        "RelationId": person.id,
                        "RelationType": "FromAddress",
                        "RelationAddress": filing.mail.sender.address[:255],
                    }
                )
        for start in range(0, len(rows), BATCH):
            await self._client.request(
                "POST",
                "/composite/sobjects",
                body={"allOrNone": False, "records": rows[start : start + BATCH]},
            )

    async def _files(
        self, filings: Sequence[Filing], filed: dict[int, Filed], done: Sequence[int], present: set[str]
    ) -> None:
        waiting: list[tuple[int, Row, int]] = []
        for index in done:
            filing = filings[index]
            for number, file in enumerate(filing.mail.attachments):
                key = f"{filing.key}.{number}"
                if file.data is None or key in present:
                    continue
                body = {
                    "Title": file.name[:FILE_TITLE],
                    "PathOnClient": file.name[-FILE_PATH:],
                    "VersionData": await self._client.beside.run(len(file.data), to_base64, file.data),
                    "FirstPublishLocationId": filed[index].activity,
                    KEY: key,
                }
                waiting.append((index, body, len(file.data)))
        for part in _parcels(waiting):
            try:
                answers = await self._store(
                    [body for _, body, _ in part], size=sum(length for _, _, length in part)
                )
            except ProviderError as error:
                answers = [error] * len(part)
            for (index, body, _), answer in zip(part, answers, strict=True):
                if answer is not None:
                    filed[index] = _with_fault(filed[index], str(body["Title"]), answer)

    async def _store(self, bodies: Sequence[Row], *, size: int) -> list[ProviderError | None]:
        """Store files; ``None`` for each that stands there now."""
        if len(bodies) == 1:
            try:
                await self._client.request("POST", "/sobjects/ContentVersion", body=bodies[0], size=size)
            except SalesforceError as error:
                return [None if error.code == "DUPLICATE_VALUE" else error]
            return [None]
        answers = await self._client.composite(
            [
                {
                    "method": "POST",
                    "url": f"{self._client.root}/sobjects/ContentVersion",
                    "referenceId": f"file{number}",
                    "body": body,
                }
                for number, body in enumerate(bodies)
            ],
            size=size,
        )
        return [
            answer if isinstance(answer, SalesforceError) and answer.code != "DUPLICATE_VALUE" else None
            for answer in answers
        ]


#: Who is looked for, the most wanted first.
_PEOPLE = (
    (
        "contact",
        "SELECT Id, Name, Email, AccountId FROM Contact WHERE Email IN {} ORDER BY LastModifiedDate DESC, Id",
    ),
    (
        "lead",
        "SELECT Id, Name, Email FROM Lead WHERE IsConverted = false AND Email IN {} ORDER BY LastModifiedDate DESC, Id",
    ),
    (
        "user",
        "SELECT Id, Name, Email FROM User WHERE IsActive = true AND Email IN {} ORDER BY LastModifiedDate DESC, Id",
    ),
)


def _by_characters(addresses: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for address in addresses:
        if part and size + len(address) + 3 > QUERY_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(address)
        size += len(address) + 3
    if part:
        yield part


def _chunks(filings: Sequence[Filing]) -> Iterator[list[int]]:
    """Indexes of mails that go into one request."""
    chunk: list[int] = []
    size = 0
    for index, filing in enumerate(filings):
        own = min(len(filing.mail.text), BODY) + min(len(filing.mail.html), BODY) + 2000
        if chunk and (len(chunk) == BATCH or size + own > REQUEST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(index)
        size += own
    if chunk:
        yield chunk


def _parcels(files: Sequence[tuple[int, Row, int]]) -> Iterator[list[tuple[int, Row, int]]]:
    """Files that go into one request."""
    parcel: list[tuple[int, Row, int]] = []
    size = 0
    for file in files:
        if parcel and (len(parcel) == SUBREQUESTS or size + file[2] > REQUEST_BYTES):
            yield parcel
            parcel, size = [], 0
        parcel.append(file)
        size += file[2]
    if parcel:
        yield parcel


def _with_fault(filed: Filed, name: str, error: ProviderError) -> Filed:
    """A message whose file could not be stored: to be repeated when that may help, else done with a reason."""
    outcome = failed(error)
    if outcome.result is Result.REJECTED:
        said = f"the attachment {name} was not taken: {error.detail}"
        reason = "; ".join(part for part in (filed.outcome.reason, said) if part)
        return Filed(Outcome(filed.outcome.result, reason=reason), filed.activity, filed.before)
    return Filed(
        Outcome(Result.UNKNOWN, reason=f"{name}: {error.detail}", retry_after=error.retry_after),
        filed.activity,
        filed.before,
    )


def _related(record: NewRecord) -> Row:
    """Whom a new record belongs to."""
    person = record.person
    if person is None or person.kind != "contact":
        return {}
    if record.module is Module.CASE:
        return {"ContactId": person.id}
    return {"AccountId": person.account} if record.module is Module.OPPORTUNITY and person.account else {}


def _body(filing: Filing) -> Row:
    """The EmailMessage of a mail."""
    mail = filing.mail
    body: Row = {
        KEY: filing.key,
        "Subject": mail.subject[:SUBJECT] or "(no subject)",
        "TextBody": _cut(_text(filing), BODY),
        "FromAddress": mail.sender.address[:NAME] or None,
        "FromName": mail.sender.name[:NAME] or None,
        "Incoming": filing.incoming,
        "Status": READ if filing.incoming else SENT,
        "MessageDate": soql.moment(datetime.fromtimestamp(filing.sent_ms / 1000, UTC)),
        "MessageIdentifier": mail.message_id[:ID],
        "ThreadIdentifier": filing.thread[:ID] or None,
        "IsClientManaged": True,
        "Headers": _cut(_headers(filing), HEADERS),
    }
    if mail.html and len(mail.html) <= BODY:
        body["HtmlBody"] = mail.html
    if filing.module is Module.CASE:
        body["ParentId"] = filing.record
    elif filing.record and filing.module is Module.OPPORTUNITY:
        body["RelatedToId"] = filing.record
    for kind, those in (("To", mail.to), ("Cc", mail.cc), ("Bcc", mail.bcc)):
        known = [
            filing.people[one.address.casefold()].id for one in those if one.address.casefold() in filing.people
        ]
        others = [one.address for one in those if one.address.casefold() not in filing.people]
        if known:
            body[f"{kind}Ids"] = list(dict.fromkeys(known))
        if others:
            body[f"{kind}Address"] = _addresses(others)
    return body


def _addresses(addresses: Iterable[str]) -> str:
    """As many addresses as the field takes; all of them stand in the headers."""
    out = ""
    for address in dict.fromkeys(addresses):
        more = f"{out}; {address}" if out else address
        if len(more) > LIST:
            break
        out = more
    return out


def _headers(filing: Filing) -> str:
    mail = filing.mail

    def line(name: str, those: Sequence[Address]) -> str:
        return f"{name}: " + ", ".join(f"{one.name} <{one.address}>".strip() for one in those)

    lines = [f"Message-ID: <{mail.message_id}>", line("From", [mail.sender])]
    lines += [
        line(name, those) for name, those in (("To", mail.to), ("Cc", mail.cc), ("Bcc", mail.bcc)) if those
    ]
    return "\n".join(lines)


def _text(filing: Filing) -> str:
    """The text, and the files that are not stored."""
    mail = filing.mail
    listed = [
        f"- {file.name} ({file.size:,} bytes){': ' + file.why if file.why else ''}"
        for file in mail.attachments
        if file.data is None
    ]
    html = (
        ["", "[The HTML of this mail is too long for Salesforce and was left out.]"]
        if len(mail.html) > BODY
        else []
    )
    if not listed and not html:
        return mail.text
    files = ["", "Attachments that are not stored here:", *listed] if listed else []
    tail = "\n".join([*html, *files])
    return _cut(mail.text, BODY - len(tail) - 100) + "\n" + tail


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    note = f"\n[cut: {len(text) - most + 60:,} characters more]"
    return text[: max(most - len(note), 0)] + note[:most]
