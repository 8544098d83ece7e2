"""Where people have dropped mails since the last check: one call tells which folders have changed, others list these.

Exchange has no feed for several folders at once. But one ``FindFolder`` gives of every folder how many items it holds and
when any of them was last changed (PidTagLocalCommitTimeMax, [MS-OXCFOLD] 2.2.2.2.1.14: "the most recent time that a top
level object within a folder was changed"), and one ``FindItem`` lists up to a hundred folders. What lies in a folder is told
as a whole, so that nothing depends on a state of the server that may expire. A folder of which Exchange gives no time is
listed each time, and all of them are once a day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from engine.mailbox.exchange import errors, feed, folders, props
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.search import page
from engine.mailbox.exchange.xml import T, element, leaf, stamp, text_of, time_of
from engine.mailbox.exchange.xml import field as path_of
from engine.model.mail import MailPage, Placement
from engine.model.port import Account
from engine.net.errors import CursorExpired

INBOX, SENT, BIN = "inbox", "sentitems", "deleteditems"

#: All folders are listed so often whatever they say, milliseconds: a change must not stay unseen because of a clock.
SWEEP_MS = 86_400_000

#: Items of one page of FindItem: EWSFindCountLimit is 1,000 unless an administrator has changed it.
MOST = 1000

#: Items of one page of a search by time; such searches give at most 250 (Exchange 2013 and later).
MOST_FOUND = 250

#: A mail may be put into the inbox so much later than the time of reception that it bears, seconds.
OVERLAP_S = 600

#: PidTagLocalCommitTimeMax.
_CHANGED = "0x670A"

_STAMPS = folders.shape(("DisplayName", "ParentFolderId", "TotalCount"), props.tagged(_CHANGED, "SystemTime"))
_ITEMS = element(
    "m:ItemShape",
    leaf("t:BaseShape", "IdOnly")
    + element(
        "t:AdditionalProperties",
        "".join(path_of(f"item:{name}") for name in ("ItemClass", "DateTimeReceived", "ConversationId"))
        + path_of("message:InternetMessageId")
        + props.own(props.KIND),
    ),
)

#: Beginnings of the classes of items that are mails: mails, meeting requests and their answers, reports of delivery.
_MAILS = ("IPM.NOTE", "IPM.SCHEDULE.MEETING", "REPORT.", "IPM.POST")


@dataclass(slots=True)
class Cursor:
    """Where the check of a mailbox stands.

    Attributes:
        home: ids of the mailbox's inbox, sent items and deleted items.
        stamps: what each watched folder last said of itself, by a short form of its id.
        since: time of reception of the newest mail that we have seen arrive, as Exchange wrote it.
        seen: short forms of ids of mails that arrived shortly before then.
        swept: when all folders were last listed, epoch milliseconds.
    """

    home: tuple[str, str, str]
    stamps: dict[str, str] = field(default_factory=dict)
    since: str = ""
    seen: list[str] = field(default_factory=list)
    swept: int = 0

    def text(self) -> str:
        """As the ledger keeps it."""
        return json.dumps(
            [list(self.home), dict(sorted(self.stamps.items())), self.since, self.seen, self.swept],
            separators=(",", ":"),
        )


def read_cursor(text: str) -> Cursor:
    """The cursor of a text.

    Raises:
        CursorExpired: it is none of this version's.
    """
    try:
        home, stamps, since, seen, swept = json.loads(text)
        inbox, sent, bin_ = home
        return Cursor((str(inbox), str(sent), str(bin_)), dict(stamps), str(since), list(seen), int(swept))
    except (ValueError, TypeError):
        raise CursorExpired("the cursor cannot be read") from None


def short(identity: str) -> str:
    """Enough of an id to know it again."""
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Spot:
    """A folder as it is now: its id, name, the folder above, how many items it holds, and its stamp ("" for none)."""

    id: str
    name: str
    parent: str
    items: int
    stamp: str


async def spots(client: ExchangeClient, account: Account) -> dict[str, Spot]:
    """All folders of a mailbox by id, in one call per 1,000.

    Raises:
        ProviderError: a read failed.
    """
    nodes = await folders.nodes_below(client, account, folders.ROOT, _STAMPS)
    return {one.id: one for one in map(_spot, nodes)}


def _spot(node: Any) -> Spot:
    above = node.find(f"{T}ParentFolderId")
    changed = props.extended_of(node).get(_CHANGED, "")
    items = int(text_of(node, "TotalCount") or 0)
    return Spot(
        props.id_of(node)[0],
        text_of(node, "DisplayName"),
        "" if above is None else str(above.get("Id")),
        items,
        f"{items} {changed}" if changed else "",
    )


async def start(client: ExchangeClient, account: Account) -> Cursor:
    """The cursor of this moment; three calls.

    Raises:
        ProviderError: a call failed, or the mailbox has no inbox.
    """
    home = []
    for name, found in zip(
        (INBOX, SENT, BIN), await folders.get(client, account, [INBOX, SENT, BIN]), strict=True
    ):
        if found is None:
            raise errors.fault_of("ErrorFolderNotFound", f"the mailbox has no folder {name}", None)
        home.append(found.id)
    present = await spots(client, account)
    newest = await _newest(client, account)
    return Cursor(
        (home[0], home[1], home[2]),
        {short(one.id): one.stamp for one in present.values() if one.stamp},
        max((_received(node) for node in newest), default=""),
        [short(props.id_of(node)[0]) for node in newest],
        client.net.clock.now_ms(),
    )


async def changes(
    client: ExchangeClient,
    account: Account,
    cursor: str,
    watched: Sequence[str],
    again: Collection[str] = (),
) -> MailPage:
    """What lies in watched folders that have changed, and what has arrived; one call when nothing has.

    Folders of ``again`` are listed whatever they say of themselves.

    Raises:
        CursorExpired: it is another mailbox than the cursor's.
        ProviderError: a call failed.
    """
    place = read_cursor(cursor)
    present = await spots(client, account)
    inbox, sent, bin_ = place.home
    if inbox not in present or sent not in present:
        raise CursorExpired("the mailbox has another inbox than before")
    now = client.net.clock.now_ms()
    sweep = now - place.swept >= SWEEP_MS
    arrivals = {INBOX: inbox, SENT: sent}
    there = [present[arrivals.get(one, one)] for one in watched if arrivals.get(one, one) in present]
    away = folders.within(present.values(), bin_)
    there = [one for one in there if one.id not in away]
    changed = [
        one
        for one in there
        if sweep or not one.stamp or one.id in again or place.stamps.get(short(one.id)) != one.stamp
    ]
    drops = [one for one in changed if one.id not in (inbox, sent)]
    found, whole = await listed(client, account, drops)
    unsure = {one.id for one in drops} - whole
    after = replace(
        place,
        stamps={short(one.id): one.stamp for one in there if one.stamp and one.id not in unsure},
        swept=now if sweep else place.swept,
    )
    if len(drops) < len(changed):
        found += await _arrived(client, account, after)
    names = folders.paths(present.values()) if drops else {}
    return MailPage(
        tuple(found),
        after.text(),
        tuple(sorted(whole)),
        {one: name for one, name in names.items() if one not in away} or None,
    )


# -- folders ---------------------------------------------------------------------------------------------------


async def listed(
    client: ExchangeClient, account: Account, wanted: Sequence[Spot]
) -> tuple[list[Placement], set[str]]:
    """The mails in some folders, and ids of the folders of which that is all; a folder that is gone has none.

    Raises:
        ProviderError: a call failed.
    """
    found: list[Placement] = []
    whole: set[str] = set()
    for part in _together(wanted):
        nodes: dict[str, dict[str, Any]] = {one.id: {} for one in part}
        waiting = [([one.id for one in part], 0)]
        while waiting:
            asked, offset = waiting.pop()
            messages = await client.call(account, "FindItem", _find(asked, offset), idempotent=True)
            if len(messages) != len(asked):
                raise feed.short("FindItem", len(asked), len(messages))
            for folder, message in zip(asked, messages, strict=True):
                if folders.is_missing(message.code):
                    continue
                rows, total, last = page(message)
                nodes[folder] |= {props.id_of(node)[0]: node for node in rows}
                if not last:
                    # By as many as came: an administrator may have set a lower limit than the usual one.
                    waiting.append(([folder], offset + len(rows)))
                elif len(nodes[folder]) == total:
                    whole.add(folder)
                # Else somebody moved mails while we turned the pages: it is listed again by the next check.
        found += [one for folder, rows in nodes.items() for one in _placements(rows.values(), folder)]
    return found, whole


def _together(wanted: Iterable[Spot]) -> Iterable[list[Spot]]:
    """Folders of one call: no more than it may list at once, and a large one by itself."""
    part: list[Spot] = []
    items = 0
    for one in wanted:
        if part and (len(part) >= folders.MANY or items + one.items > MOST):
            yield part
            part, items = [], 0
        part.append(one)
        items += one.items
    if part:
        yield part


def _find(wanted: Sequence[str], offset: int) -> str:
    return element(
        "m:FindItem",
        _ITEMS
        + element("m:IndexedPageItemView", MaxEntriesReturned=MOST, Offset=offset, BasePoint="Beginning")
        + element("m:ParentFolderIds", "".join(folders.reference(one) for one in wanted)),
        Traversal="Shallow",
    )


def _is_mail(node: Any) -> bool:
    return text_of(node, "ItemClass").upper().startswith(_MAILS) and not props.extended_of(node).get(props.KIND)


def _thread(node: Any) -> str:
    found = node.find(f"{T}ConversationId")
    return "" if found is None else str(found.get("Id"))


def _received(node: Any) -> str:
    return text_of(node, "DateTimeReceived")


def _placements(nodes: Iterable[Any], folder: str) -> Iterable[Placement]:
    for node in nodes:
        if _is_mail(node):
            yield Placement(props.id_of(node)[0], _thread(node), (folder,), (folder,))


# -- what arrives ----------------------------------------------------------------------------------------------


async def _newest(client: ExchangeClient, account: Account) -> list[Any]:
    """The newest of the received and of the sent mails."""
    body = _search((INBOX, SENT), "", 0, 1, "Descending")
    messages = await client.call(account, "FindItem", body, idempotent=True)
    return [node for message in messages for node in page(message)[0]]


async def _arrived(client: ExchangeClient, account: Account, place: Cursor) -> list[Placement]:
    """Mails received and sent since the newest that we know; the cursor moves on."""
    found = await since(client, account, (INBOX, SENT), _earlier(place.since))
    known = set(place.seen)
    new = [(folder, node) for folder, node in found if short(props.id_of(node)[0]) not in known]
    place.since = max((_received(node) for _, node in found), default=place.since)
    edge = _earlier(place.since)
    place.seen = sorted(short(props.id_of(node)[0]) for _, node in found if _received(node) >= edge)
    return arrivals_of(new)


def arrivals_of(found: Iterable[tuple[str, Any]]) -> list[Placement]:
    """Mails that have arrived, from what a search by time finds."""
    return [
        Placement(
            props.id_of(node)[0],
            _thread(node),
            (folder,),
            arrived=True,
            message=text_of(node, "InternetMessageId").strip("<> "),
        )
        for folder, node in found
        if _is_mail(node)
    ]


def _earlier(written: str) -> str:
    """A time of Exchange's, less the overlap."""
    at = time_of(written)
    return "" if at is None else stamp(at - timedelta(seconds=OVERLAP_S))


async def since(
    client: ExchangeClient, account: Account, places: Sequence[str], begin: str
) -> list[tuple[str, Any]]:
    """The mails of some folders that were received at a time or later, with their folder; one call when few are.

    Raises:
        ProviderError: a call failed.
    """
    found: dict[str, tuple[str, Any]] = {}
    waiting = [(tuple(places), begin, 0)]
    while waiting:
        asked, edge, offset = waiting.pop()
        body = _search(asked, edge, offset, MOST_FOUND, "Ascending")
        messages = await client.call(account, "FindItem", body, idempotent=True)
        if len(messages) != len(asked):
            raise feed.short("FindItem", len(asked), len(messages))
        for folder, message in zip(asked, messages, strict=True):
            rows, _, last = page(message)
            found |= {props.id_of(node)[0]: (folder, node) for node in rows}
            if not last:
                # From the time of the last one on, which no mail that is moved away meanwhile can shift; many mails of
                # one second are told apart by their number.
                newest = _received(rows[-1])
                waiting.append(((folder,), newest, offset + len(rows) if newest == edge else 0))
    return list(found.values())


def _search(asked: Sequence[str], edge: str, offset: int, most: int, order: str) -> str:
    """Mails in some folders by their time of reception, since a time or all of them."""
    received = path_of("item:DateTimeReceived")
    test = ""
    if edge:
        constant = element("t:FieldURIOrConstant", element("t:Constant", Value=edge))
        test = element("m:Restriction", element("t:IsGreaterThanOrEqualTo", received + constant))
    return element(
        "m:FindItem",
        _ITEMS
        + element("m:IndexedPageItemView", MaxEntriesReturned=most, Offset=offset, BasePoint="Beginning")
        + test
        + element("m:SortOrder", element("t:FieldOrder", received, Order=order))
        + element("m:ParentFolderIds", "".join(folders.reference(one) for one in asked)),
        Traversal="Shallow",
    )
