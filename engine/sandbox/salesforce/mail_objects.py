"""The objects that hold e-mails in an org: the message, who it went to, and its files.

Names, types and lengths as in the field reference of EmailMessage, EmailMessageRelation and ContentVersion. Once it is
stored, only custom fields of a message can be changed (object reference: ``update()`` of what is no draft).
"""

from __future__ import annotations

from engine.sandbox.salesforce.schema import (
    ObjectDef,
    area,
    boolean,
    build,
    pick,
    plain,
    read_only,
    ref,
    string,
    synced_key,
)

#: Lists of ids that a create turns into relations: field, and the relation's type.
JUNCTIONS = {"ToIds": "ToAddress", "CcIds": "CcAddress", "BccIds": "BccAddress"}

STATUSES = ("0", "1", "2", "3", "4", "5")
"""New, Read, Replied, Sent, Forwarded, Draft."""

EMAIL_MESSAGE = build(
    "EmailMessage", "Email Message", "Email Messages", "02s",
    (
        ref("ParentId", "Case", label="Case ID", children="EmailMessages", updateable=False),
        ref("ActivityId", "Task", label="Activity ID", updateable=False),
        ref("RelatedToId", "Account", "Opportunity", "Case", "Contact", label="Related To ID",
            children="Emails", updateable=False),
        string("Subject", 3000, updateable=False),
        area("TextBody", 131_072, "Text Body", updateable=False),
        area("HtmlBody", 131_072, "HTML Body", updateable=False),
        area("Headers", 32_000, updateable=False),
        string("FromName", 1000, "From Name", updateable=False),
        string("FromAddress", 1000, "From Address", updateable=False),
        string("ToAddress", 4000, "To Address", updateable=False),
        string("CcAddress", 4000, "CC Address", updateable=False),
        string("BccAddress", 4000, "BCC Address", updateable=False),
        boolean("Incoming", "Is Incoming", updateable=False),
        boolean("HasAttachment", "Has Attachment", createable=False, updateable=False),
        pick("Status", STATUSES, nillable=False, default="0", restricted=True, updateable=False),
        plain("MessageDate", "datetime", "Message Date", updateable=False),
        string("MessageIdentifier", 765, "Message ID", updateable=False),
        string("ThreadIdentifier", 765, "Thread ID", updateable=False),
        boolean("IsExternallyVisible", "Is Externally Visible"),
        boolean("IsClientManaged", "Is Client Managed", updateable=False),
        *(plain(name, "junctionidlist", name, stored=False, updateable=False) for name in JUNCTIONS),
        synced_key(),
    ),
    name_field="Subject",
)  # fmt: skip

EMAIL_RELATION = build(
    "EmailMessageRelation", "Email Message Relation", "Email Message Relations", "0CZ",
    (
        ref("EmailMessageId", "EmailMessage", label="Email Message ID", children="EmailMessageRelations",
            nillable=False, updateable=False),
        ref("RelationId", "Contact", "Lead", "User", label="Relation ID", children="EmailMessageRelations", updateable=False),
        pick("RelationType", ("ToAddress", "CcAddress", "BccAddress", "FromAddress", "OtherAddress"), "Relation Type",
             nillable=False, restricted=True, updateable=False),
        string("RelationAddress", 255, "Relation Address", updateable=False),
        read_only(string("RelationObjectType", 50, "Relation Object Type")),
    ),
    name_field="Id",
)  # fmt: skip

CONTENT_DOCUMENT = build(
    "ContentDocument", "Content Document", "Content Documents", "069",
    (
        string("Title", 255, nillable=False),
        plain("ContentSize", "int", "Size"),
        string("FileExtension", 40, "File Extension"),
        ref("LatestPublishedVersionId", "ContentVersion", label="Latest Published Version ID"),
    ),
    name_field="Title",
    writable=False,
)  # fmt: skip

CONTENT_VERSION = build(
    "ContentVersion", "Content Version", "Content Versions", "068",
    (
        string("Title", 255, nillable=False),
        string("PathOnClient", 500, "Path On Client", nillable=False, updateable=False),
        plain("VersionData", "base64", "Version Data", nillable=False, updateable=False),
        ref("FirstPublishLocationId", "EmailMessage", "Opportunity", "Case", "Account", "Contact", "User",
            label="First Publish Location ID", updateable=False),
        read_only(ref("ContentDocumentId", "ContentDocument", label="Content Document ID",
                      children="ContentVersions")),
        read_only(plain("ContentSize", "int", "Size")),
        read_only(string("FileExtension", 40, "File Extension")),
        synced_key(),
    ),
    name_field="Title",
)  # fmt: skip

DOCUMENT_LINK = build(
    "ContentDocumentLink", "Content Document Link", "Content Document Links", "06A",
    (
        ref("ContentDocumentId", "ContentDocument", label="Content Document ID", children="ContentDocumentLinks",
            nillable=False, updateable=False),
        ref("LinkedEntityId", "EmailMessage", "Opportunity", "Case", "Account", "Contact", "User",
            label="Linked Entity ID", children="ContentDocumentLinks", nillable=False, updateable=False),
        pick("ShareType", ("V", "C", "I"), "Share Type", default="V"),
        pick("Visibility", ("AllUsers", "InternalUsers", "SharedUsers"), default="AllUsers"),
    ),
    name_field="Id",
)  # fmt: skip

MAIL_OBJECTS: tuple[ObjectDef, ...] = (
    EMAIL_MESSAGE, EMAIL_RELATION, CONTENT_DOCUMENT, CONTENT_VERSION, DOCUMENT_LINK,
)  # fmt: skip
