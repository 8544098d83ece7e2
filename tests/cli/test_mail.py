"""``syncline mail`` says what was filed and what was not; its words are those of the engine."""

from __future__ import annotations

from engine.service import FILED_STATES, FiledRow
from tests.screens.test_filed import FILED
from tui import filing_options
from tui.cli import parse
from tui.filing import mail_text


def test_the_states_are_those_of_the_engine() -> None:
    assert filing_options.STATES == FILED_STATES


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
