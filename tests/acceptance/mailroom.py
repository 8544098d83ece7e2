"""Exchange as people and their programs use it: plain SOAP with their own passwords, and nothing of the engine's connector."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from tests.acceptance.town import Town

TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
T, M = f"{{{TYPES}}}", f"{{{MESSAGES}}}"

#: The property set of what Syncline leaves on items (docs/exchange.md).
GUID = "7f1c9a4e-52d0-4a6b-9e37-c0d1a8b64f25"
SERVICES = ("--services", "salesforce,exchange")

#: What of Exchange's operations changes something.
CHANGING = frozenset(
    {
        "CreateItem",
        "UpdateItem",
        "DeleteItem",
        "MoveItem",
        "CreateFolder",
        "UpdateFolder",
        "DeleteFolder",
        "SendItem",
    }
)


def own(name: str) -> str:
    """The path of a property that Syncline leaves."""
    return f'<t:ExtendedFieldURI PropertySetId="{GUID}" PropertyName="{name}" PropertyType="String"/>'


@dataclass(frozen=True)
class Item:
    """An item as its owner's program shows it.

    Attributes:
        id, version: Exchange's.
        key: the mark of ours, empty on a person's own.
        shown: texts of its properties by name.
        node: its element.
    """

    id: str
    version: str
    key: str
    shown: Mapping[str, str]
    node: Any

    @property
    def record(self) -> str:
        """The CRM record that it mirrors."""
        return self.key.split(".")[1] if self.key else ""


@dataclass
class Mailroom:
    """The mailboxes of a town whose mail system is Exchange."""

    place: Town
    _passwords: dict[str, str] = field(default_factory=dict)

    @property
    def service(self) -> Mapping[str, Any]:
        """Addresses of the server."""
        found: Mapping[str, Any] = self.place.ready["exchange"]
        return found

    def password(self, name: str) -> str:
        """Somebody's password."""
        if not self._passwords:
            self._passwords = json.loads(Path(self.service["passwords_file"]).read_text(encoding="utf-8"))
        return self._passwords[name]

    def config(self, policy: str = "", mail: Mapping[str, Any] | None = None, users: Sequence[str] = ()) -> str:
        """The declarative file for this town.

        Args:
            policy: further lines of the policy, below its head.
            mail: other settings of the mail connection.
            users: addresses; all of the town when empty.
        """
        account = str(self.service["service_account"])
        file = self.place.ready_file.parent / "exchange-password.txt"
        file.write_text(self.password(account), encoding="utf-8")
        settings = {
            "kind": "exchange",
            "url": self.service["ews_url"],
            "version": self.service["version"],
            "username": account,
            "password_file": str(file),
            **(mail or {}),
        }
        salesforce = self.place.ready["salesforce"]
        org = {
            "kind": "salesforce",
            "login_url": salesforce["base_url"],
            "client_id": salesforce["client_id"],
            "client_secret_file": salesforce["client_secret_file"],
            "link_url": "https://crm.example",
        }
        lines: list[str] = []
        for name, values in (("connections.crm", org), ("connections.mail", settings)):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        lines += ["[policies.Demo]", 'crm = "crm"', 'mailbox = "mail"', policy]
        for email in users or self.place.users:
            lines += ["[[users]]", f'email = "{email}"', 'policy = "Demo"']
        return "\n".join(lines) + "\n"

    # -- calls -----------------------------------------------------------------------------------------

    def call(self, user: str, body: str) -> Any:
        """One operation as a person; the element of its answer. Anything but success fails the test."""
        text = (
            f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Header>'
            '<t:RequestServerVersion Version="Exchange2016"/><t:TimeZoneContext><t:TimeZoneDefinition Id="UTC"/>'
            f"</t:TimeZoneContext></s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
        answer = self.place.client.post(
            self.service["ews_url"],
            content=text.encode(),
            headers={"Content-Type": "text/xml; charset=utf-8"},
            auth=(user, self.password(user)),
        )
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        element = etree.fromstring(answer.content).find(f"{{{SOAP}}}Body")[0]
        codes = {str(one.text) for one in element.iter(f"{M}ResponseCode")}
        assert codes == {"NoError"}, etree.tostring(element).decode()[:800]
        return element

    def folder_items(self, user: str, folder: str) -> list[Item]:
        """All items of a folder, series as masters, with all that they show."""
        found: list[tuple[str, str]] = []
        while True:
            answer = self.call(
                user,
                '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>'
                f'<m:IndexedPageItemView MaxEntriesReturned="500" Offset="{len(found)}" BasePoint="Beginning"/>'
                f"<m:ParentFolderIds>{reference(folder)}</m:ParentFolderIds></m:FindItem>",
            )
            page = [(one.get("Id"), one.get("ChangeKey")) for one in answer.iter(f"{T}ItemId")]
            found += page
            root = next(answer.iter(f"{M}RootFolder"))
            if not page or root.get("IncludesLastItemInRange") == "true":
                return self.get(user, [identity for identity, _ in found])

    def get(self, user: str, ids: Sequence[str]) -> list[Item]:
        """Items by id."""
        if not ids:
            return []
        answer = self.call(
            user,
            "<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape><t:BodyType>Text</t:BodyType>"
            "<t:AdditionalProperties>"
            + own("CrmKey")
            + own("CrmKind")
            + "</t:AdditionalProperties></m:ItemShape>"
            "<m:ItemIds>" + "".join(f'<t:ItemId Id="{one}"/>' for one in ids) + "</m:ItemIds></m:GetItem>",
        )
        return [_item(node) for holder in answer.iter(f"{M}Items") for node in holder]

    def calendar(self, user: str) -> list[Item]:
        """A person's own calendar."""
        return self.folder_items(user, "calendar")

    def contacts(self, user: str) -> list[Item]:
        """A person's contacts."""
        return self.folder_items(user, "contacts")

    def tasks(self, user: str) -> list[Item]:
        """A person's tasks."""
        return self.folder_items(user, "tasks")

    def folders(self, user: str, parent: str = "msgfolderroot") -> dict[str, str]:
        """Folders directly below one: id by name."""
        answer = self.call(
            user,
            '<m:FindFolder Traversal="Shallow"><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>'
            f"<m:ParentFolderIds>{reference(parent)}</m:ParentFolderIds></m:FindFolder>",
        )
        return {
            str(one.findtext(f"{T}DisplayName")): str(one.find(f"{T}FolderId").get("Id"))
            for one in next(answer.iter(f"{T}Folders"))
        }

    def create(self, user: str, folder: str, item: str) -> str:
        """A person makes an item; returns its id."""
        answer = self.call(
            user,
            '<m:CreateItem MessageDisposition="SaveOnly" SendMeetingInvitations="SendToNone"><m:SavedItemFolderId>'
            f"{reference(folder)}</m:SavedItemFolderId><m:Items>{item}</m:Items></m:CreateItem>",
        )
        return str(next(answer.iter(f"{T}ItemId")).get("Id"))

    def change(self, user: str, item: Item | str, kind: str, **texts: str) -> None:
        """A person edits properties of an item: ``change(user, item, "Task", Subject="x")``; names are those of EWS."""
        identity = item if isinstance(item, str) else item.id
        updates = "".join(
            f'<t:SetItemField><t:FieldURI FieldURI="{_FAMILY.get(name, _FAMILIES[kind])}:{name}"/>'
            f"<t:{kind}><t:{name}>{escape(text)}</t:{name}></t:{kind}></t:SetItemField>"
            for name, text in texts.items()
        )
        self.call(
            user,
            '<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly" '
            'SendMeetingInvitationsOrCancellations="SendToNone"><m:ItemChanges><t:ItemChange>'
            f'<t:ItemId Id="{identity}"/><t:Updates>{updates}</t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>',
        )

    def remove(self, user: str, *items: Item | str) -> None:
        """A person deletes items."""
        ids = "".join(f'<t:ItemId Id="{one if isinstance(one, str) else one.id}"/>' for one in items)
        self.call(
            user,
            '<m:DeleteItem DeleteType="MoveToDeletedItems" SendMeetingCancellations="SendToNone" '
            f'AffectedTaskOccurrences="AllOccurrences"><m:ItemIds>{ids}</m:ItemIds></m:DeleteItem>',
        )

    # -- mails -----------------------------------------------------------------------------------------

    def deliver(self, user: str, raw: bytes, folder: str = "inbox") -> str:
        """Put a mail into a folder as it comes from elsewhere: unread in the inbox; returns its id."""
        read = "0" if folder == "inbox" else "1"
        flags = f'<t:ExtendedFieldURI PropertyTag="0x0E07" PropertyType="Integer"/><t:Value>{read}</t:Value>'
        return self.create(
            user,
            folder,
            f'<t:Message><t:MimeContent CharacterSet="UTF-8">{base64.b64encode(raw).decode()}</t:MimeContent>'
            f"<t:ExtendedProperty>{flags}</t:ExtendedProperty></t:Message>",
        )

    def move(self, user: str, folder: str, *mails: str, copy: bool = False) -> list[str]:
        """A person drags mails into a folder; returns the ids that they have there."""
        operation = "CopyItem" if copy else "MoveItem"
        ids = "".join(f'<t:ItemId Id="{one}"/>' for one in mails)
        answer = self.call(
            user,
            f"<m:{operation}><m:ToFolderId>{reference(folder)}</m:ToFolderId><m:ItemIds>{ids}</m:ItemIds></m:{operation}>",
        )
        return [str(one.get("Id")) for one in answer.iter(f"{T}ItemId")]

    def move_folder(self, user: str, to: str, folder: str) -> None:
        """A person drags a folder into another one."""
        self.call(
            user,
            f"<m:MoveFolder><m:ToFolderId>{reference(to)}</m:ToFolderId>"
            f"<m:FolderIds>{reference(folder)}</m:FolderIds></m:MoveFolder>",
        )

    def rename_folder(self, user: str, folder: str, name: str) -> None:
        """A person gives a folder another name."""
        self.call(
            user,
            f"<m:UpdateFolder><m:FolderChanges><t:FolderChange>{reference(folder)}<t:Updates><t:SetFolderField>"
            f'<t:FieldURI FieldURI="folder:DisplayName"/><t:Folder><t:DisplayName>{escape(name)}</t:DisplayName></t:Folder>'
            "</t:SetFolderField></t:Updates></t:FolderChange></m:FolderChanges></m:UpdateFolder>",
        )

    def record_folders(self, user: str, branch: str = "CRM/Opportunities") -> dict[str, str]:
        """Folders of records in a branch: id by the record's name."""
        return {
            path.removeprefix(branch + "/"): one
            for path, one in self.tree(user).items()
            if path.startswith(branch + "/")
        }

    def subjects(self, user: str, folder: str) -> list[str]:
        """Subjects of the mails in a folder, those of ours left out."""
        return sorted(one.shown.get("Subject", "") for one in self.folder_items(user, folder) if not one.key)

    def occurrence(self, user: str, series: Item | str, number: int) -> Item:
        """The n-th occurrence of a series."""
        identity = series if isinstance(series, str) else series.id
        answer = self.call(
            user,
            "<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape></m:ItemShape><m:ItemIds>"
            f'<t:OccurrenceItemId RecurringMasterId="{identity}" InstanceIndex="{number}"/></m:ItemIds></m:GetItem>',
        )
        return _item(next(iter(next(answer.iter(f"{M}Items")))))

    # -- what a mailbox looks like -----------------------------------------------------------------------

    def portrait(self, user: str) -> Counter[str]:
        """All that a person sees, without ids and stamps: equal portraits, equal mailboxes."""
        found: Counter[str] = Counter()
        for name in ("calendar", "contacts", "tasks"):
            for item in self.folder_items(user, name):
                seen = {key: text for key, text in item.shown.items() if key not in MOVING}
                found[f"{name} {json.dumps(seen, sort_keys=True, ensure_ascii=False)}"] += 1
        for path, identity in self.tree(user).items():
            found[f"folder {path}"] += 1
            for item in self.folder_items(user, identity):
                found[f"mail in {path}: {item.shown.get('Subject')}"] += 1
        return found

    def tree(self, user: str) -> dict[str, str]:
        """The folder tree below *CRM*: id by path."""
        found: dict[str, str] = {}
        waiting = {"CRM": self.folders(user).get("CRM", "")}
        while waiting:
            path, identity = waiting.popitem()
            if identity:
                found[path] = identity
                waiting |= {f"{path}/{name}": one for name, one in self.folders(user, identity).items()}
        return found

    def own_things(self, user: str) -> dict[str, str]:
        """The person's own items by id, byte for byte."""
        return {
            item.id: etree.tostring(item.node).decode()
            for name in ("calendar", "contacts", "tasks")
            for item in self.folder_items(user, name)
            if not item.key
        }

    def shown(self, user: str, record: str) -> Item:
        """The one item of a mailbox that mirrors a record."""
        [item] = [
            one
            for name in ("calendar", "contacts", "tasks")
            for one in self.folder_items(user, name)
            if one.record == record
        ]
        return item

    def writes(self) -> dict[str, int]:
        """Operations that change something, at either provider, since the last reset."""
        return {
            name: count
            for name, count in self.place.stats().items()
            if name.removeprefix("exchange.") in CHANGING
            or name.startswith(("salesforce.PATCH", "salesforce.DELETE", "salesforce.POST"))
        }

    def asked(self) -> dict[str, int]:
        """Exchange's operations since the last reset."""
        return {
            name.removeprefix("exchange."): count
            for name, count in self.place.stats().items()
            if name.startswith("exchange.") and name.removeprefix("exchange.")[0].isupper()
        }

    def assert_no_doubles(self) -> None:
        """Each mark once in each mailbox, each folder with one mail, and each key once in the CRM."""
        for user in self.place.users:
            marks = Counter(
                item.key
                for name in ("calendar", "contacts", "tasks")
                for item in self.folder_items(user, name)
                if item.key
            )
            for path, identity in self.tree(user).items():
                if path.count("/") > 1:
                    marks[f"mails in {path}"] = len(self.folder_items(user, identity))
            assert {mark: count for mark, count in marks.items() if count != 1} == {}, user
        for name in ("Contact", "Lead", "Event", "Task", "Opportunity", "Case"):
            rows = self.place.soql(f"SELECT Id, Syncline_Key__c FROM {name} WHERE Syncline_Key__c != null")
            keys = Counter(row["Syncline_Key__c"] for row in rows)
            assert not [key for key, count in keys.items() if count > 1]


#: What changes although nobody edits the item.
MOVING = frozenset(
    {
        "ItemId",
        "ParentFolderId",
        "ConversationId",
        "InstanceKey",
        "LastModifiedTime",
        "LastModifiedName",
        "DateTimeReceived",
        "DateTimeCreated",
        "DateTimeSent",
        "DateTimeStamp",
        "Size",
        "UID",
        "ExtendedProperty",
        "FirstOccurrence",
        "LastOccurrence",
        "EffectiveRights",
        "WebClientReadFormQueryString",
        "WebClientEditFormQueryString",
        "StoreEntryId",
        "SearchKey",
        "ChangeCount",
        "AdjacentMeetingCount",
        "ConflictingMeetingCount",
        "AdjacentMeetings",
        "ConflictingMeetings",
        "AppointmentSequenceNumber",
    }
)
_FAMILIES = {"CalendarItem": "calendar", "Contact": "contacts", "Task": "task"}
_FAMILY = {"Subject": "item", "Sensitivity": "item"}


def reference(folder: str) -> str:
    """The id element of a folder; lower-case words are Exchange's own names."""
    kind = "DistinguishedFolderId" if folder.isalpha() and folder.islower() else "FolderId"
    return f'<t:{kind} Id="{folder}"/>'


def _item(node: Any) -> Item:
    identity = node.find(f"{T}ItemId")
    extended = {
        str(one.find(f"{T}ExtendedFieldURI").get("PropertyName")): str(one.findtext(f"{T}Value"))
        for one in node.findall(f"{T}ExtendedProperty")
    }
    shown = {
        child.tag.rpartition("}")[2]: " ".join("".join(child.itertext()).split())
        or json.dumps(dict(child.attrib), sort_keys=True)
        for child in node
    }
    return Item(
        str(identity.get("Id")), str(identity.get("ChangeKey")), extended.get("CrmKey", ""), shown, node
    )
