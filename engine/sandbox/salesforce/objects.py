"""The objects of the sandbox's org with the names, types and lengths of the standard ones."""

from __future__ import annotations

from engine.sandbox.salesforce.mail_objects import MAIL_OBJECTS
from engine.sandbox.salesforce.schema import (
    FieldDef,
    ObjectDef,
    address,
    area,
    boolean,
    build,
    email,
    person,
    phone,
    pick,
    plain,
    read_only,
    ref,
    string,
    synced_key,
)

LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
RATINGS = ("Hot", "Warm", "Cold")
INDUSTRIES = (
    "Agriculture", "Apparel", "Banking", "Biotechnology", "Chemicals", "Communications", "Construction", "Consulting",
    "Education", "Electronics", "Energy", "Engineering", "Entertainment", "Environmental", "Finance",
    "Food & Beverage", "Government", "Healthcare", "Hospitality", "Insurance", "Machinery", "Manufacturing", "Media",
    "Not For Profit", "Recreation", "Retail", "Shipping", "Technology", "Telecommunications", "Transportation",
    "Utilities", "Other",
)  # fmt: skip

#: Stage of an opportunity: probability in percent, closed, won, forecast category.
STAGES: dict[str, tuple[int, bool, bool, str]] = {
    "Prospecting": (10, False, False, "Pipeline"),
    "Qualification": (10, False, False, "Pipeline"),
    "Needs Analysis": (20, False, False, "Pipeline"),
    "Value Proposition": (50, False, False, "Pipeline"),
    "Id. Decision Makers": (60, False, False, "Pipeline"),
    "Perception Analysis": (70, False, False, "Pipeline"),
    "Proposal/Price Quote": (75, False, False, "Pipeline"),
    "Negotiation/Review": (90, False, False, "Pipeline"),
    "Closed Won": (100, True, True, "Closed"),
    "Closed Lost": (0, True, False, "Omitted"),
}
CASE_STATUSES = ("New", "Working", "Escalated", "Closed")
TASK_STATUSES = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
EVENT_TYPES = ("Call", "Email", "Meeting", "Other", "Service Call")

_OWNER = ref("OwnerId", "User", label="Owner ID", nillable=False, default="")


def _date(name: str, label: str = "", **more: object) -> FieldDef:
    return plain(name, "date", label, **more)


def _datetime(name: str, label: str = "", **more: object) -> FieldDef:
    return plain(name, "datetime", label, **more)


def _number(name: str, type_: str, label: str = "", scale: int = 0, **more: object) -> FieldDef:
    return plain(name, type_, label, scale=scale, **more)


ACCOUNT = build(
    "Account", "Account", "Accounts", "001",
    (
        string("Name", 255, "Account Name", nillable=False),
        pick("Type", ("Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner / Reseller", "Other")),
        ref("ParentId", "Account", label="Parent Account ID", children="ChildAccounts"),
        *address("Billing"),
        *address("Shipping"),
        phone("Phone", "Account Phone"),
        phone("Fax", "Account Fax"),
        string("AccountNumber", 40, "Account Number"),
        plain("Website", "url", length=255),
        pick("Industry", INDUSTRIES),
        _number("AnnualRevenue", "currency", "Annual Revenue"),
        _number("NumberOfEmployees", "int", "Employees"),
        area("Description", 32000, "Account Description"),
        pick("Rating", RATINGS, "Account Rating"),
        _OWNER,
        synced_key(),
    ),
)  # fmt: skip

CONTACT = build(
    "Contact", "Contact", "Contacts", "003",
    (
        ref("AccountId", "Account", label="Account ID", children="Contacts"),
        *person(),
        *address("Other"),
        *address("Mailing"),
        phone("Phone", "Business Phone"),
        phone("Fax", "Business Fax"),
        phone("MobilePhone", "Mobile Phone"),
        phone("HomePhone", "Home Phone"),
        phone("OtherPhone", "Other Phone"),
        phone("AssistantPhone", "Asst. Phone"),
        ref("ReportsToId", "Contact", label="Reports To ID"),
        email("Email"),
        string("Title", 128),
        string("Department", 80),
        string("AssistantName", 40, "Assistant's Name"),
        pick("LeadSource", LEAD_SOURCES, "Lead Source"),
        _date("Birthdate"),
        area("Description", 32000, "Contact Description"),
        boolean("HasOptedOutOfEmail", "Email Opt Out"),
        boolean("DoNotCall", "Do Not Call"),
        _OWNER,
        synced_key(),
    ),
)  # fmt: skip

LEAD = build(
    "Lead", "Lead", "Leads", "00Q",
    (
        *person(),
        string("Title", 128),
        string("Company", 255, nillable=False),
        *address(""),
        phone("Phone"),
        phone("MobilePhone", "Mobile Phone"),
        phone("Fax"),
        email("Email"),
        plain("Website", "url", length=255),
        area("Description"),
        pick("LeadSource", LEAD_SOURCES, "Lead Source"),
        pick(
            "Status",
            ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted"),
            nillable=False,
            default="Open - Not Contacted",
        ),
        pick("Industry", INDUSTRIES),
        pick("Rating", RATINGS),
        _number("NumberOfEmployees", "int", "Employees"),
        boolean("IsConverted", "Converted", createable=False, updateable=False),
        boolean("HasOptedOutOfEmail", "Email Opt Out"),
        boolean("DoNotCall", "Do Not Call"),
        _OWNER,
        synced_key(),
    ),
)  # fmt: skip

OPPORTUNITY = build(
    "Opportunity", "Opportunity", "Opportunities", "006",
    (
        ref("AccountId", "Account", label="Account ID", children="Opportunities"),
        ref("ContactId", "Contact", label="Contact ID", updateable=False),
        boolean("IsPrivate", "Private"),
        string("Name", 120, nillable=False),
        area("Description"),
        pick("StageName", tuple(STAGES), "Stage", nillable=False, restricted=True),
        _number("Amount", "currency", scale=2),
        _number("Probability", "percent", "Probability (%)"),
        _date("CloseDate", "Close Date", nillable=False),
        pick("Type", ("Existing Customer - Upgrade", "Existing Customer - Replacement", "New Customer"),
             "Opportunity Type"),
        string("NextStep", 255, "Next Step"),
        pick("LeadSource", LEAD_SOURCES, "Lead Source"),
        boolean("IsClosed", "Closed", createable=False, updateable=False),
        boolean("IsWon", "Won", createable=False, updateable=False),
        read_only(pick("ForecastCategory", ("Omitted", "Pipeline", "BestCase", "Forecast", "Closed"),
                       "Forecast Category")),
        _OWNER,
        synced_key(),
    ),
)  # fmt: skip

CONTACT_ROLE = build(
    "OpportunityContactRole", "Opportunity Contact Role", "Opportunity Contact Roles", "00K",
    (
        ref("OpportunityId", "Opportunity", label="Opportunity ID", children="OpportunityContactRoles",
            nillable=False, updateable=False),
        ref("ContactId", "Contact", label="Contact ID", children="OpportunityContactRoles", nillable=False),
        pick("Role", ("Business User", "Decision Maker", "Economic Buyer", "Evaluator", "Executive Sponsor",
                      "Influencer", "Technical Buyer", "Other")),
        boolean("IsPrimary", "Primary"),
    ),
    name_field="Id",
)  # fmt: skip

CASE = build(
    "Case", "Case", "Cases", "500",
    (
        read_only(string("CaseNumber", 30, "Case Number", nillable=False)),
        ref("ContactId", "Contact", label="Contact ID", children="Cases"),
        ref("AccountId", "Account", label="Account ID", children="Cases"),
        ref("ParentId", "Case", label="Parent Case ID", children="Cases"),
        string("SuppliedName", 80, "Name"),
        email("SuppliedEmail", "Email Address"),
        pick("Type", ("Mechanical", "Electrical", "Electronic", "Structural", "Other"), "Case Type"),
        pick("Status", CASE_STATUSES, nillable=False, default="New"),
        pick("Reason", ("Installation", "Equipment Complexity", "Performance", "Breakdown", "Feedback", "Other"),
             "Case Reason"),
        pick("Origin", ("Phone", "Email", "Web"), "Case Origin"),
        string("Subject", 255),
        pick("Priority", ("High", "Medium", "Low"), default="Medium"),
        area("Description"),
        boolean("IsClosed", "Closed", createable=False, updateable=False),
        read_only(_datetime("ClosedDate", "Date/Time Closed")),
        boolean("IsEscalated", "Escalated"),
        read_only(email("ContactEmail", "Contact Email")),
        read_only(phone("ContactPhone", "Contact Phone")),
        _OWNER,
        synced_key(),
    ),
    name_field="CaseNumber",
)  # fmt: skip


def _activity(plural: str) -> tuple[FieldDef, ...]:
    return (
        ref("WhoId", "Contact", "Lead", label="Name ID", children=plural),
        ref("WhatId", "Account", "Opportunity", "Case", label="Related To ID", children=plural),
        plain("Subject", "combobox", length=255),
        area("Description"),
        _OWNER,
        read_only(ref("AccountId", "Account", label="Account ID")),
        boolean("IsReminderSet", "Reminder Set"),
        _datetime("ReminderDateTime", "Reminder Date/Time"),
        boolean("IsArchived", "Archived", createable=False, updateable=False),
        synced_key(),
    )


#: Fields of the Lightning event series, writable on the series since API 52.0.
SERIES_FIELDS = ("Recurrence2PatternText", "Recurrence2PatternStartDate", "Recurrence2PatternTimeZone")

EVENT = build(
    "Event", "Event", "Events", "00U",
    (
        *_activity("Events"),
        string("Location", 255),
        boolean("IsAllDayEvent", "All-Day Event"),
        _datetime("ActivityDateTime", "Due Date Time"),
        _date("ActivityDate", "Due Date Only"),
        _number("DurationInMinutes", "int", "Duration"),
        _datetime("StartDateTime", "Start Date Time"),
        _datetime("EndDateTime", "End Date Time"),
        read_only(_date("EndDate", "End Date")),
        pick("Type", EVENT_TYPES),
        boolean("IsPrivate", "Private"),
        pick("ShowAs", ("Busy", "OutOfOffice", "Free"), "Show Time As", restricted=True, default="Busy"),
        boolean("IsChild", "Is Child", createable=False, updateable=False),
        boolean("IsGroupEvent", "Is Group Event", createable=False, updateable=False),
        read_only(pick("GroupEventType", ("0", "1", "2", "3"), "Group Event Type")),
        read_only(ref("RecurrenceActivityId", "Event", label="Recurrence Activity ID", children="RecurringEvents")),
        boolean("IsRecurrence", "Create Recurring Series of Events", createable=False, updateable=False),
        boolean("IsRecurrence2", "Repeat"),
        boolean("IsRecurrence2Exception", "Is Exception", createable=False, updateable=False),
        boolean("IsRecurrence2Exclusion", "Historical Event, Not Following Recurrence",
                createable=False, updateable=False),
        area("Recurrence2PatternText", 512, "Recurrence Pattern"),
        _datetime("Recurrence2PatternStartDate", "Pattern Start Date"),
        string("Recurrence2PatternTimeZone", 255, "Pattern Time Zone"),
        read_only(pick("Recurrence2PatternVersion", ("1",), "Pattern Version")),
        read_only(pick("EventSubtype", ("Event",), "Event Subtype")),
        plain("Syncline_Occurrence__c", "datetime", "Syncline Occurrence", custom=True),
        area("Syncline_Attendees__c", 131072, "Syncline Attendees", custom=True),
    ),
    name_field="Subject",
)  # fmt: skip

TASK = build(
    "Task", "Task", "Tasks", "00T",
    (
        *_activity("Tasks"),
        _date("ActivityDate", "Due Date Only"),
        pick("Status", TASK_STATUSES, nillable=False, default="Not Started"),
        pick("Priority", ("High", "Normal", "Low"), nillable=False, default="Normal"),
        boolean("IsHighPriority", "High Priority", createable=False, updateable=False),
        boolean("IsClosed", "Closed", createable=False, updateable=False),
        read_only(_datetime("CompletedDateTime", "Completed Date/Time")),
        pick("Type", ("Call", "Email", "Meeting", "Other")),
        pick("TaskSubtype", ("Task", "Email", "Call", "Cadence", "ListEmail"), "Task Subtype",
             default="Task", restricted=True, updateable=False),
        _number("CallDurationInSeconds", "int", "Call Duration"),
        pick("CallType", ("Internal", "Inbound", "Outbound"), "Call Type", restricted=True),
        string("CallDisposition", 255, "Call Result"),
        string("CallObject", 255, "Call Object Identifier"),
        boolean("IsRecurrence", "Create Recurring Series of Tasks", createable=False, updateable=False),
    ),
    name_field="Subject",
)  # fmt: skip

USER = build(
    "User", "User", "Users", "005",
    (
        string("Username", 80, nillable=False),
        *(each for each in person() if each.name != "Salutation"),
        string("CompanyName", 80, "Company Name"),
        string("Department", 80),
        string("Title", 80),
        email("Email", nillable=False),
        phone("Phone"),
        phone("MobilePhone", "Mobile"),
        string("Alias", 8, nillable=False),
        boolean("IsActive", "Active", default=True),
        string("TimeZoneSidKey", 40, "Time Zone", nillable=False, default="UTC"),
        string("LocaleSidKey", 40, "Locale", nillable=False, default="en_US"),
        string("LanguageLocaleKey", 40, "Language", nillable=False, default="en_US"),
        string("EmailEncodingKey", 40, "Email Encoding", nillable=False, default="UTF-8"),
        pick("UserType", ("Standard", "Guest", "CsnOnly"), "User Type", default="Standard", updateable=False),
        string("FederationIdentifier", 512, "SAML Federation ID"),
        ref("ManagerId", "User", label="Manager ID", children="ManagedUsers"),
    ),
)  # fmt: skip

RECORD_TYPE = build(
    "RecordType", "Record Type", "Record Types", "012",
    (
        string("Name", 80, "Record Type Name", nillable=False),
        string("DeveloperName", 80, "Record Type Name", nillable=False),
        string("SobjectType", 40, "SObject Type Name"),
        boolean("IsActive", "Active", default=True),
    ),
    writable=False,
)  # fmt: skip

ORGANIZATION = build(
    "Organization", "Organization", "Organizations", "00D",
    (
        string("Name", 80, nillable=False),
        string("OrganizationType", 40, "Edition"),
        string("InstanceName", 5, "Instance Name"),
        boolean("IsSandbox", "Is Sandbox", default=True),
        string("TimeZoneSidKey", 40, "Time Zone", default="UTC"),
        string("LanguageLocaleKey", 40, "Language", default="en_US"),
        string("DefaultLocaleSidKey", 40, "Locale", default="en_US"),
    ),
    writable=False,
)  # fmt: skip

OBJECTS: dict[str, ObjectDef] = {
    each.name: each
    for each in (
        ACCOUNT, CONTACT, LEAD, OPPORTUNITY, CONTACT_ROLE, CASE, EVENT, TASK, USER, RECORD_TYPE, ORGANIZATION,
        *MAIL_OBJECTS,
    )
}  # fmt: skip

_BY_LOWER = {name.lower(): each for name, each in OBJECTS.items()}
_BY_PREFIX = {each.prefix: each for each in OBJECTS.values()}


def find(name: str) -> ObjectDef | None:
    """An object by its API name in any case."""
    return _BY_LOWER.get(name.lower())


def of_id(record_id: str) -> ObjectDef | None:
    """The object that an id belongs to, by its key prefix."""
    return _BY_PREFIX.get(record_id[:3])


def children_of(parent: ObjectDef, relationship: str) -> tuple[ObjectDef, FieldDef] | None:
    """The child object and its lookup field behind a child list's name (``Contacts`` of Account)."""
    wanted = relationship.lower()
    for each in OBJECTS.values():
        for definition in each.fields:
            if parent.name in definition.refers and (definition.children or "").lower() == wanted:
                return each, definition
    return None
