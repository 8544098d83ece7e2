"""FindItem: restrictions, sort orders, pages, and what it refuses; values that are none."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.sandbox.exchange.office import M, Office, T, office

LEVEL = '<t:ExtendedFieldURI DistinguishedPropertySetId="PublicStrings" PropertyName="Level" PropertyType="Integer"/>'
SEEN = '<t:ExtendedFieldURI PropertySetId="c11ff724-aa03-4555-9952-8fa248a11c3e" PropertyName="Seen" PropertyType="SystemTime"/>'
LIST = '<t:ExtendedFieldURI PropertySetId="C11FF724-AA03-4555-9952-8FA248A11C3E" PropertyId="7" PropertyType="StringArray"/>'


@pytest.fixture
def filled(exchange: Office) -> Office:
    for number, subject in enumerate(("Alpha one", "Béta two", "gamma THREE", "Delta")):
        extended = f"<t:ExtendedProperty>{LEVEL}<t:Value>{number}</t:Value></t:ExtendedProperty>"
        extended += (
            f"<t:ExtendedProperty>{SEEN}<t:Value>2026-11-0{number + 1}T00:00:00Z</t:Value></t:ExtendedProperty>"
        )
        if number == 2:
            extended += f"<t:ExtendedProperty>{LIST}<t:Values><t:Value>x</t:Value><t:Value>y</t:Value></t:Values></t:ExtendedProperty>"
        due = f"<t:DueDate>2026-12-0{4 - number}T00:00:00Z</t:DueDate>" if number < 3 else ""
        exchange.call(
            f"<m:CreateItem><m:Items><t:Task><t:Subject>{subject}</t:Subject>{extended}{due}</t:Task></m:Items></m:CreateItem>"
        )
    return exchange


def request(
    restriction: str = "", *, view: str = "", order: str = "", fields: str = "", folder: str = "tasks"
) -> str:
    shape = "<t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>"
    shape += f'<t:FieldURI FieldURI="item:Subject"/>{fields}</t:AdditionalProperties>'
    test = f"<m:Restriction>{restriction}</m:Restriction>" if restriction else ""
    return (
        f'<m:FindItem Traversal="Shallow"><m:ItemShape>{shape}</m:ItemShape>{view}{test}{order}<m:ParentFolderIds>'
        f'<t:DistinguishedFolderId Id="{folder}"/></m:ParentFolderIds></m:FindItem>'
    )


def subjects(answer: etree._Element) -> list[str]:
    return [str(one.text)[:5].strip() for one in answer.iter(f"{{{T}}}Subject")]


def compare(name: str, path: str, value: str) -> str:
    constant = f'<t:FieldURIOrConstant><t:Constant Value="{value}"/></t:FieldURIOrConstant>'
    return f"<t:{name}>{path}{constant}</t:{name}>"


SUBJECT = '<t:FieldURI FieldURI="item:Subject"/>'
DUE = '<t:FieldURI FieldURI="task:DueDate"/>'


def contains(value: str, mode: str = "Substring", comparison: str = "IgnoreCase") -> str:
    attributes = f'ContainmentMode="{mode}" ContainmentComparison="{comparison}"'
    return f'<t:Contains {attributes}>{SUBJECT}<t:Constant Value="{value}"/></t:Contains>'


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        (compare("IsEqualTo", SUBJECT, "delta"), ["Delta"]),
        (compare("IsGreaterThan", LEVEL, "1"), ["gamma", "Delta"]),
        (compare("IsLessThanOrEqualTo", SEEN, "2026-11-02T01:00:00+01:00"), ["Alpha", "Béta"]),
        (compare("IsGreaterThanOrEqualTo", DUE, "2026-12-03T00:00:00Z"), ["Alpha", "Béta"]),
        (compare("IsNotEqualTo", DUE, "2026-12-04T00:00:00Z"), ["Béta", "gamma", "Delta"]),
        (f"<t:Exists>{DUE}</t:Exists>", ["Alpha", "Béta", "gamma"]),
        (f"<t:Not><t:Exists>{LIST}</t:Exists></t:Not>", ["Alpha", "Béta", "Delta"]),
        (compare("IsEqualTo", LIST, "y"), ["gamma"]),
        (contains("three"), ["gamma"]),
        (contains("three", comparison="Exact"), []),
        (contains("beta", "Prefixed", "IgnoreCaseAndNonSpacingCharacters"), ["Béta"]),
        (contains("tw", "PrefixOnWords"), ["Béta"]),
        (
            f"<t:Or>{compare('IsEqualTo', LEVEL, '0')}{compare('IsEqualTo', LEVEL, '3')}</t:Or>",
            ["Alpha", "Delta"],
        ),
        (f"<t:And>{contains('a')}{compare('IsLessThan', LEVEL, '1')}</t:And>", ["Alpha"]),
        (f'<t:Excludes>{LEVEL}<t:Bitmask Value="0x1"/></t:Excludes>', ["Alpha", "gamma"]),
    ],
)
def test_restrictions(filled: Office, restriction: str, expected: list[str]) -> None:
    assert sorted(subjects(filled.call(request(restriction)))) == sorted(expected)


def test_pages_and_order(filled: Office) -> None:
    order = f'<m:SortOrder><t:FieldOrder Order="Ascending">{DUE}</t:FieldOrder></m:SortOrder>'
    view = '<m:IndexedPageItemView MaxEntriesReturned="3" Offset="{}" BasePoint="{}"/>'
    first = filled.call(request(view=view.format(0, "Beginning"), order=order))
    assert subjects(first) == ["Delta", "gamma", "Béta"]
    root = first.find(f".//{{{M}}}RootFolder")
    assert root is not None
    assert dict(root.attrib) == {
        "IndexedPagingOffset": "3",
        "TotalItemsInView": "4",
        "IncludesLastItemInRange": "false",
    }
    assert subjects(filled.call(request(view=view.format(3, "Beginning"), order=order))) == ["Alpha"]
    assert subjects(filled.call(request(view=view.format(0, "End"), order=order))) == ["gamma", "Béta", "Alpha"]
    assert filled.refused(
        request(view='<m:IndexedPageItemView MaxEntriesReturned="0" Offset="0" BasePoint="Beginning"/>')
    ) == ("ErrorInvalidPagingMaxRows")


def test_a_search_has_an_end_even_when_none_is_asked() -> None:
    with office({"exchange_find_limit": 3}) as running:
        tasks = "".join(f"<t:Task><t:Subject>{number}</t:Subject></t:Task>" for number in range(5))
        running.call(f"<m:CreateItem><m:Items>{tasks}</m:Items></m:CreateItem>")
        answer = running.call(request(view='<m:IndexedPageItemView Offset="0" BasePoint="Beginning"/>'))
        assert len(subjects(answer)) == 3
        root = answer.find(f".//{{{M}}}RootFolder")
        assert root is not None
        assert root.get("IncludesLastItemInRange") == "false"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (request(fields='<t:FieldURI FieldURI="item:Body"/>'), "ErrorInvalidPropertyForOperation"),
        (request(compare("IsEqualTo", LEVEL, "many")), "ErrorInvalidValueForFilter"),
        (
            request(view='<m:CalendarView StartDate="2026-01-01T00:00:00Z" EndDate="2029-01-01T00:00:00Z"/>', folder="calendar"),
            "ErrorCalendarViewRangeTooBig",
        ),
        (
            request(view='<m:CalendarView StartDate="1500-02-20T00:00:00Z" EndDate="1500-03-01T00:00:00Z"/>', folder="calendar"),
            "ErrorCalendarOutOfRange",
        ),
        (
            request(view='<m:CalendarView StartDate="2026-02-03T00:00:00Z" EndDate="2026-03-01T00:00:00Z"/>'),
            "ErrorCalendarFolderIsInvalidForCalendarView",
        ),
        (
            "<m:CreateItem><m:Items><t:Task><t:PercentComplete>101</t:PercentComplete></t:Task></m:Items></m:CreateItem>",
            "ErrorInvalidPercentCompleteValue",
        ),
        (
            "<m:CreateItem><m:Items><t:Contact><t:Birthday>0001-01-01T00:00:00Z</t:Birthday></t:Contact></m:Items></m:CreateItem>",
            "ErrorInvalidValueForProperty",
        ),
        (
            '<m:CreateItem SendMeetingInvitations="SendToNone"><m:SavedItemFolderId><t:DistinguishedFolderId Id="tasks"/>'
            "</m:SavedItemFolderId><m:Items><t:CalendarItem/></m:Items></m:CreateItem>",
            "ErrorCannotCreateCalendarItemInNonCalendarFolder",
        ),
        (
            '<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items><t:CalendarItem><t:StartTimeZone Id="Mars"/>'
            "</t:CalendarItem></m:Items></m:CreateItem>",
            "ErrorCalendarInvalidTimeZone",
        ),
        (
            f"<m:CreateItem><m:Items><t:Task><t:Subject>{'x' * 256}</t:Subject></t:Task></m:Items></m:CreateItem>",
            "ErrorInvalidValueForProperty",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named(exchange: Office, body: str, code: str) -> None:
    assert exchange.refused(body) == code


def test_what_an_update_may_not_do(exchange: Office) -> None:
    made = exchange.call(
        "<m:CreateItem><m:Items><t:Task><t:Subject>x</t:Subject></t:Task></m:Items></m:CreateItem>"
    )
    identity = made.find(f".//{{{T}}}ItemId")
    assert identity is not None

    def update(inner: str, *, key: str = "", conflict: str = "AlwaysOverwrite") -> str:
        name = f'<t:ItemId Id="{identity.get("Id")}"{key}/>'
        return (
            f'<m:UpdateItem ConflictResolution="{conflict}"><m:ItemChanges><t:ItemChange>{name}<t:Updates>{inner}</t:Updates>'
            "</t:ItemChange></m:ItemChanges></m:UpdateItem>"
        )

    def set_(uri: str, value: str) -> str:
        return f'<t:SetItemField><t:FieldURI FieldURI="{uri}"/><t:Task>{value}</t:Task></t:SetItemField>'

    subject = set_("item:Subject", "<t:Subject>y</t:Subject>")
    assert exchange.refused(update(subject, conflict="NeverOverwrite")) == "ErrorChangeKeyRequired"
    assert (
        exchange.refused(update(subject, key=' ChangeKey="x"', conflict="NeverOverwrite"))
        == "ErrorInvalidChangeKey"
    )
    assert (
        exchange.refused(update(set_("item:Subject", '<t:Body BodyType="Text">y</t:Body>')))
        == "ErrorUpdatePropertyMismatch"
    )
    assert exchange.refused(update(set_("item:Size", "<t:Size>3</t:Size>"))) == "ErrorInvalidPropertySet"
    assert exchange.refused(update(set_("item:Subject", ""))) == "ErrorIncorrectUpdatePropertyCount"
    assert (
        exchange.refused(update(set_("calendar:Location", "<t:Subject>y</t:Subject>")))
        == "ErrorInvalidPropertyRequest"
    )
    appended = subject.replace("SetItemField", "AppendToItemField")
    assert exchange.refused(update(appended)) == "ErrorInvalidPropertyAppend"
    exchange.call(update(set_("item:Body", '<t:Body BodyType="Text">one</t:Body>')))
    more = set_("item:Body", '<t:Body BodyType="Text"> two</t:Body>').replace(
        "SetItemField", "AppendToItemField"
    )
    exchange.call(update(more))
    got = exchange.call(
        "<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape></m:ItemShape><m:ItemIds>"
        f'<t:ItemId Id="{identity.get("Id")}"/></m:ItemIds></m:GetItem>'
    )
    assert got.findtext(f".//{{{T}}}Body") == "one two"
    assert got.findtext(f".//{{{T}}}Subject") == "x"
