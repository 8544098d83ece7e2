"""Quick connect mails in a mailbox: found by their sender inside a label, or by Message-ID, and read back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.mailbox.google import quickconnect
from engine.mailbox.google.batch import PartResult
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.settings import Api
from engine.model.modules import Module
from engine.model.port import Account

_MODULE_OF_TITLE = {"Opportunity": Module.OPPORTUNITY, "Case": Module.CASE}
_IDENTITY = re.compile(r"<syncline-([0-9a-f]{20})-(\d+)@")
_HEADERS = ["Message-ID", "Subject", quickconnect.RECORD_HEADER]


@dataclass(frozen=True, slots=True)
class Mail:
    """One quick connect mail.

    Attributes:
        id: Gmail's id of the message.
        labels: ids of the labels it carries.
        root: the part of its Message-ID that all mails of the record share; empty when it is none of ours.
        generation: which of the record's mails it is.
        module: what its subject says the record is.
        record: raw value of the header with the record's fields, see ``quickconnect.unpack``.
    """

    id: str
    labels: tuple[str, ...]
    root: str
    generation: int
    module: Module | None
    record: str

    @property
    def fields(self) -> dict[str, Any]:
        """The record's canonical fields as the mail carries them; empty when it carries none."""
        return quickconnect.unpack(self.record) or {}

    @property
    def link(self) -> str:
        """The address of the record in the CRM, which tells records apart beyond our ledger; empty when unknown."""
        return str(self.fields.get("link") or "")


def _values(parts: Sequence[PartResult], absent: frozenset[int] = frozenset({404})) -> list[Any]:
    """The bodies of a batch of reads; ``None`` where the status says that the thing is not there.

    Raises:
        ProviderError: of the first that failed otherwise.
    """
    for part in parts:
        if part.error is not None and part.status not in absent:
            raise part.error
    return [part.body for part in parts]


async def mails_in(
    client: GoogleClient, account: Account, labels: Sequence[str], *, trash: bool = False
) -> dict[str, list[str]]:
    """Ids of the quick connect mails in each label, newest first; one batch per 50 labels.

    ``trash`` lists mails that somebody threw away as well: they keep their label for 30 days. A label that is gone has
    no mails (Gmail answers 400 "Invalid label" or 404).

    Raises:
        ProviderError: a read failed.
    """
    requests = [
        client.gmail.users.messages.list(
            userId="me",
            labelIds=[label],
            q=f"from:{quickconnect.SENDER}",
            maxResults=20,
            includeSpamTrash=trash,
        )
        for label in labels
    ]
    parts = await client.execute_batch(Api.GMAIL, requests, account)
    answers = _values(parts, absent=frozenset({400, 404}))
    return {
        label: [row["id"] for row in (answer or {}).get("messages") or ()]
        for label, answer in zip(labels, answers, strict=True)
    }


async def count_mails(client: GoogleClient, account: Account) -> int:
    """How many quick connect mails the mailbox holds outside the trash; one call per 500.

    Raises:
        ProviderError: a call failed.
    """
    count, page_token = 0, None
    while True:
        page: dict[str, Any] = {"pageToken": page_token} if page_token else {}
        request = client.gmail.users.messages.list(
            userId="me", q=f"from:{quickconnect.SENDER}", maxResults=500, **page
        )
        answer = await client.execute(request, account, idempotent=True)
        count += len(answer.get("messages") or ())
        page_token = answer.get("nextPageToken")
        if not page_token:
            return count


async def find_mails(client: GoogleClient, account: Account, identities: Sequence[str]) -> dict[str, str]:
    """Gmail's message ids by Message-ID, for those that are in the mailbox.

    Raises:
        ProviderError: a read failed.
    """
    requests = [
        client.gmail.users.messages.list(userId="me", q=f"rfc822msgid:{identity.strip('<>')}", maxResults=1)
        for identity in identities
    ]
    answers = _values(await client.execute_batch(Api.GMAIL, requests, account))
    return {
        identity: answer["messages"][0]["id"]
        for identity, answer in zip(identities, answers, strict=True)
        if (answer or {}).get("messages")
    }


async def read_mails(client: GoogleClient, account: Account, ids: Sequence[str]) -> dict[str, Mail]:
    """Quick connect mails by Gmail's message id; those that are gone are left out.

    Raises:
        ProviderError: a read failed.
    """
    requests = [
        client.gmail.users.messages.get(userId="me", id=identity, format="metadata", metadataHeaders=_HEADERS)
        for identity in ids
    ]
    answers = _values(await client.execute_batch(Api.GMAIL, requests, account))
    return {answer["id"]: _mail(answer) for answer in answers if answer}


def _mail(message: Mapping[str, Any]) -> Mail:
    headers = {
        str(row.get("name", "")).lower(): str(row.get("value", ""))
        for row in (message.get("payload") or {}).get("headers") or ()
    }
    identity = _IDENTITY.search(headers.get("message-id", ""))
    return Mail(
        id=str(message["id"]),
        labels=tuple(message.get("labelIds") or ()),
        root=identity[1] if identity else "",
        generation=int(identity[2]) if identity else 0,
        module=_MODULE_OF_TITLE.get(headers.get("subject", "").partition(":")[0]),
        record=headers.get(quickconnect.RECORD_HEADER.lower(), ""),
    )
