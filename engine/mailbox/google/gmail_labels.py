"""The label tree of a policy: made once, adopted by name, read back for the checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.mailbox.google.gmail_mails import count_mails
from engine.mailbox.google.gmail_names import fold
from engine.model.port import Account, Finding


def logical_name(path: str) -> str:
    """The logical name of a label, as in ``Containers.ids``: ``label:CRM/Opportunities``."""
    return f"label:{path}"


def new_label(name: str) -> dict[str, Any]:
    """The body of a create; both visibilities are required."""
    return {"name": name, "labelListVisibility": "labelShow", "messageListVisibility": "show"}


async def list_labels(client: GoogleClient, account: Account) -> list[dict[str, Any]]:
    """The labels that people and programs made; one call, Gmail knows no pages here.

    Raises:
        ProviderError: the call failed.
    """
    answer = await client.execute(client.gmail.users.labels.list(userId="me"), account, idempotent=True)
    return [label for label in answer.get("labels") or () if label.get("type") != "system"]


async def ensure_labels(
    client: GoogleClient, account: Account, labels: Sequence[str], known: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Make the labels that are missing.

    A label is recognised by its full name (without case), then by the id of an earlier call: a person who renamed it
    keeps the new name. Parents must stand before their children; Gmail does not make them by itself.

    Args:
        client: Google.
        account: the mailbox.
        labels: full paths, ``CRM/Opportunities``.
        known: ids by logical name from an earlier call.

    Returns:
        The label id by logical name, and the logical names of what was made.

    Raises:
        ProviderError: a call failed; a repeat adopts what was made before.
    """
    if not labels:
        return {}, []
    present = await list_labels(client, account)
    ids: dict[str, str] = {}
    created: list[str] = []
    for path in labels:
        logical = logical_name(path)
        found = _find(present, path, known.get(logical))
        if found is None:
            try:
                # The unique name makes a repeat harmless.
                made = await client.execute(
                    client.gmail.users.labels.create(userId="me", body=new_label(path)),
                    account,
                    idempotent=True,
                )
                present.append({"name": path, **made})
                found = str(made["id"])
                created.append(logical)
            except HttpFailure as error:
                if error.status != 409:
                    raise
                present = await list_labels(client, account)
                found = _find(present, path, None)
                if found is None:
                    raise HttpFailure(
                        error.api,
                        error.kind,
                        f"the label {path!r} cannot be made: {error.detail}",
                        status=409,
                        reason=error.reason,
                        advice="Choose another name in the policy; Gmail keeps some names for itself",
                    ) from None
        ids[logical] = found
    return ids, created


def _find(present: Sequence[Mapping[str, Any]], path: str, earlier: str | None) -> str | None:
    by_name = next((str(row["id"]) for row in present if fold(str(row["name"])) == fold(path)), None)
    if by_name is not None:
        return by_name
    return earlier if any(row["id"] == earlier for row in present) else None


async def verify_labels(
    client: GoogleClient, account: Account, labels: Sequence[str], known: Mapping[str, str]
) -> list[Finding]:
    """Read the tree back: one finding per label, with the number of record labels below it, and one for their mails.

    A record label without a mail is no fault by itself, people may throw mails away; none at all is one.

    Raises:
        ProviderError: the list could not be read.
    """
    if not labels:
        return []
    present = await list_labels(client, account)
    by_id = {str(row["id"]): str(row["name"]) for row in present}
    findings = []
    for path in labels:
        check = f"label {path}"
        name = by_id.get(known.get(logical_name(path), ""))
        if name is None:
            other = _find(present, path, None)
            detail = f"there is a label {path!r}, but not the one that was set up" if other else "missing"
            findings.append(
                Finding(False, check, detail, advice="Run a full sync: it makes or adopts the label")
            )
            continue
        prefix = fold(name) + "/"
        below = sum(1 for other in by_id.values() if fold(other).startswith(prefix))
        detail = f"{below} label{'' if below == 1 else 's'} below it"
        if fold(name) != fold(path):
            detail += f"; renamed to {name!r} in the mailbox"
        findings.append(Finding(True, check, detail))
    records = _records(list(by_id.values()), labels)
    mails = await count_mails(client, account)
    detail = f"{mails} mail{'' if mails == 1 else 's'} for {records} record label{'' if records == 1 else 's'}"
    advice = "" if mails or not records else "Run a full sync: it writes the mails of records that change"
    findings.append(Finding(bool(mails or not records), "quick connect mails", detail, advice))
    return findings


def _records(names: Sequence[str], tree: Sequence[str]) -> int:
    """How many labels stand below the tree and are no part of it."""
    own = {fold(path) for path in tree}
    branches = tuple(path + "/" for path in own)
    return sum(1 for name in map(fold, names) if name not in own and name.startswith(branches))
