"""Calls about folders: found by name or id, made, counted, taken away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.mailbox.exchange import errors, feed, props
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import M, element, field, leaf, text_of
from engine.model.port import Account

#: The folder below which a person's folders stand ("Top of Information Store").
ROOT = "msgfolderroot"

#: Folders of one call.
MANY = 100

#: Longest name of a folder that Outlook shows whole.
NAME_MAX = 255


def shape(names: Sequence[str], extra: str) -> str:
    """``m:FolderShape`` with ids and what is named."""
    paths = "".join(field(f"folder:{name}") for name in names)
    return element(
        "m:FolderShape", leaf("t:BaseShape", "IdOnly") + element("t:AdditionalProperties", paths + extra)
    )


_NAMES = ("DisplayName", "ParentFolderId", "TotalCount", "ChildFolderCount")
_SHAPE = shape(_NAMES, props.own(props.KEY))
_SHAPE_2013 = shape((*_NAMES, "DistinguishedFolderId"), props.own(props.KEY))


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it is.

    Attributes:
        id: Exchange's.
        name: what people see.
        parent: the folder above it.
        items: how many items it holds.
        children: how many folders are in it.
        key: our key on it, empty on a folder that is none of ours.
        special: Exchange's own name of it (``deleteditems``), where that was asked for and it has one.
    """

    id: str
    name: str
    parent: str
    items: int
    children: int
    key: str
    special: str = ""


def reference(folder: str) -> str:
    """The id element of a folder; names like ``calendar`` mean the mailbox's own."""
    if folder.isalpha() and folder.islower():
        return element("t:DistinguishedFolderId", Id=folder)
    return element("t:FolderId", Id=folder)


async def get(client: ExchangeClient, account: Account, ids: Sequence[str]) -> list[Folder | None]:
    """Folders by id or distinguished name, in order; ``None`` for one that is not there.

    Raises:
        ProviderError: a read failed.
    """
    found: list[Folder | None] = []
    for start in range(0, len(ids), MANY):
        part = ids[start : start + MANY]
        body = element("m:GetFolder", _SHAPE + element("m:FolderIds", "".join(reference(one) for one in part)))
        messages = await client.call(account, "GetFolder", body, idempotent=True)
        if len(messages) != len(part):
            raise feed.short("GetFolder", len(part), len(messages))
        for message in messages:
            items = message.items()
            if message.ok and items:
                found.append(_folder(items[0]))
            elif is_missing(message.code):
                found.append(None)
            else:
                raise errors.fault_of(message.code, message.text, message.back_off)
    return found


def is_missing(code: str) -> bool:
    """Whether a folder is not there."""
    return code in {"ErrorFolderNotFound", "ErrorItemNotFound", "ErrorInvalidFolderId"}


def _folder(node: Any) -> Folder:
    parent = node.find("{*}ParentFolderId")
    return Folder(
        id=props.id_of(node)[0],
        name=text_of(node, "DisplayName"),
        parent="" if parent is None else str(parent.get("Id")),
        items=int(text_of(node, "TotalCount") or 0),
        children=int(text_of(node, "ChildFolderCount") or 0),
        key=props.extended_of(node).get(props.KEY, ""),
        special=text_of(node, "DistinguishedFolderId"),
    )


async def inside(client: ExchangeClient, account: Account, parent: str) -> list[Folder]:
    """The folders directly below one; one call per 1,000. A folder that is gone holds none.

    Raises:
        ProviderError: a read failed.
    """
    return [_folder(node) for node in await _found(client, account, parent, _SHAPE, "Shallow")]


async def below(
    client: ExchangeClient, account: Account, parent: str, *, special: bool = False
) -> list[Folder]:
    """All folders below one, however deep; one call per 1,000. ``special``: with Exchange's own names (2013 and later).

    Raises:
        ProviderError: a read failed.
    """
    wanted = _SHAPE_2013 if special else _SHAPE
    return [_folder(node) for node in await _found(client, account, parent, wanted, "Deep")]


async def nodes_below(client: ExchangeClient, account: Account, parent: str, wanted: str) -> list[Any]:
    """The elements of all folders below one with what a shape names; one call per 1,000.

    Raises:
        ProviderError: a read failed.
    """
    return await _found(client, account, parent, wanted, "Deep")


async def _found(
    client: ExchangeClient, account: Account, parent: str, wanted: str, traversal: str
) -> list[Any]:
    found: list[Any] = []
    while True:
        body = element(
            "m:FindFolder",
            wanted
            + element(
                "m:IndexedPageFolderView", MaxEntriesReturned=1000, Offset=len(found), BasePoint="Beginning"
            )
            + element("m:ParentFolderIds", reference(parent)),
            Traversal=traversal,
        )
        [message] = await client.call(account, "FindFolder", body, idempotent=True)
        if is_missing(message.code):
            return found
        if not message.ok:
            raise errors.fault_of(message.code, message.text, message.back_off)
        root = message.node.find(f"{M}RootFolder")
        held = None if root is None else root.find("{*}Folders")
        page = [] if held is None else list(held)
        found += page
        if root is None or not page or root.get("IncludesLastItemInRange") != "false":
            return found


class Named(Protocol):
    """A folder that stands in another one."""

    @property
    def id(self) -> str:
        """Exchange's id."""
        ...

    @property
    def name(self) -> str:
        """What people see."""
        ...

    @property
    def parent(self) -> str:
        """The folder above it."""
        ...


def paths(present: Iterable[Named]) -> dict[str, str]:
    """Full names of folders by id, ``CRM/Opportunities``, as far up as they are among these.

    A slash in a folder's own name, which Exchange allows, becomes a hyphen.
    """
    by_id = {one.id: one for one in present}
    known: dict[str, str] = {}

    def path(one: Named) -> str:
        if one.id not in known:
            above = by_id.get(one.parent)
            name = one.name.replace("/", "-")
            known[one.id] = f"{path(above)}/{name}" if above is not None and above is not one else name
        return known[one.id]

    return {identity: path(one) for identity, one in by_id.items()}


def within(present: Iterable[Named], root: str) -> set[str]:
    """Those of some folders, by id, that stand somewhere below one."""
    children: dict[str, list[str]] = {}
    for one in present:
        children.setdefault(one.parent, []).append(one.id)
    inside_: set[str] = set()
    waiting = [root]
    while waiting:
        for child_ in children.get(waiting.pop(), ()):
            if child_ not in inside_:
                inside_.add(child_)
                waiting.append(child_)
    return inside_


def named(folders: Sequence[Folder], name: str) -> Folder | None:
    """The folder of a name, which Exchange compares without case."""
    return next((one for one in folders if one.name.casefold() == name.casefold()), None)


async def make(
    client: ExchangeClient,
    account: Account,
    parent: str,
    wanted: Sequence[tuple[str, str]],
    kind: str = "t:Folder",
) -> list[Message]:
    """Make folders of (name, key) in one call; names are unique in their parent (``ErrorFolderExists``).

    Raises:
        ProviderError: the call failed as a whole.
    """
    bodies = [
        element(
            kind,
            leaf("t:DisplayName", name) + (props.extended(props.own(props.KEY), key) if key else ""),
        )
        for name, key in wanted
    ]
    body = element(
        "m:CreateFolder",
        element("m:ParentFolderId", reference(parent)) + element("m:Folders", "".join(bodies)),
    )
    # The unique name makes a repeat harmless: what an earlier attempt made is found by it.
    messages = await client.call(account, "CreateFolder", body, idempotent=True)
    if len(messages) != len(wanted):
        raise feed.short("CreateFolder", len(wanted), len(messages))
    return messages


async def child(
    client: ExchangeClient, account: Account, parent: str, name: str, kind: str = "t:Folder"
) -> tuple[str, bool]:
    """The id of a folder by its name, made if it is not there; and whether it was made.

    Raises:
        ProviderError: it can be neither found nor made.
    """
    [message] = await make(client, account, parent, [(name, "")], kind)
    if message.ok:
        return props.id_of(message.items()[0])[0], True
    if message.code == "ErrorFolderExists":
        found = named(await inside(client, account, parent), name)
        if found is not None:
            return found.id, False
    raise errors.fault_of(message.code, f"the folder {name!r} cannot be made: {message.text}", message.back_off)


async def rename(client: ExchangeClient, account: Account, wanted: Mapping[str, str]) -> dict[str, Message]:
    """Give folders new names, in one call; the message of each.

    Raises:
        ProviderError: the call failed as a whole.
    """
    if not wanted:
        return {}
    changes = [
        element(
            "t:FolderChange",
            reference(folder)
            + element(
                "t:Updates",
                element(
                    "t:SetFolderField",
                    field("folder:DisplayName") + element("t:Folder", leaf("t:DisplayName", name)),
                ),
            ),
        )
        for folder, name in wanted.items()
    ]
    body = element("m:UpdateFolder", element("m:FolderChanges", "".join(changes)))
    messages = await client.call(account, "UpdateFolder", body, idempotent=True)
    if len(messages) != len(wanted):
        raise feed.short("UpdateFolder", len(wanted), len(messages))
    return dict(zip(wanted, messages, strict=True))


async def move(client: ExchangeClient, account: Account, folder: str, to: str) -> Message:
    """Put a folder into another one.

    Raises:
        ProviderError: the call failed as a whole.
    """
    body = element(
        "m:MoveFolder",
        element("m:ToFolderId", reference(to)) + element("m:FolderIds", reference(folder)),
    )
    [message] = await client.call(account, "MoveFolder", body, idempotent=True)
    return message


async def delete(client: ExchangeClient, account: Account, ids: Sequence[str]) -> list[Message]:
    """Take folders away that hold nothing of the person's; one message each.

    Raises:
        ProviderError: the call failed as a whole.
    """
    if not ids:
        return []
    body = element(
        "m:DeleteFolder",
        element("m:FolderIds", "".join(reference(one) for one in ids)),
        DeleteType="SoftDelete",
    )
    messages = await client.call(account, "DeleteFolder", body, idempotent=True)
    if len(messages) != len(ids):
        raise feed.short("DeleteFolder", len(ids), len(messages))
    return messages
