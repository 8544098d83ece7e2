"""People, ids and settings: ResolveNames, ConvertId, GetServerTimeZones and what mail programs ask besides."""

from __future__ import annotations

import base64
import binascii

from lxml import etree

from engine.sandbox.exchange import ids, soap, store, times, zones
from engine.sandbox.exchange.call import Call, each, resolve
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import (
    Node,
    child,
    children,
    elements,
    flag,
    local,
    parent,
    quoted,
    render,
    text,
)

_MOST_RESOLVED = 100


def resolve_names(call: Call) -> str:
    """``ResolveNames``: mailboxes of this server, and contacts of the caller, by name or address."""

    def one(entry: str) -> str:
        wanted = entry.strip().casefold().removeprefix("smtp:")
        if not wanted:
            raise EwsError("ErrorInvalidNameForNameResolution", "The name to resolve must not be empty.")
        scope = call.request.get("SearchScope", "ActiveDirectoryContacts")
        full = call.request.get("ReturnFullContactData") in ("true", "1")
        found = []
        if "ActiveDirectory" in scope:
            for mailbox in store.mailboxes(call.world):
                words = [mailbox.email, *mailbox.name.casefold().split(), mailbox.name.casefold()]
                if any(word.startswith(wanted) for word in words) or wanted == mailbox.email:
                    found.append(
                        _resolution(
                            _address(call, mailbox.name, mailbox.email, "Mailbox"), _card(mailbox, full)
                        )
                    )
        if "Contacts" in scope and call.mailbox is not None:
            found += _contacts(call, wanted, full)
        if not found:
            raise EwsError("ErrorNameResolutionNoResults", "No results were found.")
        page = found[:_MOST_RESOLVED]
        last = flag(len(page) == len(found))
        shown = f'<m:ResolutionSet TotalItemsInView="{len(page)}" IncludesLastItemInRange="{last}">{"".join(page)}</m:ResolutionSet>'
        if len(found) > 1:
            return _MANY + shown
        return shown

    answer = each(call, [soap.text_at(call.request, "UnresolvedEntry") or ""], one)
    # Several results are a warning, not a success.
    return answer.replace(
        f'ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{_MANY}',
        'ResponseClass="Warning"><m:MessageText>Multiple results were found.</m:MessageText>'
        "<m:ResponseCode>ErrorNameResolutionMultipleResults</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>",
    )


_MANY = "<!--many-->"


def _address(call: Call, name: str, email: str, kind: str) -> Node:
    pairs: list[tuple[str, Node | None]] = [("Name", name), ("EmailAddress", email), ("RoutingType", "SMTP")]
    pairs.append(("MailboxType", kind) if call.since("Exchange2007_SP1") else ("MailboxType", None))
    return parent(*pairs)


def _resolution(mailbox: Node, contact: Node | None) -> str:
    return render("Resolution", parent(("Mailbox", mailbox), ("Contact", contact)))


def _card(mailbox: store.Mailbox, full: bool) -> Node | None:
    if not full:
        return None
    given, _, family = mailbox.name.partition(" ")
    entry = {"a": {"Key": "EmailAddress1"}, "t": f"SMTP:{mailbox.email}"}
    return parent(
        ("Culture", "en-US"),
        ("DisplayName", mailbox.name),
        ("GivenName", given),
        ("EmailAddresses", {"c": [["Entry", entry]]}),
        ("ContactSource", "ActiveDirectory"),
        ("Surname", family or given),
    )


def _contacts(call: Call, wanted: str, full: bool) -> list[str]:
    assert call.mailbox is not None
    folder = store.special_folder(call.world, call.mailbox.row, "contacts")
    found = []
    for item in store.items_in(call.world, folder.row) if folder is not None else []:
        names = [
            text(item.doc.get(name)).casefold() for name in ("DisplayName", "GivenName", "Surname", "Nickname")
        ]
        mails = [text(one) for _, one in children(item.doc.get("EmailAddresses"))]
        if mails and any(
            word.startswith(wanted) for word in (*names, *(mail.casefold() for mail in mails)) if word
        ):
            address = _address(call, text(item.doc.get("DisplayName")), mails[0], "Contact")
            card = parent(
                ("DisplayName", text(item.doc.get("DisplayName"))),
                ("EmailAddresses", item.doc.get("EmailAddresses")),
                ("ContactSource", "Store"),
            )
            found.append(_resolution(address, card if full else None))
    return found


# -- ids -------------------------------------------------------------------------------------------------


def _raw(text_: str, form: str) -> str:
    """The EWS id that an id of that form stands for."""
    try:
        if form in ("EwsId", "EwsLegacyId"):
            return text_
        if form == "HexEntryId":
            return base64.b64encode(bytes.fromhex(text_)).decode()
        if form == "OwaId":
            return text_.replace("%2b", "+").replace("%2f", "/").replace("%3d", "=")
        return base64.b64encode(base64.b64decode(text_, validate=True)).decode()
    except (ValueError, binascii.Error):
        raise EwsError("ErrorInvalidIdMalformed", "Id is malformed.") from None


def _written(text_: str, form: str) -> str:
    if form == "HexEntryId":
        return base64.b64decode(text_).hex().upper()
    if form == "OwaId":
        return text_.replace("+", "%2b").replace("/", "%2f").replace("=", "%3d")
    return text_


def convert_id(call: Call) -> str:
    """``ConvertId``: ids in another form, with the address of their mailbox."""
    form = call.request.get("DestinationFormat", "EwsId")
    holder = soap.find(call.request, "SourceIds")

    def one(element: etree._Element) -> str:
        if local(element) != "AlternateId":
            raise EwsError("ErrorInvalidOperation", "Public folders are not served.")
        found = ids.parse(_raw(element.get("Id", ""), element.get("Format", "")))
        mailbox = store.mailbox_by_guid(call.world, found.mailbox)
        if mailbox is None:
            raise EwsError("ErrorInvalidIdMalformed", "Id is malformed.")
        resolve(call, str(found), found.kind)
        return (
            f'<m:AlternateId xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="t:AlternateIdType"'
            f' Format="{form}" Id="{quoted(_written(str(found), form))}" Mailbox="{quoted(mailbox.email)}"/>'
        )

    return each(call, () if holder is None else elements(holder), one)


# -- time zones ------------------------------------------------------------------------------------------


def get_server_time_zones(call: Call) -> str:
    """``GetServerTimeZones``."""
    holder = soap.find(call.request, "Ids")
    wanted = zones.names() if holder is None else [one.text or "" for one in elements(holder)]
    full = call.request.get("ReturnFullTimeZoneData", "true") in ("true", "1")
    year = times.from_ms(call.world.clock.now_ms()).year

    def one(_: None) -> str:
        known = set(zones.names())
        shown = "".join(
            render("TimeZoneDefinition", zones.definition(name, year, full=full))
            for name in wanted
            if name in known
        )
        return f"<m:TimeZoneDefinitions>{shown}</m:TimeZoneDefinitions>"

    return each(call, [None], one)


# -- what mail programs ask besides ----------------------------------------------------------------------


def expand_dl(call: Call) -> str:
    """``ExpandDL``: the members of a personal distribution list."""

    def one(element: etree._Element) -> str:
        name = soap.find(element, "ItemId")
        if name is None:
            raise EwsError("ErrorNameResolutionNoResults", "No results were found.")
        found = resolve(call, name.get("Id", ""), "I")
        item = store.item(call.world, found.number)
        if item is None or item.tag != "DistributionList":
            raise EwsError("ErrorInvalidItemForOperationExpandDL", "The item is no distribution list.")
        boxes = [child(member, "Mailbox") for _, member in children(item.doc.get("Members"))]
        shown = "".join(render("Mailbox", box) for box in boxes if box is not None)
        return f'<m:DLExpansion TotalItemsInView="{len(boxes)}" IncludesLastItemInRange="true">{shown}</m:DLExpansion>'

    holder = soap.find(call.request, "Mailbox")
    return each(call, [] if holder is None else [holder], one)


def _bare(name: str, inner: str) -> str:
    return f'<m:{name}Response ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inner}</m:{name}Response>'


def get_room_lists(call: Call) -> str:
    """``GetRoomLists``: there are none."""
    return _bare("GetRoomLists", "<m:RoomLists/>")


def get_rooms(call: Call) -> str:
    """``GetRooms``: there are none."""
    return _bare("GetRooms", "<m:Rooms/>")


def get_password_expiration_date(call: Call) -> str:
    """``GetPasswordExpirationDate``: in a year."""
    when = times.stamp(call.world.clock.now_ms() + 365 * 86_400_000)
    return _bare("GetPasswordExpirationDate", f"<m:PasswordExpirationDate>{when}</m:PasswordExpirationDate>")


def get_delegate(call: Call) -> str:
    """``GetDelegate``: nobody has delegates."""
    return _bare(
        "GetDelegate",
        "<m:DeliverMeetingRequests>DelegatesAndSendInformationToMe</m:DeliverMeetingRequests>",
    )


def get_user_oof_settings(call: Call) -> str:
    """``GetUserOofSettings``: nobody is away."""
    audience = "<t:OofState>Disabled</t:OofState><t:ExternalAudience>None</t:ExternalAudience>"
    return (
        '<m:GetUserOofSettingsResponse><m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"</m:ResponseMessage><t:OofSettings>{audience}</t:OofSettings><m:AllowExternalOof>All</m:AllowExternalOof>"
        "</m:GetUserOofSettingsResponse>"
    )


def get_user_photo(call: Call) -> str:
    """``GetUserPhoto``: nobody has one."""
    return (
        '<m:GetUserPhotoResponse ResponseClass="Error"><m:MessageText>No photo.</m:MessageText>'
        "<m:ResponseCode>ErrorItemNotFound</m:ResponseCode><m:HasChanged>false</m:HasChanged></m:GetUserPhotoResponse>"
    )


HANDLERS = {
    "ResolveNames": resolve_names,
    "ConvertId": convert_id,
    "GetServerTimeZones": get_server_time_zones,
    "ExpandDL": expand_dl,
    "GetRoomLists": get_room_lists,
    "GetRooms": get_rooms,
    "GetPasswordExpirationDate": get_password_expiration_date,
    "GetDelegate": get_delegate,
    "GetUserOofSettingsRequest": get_user_oof_settings,
    "GetUserPhoto": get_user_photo,
}
