"""What ``doctor`` asks of an org: session, version, objects and fields, the package, what is left of the allowance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.crm.salesforce.client import SalesforceClient
from engine.crm.salesforce.errors import SalesforceError
from engine.crm.salesforce.feed import OPTIONAL
from engine.crm.salesforce.objects import KEY, OBJECTS, SYSTEM, SObject
from engine.crm.salesforce.settings import SalesforceSettings
from engine.model.port import Finding
from engine.net.errors import ProviderError

#: The part of the daily requests below which the allowance is reported as short.
_SHORT = 0.10


async def findings(client: SalesforceClient, settings: SalesforceSettings) -> list[Finding]:
    """Test access to the org; the first failure that makes the rest pointless ends the list."""
    try:
        await client.log_in()
    except ProviderError as error:
        return [Finding(False, "token", error.detail, error.advice)]
    out = [Finding(True, "token", f"session at {client.instance_url} by {settings.auth}")]
    try:
        out.append(await _version(client, settings))
        out += await _objects(client)
        out.append(await _users(client))
        out.append(await _allowance(client))
    except ProviderError as error:
        out.append(Finding(False, "access", error.detail, error.advice))
    return out


async def _version(client: SalesforceClient, settings: SalesforceSettings) -> Finding:
    versions = [str(each.get("version")) for each in (await client.request("GET", "/services/data")).body]
    if settings.api_version in versions:
        return Finding(True, "api version", f"{settings.api_version} of {', '.join(versions[-1:])}")
    return Finding(
        False,
        "api version",
        f"the org does not offer {settings.api_version}",
        f"Set api_version to {versions[-1] if versions else 'one that the org offers'}",
    )


async def _objects(client: SalesforceClient) -> list[Finding]:
    requests = [
        {"method": "GET", "url": f"{client.root}/sobjects/{name}/describe", "referenceId": f"describe{name}"}
        for name in OBJECTS
    ]
    answers = await client.composite(requests, idempotent=True)
    out = []
    for sobject, answer in zip(OBJECTS.values(), answers, strict=True):
        check = f"object {sobject.name}"
        if isinstance(answer, SalesforceError):
            out.append(
                Finding(
                    False, check, answer.detail, "Give the integration user read and edit rights on the object"
                )
            )
        else:
            out.append(_object(sobject, check, answer))
    return out


def _object(sobject: SObject, check: str, described: Mapping[str, Any]) -> Finding:
    rights = [
        word for word in ("queryable", "createable", "updateable", "deletable") if not described.get(word)
    ]
    if rights:
        return Finding(
            False,
            check,
            f"not {', not '.join(rights)}",
            "Give the integration user's permission set these rights",
        )
    known = {each["name"]: each for each in described.get("fields", ())}
    missing = [name for name in _plain_columns(sobject) if name not in known]
    package = [name for name in missing if name.endswith("__c")]
    if package:
        return Finding(
            False, check, f"no field {', '.join(package)}",
            "Install the connector's metadata package and give the permission set access to its fields",
        )  # fmt: skip
    required = [name for name in missing if name not in OPTIONAL]
    if required:
        return Finding(
            False,
            check,
            f"no field {', '.join(required)}",
            "Give the permission set read and edit access to them",
        )
    if not (known[KEY].get("externalId") and known[KEY].get("unique")):
        return Finding(
            False, check, f"{KEY} is not a unique external id",
            "Mark it External ID and Unique; without it a lost answer could make doubles",
        )  # fmt: skip
    absent = f", without {', '.join(missing)}" if missing else ""
    return Finding(True, check, f"read and write, {len(known)} fields{absent}")


def _plain_columns(sobject: SObject) -> Sequence[str]:
    return [name for name in (*SYSTEM, *sobject.select) if "." not in name and "(" not in name]


async def _users(client: SalesforceClient) -> Finding:
    rows = await client.rows("SELECT Id FROM User WHERE IsActive = true")
    return Finding(
        bool(rows), "users", f"{len(rows)} active", "" if rows else "Let the integration user see users"
    )


async def _allowance(client: SalesforceClient) -> Finding:
    limits = (await client.request("GET", "/limits")).body
    daily = limits.get("DailyApiRequests") or {}
    granted, left = int(daily.get("Max", 0)), int(daily.get("Remaining", 0))
    text = f"{left:,} of {granted:,} API requests of 24 hours left"
    if granted and left < granted * _SHORT:
        return Finding(False, "api requests", text, "Widen the interval of the policies or buy more API calls")
    return Finding(True, "api requests", text)
