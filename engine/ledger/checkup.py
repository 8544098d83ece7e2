"""How a ledger is, without what it holds: schema version, integrity, size, rows of each table."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import metadata

#: Faults of ``PRAGMA integrity_check`` that are told.
_MOST_FAULTS = 20


def checkup(conn: sa.Connection) -> dict[str, Any]:
    """The figures of a ledger. Reads every page of the file, outside of the loop: seconds for a large one."""
    version = conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    found: dict[str, Any] = {
        "schema_version": list(version),
        "rows": {
            table.name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        },
    }
    if conn.dialect.name == "sqlite":
        faults = conn.execute(sa.text(f"PRAGMA integrity_check({_MOST_FAULTS})")).scalars().all()
        found["integrity_check"] = list(faults)
        for name in (
            "journal_mode",
            "page_size",
            "page_count",
            "freelist_count",
            "synchronous",
            "user_version",
        ):
            found[name] = conn.execute(sa.text(f"PRAGMA {name}")).scalar_one()
    return found
