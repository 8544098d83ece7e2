"""The quick connect mail: what a person reads, and what a program reads back."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.mailbox.google import quickconnect
from engine.mailbox.google.gmail_names import MAX_NAME, candidates, clean
from engine.model.modules import Module

DEAL = {
    "name": "Acme <renewal> & more",
    "number": "O-1042",
    "stage": "Negotiation",
    "amount": 125000.5,
    "currency": "EUR",
    "close_date": "2026-12-31",
    "account": "Acme GmbH & Co. KG",
    "owner": "Ada Lovelace",
    "contacts": ["Grace Hopper", "Jörg Müller"],
    "next_step": "Call on Monday",
    "description": 'They said "<b>yes</b>"\nand smiled ☺',
    "link": "https://crm.example.org/lightning/r/Opportunity/006/view?a=1&b=2",
}


def mail(module: Module = Module.OPPORTUNITY, **fields: Any) -> EmailMessage:
    identity = quickconnect.message_id(quickconnect.root_of("key"), 0)
    data = quickconnect.render(
        module, fields or DEAL, to="ada@example.org", at_ms=1_790_000_000_000, identity=identity
    )
    return message_from_bytes(data, policy=default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_it_says_who_what_stage_amount_owner_contacts_and_next_step() -> None:
    text = part(mail(), "plain")
    for words in (
        "Opportunity: Acme <renewal> & more",
        "Account:    Acme GmbH & Co. KG",
        "Stage:      Negotiation",
        "Amount:     125,000.50 EUR",
        "Close date: 2026-12-31",
        "Owner:      Ada Lovelace",
        "Contacts:   Grace Hopper, Jörg Müller",
        "Next step:  Call on Monday",
        "Open in the CRM: https://crm.example.org/lightning/r/Opportunity/006/view?a=1&b=2",
        "and smiled ☺",
    ):
        assert words in text


def test_the_html_is_escaped() -> None:
    page = part(mail(), "html")
    assert "Acme &lt;renewal&gt; &amp; more" in page
    assert "&lt;b&gt;yes&lt;/b&gt;" in page
    assert "<b>" not in page
    assert 'href="https://crm.example.org/lightning/r/Opportunity/006/view?a=1&amp;b=2"' in page


def test_only_web_addresses_become_links() -> None:
    page = part(mail(name="X", link="javascript:alert(1)"), "html")
    assert "href" not in page


def test_the_headers_name_the_record_and_cannot_be_broken_by_it() -> None:
    message = mail(Module.CASE, name="Printer\nBcc: everybody@example.org", number="00001026", stage="New")
    assert message["Subject"] == "Case: Printer Bcc: everybody@example.org"
    assert message["Bcc"] is None
    assert message["To"] == "ada@example.org"
    assert message["Message-ID"].startswith("<syncline-")
    assert message["Message-ID"].endswith("-0@quickconnect.syncline.invalid>")
    assert "Status:" in part(message, "plain")


def test_the_same_record_gives_the_same_bytes() -> None:
    assert mail().as_bytes() == mail().as_bytes()


def test_every_line_is_short_and_ends_as_smtp_wants() -> None:
    identity = quickconnect.message_id(quickconnect.root_of("key"), 12)
    for name in ("Ж" * 200, "word " * 60, "=?utf-8?q?trick?="):
        data = quickconnect.render(
            Module.CASE,
            {**DEAL, "name": name},
            to="a@example.org",
            at_ms=0,
            identity=identity,
            in_reply_to="<x@y>",
        )
        assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")
        assert max(map(len, data.split(b"\r\n"))) <= 78
        assert message_from_bytes(data, policy=default)["Subject"] == "Case: " + name.strip()


def test_a_record_without_a_name_is_called_by_its_number() -> None:
    assert mail(Module.CASE, number="00001026")["Subject"] == "Case: 00001026"
    assert mail(Module.CASE, stage="New")["Subject"] == "Case: (case without a name)"


def test_later_mails_join_the_conversation_of_the_first() -> None:
    root = quickconnect.root_of("key")
    first, second = quickconnect.message_id(root, 0), quickconnect.message_id(root, 1)
    data = quickconnect.render(
        Module.CASE, DEAL, to="a@example.org", at_ms=0, identity=second, in_reply_to=first
    )
    message = message_from_bytes(data, policy=default)
    assert (message["Message-ID"], message["In-Reply-To"]) == (second, first)
    assert first != second


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400)


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {"name": texts},
        optional={
            "description": texts,
            "amount": st.floats(0, 1e12),
            "contacts": st.lists(texts, min_size=1, max_size=4),
        },
    )
)
@example({"name": "\r"})
def test_the_fields_can_be_read_back_to_the_letter(fields: dict[str, Any]) -> None:
    assert quickconnect.unpack(quickconnect.pack(fields)) == fields
    message = mail(**fields)
    assert quickconnect.unpack(str(message[quickconnect.RECORD_HEADER])) == fields
    assert not message.defects
    assert message["Subject"] == "Opportunity: " + (
        " ".join(fields["name"].split()) or "(opportunity without a name)"
    )


@pytest.mark.parametrize("damaged", ["", "nonsense", "eJw", "W10=", "é"])
def test_a_damaged_header_is_no_record(damaged: str) -> None:
    assert quickconnect.unpack(damaged) is None


def test_label_names_are_clean_short_and_have_a_second_choice() -> None:
    assert clean(" AC/DC\t tour \x00") == "AC-DC tour"
    names = candidates("CRM/Opportunities", {"name": "AC/DC", "number": "O-7"}, "key")
    assert names[:2] == ("CRM/Opportunities/AC-DC", "CRM/Opportunities/AC-DC (O-7)")
    assert len(names) == 3
    for name in candidates("CRM/Opportunities", {"name": "x" * 300, "number": "O-7"}, "key"):
        assert len(name) <= MAX_NAME
    assert candidates("CRM/Cases", {"number": "00001026"}, "key")[0] == "CRM/Cases/00001026"
    assert candidates("CRM/Cases", {}, "key")[0] == "CRM/Cases/(no name)"
