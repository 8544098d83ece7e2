"""Mails as people send, receive and drop them, and what the CRM shows of them; by plain HTTP."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

from tests.acceptance.town import Town


def letter(
    subject: str,
    *,
    sender: str = "Kim Customer <kim@customer.example>",
    to: str = "ann@acme.example",
    identity: str | None = "",
    text: str = "Hello,\n\nplease see below.\n",
    page: str = "",
    files: Sequence[tuple[str, bytes]] = (),
    headers: Sequence[tuple[str, str]] = (),
    date: str = "Fri, 27 Nov 2026 09:30:00 +0100",
) -> bytes:
    """A mail; ``identity`` None leaves its Message-ID out, empty makes one of the subject."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, sender, to
    if date:
        mail["Date"] = date
    if identity is not None:
        mail["Message-ID"] = f"<{identity or subject.replace(' ', '.')}@customer.example>"
    for name, value in headers:
        mail[name] = value
    mail.set_content(text)
    if page:
        mail.add_alternative(page, subtype="html")
    for name, data in files:
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


def deliver(place: Town, user: str, raw: bytes, *labels: str, thread: str = "") -> dict[str, Any]:
    """Put a mail into a mailbox, in the inbox unless other labels are named; returns its id and thread."""
    body: dict[str, Any] = {
        "raw": base64.urlsafe_b64encode(raw).decode(),
        "labelIds": list(labels or ("INBOX", "UNREAD")),
    }
    if thread:
        body["threadId"] = thread
    found: dict[str, Any] = place.google(user, "POST", "gmail/v1/users/me/messages", json=body)
    return found


def label(place: Town, user: str, mail: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """Put labels on a mail, or take them off, as a person does."""
    body = {"addLabelIds": list(add), "removeLabelIds": list(remove)}
    place.google(user, "POST", f"gmail/v1/users/me/messages/{mail}/modify", json=body)


def labels_of(place: Town, user: str, mail: str) -> set[str]:
    """Names of the labels that a mail carries."""
    names = place.labels(user)
    found = place.google(user, "GET", f"gmail/v1/users/me/messages/{mail}", params={"format": "minimal"})
    return {names.get(one, one) for one in found.get("labelIds", [])}


def drop_label(place: Town, user: str, name: str) -> str:
    """The id of a label by its full name."""
    return next(one for one, own in place.labels(user).items() if own == name)


def record_labels(place: Town, user: str, branch: str = "CRM/Opportunities") -> dict[str, str]:
    """Labels of records below a branch: id by the record's name."""
    return {
        name.removeprefix(branch + "/"): one
        for one, name in place.labels(user).items()
        if name.startswith(branch + "/")
    }


def opportunity(place: Town, name: str) -> str:
    """The CRM id of an opportunity by its name."""
    rows = place.soql("SELECT Id, Name FROM Opportunity")
    return str(next(row["Id"] for row in rows if row["Name"] == name))


MESSAGE = (
    "Id, Subject, TextBody, HtmlBody, FromAddress, ToAddress, CcAddress, Incoming, Status, MessageDate, "
    "MessageIdentifier, ThreadIdentifier, RelatedToId, ParentId, ActivityId, HasAttachment, Headers, Syncline_Key__c"
)


def messages(place: Town, where: str = "") -> list[dict[str, Any]]:
    """E-mails in the CRM."""
    return place.soql(f"SELECT {MESSAGE} FROM EmailMessage" + (f" WHERE {where}" if where else ""))


def files(place: Town, message: str) -> dict[str, bytes]:
    """The files of an e-mail in the CRM, by their titles."""
    rows = place.soql(f"SELECT Id, Title FROM ContentVersion WHERE FirstPublishLocationId = '{message}'")
    service = place.ready["salesforce"]
    found = {}
    for row in rows:
        path = f"/services/data/v{service['api_version']}/sobjects/ContentVersion/{row['Id']}/VersionData"
        answer = place.client.get(
            service["base_url"] + path, headers={"Authorization": f"Bearer {place._crm_token}"}
        )
        found[row["Title"]] = answer.raise_for_status().content
    return found
