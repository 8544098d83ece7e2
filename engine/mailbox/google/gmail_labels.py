"""The label tree of a policy: made once, adopted by name, read back for the checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.mailbox.google.gmail_mails import count_mails
from engine.mailbox.google.gmail_names import fold
from engine.mailbox.google.settings import Api
from engine.model.port import Account, Finding

#: Statuses of a create that concern its name: not allowed, or taken.
_ABOUT_THE_NAME = frozenset({400, 409})


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
    return made_by_people(
        await client.execute(client.gmail.users.labels.list(userId="me"), account, idempotent=True)
    )


def made_by_people(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The labels in an answer of ``labels.list`` that are none of Gmail's own."""
    return [label for label in answer.get("labels") or () if label.get("type") != "system"]


async def ensure_labels(
    client: GoogleClient, account: Account, labels: Sequence[str], known: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Make the labels that are missing, all in one batch.

    A label is recognised by its full name (without case), then by the id of an earlier call: a person who renamed it
    keeps the new name. The labels of a mailbox of which nothing is known are made without looking: Gmail refuses a name
    that is taken (409), and only then is the list read. Parents need not stand before their children, they are labels
    like any other; Gmail does not make them by itself.

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
    present = await list_labels(client, account) if any(logical_name(path) in known for path in labels) else []
    found = {path: find(present, path, known.get(logical_name(path))) for path in labels}
    made, refused = await _create(client, account, [path for path in found if found[path] is None])
    if refused:
        present = await list_labels(client, account)
    for path, error in refused.items():
        found[path] = find(present, path, None)
        if found[path] is None:
            raise HttpFailure(
                error.api,
                error.kind,
                f"the label {path!r} cannot be made: {error.detail}",
                status=error.status or 0,
                reason=error.reason,
                advice="Choose another name in the policy; Gmail keeps some names for itself",
            ) from None
    ids = {logical_name(path): made.get(path) or str(label) for path, label in found.items()}
    return ids, [logical_name(path) for path in made]


async def _create(
    client: GoogleClient, account: Account, paths: Sequence[str]
) -> tuple[dict[str, str], dict[str, HttpFailure]]:
    """Make labels: ids by path, and the refusals of names that are taken (409) or not allowed (400)."""
    labels = client.gmail.users.labels
    requests = [labels.create(userId="me", body=new_label(path)) for path in paths]
    parts = await client.execute_batch(Api.GMAIL, requests, account)
    made: dict[str, str] = {}
    refused: dict[str, HttpFailure] = {}
    for path, part in zip(paths, parts, strict=True):
        error = part.error
        if part.ok:
            made[path] = str(part.body["id"])
        elif isinstance(error, HttpFailure) and error.status in _ABOUT_THE_NAME:
            refused[path] = error
        else:
            # Throttled, lost or unclear: once more by itself. The unique name makes a repeat harmless.
            again = labels.create(userId="me", body=new_label(path))
            try:
                made[path] = str((await client.execute(again, account, idempotent=True))["id"])
            except HttpFailure as failure:
                if failure.status not in _ABOUT_THE_NAME:
                    raise
                refused[path] = failure
    return made, refused


def find(present: Sequence[Mapping[str, Any]], path: str, earlier: str | None) -> str | None:
    """The id of a label by its path, else the one of an earlier call if it is still there."""
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
            other = find(present, path, None)
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
