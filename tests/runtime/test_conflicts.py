"""A conflict as an admin reads it: three values, who changed when, and nothing of what is private."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.ledger.conflicts import Conflict, Listed
from engine.runtime.conflicts import conflict_row

TIMES = [{"utc": f"2026-11-23T{hour:02}:00:00Z", "zone": "Europe/Berlin"} for hour in (8, 9, 10)]


def listed(field: str, crm: Any, base: Any, mailbox: Any, **shown: Any) -> Listed:
    conflict = Conflict(3, 7, field, crm, base, mailbox, "both sides changed it", "open", "", None, "", 5)
    fields = {side: {"subject": "Kick-off", **shown} for side in ("crm", "mailbox")}
    return Listed(conflict, 1, "appointment", fields, {"crm": 20, "mailbox": 10})


def test_values_are_shown_as_people_read_them_and_the_newer_one_is_offered() -> None:
    row = conflict_row(listed("start", TIMES[0], TIMES[1], TIMES[2]), "ann@x.test", "Sales")
    assert (row.crm, row.agreed, row.theirs) == (
        "2026-11-23 09:00 Europe/Berlin",
        "2026-11-23 10:00 Europe/Berlin",
        "2026-11-23 11:00 Europe/Berlin",
    )
    assert (row.typed, row.crm_ms, row.mailbox_ms, row.link) == (row.crm, 20, 10, 7)
    assert "2026-11-21 09:00 Europe/Berlin" in row.allowed


def test_of_a_private_item_no_text_is_shown_and_the_times_are() -> None:
    secret = conflict_row(listed("location", "Clinic", None, "Court", private=True), "ann@x.test", "Sales")
    assert "Clinic" not in str(secret)
    assert "Court" not in str(secret)
    assert "Kick-off" not in str(secret)
    assert (secret.name, secret.crm, secret.typed) == ("(private)", "(private)", "")
    start = conflict_row(listed("start", TIMES[0], None, TIMES[2], private=True), "ann@x.test", "Sales")
    assert (start.name, start.agreed) == ("(private)", "")
    assert start.crm.startswith("2026-11-23")


def test_a_decision_that_is_yet_to_be_carried_out_is_told() -> None:
    one = listed("location", "Kiel", None, "Bonn")
    decided = replace(one.conflict, state="decided", choice="edit", value="Köln", by="alice")
    row = conflict_row(replace(one, conflict=decided), "ann@x.test", "Sales")
    assert row.decided == "a value that was typed 'Köln', by alice; the next cycle carries it out"
    private = conflict_row(
        replace(listed("location", "Kiel", None, "Bonn", private=True), conflict=decided), "ann@x.test", "Sales"
    )
    assert "Köln" not in private.decided
