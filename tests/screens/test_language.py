"""The filter language, its completion, and what a table gives away as a file."""

from __future__ import annotations

import json

import pytest

from tui import export
from tui.filter import completions, parse

KEYS = ("state", "policy", "user")
KNOWN = {"state": ("failed", "initializing", "fault"), "policy": ("sales emea", "support")}
ROW = {
    "state": "failed",
    "policy": "sales emea",
    "user": "ann.berg@example.com",
    "": "ann.berg@example.com sales emea failed",
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ('policy:"sales emea"', True),
        ('policy:"support","sales emea"', True),
        ('-policy:"sales emea"', False),
        ('"ann.berg@example.com sales"', True),
        ('"berg sales"', False),
        ('-"berg sales" state:failed', True),
        ("state:fail", True),
        ("-state:failed", False),
        ('""', True),
    ],
)
def test_quotes_and_negation(text: str, passes: bool) -> None:
    found = parse(text, KEYS, KNOWN)
    assert found.error == ""
    assert found.matches(ROW) is passes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "stat:failed",
            "Unknown filter word 'stat:'. Did you mean state:? Known: state: policy: user: or plain text.",
        ),
        ("state:faild", "No state is called 'faild'. Did you mean failed? Known: failed, initializing, fault."),
        ('policy:"sales', 'A quote is not closed: "two words" need one at both ends.'),
    ],
)
def test_a_bad_filter_says_what_would_be_right(text: str, told: str) -> None:
    found = parse(text, KEYS, KNOWN)
    assert found.error == told
    assert not found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("st", "st" + "ate:"),
        ("state:fa", "state:failed"),
        ("state:failed,in", "state:failed,initializing"),
        ("ann -state:fau", "ann -state:fault"),
        ("state:failed policy:sal", 'state:failed policy:"sales emea"'),
        ('policy:"sal', 'policy:"sales emea"'),
    ],
)
def test_the_last_word_is_completed(text: str, first: str) -> None:
    assert next(iter(completions(text, KEYS, KNOWN))) == first


def test_nothing_is_offered_where_nothing_fits() -> None:
    assert completions("", KEYS, KNOWN) == []
    assert completions("plain", KEYS, KNOWN) == []
    assert completions("state:xyz", KEYS, KNOWN) == []


def test_csv_holds_no_formula() -> None:
    text = export.as_csv(("Name", "Rate"), [('=HYPERLINK("x")', "-"), ("@cmd", "-5"), ('a "b", c', "+1,204")])
    assert text == 'Name,Rate\r\n"\'=HYPERLINK(""x"")",-\r\n\'@cmd,-5\r\n"a ""b"", c","+1,204"\r\n'


def test_json_has_a_key_for_each_column() -> None:
    assert json.loads(export.as_json(("Mailbox", "Next sync"), [("ann", "now")])) == [
        {"mailbox": "ann", "next_sync": "now"}
    ]
