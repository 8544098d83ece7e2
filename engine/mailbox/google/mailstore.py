"""Gmail as a store of mails for filing: history, headers, whole mails, labels on and off.

Costs (units): history.list 2, messages.list 5, get 20 in any format, batchModify 50 for up to 1,000 mails; an idle check is
one history.list. Drafts, chats and spam are none of its mails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from googleapiclient.http import HttpRequest

from engine.mailbox.google import quickconnect
from engine.mailbox.google.batch import PartResult
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure, outcome_of
from engine.mailbox.google.gmail_labels import list_labels, made_by_people
from engine.mailbox.google.settings import Api
from engine.model.mail import Layout, MailCapability, MailHead, MailPage, Move, Moved, Placement
from engine.model.port import Account, Outcome, Result
from engine.net.beside import from_base64url
from engine.net.errors import CursorExpired, ProviderError

#: All that filing wants to know of a mail before it is read; of ``Received`` and the like nothing.
HEADERS = (
    "Message-ID", "Subject", "From", "Sender", "To", "Cc", "Bcc", "Date", "Sensitivity", "In-Reply-To", "References",
    quickconnect.RECORD_HEADER,
)  # fmt: skip

#: Most ids in one batchModify (gmail.v1).
MOST_MOVED = 1000

PAGE = 500
_NONE_OF_OURS = frozenset({"DRAFT", "CHAT", "SPAM"})
_TRASH = "TRASH"


class GmailStore:
    """The ``MailStore`` part of the Google connector."""

    client: GoogleClient

    @property
    def mail_capability(self) -> MailCapability:
        """Labels, any number on one mail; fifty gets a batch."""
        return MailCapability(Layout.LABELS, heads=self.client.settings.batch_size(Api.GMAIL))

    def mail_inbox(self) -> tuple[str, str]:
        """Ids of the system labels of received and sent mails."""
        return ("INBOX", "SENT")

    async def mail_start(self, account: Account) -> str:
        """The mailbox's present history id; one call.

        Raises:
            ProviderError: the call failed.
        """
        request = self.client.gmail.users.getProfile(userId="me")
        return str((await self.client.execute(request, account, idempotent=True))["historyId"])

    async def mail_changes(
        self, account: Account, cursor: str, watched: Sequence[str]
    ) -> AsyncIterator[MailPage]:
        """What happened to mails since a history id; one call per 500 records, whatever is watched.

        Raises:
            CursorExpired: Gmail no longer keeps the history back to there (404; usually after a week).
            ProviderError: a call failed.
        """
        token: str | None = None
        while True:
            more: dict[str, Any] = {"pageToken": token} if token else {}
            request = self.client.gmail.users.history.list(
                userId="me", startHistoryId=cursor, maxResults=PAGE, **more
            )
            try:
                answer = await self.client.execute(request, account, idempotent=True)
            except HttpFailure as error:
                if error.status == 404:
                    raise CursorExpired(error.detail) from None
                raise
            token = answer.get("nextPageToken")
            placements = tuple(_placements(answer.get("history") or ()))
            yield MailPage(placements, None if token else str(answer.get("historyId") or cursor))
            if not token:
                return

    async def mail_listed(
        self, account: Account, places: Sequence[str], since_ms: int | None = None
    ) -> list[Placement]:
        """The mails under some labels, 500 a call and fifty labels a batch. A label that is gone has none.

        Raises:
            ProviderError: a call failed.
        """
        query = {"q": f"after:{since_ms // 1000}"} if since_ms is not None else {}
        found: dict[str, Placement] = {}
        waiting: list[tuple[str, str | None]] = [(place, None) for place in places]
        while waiting:
            requests = [
                self.client.gmail.users.messages.list(
                    userId="me",
                    labelIds=[place],
                    maxResults=PAGE,
                    **query,
                    **({"pageToken": token} if token else {}),
                )
                for place, token in waiting
            ]
            parts = await self.client.execute_batch(Api.GMAIL, requests, account)
            following: list[tuple[str, str | None]] = []
            for (place, _), part in zip(waiting, parts, strict=True):
                if part.error is not None:
                    if part.status in (400, 404):  # "Invalid label"
                        continue
                    raise part.error
                for row in part.body.get("messages") or ():
                    known = found.get(row["id"])
                    places_now = (*(known.added if known else ()), place)
                    found[row["id"]] = Placement(
                        row["id"], row["threadId"], places_now, places_now, arrived=since_ms is not None
                    )
                if part.body.get("nextPageToken"):
                    following.append((place, part.body["nextPageToken"]))
            waiting = following
        return list(found.values())

    async def mail_heads(self, account: Account, mails: Sequence[str]) -> list[MailHead]:
        """Headers of mails, fifty a call; those that are gone are left out.

        Raises:
            ProviderError: a call failed.
        """
        requests = [self._head_request(mail) for mail in mails]
        return _heads(await self.client.execute_batch(Api.GMAIL, requests, account))

    async def mail_heads_and_places(
        self, account: Account, mails: Sequence[str]
    ) -> tuple[list[MailHead], dict[str, str] | None]:
        """Headers, and the names of the labels in the last batch, if it has room for one request more.

        No history tells of a label that was renamed, so its name has to be looked at; here it costs a unit and no call.

        Raises:
            ProviderError: a call failed; of the names alone it is no reason to file nothing.
        """
        room = len(mails) % self.client.settings.batch_size(Api.GMAIL) and self.client.batches(Api.GMAIL)
        if not room:
            return await self.mail_heads(account, mails), None
        requests = [
            *(self._head_request(mail) for mail in mails),
            self.client.gmail.users.labels.list(userId="me"),
        ]
        *parts, names = await self.client.execute_batch(Api.GMAIL, requests, account)
        return _heads(parts), _names(made_by_people(names.body)) if names.ok else None

    def _head_request(self, mail: str) -> HttpRequest:
        return self.client.gmail.users.messages.get(
            userId="me", id=mail, format="metadata", metadataHeaders=list(HEADERS)
        )

    async def mail_sources(self, account: Account, mails: Sequence[str]) -> dict[str, bytes | str]:
        """Whole mails by id, fifty a call, a single one in a call of its own; those that are gone are left out.

        Raises:
            ProviderError: a call failed.
        """
        requests = [self.client.gmail.users.messages.get(userId="me", id=mail, format="raw") for mail in mails]
        found: dict[str, bytes | str] = {}
        if len(requests) == 1:
            try:
                answer = await self.client.execute(requests[0], account, idempotent=True)
            except HttpFailure as error:
                if error.status in (400, 404):
                    return {}
                raise
            return {mails[0]: await self._source(answer)}
        for mail, part in zip(
            mails, await self.client.execute_batch(Api.GMAIL, requests, account), strict=True
        ):
            if part.ok:
                found[mail] = await self._source(part.body)
            elif part.error is not None and part.status not in (400, 404):
                raise part.error
        return found

    async def _source(self, message: Mapping[str, Any]) -> bytes:
        text = str(message.get("raw") or "")
        return await self.client.beside.run(len(text), from_base64url, text)

    async def mail_move(self, account: Account, moves: Sequence[Move]) -> list[Moved]:
        """Labels on and off, 1,000 mails a request and fifty requests a call. A mail that is gone is passed over.

        Raises:
            ProviderError: no token.
        """
        requests, owners = [], []
        for number, move in enumerate(moves):
            for start in range(0, len(move.mails), MOST_MOVED):
                body = {
                    "ids": list(move.mails[start : start + MOST_MOVED]),
                    "addLabelIds": list(move.add),
                    "removeLabelIds": list(move.remove),
                }
                requests.append(self.client.gmail.users.messages.batchModify(userId="me", body=body))
                owners.append(number)
        outcomes = [Outcome(Result.DONE) for _ in moves]
        if len(requests) == 1:
            try:
                await self.client.execute(requests[0], account, idempotent=True)
            except ProviderError as error:
                return [Moved(outcome_of(error))]
            return [Moved(one) for one in outcomes]
        parts = await self.client.execute_batch(Api.GMAIL, requests, account)
        for number, part in zip(owners, parts, strict=True):
            if part.error is not None:
                outcomes[number] = outcome_of(part.error)
        return [Moved(one) for one in outcomes]

    async def mail_deleted(self, account: Account, mails: Mapping[str, str]) -> set[str]:
        """None: a mail that is thrown away keeps its labels, and so has left none. No call."""
        return set()

    async def mail_places(self, account: Account) -> dict[str, str]:
        """The labels that people and programs made: full name by id; one call.

        Raises:
            ProviderError: the call failed.
        """
        return _names(await list_labels(self.client, account))

    async def mail_rename(self, account: Account, place: str, name: str) -> Outcome:
        """Give a label its full name."""
        request = self.client.gmail.users.labels.patch(userId="me", id=place, body={"name": name})
        try:
            await self.client.execute(request, account, idempotent=True)
        except ProviderError as error:
            return outcome_of(error)
        return Outcome(Result.DONE)

    def mail_is_ours(self, head: MailHead) -> bool:
        """Whether it is a quick connect mail: by its sender, whose domain nobody can own."""
        return quickconnect.SENDER in head.headers.get("from", "").casefold()


def _names(labels: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(row["id"]): str(row["name"]) for row in labels}


def _placements(records: Iterable[Mapping[str, Any]]) -> Iterable[Placement]:
    """One placement per mail of some history records, in the order in which they were last touched."""
    found: dict[str, dict[str, Any]] = {}

    def entry(message: Mapping[str, Any]) -> dict[str, Any]:
        one = found.pop(message["id"], None) or {
            "thread": message["threadId"], "places": set(), "added": set(), "left": set(),
            "arrived": False, "gone": False,
        }  # fmt: skip
        found[message["id"]] = one
        if "labelIds" in message:
            one["places"] = set(message["labelIds"])
        return one

    for record in records:
        for change in record.get("messagesAdded") or ():
            one = entry(change["message"])
            one["arrived"] = True
            one["added"] |= one["places"]
        for change in record.get("labelsAdded") or ():
            one = entry(change["message"])
            labels = set(change["labelIds"])
            one["places"] |= labels
            one["added"] |= labels
            one["left"] -= labels
        for change in record.get("labelsRemoved") or ():
            one = entry(change["message"])
            labels = set(change["labelIds"])
            one["places"] -= labels
            one["added"] -= labels
            one["left"] |= labels
        for change in record.get("messagesDeleted") or ():
            entry(change["message"])["gone"] = True
    for mail, one in found.items():
        if one["places"] & _NONE_OF_OURS:
            continue
        yield Placement(
            mail,
            one["thread"],
            tuple(sorted(one["places"])),
            tuple(sorted(one["added"] & one["places"])),
            tuple(sorted(one["left"])),
            arrived=one["arrived"],
            gone=one["gone"] or _TRASH in one["places"],
        )


def _heads(parts: Sequence[PartResult]) -> list[MailHead]:
    """What the answers say; mails that are gone are left out.

    Raises:
        ProviderError: of the first that failed otherwise.
    """
    found = []
    for part in parts:
        if part.ok:
            found.append(_head(part.body))
        elif part.error is not None and part.status not in (400, 404):
            raise part.error
    return found


def _head(message: Mapping[str, Any]) -> MailHead:
    headers: dict[str, str] = {}
    for row in (message.get("payload") or {}).get("headers") or ():
        headers.setdefault(str(row.get("name", "")).lower(), str(row.get("value", "")))
    labels = tuple(message.get("labelIds") or ())
    return MailHead(
        str(message["id"]),
        str(message["threadId"]),
        labels,
        int(message.get("sizeEstimate") or 0),
        headers,
        int(message.get("internalDate") or 0),
        sent="SENT" in labels,
        gone=_TRASH in labels,
        draft="DRAFT" in labels,
    )
