"""Filter, numbers, times and painting: the pure parts."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from engine.service import Module
from tests.screens.fake import NOW, ZONE
from tui import format as form
from tui import signs
from tui.filter import parse
from tui.paint import clean, fit, fit_name, wrapped

KEYS = ("state", "policy", "user")
ROW = {
    "state": "initializing",
    "policy": "sales emea",
    "user": "a.diaz@example.com",
    "": "a.diaz@example.com sales emea",
}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("diaz", True),
        ("DIAZ", True),
        ("-diaz", False),
        ("state:active", True),
        ("state:failed,active", True),
        ("state:failed", False),
        ("policy:emea state:first", True),
        ("policy:apac,emea", True),
        ("-policy:emea", False),
        ("state:", True),
    ],
)
def test_filter(text: str, passes: bool) -> None:
    assert parse(text, KEYS).matches(ROW) is passes


def test_unknown_filter_word_is_told() -> None:
    found = parse("colour:red", KEYS)
    assert found.error == "Unknown filter word 'colour:'. Known: state: policy: user: or plain text."
    assert not found


def test_numbers_and_lengths() -> None:
    assert form.number(1204) == "1,204"
    assert form.progress(3, None) == "3"
    assert form.percent(0.999) == "99%"
    assert form.bar(0.5, 12) == "[#####-----]"
    assert form.bar(None, 6) == "[----]"
    assert form.length(42) == "00:42"
    assert form.length(3723) == "1:02:03"
    assert form.length(2 * 86_400 + 3600) == "2d 01h"
    assert form.rate(0) == "-"
    assert form.rate(9.0) == "9.0/s"
    assert form.eta_range((35, 70)) == "00:52 (00:35-01:10)"


def test_times_in_the_admins_zone() -> None:
    assert form.at(NOW, ZONE) == "14:00:12"
    assert form.moment(NOW + 12 * 60_000, NOW, ZONE) == "14:12"
    assert form.moment(NOW + 24 * 3_600_000, NOW, ZONE) == "22 Nov 14:00"
    assert form.ago(NOW - 90_000, NOW) == "1 min ago"
    assert form.ago(None, NOW) == "never"
    assert form.ahead(NOW - 1, NOW) == "now"


def test_spark_has_its_width_whatever_the_values() -> None:
    for values in ([], [0], [1, 2, 3], list(range(300))):
        assert len(form.spark(values, 20)) == 20
    assert form.spark([0, 7], 2) == "▁█"


def test_module_letters_keep_their_place() -> None:
    assert form.letters(Module) == "CL APS T OC"
    assert form.letters({Module.CONTACT, Module.TASK}) == "C- --- T --"


def test_signs_are_one_cell_and_have_an_ascii_twin() -> None:
    shown = [
        *signs.USER.values(),
        *signs.STEP.values(),
        *signs.JOB.values(),
        *signs.RESULT.values(),
        signs.HELD,
    ]
    for sign in shown:
        assert cell_len(sign.sign) == 1
        assert signs.to_ascii(sign.sign).isascii()
    assert len({sign.sign for sign in signs.USER.values()}) == len(signs.USER)
    assert len({signs.to_ascii(sign.sign) for sign in signs.USER.values()}) == len(signs.USER)


@pytest.mark.parametrize(
    "text", ["abc", "井藤健二", "a\u200db", "é" * 20, "👩‍👩‍👧 family", "x\x1b[31mred", "⚙️ gear", ""]
)
@pytest.mark.parametrize("width", [0, 1, 2, 5, 9])
def test_fit_has_exactly_the_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


def test_clean_takes_out_what_moves_the_cursor() -> None:
    assert clean("a\x1b]52;c;x\x07b\u202ec\td") == "a]52;c;xbc d"


def test_wrapped_lines_keep_their_indent() -> None:
    assert wrapped("  one two three", 9) == ["  one two", "  three"]


@pytest.mark.parametrize(
    ("names", "width"),
    [
        (["ann.berg@emea.example.com", "ann.berg@apac.example.com", "ann.berg@emea.example.org"], 18),
        (["recruiting-emea-01@example.com", "recruiting-emea-02@example.com"], 18),
        (["recruiting-emea-01@a.example", "recruiting-emea-01@b.example"], 18),
        (["Sales Europe north", "Sales Europe south", "Service Europe north"], 14),
        (["Full sync EMEA Sales team", "Full sync APAC Sales team", "Full sync EMEA Service"], 22),
        (["試験試験試験試験試験試験北", "試験試験試験試験試験試験南"], 11),
    ],
)
def test_names_that_are_too_long_can_be_told_apart(names: list[str], width: int) -> None:
    shown = [fit_name(name, width) for name in names]
    assert len(set(shown)) == len(names), shown
    assert {cell_len(each) for each in shown} == {width}


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("ann.berg@acme.example", 18, "ann.berg@acme…mple"),
        ("ann.berg@acme.example", 21, "ann.berg@acme.example"),
        ("ann.berg@acme.example", 23, "ann.berg@acme.example  "),
        ("Sales organisation EMEA", 12, "Sales … EMEA"),
        ("x@y", 2, "x…"),
        ("", 3, "   "),
        ("abc", 0, ""),
    ],
)
def test_a_name_is_cut_in_its_middle(name: str, width: int, shown: str) -> None:
    assert fit_name(name, width) == shown
