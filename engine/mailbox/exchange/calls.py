"""The calls that write, and what their answers mean: shared by plain items and occurrences."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace

from engine.mailbox.exchange import errors
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.kinds import Kind
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import element
from engine.model.port import Account, Outcome, Result, Write, WriteKind
from engine.net.errors import ErrorKind, ProviderError

#: What a write of this connection says of guests, whatever it is: nobody is told, or all of them are.
NOBODY = "SendToNone"
EVERYBODY = "SendToAllAndSaveCopy"

Item = tuple[int, Write]
"""A write with its place in the order of the outcomes."""


async def guarded(outcomes: dict[int, Outcome], items: Sequence[Item], work: Awaitable[None]) -> None:
    """Await ``work``; when its call fails, settle those of ``items`` that it left open. Never hides earlier outcomes.

    Raises:
        ProviderError: nothing has been settled yet and the failure concerns the mailbox or the connection.
    """
    try:
        await work
    except ProviderError as error:
        if error.kind in {
            ErrorKind.CREDENTIAL,
            ErrorKind.DELEGATION,
            ErrorKind.PERMISSION,
            ErrorKind.CONFIGURATION,
            ErrorKind.NOT_FOUND,
        }:
            if not outcomes:
                raise
            outcome = Outcome(Result.REFUSED, reason=error.detail)
        elif error.maybe_applied:
            outcome = Outcome(Result.UNKNOWN, reason=error.detail)
        elif error.kind is ErrorKind.REQUEST:
            outcome = Outcome(Result.REJECTED, reason=error.detail)
        else:
            outcome = Outcome(Result.REFUSED, reason=error.detail, retry_after=error.retry_after)
        for index, _ in items:
            outcomes.setdefault(index, outcome)


def failed(message: Message, write: Write) -> Outcome:
    """What a message that is an error means for its write.

    Raises:
        ProviderError: it means the mailbox or the connection.
    """
    if errors.concerns_all(message.code):
        raise errors.fault_of(message.code, message.text, message.back_off)
    outcome = errors.outcome_of(message.code, message.text, message.back_off)
    if outcome.result is Result.GONE and write.kind is WriteKind.CREATE:
        return replace(outcome, result=Result.REJECTED)
    return outcome


def said(write: Write) -> str:
    """What is said to guests about a write."""
    return EVERYBODY if write.notify else NOBODY


def change(identity: str, version: str, updates: str) -> str:
    """One ``t:ItemChange``."""
    return element(
        "t:ItemChange",
        element("t:ItemId", Id=identity, ChangeKey=version or None) + element("t:Updates", updates),
    )


async def update_items(
    client: ExchangeClient, account: Account, kind: Kind, bodies: Sequence[str], write: Write
) -> list[Message]:
    """``UpdateItem``: never over a version that we have not seen, and never with a mail that nobody asked for.

    Raises:
        ProviderError: the call failed as a whole.
    """
    body = element(
        "m:UpdateItem",
        element("m:ItemChanges", "".join(bodies)),
        ConflictResolution="NeverOverwrite",
        MessageDisposition="SaveOnly",
        SendMeetingInvitationsOrCancellations=said(write) if kind.events else None,
    )
    # The version makes a repeat harmless: it would be a conflict. Who asked must know, so it is not repeated here.
    return await client.call(account, "UpdateItem", body, idempotent=False)


async def delete_items(
    client: ExchangeClient, account: Account, kind: Kind, ids: Sequence[str], write: Write
) -> list[Message]:
    """``DeleteItem``: into Deleted Items, where the person finds it again.

    Raises:
        ProviderError: the call failed as a whole.
    """
    body = element(
        "m:DeleteItem",
        element("m:ItemIds", "".join(ids)),
        DeleteType="MoveToDeletedItems",
        SendMeetingCancellations=said(write) if kind.events else None,
        AffectedTaskOccurrences="AllOccurrences" if kind.distinguished == "tasks" else None,
    )
    return await client.call(account, "DeleteItem", body, idempotent=False)
