"""What clients read: a person under a mask, the connections feed with its sync tokens, and the search with its cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.sandbox.google import people_store as store
from engine.sandbox.google import people_tokens as tokens
from engine.sandbox.google import users
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.people_fields import PERSON_FIELDS, invalid, parse_mask
from engine.sandbox.google.people_store import Contact

_FIELDS_OF_SEARCH = ("names", "nicknames", "emailAddresses", "phoneNumbers", "organizations")


def render(contact: Contact, mask: Sequence[str]) -> dict[str, Any]:
    """The person resource: resource name and etag always, other fields only as the mask names them."""
    person: dict[str, Any] = {"resourceName": contact.name, "etag": contact.etag}
    doc, source = contact.doc, {"type": "CONTACT", "id": contact.source_id}
    first = {"primary": True, "source": source, "sourcePrimary": True}
    other = {"source": source}
    for field in mask:
        if field in doc:
            values = doc[field]
            person[field] = [
                {**values[0], "metadata": first},
                *({**value, "metadata": other} for value in values[1:]),
            ]
    if "metadata" in mask:
        updated = store.timestamp(contact.changed_ms)
        person["metadata"] = {
            "sources": [{**source, "etag": contact.source_etag, "updateTime": updated}],
            "objectType": "PERSON",
        }
        if contact.deleted:
            person["metadata"]["deleted"] = True
    if "memberships" in mask and doc.get("groups"):
        person["memberships"] = [
            {
                "contactGroupMembership": {
                    "contactGroupId": group,
                    "contactGroupResourceName": f"contactGroups/{group}",
                },
                "metadata": other,
            }
            for group in doc["groups"]
        ]
    return person


def person_mask(params: Mapping[str, Any], *, required: bool = True) -> tuple[str, ...]:
    """The mask of ``personFields`` or of the older ``requestMask.includeField``; all fields when optional and absent.

    Raises:
        ApiError: 400 INVALID_ARGUMENT.
    """
    text = params.get("personFields") or params.get("requestMask.includeField")
    if not text and not required:
        return tuple(sorted(PERSON_FIELDS))
    return parse_mask(text, "personFields", PERSON_FIELDS)


def get_person(call: Call) -> Reply:
    """people.get: read after write; ``people/me`` is the user's own profile."""
    name = call.params["resourceName"]
    mask = person_mask(call.params)
    if name == "people/me":
        return Reply(_profile(call, mask))
    found = store.find(call.world, call.user, [name]).get(name)
    if found is None:
        raise ApiError(404, "notFound", "Requested entity was not found.", grpc="NOT_FOUND")
    return Reply(render(found, mask))


def get_batch(call: Call) -> Reply:
    """people.getBatchGet: up to 200 names, each answered with its own status."""
    names = list(call.params.get("resourceNames") or ())
    mask = person_mask(call.params)
    if not names:
        raise invalid("resourceNames must not be empty.")
    if len(names) > 200:
        raise invalid("A maximum of 200 resource names are allowed.")
    found = store.find(call.world, call.user, names)
    responses: list[dict[str, Any]] = []
    for name in dict.fromkeys(names):
        if name == "people/me":
            person: dict[str, Any] | None = _profile(call, mask)
        else:
            person = render(found[name], mask) if name in found else None
        if person is None:
            status = {"code": 5, "message": "Requested entity was not found."}
            responses.append({"httpStatusCode": 404, "requestedResourceName": name, "status": status})
        else:
            responses.append(
                {"httpStatusCode": 200, "person": person, "requestedResourceName": name, "status": {}}
            )
    return Reply({"responses": responses})


def list_connections(call: Call) -> Reply:
    """people.connections.list: full listing, continued listing, or the changes since a sync token.

    Writes appear after ``people_lag_seconds``. The sync token comes on the last page and inherits the time of the full
    sync that began the chain: 7 days after it the next call is refused.
    """
    world, user, params = call.world, call.user, call.params
    if params.get("resourceName") != "people/me":
        raise invalid('Invalid resourceName: only "people/me" is valid.')
    mask = person_mask(params)
    size = int(params.get("pageSize") or 100)
    if not 1 <= size <= 1000:
        raise invalid("Page size must be between 1 and 1000, inclusive.")
    now = world.clock.now_ms()
    print_ = tokens.fingerprint(params)
    offset = 0
    if params.get("syncToken"):
        sync = tokens.unpack("sync", params["syncToken"])
        if sync.get("user") != user or "group" in sync:
            raise invalid("Invalid sync token.")
        days = float(world.settings.get("people_sync_token_days", tokens.SYNC_TOKEN_DAYS))
        tokens.require_fresh(sync["full"], now, days)
        tokens.require_same(sync["print"], params, "sync token")
        since, full = int(sync["rev"]), int(sync["full"])
    else:
        since, full = 0, now
    if params.get("pageToken"):
        page = tokens.unpack("page", params["pageToken"])
        if page.get("user") != user or "group" in page or page["since"] != since:
            raise invalid("Invalid page token.")
        tokens.require_same(page["print"], params, "page token")
        upto, offset, full = int(page["upto"]), int(page["offset"]), int(page["full"])
    else:
        upto = store.horizon(world, user)
    order = params.get("sortOrder") or "LAST_MODIFIED_ASCENDING"
    delta = bool(params.get("syncToken"))
    found = store.visible(world, user, since, upto, order, offset, size + 1, tombstones=delta)
    body: dict[str, Any] = {}
    if found:
        body["connections"] = [render(contact, mask) for contact in found[:size]]
    if not delta:
        body["totalPeople"] = body["totalItems"] = store.count_visible(world, user, upto)
    if len(found) > size:
        following = found[size - 1].rev if order.startswith("LAST_MODIFIED") else offset + size
        state = {"user": user, "since": since, "upto": upto, "offset": following, "full": full, "print": print_}
        body["nextPageToken"] = tokens.pack("page", state)
    elif params.get("requestSyncToken"):
        body["nextSyncToken"] = tokens.pack("sync", {"user": user, "rev": upto, "full": full, "print": print_})
    return Reply(body)


def search_contacts(call: Call) -> Reply:
    """people.searchContacts: prefix match of words in a cache that the request before this one brought up to date.

    The documentation asks for a warm-up request with an empty query; here each request answers from the cache and then
    refreshes it.
    """
    mask = parse_mask(call.params.get("readMask"), "readMask", PERSON_FIELDS)
    query = str(call.params.get("query") or "").strip().casefold()
    size = min(int(call.params.get("pageSize") or 10), 30)
    row = store.user_row(call.world, call.user)
    call.world.db.execute("UPDATE google_people_users SET searchable_rev = rev WHERE user = ?", (call.user,))
    if not query:
        return Reply({})
    candidates = store.searchable(call.world, call.user, int(row["searchable_rev"]), query)
    found = [contact for contact in candidates if _matches(contact, query)][:size]
    return Reply({"results": [{"person": render(contact, mask)} for contact in found]} if found else {})


def _matches(contact: Contact, query: str) -> bool:
    for field in _FIELDS_OF_SEARCH:
        for value in contact.doc.get(field, ()):
            for text in value.values():
                if isinstance(text, str) and f" {text.casefold()}".find(f" {query}") >= 0:
                    return True
    return False


def _profile(call: Call, mask: Sequence[str]) -> dict[str, Any]:
    """The user's own account as a person."""
    owner = users.find(call.world, call.user)
    number = str(sum(ord(letter) * 31**place for place, letter in enumerate(call.user[:12])) % 10**20).zfill(21)
    origin = {"primary": True, "source": {"type": "PROFILE", "id": number}}
    display = owner.name if owner else call.user
    fields: dict[str, Any] = {
        "names": [{"displayName": display, "metadata": origin}],
        "emailAddresses": [{"value": call.user, "metadata": {**origin, "verified": True}}],
        "metadata": {"sources": [{"type": "PROFILE", "id": number}], "objectType": "PERSON"},
    }
    kept = {field: value for field, value in fields.items() if field in mask}
    return {"resourceName": f"people/{number}", "etag": "%EgUBAi43PRoEAQIFByIM", **kept}
