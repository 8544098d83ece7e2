"""Who is at the other end of a connection: the kernel says which user, the client says from where."""

from __future__ import annotations

import pwd
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UCRED = struct.Struct("3i")

#: ``LOCAL_PEERCRED`` of the BSDs, and the head of its ``xucred``: version, user, number of groups.
_LOCAL_PEERCRED = 1
_XUCRED = struct.Struct("IIh")

#: Longest text of a client's that is shown.
_MOST = 60


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a unix socket, as the kernel knows it.

    Attributes:
        uid: its user; it cannot be lied about.
        name: of that user.
        pid: its number; 0 where the kernel does not tell.
    """

    uid: int
    name: str
    pid: int = 0


def peer(sock: socket.socket) -> Peer:
    """Ask the kernel who is at the other end (``SO_PEERCRED``, unix(7)).

    Raises:
        OSError: the socket has gone, or is of another kind.
    """
    pid = 0
    if sys.platform.startswith("linux"):
        pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    else:
        _, uid, _ = _XUCRED.unpack_from(sock.getsockopt(0, _LOCAL_PEERCRED, 128))
    return Peer(uid, user_name(uid), pid)


def user_name(uid: int) -> str:
    """The name of a unix user; its number where it has none, as in containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def said(hello: Mapping[str, Any], key: str, most: int = _MOST) -> str:
    """A short text that a client has sent, without anything that a terminal would take for an order."""
    value = hello.get(key)
    text = value if isinstance(value, str) else ""
    return "".join(char for char in text if char.isprintable())[:most]
