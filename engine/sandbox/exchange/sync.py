"""SyncFolderItems and SyncFolderHierarchy: what has changed since a state, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lxml import etree

from engine.sandbox.exchange import folders, ids, item_values, soap, store
from engine.sandbox.exchange.call import Call, each
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import elements, flag, render, text
from engine.sandbox.exchange.shapes import Shape, read_shape
from engine.sandbox.exchange.store import Folder, Item
from engine.sandbox.exchange.views import View

_ITEMS, _FOLDERS = 1, 2


class State:
    """A client's position in a folder's changes.

    ``base`` is the change up to which everything has been delivered. While a round of pages is under way, each page
    adds its last change and the last change of all when it was read: from these follows whether an item that has
    changed again meanwhile was delivered before, and is therefore an update and not a creation.
    """

    def __init__(self, base: int, pages: Sequence[tuple[int, int]] = ()) -> None:
        self.base, self.pages = base, list(pages)

    @property
    def cursor(self) -> int:
        """The last change that has been delivered."""
        return self.pages[-1][0] if self.pages else self.base

    def delivered(self, came: int, changes: Sequence[int]) -> bool:
        """Whether an item that came with change ``came`` and changed at ``changes`` is known to the client."""
        if came <= self.base:
            return True
        low = self.base
        for high, read in self.pages:
            then = max((one for one in changes if one <= read), default=0)
            if low < then <= high:
                return True
            low = high
        return False


def _state(text_: str | None, kind: int, row: int) -> State:
    if not text_:
        return State(0)
    try:
        numbers = ids.unpack(text_)
    except ValueError:
        numbers = ()
    if len(numbers) < 3 or len(numbers) % 2 == 0 or numbers[:2] != (kind, row):
        raise EwsError(
            "ErrorInvalidSyncStateData", "Synchronization state data is corrupt or otherwise invalid."
        )
    rest = numbers[3:]
    return State(numbers[2], list(zip(rest[::2], rest[1::2], strict=True)))


def sync_folder_items(call: Call) -> str:
    """``SyncFolderItems``."""
    shape = read_shape(soap.find(call.request, "ItemShape"))
    holder = soap.find(call.request, "SyncFolderId")
    ignored = soap.find(call.request, "Ignore")
    skip = set() if ignored is None else {ids.parse(one.get("Id", "")).number for one in elements(ignored)}

    def one(element: etree._Element) -> str:
        try:
            folder = folders.target(call, element)
        except EwsError as error:
            if error.code == "ErrorFolderNotFound":
                raise EwsError("ErrorSyncFolderNotFound", error.message) from None
            raise
        state = _state(soap.text_at(call.request, "SyncState"), _ITEMS, folder.row)
        limit = int(soap.text_at(call.request, "MaxChangesReturned") or 512)
        return _page(call, folder, state, limit, shape, skip)

    return each(call, [holder] if holder is not None else [], one)


def _page(call: Call, folder: Folder, state: State, limit: int, shape: Shape, skip: set[int]) -> str:
    now = store.last_seq(call.world)
    changes: list[str] = []
    cursor, last = state.cursor, True
    for number, item, gone in _changes(call, folder, state.cursor):
        if len(changes) == limit:
            last = False
            break
        cursor = number
        shown = _change(call, state, item, gone, shape, skip)
        if shown:
            changes.append(shown)
    if last:
        token = ids.pack(_ITEMS, folder.row, now)
    else:
        pages = [*state.pages, (cursor, now)]
        token = ids.pack(_ITEMS, folder.row, state.base, *[number for page in pages for number in page])
    return (
        f"<m:SyncState>{token}</m:SyncState><m:IncludesLastItemInRange>{flag(last)}</m:IncludesLastItemInRange>"
        f"<m:Changes>{''.join(changes)}</m:Changes>"
    )


_PAGE = 600


def _changes(call: Call, folder: Folder, after: int) -> Iterator[tuple[int, Item | None, tuple[int, int, str]]]:
    """Changes in order: number, the item as it is now (None: gone), and of a gone one row, coming and element."""
    db = call.world.db
    gone = db.execute(
        "SELECT seq, item, came, tag FROM exchange_gone WHERE folder = ? AND seq > ? ORDER BY seq",
        (folder.row, after),
    ).fetchall()
    place = 0
    while True:
        found = store.items_where(
            call.world,
            "folder = ? AND master = 0 AND MAX(seq, read_seq) > ? ORDER BY MAX(seq, read_seq) LIMIT ?",
            (folder.row, after, _PAGE),
        )
        for item in found:
            number = store.key_seq(item)
            while place < len(gone) and gone[place][0] < number:
                yield gone[place][0], None, (gone[place][1], gone[place][2], gone[place][3])
                place += 1
            yield number, item, (item.row, item.came, item.tag)
            after = number
        if len(found) < _PAGE:
            break
    for row in gone[place:]:
        yield row[0], None, (row[1], row[2], row[3])


def _change(
    call: Call, state: State, item: Item | None, gone: tuple[int, int, str], shape: Shape, skip: set[int]
) -> str:
    row, came, tag = gone
    known = came <= state.base or (bool(state.pages) and state.delivered(came, _log(call, row)))
    if item is None:
        if not known:
            return ""
        return f"<t:Delete>{_gone_id(call, row, tag)}</t:Delete>"
    if row in skip:
        return ""
    if known and item.read_seq > state.cursor and item.seq <= state.cursor:
        read = text(item.doc.get("IsRead")) != "false"
        return f"<t:ReadFlagChange>{render('ItemId', item_values.identity(call, item))}<t:IsRead>{flag(read)}</t:IsRead></t:ReadFlagChange>"
    name = "Update" if known else "Create"
    return f"<t:{name}>{View(call, item, shape.body).show(shape)}</t:{name}>"


def _log(call: Call, row: int) -> list[int]:
    return [
        one[0]
        for one in call.world.db.execute("SELECT seq FROM exchange_log WHERE item = ?", (row,)).fetchall()
    ]


def _gone_id(call: Call, row: int, tag: str) -> str:
    holder = soap.find(call.request, "SyncFolderId")
    assert holder is not None
    folder = folders.target(call, holder)
    name = str(ids.Id(call.box(folder.mailbox).guid, "I", row))
    return render("ItemId", {"a": {"Id": name, "ChangeKey": ids.change_key(tag, 0)}, "t": ""})


# -- folders ---------------------------------------------------------------------------------------------


def sync_folder_hierarchy(call: Call) -> str:
    """``SyncFolderHierarchy``: folders below one that are new, changed or gone since a state."""
    shape = read_shape(soap.find(call.request, "FolderShape"))
    holder = soap.find(call.request, "SyncFolderId")

    def one(element: etree._Element | None) -> str:
        if element is not None:
            root = folders.target(call, element)
        else:
            from engine.sandbox.exchange.call import mailbox_of

            found = store.special_folder(call.world, mailbox_of(call, None).row, "msgfolderroot")
            assert found is not None
            root = found
        state = _state(soap.text_at(call.request, "SyncState"), _FOLDERS, root.row)
        changes = []
        inside = list(folders.below(call, root))
        for folder in inside:
            if folder.seq > state.base:
                name = "Create" if folder.came > state.base else "Update"
                changes.append((folder.seq, f"<t:{name}>{folders.show(call, folder, shape)}</t:{name}>"))
        gone = call.world.db.execute(
            "SELECT seq, folder FROM exchange_folders_gone WHERE mailbox = ? AND seq > ? AND came <= ?",
            (root.mailbox, state.base, state.base),
        ).fetchall()
        for number, row in gone:
            shown = render("FolderId", folders.folder_id(call, row, root.mailbox, 0))
            changes.append((number, f"<t:Delete>{shown}</t:Delete>"))
        token = ids.pack(_FOLDERS, root.row, store.last_seq(call.world))
        inner = "".join(shown for _, shown in sorted(changes))
        return (
            f"<m:SyncState>{token}</m:SyncState><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange>"
            f"<m:Changes>{inner}</m:Changes>"
        )

    return each(call, [holder], one)


HANDLERS = {"SyncFolderItems": sync_folder_items, "SyncFolderHierarchy": sync_folder_hierarchy}
