"""What goes over the socket between an engine and its clients: frames of a kind and some bytes. Standard library only.

A frame is one byte (its kind), four bytes (the length, big endian) and the payload. The first frame is a ``HELLO``; what
may follow depends on what it wants:

- ``screen``: ``INPUT`` and ``RESIZE`` and ``REPAINT`` up, ``OUTPUT`` down, until ``EXIT``; in between the engine may hand
  over a file as below;
- ``command``: ``CANCEL`` up, ``OUTPUT`` and ``ERRORS`` down, until ``EXIT``; in between the engine may ask for a file that
  the command line names (``READ``, answered by ``PART`` frames and a ``DONE``), or hand one over (``WRITE``, then ``PART``
  frames and a ``DONE``, answered by a ``DONE``);
- ``stop``: the engine stops, if who asks may do that; answered by ``EXIT``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

#: Raised when a frame changes its meaning; both sides must have the same.
VERSION = 1

HELLO = b"h"  # JSON
INPUT = b"i"  # bytes that were typed
RESIZE = b"s"  # JSON [width, height]
REPAINT = b"p"  # nothing: the terminal has lost what it showed
CANCEL = b"c"  # nothing
OUTPUT = b"o"  # bytes for the terminal, or for standard output
ERRORS = b"e"  # bytes for standard error
EXIT = b"x"  # JSON {"code", "text", "ends"}: whether the engine ends with it
READ = b"r"  # JSON {"name", "most"}
WRITE = b"w"  # JSON {"name"}
PART = b"d"  # bytes of a file
DONE = b"f"  # JSON {"error"}: empty when all went well

KINDS = frozenset((HELLO, INPUT, RESIZE, REPAINT, CANCEL, OUTPUT, ERRORS, EXIT, READ, WRITE, PART, DONE))

#: Longest payload of a frame; longer texts and files are sent in parts.
MOST = 65_536

_HEAD = struct.Struct(">cI")


class Garbled(Exception):
    """What came is no frame."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame."""
    return _HEAD.pack(kind, len(payload)) + payload


def told(kind: bytes, value: object) -> bytes:
    """One frame with a JSON payload."""
    return frame(kind, json.dumps(value).encode())


def parts(kind: bytes, data: bytes) -> Iterator[bytes]:
    """Frames of one kind that carry all of ``data``; none for nothing."""
    for at in range(0, len(data), MOST):
        yield frame(kind, data[at : at + MOST])


class Frames:
    """Puts frames together from the bytes that come."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The frames that are complete now: kind and payload.

        Raises:
            Garbled: an unknown kind or a frame that is too long; the connection is of no use any more.
        """
        rest = self._rest
        rest += data
        at = 0
        try:
            while len(rest) - at >= _HEAD.size:
                kind, length = _HEAD.unpack_from(rest, at)
                if kind not in KINDS or length > MOST:
                    raise Garbled(f"no frame: kind {kind!r}, {length:,} bytes")
                if len(rest) - at < _HEAD.size + length:
                    break
                payload = bytes(rest[at + _HEAD.size : at + _HEAD.size + length])
                at += _HEAD.size + length
                yield kind, payload
        finally:
            del rest[:at]
