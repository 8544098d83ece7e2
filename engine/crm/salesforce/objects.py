"""Which sObject holds which modules, what is asked of it, and who maps its rows."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from engine.crm.salesforce import mapping_contact, mapping_event, mapping_record, mapping_task, soql
from engine.crm.salesforce.mapping import Context, Row
from engine.model.canonical import Fields
from engine.model.modules import Module
from engine.model.port import Observation

#: External id that the metadata package brings on every object; it holds the key of the create.
KEY = "Syncline_Key__c"

SYSTEM = ("Id", "IsDeleted", "SystemModstamp", "OwnerId", KEY)

Read = Callable[[Row, Context], tuple[Module, dict[str, Any]]]
Write = Callable[[Module, Fields, Collection[str], bool], Row]


@dataclass(frozen=True, slots=True)
class SObject:
    """One object of the org.

    Attributes:
        name: API name, which is also the key of its scope.
        modules: what its rows can be, the usual one first.
        select: columns beside the system ones; parents by path, children as a subquery.
        live: SOQL condition of the rows that are items, empty for all.
        read: canonical module and fields of a row.
        write: body for canonical fields: ``(module, fields, names, create)``.
        fields: canonical fields by module.
        writable: those that can be written, by module.
        activities: so many activities are told with each row; their changes count as the row's.
    """

    name: str
    modules: tuple[Module, ...]
    select: tuple[str, ...]
    live: str
    read: Read
    write: Write
    fields: dict[Module, frozenset[str]]
    writable: dict[Module, frozenset[str]]
    activities: int = 0


CONTACT = SObject(
    "Contact", (Module.CONTACT,), mapping_contact.CONTACT_SELECT, "",
    mapping_contact.read_contact, mapping_contact.write_contact,
    {Module.CONTACT: mapping_contact.CONTACT_FIELDS}, {Module.CONTACT: mapping_contact.CONTACT_WRITABLE},
)  # fmt: skip

LEAD = SObject(
    "Lead", (Module.LEAD,), mapping_contact.LEAD_SELECT,
    "IsConverted = false",  # a converted lead is read-only and lives on as a contact
    mapping_contact.read_lead, mapping_contact.write_lead,
    {Module.LEAD: mapping_contact.LEAD_FIELDS}, {Module.LEAD: mapping_contact.LEAD_WRITABLE},
)  # fmt: skip

EVENT = SObject(
    "Event", (Module.APPOINTMENT, Module.SERVICE_CALL), mapping_event.SELECT,
    # Not the copies of invitees, not the pattern of a classic series, and of a Lightning series only its record
    # and the occurrences that differ from it.
    "IsChild = false AND IsRecurrence = false AND "
    "(IsRecurrence2 = false OR GroupEventType = '3' OR IsRecurrence2Exception = true)",
    mapping_event.read, mapping_event.write,
    dict.fromkeys((Module.APPOINTMENT, Module.SERVICE_CALL), mapping_event.WRITABLE),
    dict.fromkeys((Module.APPOINTMENT, Module.SERVICE_CALL), mapping_event.WRITABLE),
)  # fmt: skip

TASK = SObject(
    "Task", (Module.TASK, Module.CALL), mapping_task.SELECT,
    # The pattern of a recurring task is not one to do, nor is what the org writes on the time line for an e-mail.
    "IsRecurrence = false AND TaskSubtype != 'Email' AND TaskSubtype != 'ListEmail'",
    mapping_task.read, mapping_task.write,
    {Module.TASK: mapping_task.TASK_WRITABLE, Module.CALL: mapping_task.CALL_WRITABLE},
    {Module.TASK: mapping_task.TASK_WRITABLE, Module.CALL: mapping_task.CALL_WRITABLE},
)  # fmt: skip

OPPORTUNITY = SObject(
    "Opportunity", (Module.OPPORTUNITY,), mapping_record.OPPORTUNITY_SELECT, "",
    mapping_record.read_opportunity, mapping_record.write_opportunity,
    {Module.OPPORTUNITY: mapping_record.OPPORTUNITY_FIELDS},
    {Module.OPPORTUNITY: mapping_record.OPPORTUNITY_WRITABLE},
)  # fmt: skip

CASE = SObject(
    "Case", (Module.CASE,), mapping_record.CASE_SELECT, "",
    mapping_record.read_case, mapping_record.write_case,
    {Module.CASE: mapping_record.CASE_FIELDS}, {Module.CASE: mapping_record.CASE_WRITABLE},
)  # fmt: skip

OBJECTS = {each.name: each for each in (CONTACT, LEAD, EVENT, TASK, OPPORTUNITY, CASE)}
OF_MODULE = {module: each for each in OBJECTS.values() for module in each.modules}


def observe(sobject: SObject, row: Row, context: Context) -> Observation:
    """What a row says of its item. Deleted occurrences of a series are for ``feed`` to judge: here they are deleted."""
    stamp = row["SystemModstamp"]
    modified = soql.epoch_ms(stamp)
    if row.get("IsDeleted") or row.get("IsConverted"):
        return Observation(row["Id"], sobject.modules[0], etag=stamp, deleted=True, modified=modified)
    module, fields = sobject.read(row, context)
    parent = occurrence = None
    if sobject is EVENT and mapping_event.is_occurrence(row):
        parent, occurrence = row["RecurrenceActivityId"], mapping_event.occurrence_of(row)
    return Observation(
        remote_id=row["Id"],
        module=module,
        fields=fields,
        etag=_etag(stamp, fields),
        marker=row.get(KEY),
        modified=modified,
        owner=row.get("OwnerId"),
        parent=parent,
        occurrence=occurrence,
    )


#: How ids of the objects begin that have activities (the standard key prefixes).
PREFIXES = {"Opportunity": "006", "Case": "500"}


def with_activities(sobject: SObject, most: int) -> SObject:
    """An object of records whose rows also tell their next activities."""
    if not most or sobject.name not in PREFIXES:
        return sobject
    columns = mapping_record.activity_columns(most)
    return replace(sobject, select=(*sobject.select, *columns), activities=most)


def stamp_of(etag: str) -> str:
    """The ``SystemModstamp`` that an etag of ours was made from."""
    return etag.partition("~")[0]


def _etag(stamp: str, fields: Fields) -> str:
    """The version of a row. Most orgs tell stamps in whole seconds, and two edits within one second have the same:
    there the etag also depends on the values, so that the second edit is not taken for the first. Likewise where a row tells
    of activities, whose changes do not change its stamp."""
    if stamp[-9:-5] != ".000" and not fields.get("activities"):
        return stamp
    return f"{stamp}~{zlib.crc32(repr(fields).encode()):08x}"


def cancelled(row: Row) -> Observation:
    """A deleted occurrence of a living series: a cancelled one."""
    module = Module.SERVICE_CALL if row.get("Type") == mapping_event.SERVICE_CALL else Module.APPOINTMENT
    return Observation(
        remote_id=row["Id"],
        module=module,
        fields={"cancelled": True},
        etag=row["SystemModstamp"],
        marker=row.get(KEY),
        modified=soql.epoch_ms(row["SystemModstamp"]),
        owner=row.get("OwnerId"),
        parent=row["RecurrenceActivityId"],
        occurrence=mapping_event.occurrence_of(row),
    )
