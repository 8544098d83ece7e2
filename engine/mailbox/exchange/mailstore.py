"""Exchange as a store of mails for filing: drop folders looked at, headers, whole mails, and mails moved on.

A mail lies in one folder, and ``MoveItem`` gives it another id: what tells a mail apart for good is its Message-ID, by
which filing knows it. Nothing is deleted here, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.mailbox.exchange import errors, feed, folders, mail_watch, props, search
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import T, children, element, flag_of, leaf, stamp, text_of, time_of
from engine.mailbox.google import quickconnect
from engine.model.mail import Layout, MailCapability, MailHead, MailPage, Move, Moved, Placement
from engine.model.port import Account, Outcome, Result
from engine.net.beside import from_base64
from engine.net.errors import ProviderError

#: Where a mail is that a person has deleted: at first, and when it was deleted there or with the Shift key.
_DELETED = (mail_watch.BIN, "recoverableitemsdeletions")

#: Mails moved by one call.
MOST_MOVED = 100

_HEAD_FIELDS = (
    "item:ParentFolderId", "item:Subject", "item:Sensitivity", "item:DateTimeReceived", "item:Size", "item:InReplyTo",
    "item:IsSubmitted", "item:IsDraft", "item:DateTimeSent", "item:ConversationId", "message:From", "message:Sender",
    "message:ToRecipients", "message:CcRecipients", "message:BccRecipients", "message:InternetMessageId",
    "message:References",
)  # fmt: skip
_HEAD = props.shape(_HEAD_FIELDS, body=False)

_SOURCE = element("m:ItemShape", leaf("t:BaseShape", "IdOnly") + leaf("t:IncludeMimeContent", True))

#: Exchange cannot write this one item as a mail; it would say so each time.
_NO_MIME = frozenset(
    {
        "ErrorUnsupportedMimeConversion",
        "ErrorMimeContentConversionFailed",
        "ErrorMimeContentInvalid",
        "ErrorContentConversionFailed",
        "ErrorCorruptData",
        "ErrorMessageSizeExceeded",
        "ErrorAccessDenied",
    }
)

#: A mail's header by Exchange's property (RFC 2156 5.3.4).
_SENSITIVITY = {"Normal": "", "Confidential": "Company-Confidential"}

#: The folder to which mails should go is not there.
_NO_TARGET = frozenset({"ErrorToFolderNotFound", "ErrorFolderNotFound", "ErrorInvalidFolderId"})


class ExchangeStore:
    """The ``MailStore`` part of the Exchange connector."""

    client: ExchangeClient
    #: Folders that the last check of a mailbox has listed, by address.
    listed: dict[str, tuple[str, ...]]
    #: Mailboxes in which mails were moved since their last check.
    moved: set[str]

    @property
    def mail_capability(self) -> MailCapability:
        """Folders; a hundred heads a call, and whole mails in parcels that a mailbox server bears."""
        return MailCapability(Layout.FOLDERS, heads=feed.READ)

    def mail_inbox(self) -> tuple[str, str]:
        """Exchange's own names of the folders of received and sent mails."""
        return (mail_watch.INBOX, mail_watch.SENT)

    async def mail_start(self, account: Account) -> str:
        """The cursor of this moment; three calls.

        Raises:
            ProviderError: a call failed.
        """
        return (await mail_watch.start(self.client, account)).text()

    async def mail_changes(
        self, account: Account, cursor: str, watched: Sequence[str]
    ) -> AsyncIterator[MailPage]:
        """What lies in watched folders that have changed, and what has arrived; one call when nothing has.

        Raises:
            CursorExpired: it is another mailbox than the cursor's, or the cursor cannot be read.
            ProviderError: a call failed.
        """
        # Exchange tells the time of a change in whole seconds: where we took a mail away, another may have come within
        # the same second, and the folder looks as it did before.
        again = self.listed.get(account.email, ()) if account.email in self.moved else ()
        page = await mail_watch.changes(self.client, account, cursor, watched, again)
        self.listed[account.email] = page.listed
        self.moved.discard(account.email)
        yield page

    async def mail_listed(
        self, account: Account, places: Sequence[str], since_ms: int | None = None
    ) -> list[Placement]:
        """The mails in some folders, all or those received since a time. A folder that is gone has none.

        Raises:
            ProviderError: a call failed.
        """
        if not places:
            return []
        if since_ms is not None:
            begin = stamp(datetime.fromtimestamp(since_ms / 1000, UTC))
            return mail_watch.arrivals_of(await mail_watch.since(self.client, account, places, begin))
        present = await mail_watch.spots(self.client, account)
        found, _ = await mail_watch.listed(
            self.client, account, [present[one] for one in places if one in present]
        )
        return found

    async def mail_heads(self, account: Account, mails: Sequence[str]) -> list[MailHead]:
        """Headers of mails, a hundred a call; those that are gone are left out. Exchange keeps them as properties.

        Raises:
            ProviderError: a call failed.
        """
        ids = [element("t:ItemId", Id=mail) for mail in mails]
        nodes = await feed.get_items(self.client, account, _HEAD, ids)
        own = {account.email.casefold(), account.exchange_email.casefold()} - {""}
        return [_head(node, own) for node in nodes if node is not None]

    async def mail_sources(self, account: Account, mails: Sequence[str]) -> dict[str, bytes | str]:
        """Whole mails by id, in one call, or why Exchange cannot give one; those that are gone are left out.

        Raises:
            ProviderError: the call failed.
        """
        found: dict[str, bytes | str] = {}
        if not mails:
            return found
        ids = "".join(element("t:ItemId", Id=mail) for mail in mails)
        body = element("m:GetItem", _SOURCE + element("m:ItemIds", ids))
        messages = await self.client.call(account, "GetItem", body, idempotent=True)
        if len(messages) != len(mails):
            raise feed.short("GetItem", len(mails), len(messages))
        for mail, message in zip(mails, messages, strict=True):
            items = message.items()
            if message.ok and items:
                text = text_of(items[0], "MimeContent")
                found[mail] = await self.client.beside.run(len(text), _source, text)
            elif message.code in _NO_MIME:
                found[mail] = f"Exchange cannot give it as a mail: {message.text} ({message.code})"
            elif not errors.is_gone(message.code):
                raise errors.fault_of(message.code, message.text, message.back_off)
        return found

    async def mail_move(self, account: Account, moves: Sequence[Move]) -> list[Moved]:
        """Put mails into other folders, a hundred a call for each folder. A mail that is gone is passed over.

        Raises:
            ProviderError: the mailbox or the connection is at fault.
        """
        self.moved.add(account.email)
        outcomes = [Outcome(Result.DONE) for _ in moves]
        ids: list[dict[str, str]] = [{} for _ in moves]
        by_folder: dict[str, list[tuple[int, str]]] = {}
        for number, move in enumerate(moves):
            if move.add:
                by_folder.setdefault(move.add[0], []).extend((number, mail) for mail in move.mails)
        for folder, those in by_folder.items():
            for start in range(0, len(those), MOST_MOVED):
                part = those[start : start + MOST_MOVED]
                try:
                    messages = await self._move(account, folder, [mail for _, mail in part])
                except ProviderError as error:
                    lost = Result.UNKNOWN if error.maybe_applied else Result.REFUSED
                    for number, _ in part:
                        outcomes[number] = Outcome(lost, reason=error.detail, retry_after=error.retry_after)
                    continue
                for (number, mail), message in zip(part, messages, strict=True):
                    if message.ok and message.items():
                        ids[number][mail] = props.id_of(message.items()[0])[0]
                    elif message.code in _NO_TARGET:
                        outcomes[number] = Outcome(Result.REJECTED, reason=message.text)
                    elif not message.ok and not errors.is_gone(message.code):
                        outcomes[number] = errors.outcome_of(message.code, message.text, message.back_off)
        return [Moved(outcome, found) for outcome, found in zip(outcomes, ids, strict=True)]

    async def _move(self, account: Account, folder: str, mails: Sequence[str]) -> list[Message]:
        body = element(
            "m:MoveItem",
            element("m:ToFolderId", folders.reference(folder))
            + element("m:ItemIds", "".join(element("t:ItemId", Id=mail) for mail in mails))
            + leaf("m:ReturnNewItemIds", True),
        )
        # A mail that was moved has another id: a repeat finds nothing more to move.
        messages = await self.client.call(account, "MoveItem", body, idempotent=True)
        if len(messages) != len(mails):
            raise feed.short("MoveItem", len(mails), len(messages))
        return messages

    async def mail_deleted(self, account: Account, mails: Mapping[str, str]) -> set[str]:
        """Those that lie in Deleted Items, or among what can still be recovered, by their Message-IDs; one call for fifty.

        Raises:
            ProviderError: a call failed.
        """
        found: set[str] = set()
        wanted = [(mail, f"<{message}>") for mail, message in mails.items() if message]
        for start in range(0, len(wanted), search.PROBES):
            part = wanted[start : start + search.PROBES]
            there = await search.by_message_ids(self.client, account, _DELETED, [said for _, said in part])
            found |= {mail for mail, said in part if said in there}
        return found

    async def mail_places(self, account: Account) -> dict[str, str]:
        """Full name by id of the mailbox's folders but those in Deleted Items; one call, two to Exchange 2010.

        Raises:
            ProviderError: a call failed.
        """
        present = await self._tree(account)
        bin_ = next((one.id for one in present if one.special == mail_watch.BIN), "")
        if not bin_:
            [found] = await folders.get(self.client, account, [mail_watch.BIN])
            bin_ = found.id if found is not None else ""
        away = folders.within(present, bin_) if bin_ else set()
        return {one: path for one, path in folders.paths(present).items() if one not in away}

    async def _tree(self, account: Account) -> list[folders.Folder]:
        """All folders of a mailbox; Exchange tells which are its own since 2013."""
        named = self.client.settings.version != "Exchange2010"
        return await folders.below(self.client, account, folders.ROOT, special=named)

    async def mail_rename(self, account: Account, place: str, name: str) -> Outcome:
        """Give a folder its full name: put it where that says, then call it so."""
        try:
            present = await self._tree(account)
            full = folders.paths(present)
            if place not in full:
                return Outcome(Result.GONE, reason="the folder is no longer there")
            above, _, own = name.rpartition("/")
            if full[place].rpartition("/")[0].casefold() != above.casefold():
                parent = next((one for one, path in full.items() if path.casefold() == above.casefold()), "")
                if above and not parent:
                    return Outcome(Result.REJECTED, reason=f"there is no folder {above}")
                message = await folders.move(self.client, account, place, parent or folders.ROOT)
                if not message.ok:
                    return errors.outcome_of(message.code, message.text, message.back_off)
            if full[place].rpartition("/")[2] != own:
                message = (await folders.rename(self.client, account, {place: own}))[place]
                if not message.ok:
                    return errors.outcome_of(message.code, message.text, message.back_off)
        except ProviderError as error:
            lost = Result.UNKNOWN if error.maybe_applied else Result.REFUSED
            return Outcome(lost, reason=error.detail, retry_after=error.retry_after)
        return Outcome(Result.DONE)

    def mail_is_ours(self, head: MailHead) -> bool:
        """Whether it is a quick connect mail: by its sender, whose domain nobody can own."""
        return quickconnect.SENDER in head.headers.get("from", "").casefold()


def _head(node: Any, own: set[str]) -> MailHead:
    """Headers from the properties that Exchange has made of them."""
    above = node.find(f"{T}ParentFolderId")
    thread = node.find(f"{T}ConversationId")
    received = time_of(text_of(node, "DateTimeReceived"))
    senders = _people(node, "From") or _people(node, "Sender")
    marked = text_of(node, "Sensitivity")
    headers: dict[str, str] = {
        "message-id": text_of(node, "InternetMessageId"),
        "subject": text_of(node, "Subject"),
        "from": ", ".join(senders),
        "to": ", ".join(_people(node, "ToRecipients")),
        "cc": ", ".join(_people(node, "CcRecipients")),
        "bcc": ", ".join(_people(node, "BccRecipients")),
        "date": text_of(node, "DateTimeSent"),
        "sensitivity": _SENSITIVITY.get(marked, marked),
        "in-reply-to": text_of(node, "InReplyTo"),
        "references": text_of(node, "References"),
    }
    addresses = {text_of(one, "EmailAddress").casefold() for one in children(node, "From")}
    return MailHead(
        props.id_of(node)[0],
        "" if thread is None else str(thread.get("Id")),
        () if above is None else (str(above.get("Id")),),
        int(text_of(node, "Size") or 0),
        _without_empty(headers),
        int(received.timestamp() * 1000) if received is not None else 0,
        sent=bool(addresses & own) or flag_of(node, "IsSubmitted"),
        draft=flag_of(node, "IsDraft"),
    )


def _without_empty(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: " ".join(value.split()) for name, value in headers.items() if value}


def _people(node: Any, name: str) -> list[str]:
    """Names with addresses as a header has them."""
    found = []
    for one in children(node, name):
        address, said = text_of(one, "EmailAddress"), text_of(one, "Name")
        quoted = said.replace("\\", "\\\\").replace('"', '\\"')
        found.append(f'"{quoted}" <{address}>' if said and said != address else address)
    return [one for one in found if one]


def _source(text: str) -> bytes | str:
    try:
        raw = from_base64(text)
    except ValueError:
        return "what Exchange gives of it cannot be read"
    return raw or "Exchange gives nothing of it as a mail"
