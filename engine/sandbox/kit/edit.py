"""Edits by hand, as people make them during a demo: a contact's telephone or job title, on either side; mails dropped.

They go through the public APIs with real OAuth, so that nothing but an ordinary client has touched the data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import jwt

from engine.sandbox.kit import drop

#: Contacts read before choosing; more than any mailbox may hold.
_MOST = 25_000
_CONTACTS = "https://www.googleapis.com/auth/contacts"
_TITLES = (
    "Head of Sales",
    "Chief Buyer",
    "Direktorin",
    "部長",
    "Directeur adjoint",
    "Team Lead",
    "Plant Manager",
)


class EditError(Exception):
    """The edit cannot be made; the text names what and the remedy."""


def run(
    side: str, ready_file: Path, user: str, count: int, seed: int | None = None
) -> Iterator[dict[str, Any]]:
    """Edit ``count`` different contacts of ``user`` and yield what was changed.

    Args:
        side: ``crm`` or ``mailbox``; ``mail`` drops mails on records instead.
        ready_file: written by the running sandbox.
        user: e-mail of the user whose contacts are edited.
        count: how many contacts; each gets one field changed.
        seed: the same seed makes the same choice among the same contacts.

    Yields:
        ``{"side", "user", "id", "name", "field", "before", "after"}``; for mails see ``drop.run``.

    Raises:
        EditError: no sandbox there, unknown user, too few contacts, or the API refused.
    """
    ready = _ready(ready_file)
    known = [row["email"] for row in ready.get("users", [])]
    if user not in known:
        raise EditError(f"--user {user}: not a user of this sandbox; known are {', '.join(known[:10])}")
    service = "salesforce" if side == "crm" else "google"
    if service not in ready and not (side == "mail" and "exchange" in ready):
        raise EditError(
            f"{ready_file}: this sandbox runs without {service}; start it with --services {service}"
        )
    dice = Random(seed)
    with httpx.Client(timeout=30.0, trust_env=False) as client:
        try:
            if side == "mail":
                yield from drop.run(
                    ready,
                    client,
                    user,
                    count,
                    dice,
                    lambda scope: _google_token(client, ready["google"], user, scope),
                )
                return
            work = _edit_crm if side == "crm" else _edit_mailbox
            yield from work(client, ready[service], user, count, dice)
        except drop.DropError as error:
            raise EditError(str(error)) from None
        except httpx.TransportError as error:
            raise EditError(
                f"{ready_file}: its servers do not answer ({error}); is the sandbox running?"
            ) from None


def _ready(path: Path) -> dict[str, Any]:
    try:
        ready = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EditError(f"--ready-file {path}: {error.strerror}; is the sandbox running?") from None
    except ValueError:
        raise EditError(f"--ready-file {path}: not a ready file of the sandbox") from None
    if not isinstance(ready, dict) or "users" not in ready:
        raise EditError(f"--ready-file {path}: not a ready file of the sandbox")
    return ready


def _checked(answer: httpx.Response, what: str) -> Any:
    if answer.is_error:
        raise EditError(f"{what}: {answer.status_code} {answer.text[:300]}")
    return answer.json() if answer.content else None


def _choose(dice: Random, found: list[dict[str, Any]], count: int, user: str) -> list[dict[str, Any]]:
    if len(found) < count:
        raise EditError(f"--count {count}: {user} has {len(found)} contacts to edit there")
    return dice.sample(found, count)


def _new_phone(dice: Random) -> str:
    # A valid Berlin number with any last digits.
    return f"+49 30 9018{dice.randrange(10_000):04d}"


def _new_value(dice: Random, field: str, before: str | None) -> str:
    while True:
        after = dice.choice(_TITLES) + f" {dice.randint(2, 99)}" if field == "title" else _new_phone(dice)
        if after != before:
            return after


# -- CRM -------------------------------------------------------------------------------------------------


def _edit_crm(
    client: httpx.Client, service: dict[str, Any], user: str, count: int, dice: Random
) -> Iterator[dict[str, Any]]:
    secret = Path(service["client_secret_file"]).read_text(encoding="ascii").strip()
    form = {"grant_type": "client_credentials", "client_id": service["client_id"], "client_secret": secret}
    token = _checked(client.post(service["token_url"], data=form), "signing in to the CRM")["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    root = f"{service['base_url']}/services/data/v{service['api_version']}"
    question = f"SELECT Id, Name, Phone, Title FROM Contact WHERE Owner.Email = '{user}' ORDER BY Id"  # noqa: S608 - SOQL of a known user
    page = _checked(client.get(f"{root}/query", params={"q": question}), "reading contacts")
    found = list(page["records"])
    while not page["done"] and len(found) < _MOST:
        page = _checked(client.get(service["base_url"] + page["nextRecordsUrl"]), "reading contacts")
        found += page["records"]
    for row in _choose(dice, found, count, user):
        field = dice.choice(("Phone", "Title"))
        after = _new_value(dice, field.lower(), row.get(field))
        url = f"{root}/sobjects/Contact/{row['Id']}"
        _checked(client.patch(url, json={field: after}), f"writing contact {row['Id']}")
        yield {
            "side": "crm",
            "user": user,
            "id": row["Id"],
            "name": row.get("Name"),
            "field": field,
            "before": row.get(field),
            "after": after,
        }


# -- mailbox ---------------------------------------------------------------------------------------------


def _google_token(client: httpx.Client, service: dict[str, Any], user: str, scope: str = _CONTACTS) -> str:
    key = json.loads(Path(service["credentials_file"]).read_text(encoding="utf-8"))
    now = int(time.time())
    claims = {
        "iss": key["client_email"],
        "sub": user,
        "scope": scope,
        "aud": service["token_uri"],
        "iat": now,
        "exp": now + 600,
    }
    assertion = jwt.encode(
        claims, key["private_key"], algorithm="RS256", headers={"kid": key["private_key_id"]}
    )
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    token: str = _checked(client.post(service["token_uri"], data=form), "signing in to the mailbox")[
        "access_token"
    ]
    return token


def _people(client: httpx.Client, root: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {"personFields": "names,organizations,phoneNumbers,clientData,metadata", "pageSize": "1000"}
    while True:
        page = _checked(client.get(f"{root}v1/people/me/connections", params=query), "reading contacts")
        found += page.get("connections", [])
        if not page.get("nextPageToken"):
            return found
        query["pageToken"] = page["nextPageToken"]


def _edit_mailbox(
    client: httpx.Client, service: dict[str, Any], user: str, count: int, dice: Random
) -> Iterator[dict[str, Any]]:
    client.headers["Authorization"] = f"Bearer {_google_token(client, service, user)}"
    root = service["people_url"]
    everybody = sorted(_people(client, root), key=lambda person: str(person["resourceName"]))
    # Client data is what a program has hung onto a contact: such contacts are kept in step with something, others are
    # the owner's own. Before the first sync there are only those.
    found = [person for person in everybody if person.get("clientData")] or everybody
    for person in _choose(dice, found, count, user):
        name, etag = person["resourceName"], person["etag"]
        field = dice.choice(("phone", "title"))
        if field == "title":
            mask, entries = "organizations", [dict(entry) for entry in person.get("organizations", [])] or [{}]
            before = entries[0].get("title")
            after = _new_value(dice, field, before)
            entries[0]["title"] = after
        else:
            mask, entries = "phoneNumbers", [dict(entry) for entry in person.get("phoneNumbers", [])]
            at_work = next((entry for entry in entries if entry.get("type") == "work"), None)
            if at_work is None:
                at_work = {"type": "work"}
                entries.append(at_work)
            before = at_work.get("value")
            after = _new_value(dice, field, before)
            at_work["value"] = after
        for entry in entries:
            for computed in ("metadata", "canonicalForm", "formattedType"):
                entry.pop(computed, None)
        # The contact is sent with its etag: the API refuses a blind update.
        body = {"resourceName": name, "etag": etag, mask: entries}
        _checked(
            client.patch(f"{root}v1/{name}:updateContact", params={"updatePersonFields": mask}, json=body),
            f"writing {name}",
        )
        shown = next((entry.get("displayName") for entry in person.get("names", [])), None)
        yield {
            "side": "mailbox",
            "user": user,
            "id": name,
            "name": shown,
            "field": field,
            "before": before,
            "after": after,
        }
