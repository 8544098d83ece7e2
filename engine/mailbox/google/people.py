"""Google contacts: one feed per mailbox, reads by id, and what the provider can do. Writes are in ``people_apply``.

Source of the rules: discovery document people.v1 (revision 20251117) and the notes at each of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.mailbox.google.people_apply import apply
from engine.mailbox.google.people_call import read_people
from engine.mailbox.google.people_groups import ensure_groups, verify_groups
from engine.mailbox.google.people_read import PERSON_FIELDS, SOURCES, observe
from engine.mailbox.google.scopes import account_of
from engine.model.canonical import CONTACT_FIELDS
from engine.model.modules import CONTACT_MODULES, Module
from engine.model.port import Account, Capability, CreateKey, Guard, Observation, Page, Scope
from engine.model.turns import in_slices
from engine.net.errors import CursorExpired

__all__ = [
    "CAPABILITY",
    "SCOPE_KEY",
    "apply",
    "capability",
    "changes",
    "ensure_groups",
    "fetch",
    "scope_of",
    "verify_groups",
]

SCOPE_KEY = "contacts"

#: Most contacts of one page of the feed.
PAGE_SIZE = 1000

CAPABILITY = Capability(
    fields=frozenset(CONTACT_FIELDS),
    writable=frozenset(CONTACT_FIELDS),
    create_key=CreateKey.MARKER,
    guard=Guard.ETAG,
    # "Writes may have a propagation delay of several minutes for sync requests" (people.connections.list).
    lag_seconds=300,
    batch=200,
    # "Mutate requests for the same user should be sent sequentially" (every mutating method).
    parallel=1,
    # "Sync tokens expire 7 days after the full sync": a day is kept in hand.
    cursor_days=6,
    tombstones=True,
)


def capability(module: Module) -> Capability | None:
    """What People can do for a module; ``None`` for all but contacts and leads."""
    return CAPABILITY if module in CONTACT_MODULES else None


def scope_of(account: Account) -> Scope:
    """The one feed of contacts that a mailbox has."""
    return Scope(key=SCOPE_KEY, remote_id="people/me", modules=(Module.CONTACT, Module.LEAD), account=account)


async def changes(client: GoogleClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """Pages of contacts: all of them, or what changed since ``cursor``. An idle feed costs one call.

    A person whose resource name has changed appears under the new name; the old one still answers ``fetch``.

    Raises:
        CursorExpired: the sync token is over seven days old, or was made for other fields, or cannot be read.
        ProviderError: the call failed.
    """
    account = account_of(scope)
    region = client.settings.default_region
    token = _token(cursor)
    params: dict[str, Any] = {
        "resourceName": "people/me",
        "personFields": PERSON_FIELDS,
        "sources": SOURCES,
        "pageSize": PAGE_SIZE,
        "requestSyncToken": True,
    }
    if token:
        params["syncToken"] = token
    page_token: str | None = None
    while True:
        request = client.people.people.connections.list(
            **params, **({"pageToken": page_token} if page_token else {})
        )
        try:
            answer = await client.execute(request, account, idempotent=True)
        except HttpFailure as error:
            if error.status == 400 and (token or page_token):
                # A corrupt token is INVALID_ARGUMENT; only a complete read brings the feed back to life.
                raise CursorExpired(error.detail) from None
            raise
        page_token = answer.get("nextPageToken")
        people = answer.get("connections") or ()
        yield Page(
            observations=tuple(await in_slices(lambda person: observe(person, region), people)),
            cursor=None if page_token else _cursor(answer.get("nextSyncToken")),
            snapshot=token is None,
            total=answer.get("totalItems") if token is None else None,
        )
        if not page_token:
            return


def _cursor(token: str | None) -> str | None:
    """The sync token together with the fields it was made for; with other fields Google would refuse it."""
    return f"{PERSON_FIELDS} {token}" if token else None


def _token(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    fields, _, token = cursor.partition(" ")
    if fields != PERSON_FIELDS or not token:
        raise CursorExpired("the cursor was made for other fields than are read now")
    return token


async def fetch(client: GoogleClient, scope: Scope, ids: Sequence[str]) -> list[Observation]:
    """Contacts by resource name, 200 a call, in the order asked; what does not exist comes back as deleted.

    Raises:
        ProviderError: the call failed.
    """
    account = account_of(scope)
    region = client.settings.default_region
    found = await read_people(client, account, ids, PERSON_FIELDS)
    return [
        observe(found[name], region, remote_id=name)
        if name in found
        else Observation(remote_id=name, module=Module.CONTACT, deleted=True)
        for name in ids
    ]
