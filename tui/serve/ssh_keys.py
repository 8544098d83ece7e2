"""The files of the SSH front: the host key, made once, and the keys of the admins with a name each."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncssh

from tui import exits
from tui.exits import Trouble

log = logging.getLogger(__name__)

#: Their folder in the data directory.
FOLDER = "ssh"
HOST_KEY = "host_key"
ADMINS = "authorized_keys"

#: Longest file of keys that is read, bytes.
_MOST = 1_000_000


def host_key(folder: Path) -> asyncssh.SSHKey:
    """The ed25519 key of this engine; made when it is not there yet, readable by its owner alone.

    Raises:
        Trouble: it cannot be made or read, or others could read it.
    """
    path = folder / HOST_KEY
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            _make(path)
        _private(path)
        return asyncssh.import_private_key(path.read_bytes())
    except OSError as error:
        raise Trouble(exits.UNUSABLE, f"--ssh: {path}: {error.strerror}") from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise Trouble(
            exits.UNUSABLE,
            f"--ssh: {path} is no private key ({error}); move it away and a new one is made, which clients will ask about",
        ) from None


def _make(path: Path) -> None:
    """Write a new key beside its place and put it there whole: a start that is killed leaves none by half."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment="syncline")
    beside = path.with_suffix(f".{os.getpid()}")
    with suppress(FileNotFoundError):
        beside.unlink()
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(key.export_private_key())
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)
    path.with_suffix(".pub").write_bytes(key.export_public_key())


def _private(path: Path) -> None:
    found = path.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Trouble(
            exits.UNUSABLE,
            f"--ssh: {path} must belong to this user and be readable by nobody else: chmod 600 {path}",
        )


class Admins:
    """Who may log in: the keys of ``authorized_keys``, which is read at each login, so that a change holds at once.

    Consoles that are open are ended soon after their key has gone (``tui.serve.ssh``).

    A line is a public key as ``ssh-keygen`` writes it, and its comment is the admin's name. A line with options
    (``from=...``) is not used: an option that is not kept would be a hole.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ADMINS

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes when the file does, or who may read or write it; ``None`` while there is none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:  # it may well be there: ``names`` tells what is wrong
            return 0, 0, 0
        return found.st_ctime_ns, found.st_size, found.st_ino

    def names(self) -> dict[bytes, str]:
        """Names by public key.

        Raises:
            Trouble: the file cannot be used.
        """
        try:
            found = self._path.stat()
            if found.st_uid not in {0, os.getuid()} or stat.S_IMODE(found.st_mode) & 0o022:
                raise Trouble(
                    exits.UNUSABLE, f"--ssh: {self._path} can be changed by others: chmod 600 {self._path}"
                )
            if found.st_size > _MOST:
                raise Trouble(exits.UNUSABLE, f"--ssh: {self._path} is longer than {_MOST:,} bytes")
            text = self._path.read_text("utf-8", "replace")
        except OSError as error:
            raise Trouble(
                exits.UNUSABLE,
                f"--ssh: {self._path}: {error.strerror}; it needs a line for each admin: ssh-ed25519 AAAA... name",
            ) from None
        return dict(self._keys(text))

    def _keys(self, text: str) -> Iterator[tuple[bytes, str]]:
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                key = asyncssh.import_public_key(line.strip())
            except asyncssh.KeyImportError:
                log.warning(
                    "%s, line %d is not used: it is no public key, or has options before it", self._path, number
                )
                continue
            words = line.split(None, 2)
            name = (
                "".join(char for char in words[2].strip() if char.isprintable())[:60] if len(words) > 2 else ""
            )
            if name:
                yield key.public_data, name
            else:
                log.warning("%s, line %d is not used: it has no name after the key", self._path, number)
