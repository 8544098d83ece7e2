"""What the four mappings share: a row, the context in which it is read, and the refusal to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
"""An sObject as JSON: field name to value, parents as nested mappings."""


@dataclass(frozen=True, slots=True)
class Context:
    """What reading a row needs besides the row.

    Attributes:
        region: two-letter country of phone numbers whose row names no country, or empty.
        link_url: base of the links to records, without a slash at the end.
        activities: most activities that are told of a record.
    """

    region: str = ""
    link_url: str = ""
    activities: int = 0


class Unwritable(Exception):
    """Canonical fields that Salesforce cannot hold; the text says why, for people."""
