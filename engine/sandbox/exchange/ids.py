"""Ids, change keys and opaque tokens, in the look of Exchange's: base64, case-sensitive, of no meaning to clients."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass

from engine.sandbox.exchange.errors import EwsError, malformed

_HEAD = b"\x00\x03\x24"  # "AAMk" in base64, as all ids of Exchange begin
_FORM = struct.Struct(">3s16scQq")
_NO_TIME = -(2**62)
_CHANGE = {
    "CalendarItem": b"\x0f\x00\x00\x00\x16\x00\x00\x00",
    "Contact": b"\x11\x00\x00\x00\x16\x00\x00\x00",
    "Task": b"\x13\x00\x00\x00\x16\x00\x00\x00",
    "DistributionList": b"\x12\x00\x00\x00\x16\x00\x00\x00",
    "Folder": b"\x02\x00\x00\x00\x16\x00\x00\x00",
}
_OTHER_CHANGE = b"\x09\x00\x00\x00\x16\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Id:
    """What an id says.

    Attributes:
        mailbox: 16 bytes that stand for the mailbox.
        kind: ``F`` folder, ``I`` item, ``A`` attachment.
        number: row of the folder, item (a series for its occurrences) or attachment.
        original: of an occurrence, its start by the series' pattern, epoch milliseconds; None for others.
    """

    mailbox: bytes
    kind: str
    number: int
    original: int | None = None

    def __str__(self) -> str:
        stamp = _NO_TIME if self.original is None else self.original
        return base64.b64encode(
            _FORM.pack(_HEAD, self.mailbox, self.kind.encode(), self.number, stamp)
        ).decode()


def parse(text: str) -> Id:
    """The id that a client sent.

    Raises:
        EwsError: ``ErrorInvalidIdMalformed`` or ``ErrorInvalidIdEmpty``.
    """
    if not text:
        raise EwsError("ErrorInvalidIdEmpty", "Id must be non-empty.")
    try:
        head, mailbox, kind, number, stamp = _FORM.unpack(base64.b64decode(text, validate=True))
    except (binascii.Error, struct.error, ValueError):
        raise malformed() from None
    if head != _HEAD or kind not in (b"F", b"I", b"A"):
        raise malformed()
    return Id(mailbox, kind.decode(), number, None if stamp == _NO_TIME else stamp)


def change_key(tag: str, seq: int) -> str:
    """The change key of an item or folder whose last change has number ``seq``."""
    return base64.b64encode(_CHANGE.get(tag, _OTHER_CHANGE) + struct.pack(">Q", seq)).decode()


def change_seq(text: str) -> int:
    """The number within a change key.

    Raises:
        EwsError: ``ErrorInvalidChangeKey``.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise EwsError("ErrorInvalidChangeKey", "The change key is invalid.")
    return int(struct.unpack(">Q", raw[8:])[0])


def pack(*numbers: int) -> str:
    """Numbers as an opaque token (sync state, watermark)."""
    return base64.b64encode(b"H4" + struct.pack(f">{len(numbers)}q", *numbers)).decode()


def unpack(token: str) -> tuple[int, ...]:
    """The numbers of a token.

    Raises:
        ValueError: not a token of ``pack``.
    """
    try:
        raw = base64.b64decode(token, validate=True)
        if raw[:2] != b"H4" or len(raw) % 8 != 2:
            raise ValueError("not a token")
        return struct.unpack(f">{(len(raw) - 2) // 8}q", raw[2:])
    except (binascii.Error, struct.error):
        raise ValueError("not a token") from None
