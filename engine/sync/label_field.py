"""What the drop label of a record is called: the policy's pattern, carried out as one more field of the record. Pure.

The CRM knows no such field. It is put beside those that it shows whenever a record is planned, so that a label follows its
record, and the policy, as any other field does; what a person calls his label is no business of the planner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.model.canonical import Fields, text
from engine.model.modules import Module
from engine.model.policy import Policy
from engine.sync.reconcile import View

LABEL = "label"

_WORD = re.compile(r"\{([a-z_]+)\}")
_EMPTY = re.compile(r"\(\s*\)|\[\s*\]")
_LOOSE = " -–—·,;:|"


def label_name(policy: Policy, module: Module, fields: Fields) -> str | None:
    """The name by the policy's pattern, not yet as a provider takes it; brackets and dashes around nothing are left out."""
    pattern = policy.labels.records[module].name
    if pattern == "{name}":
        return text(fields.get("name"))
    name = _WORD.sub(lambda found: str(fields.get(found[1]) or ""), pattern)
    return text(" ".join(_EMPTY.sub("", name).split()).strip(_LOOSE))


def given(fields: Fields) -> str | None:
    """The name that a label was given; before there were patterns that was the record's own."""
    return text(fields.get(LABEL) or fields.get("name"))


def with_label(
    policy: Policy, module: Module, base: Mapping[str, Any] | None, crm: View | None, mailbox: View | None
) -> tuple[dict[str, Any] | None, View | None, View | None]:
    """The name of its label beside the other fields of a record, in what was agreed and what both sides show."""
    if crm is not None and crm.live:
        crm = replace(crm, fields={**crm.fields, LABEL: label_name(policy, module, crm.fields)})
    if mailbox is not None and mailbox.live:
        mailbox = replace(mailbox, fields={**mailbox.fields, LABEL: given(mailbox.fields)})
    return None if base is None else {**base, LABEL: given(base)}, crm, mailbox
