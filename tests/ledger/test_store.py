"""The ledger's file: made, migrated, locked, guarded; and what its indexes refuse."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from engine.ledger import feeds, fence, links, mailboxes, matching, observe, plans
from engine.ledger.lock import LedgerBusy
from engine.ledger.schema import dirty, intent, item, link, mailbox, metadata, scope
from engine.ledger.store import LedgerDamaged, MemoryLedger, SqliteLedger, StaleLease


def differences(connection: sa.Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def seeded(ledger: Any) -> fence.Fence:
    """One policy with one mailbox; the fence of that mailbox."""
    await ledger.write(
        mailboxes.replace_configuration,
        [("crm", "fake", {})],
        [("sales", {}, True)],
        [("ada@example.org", "sales", "", "")],
    )
    box = (await ledger.read(mailboxes.mailboxes))[0].id
    lease: fence.Fence = await ledger.write(fence.take, "sales", box)
    return lease


async def test_a_new_file_is_migrated_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "ledger.db"
    ledger = await SqliteLedger.open(path)
    assert await ledger.read(differences) == []
    await seeded(ledger)
    assert await ledger.read(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
    await ledger.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = await SqliteLedger.open(path)
    assert [one.email for one in await again.read(mailboxes.mailboxes)] == ["ada@example.org"]
    await again.close()


async def test_the_schema_in_memory_is_the_migrated_one() -> None:
    ledger = MemoryLedger()
    assert await ledger.read(differences) == []
    await ledger.close()


async def test_a_second_engine_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "ledger.db")
    with pytest.raises(LedgerBusy, match=f"pid {os.getpid()}"):
        await SqliteLedger.open(tmp_path / "ledger.db")
    await ledger.close()
    await (await SqliteLedger.open(tmp_path / "ledger.db")).close()


async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database" * 400)
    with pytest.raises(LedgerDamaged, match=r"ledger\.db cannot be read .* move it away"):
        await SqliteLedger.open(path)
    path.unlink()
    await (await SqliteLedger.open(path)).close()  # the lock was let go


async def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = await SqliteLedger.open(path)
    await ledger.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").rowcount)
    await ledger.close()
    with pytest.raises(LedgerDamaged, match="newer version"):
        await SqliteLedger.open(path)


async def test_a_unit_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "ledger.db")

    def half(connection: sa.Connection) -> None:
        connection.execute(sa.insert(mailbox).values(email="x", policy="p"))
        raise RuntimeError("in the middle")

    commits = ledger.commits
    with pytest.raises(RuntimeError):
        await ledger.write(half)
    assert ledger.commits == commits
    assert await ledger.read(mailboxes.mailboxes) == []
    with pytest.raises(sa.exc.DBAPIError):
        await ledger.read(lambda c: c.execute(sa.insert(mailbox).values(email="x", policy="p")).rowcount)
    await ledger.close()


async def test_a_stale_lease_writes_nothing() -> None:
    ledger = MemoryLedger()
    old = await seeded(ledger)
    await ledger.write(fence.take_all)
    units: list[Any] = [
        (plans.commit_plan, old, 1, [], 0),
        (matching.merge_links, old, []),
        (feeds.begin_snapshot, old, 1),
        (observe.bury_missing, old, 1, [], 0),
        (mailboxes.set_mailbox_fenced, old),
    ]
    for unit, *args in units:
        with pytest.raises(StaleLease, match="taken over"):
            await ledger.write(unit, *args)
    await ledger.close()


async def test_the_work_list_pages_through_what_is_due_and_leaves_out_what_is_being_written() -> None:
    ledger = MemoryLedger()
    box = (await seeded(ledger)).mailbox_id

    def fill(connection: sa.Connection) -> None:
        for number in range(1, 11):
            connection.execute(sa.insert(link).values(id=number, mailbox_id=box, module="contact"))
            connection.execute(
                sa.insert(dirty).values(
                    link_id=number, mailbox_id=box, module="contact", not_before=0 if number != 4 else 99
                )
            )
        connection.execute(sa.insert(intent).values(**an_intent(7, "planned")))

    await ledger.write(fill)
    seen, after = [], 0
    while rows := await ledger.read(links.work_list, box, ["contact"], 50, 3, after):
        seen.append([row.id for row in rows])
        after = rows[-1].id
    assert seen == [[1, 2, 3], [5, 6, 8], [9, 10]]
    assert await ledger.read(links.work_list, box, ["task"], 50, 3) == []
    await ledger.close()


def an_intent(link_id: int, state: str) -> dict[str, Any]:
    return {
        "mailbox_id": 1,
        "link_id": link_id,
        "side": "crm",
        "module": "contact",
        "kind": "update",
        "key": "k",
        "state": state,
    }


def an_item(remote_id: str, link_id: int, deleted: int = 0) -> dict[str, Any]:
    return {
        "mailbox_id": 1,
        "side": "crm",
        "scope_id": 1,
        "remote_id": remote_id,
        "link_id": link_id,
        "module": "contact",
        "deleted": deleted,
    }


async def test_the_indexes_refuse_a_second_live_item_and_a_second_open_intent() -> None:
    ledger = MemoryLedger()

    def add(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> None:
        connection.execute(sa.insert(table).values(**values))

    await ledger.write(add, item, an_item("a", 1))
    await ledger.write(add, item, an_item("b", 1, deleted=1))
    await ledger.write(add, item, an_item("c", 2))
    with pytest.raises(sa.exc.IntegrityError):
        await ledger.write(add, item, an_item("d", 1))
    await ledger.write(add, intent, an_intent(1, "done"))
    await ledger.write(add, intent, an_intent(1, "planned"))
    for state in ("planned", "in_flight", "unknown", "held"):
        with pytest.raises(sa.exc.IntegrityError):
            await ledger.write(add, intent, an_intent(1, state))
    await ledger.close()


async def test_a_changed_container_starts_its_feed_afresh() -> None:
    ledger = MemoryLedger()
    row = await ledger.write(feeds.ensure_scope, "sales", 1, "mailbox", "tasks", "list-1")
    await ledger.write(lambda c: c.execute(sa.update(scope).values(cursor="x")).rowcount)
    same = await ledger.write(feeds.ensure_scope, "sales", 1, "mailbox", "tasks", "list-1")
    assert (same.id, same.cursor) == (row.id, "x")
    other = await ledger.write(feeds.ensure_scope, "sales", 1, "mailbox", "tasks", "list-2")
    assert (other.id, other.cursor) == (row.id, None)
    await ledger.close()


def test_no_column_is_made_for_a_secret() -> None:
    names = {column.name for table in metadata.tables.values() for column in table.columns}
    assert not [
        name for name in names if any(word in name for word in ("secret", "password", "token_", "credential"))
    ]
