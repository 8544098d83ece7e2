"""Incidents and operators on the screen: what is wrong and what to do, acknowledged by a key; whose calendar is synchronised."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.model.incident import IncidentKind
from engine.model.states import FaultClass
from engine.service import (
    AcknowledgeIncidents,
    DropMails,
    IncidentRow,
    MailRow,
    RetryMails,
    SetOperator,
    Table,
    UserState,
)
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW, FakeService
from tui.app import SynclineApp
from tui.incidents import KIND
from tui.screens.confirm import Confirm
from tui.screens.incidents import IncidentsScreen
from tui.screens.operators import OperatorsScreen
from tui.screens.user_detail import UserScreen

WANG = "c.wang@example.com"
SMALL, LARGE = (80, 24), (140, 40)


def trouble() -> list[IncidentRow]:
    """Some of several kinds."""
    return [
        IncidentRow(
            "4",
            "cycle",
            "Sales EMEA",
            WANG,
            FaultClass.CONNECTION,
            "full sync, calendar",
            "Google Calendar: 403 the service account may not act for this user",
            "No repeat mends it: it waits for a person. Mend the cause, then r in the Queue tries it again.",
            "open",
            NOW - 48 * MINUTE,
            NOW - 3 * MINUTE,
            12,
            due_ms=NOW - 47 * MINUTE,
            told=4,
        ),
        IncidentRow(
            "5",
            "policy",
            "Field service",
            "Field service",
            FaultClass.CONNECTION,
            "before any mailbox had its turn",
            "Salesforce: cannot be reached",
            "It is tried again by itself.",
            "open",
            NOW - 9 * MINUTE,
            NOW - MINUTE,
            4,
            due_ms=NOW + 21 * MINUTE,
            seen_by="bob@ops-02",
            seen_ms=NOW - 8 * MINUTE,
        ),
        IncidentRow(
            "6",
            "mail",
            "",
            "crm-ops@example.com",
            FaultClass.ITEM,
            "failure mails",
            "the mail server refused the recipient: 550 no such person (mail 'Syncline: c.wang fails')",
            "It is tried again in 60 min. Correct the address in the configuration, or x drops the mails to it.",
            "open",
            NOW - 47 * MINUTE,
            NOW - 47 * MINUTE,
            1,
        ),
        IncidentRow(
            "7",
            "quarantine",
            "Sales EMEA",
            "a.meier@example.com",
            FaultClass.ITEM,
            "writing items",
            "2 items were refused too often and set aside: the e-mail address is not valid",
            "h in Policies or on the mailbox lists them with their reasons: mend the item, then retry it, or dismiss it.",
            "open",
            NOW - 20 * MINUTE,
            NOW - 20 * MINUTE,
            1,
        ),
        IncidentRow(
            "8",
            "rollout",
            "Sales APAC",
            "Sales APAC",
            FaultClass.CYCLE,
            "wave 1 of 3",
            "stopped at wave 1 of 3: 2 of 10 mailboxes of wave 1 failed, more than the 5 % that the policy allows",
            "O in Policies shows its waves: mend the cause, then admit the next wave, or all.",
            "open",
            NOW - 30 * MINUTE,
            NOW - 30 * MINUTE,
            1,
        ),
        IncidentRow(
            "3",
            "cycle",
            "Sales APAC",
            "k.lee@example.com",
            FaultClass.MODULE,
            "full sync, tasks",
            "tasks: Google Tasks: 503 backend error",
            "It is tried again by itself.",
            "healed",
            NOW - 300 * MINUTE,
            NOW - 280 * MINUTE,
            3,
            closed_ms=NOW - 270 * MINUTE,
        ),
    ]


def with_trouble(app: SynclineApp) -> FakeService:
    service = app.engine
    assert isinstance(service, FakeService)
    rows = trouble()
    service.store.incidents = {row.id: row for row in rows}
    service.store.engine.incidents, service.store.engine.unseen = 5, 4
    service.mails = [
        MailRow(
            "failure", "crm-ops@example.com", "waiting", 2, NOW - 47 * MINUTE, None, NOW, "550 no such person"
        ),
        MailRow("failure", "it@example.com", "sent", 1, NOW - 47 * MINUTE, NOW - 47 * MINUTE, 0, ""),
    ]
    service.store.reshape(Table.INCIDENTS)
    return service


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_incidents(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_trouble(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        await user.press("M")
        assert isinstance(app.screen, IncidentsScreen)
        await user.pull()

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_operators(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    service = app.engine
    assert isinstance(service, FakeService)
    rows = sorted(service.store.users.values(), key=lambda row: (row.policy.lower(), row.id))
    rows[1].calendar_sync = False
    rows[2].exchange_email = "c.k@mail.example.com"

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        await user.press("Y")
        assert isinstance(app.screen, OperatorsScreen)
        await user.pull()

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
async def test_the_header_counts_incidents_and_loses_no_other_count_for_them(
    build: Build, size: tuple[int, int]
) -> None:
    app = build()
    service = with_trouble(app)
    engine = service.store.engine
    engine.stale, engine.conflicts, engine.held = 2, 4, 11
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        await user.pull()
        shown = user.text().splitlines()[0]
        for text in ("⊠ 5", "! stale 2", "⚑ 11", "! 4", f"✓ {engine.states[UserState.IDLE]}", app.view.who):
            assert text in shown, shown
        engine.stale = engine.conflicts = engine.held = 0
        service.store.touch(Table.ENGINE, engine)
        await user.pull()
        assert ("⊠ incidents 5" if size is LARGE else "⊠ 5") in user.text().splitlines()[0]
        engine.incidents = engine.unseen = 0
        service.store.touch(Table.ENGINE, engine)
        await user.pull()
        assert "⊠" not in user.text().splitlines()[0]


async def test_an_incident_is_read_acknowledged_and_opened(build: Build) -> None:
    app = build()
    service = with_trouble(app)
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.press("2", "M")
        await user.pull()
        shown = user.text()
        for text in ("403 the service account", "waits for a person", "12 times", "550 no such person"):
            assert text in shown
        await user.press("g", "full_stop")
        assert [command for command, _ in service.commands] == [AcknowledgeIncidents((4,))]
        await user.press("r")
        assert service.commands[-1][0] == RetryMails()
        await user.press("x")
        assert len(service.commands) == 2
        assert "x is for a live incident about mails" in user.text()
        await user.press("enter")
        assert isinstance(app.screen, UserScreen)


async def test_mails_that_cannot_be_delivered_are_dropped_after_a_question(build: Build) -> None:
    app = build()
    service = with_trouble(app)
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.press("M")
        await user.pull()
        app.screen.query_one("StoreTable").select("6")  # type: ignore[attr-defined]
        await user.press("x")
        assert isinstance(app.screen, Confirm)
        await user.press("y")
        assert service.commands[-1][0] == DropMails("crm-ops@example.com")


async def test_calendar_sync_is_switched_and_an_address_is_typed(build: Build) -> None:
    app = build()
    service = app.engine
    assert isinstance(service, FakeService)
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.press("Y", "g", "o")
        first = min(service.store.users.values(), key=lambda row: (row.policy.lower(), row.id)).id
        assert service.commands[-1][0] == SetOperator((first,), calendar_sync=False)
        await user.press("e")
        field = app.screen.query_one(Input)
        field.value = "ann.b@mail.example.com"
        await user.press("enter")
        assert service.commands[-1][0] == SetOperator((first,), exchange_email="ann.b@mail.example.com")
        await user.press("space", "j", "space", "o")
        assert isinstance(app.screen, Confirm)
        await user.press("escape")
        assert len(service.commands) == 2


def test_every_kind_of_incident_has_a_word() -> None:
    assert {kind.value for kind in IncidentKind} | {"cycle+job", "policy+job"} == KIND.keys()
    assert max(map(len, KIND.values())) <= 9, "as wide as its column"
