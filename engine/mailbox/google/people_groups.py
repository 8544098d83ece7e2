"""Contact groups: made once by name, adopted when they are there, read back for the checklist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Account, Finding

_GROUP_FIELDS = "name,groupType,memberCount"


def logical_name(module: Module) -> str:
    """The logical name of a module's group, as in ``Containers.ids``: ``group:contact``, ``group:lead``."""
    return f"group:{module.value}"


async def own_groups(client: GoogleClient, account: Account) -> dict[str, dict[str, Any]]:
    """The groups that the person or we made, by resource name; one call per 1000."""
    groups: dict[str, dict[str, Any]] = {}
    page_token: str | None = None
    while True:
        page: dict[str, Any] = {"pageToken": page_token} if page_token else {}
        request = client.people.contactGroups.list(pageSize=1000, groupFields=_GROUP_FIELDS, **page)
        answer = await client.execute(request, account, idempotent=True)
        for group in answer.get("contactGroups") or ():
            if group.get("groupType") == "USER_CONTACT_GROUP":
                groups[group["resourceName"]] = group
        page_token = answer.get("nextPageToken")
        if not page_token:
            return groups


def named(groups: Mapping[str, Mapping[str, Any]], name: str) -> str | None:
    """The resource name of the group of that name, ``None`` when there is none."""
    wanted = canonical.text(name)
    for resource, group in groups.items():
        if canonical.text(group.get("name")) == wanted:
            return resource
    return None


async def ensure_groups(
    client: GoogleClient, account: Account, groups: Mapping[Module, str], known: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Make the groups that are missing.

    A group is recognised by its wanted name, then by the id of an earlier call (somebody has renamed it: it stays the
    group of this module). Two modules may share one name and then share the group. The groups of a mailbox of which
    nothing is known are made without looking: Google refuses a name that is taken (409), and only then is the list read.

    Args:
        client: Google.
        account: the mailbox.
        groups: name of the group by module.
        known: ids by logical name from an earlier call.

    Returns:
        The resource name by logical name, and the logical names of what was made.

    Raises:
        ProviderError: a call failed; a repeat adopts what was made before.
    """
    if not groups:
        return {}, []
    earlier_ones = any(logical_name(module) in known for module in groups)
    present = await own_groups(client, account) if earlier_ones else {}
    ids: dict[str, str] = {}
    created: list[str] = []
    for module, name in groups.items():
        logical = logical_name(module)
        earlier = known.get(logical)
        found = named(present, name) or (earlier if earlier in present else None)
        if found is None:
            found, present, made = await _make(client, account, name, present)
            created += [logical] if made else []
        ids[logical] = found
    return ids, created


async def _make(
    client: GoogleClient, account: Account, name: str, present: dict[str, dict[str, Any]]
) -> tuple[str, dict[str, dict[str, Any]], bool]:
    """Create a group, or adopt one of that name: names are unique (409, contactGroups.create).

    Returns:
        Its resource name, all groups now present, and whether it was made.
    """
    body = {"contactGroup": {"name": name}, "readGroupFields": "name,groupType"}
    try:
        # The unique name makes a repeat harmless.
        group = await client.execute(client.people.contactGroups.create(body=body), account, idempotent=True)
    except HttpFailure as error:
        if error.status != 409:
            raise
        present = await own_groups(client, account)
        found = named(present, name)
        if found is None:
            raise HttpFailure(
                error.api,
                error.kind,
                f"the contact group {name!r} cannot be made: {error.detail}",
                status=409,
                reason=error.reason,
                advice="Choose another group name in the policy; system groups of Google keep theirs",
            ) from None
        return found, present, False
    return group["resourceName"], {**present, group["resourceName"]: {**group, "name": name}}, True


async def verify_groups(
    client: GoogleClient, account: Account, groups: Mapping[Module, str], known: Mapping[str, str]
) -> list[Finding]:
    """Read the groups back: one finding per module, with the number of members.

    Raises:
        ProviderError: the list could not be read.
    """
    if not groups:
        return []
    present = await own_groups(client, account)
    findings = []
    for module, name in groups.items():
        check = f"group {name}"
        resource = known.get(logical_name(module))
        group = present.get(resource or "")
        if group is None:
            other = named(present, name)
            detail = f"there is a group {name!r}, but not the one that was set up" if other else "missing"
            findings.append(
                Finding(False, check, detail, advice="Run a full sync: it makes or adopts the group")
            )
            continue
        members = group.get("memberCount") or 0
        detail = f"{members} member{'' if members == 1 else 's'}"
        if canonical.text(group.get("name")) != canonical.text(name):
            detail += f"; renamed to {group.get('name')!r} in the mailbox"
        findings.append(Finding(True, check, detail))
    return findings
