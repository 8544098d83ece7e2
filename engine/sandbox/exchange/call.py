"""One EWS call after log-in and schema check: who asks, for whose mailbox, what has happened meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TypeVar

from lxml import etree

from engine.sandbox.exchange import ids, soap, store
from engine.sandbox.exchange.accounts import Account
from engine.sandbox.exchange.errors import EwsError, denied, not_found
from engine.sandbox.exchange.events import Event, Hub, Subscription
from engine.sandbox.exchange.names import VERSIONS
from engine.sandbox.exchange.nodes import local
from engine.sandbox.exchange.times import NoMoment
from engine.sandbox.kit.faults import rules, strike
from engine.sandbox.kit.world import World, transaction

Part = TypeVar("Part")


@dataclass(slots=True)
class Call:
    """A validated request.

    Attributes:
        world: state, clock, counters.
        hub: subscriptions.
        account: who has logged in.
        mailbox: whose mailbox is meant where the request names none; None for an account without one.
        version: ``RequestServerVersion``.
        zone: of ``TimeZoneContext``; its wall clock is meant where a time has no offset.
        zone_id: Windows id of ``TimeZoneContext``; empty without.
        request: the body's element.
        events: what has happened to items and folders, for subscriptions; sent after the commit.
        started: push subscriptions that begin with this call.
        guids: mailboxes of ids within this call, by row.
    """

    world: World
    hub: Hub
    account: Account
    mailbox: store.Mailbox | None
    version: str
    request: etree._Element
    zone: tzinfo = UTC
    zone_id: str = ""
    events: list[Event] = field(default_factory=list)
    started: list[Subscription] = field(default_factory=list)
    guids: dict[int, store.Mailbox] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """Local name of the request."""
        return local(self.request)

    def since(self, version: str) -> bool:
        """Whether the client speaks at least that version."""
        return VERSIONS.index(self.version) >= VERSIONS.index(version)

    def box(self, row: int) -> store.Mailbox:
        """The mailbox of that row, read once a call."""
        if row not in self.guids:
            self.guids[row] = store.mailbox_by_row(self.world, row)
        return self.guids[row]

    def happened(
        self,
        kind: str,
        mailbox: int,
        folder: int,
        row: int,
        *,
        folder_event: bool = False,
        old: tuple[int, int] = (0, 0),
    ) -> None:
        """Note an event for subscriptions: its kind (``Created``), where, and of which item or folder."""
        if self.hub.subscriptions:
            self.events.append(
                Event(kind, mailbox, folder, row, folder_event, old[0], old[1], self.world.clock.now_ms())
            )

    def count(self, name: str, times: int = 1) -> None:
        """Count something under ``exchange.<name>``."""
        self.world.counters[f"exchange.{name}"] += times


Handler = Callable[[Call], str]
"""A handler is synchronous, runs within one SQLite transaction, and returns the XML of the body's element."""


def each(call: Call, parts: Iterable[Part], do: Callable[[Part], str], operation: str = "") -> str:
    """Answer each part of a request on its own: what fails is undone and answered by an error message.

    Args:
        call: the request.
        parts: of the request, in order.
        do: gives the content of a success message; raises ``EwsError`` to refuse.
        operation: name in the answer; that of the request when empty.
    """
    name = operation or call.operation
    messages = []
    for part in parts:
        try:
            _strike(call)
            with transaction(call.world):
                messages.append(soap.success(name, do(part)))
        except (EwsError, NoMoment) as refused:
            error = refused if isinstance(refused, EwsError) else no_moment(refused)
            call.count(error.code)
            if not error.inner:
                error.inner = _NOTHING.get(name, "")
            messages.append(soap.failure(name, error))
    return soap.answer(name, messages)


def no_moment(error: NoMoment) -> EwsError:
    """The refusal of a time that is none."""
    return EwsError("ErrorCalendarOutOfRange", f"The date is outside of the range of dates: {error}.")


def _strike(call: Call) -> None:
    """Let a fault rule refuse one part: route ``CreateItem/part``, kind ``status``, body ``{"code": ..}``."""
    if not rules(call.world):
        return
    fault = strike(call.world, "exchange", "POST", (f"{call.operation}/part",), ("status",))
    if fault is not None:
        told = fault.body if isinstance(fault.body, Mapping) else {}
        values = {str(key): str(value) for key, value in told.get("values", {}).items()}
        raise EwsError(
            str(told.get("code", "ErrorMailboxStoreUnavailable")), str(told.get("message", "Injected.")), values
        )


_NOTHING = {
    **dict.fromkeys(("GetItem", "CreateItem", "UpdateItem", "MoveItem", "CopyItem"), "<m:Items/>"),
    **dict.fromkeys(("GetFolder", "CreateFolder", "UpdateFolder", "MoveFolder", "CopyFolder"), "<m:Folders/>"),
    "SyncFolderItems": "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>",
    "SyncFolderHierarchy": "<m:SyncState/><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange>",
    **dict.fromkeys(("CreateAttachment", "GetAttachment"), "<m:Attachments/>"),
}
"""What an error message of these operations carries; clients look for the element before they look at the error."""


def mailbox_of(call: Call, named: str | None) -> store.Mailbox:
    """The mailbox that a distinguished folder id names, or the caller's.

    Raises:
        EwsError: no such mailbox, or no right to it.
    """
    if named:
        found = store.mailbox_by_email(call.world, named)
        if found is None:
            raise EwsError("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
        check_right(call, found)
        return found
    if call.mailbox is None:
        raise EwsError(
            "ErrorMissingEmailAddress",
            "When making a request as an account that does not have a mailbox, you must specify the mailbox primary SMTP"
            " address for any distinguished folder Ids.",
        )
    return call.mailbox


def check_right(call: Call, mailbox: store.Mailbox) -> None:
    """Refuse a mailbox that is neither the caller's nor one that the account may act for.

    Raises:
        EwsError: ``ErrorAccessDenied``.
    """
    if call.mailbox is not None and call.mailbox.row == mailbox.row:
        return
    if not call.account.may_act_for(mailbox.email):
        raise denied()


def resolve(call: Call, text: str, kind: str) -> ids.Id:
    """The parsed id of an object in a mailbox that the caller may open.

    Raises:
        EwsError: malformed, unknown mailbox, no right.
    """
    found = ids.parse(text)
    if found.kind != kind:
        raise EwsError(
            "ErrorInvalidIdNotAnItemAttachmentId" if kind == "A" else "ErrorInvalidId", "The Id is invalid."
        )
    mailbox = store.mailbox_by_guid(call.world, found.mailbox)
    if mailbox is None:
        raise not_found()
    call.guids[mailbox.row] = mailbox
    check_right(call, mailbox)
    return found
