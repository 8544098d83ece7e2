"""UpdateItem: changes of single properties, with or without a look at what others have changed meanwhile."""

from __future__ import annotations

import copy

from lxml import etree

from engine.sandbox.exchange import (
    calendar,
    documents,
    ids,
    item_values,
    items,
    mapi,
    meetings,
    paths,
    post,
    soap,
    store,
    views,
)
from engine.sandbox.exchange.call import Call, each
from engine.sandbox.exchange.errors import EwsError, SoapFault
from engine.sandbox.exchange.nodes import Doc, Node, attribute, child, elements, entries, local, node_of, text
from engine.sandbox.exchange.paths import Extended, Field, Indexed
from engine.sandbox.exchange.shapes import Shape, read_extended
from engine.sandbox.exchange.store import Item
from engine.sandbox.exchange.views import View

_APPENDABLE = ("Body", "RequiredAttendees", "OptionalAttendees", "Resources", "ToRecipients", "CcRecipients",
               "BccRecipients", "ReplyTo", "Categories")  # fmt: skip
_REQUIRED = frozenset(
    ("Start", "End", "Sensitivity", "Importance", "ItemClass", "LegacyFreeBusyStatus", "IsAllDayEvent")
)


def update_item(call: Call) -> str:
    """``UpdateItem``: one response message per item, in order.

    Raises:
        SoapFault: calendar items without ``SendMeetingInvitationsOrCancellations``, messages without a disposition.
    """
    changes = soap.find(call.request, "ItemChanges")
    parts = [] if changes is None else list(elements(changes))
    for one in parts:
        _check_dispositions(call, one)
    return each(call, parts, lambda one: _update(call, one))


def _check_dispositions(call: Call, change: etree._Element) -> None:
    values = {local(value) for value in change.iter() if isinstance(value.tag, str)}
    if "CalendarItem" in values and call.request.get("SendMeetingInvitationsOrCancellations") is None:
        raise SoapFault(
            "ErrorSendMeetingInvitationsOrCancellationsRequired",
            "SendMeetingInvitationsOrCancellations attribute is required for calendar items.",
        )
    if "Message" in values and call.request.get("MessageDisposition") is None:
        raise SoapFault("ErrorMessageDispositionRequired", "Message disposition is required for messages.")


def _update(call: Call, change: etree._Element) -> str:
    parts = list(elements(change))
    item, key = items.find(call, parts[0])
    check_key(call, item, key, call.request.get("ConflictResolution", "AutoResolve"))
    before = copy.deepcopy(item.doc)
    updates = list(elements(parts[1]))
    for update in updates:
        _apply(call, item, update)
    save(call, item, before)
    shown = View(call, item).show(Shape("IdOnly"))
    if item.tag == "CalendarItem":
        mode = call.request.get("SendMeetingInvitationsOrCancellations", "SendToNone")
        meetings.update(call, item, before, mode)
        shown = View(call, item).show(Shape("IdOnly"))
    if item.tag == "Message" and call.request.get("MessageDisposition") in ("SendOnly", "SendAndSaveCopy"):
        keep = call.request.get("MessageDisposition") == "SendAndSaveCopy"
        post.send(call, item, keep=keep, to=None)
        return f"<m:Items/>{_CONFLICTS}"
    return f"<m:Items>{shown}</m:Items>{_CONFLICTS}"


_CONFLICTS = "<m:ConflictResults><t:Count>0</t:Count></m:ConflictResults>"


def check_key(call: Call, item: Item, key: str, resolution: str) -> None:
    """Refuse a write whose change key is not that of the item's present state.

    Raises:
        EwsError: ``ErrorChangeKeyRequired``, ``ErrorInvalidChangeKey``, ``ErrorIrresolvableConflict``.
    """
    if resolution == "AlwaysOverwrite":
        return
    if not key:
        if resolution == "NeverOverwrite":
            raise EwsError("ErrorChangeKeyRequired", "The change key is required for this operation.")
        return
    current = store.key_seq(item)
    sent = ids.change_seq(key)
    # AutoResolve merges changes of different properties; the sandbox does not keep who changed which, and lets the
    # last writer win, which is what Exchange does with properties of its own kind, too.
    if resolution == "NeverOverwrite" and sent != current:
        call.count("conflicts")
        raise EwsError(
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed in the request does not"
            " match the current change key for the item.",
        )


def save(call: Call, item: Item, before: Doc) -> None:
    """Store an item whose document has been changed; occurrences become changed ones of their series.

    Raises:
        EwsError: the new values make no sense.
    """
    mailbox = call.box(item.mailbox)
    if item.master:
        _save_occurrence(call, item, before)
        return
    only_read = _without(item.doc, "IsRead") == _without(before, "IsRead") and item.doc != before
    documents.complete(call, item, mailbox)
    if item.tag == "CalendarItem" and calendar.recurs(before) and calendar.series_changed(before, item.doc):
        # Another pattern or other times: what was changed in single occurrences is lost, as in Outlook.
        item.doc.pop(calendar.DELETED, None)
        for changed in store.changed_occurrences(call.world, item.row):
            store.delete_item(call.world, changed)
    store.update_item(call.world, item, only_read=only_read)
    call.happened("Modified", item.mailbox, item.folder, item.row)


def _without(doc: Doc, name: str) -> Doc:
    return {key: value for key, value in doc.items() if key != name}


def _save_occurrence(call: Call, item: Item, before: Doc) -> None:
    master = store.item(call.world, item.master)
    assert master is not None
    if "Recurrence" in item.doc:
        raise EwsError(
            "ErrorInvalidPropertySet", "Set action is invalid for property: an occurrence has no recurrence."
        )
    item.start_ms, item.end_ms = calendar.settle(item.doc)
    if item.start_ms != calendar.span(before)[0]:
        calendar.check_move(call.world, master, item.original, item.start_ms)
    known = store.occurrence(call.world, item.master, item.original)
    own: Doc = dict(known.doc) if known is not None else {}
    base = calendar.view(master, item.original, None).doc
    for name in {*base, *item.doc}:
        if name == "ExtendedProperty":
            extended = {
                key: value
                for key, value in item.doc.get(name, {}).items()
                if base.get(name, {}).get(key) != value
            }
            if extended:
                own[name] = extended
        elif item.doc.get(name) != base.get(name):
            own[name] = item.doc.get(name)
        else:
            own.pop(name, None)
    own["Start"], own["End"] = item.doc["Start"], item.doc["End"]
    if known is None:
        known = Item(
            0, item.mailbox, item.folder, item.tag, own, item.master, item.original, uid=item.uid,
            start_ms=item.start_ms, end_ms=item.end_ms,
        )  # fmt: skip
        store.insert_item(call.world, known)
    else:
        known.doc, known.start_ms, known.end_ms = own, item.start_ms, item.end_ms
        store.update_item(call.world, known)
    store.update_item(call.world, master)
    item.row, item.seq, item.read_seq = known.row, master.seq, master.read_seq
    call.happened("Modified", item.mailbox, item.folder, master.row)


# -- one change ------------------------------------------------------------------------------------------


def _apply(call: Call, item: Item, update: etree._Element) -> None:
    parts = list(elements(update))
    path = paths.read(parts[0])
    action = local(update)
    _check_path(item, path)
    if action == "DeleteItemField":
        _delete(item.doc, path)
        return
    values = list(elements(parts[1]))
    _check_element(item, parts[1])
    if len(values) != 1:
        raise EwsError(
            "ErrorIncorrectUpdatePropertyCount",
            "An object within a change description must contain one property.",
        )
    if action == "AppendToItemField":
        _append(call, item, path, values[0])
    else:
        _set(call, item, path, values[0])


def _check_element(item: Item, element: etree._Element) -> None:
    tag = local(element)
    if tag not in (item.tag, "Item") and not (item.tag in item_values.MAIL_TAGS and tag == "Message"):
        raise EwsError("ErrorObjectTypeChanged", f"The item is of type {item.tag}, not {tag}.")


def _check_path(item: Item, path: paths.Path) -> None:
    if isinstance(path, Extended):
        return
    if isinstance(path, Field) and path.name in documents.READ_ONLY:
        raise EwsError("ErrorInvalidPropertySet", f"Set action is invalid for property: {path.name}.", inner="")
    if not views.known(item.tag, path.name):
        raise EwsError("ErrorInvalidPropertyRequest", f"{item.tag} items have no property {path.name}.")


def _delete(doc: Doc, path: paths.Path) -> None:
    if isinstance(path, Extended):
        if not mapi.set_value(doc, path, None):
            doc.get("ExtendedProperty", {}).pop(path.key, None)
    elif isinstance(path, Indexed):
        mapi.set_entry(doc, path.name, path.index, path.part, None)
    elif path.name in _REQUIRED:
        raise EwsError("ErrorInvalidPropertyDelete", f"Delete action is invalid for property: {path.name}.")
    else:
        doc.pop(path.name, None)
        if path.name == "Recurrence":
            doc.pop(calendar.DELETED, None)


def _mismatch() -> EwsError:
    return EwsError(
        "ErrorUpdatePropertyMismatch", "The property of the update is not the one that its path names."
    )


def _set(call: Call, item: Item, path: paths.Path, value: etree._Element) -> None:
    doc = item.doc
    if isinstance(path, Extended):
        if local(value) != "ExtendedProperty":
            raise _mismatch()
        named, found = read_extended(value)
        if named.key != path.key:
            raise _mismatch()
        if not mapi.set_value(doc, path, found):
            doc["ExtendedProperty"] = {**doc.get("ExtendedProperty", {}), path.key: found}
        return
    if local(value) != path.name:
        raise _mismatch()
    if isinstance(path, Indexed):
        entry = entries(node_of(value)).get(path.index)
        if entry is None:
            raise _mismatch()
        found_node: Node | None = child(entry, path.part) if path.part else entry
        mapi.set_entry(doc, path.name, path.index, path.part, found_node if text(found_node) else None)
        if path.name in doc:
            doc[path.name] = documents.normal(path.name, doc[path.name], call.zone)
        return
    doc[path.name] = node_of(value)
    if path.name in ("StartTimeZone", "EndTimeZone", "MeetingTimeZone"):
        documents.take_zone(doc, path.name)
        return
    if path.name == "Recurrence" and text(doc["Recurrence"]) == "" and not len(value):
        del doc["Recurrence"]
        return
    doc[path.name] = documents.normal(path.name, doc[path.name], documents.default_zone(call, doc))
    _consequences(doc, path.name)


def _consequences(doc: Doc, name: str) -> None:
    """What a change of one property does to others."""
    if name == "Status" and text(doc["Status"]) != "Completed":
        if text(doc.get("PercentComplete")) == "100":
            doc["PercentComplete"] = "0"
        doc.pop("CompleteDate", None)
    elif (
        name == "PercentComplete"
        and float(text(doc[name]) or 0) < 100
        and text(doc.get("Status")) == "Completed"
    ):
        doc["Status"] = "InProgress" if float(text(doc[name]) or 0) else "NotStarted"
        doc.pop("CompleteDate", None)
    elif name == "CompleteDate":
        doc["Status"] = "Completed"
    elif name in ("GivenName", "Surname", "MiddleName", "CompanyName") and text(doc.get("FileAsMapping")):
        doc.pop("FileAs", None)


def _append(call: Call, item: Item, path: paths.Path, value: etree._Element) -> None:
    if not isinstance(path, Field) or path.name not in _APPENDABLE:
        raise EwsError("ErrorInvalidPropertyAppend", "Append action is not supported for the property.")
    if local(value) != path.name:
        raise _mismatch()
    more = documents.normal(path.name, node_of(value), call.zone)
    known = item.doc.get(path.name)
    if known is None:
        item.doc[path.name] = more
    elif path.name == "Body":
        item.doc["Body"] = {"a": {"BodyType": attribute(known, "BodyType")}, "t": text(known) + text(more)}
    else:
        item.doc[path.name] = {"c": [*known["c"], *more["c"]]}


HANDLERS = {"UpdateItem": update_item}
