"""A mail as a person gets and drops it during a demo: into the inbox, then on the label or into the folder of a record.

It goes through the public APIs, like the edits of ``edit``; at Exchange with the person's own password.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path
from random import Random
from typing import Any
from xml.sax.saxutils import quoteattr

import httpx
from lxml import etree

#: Signs in to a Google mailbox with a scope.
SignIn = Callable[[str], str]

_TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
_MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_GMAIL = "https://www.googleapis.com/auth/gmail.modify"

_SENDERS = (
    ("Kim Novak", "kim.novak@novak-works.example"),
    ("Aiko 田中", "aiko@tanaka-trading.example"),
    ("Jürgen Weiß", "weiss@weiss-logistik.example"),
)
_SUBJECTS = (
    "Your offer",
    "Question about delivery",
    "Signed contract",
    "Rückfrage zum Angebot",
    "Meeting notes",
)


class DropError(Exception):
    """The mail cannot be dropped; the text names why and the remedy."""


def run(
    ready: dict[str, Any], client: httpx.Client, user: str, count: int, dice: Random, sign_in: SignIn
) -> Iterator[dict[str, Any]]:
    """Drop ``count`` mails on records of ``user``, whichever mail system has the mailbox; yields what was dropped.

    Yields:
        ``{"side": "mail", "user", "id", "subject", "sender", "dropped_on"}``.

    Raises:
        DropError: the mailbox has no labels or folders of records yet, or the API refused.
    """
    work, records = None, dict[str, str]()
    # A company may have its people in both systems; what counts is where they have folders of records.
    if "exchange" in ready and user in _passwords(ready["exchange"]):
        work = _exchange(client, ready["exchange"], user)
        records = _records(work)
    if not records and "google" in ready:
        work = _google(client, ready["google"], sign_in)
        records = _records(work)
    if work is None or not records:
        raise DropError(
            f"{user} has no labels or folders of records yet; let the policy's first sync make them"
        )
    for _ in range(count):
        mail = _letter(user, dice)
        place = dice.choice(sorted(records))
        identity = work.drop(mail.as_bytes(), records[place])
        yield {
            "side": "mail",
            "user": user,
            "id": identity,
            "subject": str(mail["Subject"]),
            "sender": str(mail["From"]),
            "dropped_on": place,
        }


def _records(work: _Work) -> dict[str, str]:
    """Labels and folders that stand in a branch of a tree: master, branch, record."""
    return {name: one for name, one in work.places().items() if name.count("/") == 2}


def _letter(user: str, dice: Random) -> EmailMessage:
    mail = EmailMessage()
    name, address = dice.choice(_SENDERS)
    mail["Subject"] = f"{dice.choice(_SUBJECTS)} {dice.randint(100, 999)}"
    mail["From"], mail["To"] = formataddr((name, address), "utf-8"), user
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=address.partition("@")[2])
    mail.set_content("Hello,\n\nplease find the details attached.\n\nBest regards\n")
    mail.add_attachment(b"%PDF-1.4 a file\n", maintype="application", subtype="pdf", filename="details.pdf")
    return mail


class _Work:
    """What a person does with a mail."""

    def __init__(self, places: Callable[[], dict[str, str]], drop: Callable[[bytes, str], str]) -> None:
        self.places, self.drop = places, drop


def _checked(answer: httpx.Response, what: str) -> httpx.Response:
    if answer.is_error:
        raise DropError(f"{what}: {answer.status_code} {answer.text[:300]}")
    return answer


def _google(client: httpx.Client, service: dict[str, Any], sign_in: SignIn) -> _Work:
    headers = {"Authorization": f"Bearer {sign_in(_GMAIL)}"}
    root = f"{service['base_url']}/gmail/v1/users/me"

    def places() -> dict[str, str]:
        answer = _checked(client.get(f"{root}/labels", headers=headers), "reading labels").json()
        return {row["name"]: row["id"] for row in answer.get("labels", ()) if row.get("type") != "system"}

    def drop(raw: bytes, place: str) -> str:
        body = {"raw": base64.urlsafe_b64encode(raw).decode(), "labelIds": ["INBOX", "UNREAD"]}
        made = _checked(client.post(f"{root}/messages", json=body, headers=headers), "delivering a mail").json()
        url = f"{root}/messages/{made['id']}/modify"
        _checked(client.post(url, json={"addLabelIds": [place]}, headers=headers), "putting a label on it")
        return str(made["id"])

    return _Work(places, drop)


def _passwords(service: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(service["passwords_file"]).read_text(encoding="utf-8"))
    return found


def _exchange(client: httpx.Client, service: dict[str, Any], user: str) -> _Work:
    login = (user, _passwords(service)[user])

    def call(body: str, what: str) -> Any:
        text = (
            f'<s:Envelope xmlns:s="{_SOAP}" xmlns:m="{_MESSAGES}" xmlns:t="{_TYPES}"><s:Header>'
            f'<t:RequestServerVersion Version="Exchange2016"/></s:Header><s:Body>{body}</s:Body></s:Envelope>'
        )
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        answer = client.post(service["ews_url"], content=text.encode(), headers=headers, auth=login)
        root = etree.fromstring(_checked(answer, what).content)
        codes = {str(one.text) for one in root.iter(f"{{{_MESSAGES}}}ResponseCode")}
        if codes != {"NoError"}:
            raise DropError(f"{what}: {', '.join(sorted(codes))}")
        return root

    def places() -> dict[str, str]:
        root = call(
            '<m:FindFolder Traversal="Deep"><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>'
            '<t:FieldURI FieldURI="folder:DisplayName"/><t:FieldURI FieldURI="folder:ParentFolderId"/>'
            '</t:AdditionalProperties></m:FolderShape><m:ParentFolderIds><t:DistinguishedFolderId Id="msgfolderroot"/>'
            "</m:ParentFolderIds></m:FindFolder>",
            "reading folders",
        )
        names: dict[str, tuple[str, str]] = {}
        for one in root.iter(f"{{{_TYPES}}}Folder"):
            name = str(one.findtext(f"{{{_TYPES}}}DisplayName"))
            above = str(one.find(f"{{{_TYPES}}}ParentFolderId").get("Id"))
            names[str(one.find(f"{{{_TYPES}}}FolderId").get("Id"))] = (name, above)

        def path(identity: str) -> str:
            name, above = names[identity]
            return f"{path(above)}/{name}" if above in names else name

        return {path(one): one for one in names}

    def drop(raw: bytes, place: str) -> str:
        content = base64.b64encode(raw).decode()
        made = call(
            '<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId><t:DistinguishedFolderId Id="inbox"/>'
            f"</m:SavedItemFolderId><m:Items><t:Message><t:MimeContent>{content}</t:MimeContent><t:ExtendedProperty>"
            '<t:ExtendedFieldURI PropertyTag="0x0E07" PropertyType="Integer"/><t:Value>0</t:Value>'
            "</t:ExtendedProperty></t:Message></m:Items></m:CreateItem>",
            "delivering a mail",
        )
        identity = next(made.iter(f"{{{_TYPES}}}ItemId")).get("Id")
        moved = call(
            f"<m:MoveItem><m:ToFolderId><t:FolderId Id={quoteattr(place)}/></m:ToFolderId><m:ItemIds>"
            f"<t:ItemId Id={quoteattr(str(identity))}/></m:ItemIds></m:MoveItem>",
            "moving a mail",
        )
        return str(next(moved.iter(f"{{{_TYPES}}}ItemId")).get("Id"))

    return _Work(places, drop)
