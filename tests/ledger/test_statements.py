"""Statements that are compiled once: what they give back, and what SQLite does with them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

import engine.ledger
from engine.ledger.schema import dirty, item, mailbox
from engine.ledger.statement import CHUNK, Statement
from engine.ledger.store import MemoryLedger

#: Tables that grow with the number of items, or with time.
GROWING = {"link", "item", "intent", "dirty", "match_key", "journal", "cycle", "line"}

#: Indexes that hold a few rows of such a table, whatever its size.
PARTIAL = {"ix_cycle_asked", "ix_link_waiting"}


def statements() -> Iterator[tuple[str, Statement]]:
    for module in pkgutil.iter_modules(engine.ledger.__path__):
        if module.ispkg:
            continue
        for name, one in vars(importlib.import_module(f"engine.ledger.{module.name}")).items():
            if isinstance(one, Statement):
                yield f"{module.name}.{name}", one


class Anything(dict[str, Any]):
    """Parameters for whatever is asked."""

    def __missing__(self, name: str) -> list[int]:
        return [1, 2, 3]


ADD = Statement(sa.insert(mailbox), ("email", "policy", "containers"))
NAMED = Statement(
    sa.select(mailbox.c.email, mailbox.c.containers)
    .where(mailbox.c.email.in_(sa.bindparam("names", expanding=True)), mailbox.c.removed == 0)
    .order_by(mailbox.c.id)
)
RENAME = Statement(
    sa.update(mailbox).where(mailbox.c.id.in_(sa.bindparam("ids", expanding=True))).values(policy="it's new")
)


async def test_lists_of_any_length_and_documents() -> None:
    ledger = MemoryLedger()
    rows = [
        {"email": f"u{n}@example.org", "policy": "p", "containers": {"größe": [n, None]} if n % 2 else None}
        for n in range(2 * CHUNK + 3)
    ]
    await ledger.write(ADD.many, rows)
    for length in (1, 2, 3, 5, 17, CHUNK, CHUNK + 1, len(rows)):
        names = [row["email"] for row in rows[:length]]
        found = await ledger.read(NAMED.among, names, of="names")
        assert [(row.email, row.containers) for row in found] == [
            (row["email"], row["containers"]) for row in rows[:length]
        ]
    await ledger.write(RENAME.run_among, range(1, 1 + CHUNK + 7))
    renamed = sa.select(sa.func.count()).where(mailbox.c.policy == "it's new")
    assert await ledger.read(lambda connection: connection.scalar(renamed)) == CHUNK + 7


async def test_nothing_is_done_for_no_rows() -> None:
    ledger = MemoryLedger()
    await ledger.write(ADD.many, [])
    assert await ledger.read(NAMED.among, [], of="names") == []


async def test_a_fault_is_told_without_what_people_wrote() -> None:
    ledger = MemoryLedger()
    row = {"email": "secret@example.org", "policy": "p", "containers": {"a": "hidden"}}
    await ledger.write(ADD.many, [row])
    with pytest.raises(sa.exc.IntegrityError) as caught:
        await ledger.write(ADD.many, [row])
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_odd_documents_are_kept() -> None:
    ledger = MemoryLedger()
    odd = {"big": 2**70, "zero": "\x00", "emoji": "👩‍💻", "deep": {"list": [1.5, True, None]}}
    await ledger.write(ADD.many, [{"email": "a", "policy": "p", "containers": odd}])
    found = await ledger.read(NAMED.rows, names=["a"])
    assert found[0].containers["emoji"] == odd["emoji"]
    assert found[0].containers["zero"] == "\x00"
    assert found[0].containers["deep"] == odd["deep"]
    assert int(found[0].containers["big"]) == 2**70


def test_no_statement_reads_a_growing_table_from_end_to_end() -> None:
    ledger = MemoryLedger()
    connection = ledger._connection
    checked = 0
    for name, one in statements():
        plan = one._compile(connection.dialect, Anything())
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {plan.sql}", (1,) * plan.sql.count("?"))
        for *_, step in rows:
            words = step.split()
            whole = words[0] == "SCAN" and words[1] in GROWING and words[-1] not in PARTIAL
            assert not whole, f"{name}: {step}"
        checked += 1
    assert checked > 80


def test_what_a_partial_index_asks_for_is_no_parameter() -> None:
    """A bound value beside such a condition makes SQLite plan the statement anew whenever it is executed."""
    one = Statement(sa.select(item.c.id).where(item.c.link_id == sa.bindparam("of_link"), item.c.deleted == 0))
    plan = one._compile(MemoryLedger()._connection.dialect, {"of_link": 1})
    assert "deleted = 0" in plan.sql
    assert plan.sql.count("?") == 1


def test_every_statement_can_be_said_to_postgresql() -> None:
    for name, one in statements():
        core = one.built(postgresql.insert)
        assert str(core.compile(dialect=postgresql.dialect(), column_keys=one._columns)), name


async def test_another_database_executes_them_as_any_other_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = MemoryLedger()
    row = {"link_id": 1, "mailbox_id": 1, "module": "contact"}
    upsert = Statement(
        lambda insert: insert(dirty).on_conflict_do_update(index_elements=["link_id"], set_={"attempts": 2}),
        tuple(row),
    )
    monkeypatch.setattr(ledger._connection.dialect, "name", "another")
    await ledger.write(upsert.many, [row, {**row, "link_id": 2}])
    await ledger.write(upsert.run, **row)
    attempts = Statement(
        sa.select(dirty.c.attempts).where(dirty.c.link_id.in_(sa.bindparam("ids", expanding=True)))
    )
    assert await ledger.read(attempts.scalars, ids=[1]) == [2]
    assert [one.attempts for one in await ledger.read(attempts.among, [1, 2])] == [2, 0]
