"""Google's task document and canonical fields.

A task has no hidden property, so our marker is the last line of its notes: ``[CRM:<key>]``. It is no part of the
canonical text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.mailbox.google.calendar_read import milliseconds
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.modules import Module
from engine.model.port import Observation, Write, WriteKind

#: Longest title and notes, in characters (discovery document tasks.v1).
TITLE_MAX = 1024
NOTES_MAX = 8192

#: What ends a text that did not fit.
SHORTENED = "\n(shortened, see CRM)"

_MARKER = re.compile(r"^\[CRM:([^\]\n]+)\][ \t]*$", re.MULTILINE)


def observe(task: Mapping[str, Any]) -> Observation:
    """One task of the feed."""
    if task.get("deleted"):
        return Observation(
            task["id"],
            Module.TASK,
            etag=task.get("etag"),
            deleted=True,
            modified=milliseconds(task.get("updated")),
        )
    body, marker = split_notes(task.get("notes"))
    fields = {
        "subject": canonical.text(task.get("title")),
        "body": body,
        # Google keeps the day alone; the time of day is always midnight UTC.
        "due": str(task["due"])[:10] if task.get("due") else None,
        "done": task.get("status") == "completed",
    }
    return Observation(
        remote_id=task["id"],
        module=Module.TASK,
        fields=canonical.compact(fields),
        etag=task.get("etag"),
        marker=marker,
        modified=milliseconds(task.get("updated")),
        native={"marker": marker} if marker else {},
    )


def split_notes(notes: str | None) -> tuple[str | None, str | None]:
    """Canonical notes and our key, wherever in the notes people have moved its line."""
    if not notes:
        return None, None
    text = notes.replace("\r\n", "\n").replace("\r", "\n")
    found = _MARKER.search(text)
    if found is None:
        return canonical.text(text), None
    return canonical.text(text[: found.start()] + text[found.end() :]), found.group(1)


def join_notes(body: str | None, marker: str | None) -> str | None:
    """Notes as Google shall hold them: the text, shortened if it must be, and the marker's line below it."""
    line = f"[CRM:{marker}]" if marker else ""
    text = body or ""
    room = NOTES_MAX - (len(line) + 2 if line else 0)
    if _length(text) > room:
        text = _cut(text, room - len(SHORTENED)).rstrip() + SHORTENED
    return "\n\n".join(part for part in (text, line) if part) or None


def _length(text: str) -> int:
    """Characters as Google counts them, UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def _cut(text: str, units: int) -> str:
    return text.encode("utf-16-le")[: units * 2].decode("utf-16-le", "ignore")


def fault(write: Write) -> str | None:
    """Why Google would refuse this task whatever we do; ``None`` when it would not."""
    subject = write.patch.get("subject", write.fields.get("subject"))
    if subject and _length(subject) > TITLE_MAX:
        return f"the subject has {_length(subject)} characters; Google Tasks takes at most {TITLE_MAX}"
    return None


def body_of(write: Write) -> dict[str, Any]:
    """The document of an insert, or of a patch that names only what changes (``None`` clears)."""
    if write.kind is WriteKind.CREATE:
        body = _body(write.fields, write.key, names={"subject", "due", "done"} & set(write.fields))
        body["notes"] = join_notes(write.fields.get("body"), write.key)
        return {name: value for name, value in body.items() if value is not None}
    marker = (write.native or {}).get("marker")
    return _body(write.patch, marker, names=set(write.patch))


def _body(fields: Fields, marker: str | None, *, names: set[str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name in sorted(names):
        value = fields.get(name)
        match name:
            case "subject":
                body["title"] = value or ""
            case "body":
                body["notes"] = join_notes(value, marker)
            case "due":
                body["due"] = f"{value}T00:00:00.000Z" if value else None
            case "done":
                body["status"] = "completed" if value else "needsAction"
                if not value:
                    body["completed"] = None
    return body
