"""Fifty mailboxes with forty contacts each: no error, and hardly a call more than there must be."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from tests.acceptance.town import assert_idle, engine, town

USERS = 50
EACH = 40

NOTHING_ELSE = dict.fromkeys(
    ("leads", "appointments", "calls", "service_calls", "tasks", "opportunities", "cases"), 0
)
CONTACTS_ONLY = "enabled = true\n" + "".join(
    f"[policies.Demo.modules.{name}]\nenabled = false\n"
    for name in ("lead", "appointment", "call", "service_call", "task", "opportunity", "case")
)


async def test_fifty_mailboxes_at_the_floor_of_calls(tmp_path: Path) -> None:
    """The calls of the first sync are at most a tenth above the least that the providers allow."""
    sizes = {"contacts": USERS * EACH, **NOTHING_ELSE}
    with town(tmp_path, users=USERS, sizes=sizes) as place:
        place.reset()
        async with engine(tmp_path, place.config(policy=CONTACTS_ONLY)) as service:
            report = await service.sync("Demo", "admin")
            assert_idle(report)
            created = sum(user["modules"]["contact"]["created"] for user in report["users"])
            held = sum(user["modules"]["contact"]["held"] for user in report["users"])
            assert created + held == USERS * EACH
            # Salesforce: a token, the users, the contacts. Each mailbox: a token, its groups, its contacts, the group that
            # is made, and the contacts that are written.
            floor = 2 + ceil(USERS * EACH / 2000) + USERS * (1 + 1 + 1 + 1 + ceil(EACH / 200))
            calls = report["totals"]["calls"]
            assert calls <= 1.10 * floor, f"{calls} calls, floor {floor}: {report['totals']}"
            stats = place.stats()
            assert stats["google.people.people.batchCreateContacts"] == USERS
            rows = await service.verify()
            assert [row for row in rows if not row.ok] == []
            assert sum(row.check == "duplicates" for row in rows) == USERS
            idle = await service.sync("Demo", "admin")
            assert idle["totals"]["writes"] == 0
            assert idle["totals"]["calls_by_provider"]["Google People"] == USERS
