"""How CRM events are told apart in a mailbox: by Google's eleven event colours, or by a calendar's labels."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.settings import Api
from engine.model.modules import Module
from engine.model.port import Account
from engine.net.errors import ErrorKind, ProviderError

#: Longest name of a label (discovery document calendar.v3, EventLabel).
LABEL_NAME_MAX = 50

#: Labels that one calendar can hold.
LABELS_MAX = 200

#: How often a calendar is read again because somebody changed it between our read and our write.
TRIES = 3

_NAMESPACE = uuid.UUID("5c1f1f52-6b0e-5d2a-9a3e-7f1f0c6f2d11")

Colours = Mapping[Module, tuple[str, str]]
"""Label name and ``#rrggbb`` by module."""


async def palette(client: GoogleClient, account: Account) -> dict[str, str]:
    """Google's event colours: id to ``#rrggbb``. The same for everybody, hence read once per connection."""
    # Mailboxes that begin together wait for the first one's answer.
    async with client.memo_lock:
        known = client.memo.get("event colours")
        if known is None:
            answer = await client.execute(client.calendar.colors.get(), account, idempotent=True)
            known = {
                number: str(colour.get("background", "#000000"))
                for number, colour in (answer.get("event") or {}).items()
            }
            if not known:
                raise ProviderError(
                    ErrorKind.MALFORMED,
                    Api.CALENDAR.label,
                    "the palette of event colours is empty",
                    advice="Check the calendar endpoint in the connection's settings",
                )
            client.memo["event colours"] = known
    return dict(known)


def nearest(colours: Colours, available: Mapping[str, str]) -> dict[Module, str]:
    """For each module the palette's colour that is nearest, each colour used once while there are enough.

    The result does not depend on the order of ``colours``: the closest pair is settled first.
    """
    pairs = sorted(
        (_distance(wanted, shade), module.value, number)
        for module, (_, wanted) in colours.items()
        for number, shade in available.items()
    )
    chosen: dict[Module, str] = {}
    for distinct in (True, False):
        for _, name, number in pairs:
            module = Module(name)
            if module not in chosen and not (distinct and number in chosen.values()):
                chosen[module] = number
    return chosen


def _distance(one: str, other: str) -> int:
    return sum((a - b) ** 2 for a, b in zip(rgb(one), rgb(other), strict=True))


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of ``#rrggbb``; black when it cannot be read."""
    digits = colour.lstrip("#")
    try:
        return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)
    except ValueError:
        return 0, 0, 0


def readable_on(colour: str) -> str:
    """Black or white, whichever can be read on a background of that colour."""
    red, green, blue = rgb(colour)
    return "#000000" if red * 299 + green * 587 + blue * 114 > 128_000 else "#ffffff"


def label_id(module: Module) -> str:
    """The UUID that we give to a module's event label; the same in every calendar."""
    return str(uuid.uuid5(_NAMESPACE, module.value))


async def ensure_labels(
    client: GoogleClient, account: Account, calendar: str, colours: Colours
) -> tuple[dict[Module, str], list[str]]:
    """Make the event labels that a calendar lacks; a label of the wanted name is adopted.

    The list is written as a whole, so it is guarded by the calendar's etag and read again when that is stale.

    Returns:
        Label id by module, and the names of those that were made.

    Raises:
        ProviderError: the calendar cannot be read or written, or has no room for more labels.
    """
    for attempt in range(TRIES):
        document = await client.execute(
            client.calendar.calendars.get(calendarId=calendar), account, idempotent=True
        )
        labels = list((document.get("labelProperties") or {}).get("eventLabels") or ())
        ids, missing = matched(labels, colours)
        if not missing:
            return ids, []
        if len(labels) + len(missing) > LABELS_MAX:
            raise ProviderError(
                ErrorKind.REQUEST,
                Api.CALENDAR.label,
                f"calendar {calendar} has {len(labels)} event labels, and Google allows {LABELS_MAX}",
                advice="Delete labels, or use event colours",
            )
        body = {"labelProperties": {"eventLabels": labels + missing}}
        request = client.calendar.calendars.patch(calendarId=calendar, body=body)
        if document.get("etag"):
            request.headers["If-Match"] = document["etag"]
        try:
            await client.execute(request, account, idempotent=True)
        except ProviderError as error:
            if error.status != 412 or attempt == TRIES - 1:
                raise
            continue
        return ids, [f"event label {label['name']}" for label in missing]
    raise AssertionError("unreachable: the last attempt returns or raises")


def matched(labels: list[dict[str, Any]], colours: Colours) -> tuple[dict[Module, str], list[dict[str, str]]]:
    """The label id by module, made or to be made, and the labels that a calendar lacks."""
    present = {str(label.get("id")) for label in labels}
    by_name = {str(label.get("name")): str(label.get("id")) for label in labels}
    ids: dict[Module, str] = {}
    missing: list[dict[str, str]] = []
    for module, (name, colour) in colours.items():
        own = label_id(module)
        if own in present:
            ids[module] = own
        elif name[:LABEL_NAME_MAX] in by_name:
            ids[module] = by_name[name[:LABEL_NAME_MAX]]
        else:
            ids[module] = own
            missing.append({"id": own, "name": name[:LABEL_NAME_MAX], "backgroundColor": colour})
    return ids, missing
