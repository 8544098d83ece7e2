"""Where things are: the data directory, and the socket of the engine that works on it. Standard library only.

``syncline attach`` starts in a moment because it imports no more than this, ``tui.wire`` and ``tui.attach``.
"""

from __future__ import annotations

import os
import stat
import sys

#: A path of a unix socket is no longer than this in the kernel, bytes; the last one is a zero.
LONGEST = 107 if sys.platform.startswith("linux") else 103

#: Where a system service puts its socket (``RuntimeDirectory=syncline`` in the unit).
SYSTEM = "/run/syncline"


def data_dir() -> str:
    """The default data directory of this user, as the platform wants it."""
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/syncline")
    home = os.environ.get("XDG_DATA_HOME", "").strip() or os.path.expanduser("~/.local/share")
    return os.path.join(home, "syncline")


def runtime_dir() -> str:
    """The directory in which an engine of this user puts its socket: 0700, and gone at the next boot."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]  # systemd says so
    if given:
        return given
    return os.path.join(_user_dir(), "syncline") if _user_dir() else f"/tmp/syncline-{os.getuid()}"  # noqa: S108


def _user_dir() -> str:
    """The runtime directory of the login session; empty where there is none."""
    given = os.environ.get("XDG_RUNTIME_DIR", "").strip()
    for path in (given, f"/run/user/{os.getuid()}"):
        if path and os.path.isdir(path):
            return path
    return ""


def name(folder: str) -> str:
    """The file name of the socket of a data directory: one engine, one socket."""
    return _sha256(os.path.realpath(folder).encode())[:16] + ".sock"


def _sha256(data: bytes) -> str:
    """The digest, by the module that is Python's own where there is one: ``hashlib`` loads OpenSSL, a tenth of an attach."""
    for own in ("_sha2", "_sha256"):  # of Python 3.12 and of 3.11
        try:
            return str(__import__(own).sha256(data).hexdigest())
        except ImportError:
            continue
    import hashlib

    return hashlib.sha256(data).hexdigest()


def socket_path(folder: str) -> str:
    """Where an engine on this data directory listens."""
    return os.path.join(runtime_dir(), name(folder))


def candidates(folder: str) -> list[str]:
    """Where a client looks for the engine on a data directory, the most private place first."""
    found = [socket_path(folder), os.path.join(SYSTEM, name(folder))]
    return [path for path in dict.fromkeys(found) if trusted(path)]


def trusted(path: str) -> bool:
    """Whether nobody but us, root or a service that root has set up can have put a socket there."""
    folder = os.path.dirname(path)
    try:
        found = os.lstat(folder)
        above = os.stat(os.path.dirname(folder))
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & stat.S_IWOTH:
        return False
    ours = found.st_uid in {os.getuid(), 0}
    # A folder of another user counts where only root can have made it: /run/syncline, not /tmp/syncline-0.
    return ours or (above.st_uid == 0 and not above.st_mode & (stat.S_IWOTH | stat.S_IWGRP))
