"""Label names for CRM records: what Gmail takes, what a person recognises, and what to call the second of two.

Nesting in Gmail is a slash in the name, names are unique without regard to case, and a name has at most 225
characters with its path (users.labels.create refuses more).
"""

from __future__ import annotations

import hashlib
import unicodedata

from engine.model.canonical import Fields, text
from engine.model.port import Write

MAX_NAME = 225


def clean(name: str) -> str:
    """One level of a label's name: slashes become hyphens, control characters and runs of blanks become one blank."""
    visible = "".join(" " if unicodedata.category(letter) in {"Cc", "Cf"} else letter for letter in name)
    return " ".join(visible.replace("/", "-").split())


def fold(name: str) -> str:
    """The form in which Gmail compares names."""
    return name.casefold()


def candidates(path: str, fields: Fields, key: str) -> tuple[str, ...]:
    """Full names for a record's label, the one to try first in front.

    The name that the policy's pattern made (``label``), else the record's; with the record's number, which people know; with a part of our key, which nobody else has.

    Args:
        path: full name of the branch label, ``CRM/Opportunities``.
        fields: the record's canonical fields.
        key: its idempotency key.
    """
    number = clean(text(fields.get("number")) or "")
    short = hashlib.sha256(key.encode()).hexdigest()[:8]
    name = clean(text(fields.get("label") or fields.get("name")) or "") or number or "(no name)"
    suffixes = ["", *([f" ({number})"] if number and number not in name else []), f" ({short})"]
    return tuple(_joined(path, name, suffix) for suffix in suffixes)


def renames(write: Write) -> bool:
    """Whether an update changes what the label is called."""
    return "label" in write.patch or ("name" in write.patch and "label" not in write.fields)


def _joined(path: str, name: str, suffix: str) -> str:
    room = MAX_NAME - len(path) - 1 - len(suffix)
    return f"{path}/{name[: max(room, 1)].rstrip()}{suffix}"
