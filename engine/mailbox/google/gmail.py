"""Gmail: the label tree, and one label with a quick connect mail for each CRM record. Writes are in ``gmail_apply``.

A record's item in the mailbox is its label: ``remote_id`` is the label's id. The feed carries no observations: records
flow from the CRM to the mailbox only, and what a person does to a record's label or mail is not followed. The cursor
is kept all the same, so that what people file under the labels can be read from where we are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.mailbox.google.gmail_apply import apply
from engine.mailbox.google.gmail_labels import ensure_labels, list_labels, verify_labels
from engine.mailbox.google.gmail_mails import mails_in, read_mails
from engine.mailbox.google.scopes import account_of
from engine.model.canonical import RECORD_FIELDS, text
from engine.model.modules import RECORD_MODULES, Module
from engine.model.port import Account, Capability, CreateKey, Guard, Observation, Page, Scope
from engine.net.errors import CursorExpired

__all__ = [
    "CAPABILITY",
    "SCOPE_KEY",
    "apply",
    "capability",
    "changes",
    "ensure_labels",
    "fetch",
    "scope_of",
    "verify_labels",
]

SCOPE_KEY = "mail"

CAPABILITY = Capability(
    fields=frozenset(RECORD_FIELDS),
    writable=frozenset(RECORD_FIELDS),
    # Label names are unique, and the mail's own Message-ID can be searched.
    create_key=CreateKey.PROBE,
    guard=Guard.NONE,
    batch=50,
    parallel=1,
    tombstones=False,
)


def capability(module: Module) -> Capability | None:
    """What Gmail can do for a module; ``None`` for all but opportunities and cases."""
    return CAPABILITY if module in RECORD_MODULES else None


def scope_of(account: Account) -> Scope:
    """The one mail scope that a mailbox has."""
    return Scope(key=SCOPE_KEY, remote_id="me", modules=(Module.OPPORTUNITY, Module.CASE), account=account)


async def changes(client: GoogleClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """One page without observations and with the mailbox's present history id; one call.

    The page is no snapshot: that it lists nothing says nothing about what is there.

    Raises:
        CursorExpired: Gmail no longer keeps the history back to the cursor (404; usually after a week).
        ProviderError: the call failed.
    """
    account = account_of(scope)
    if cursor is None:
        profile = await client.execute(client.gmail.users.getProfile(userId="me"), account, idempotent=True)
        yield Page((), cursor=str(profile["historyId"]))
        return
    # Any page of the history names the present end, so one record is enough.
    request = client.gmail.users.history.list(userId="me", startHistoryId=cursor, maxResults=1)
    try:
        answer = await client.execute(request, account, idempotent=True)
    except HttpFailure as error:
        if error.status == 404:
            raise CursorExpired(error.detail) from None
        raise
    yield Page((), cursor=str(answer.get("historyId") or cursor))


async def fetch(client: GoogleClient, scope: Scope, ids: Sequence[str]) -> list[Observation]:
    """The records behind label ids, as their newest quick connect mail tells them; a missing label is deleted.

    A label whose mail is gone shows the record's name only.

    Raises:
        ProviderError: a call failed.
    """
    account = account_of(scope)
    labels = {label["id"]: label for label in await list_labels(client, account)}
    present = [identity for identity in dict.fromkeys(ids) if identity in labels]
    found = await mails_in(client, account, present)
    newest = await read_mails(client, account, [found[identity][0] for identity in present if found[identity]])
    observations = []
    for identity in ids:
        if identity not in labels:
            observations.append(Observation(identity, scope.modules[0], deleted=True))
            continue
        name = str(labels[identity]["name"])
        mail = newest.get(found[identity][0]) if found[identity] else None
        fields: dict[str, Any] = {"name": text(name.rpartition("/")[2])}
        native: dict[str, Any] = {"name": name}
        module = scope.modules[0]
        if mail is not None:
            fields = mail.fields or fields
            native |= {"message": mail.id, "root": mail.root, "generation": mail.generation}
            module = mail.module or module
        observations.append(Observation(identity, module, fields=fields, native=native))
    return observations
