"""Searches by our own properties: what an earlier attempt left, and how much of ours there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.mailbox.exchange import errors, props
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import M, element, field, leaf, text_of
from engine.model.port import Account

#: Keys of one search; Exchange returns at most 250 hits of a restricted search (EWSFindCountLimit, 2013 and later).
PROBES = 50

_MOST = 250


def equals(name: str, value: str) -> str:
    """A property of ours has this value."""
    constant = element("t:FieldURIOrConstant", element("t:Constant", Value=value))
    return element("t:IsEqualTo", props.own(name) + constant)


def any_of(tests: Sequence[str]) -> str:
    """One of some tests holds."""
    return tests[0] if len(tests) == 1 else element("t:Or", "".join(tests))


async def find(
    client: ExchangeClient,
    account: Account,
    references: Sequence[str],
    test: str,
    offset: int = 0,
    most: int = _MOST,
) -> list[Message]:
    """One page of what a test finds in each of some folders, with ids and our properties; one message a folder.

    Raises:
        ProviderError: the search failed as a whole.
    """
    shape = element(
        "m:ItemShape",
        leaf("t:BaseShape", "IdOnly")
        + element("t:AdditionalProperties", props.own(props.KEY) + props.own(props.KIND)),
    )
    body = element(
        "m:FindItem",
        shape
        + element("m:IndexedPageItemView", MaxEntriesReturned=most, Offset=offset, BasePoint="Beginning")
        + element("m:Restriction", test)
        + element("m:ParentFolderIds", "".join(references)),
        Traversal="Shallow",
    )
    return await client.call(account, "FindItem", body, idempotent=True)


def page(message: Message) -> tuple[list[Any], int, bool]:
    """Items of a page of a search, how many there are in all, and whether these are the last.

    Raises:
        ProviderError: the search of this folder failed.
    """
    if not message.ok:
        raise errors.fault_of(message.code, message.text, message.back_off)
    root = message.node.find(f"{M}RootFolder")
    if root is None:
        raise errors.fault_of("no response code", "the answer to a search holds no result", None)
    items = root.find("{*}Items")
    rows = [] if items is None else list(items)
    total = int(root.get("TotalItemsInView") or len(rows))
    return rows, total, root.get("IncludesLastItemInRange") != "false" or not rows


async def by_keys(
    client: ExchangeClient, account: Account, reference: str, keys: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Id and version of the items of a folder that carry our keys; one call per fifty keys.

    Raises:
        ProviderError: a search failed.
    """
    found: dict[str, tuple[str, str]] = {}
    wanted = list(keys)
    for start in range(0, len(wanted), PROBES):
        test = any_of([equals(props.KEY, key) for key in wanted[start : start + PROBES]])
        for message in await find(client, account, [reference], test):
            for node in page(message)[0]:
                key = props.extended_of(node).get(props.KEY)
                if key:
                    # The first in a fixed order, should two carry it; the feed shows both, and the engine removes one.
                    pair = props.id_of(node)
                    found[key] = min(found.get(key, pair), pair)
    return found


async def by_message_ids(
    client: ExchangeClient, account: Account, places: Sequence[str], wanted: Sequence[str]
) -> set[str]:
    """Those of some Message-IDs whose mails lie in any of some of the mailbox's own folders; one call.

    Raises:
        ProviderError: a search failed. A folder that the mailbox does not have holds nothing.
    """
    tests = [
        element(
            "t:IsEqualTo",
            field("message:InternetMessageId")
            + element("t:FieldURIOrConstant", element("t:Constant", Value=one)),
        )
        for one in wanted
    ]
    body = element(
        "m:FindItem",
        element(
            "m:ItemShape",
            leaf("t:BaseShape", "IdOnly")
            + element("t:AdditionalProperties", field("message:InternetMessageId")),
        )
        + element("m:IndexedPageItemView", MaxEntriesReturned=_MOST, Offset=0, BasePoint="Beginning")
        + element("m:Restriction", any_of(tests))
        + element("m:ParentFolderIds", "".join(element("t:DistinguishedFolderId", Id=one) for one in places)),
        Traversal="Shallow",
    )
    messages = await client.call(account, "FindItem", body, idempotent=True)
    return {
        text_of(node, "InternetMessageId")
        for message in messages
        if message.code not in {"ErrorFolderNotFound", "ErrorItemNotFound"}
        for node in page(message)[0]
    }


async def count(client: ExchangeClient, account: Account, folder: str, name: str, value: str) -> int:
    """How many items of a folder have a property of ours; one call.

    Raises:
        ProviderError: the search failed.
    """
    reference = element("t:FolderId", Id=folder)
    [message] = await find(client, account, [reference], equals(name, value), most=1)
    return page(message)[1]
