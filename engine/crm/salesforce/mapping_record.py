"""Opportunities and cases: sObject rows to canonical fields and back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine.crm.salesforce import soql
from engine.crm.salesforce.mapping import Context, Row
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.modules import Module

_OPPORTUNITY_TEXTS = {
    "name": "Name",
    "stage": "StageName",
    "next_step": "NextStep",
    "description": "Description",
}
_CASE_TEXTS = {"name": "Subject", "stage": "Status", "priority": "Priority", "description": "Description"}

OPPORTUNITY_SELECT = (
    *_OPPORTUNITY_TEXTS.values(), "Amount", "CloseDate", "IsClosed", "Account.Name", "Owner.Name",
    "(SELECT Contact.Name FROM OpportunityContactRoles)",
)  # fmt: skip
CASE_SELECT = (
    *_CASE_TEXTS.values(), "CaseNumber", "IsClosed", "Account.Name", "Owner.Name", "Contact.Name",
)  # fmt: skip

OPPORTUNITY_WRITABLE = frozenset({*_OPPORTUNITY_TEXTS, "amount", "close_date"})
OPPORTUNITY_FIELDS = OPPORTUNITY_WRITABLE | {"account", "owner", "contacts", "link", "closed", "activities"}
CASE_WRITABLE = frozenset(_CASE_TEXTS)
CASE_FIELDS = CASE_WRITABLE | {"number", "account", "owner", "contacts", "link", "closed", "activities"}


#: Objects whose rows are activities of a record.
ACTIVITIES = ("Task", "Event")


def activity_columns(most: int) -> tuple[str, ...]:
    """Subqueries of the next activities of each record, as part of its row: no call of their own.

    What is private in the CRM is nobody else's business.
    """
    tasks = (
        "(SELECT Subject, ActivityDate, TaskSubtype FROM Tasks WHERE IsDeleted = false AND IsClosed = false "
        "AND IsRecurrence = false ORDER BY ActivityDate ASC NULLS LAST LIMIT "
    )
    events = (
        "(SELECT Subject, StartDateTime, ActivityDate, IsAllDayEvent FROM Events WHERE IsDeleted = false "
        "AND IsChild = false AND IsRecurrence = false AND IsPrivate = false AND EndDateTime >= TODAY "
        "ORDER BY StartDateTime ASC LIMIT "
    )
    return f"{tasks}{most})", f"{events}{most})"


def read_opportunity(row: Row, context: Context) -> tuple[Module, dict[str, Any]]:
    """The canonical fields of an opportunity's row, its contact roles included."""
    fields = _common(row, context, "Opportunity", _OPPORTUNITY_TEXTS)
    fields["amount"] = row.get("Amount")
    fields["currency"] = row.get("CurrencyIsoCode")
    fields["close_date"] = row.get("CloseDate")
    roles = row.get("OpportunityContactRoles") or {}
    fields["contacts"] = sorted({name for role in roles.get("records", ()) if (name := _name(role, "Contact"))})
    return Module.OPPORTUNITY, canonical.compact(fields)


def read_case(row: Row, context: Context) -> tuple[Module, dict[str, Any]]:
    """The canonical fields of a case's row."""
    fields = _common(row, context, "Case", _CASE_TEXTS)
    fields["number"] = row.get("CaseNumber")
    contact = _name(row, "Contact")
    fields["contacts"] = [contact] if contact else None
    return Module.CASE, canonical.compact(fields)


def write_opportunity(module: Module, fields: Fields, names: Collection[str], create: bool) -> Row:
    """The body that gives an opportunity the canonical ``fields``, as far as they are among ``names``."""
    body: Row = {column: fields.get(name) for name, column in _OPPORTUNITY_TEXTS.items() if name in names}
    if "amount" in names:
        body["Amount"] = fields.get("amount")
    if "close_date" in names:
        body["CloseDate"] = fields.get("close_date")
    return body


def write_case(module: Module, fields: Fields, names: Collection[str], create: bool) -> Row:
    """The body that gives a case the canonical ``fields``, as far as they are among ``names``."""
    return {
        column: fields.get(name)
        for name, column in _CASE_TEXTS.items()
        if name in names and not (create and fields.get(name) is None)
    }


def _common(row: Row, context: Context, sobject: str, texts: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: canonical.text(row.get(column)) for name, column in texts.items()}
    fields["account"] = _name(row, "Account")
    fields["owner"] = _name(row, "Owner")
    fields["closed"] = bool(row.get("IsClosed"))
    if context.activities:
        fields["activities"] = _activities(row, context.activities)
    if context.link_url:
        fields["link"] = f"{context.link_url}/lightning/r/{sobject}/{row['Id']}/view"
    return fields


def _activities(row: Row, most: int) -> list[str] | None:
    """The next of a record's open tasks and coming appointments, as lines."""
    lines = [
        canonical.activity_line(
            task["ActivityDate"], "call" if task.get("TaskSubtype") == "Call" else "task", task["Subject"]
        )
        for task in (row.get("Tasks") or {}).get("records", ())
    ]
    for event in (row.get("Events") or {}).get("records", ()):
        start = event["StartDateTime"]
        if event.get("IsAllDayEvent") or not start:
            when = (start or event["ActivityDate"] or "")[:10]
        else:
            when = soql.utc(start)[:16] + "Z"
        lines.append(canonical.activity_line(when, "appointment", event["Subject"]))
    return sorted(lines)[:most] or None


def _name(row: Row, parent: str) -> str | None:
    related = row.get(parent)
    return canonical.text(related.get("Name")) if related else None
