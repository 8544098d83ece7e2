"""Exchange's task and canonical fields. Its due date is a moment; to people and to us it is a day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engine.mailbox.exchange import props, zones
from engine.mailbox.exchange.xml import T, element, field, flag_of, leaf, text_of, time_of
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Account, Observation, Write

ITEM = "t:Task"

SHAPE = props.shape(
    (
        "item:Subject",
        "item:Body",
        "item:Categories",
        "item:LastModifiedTime",
        "task:DueDate",
        "task:IsComplete",
        "task:Status",
    )
)


def observe(node: Any, account: Account) -> Observation | None:
    """One task; ``None`` for what is none (a task request)."""
    identity, version = props.id_of(node)
    if not identity or node.tag != f"{T}Task":
        return None
    extended = props.extended_of(node)
    fields = {
        "subject": canonical.text(text_of(node, "Subject")),
        "body": canonical.text(text_of(node, "Body")),
        "due": due_of(text_of(node, "DueDate"), account),
        "done": text_of(node, "Status") == "Completed" or flag_of(node, "IsComplete"),
    }
    return Observation(
        remote_id=identity,
        module=Module.TASK,
        fields=canonical.compact(fields),
        etag=version or None,
        marker=extended.get(props.KEY) or None,
        modified=props.modified_of(node),
        containers=tuple(props.container(name) for name in props.categories_of(node)),
        native={"kind": extended.get(props.KIND, "")},
    )


def due_of(value: str, account: Account) -> str | None:
    """The day of a due date: midnight in UTC as Exchange keeps it, or where the person is, as some clients write it."""
    at = time_of(value) if value else None
    if at is None:
        return None
    local = at.astimezone(zones.info(account.zone))
    if (at.hour, at.minute) != (0, 0) and (local.hour, local.minute) in {(0, 0), (1, 0), (23, 0)}:
        return (local + timedelta(hours=1)).date().isoformat()
    return at.date().isoformat()


def create(write: Write, account: Account) -> str:
    """The ``t:Task`` of a create, in the order that types.xsd demands."""
    fields = write.fields
    out = leaf("t:Subject", fields.get("subject") or "")
    if fields.get("body"):
        out += leaf("t:Body", fields["body"], BodyType="Text")
    out += props.marks(write.key, write.module.value)
    if fields.get("due"):
        out += leaf("t:DueDate", f"{fields['due']}T00:00:00Z")
    out += leaf("t:Status", _status(fields.get("done")))
    return element(ITEM, out)


def changes(write: Write, account: Account) -> str:
    """The field changes of an update."""
    out = []
    for name in sorted(write.patch):
        value = write.patch[name]
        match name:
            case "subject":
                out.append(_change("item:Subject", leaf("t:Subject", value or "")))
            case "body":
                out.append(_change("item:Body", leaf("t:Body", value, BodyType="Text") if value else None))
            case "due":
                due = leaf("t:DueDate", f"{value}T00:00:00Z") if value else None
                out.append(_change("task:DueDate", due))
            case "done":
                out.append(_change("task:Status", leaf("t:Status", _status(value))))
    return "".join(out)


def _change(uri: str, value: str | None) -> str:
    if value is None:
        return element("t:DeleteItemField", field(uri))
    return element("t:SetItemField", field(uri) + element(ITEM, value))


def _status(done: Any) -> str:
    return "Completed" if done else "NotStarted"
