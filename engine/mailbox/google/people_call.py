"""Contacts read by id in bulk: shared by the feed, which looks up items, and by the writes, which compare versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.people_read import SOURCES
from engine.model.port import Account

#: Most names of one call (people.getBatchGet: "up to 200 resource names").
READ_SIZE = 200


async def read_people(
    client: GoogleClient, account: Account, names: Sequence[str], fields: str
) -> dict[str, Mapping[str, Any]]:
    """People by the name under which they were asked for; those that do not exist are left out.

    Args:
        client: Google.
        account: the mailbox.
        names: resource names, any number; 200 a call.
        fields: the mask.

    Raises:
        ProviderError: a call failed.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(wanted), READ_SIZE):
        request = client.people.people.getBatchGet(
            resourceNames=wanted[start : start + READ_SIZE], personFields=fields, sources=SOURCES
        )
        answer = await client.execute(request, account, idempotent=True)
        for response in answer.get("responses") or ():
            person = response.get("person")
            # The name of a person can change; the answer then shows both.
            name = response.get("requestedResourceName") or (person or {}).get("resourceName")
            if person and name and not (person.get("metadata") or {}).get("deleted"):
                found[name] = person
    return found
