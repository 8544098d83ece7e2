"""What is wrong with a configuration: all of it at once, each fault with its place, value and remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Longest piece of a wrong value that a message repeats, in characters.
_ECHO = 80

_BARE = re.compile(r"[A-Za-z0-9_-]+")

#: Names of settings that would hold a secret itself rather than where it is kept.
_SECRET = re.compile(
    r"(secret|password|passwd|passphrase|private_?key|api_?key|(^|_)token|(^|_)pw|credentials)$", re.IGNORECASE
)


_URL_SECRET = re.compile(r"://\S*[@?]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    Attributes:
        where: place as in the file, e.g. ``policies.Sales.calendar.past_days`` or ``users[3].email``.
        value: the wrong value as written there, shortened; empty when there is none or it must not be repeated.
        message: what is wrong.
        allowed: what would be right; empty when the message says it all.
    """

    where: str
    value: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        """One line for people."""
        got = f": {self.value}" if self.value else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.where}{got}: {self.message}{allowed}"


class ConfigErrors(Exception):
    """A configuration that cannot be used. The text has one line for each problem.

    Attributes:
        source: where the text came from.
        problems: all of them, in the order of the file's sections.
    """

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems):,} problems"
        super().__init__("\n".join([f"{source}: {count}, nothing was changed", *map(str, self.problems)]))


class Collector:
    """Gathers problems while a document is read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, where: str, message: str, *, value: object = None, allowed: str = "") -> None:
        """Note a problem. ``value`` is repeated to the reader, so leave it out where it could be a secret."""
        self.problems.append(Problem(where, "" if value is None else shown(value), message, allowed))

    def unknown(self, where: str, key: str, known: Iterable[str], what: str = "setting") -> None:
        """Note a name that does not exist; its value is never repeated, for it may be a misplaced secret."""
        names = list(known)
        if smells_secret(key):
            places = [name for name in names if name.endswith(("_file", "_env"))]
            self.add(
                where,
                "a secret does not belong into this file; name the file or the environment variable that holds it",
                allowed=" or ".join(places) or "settings ending in _file or _env of a connection",
            )
            return
        last = {name.rpartition(".")[2]: name for name in reversed(names)}
        near = difflib.get_close_matches(key.lower(), last, n=1, cutoff=0.6)
        here = ", ".join(name for name in names if "." not in name)
        hint = f"did you mean {last[near[0]]}? All: " if near else ""
        self.add(where, f"no such {what}", allowed=hint + here)

    def done(self, source: str) -> None:
        """Raise ``ConfigErrors`` if there are problems."""
        if self.problems:
            raise ConfigErrors(source, self.problems)


def smells_secret(key: str) -> bool:
    """Whether a setting of this name would hold a secret."""
    return _SECRET.search(key) is not None


def looks_secret(value: str) -> bool:
    """Whether a text is or holds a key: PEM, JSON, or a URL with a password or a query in it."""
    return (
        "-----BEGIN" in value
        or "\n" in value
        or value.lstrip().startswith("{")
        or _URL_SECRET.search(value) is not None
    )


def shown(value: object) -> str:
    """A value as a message may repeat it: short, and nothing that looks like a key."""
    if isinstance(value, str):
        if looks_secret(value):
            return "(hidden)"
        text = repr(value)
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict):
        text = "a table"
    elif isinstance(value, int) and abs(value) > 10**30:
        text = "a very long number"  # Python refuses to print those of over 4,300 digits
    else:
        text = str(value)
    return text if len(text) <= _ECHO else text[: _ECHO - 1] + "…"


def key_text(name: str) -> str:
    """A key as TOML writes it: bare where it can be, else quoted."""
    if _BARE.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'


def join(where: str, name: str) -> str:
    """The place of ``name`` inside ``where``."""
    return f"{where}.{key_text(name)}" if where else key_text(name)
