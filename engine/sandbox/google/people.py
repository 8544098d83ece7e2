"""The People API of the sandbox: writes of contacts, and the table of all its methods.

Rules from the people.v1 discovery document: an update needs the current etag and replaces exactly the fields of its mask;
batches are limited to 200 (500 for deletes) and are taken as a whole or refused as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sandbox.google import people_feed as feed
from engine.sandbox.google import people_groups as groups
from engine.sandbox.google import people_store as store
from engine.sandbox.google.call import ApiError, Call, Handler, Reply
from engine.sandbox.google.people_fields import PERSON_FIELDS, UPDATE_FIELDS, invalid, normalise, parse_mask
from engine.sandbox.google.people_store import MY_CONTACTS, Contact, Writer
from engine.sandbox.kit.world import World


def setup(world: World) -> None:
    """Create the tables of the People API where missing."""
    store.create_tables(world)
    groups.create_tables(world)


def create_contact(call: Call) -> Reply:
    """people.createContact: a contact without memberships goes to ``myContacts``."""
    mask = feed.person_mask(call.params, required=False)
    with store.writing(call.world, call.user) as writer:
        writer.admit(1)
        contact = _create(call, writer, call.body or {})
    return Reply(feed.render(contact, mask))


def batch_create(call: Call) -> Reply:
    """people.batchCreateContacts: up to 200, all or none; an empty read mask skips the answer's people."""
    body = call.body or {}
    people = body.get("contacts") or []
    mask = parse_mask(body.get("readMask"), "readMask", PERSON_FIELDS, required=False)
    _require_size(len(people), 200, "contacts")
    if any(not isinstance(entry.get("contactPerson"), Mapping) for entry in people):
        raise invalid("contactPerson is required for each contact to create.")
    with store.writing(call.world, call.user) as writer:
        writer.admit(len(people))
        created = [_create(call, writer, entry["contactPerson"]) for entry in people]
    if not mask:
        return Reply({})
    return Reply({"createdPeople": [_response(contact, mask) for contact in created]})


def update_contact(call: Call) -> Reply:
    """people.updateContact.

    Raises:
        ApiError: 400 without a mask or etag; 400 FAILED_PRECONDITION for an old etag; 404 for no such contact.
    """
    fields = parse_mask(call.params.get("updatePersonFields"), "updatePersonFields", UPDATE_FIELDS)
    mask = feed.person_mask(call.params, required=False)
    name = call.params["resourceName"]
    with store.writing(call.world, call.user) as writer:
        old = store.find(call.world, call.user, [name]).get(name)
        if old is None:
            raise _missing()
        contact = writer.replace(old, _changed(call, old, call.body or {}, fields))
    return Reply(feed.render(contact, mask))


def batch_update(call: Call) -> Reply:
    """people.batchUpdateContacts: up to 200 under one update mask, all or none."""
    body = call.body or {}
    people: Mapping[str, Any] = body.get("contacts") or {}
    fields = parse_mask(body.get("updateMask"), "updateMask", UPDATE_FIELDS)
    mask = parse_mask(body.get("readMask"), "readMask", PERSON_FIELDS, required=False)
    _require_size(len(people), 200, "contacts")
    with store.writing(call.world, call.user) as writer:
        found = store.find(call.world, call.user, list(people))
        if len(found) < len(people):
            raise _missing()
        documents = {name: _changed(call, found[name], person, fields) for name, person in people.items()}
        updated = {name: writer.replace(found[name], document) for name, document in documents.items()}
    if not mask:
        return Reply({})
    return Reply({"updateResult": {name: _response(contact, mask) for name, contact in updated.items()}})


def delete_contact(call: Call) -> Reply:
    """people.deleteContact."""
    _delete(call, [call.params["resourceName"]])
    return Reply({})


def batch_delete(call: Call) -> Reply:
    """people.batchDeleteContacts: up to 500; one unknown name refuses them all with 404."""
    names = list(dict.fromkeys((call.body or {}).get("resourceNames") or ()))
    _require_size(len(names), 500, "resource names")
    _delete(call, names)
    return Reply({})


def _delete(call: Call, names: list[str]) -> None:
    with store.writing(call.world, call.user) as writer:
        found = store.find(call.world, call.user, names)
        if len(found) < len(names):
            raise _missing()
        for contact in found.values():
            writer.delete(contact)


def _create(call: Call, writer: Writer, person: Mapping[str, Any]) -> Contact:
    document = normalise(person, _region(call))
    document["groups"] = _memberships(call, person) or [MY_CONTACTS]
    return writer.create(document)


def _changed(call: Call, old: Contact, person: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The document after an update: fields of the mask replaced or cleared, all others kept."""
    _require_current(old, person)
    document = {field: value for field, value in old.doc.items() if field not in fields}
    document |= normalise(person, _region(call), fields)
    if "memberships" in fields:
        document["groups"] = _memberships(call, person)
        if not document["groups"]:
            raise invalid("The contact must be a member of at least one contact group.")
    return document


def _require_current(old: Contact, person: Mapping[str, Any]) -> None:
    """The etag of the person or of its contact source must be there and be the current one."""
    metadata = person.get("metadata") or {}
    sources = [
        source.get("etag") for source in metadata.get("sources") or () if source.get("type") == "CONTACT"
    ]
    given = [etag for etag in (person.get("etag"), *sources) if etag]
    if not given:
        raise invalid(
            "Request must set person.etag or person.metadata.sources.etag for the source that is being updated."
        )
    if any(etag not in (old.etag, old.source_etag) for etag in given):
        raise ApiError(
            400,
            "failedPrecondition",
            "Request person.etag is different than the current person.etag. "
            "Clear local cache and get the latest person.",
            grpc="FAILED_PRECONDITION",
        )


def _memberships(call: Call, person: Mapping[str, Any]) -> list[str]:
    """Ids of the groups that the person sent is to be a member of."""
    result: list[str] = []
    for membership in person.get("memberships") or ():
        name = (membership.get("contactGroupMembership") or {}).get("contactGroupResourceName")
        if name:
            result.append(groups.require_joinable(call.world, call.user, name))
    return list(dict.fromkeys(result))


def _region(call: Call) -> str:
    """Country for telephone numbers written without one (setting ``people_region``, none by default)."""
    return str(call.world.settings.get("people_region", ""))


def _response(contact: Contact, mask: tuple[str, ...]) -> dict[str, Any]:
    return {
        "httpStatusCode": 200,
        "person": feed.render(contact, mask),
        "requestedResourceName": contact.name,
        "status": {},
    }


def _require_size(count: int, limit: int, what: str) -> None:
    if not 1 <= count <= limit:
        raise invalid(f"Between 1 and {limit} {what} are allowed in a single request, {count} were given.")


def _missing() -> ApiError:
    return ApiError(404, "notFound", "Contact person resources are not found.", grpc="NOT_FOUND")


HANDLERS: dict[str, Handler] = {
    "people.people.get": feed.get_person,
    "people.people.getBatchGet": feed.get_batch,
    "people.people.createContact": create_contact,
    "people.people.updateContact": update_contact,
    "people.people.deleteContact": delete_contact,
    "people.people.batchCreateContacts": batch_create,
    "people.people.batchUpdateContacts": batch_update,
    "people.people.batchDeleteContacts": batch_delete,
    "people.people.searchContacts": feed.search_contacts,
    "people.people.connections.list": feed.list_connections,
    "people.contactGroups.list": groups.list_groups,
    "people.contactGroups.get": groups.get_group,
    "people.contactGroups.batchGet": groups.batch_get_groups,
    "people.contactGroups.create": groups.create_group,
    "people.contactGroups.update": groups.update_group,
    "people.contactGroups.delete": groups.delete_group,
    "people.contactGroups.members.modify": groups.modify_members,
}
