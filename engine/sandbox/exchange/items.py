"""Reading items: which one a request means, GetItem and FindItem."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from engine.sandbox.exchange import calendar, folders, ids, search, soap, store, times
from engine.sandbox.exchange.call import Call, each, resolve
from engine.sandbox.exchange.errors import EwsError, not_found
from engine.sandbox.exchange.nodes import elements, flag, local
from engine.sandbox.exchange.paths import Extended, read
from engine.sandbox.exchange.shapes import Shape, read_shape
from engine.sandbox.exchange.store import Folder, Item
from engine.sandbox.exchange.views import View

_LONGEST_VIEW_MS = 2 * 366 * 86_400_000


# -- which item ------------------------------------------------------------------------------------------


def find(call: Call, element: etree._Element) -> tuple[Item, str]:
    """The item that an ``ItemId``, ``OccurrenceItemId`` or ``RecurringMasterItemId`` names, and the change key sent.

    Raises:
        EwsError: unknown, or no right to it.
    """
    kind = local(element)
    key = element.get("ChangeKey") or ""
    if kind == "OccurrenceItemId":
        master = by_id(call, element.get("RecurringMasterId", ""))
        return calendar.by_index(call.world, master, int(element.get("InstanceIndex", "0"))), key
    if kind == "RecurringMasterItemId":
        found = _parsed(call, element.get("OccurrenceId", ""))
        if found.original is None:
            raise EwsError(
                "ErrorCalendarCannotUseIdForRecurringMasterId",
                "The Id is not that of an occurrence of a series.",
            )
        return _row(call, found.number), key
    return by_id(call, element.get("Id", "")), key


def by_id(call: Call, text: str) -> Item:
    """The item or occurrence with that id.

    Raises:
        EwsError: unknown, or no right to it.
    """
    found = _parsed(call, text)
    if found.original is None:
        return _row(call, found.number)
    return calendar.occurrence(call.world, _row(call, found.number), found.original)


def _parsed(call: Call, text: str) -> ids.Id:
    found = ids.parse(text)
    if found.kind == "F":
        raise EwsError("ErrorCannotUseFolderIdForItemId", "Folder id cannot be used in place of an item id.")
    return resolve(call, text, "I")


def _row(call: Call, number: int) -> Item:
    item = store.item(call.world, number)
    if item is None or item.master:
        raise not_found()
    return item


# -- GetItem ---------------------------------------------------------------------------------------------


def get_item(call: Call) -> str:
    """``GetItem``."""
    from engine.sandbox.exchange.mime import content

    shape = read_shape(soap.find(call.request, "ItemShape"))
    wanted = soap.find(call.request, "ItemIds")

    def one(element: etree._Element) -> str:
        item, _ = find(call, element)
        return f"<m:Items>{View(call, item, shape.body).show(shape, content)}</m:Items>"

    return each(call, () if wanted is None else elements(wanted), one)


# -- FindItem --------------------------------------------------------------------------------------------


def find_item(call: Call) -> str:
    """``FindItem``: by restriction with pages, or the appointments of a span with series as occurrences."""
    shape = read_shape(soap.find(call.request, "ItemShape"))
    wanted = soap.find(call.request, "ParentFolderIds")

    def one(element: etree._Element) -> str:
        if shape.mime or shape.names & {"Body", "UniqueBody", "TextBody", "NormalizedBody"}:
            raise EwsError("ErrorInvalidPropertyForOperation", "Property is not valid for this operation.")
        folder = folders.find(call, element)
        view = soap.find(call.request, "CalendarView")
        if view is not None:
            found, attributes = _calendar_view(call, folder, view)
        else:
            found, attributes = _listing(call, folder)
        inner = "".join(View(call, item, shape.body, searching=True).show(shape) for item in found)
        return f"<m:RootFolder {attributes}><t:Items>{inner}</t:Items></m:RootFolder>"

    return each(call, () if wanted is None else elements(wanted), one)


def _calendar_view(call: Call, folder: Folder, view: etree._Element) -> tuple[Sequence[Item], str]:
    if folder.tag != "CalendarFolder":
        raise EwsError(
            "ErrorCalendarFolderIsInvalidForCalendarView",
            "The calendar view can be used on calendar folders only.",
        )
    if soap.find(call.request, "Restriction") is not None or soap.find(call.request, "SortOrder") is not None:
        raise EwsError("ErrorInvalidRequest", "A calendar view has no restriction and no sort order.")
    low = times.parse_ms(view.get("StartDate", ""), call.zone)
    high = times.parse_ms(view.get("EndDate", ""), call.zone)
    if high < low:
        raise EwsError("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate")
    if high - low > _LONGEST_VIEW_MS:
        raise EwsError("ErrorCalendarViewRangeTooBig", "The requested range is more than two years.")
    found = calendar.within(call.world, folder.row, low, high)
    limit = int(view.get("MaxEntriesReturned", search.MOST))
    if limit < 1:
        raise EwsError("ErrorInvalidPagingMaxRows", "MaxEntriesReturned must be at least 1.")
    if "MaxEntriesReturned" not in view.attrib and len(found) > search.MOST:
        raise EwsError(
            "ErrorExceededFindCountLimit", "You have exceeded the maximum number of objects of a search."
        )
    page = found[:limit]
    return page, f'TotalItemsInView="{len(page)}" IncludesLastItemInRange="{flag(len(page) == len(found))}"'


def _listing(call: Call, folder: Folder) -> tuple[Sequence[Item], str]:
    if call.request.get("Traversal") == "Associated":
        found: list[Item] = []
    elif call.request.get("Traversal") == "SoftDeleted":
        gone = store.special_folder(call.world, folder.mailbox, "recoverableitemsdeletions")
        found = [] if gone is None else store.items_in(call.world, gone.row)
    else:
        found = _matching(call, folder, soap.find(call.request, "Restriction"))
    query = soap.text_at(call.request, "QueryString")
    if query:
        words = query.casefold().split()
        found = [item for item in found if all(word in repr(item.doc).casefold() for word in words)]
    found = search.sorted_by(found, soap.find(call.request, "SortOrder"), lambda item: View(call, item))
    # Newest first where nothing is asked, as mail folders are listed.
    if soap.find(call.request, "SortOrder") is None:
        found.reverse()
    limit = int(call.world.settings.get("exchange_find_limit", search.MOST))
    return search.page(
        found,
        soap.find(call.request, "IndexedPageItemView"),
        soap.find(call.request, "FractionalPageItemView"),
        limit,
    )


def _matching(call: Call, folder: Folder, restriction: etree._Element | None) -> list[Item]:
    if restriction is None:
        return store.items_in(call.world, folder.row)
    matches = search.compile_restriction(restriction, call.zone)
    return [item for item in _candidates(call, folder, restriction) if matches(View(call, item))]


def _candidates(call: Call, folder: Folder, restriction: etree._Element) -> list[Item]:
    """The items that a restriction can match: few, when it asks for the value of an extended property."""
    test = next(elements(restriction))
    if local(test) == "IsEqualTo":
        path_element, operand = list(elements(test))[:2]
        other = next(elements(operand))
        if local(path_element) == "ExtendedFieldURI" and local(other) == "Constant":
            path = read(path_element)
            value = other.get("Value", "")
            if (
                isinstance(path, Extended)
                and path.kind == "String"
                and len(value) <= 255
                and path.key.count("/") == 2
            ):
                rows = call.world.db.execute(
                    "SELECT item FROM exchange_extended WHERE path = ? AND value = ? COLLATE NOCASE",
                    (path.key, value),
                ).fetchall()
                found = [store.item(call.world, row[0]) for row in rows]
                kept = [item for item in found if item is not None and item.folder == folder.row]
                if kept or value.isascii():
                    return sorted(kept, key=lambda item: item.seq)
    return store.items_in(call.world, folder.row)


def only_id() -> Shape:
    """The shape of what CreateItem and UpdateItem answer."""
    return Shape("IdOnly")


HANDLERS = {"GetItem": get_item, "FindItem": find_item}
