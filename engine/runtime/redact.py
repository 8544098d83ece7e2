"""What must not leave the house is taken out of texts: secrets always, addresses and quoted names of items when asked.

Secrets are taken out twice: those that the configuration names, wherever they stand and however they are written, and
whatever looks like one (tokens, keys, passwords in URLs).
"""

from __future__ import annotations

import base64
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

REMOVED = "[removed]"

#: A secret that is shorter would take words out of every text.
SHORTEST = 6

#: Secret files that are longer are none.
_LONGEST = 1_000_000

#: Values of JSON keys with these words in them are secret.
_SECRET_KEY = re.compile(r"secret|password|passwd|token|private|credential|authorization|cookie|api_?key", re.I)

_LOOKS_SECRET = (
    (
        re.compile(r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)-----.*?(?:-----END [A-Z ]*-----|\Z)", re.S),
        REMOVED,
    ),
    # JWTs, Google's and Salesforce's tokens
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){1,4}"), REMOVED),
    (re.compile(r"\b(?:ya29\.|1//|GOCSPX-|00D\w{12,15}!|AKIA|xox[a-z]-|gh[a-z]_)[\w.\-!/+]{8,}"), REMOVED),
    (re.compile(r"(?i)\b(bearer|basic|negotiate|ntlm)\s+[\w.~+/=-]{8,}"), rf"\1 {REMOVED}"),
    # password=..., "client_secret": "...", access_token: ...; not the settings that name a file or a variable
    (
        re.compile(
            r"""(?ix)(["']?[\w-]*(?:secret|password|passwd|token|api_?key|authorization|cookie|assertion|sid)["']?
            \s*[=:]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&}\])"']+)"""
        ),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]+@"), rf"\1{REMOVED}@"),
    # What is that long and has no blank is no word: keys and tokens of kinds that nobody has thought of
    (re.compile(r"(?<![\w+=-])(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{40,}"), REMOVED),
)

_ADDRESS = re.compile(r"""[^\s@"'<>()\[\],;:=|]+@(?:[\w-]+\.)*[\w-]+""")
# From the first quote of a line to its last, for names have quotes in them as well; the paths of a traceback stay.
_QUOTED = re.compile(r"""'[^\n]*'|(?<!File )"[^\n]*"|«[^\n]*»""")


def named_secrets(configuration: str) -> set[str]:
    """The secrets that a configuration (TOML) names by file or by environment variable; files that are gone are left out."""
    found: set[str] = set()
    for key, value in _settings(tomllib.loads(configuration)):
        if key.endswith("_file"):
            found |= _of_file(Path(value))
        elif key.endswith("_env"):
            found |= _parts(os.environ.get(value, ""))
    return found


def _settings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _settings(each, str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _settings(each, key)
    elif isinstance(value, str):
        yield key, value


def _of_file(path: Path) -> set[str]:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return set()
    try:
        document = json.loads(text)
    except ValueError:
        return _parts(text)
    if not isinstance(document, Mapping | list):
        return _parts(text)
    found: set[str] = set()
    for key, value in _settings(document):
        if _SECRET_KEY.search(key):
            found |= _parts(value)
    return found


def _parts(text: str) -> set[str]:
    """A secret whole, its lines (a PEM file), and the ways in which it may be written."""
    pieces = {text.strip(), *(line.strip() for line in text.splitlines() if not line.startswith("-----"))}
    found: set[str] = set()
    for piece in pieces:
        if len(piece) >= SHORTEST:
            raw = piece.encode()
            found |= {
                piece,
                quote(piece),
                quote(piece, safe=""),
                quote_plus(piece),
                json.dumps(piece)[1:-1],
                json.dumps(json.dumps(piece)[1:-1])[1:-1],
                repr(piece)[1:-1],
                base64.b64encode(raw).decode(),
                base64.urlsafe_b64encode(raw).decode().rstrip("="),
                raw.hex(),
            }
    return found


class Redactor:
    """Takes out of texts what must not leave.

    Args:
        secrets: that are known, in every way in which they may be written.
        anonymise: replace addresses by ``user-1@domain-1`` (the same everywhere in a bundle), and drop what is quoted in
            sentences, which may be the name of an item.
        addresses: of the mailboxes; others are found by their look.
    """

    def __init__(self, secrets: Iterable[str], *, anonymise: bool, addresses: Iterable[str] = ()) -> None:
        known = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None
        self._anonymise = anonymise
        self._users: dict[str, str] = {}
        self._domains: dict[str, str] = {}
        for address in addresses:
            self._user(address)

    def text(self, text: str, *, sentence: bool = False) -> str:
        """A text without secrets; a ``sentence`` loses what it quotes as well when addresses go."""
        if self._secrets is not None:
            text = self._secrets.sub(REMOVED, text)
        for pattern, instead in _LOOKS_SECRET:
            text = pattern.sub(instead, text)
        if self._anonymise:
            text = _ADDRESS.sub(lambda found: self._user(found[0]), text)
            if sentence:
                text = _QUOTED.sub("'…'", text)
            for domain, instead in self._domains.items():
                if "." in domain and domain in text.lower():
                    text = re.sub(rf"(?i)(?<![\w.-]){re.escape(domain)}", instead, text)
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """JSON-able values without secrets; texts that are no names are sentences."""
        if isinstance(value, str):
            return self.text(
                value, sentence=key in {"text", "why", "note", "error", "advice", "fault", "notice", "message"}
            )
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(each, str(name)) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each, key) for each in value]
        return value

    def _user(self, address: str) -> str:
        local, _, domain = address.lower().rstrip(".").rpartition("@")
        where = self._domains.setdefault(domain, f"domain-{len(self._domains) + 1}.invalid")
        return self._users.setdefault(f"{local}@{domain}", f"user-{len(self._users) + 1}@{where}")
