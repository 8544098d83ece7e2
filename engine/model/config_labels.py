"""The settings of a policy about its drop labels: their table, and what no single one can tell."""

from __future__ import annotations

import re

from engine.model.config_mail import CREATABLE
from engine.model.config_problems import Collector, join
from engine.model.config_sections import ByModule, ListOf, Section, Setting
from engine.model.config_values import flag, one_of, optional, text, whole
from engine.model.modules import RECORD_MODULES, Module
from engine.model.policy import ClosedRecords, FirstRecords, Labels, RecordLabels, RenamedLabels, Whose

_DEFAULTS = Labels()
_LABEL = text(60, without="/")

_RECORDS = tuple(module for module in Module if module in RECORD_MODULES)

#: What the records of a module can be ordered by: a case has neither a close date nor an amount.
ORDERS = {
    Module.OPPORTUNITY: tuple(FirstRecords),
    Module.CASE: (FirstRecords.KEPT, FirstRecords.CHANGED),
}

#: Fields of a record that the name of its label can hold.
NAME_WORDS = {
    Module.OPPORTUNITY: ("name", "account", "owner", "stage", "close_date"),
    Module.CASE: ("name", "number", "account", "owner", "stage", "priority"),
}

#: Without one of these all labels of an account, say, would have one name.
_OWN = frozenset({"name", "number"})
_WORD = re.compile(r"\{([^{}]*)\}")

_RECORD = Section(
    (
        Setting(
            "whose",
            one_of(Whose),
            "Whose records: the person's own (`mine`), or also those of the person's `team`, which are the active users of the CRM "
            "whose manager is that person.",
            RecordLabels().whose,
        ),
        Setting("open_only", optional(flag()), "Open records alone; as `labels.open_only` unless given.", None),
        Setting(
            "most",
            optional(whole(1, 5000, "records")),
            "Most drop labels of one mailbox; as `labels.max_records` unless given.",
            None,
        ),
        Setting(
            "first",
            one_of(FirstRecords),
            "Which records have one when there are more: those that have one already keep it, those changed last, those that "
            "close first, or those of the largest amount. A record that others push out loses its label, no mail.",
            RecordLabels().first,
        ),
        Setting(
            "name",
            text(120, without="/"),
            "What a label is called. Words in braces are fields of the record: `{name}`, `{account}`, `{owner}`, `{stage}`, "
            "`{close_date}` (opportunities), `{number}` and `{priority}` (cases). Brackets around nothing are left out.",
            RecordLabels().name,
        ),
    ),
)

LABELS = Section(
    (
        Setting("master", _LABEL, "The label above all others.", _DEFAULTS.master),
        Setting(
            "create_new",
            ListOf(one_of(Module, CREATABLE)),
            'Modules that have a "Create New" label.',
            _DEFAULTS.create_new,
        ),
        Setting(
            "assign_to",
            ByModule(_RECORDS, _LABEL, _DEFAULTS.assign_to),
            "Label below which each record of a module has a drop label, by module.",
            _DEFAULTS.assign_to,
        ),
        Setting("open_only", flag(), "Only open records have a drop label.", _DEFAULTS.open_only),
        Setting(
            "max_records",
            whole(1, 5000, "records"),
            "Most drop labels of one mailbox and module; `records` has more.",
            _DEFAULTS.max_records,
        ),
        Setting(
            "closed",
            one_of(ClosedRecords),
            "What becomes of the drop label of a record that is closed: it stays, is kept below *Closed*, or is removed. "
            "Mails under it stay in the mailbox, and filed ones in the CRM.",
            _DEFAULTS.closed,
        ),
        Setting(
            "renamed",
            one_of(RenamedLabels),
            "What becomes of a drop label that a person renamed or moved: the new name holds, or the old one is put back. "
            "Mails under it are filed in any case.",
            _DEFAULTS.renamed,
        ),
        Setting(
            "activities",
            whole(0, 10, "activities"),
            "Most open tasks and coming appointments that the mail in a record's label tells of; 0 for none. They are read along "
            "with the records and cost no call while none of them changes.",
            _DEFAULTS.activities,
        ),
        Setting(
            "records",
            ByModule(_RECORDS, _RECORD, _DEFAULTS.records),
            "Which records of a module have a drop label, by module.",
            _DEFAULTS.records,
        ),
    ),
)


def check_labels(labels: Labels, where: str, problems: Collector) -> None:
    """What no single setting can tell: orders and words that a module does not know, closed records that are shown and removed."""
    for module, chosen in labels.records.items():
        at = f"{where}.labels.records.{module}"
        if chosen.first not in ORDERS[module]:
            problems.add(
                join(at, "first"),
                f"is nothing that a {module} has",
                value=chosen.first.value,
                allowed=", ".join(ORDERS[module]),
            )
        _check_name(chosen.name, module, join(at, "name"), problems)
    if labels.closed is ClosedRecords.REMOVE:
        shown = [module for module in labels.records if not labels.open_records(module)]
        own = [module for module in shown if labels.records[module].open_only is not None]
        places = [f"{where}.labels.records.{module}.open_only" for module in own]
        if len(shown) > len(own):
            places.append(f"{where}.labels.open_only")
        for place in places:
            problems.add(
                place,
                'gives closed records a drop label, which `labels.closed = "remove"` takes away',
                value="false",
                allowed="true, or another value of `labels.closed`",
            )


def _check_name(pattern: str, module: Module, where: str, problems: Collector) -> None:
    words = _WORD.findall(pattern)
    own = ", ".join(f"{{{word}}}" for word in NAME_WORDS[module] if word in _OWN)
    allowed = ", ".join(f"{{{word}}}" for word in NAME_WORDS[module])
    unknown = [word for word in words if word not in NAME_WORDS[module]]
    if unknown:
        problems.add(where, f"has the unknown word {{{unknown[0]}}}", value=pattern, allowed=allowed)
    elif "{" in _WORD.sub("", pattern) or "}" in _WORD.sub("", pattern):
        problems.add(where, "has a brace without its other", value=pattern, allowed=allowed)
    elif not _OWN.intersection(words):
        problems.add(where, "gives many records the same name", value=pattern, allowed=f"a text with {own}")
