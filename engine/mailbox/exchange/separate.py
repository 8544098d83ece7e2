"""The calendar of the CRM's own (``calendar.mode = "separate"``): found, and missed when its owner has thrown it away.

Whoever deletes a calendar in Outlook moves it to Deleted Items: there it keeps its id, and its sync goes on without a word.
So its place is asked for before it is read, one small call for each reading.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from engine.mailbox.exchange import feed, folders
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.folders import Folder
from engine.mailbox.exchange.settings import PROVIDER
from engine.model.port import Account, Page, Scope
from engine.net.errors import ErrorKind, ProviderError

#: The key of its scope.
SCOPE_KEY = "calendar:crm"


async def find(
    client: ExchangeClient, account: Account, calendar: str, name: str, known: str | None
) -> Folder | None:
    """It by the id that it had, wherever its owner has put it, else by its name below the mailbox's calendar.

    Args:
        client: of the server.
        account: whose mailbox.
        calendar: id of the mailbox's own calendar.
        name: as the policy calls it.
        known: its id as far as the ledger has one.

    Raises:
        ProviderError: a read failed.
    """
    there = await held(client, account, known) if known else None
    return there or folders.named(await folders.inside(client, account, calendar), name)


async def held(client: ExchangeClient, account: Account, known: str) -> Folder | None:
    """It by its id, unless it is gone or stands in Deleted Items."""
    folder, bin_ = await folders.get(client, account, [known, "deleteditems"])
    if folder is None or (bin_ is not None and folder.parent == bin_.id):
        return None
    return folder


async def changes(client: ExchangeClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """As ``feed.changes``.

    Raises:
        CursorExpired: Exchange no longer knows the sync state.
        ProviderError: a call failed; ``NOT_FOUND``: it is deleted, or in Deleted Items.
    """
    assert scope.account is not None
    if await held(client, scope.account, scope.remote_id) is None:
        raise ProviderError(
            ErrorKind.NOT_FOUND, PROVIDER, "the calendar of the CRM is not there, or in Deleted Items"
        )
    async for page in feed.changes(client, scope, cursor):
        yield page
