"""Google settings from the plain texts of a connection, all faults at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import urlsplit

from engine.mailbox.google.settings import Api, GoogleSettings, Quotas

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})

#: Longest batch that Google's documentation speaks of.
BATCH_MAX = 1000

_QUOTAS = tuple(field.name for field in fields(Quotas))

#: Every setting that a connection may have. ``<api>`` is calendar, people, tasks or gmail.
KEYS: tuple[str, ...] = (
    "credentials_file",
    "token_uri",
    *(f"{api.value}_url" for api in Api),
    *(f"{api.value}_batch_url" for api in Api),
    "calendar_batch",
    "gmail_batch",
    "tasks_batch",
    "event_labels",
    "push",
    "default_region",
    "timeout",
    "people_lag_seconds",
    *(f"quota_{name}" for name in _QUOTAS),
)


class SettingsError(ValueError):
    """Settings that cannot work; ``problems`` has one line for each, naming field, value and what is allowed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def parse_settings(values: Mapping[str, str]) -> GoogleSettings:
    """Google settings from texts.

    Keys are those of ``KEYS``; only ``credentials_file`` must be there. A ``<api>_batch_url`` that is empty means
    single calls. The key file itself is read at first use and by ``doctor``.

    Raises:
        SettingsError: with every problem found.
    """
    reader = _Reader(values)
    settings = GoogleSettings(
        credentials_file=reader.text("credentials_file", required=True),
        endpoints={api: url for api in Api if (url := reader.url(f"{api.value}_url"))},
        batch_urls={
            api: reader.url(f"{api.value}_batch_url") for api in Api if f"{api.value}_batch_url" in values
        },
        token_uri=reader.url("token_uri"),
        quotas=Quotas(
            **{name: reader.number(f"quota_{name}", getattr(Quotas(), name), 1, 1e12) for name in _QUOTAS}
        ),
        calendar_batch=int(reader.number("calendar_batch", 50, 1, BATCH_MAX, whole=True)),
        gmail_batch=int(reader.number("gmail_batch", 50, 1, 100, whole=True)),
        tasks_batch=reader.flag("tasks_batch"),
        event_labels=reader.flag("event_labels"),
        push=reader.flag("push"),
        default_region=reader.region("default_region"),
        timeout=reader.number("timeout", 30, 1, 600),
        people_lag_seconds=int(reader.number("people_lag_seconds", 300, 0, 3600, whole=True)),
    )
    reader.finish()
    return settings


class _Reader:
    """Reads one field at a time and keeps what is wrong."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._problems = [
            f"{key}: no such setting; allowed are {', '.join(KEYS)}" for key in values if key not in KEYS
        ]

    def text(self, key: str, *, required: bool = False) -> str:
        value = str(self._values.get(key, "")).strip()
        if required and not value:
            self._problems.append(f"{key}: must be given")
        return value

    def url(self, key: str) -> str:
        value = self.text(key)
        if not value:
            return ""
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 - raises when it is no number
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            self._problems.append(f"{key}: {value!r} is not a URL like https://host/path/")
        elif parts.username or parts.password:
            self._problems.append(f"{key}: a URL with a user or password in it is not allowed")
        return value

    def number(self, key: str, default: float, low: float, high: float, *, whole: bool = False) -> float:
        value = self.text(key)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high or (whole and number != int(number)):
            kind = "a whole number" if whole else "a number"
            self._problems.append(f"{key}: {value!r} is not {kind} from {low:g} to {high:g}")
            return default
        return number

    def flag(self, key: str) -> bool:
        value = self.text(key).lower()
        if value not in _TRUE | _FALSE:
            self._problems.append(f"{key}: {value!r} is neither true nor false")
        return value in _TRUE

    def region(self, key: str) -> str:
        value = self.text(key).upper()
        if value and not (len(value) == 2 and value.isascii() and value.isalpha()):
            self._problems.append(f"{key}: {value!r} is not a two-letter country like DE")
        return value

    def finish(self) -> None:
        if self._problems:
            raise SettingsError(self._problems)
