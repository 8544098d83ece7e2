"""The settings of a policy about mails that are filed: their table, and what no single one can tell."""

from __future__ import annotations

import re

from engine.model.canonical import FIELDS, Kind
from engine.model.config_problems import Collector, join
from engine.model.config_sections import ByModule, ByName, ListOf, Section, Setting
from engine.model.config_values import domain, email, flag, one_of, text, whole
from engine.model.modules import Module
from engine.model.policy import AfterFiling, Files, MailFiling

_DEFAULTS = MailFiling()
_LABEL = text(60, without="/")

#: Modules that a mail can be made into.
CREATABLE = (Module.CASE, Module.OPPORTUNITY, Module.LEAD, Module.CONTACT)

#: Words that a field's rule may have in braces; ``{date+30}`` is the day of the mail and thirty days more.
WORDS = ("subject", "text", "name", "first", "last", "address", "domain", "company", "date")
_WORD = re.compile(r"\{([^{}]*)\}")
_DATE = re.compile(r"date(?:\+\d{1,3})?")

#: Kinds of field that a line of text can fill.
_SIMPLE = frozenset({Kind.TEXT, Kind.EMAIL, Kind.DATE, Kind.NUMBER})

MAIL = Section(
    (
        Setting("enabled", flag(), "Whether mails that people put under a drop label are filed.", True),
        Setting(
            "after",
            one_of(AfterFiling),
            "What becomes of the drop label of a mail that is filed: it stays, it is taken off, or the mail moves to the "
            "label named by `filed`.",
            _DEFAULTS.after,
        ),
        Setting("filed", _LABEL, "That label, below the master label.", _DEFAULTS.filed),
        Setting(
            "missing",
            _LABEL,
            'The label, below the master label, of a mail on a "Create New" label that lacks what a record needs.',
            _DEFAULTS.missing,
        ),
        Setting(
            "follow",
            flag(),
            "Whether later mails of a conversation that was filed are filed as well.",
            _DEFAULTS.follow,
        ),
        Setting(
            "unfile",
            flag(),
            "Whether a mail is taken out of the CRM when its drop label is taken off.",
            _DEFAULTS.unfile,
        ),
        Setting(
            "private",
            flag(),
            "Whether mails marked private or confidential are read and filed. Otherwise nothing but their headers is read.",
            _DEFAULTS.private,
        ),
        Setting(
            "inbox",
            flag(),
            "Whether mails that arrive from contacts and leads of the CRM are filed to them by themselves.",
            _DEFAULTS.inbox,
        ),
        Setting("sent", flag(), "Whether mails sent to them are filed to them by themselves.", _DEFAULTS.sent),
        Setting(
            "attachments",
            one_of(Files),
            "Attachments are stored with the e-mail in the CRM, listed in its text, or left out.",
            _DEFAULTS.attachments,
        ),
        Setting(
            "attachment_mb",
            whole(0, 35, "megabytes"),
            "The largest attachment that is stored; larger ones are listed.",
            _DEFAULTS.attachment_mb,
        ),
        Setting(
            "mail_mb",
            whole(1, 150, "megabytes"),
            "The largest mail that is filed; larger ones are refused, and shown as such.",
            _DEFAULTS.mail_mb,
        ),
        Setting("exclude_addresses", ListOf(email(), most=1000), "Mails from or to these are never filed.", ()),
        Setting(
            "exclude_domains",
            ListOf(domain(), most=1000),
            "Nor those from or to these domains and their subdomains.",
            (),
        ),
        Setting(
            "create",
            ByModule(CREATABLE, ByName(text(500, empty=True), "fields"), _DEFAULTS.create),
            'What the fields of a record are made of, for the "Create New" labels. Words in braces come from the mail: '
            + ", ".join(f"`{{{word}}}`" for word in WORDS)
            + " (of its sender; `{date+30}` is thirty days later). A module that is named has the fields that are named.",
            _DEFAULTS.create,
        ),
    ),
)


def check_mail(mail: MailFiling, where: str, problems: Collector) -> None:
    """What no single setting can tell: the fields and words of the rules for new records, two labels of one name."""
    if mail.filed.casefold() == mail.missing.casefold():
        problems.add(f"{where}.mail.missing", "is the name of two labels", allowed="another name than `filed`")
    for module, rules in mail.create.items():
        at = f"{where}.mail.create.{module}"
        for name, rule in rules.items():
            simple = [each for each, field in FIELDS[module].items() if field.kind in _SIMPLE]
            if name not in simple:
                problems.unknown(join(at, name), name, simple, f"field of the module {module}")
            for found in _WORD.findall(rule):
                if found not in WORDS and not _DATE.fullmatch(found):
                    problems.add(
                        join(at, name),
                        f"has the unknown word {{{found}}}",
                        value=rule,
                        allowed=", ".join(f"{{{word}}}" for word in WORDS),
                    )
