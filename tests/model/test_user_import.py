"""Users from CSV files as people and spreadsheets make them: recognised, checked by the rules of the configuration, line by line."""

from __future__ import annotations

import codecs

import pytest

from engine.model.policy import TargetUser
from engine.model.user_import import NotReadable, UserImport, read_users, write_users

ANN = TargetUser("ann@acme.example", "Sales", "005A", "Europe/Berlin")
BOB = TargetUser("bob@acme.example", "Sales", calendar_sync=False, exchange_email="bob.b@mail.acme.example")


def read(text: str | bytes, **options: object) -> UserImport:
    content = text.encode() if isinstance(text, str) else text
    policies = options.pop("policies", ["Sales", "Support"])
    return read_users(content, [ANN, BOB], policies, **options)  # type: ignore[arg-type]


def test_what_is_new_what_changes_and_what_stays() -> None:
    found = read(
        "Operator ID,Calendar Sync,Exchange e-mail,Policy,Notes\n"
        "cy@acme.example,yes,,Support,hello\n"
        "BOB@acme.example,TRUE,,,\n"
        "ann@acme.example,,,Sales,\n"
    )
    assert found.columns == {
        "email": "Operator ID",
        "policy": "Policy",
        "calendar_sync": "Calendar Sync",
        "exchange_email": "Exchange e-mail",
    }
    assert found.ignored == ("Notes",)
    assert found.adds == ((2, TargetUser("cy@acme.example", "Support")),)
    (change,) = found.changes
    assert (change.line, dict(change.fields)) == (3, {"calendar_sync": (False, True)})
    # An empty cell leaves what is there.
    assert change.user.exchange_email == "bob.b@mail.acme.example"
    assert (found.same, found.rejects) == (1, ())


def test_every_wrong_cell_is_told_with_its_line_and_field() -> None:
    found = read(
        "email;policy;calendar_sync;exchange_email;zone\n"
        "no address;Sales;;;\n"
        "\n"
        "cy@acme.example;Slaes;;;\n"
        "di@acme.example;Sales;maybe;;\n"
        "ed@acme.example;Sales;;not an address;\n"
        "di@acme.example;Sales;;;\n"
        ";Sales;;;\n"
        "fay@acme.example;Sales;;bob.b@mail.acme.example;\n"
        "gus@acme.example;Sales;;;Mars/Base\n"
        "hal@acme.example;Sales;true;;;one too many\n"
    )
    told = [(one.line, one.field) for one in found.rejects]
    assert told == [
        (2, "email"),
        (4, "policy"),
        (5, "calendar_sync"),
        (6, "exchange_email"),
        (7, "email"),
        (8, "email"),
        (9, "exchange_email"),
        (10, "zone"),
        (11, ""),
    ]
    reasons = {one.line: one.reason for one in found.rejects}
    assert "did you mean 'Sales'?" in reasons[4]
    assert reasons[7] == "the same address as in line 5"
    assert "the user bob@acme.example" in reasons[9]
    assert "quotes" in reasons[11]


@pytest.mark.parametrize(
    "content",
    [
        "email,policy\nzoë@acme.example,Sales\n".encode(),
        codecs.BOM_UTF8 + "email,policy\nzoë@acme.example,Sales\n".encode(),
        "email;policy\r\nzoë@acme.example;Sales\r\n".encode("utf-16"),
        "email\tpolicy\nzoë@acme.example\tSales\n".encode("cp1252"),
        'email|policy\r\n"zoë@acme.example"|Sales'.encode(),
    ],
)
def test_encodings_marks_and_delimiters(content: bytes) -> None:
    assert [user.email for _, user in read(content).adds] == ["zoë@acme.example"]


def test_columns_can_be_named_and_left_out() -> None:
    text = "Person,Office,Mailbox\ncy@acme.example,X,cy.c@mail.acme.example\n"
    with pytest.raises(NotReadable, match="--map email=COLUMN"):
        read(text)
    found = read(text, mapping={"email": "person"}, policy="Sales")
    assert found.adds == ((2, TargetUser("cy@acme.example", "Sales", exchange_email="cy.c@mail.acme.example")),)
    found = read(text, mapping={"email": "Person", "exchange_email": ""}, policy="Sales")
    assert found.adds[0][1].exchange_email == ""
    with pytest.raises(NotReadable, match="has no column 'Nobody' for zone"):
        read(text, mapping={"email": "Person", "zone": "Nobody"})
    with pytest.raises(NotReadable, match="there is no field 'mailbox'"):
        read(text, mapping={"mailbox": "Mailbox"})


def test_a_dash_clears_and_the_only_policy_need_not_be_named() -> None:
    found = read("email,exchange email\nbob@acme.example,-\ncy@acme.example,\n", policies=["Sales"])
    assert dict(found.changes[0].fields) == {"exchange_email": ("bob.b@mail.acme.example", "")}
    assert found.adds[0][1].policy == "Sales"
    assert read("email\ncy@acme.example\n").rejects[0].field == "policy"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"email\n", "has no rows"),
        (b"\x00\x01\x02PK", "no text"),
        (b'email\n"open', "line 2"),
        (b"email,email\nann@acme.example,x\n", "twice"),
        (b"\xff\xfea", "utf-16"),
    ],
)
def test_what_is_no_table_of_users(content: bytes, words: str) -> None:
    with pytest.raises(NotReadable, match=words):
        read(content)


def test_what_is_written_reads_back_as_it_was() -> None:
    found = read(write_users([ANN, BOB]))
    assert (found.adds, found.changes, found.same, found.rejects) == ((), (), 2, ())


def test_a_hundred_thousand_rows_are_the_most() -> None:
    rows = "".join(f"u{n}@acme.example\n" for n in range(3_000))
    assert len(read("email\n" + rows, policy="Sales").adds) == 3_000
    with pytest.raises(NotReadable, match="more than 100,000 rows"):
        read("email\n" + "a\n" * 100_002)
