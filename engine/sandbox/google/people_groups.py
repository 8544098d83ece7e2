"""Contact groups of the People sandbox: system groups, user groups with unique names, members, group sync tokens."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from engine.sandbox.google import people_store as store
from engine.sandbox.google import people_tokens as tokens
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.people_fields import invalid, parse_mask
from engine.sandbox.google.people_store import MY_CONTACTS, STARRED
from engine.sandbox.kit.world import World, transaction

GROUP_FIELDS = frozenset({"clientData", "groupType", "memberCount", "metadata", "name"})
SYSTEM_GROUPS = {
    MY_CONTACTS: "My Contacts",
    STARRED: "Starred",
    "friends": "Friends",
    "family": "Family",
    "coworkers": "Coworkers",
    "blocked": "Blocked",
    "chatBuddies": "Chat contacts",
    "all": "All Contacts",
}
"""System groups by id with their formatted names; members may be added to the first two only."""
_READ_DEFAULT = ("metadata", "groupType", "memberCount", "name")
_WRITE_DEFAULT = ("metadata", "groupType", "name")
_FIRST_ID = 0x3F4A00000000000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS google_people_groups(
    seq INTEGER PRIMARY KEY, user TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, client_data TEXT NOT NULL,
    rev INTEGER NOT NULL, changed_ms INTEGER NOT NULL, deleted INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS google_people_groups_id ON google_people_groups(user, id);
CREATE UNIQUE INDEX IF NOT EXISTS google_people_groups_name ON google_people_groups(user, name) WHERE deleted = 0;
"""


def create_tables(world: World) -> None:
    """Create the table of user groups where missing."""
    world.db.executescript(_SCHEMA)


def require_joinable(world: World, user: str, resource_name: str) -> str:
    """The id of a group that contacts may be added to: a user group, ``myContacts`` or ``starred``.

    Raises:
        ApiError: 400 INVALID_ARGUMENT otherwise.
    """
    group_id = resource_name.removeprefix("contactGroups/")
    if group_id in (MY_CONTACTS, STARRED):
        return group_id
    if group_id in SYSTEM_GROUPS:
        raise invalid(f"Contacts cannot be added to the system contact group {resource_name}.")
    if not resource_name.startswith("contactGroups/") or _row(world, user, group_id) is None:
        raise invalid(f"Contact group {resource_name} is not a valid contact group of the user.")
    return group_id


def list_groups(call: Call) -> Reply:
    """contactGroups.list: system and user groups, or those changed since a sync token; members are never populated."""
    world, user, params = call.world, call.user, call.params
    mask = _mask(params.get("groupFields"), _READ_DEFAULT)
    size = int(params.get("pageSize") or 30)
    if not 1 <= size <= 1000:
        raise invalid("Page size must be between 1 and 1000, inclusive.")
    now, print_ = world.clock.now_ms(), tokens.fingerprint(params)
    since, full, offset = -1, now, 0
    upto = int(store.user_row(world, user)["group_rev"])
    if params.get("syncToken"):
        sync = tokens.unpack("sync", params["syncToken"])
        if sync.get("user") != user or "group" not in sync:
            raise invalid("Invalid sync token.")
        days = float(world.settings.get("people_sync_token_days", tokens.SYNC_TOKEN_DAYS))
        tokens.require_fresh(sync["full"], now, days)
        since, full = int(sync["rev"]), int(sync["full"])
    if params.get("pageToken"):
        page = tokens.unpack("page", params["pageToken"])
        if page.get("user") != user or "group" not in page or page["since"] != since:
            raise invalid("Invalid page token.")
        tokens.require_same(page["print"], params, "page token")
        offset, full, upto = int(page["offset"]), int(page["full"]), int(page["upto"])
    groups: list[dict[str, Any]] = []
    if since < 0:
        groups = [_render_system(world, user, group_id, mask) for group_id in SYSTEM_GROUPS]
    where = "user = ? AND rev > ?" if since >= 0 else "user = ? AND rev > ? AND deleted = 0"
    rows = world.db.execute(f"SELECT * FROM google_people_groups WHERE {where} ORDER BY rev", (user, since))  # noqa: S608
    groups += [_render(world, row, mask) for row in rows]
    body: dict[str, Any] = {"contactGroups": groups[offset : offset + size]} if groups[offset:] else {}
    body["totalItems"] = len(groups)
    state: dict[str, Any] = {"user": user, "full": full, "group": 1}
    if len(groups) > offset + size:
        state |= {"since": since, "upto": upto, "offset": offset + size, "print": print_}
        body["nextPageToken"] = tokens.pack("page", state)
    else:
        body["nextSyncToken"] = tokens.pack("sync", {**state, "rev": upto})
    return Reply(body)


def get_group(call: Call) -> Reply:
    """contactGroups.get, with up to ``maxMembers`` member names."""
    mask = _mask(call.params.get("groupFields"), _READ_DEFAULT)
    name = call.params["resourceName"]
    group = _read(call, name, mask)
    if group is None:
        raise _not_found()
    return Reply(group)


def batch_get_groups(call: Call) -> Reply:
    """contactGroups.batchGet: up to 200 names, each answered with its own status."""
    names = list(call.params.get("resourceNames") or ())
    mask = _mask(call.params.get("groupFields"), _READ_DEFAULT)
    if not names or len(names) > 200:
        raise invalid("Between 1 and 200 resource names are allowed.")
    responses: list[dict[str, Any]] = []
    for name in dict.fromkeys(names):
        group = _read(call, name, mask)
        response: dict[str, Any] = {"requestedResourceName": name, "status": {}}
        if group is None:
            response["status"] = {"code": 5, "message": "Requested entity was not found."}
        else:
            response["contactGroup"] = group
        responses.append(response)
    return Reply({"responses": responses})


def create_group(call: Call) -> Reply:
    """contactGroups.create.

    Raises:
        ApiError: 400 without a name, 409 ALREADY_EXISTS when the user has a group of that name.
    """
    body = call.body or {}
    group = body.get("contactGroup") or {}
    mask = _mask(body.get("readGroupFields"), _WRITE_DEFAULT)
    name = _valid_name(group)
    with transaction(call.world):
        _require_unique(call, name, "")
        seq = int(
            call.world.db.execute("SELECT coalesce(max(seq), 0) + 1 FROM google_people_groups").fetchone()[0]
        )
        group_id = format(_FIRST_ID + seq * 104_729, "x")
        data = json.dumps(group.get("clientData") or [])
        values = (seq, call.user, group_id, name, data, _next_rev(call), call.world.clock.now_ms())
        call.world.db.execute("INSERT INTO google_people_groups VALUES (?,?,?,?,?,?,?,0)", values)
    return Reply(_read(call, f"contactGroups/{group_id}", mask))


def update_group(call: Call) -> Reply:
    """contactGroups.update of ``name`` and ``clientData``.

    Raises:
        ApiError: 404; 409 for a taken name; 400 for system groups and for an etag that is not the current one.
    """
    body = call.body or {}
    group = body.get("contactGroup") or {}
    mask = _mask(body.get("readGroupFields"), _WRITE_DEFAULT)
    fields = parse_mask(
        body.get("updateGroupFields") or "name", "updateGroupFields", frozenset({"name", "clientData"})
    )
    row = _user_group(call)
    if group.get("etag") not in (None, "", _etag(row)):
        raise ApiError(
            400,
            "failedPrecondition",
            "Request contactGroup.etag is different than the current contactGroup.etag.",
            grpc="FAILED_PRECONDITION",
        )
    name = _valid_name(group) if "name" in fields else str(row["name"])
    data = json.dumps(group.get("clientData") or []) if "clientData" in fields else row["client_data"]
    with transaction(call.world):
        _require_unique(call, name, row["id"])
        call.world.db.execute(
            "UPDATE google_people_groups SET name = ?, client_data = ?, rev = ?, changed_ms = ? WHERE seq = ?",
            (name, data, _next_rev(call), call.world.clock.now_ms(), row["seq"]),
        )
    return Reply(_read(call, call.params["resourceName"], mask))


def delete_group(call: Call) -> Reply:
    """contactGroups.delete: members lose the membership, or are deleted too with ``deleteContacts``.

    A contact that would be in no group any more stays in ``myContacts``.
    """
    row = _user_group(call)
    with store.writing(call.world, call.user) as writer:
        names = [_contact_name(seq) for seq in store.members(call.world, call.user, row["id"])]
        for contact in _find_all(call, names):
            if call.params.get("deleteContacts"):
                writer.delete(contact)
            else:
                left = [group for group in contact.groups if group != row["id"]]
                writer.replace(contact, store.regroup(contact, left or [MY_CONTACTS]))
        call.world.db.execute(
            "UPDATE google_people_groups SET deleted = 1, rev = ?, changed_ms = ? WHERE seq = ?",
            (_next_rev(call), writer.now_ms, row["seq"]),
        )
    return Reply({})


def modify_members(call: Call) -> Reply:
    """contactGroups.members.modify: at most 1000 names to add and remove together.

    Unknown contacts and contacts that would leave their last group are listed in the answer; the others are changed.

    Raises:
        ApiError: 404 for an unknown group; 400 for too many names or a system group that takes no members.
    """
    body = call.body or {}
    add = list(dict.fromkeys(body.get("resourceNamesToAdd") or ()))
    remove = list(dict.fromkeys(body.get("resourceNamesToRemove") or ()))
    if not add and not remove:
        raise invalid("At least one resource name to add or to remove is required.")
    if len(add) + len(remove) > 1000:
        raise invalid("The total number of resource names to add and remove must be at most 1000.")
    name = call.params["resourceName"]
    group_id = name.removeprefix("contactGroups/")
    if group_id not in SYSTEM_GROUPS and _row(call.world, call.user, group_id) is None:
        raise _not_found()
    if add:
        require_joinable(call.world, call.user, name)
    missing: list[str] = []
    stuck: list[str] = []
    with store.writing(call.world, call.user) as writer:
        found = {contact.name: contact for contact in _find_all(call, [*add, *remove])}
        missing = [resource for resource in dict.fromkeys([*add, *remove]) if resource not in found]
        for resource in add:
            contact = found.get(resource)
            if contact is not None and group_id not in contact.groups:
                found[resource] = writer.replace(contact, store.regroup(contact, [*contact.groups, group_id]))
        for resource in remove:
            contact = found.get(resource)
            if contact is None or group_id not in contact.groups:
                continue
            left = [group for group in contact.groups if group != group_id]
            if not left:
                stuck.append(resource)
                continue
            found[resource] = writer.replace(contact, store.regroup(contact, left))
    answer: dict[str, Any] = {}
    if missing:
        answer["notFoundResourceNames"] = missing
    if stuck:
        answer["canNotRemoveLastContactGroupResourceNames"] = stuck
    return Reply(answer)


def _find_all(call: Call, names: list[str]) -> list[store.Contact]:
    """Contacts by name in slices that fit SQLite's limit of bound values."""
    found: list[store.Contact] = []
    for start in range(0, len(names), 500):
        found += store.find(call.world, call.user, names[start : start + 500]).values()
    return found


def _contact_name(seq: int) -> str:
    return store.Contact(seq, 0, 0, False, {}).name


def _row(world: World, user: str, group_id: str) -> sqlite3.Row | None:
    query = "SELECT * FROM google_people_groups WHERE user = ? AND id = ? AND deleted = 0"
    row: sqlite3.Row | None = world.db.execute(query, (user, group_id)).fetchone()
    return row


def _user_group(call: Call) -> sqlite3.Row:
    """The user group that the path names; system groups cannot be changed."""
    group_id = call.params["resourceName"].removeprefix("contactGroups/")
    if group_id in SYSTEM_GROUPS:
        raise invalid("System contact groups cannot be changed or deleted.")
    row = _row(call.world, call.user, group_id)
    if row is None:
        raise _not_found()
    return row


def _read(call: Call, name: str, mask: tuple[str, ...]) -> dict[str, Any] | None:
    group_id = name.removeprefix("contactGroups/")
    if group_id in SYSTEM_GROUPS:
        group = _render_system(call.world, call.user, group_id, mask)
    else:
        row = _row(call.world, call.user, group_id)
        if row is None:
            return None
        group = _render(call.world, row, mask)
    limit = int(call.params.get("maxMembers") or 0)
    if limit:
        seqs = store.members(call.world, call.user, group_id, limit)
        group["memberResourceNames"] = [_contact_name(seq) for seq in seqs]
    return group


def _render_system(world: World, user: str, group_id: str, mask: tuple[str, ...]) -> dict[str, Any]:
    group: dict[str, Any] = {
        "resourceName": f"contactGroups/{group_id}",
        "etag": "z9kUQFLk0Ak=",
        "formattedName": SYSTEM_GROUPS[group_id],
    }
    if "groupType" in mask:
        group["groupType"] = "SYSTEM_CONTACT_GROUP"
    if "name" in mask:
        group["name"] = group_id
    if "memberCount" in mask:
        group["memberCount"] = store.member_count(world, user, group_id)
    return group


def _render(world: World, row: sqlite3.Row, mask: tuple[str, ...]) -> dict[str, Any]:
    group: dict[str, Any] = {"resourceName": f"contactGroups/{row['id']}", "etag": _etag(row)}
    if "metadata" in mask:
        group["metadata"] = {"updateTime": store.timestamp(row["changed_ms"])}
        if row["deleted"]:
            group["metadata"]["deleted"] = True
    if row["deleted"]:
        return group
    group["formattedName"] = row["name"]
    if "groupType" in mask:
        group["groupType"] = "USER_CONTACT_GROUP"
    if "name" in mask:
        group["name"] = row["name"]
    if "memberCount" in mask:
        group["memberCount"] = store.member_count(world, row["user"], row["id"])
    if "clientData" in mask and row["client_data"] != "[]":
        group["clientData"] = json.loads(row["client_data"])
    return group


def _etag(row: sqlite3.Row) -> str:
    return base64.b64encode(f"g{row['seq']}.{row['rev']}".encode()).decode()


def _mask(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return parse_mask(text, "groupFields", GROUP_FIELDS, required=False) or default


def _valid_name(group: Mapping[str, Any]) -> str:
    name = str(group.get("name") or "").strip()
    if not name:
        raise invalid("Contact group name is required.")
    return name


def _require_unique(call: Call, name: str, own_id: str) -> None:
    query = "SELECT 1 FROM google_people_groups WHERE user = ? AND name = ? AND deleted = 0 AND id <> ?"
    taken = call.world.db.execute(query, (call.user, name, own_id)).fetchone() is not None
    if taken or name in SYSTEM_GROUPS:
        raise ApiError(409, "alreadyExists", "Contact group name already exists.", grpc="ALREADY_EXISTS")


def _next_rev(call: Call) -> int:
    store.user_row(call.world, call.user)
    call.world.db.execute(
        "UPDATE google_people_users SET group_rev = group_rev + 1 WHERE user = ?", (call.user,)
    )
    return int(store.user_row(call.world, call.user)["group_rev"])


def _not_found() -> ApiError:
    return ApiError(404, "notFound", "Requested entity was not found.", grpc="NOT_FOUND")
