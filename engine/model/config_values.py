"""Kinds of values that a setting can have: each reads what a file says, and writes it back."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from apscheduler.triggers.cron import CronTrigger

from engine.model.config_problems import Collector, looks_secret
from engine.model.policy import Blackout

#: Returned by a reader that has noted a problem.
BAD: Any = object()

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = re.compile(r"(\d{2}):(\d{2})")
_BLACKOUT = re.compile(r"\s*([A-Za-z]+)\s+(\d{1,2}:\d{2})\s*-\s*([A-Za-z]+)\s+(\d{1,2}:\d{2})\s*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")
_EMAIL = re.compile(r"[^\s@,;<>()\[\]\"\\]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


#: Waves of a roll-out, and mailboxes in each.
MOST_WAVES = 20
MOST_IN_WAVE = 1_000_000


class Refused(Exception):
    """A value that is not allowed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of single value.

    Attributes:
        allowed: what is allowed, in words.
        check: turns the value of a TOML or JSON document into ours.
        write: the opposite, JSON-able; ``None`` leaves the setting out.
        quiet: never repeat a wrong value, for it could be a secret.
        choices: the few words that are allowed, as a form offers them; empty where anything may be typed.

    ``check`` raises ``Refused``.
    """

    allowed: str
    check: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    quiet: bool = False
    choices: tuple[str, ...] = ()

    def read(self, raw: Any, where: str, problems: Collector) -> Any:
        """The value, or ``BAD`` after noting why not."""
        try:
            return self.check(raw)
        except Refused as refused:
            problems.add(
                where,
                str(refused) or "is not allowed",
                value=None if self.quiet or (isinstance(raw, str) and looks_secret(raw)) else raw,
                allowed=self.allowed,
            )
            return BAD


def flag() -> Kind:
    """``true`` or ``false``."""

    def check(raw: Any) -> bool:
        if not isinstance(raw, bool):
            raise Refused
        return raw

    return Kind("true or false", check, choices=("true", "false"))


def wave_sizes() -> Kind:
    """Sizes of the waves of a roll-out; ``all`` (0 to us) stands for the rest, and ends the list."""

    def check(raw: Any) -> tuple[int, ...]:
        if not isinstance(raw, list | tuple) or len(raw) > MOST_WAVES:
            raise Refused
        sizes = []
        for number, one in enumerate(raw, 1):
            if one == "all" and number == len(raw):
                sizes.append(0)
            elif isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= MOST_IN_WAVE:
                sizes.append(one)
            else:
                raise Refused(f"has {one!r} at place {number}")
        return tuple(sizes)

    return Kind(
        f'a list of at most {MOST_WAVES} whole numbers from 1 to {MOST_IN_WAVE:,}, "all" at its end for the rest',
        check,
        lambda sizes: [size or "all" for size in sizes],
    )


def whole(low: int, high: int, unit: str = "") -> Kind:
    """A whole number."""

    def check(raw: Any) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
            raise Refused
        return raw

    return Kind(f"a whole number from {low} to {high}" + (f" ({unit})" if unit else ""), check)


def number(low: float, high: float, unit: str = "") -> Kind:
    """A number, kept as whole as it was written."""

    def check(raw: Any) -> float:
        # The comparison also refuses nan.
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not low <= raw <= high:
            raise Refused
        return raw

    return Kind(f"a number from {low:,g} to {high:,.15g}" + (f" ({unit})" if unit else ""), check)


def text(longest: int, *, empty: bool = False, without: str = "") -> Kind:
    """One line of text, trimmed; ``without`` lists characters that may not be in it."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str):
            raise Refused
        value = raw.strip()
        if len(value) > longest or not value.isprintable() or (not value and not empty):
            raise Refused
        if any(each in value for each in without):
            raise Refused(f"may not contain {' '.join(without)}")
        return value

    words = f"a text of {'0' if empty else '1'} to {longest} printable characters"
    return Kind(words + (f", without {' '.join(without)}" if without else ""), check)


def one_of(kind: type[StrEnum], members: Iterable[StrEnum] = ()) -> Kind:
    """A member of an enumeration, or of some of its members, by its word."""
    words = [member.value for member in members or kind]

    def check(raw: Any) -> StrEnum:
        if not isinstance(raw, str) or raw not in words:
            raise Refused
        return kind(raw)

    return Kind(", ".join(words), check, str, choices=tuple(words))


def word(*words: str) -> Kind:
    """One of a few words."""

    def check(raw: Any) -> str:
        if raw not in words:
            raise Refused
        return str(raw)

    return Kind(", ".join(words), check, choices=words)


def optional(kind: Kind) -> Kind:
    """A setting that may be left out; ``None`` stands for that."""
    return Kind(
        kind.allowed,
        kind.check,
        lambda value: None if value is None else kind.write(value),
        kind.quiet,
        kind.choices,
    )


def email(*, empty: bool = False) -> Kind:
    """An e-mail address, in lower case: providers do not tell cases apart."""

    def check(raw: Any) -> str:
        if empty and raw == "":
            return ""
        if not isinstance(raw, str) or len(raw) > 254 or not _EMAIL.fullmatch(raw.strip()):
            raise Refused
        return raw.strip().lower()

    return Kind("an e-mail address such as ann@example.com" + (", or empty" if empty else ""), check)


def emails() -> Kind:
    """Some e-mail addresses in one text, separated by ``;``: blanks and repeated ones are dropped."""
    one = email()

    def check(raw: Any) -> str:
        if not isinstance(raw, str):
            raise Refused
        addresses: dict[str, None] = {}
        for part in filter(None, (each.strip() for each in raw.split(";"))):
            try:
                addresses[one.check(part)] = None
            except Refused:
                raise Refused(f"{part[:100]!r} in it is not an e-mail address") from None
        return ";".join(addresses)

    return Kind("e-mail addresses separated by ; such as ann@example.com; bob@example.com, or empty", check)


_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


def domain() -> Kind:
    """A mail domain, in lower case; it stands for its subdomains as well."""

    def check(raw: Any) -> str:
        value = raw.strip().lower().removeprefix("@") if isinstance(raw, str) else ""
        if len(value) > 253 or not _DOMAIN.fullmatch(value):
            raise Refused
        return value

    return Kind("a domain such as example.com", check)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def zone(*, empty: bool = False) -> Kind:
    """A time zone of the IANA database."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str) or not (raw in _zones() or (empty and not raw)):
            raise Refused("no such time zone")
        return raw

    return Kind("an IANA time zone such as Europe/Berlin" + (", or empty" if empty else ""), check)


def region() -> Kind:
    """A country in which phone numbers are read; empty for none."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str) or not (raw == "" or re.fullmatch(r"[A-Za-z]{2}", raw)):
            raise Refused
        return raw.upper()

    return Kind("a two-letter country such as DE, or empty", check)


def day() -> Kind:
    """A calendar date, as TOML writes it or as text."""

    def check(raw: Any) -> date:
        if isinstance(raw, date) and not isinstance(raw, datetime):
            return raw
        if not isinstance(raw, str) or len(raw) != 10:
            raise Refused
        try:
            return date.fromisoformat(raw)
        except ValueError:
            raise Refused from None

    return Kind("a date such as 2026-01-31", check, date.isoformat)


def clock() -> Kind:
    """A time of day, HH:MM; 24:00 is 00:00."""
    return Kind("a time of day from 00:00 to 24:00, as HH:MM", _clock, lambda value: f"{value:%H:%M}")


def _clock(raw: Any) -> time:
    if isinstance(raw, time) and not raw.second and not raw.microsecond and raw.tzinfo is None:
        return raw
    match = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise Refused
    hour, minute = int(match[1]), int(match[2])
    if (hour, minute) == (24, 0):
        return time(0, 0)
    if hour > 23 or minute > 59:
        raise Refused
    return time(hour, minute)


def weekday() -> Kind:
    """A day of the week; 0 is Monday."""
    return Kind(", ".join(DAYS), _weekday, lambda value: DAYS[value])


def _weekday(raw: Any) -> int:
    name = raw.strip().lower() if isinstance(raw, str) else ""
    for names in (DAYS, _LONG_DAYS):
        if name in names:
            return names.index(name)
    raise Refused


def cron() -> Kind:
    """Five cron fields. Weekdays are names: libraries and systems disagree on whether 0 is Monday or Sunday."""

    def check(raw: Any) -> str:
        fields = raw.split() if isinstance(raw, str) else []
        if len(fields) != 5:
            raise Refused("is not a cron expression of five fields")
        if any(letter.isdigit() for letter in fields[4]):
            raise Refused("names a weekday by a number, which some read from Sunday and some from Monday")
        try:
            CronTrigger.from_crontab(" ".join(fields))
        except (ValueError, KeyError) as error:
            raise Refused("is not a cron expression") from error
        return " ".join(fields).lower()

    return Kind(
        "minute hour day month weekday, such as 0 5 * * mon-fri; weekdays as mon to sun, * for every", check
    )


def blackout() -> Kind:
    """A weekly period without cycles."""

    def check(raw: Any) -> Blackout:
        match = _BLACKOUT.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise Refused
        start, end = (match[group].zfill(5) for group in (2, 4))
        period = Blackout(_weekday(match[1]), _clock(start), _weekday(match[3]), _clock(end))
        if end == "24:00":
            period = Blackout(period.start_day, period.start, (period.end_day + 1) % 7, period.end)
        if (period.start_day, period.start) == (period.end_day, period.end):
            raise Refused("begins when it ends")
        return period

    def write(period: Blackout) -> str:
        first, last = DAYS[period.start_day].title(), DAYS[period.end_day].title()
        return f"{first} {period.start:%H:%M} - {last} {period.end:%H:%M}"

    return Kind('a weekly period such as "Sat 22:00 - Sun 04:00"', check, write)


def colour_label() -> Kind:
    """A label's name and its colour; 50 characters is Google's limit for the name."""
    name = text(50)

    def check(raw: Any) -> tuple[str, str]:
        if not isinstance(raw, list | tuple) or len(raw) != 2:
            raise Refused
        if not isinstance(raw[1], str) or not re.fullmatch(r"#[0-9A-Fa-f]{6}", raw[1]):
            raise Refused("is not a colour #rrggbb")
        return name.check(raw[0]), raw[1].lower()

    return Kind('a name (50 characters at most) and a colour, ["CRM Appointment", "#3f51b5"]', check, list)


def url(*, empty: bool = True) -> Kind:
    """An http(s) URL without user, password, query and fragment."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str):
            raise Refused
        value = raw.strip()
        if not value and empty:
            return ""
        try:
            parts = urlsplit(value)
            port_ok = parts.port is None or parts.port > 0
        except ValueError:
            raise Refused("is not a URL") from None
        if parts.username or parts.password:
            raise Refused("has a user or password in it")
        if parts.scheme not in {"http", "https"} or not parts.hostname or not port_ok:
            raise Refused("is not a URL")
        if parts.query or parts.fragment or any(c.isspace() for c in value):
            raise Refused("is not a plain URL")
        return value

    return Kind("a URL such as https://host/path/" + (", or empty" if empty else ""), check)


def guarded_url(*, empty: bool = False) -> Kind:
    """A URL to which passwords are sent: https, or http to this machine."""
    plain = url(empty=empty)

    def check(raw: Any) -> str:
        value: str = plain.check(raw)
        parts = urlsplit(value)
        if parts.scheme == "http" and not _loopback(parts.hostname or ""):
            raise Refused("is not https, and a password would cross the network unencrypted")
        return value

    words = "a URL such as https://mail.example.com/EWS/Exchange.asmx; http to this machine only"
    return Kind(words + (", or empty" if empty else ""), check)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def path() -> Kind:
    """The path of a file; a text that is a key itself is refused and not repeated."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str) or not raw.strip():
            raise Refused
        if looks_secret(raw) or not raw.isprintable() or len(raw) > 4096:
            raise Refused("is not the path of a file; the secret itself does not belong here")
        return raw.strip()

    return Kind("the path of a file", check, quiet=True)


def variable() -> Kind:
    """The name of an environment variable."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", raw):
            raise Refused("is not the name of an environment variable; the secret itself does not belong here")
        return raw

    return Kind("the name of an environment variable such as SALESFORCE_SECRET", check, quiet=True)


def version() -> Kind:
    """A version of the Salesforce REST API."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str) or not re.fullmatch(r"[1-9][0-9]{1,2}\.0", raw):
            raise Refused
        return raw

    return Kind('an API version such as "62.0"', check)


def host() -> Kind:
    """The name or address of a machine, without scheme, port or path."""

    def check(raw: Any) -> str:
        if not isinstance(raw, str) or not _HOST.fullmatch(raw.strip()):
            raise Refused("is not the name of a host")
        return raw.strip().lower()

    return Kind("a host such as mail.example.com, without port", check)


def endpoint() -> Kind:
    """An address and a port to listen on; IPv6 addresses stand in brackets."""

    def check(raw: Any) -> str:
        name, colon, port = raw.strip().rpartition(":") if isinstance(raw, str) else ("", "", "")
        inner = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        if not colon or not _HOST.fullmatch(inner) or (":" in inner) != (inner != name):
            raise Refused("is no address and port")
        if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
            raise Refused("has no such port")
        return f"{name.lower()}:{int(port)}"

    return Kind("an address and a port such as 127.0.0.1:8443 or [::1]:8443", check)
