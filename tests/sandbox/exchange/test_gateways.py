"""What desktop gateways and mail programs ask for, in the shapes in which they ask.

The shapes were read in public code: DavMail (``davmail/exchange/ews``), evolution-ews (``src/EWS``), Thunderbird's ews-rs.
"""

from __future__ import annotations

import base64

from lxml import etree

from tests.sandbox.exchange.office import ANNA, BEN, M, Office, T

STRINGS = 'DistinguishedPropertySetId="PublicStrings"'
URL_NAME = '<t:ExtendedFieldURI PropertyTag="0x10f3" PropertyType="String"/>'
RAW = b"From: Guest <guest@elsewhere.example>\r\nTo: anna@example.com\r\nSubject: Filed\r\n\r\nBody\r\n"


def shape(*paths: str, base: str = "IdOnly", mime: bool = False) -> str:
    more = "<t:IncludeMimeContent>true</t:IncludeMimeContent>" if mime else ""
    more += f"<t:AdditionalProperties>{''.join(paths)}</t:AdditionalProperties>" if paths else ""
    return f"<m:ItemShape><t:BaseShape>{base}</t:BaseShape>{more}</m:ItemShape>"


def field(uri: str) -> str:
    return f'<t:FieldURI FieldURI="{uri}"/>'


def extended(path: str, value: str) -> str:
    return f"<t:ExtendedProperty>{path}<t:Value>{value}</t:Value></t:ExtendedProperty>"


def item_id(answer: etree._Element) -> str:
    found = answer.find(f".//{{{T}}}ItemId")
    assert found is not None
    return f'<t:ItemId Id="{found.get("Id")}" ChangeKey="{found.get("ChangeKey")}"/>'


def text(answer: etree._Element, name: str) -> str | None:
    return answer.findtext(f".//{{{T}}}{name}")


def values(answer: etree._Element) -> dict[str, list[str]]:
    """Values of extended properties by tag, name or id."""
    found = {}
    for one in answer.iter(f"{{{T}}}ExtendedProperty"):
        path = one[0]
        key = path.get("PropertyTag") or path.get("PropertyName") or path.get("PropertyId") or ""
        found[key] = [str(value.text) for value in one.iter(f"{{{T}}}Value")]
    return found


# -- DavMail ---------------------------------------------------------------------------------------------


def test_davmail_logs_in(exchange: Office) -> None:
    root = exchange.call(
        "<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds>"
        '<t:DistinguishedFolderId Id="root"/></m:FolderIds></m:GetFolder>',
        version="Exchange2013",
    )
    folder = root.find(f".//{{{T}}}FolderId")
    assert folder is not None
    converted = exchange.call(
        '<m:ConvertId DestinationFormat="EwsId"><m:SourceIds><t:AlternateId Format="EwsId" '
        f'Id="{folder.get("Id")}" Mailbox="x"/></m:SourceIds></m:ConvertId>'
    )
    alternate = converted.find(f".//{{{M}}}AlternateId")
    assert alternate is not None
    assert alternate.get("Mailbox") == ANNA
    listed = exchange.call(
        '<m:FindFolder Traversal="Deep"><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>'
        '<t:FieldURI FieldURI="folder:DisplayName"/><t:ExtendedFieldURI PropertyTag="0x3613" PropertyType="String"/>'
        '<t:ExtendedFieldURI PropertyTag="0x670a" PropertyType="SystemTime"/>'
        '<t:ExtendedFieldURI PropertyTag="0x3602" PropertyType="Integer"/></t:AdditionalProperties></m:FolderShape>'
        '<m:IndexedPageFolderView MaxEntriesReturned="100" Offset="0" BasePoint="Beginning"/><m:Restriction><t:IsEqualTo>'
        '<t:ExtendedFieldURI PropertyTag="0x3613" PropertyType="String"/><t:FieldURIOrConstant>'
        '<t:Constant Value="IPF.Appointment"/></t:FieldURIOrConstant></t:IsEqualTo></m:Restriction><m:ParentFolderIds>'
        '<t:DistinguishedFolderId Id="msgfolderroot"/></m:ParentFolderIds></m:FindFolder>'
    )
    assert [one.text for one in listed.iter(f"{{{T}}}DisplayName")] == ["Calendar"]
    options = exchange.call(
        '<m:GetUserConfiguration><m:UserConfigurationName Name="OWA.UserOptions"><t:DistinguishedFolderId Id="root"/>'
        "</m:UserConfigurationName><m:UserConfigurationProperties>All</m:UserConfigurationProperties>"
        "</m:GetUserConfiguration>"
    )
    assert "W. Europe Standard Time" in [one.text for one in options.iter(f"{{{T}}}Value")]


def test_davmail_files_appointments_by_their_caldav_name(exchange: Office) -> None:
    made = exchange.call(
        '<m:CreateItem MessageDisposition="SaveOnly" SendMeetingInvitations="SendToNone"><m:SavedItemFolderId>'
        '<t:DistinguishedFolderId Id="calendar"/></m:SavedItemFolderId><m:Items><t:CalendarItem>'
        "<t:Subject>Lunch</t:Subject>"
        + extended(URL_NAME, "abc.EML")
        + extended(
            f'<t:ExtendedFieldURI {STRINGS} PropertyName="urn:schemas:calendar:uid" PropertyType="String"/>',
            "u-1",
        )
        + "<t:Start>2026-11-23T12:00:00</t:Start><t:End>2026-11-23T13:00:00</t:End><t:IsAllDayEvent>false</t:IsAllDayEvent>"
        '<t:StartTimeZone Id="W. Europe Standard Time"/></t:CalendarItem></m:Items></m:CreateItem>'
    )
    found = exchange.call(
        '<m:FindItem Traversal="Shallow">'
        + shape(
            URL_NAME,
            field("calendar:Start"),
            '<t:ExtendedFieldURI PropertyTag="0x3008" PropertyType="SystemTime"/>',
        )
        + '<m:IndexedPageItemView MaxEntriesReturned="100" Offset="0" BasePoint="Beginning"/><m:Restriction><t:And>'
        f"<t:IsEqualTo>{URL_NAME}<t:FieldURIOrConstant>"
        '<t:Constant Value="abc.EML"/></t:FieldURIOrConstant></t:IsEqualTo><t:IsGreaterThan>'
        '<t:FieldURI FieldURI="calendar:End"/><t:FieldURIOrConstant><t:Constant Value="2026-11-01T00:00:00Z"/>'
        "</t:FieldURIOrConstant></t:IsGreaterThan></t:And></m:Restriction><m:ParentFolderIds>"
        '<t:DistinguishedFolderId Id="calendar"/></m:ParentFolderIds></m:FindItem>'
    )
    assert item_id(found) == item_id(made)
    assert text(found, "Start") == "2026-11-23T11:00:00Z"
    got = exchange.call(
        "<m:GetItem>"
        + shape(
            '<t:ExtendedFieldURI DistinguishedPropertySetId="Appointment" PropertyId="33303" PropertyType="Integer"/>',
            f'<t:ExtendedFieldURI {STRINGS} PropertyName="urn:schemas:calendar:instancetype" PropertyType="Integer"/>',
            field("calendar:ModifiedOccurrences"),
            mime=True,
        )
        + f"<m:ItemIds>{item_id(made)}</m:ItemIds></m:GetItem>"
    )
    content = base64.b64decode(str(text(got, "MimeContent"))).decode()
    assert "BEGIN:VTIMEZONE" in content
    assert "DTSTART;TZID=W. Europe Standard Time:20261123T120000" in content
    assert values(got) == {"33303": ["0"], "urn:schemas:calendar:instancetype": ["0"]}
    exchange.call(
        '<m:DeleteItem DeleteType="HardDelete" SendMeetingCancellations="SendToNone"><m:ItemIds>'
        f"{item_id(made)}</m:ItemIds></m:DeleteItem>"
    )


def test_davmail_writes_contacts_by_mapi_properties(exchange: Office) -> None:
    paths = {
        "0x3A06": "Ada",
        "0x3A11": "Berg",
        "0x3A1C": "+49 171 1",
        "0x3A16": "ACME",
    }
    made = exchange.call(
        '<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId><t:DistinguishedFolderId Id="contacts"/>'
        "</m:SavedItemFolderId><m:Items><t:Contact>"
        + extended(URL_NAME, "ada.EML")
        + "".join(
            extended(f'<t:ExtendedFieldURI PropertyTag="{tag}" PropertyType="String"/>', value)
            for tag, value in paths.items()
        )
        + f'<t:ExtendedProperty><t:ExtendedFieldURI {STRINGS} PropertyName="Keywords" PropertyType="StringArray"/>'
        "<t:Values><t:Value>Leads</t:Value><t:Value>Red</t:Value></t:Values></t:ExtendedProperty>"
        "<t:FileAs>Berg, Ada</t:FileAs></t:Contact></m:Items></m:CreateItem>"
    )
    got = exchange.call(
        f"<m:GetItem>{shape(base='AllProperties')}<m:ItemIds>{item_id(made)}</m:ItemIds></m:GetItem>"
    )
    assert (text(got, "GivenName"), text(got, "Surname"), text(got, "CompanyName")) == ("Ada", "Berg", "ACME")
    entry = got.find(f".//{{{T}}}PhoneNumbers/{{{T}}}Entry")
    assert entry is not None
    assert (entry.get("Key"), entry.text) == ("MobilePhone", "+49 171 1")
    assert [one.text for one in got.iter(f"{{{T}}}String")] == ["Leads", "Red"]
    updated = exchange.call(
        '<m:UpdateItem MessageDisposition="SaveOnly" ConflictResolution="AutoResolve"><m:ItemChanges><t:ItemChange>'
        f"{item_id(made)}<t:Updates><t:DeleteItemField>"
        '<t:ExtendedFieldURI PropertyTag="0x3A1C" PropertyType="String"/></t:DeleteItemField><t:SetItemField>'
        '<t:ExtendedFieldURI PropertyTag="0x3A09" PropertyType="String"/><t:Contact>'
        + extended('<t:ExtendedFieldURI PropertyTag="0x3A09" PropertyType="String"/>', "+49 30 2")
        + "</t:Contact></t:SetItemField></t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>"
    )
    again = exchange.call(
        "<m:GetItem>"
        + shape(
            '<t:ExtendedFieldURI PropertyTag="0x3A09" PropertyType="String"/>',
            '<t:ExtendedFieldURI PropertyTag="0x3A1C" PropertyType="String"/>',
            URL_NAME,
        )
        + f"<m:ItemIds>{item_id(updated)}</m:ItemIds></m:GetItem>"
    )
    assert values(again) == {"0x3A09": ["+49 30 2"], "0x10f3": ["ada.EML"]}


def test_davmail_writes_tasks(exchange: Office) -> None:
    due = '<t:ExtendedFieldURI DistinguishedPropertySetId="Task" PropertyId="33029" PropertyType="SystemTime"/>'
    made = exchange.call(
        '<m:CreateItem MessageDisposition="SaveOnly" SendMeetingInvitations="SendToNone"><m:SavedItemFolderId>'
        '<t:DistinguishedFolderId Id="tasks"/></m:SavedItemFolderId><m:Items><t:Task><t:Importance>High</t:Importance>'
        + extended(due, "2026-12-01T00:00:00Z")
        + extended('<t:ExtendedFieldURI PropertyTag="0x0037" PropertyType="String"/>', "Write")
        + "<t:PercentComplete>50</t:PercentComplete><t:Status>InProgress</t:Status></t:Task></m:Items></m:CreateItem>"
    )
    got = exchange.call(
        "<m:GetItem>"
        + shape(
            due,
            field("item:Subject"),
            field("task:Status"),
            field("task:PercentComplete"),
            field("item:Importance"),
        )
        + f"<m:ItemIds>{item_id(made)}</m:ItemIds></m:GetItem>"
    )
    assert (text(got, "Subject"), text(got, "Status"), text(got, "PercentComplete")) == (
        "Write",
        "InProgress",
        "50",
    )
    assert values(got)["33029"] == ["2026-12-01T00:00:00Z"]


# -- evolution-ews ---------------------------------------------------------------------------------------


def test_evolution_lists_and_reads_appointments(exchange: Office) -> None:
    zones = exchange.call(
        '<m:GetServerTimeZones ReturnFullTimeZoneData="true"><m:Ids><t:Id>W. Europe Standard Time</t:Id></m:Ids>'
        "</m:GetServerTimeZones>"
    )
    assert [one.get("Name") for one in zones.iter(f"{{{T}}}Period")] == ["Standard", "Daylight"]
    assert [one.text for one in zones.iter(f"{{{T}}}Month")] == ["3", "10"]
    everything = exchange.call('<m:GetServerTimeZones ReturnFullTimeZoneData="false"/>')
    assert len(list(everything.iter(f"{{{T}}}TimeZoneDefinition"))) > 130
    exchange.call(
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:SavedItemFolderId><t:DistinguishedFolderId Id="calendar"/>'
        '</m:SavedItemFolderId><m:Items><t:CalendarItem><t:Subject>Party</t:Subject><t:Body BodyType="Text">Bring cake'
        "</t:Body><t:UID>evolution-1</t:UID><t:Start>2026-12-24T17:00:00Z</t:Start><t:End>2026-12-24T20:00:00Z</t:End>"
        '<t:MeetingTimeZone><t:BaseOffset>-PT1H</t:BaseOffset><t:Standard TimeZoneName="Standard"><t:Offset>PT0H</t:Offset>'
        "<t:RelativeYearlyRecurrence><t:DaysOfWeek>Sunday</t:DaysOfWeek><t:DayOfWeekIndex>Last</t:DayOfWeekIndex>"
        "<t:Month>October</t:Month></t:RelativeYearlyRecurrence><t:Time>03:00:00</t:Time></t:Standard>"
        '<t:Daylight TimeZoneName="Daylight"><t:Offset>-PT1H</t:Offset><t:RelativeYearlyRecurrence>'
        "<t:DaysOfWeek>Sunday</t:DaysOfWeek><t:DayOfWeekIndex>Last</t:DayOfWeekIndex><t:Month>March</t:Month>"
        "</t:RelativeYearlyRecurrence><t:Time>02:00:00</t:Time></t:Daylight></t:MeetingTimeZone>"
        "</t:CalendarItem></m:Items></m:CreateItem>",
        version="Exchange2007_SP1",
    )
    changes = exchange.call(
        f'<m:SyncFolderItems>{shape(field("item:ItemClass"))}<m:SyncFolderId><t:DistinguishedFolderId Id="calendar"/>'
        "</m:SyncFolderId><m:MaxChangesReturned>100</m:MaxChangesReturned></m:SyncFolderItems>"
    )
    assert text(changes, "ItemClass") == "IPM.Appointment"
    wanted = ["Attachments", "Body", "Categories", "HasAttachments", "MimeContent"]
    wanted_calendar = [
        "UID",
        "Start",
        "End",
        "Resources",
        "ModifiedOccurrences",
        "IsMeeting",
        "IsResponseRequested",
        "MyResponseType",
        "RequiredAttendees",
        "OptionalAttendees",
        "StartTimeZone",
        "EndTimeZone",
    ]
    got = exchange.call(
        "<m:GetItem>"
        + shape(
            *[field(f"item:{one}") for one in wanted],
            *[field(f"calendar:{one}") for one in wanted_calendar],
            base="AllProperties",
        )
        + f"<m:ItemIds>{item_id(changes)}</m:ItemIds></m:GetItem>"
    )
    assert (text(got, "UID"), text(got, "Body"), text(got, "Start")) == (
        "evolution-1",
        "Bring cake",
        "2026-12-24T17:00:00Z",
    )
    assert text(got, "MimeContent")
    zone = got.find(f".//{{{T}}}StartTimeZone")
    assert zone is not None
    assert zone.get("Id") in ("W. Europe Standard Time", "Central Europe Standard Time")  # of the same rules
    pulled = exchange.call(
        '<m:Subscribe><m:StreamingSubscriptionRequest SubscribeToAllFolders="true"><t:EventTypes>'
        "<t:EventType>CreatedEvent</t:EventType></t:EventTypes></m:StreamingSubscriptionRequest></m:Subscribe>"
    )
    assert pulled.findtext(f".//{{{M}}}SubscriptionId")


def test_evolution_asks_who_is_free(exchange: Office) -> None:
    exchange.call(
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items><t:CalendarItem><t:Subject>Busy</t:Subject>'
        "<t:Start>2026-11-23T08:00:00Z</t:Start><t:End>2026-11-23T09:00:00Z</t:End></t:CalendarItem></m:Items>"
        "</m:CreateItem>",
        user=BEN,
    )
    rule = "<t:Bias>{}</t:Bias><t:Time>0{}:00:00</t:Time><t:DayOrder>5</t:DayOrder><t:Month>{}</t:Month><t:DayOfWeek>Sunday</t:DayOfWeek>"
    answer = exchange.call(
        "<m:GetUserAvailabilityRequest><t:TimeZone><t:Bias>-60</t:Bias>"
        f"<t:StandardTime>{rule.format(0, 3, 10)}</t:StandardTime><t:DaylightTime>{rule.format(-60, 2, 3)}</t:DaylightTime>"
        "</t:TimeZone><m:MailboxDataArray><t:MailboxData><t:Email><t:Address>ben@example.com</t:Address></t:Email>"
        "<t:AttendeeType>Required</t:AttendeeType></t:MailboxData></m:MailboxDataArray><t:FreeBusyViewOptions><t:TimeWindow>"
        "<t:StartTime>2026-11-23T08:00:00</t:StartTime><t:EndTime>2026-11-23T12:00:00</t:EndTime></t:TimeWindow>"
        "<t:MergedFreeBusyIntervalInMinutes>60</t:MergedFreeBusyIntervalInMinutes><t:RequestedView>DetailedMerged"
        "</t:RequestedView></t:FreeBusyViewOptions></m:GetUserAvailabilityRequest>"
    )
    assert text(answer, "MergedFreeBusy") == "0200"
    assert (text(answer, "StartTime"), text(answer, "EndTime")) == (
        "2026-11-23T09:00:00",
        "2026-11-23T10:00:00",
    )


def test_names_are_resolved(exchange: Office) -> None:
    def body(name: str) -> str:
        return f'<m:ResolveNames ReturnFullContactData="true"><m:UnresolvedEntry>{name}</m:UnresolvedEntry></m:ResolveNames>'

    assert text(exchange.call(body("ben@example.com")), "EmailAddress") == BEN
    assert exchange.refused(body("nobody")) == "ErrorNameResolutionNoResults"
    assert exchange.refused(body("example")) == "ErrorNameResolutionMultipleResults"


# -- Thunderbird -----------------------------------------------------------------------------------------


def test_thunderbird_files_and_reads_messages(exchange: Office) -> None:
    made = exchange.call(
        '<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId><t:DistinguishedFolderId Id="inbox"/>'
        f"</m:SavedItemFolderId><m:Items><t:Message><t:MimeContent>{base64.b64encode(RAW).decode()}</t:MimeContent>"
        + extended('<t:ExtendedFieldURI PropertyTag="0x0E07" PropertyType="Integer"/>', "1")
        + "<t:IsRead>false</t:IsRead></t:Message></m:Items></m:CreateItem>"
    )
    got = exchange.call(
        "<m:GetItem>"
        + shape(
            field("message:IsRead"), field("item:IsDraft"), field("message:From"), field("item:InternetMessageHeaders"),
            field("message:ConversationTopic"), field("item:Preview"), mime=True,
        )
        + f"<m:ItemIds>{item_id(made)}</m:ItemIds></m:GetItem>"
    )  # fmt: skip
    assert base64.b64decode(str(text(got, "MimeContent"))) == RAW
    assert text(got, "IsDraft") == "false"
    assert text(got, "EmailAddress") == "guest@elsewhere.example"
    moved = exchange.call(
        '<m:MoveItem><m:ToFolderId><t:DistinguishedFolderId Id="junkemail"/></m:ToFolderId><m:ItemIds>'
        f"{item_id(made)}</m:ItemIds><m:ReturnNewItemIds>true</m:ReturnNewItemIds></m:MoveItem>"
    )
    assert item_id(moved) != item_id(made)
    exchange.call(
        "<m:MarkAllItemsAsRead><m:ReadFlag>true</m:ReadFlag><m:SuppressReadReceipts>true</m:SuppressReadReceipts>"
        '<m:FolderIds><t:DistinguishedFolderId Id="junkemail"/></m:FolderIds></m:MarkAllItemsAsRead>'
    )
    copied = exchange.call(
        '<m:CopyItem><m:ToFolderId><t:DistinguishedFolderId Id="inbox"/></m:ToFolderId><m:ItemIds>'
        f"{item_id(moved)}</m:ItemIds></m:CopyItem>"
    )
    assert item_id(copied) != item_id(moved)
    exchange.call(
        '<m:EmptyFolder DeleteType="HardDelete" DeleteSubFolders="false"><m:FolderIds>'
        '<t:DistinguishedFolderId Id="junkemail"/></m:FolderIds></m:EmptyFolder>'
    )
    assert (
        exchange.refused(f"<m:GetItem>{shape()}<m:ItemIds>{item_id(moved)}</m:ItemIds></m:GetItem>")
        == "ErrorItemNotFound"
    )
