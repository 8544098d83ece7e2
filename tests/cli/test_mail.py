"""``syncline mail`` says what was filed and what was not; its words are those of the engine."""

from __future__ import annotations

from engine.service import FILED_STATES, Explanation, Fact, FiledRow, Hit, Item, Section
from tests.screens.test_filed import FILED
from tui import filing_options
from tui.cli import parse
from tui.filing import mail_text
from tui.format import module_word
from tui.why import explanation_text


def test_the_states_are_those_of_the_engine() -> None:
    assert filing_options.STATES == FILED_STATES


def test_a_mail_explained_is_called_a_mail() -> None:
    hit = Hit(None, "a@b.example", "mail", "Offer", "refused", "too large", "mailbox", "m1")
    item = Item(
        hit, "Sales", "It was not filed: too large.", "fault", (), (Section("How", (Fact("Why", "dropped"),)),)
    )
    assert explanation_text(Explanation("mail#1", item=item)).startswith("mail")
    assert module_word("opportunity") == "opportunities"


def test_words_of_the_command() -> None:
    given = parse(["mail", "--mailbox", "a@b.example", "--state", "refused", "--words", "offer"])
    assert (given.mailbox, given.state, given.words, given.retry) == ("a@b.example", ["refused"], "offer", None)
    assert parse(["mail", "--retry", "5", "7"]).retry == [5, 7]


def test_the_table_says_why() -> None:
    rows: list[FiledRow] = FILED
    text = mail_text(rows, None)
    assert "it is marked private, and the policy leaves such mails unread" in text
    assert "mail --retry ID" in text
    assert "no mail was put" in mail_text([], None)
