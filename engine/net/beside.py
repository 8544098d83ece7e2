"""Work on large bodies beside the event loop: a mail of 30 MB takes a third of a second to decode."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import ParamSpec, TypeVar

#: From so many bytes on, work is done in a thread; below, the change to one would cost more.
LARGE = 1_000_000

#: Bytes that one call of the library decodes: it lets nobody else run meanwhile, in no thread. A multiple of four.
PIECE = 1 << 20

P = ParamSpec("P")
T = TypeVar("T")


class Beside:
    """Runs work on large values in threads, few at a time, since each holds such a value more than once."""

    def __init__(self, most: int = 2) -> None:
        """Make one; ``most`` pieces of work run at a time, the others wait."""
        self._slots = asyncio.Semaphore(most)

    async def run(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of ``work``, which handles ``size`` bytes."""
        if size < LARGE:
            return work(*args, **kwargs)
        async with self._slots:
            return await asyncio.to_thread(work, *args, **kwargs)


def from_base64url(text: str) -> bytes:
    """The bytes of a base64url text (RFC 4648 5), with or without padding.

    Raises:
        ValueError: it is none.
    """
    text += "=" * (-len(text) % 4)
    return b"".join(
        base64.urlsafe_b64decode(text[start : start + PIECE]) for start in range(0, len(text), PIECE)
    )


def from_base64(text: str) -> bytes:
    """The bytes of a base64 text (RFC 4648 4), which may be broken into lines.

    Raises:
        ValueError: it is none.
    """
    found, rest = [], ""
    for start in range(0, len(text), PIECE):
        piece = rest + "".join(text[start : start + PIECE].split())
        whole = len(piece) // 4 * 4
        found.append(base64.b64decode(piece[:whole], validate=True))
        rest = piece[whole:]
    return b"".join((*found, base64.b64decode(rest, validate=True)))


def to_base64(data: bytes) -> str:
    """Bytes as base64."""
    step = PIECE * 3
    return "".join(base64.b64encode(data[start : start + step]).decode() for start in range(0, len(data), step))
