"""Who may do what: checked where it is executed, and on record with who, from where, before and after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.service import (
    Actor,
    DisablePolicy,
    EnableJob,
    PauseUser,
    Role,
    SavePolicy,
    Service,
    ServiceError,
    SettleHeld,
    needs,
)
from tui.exits import Trouble
from tui.serve import access

CONFIG = """
[connections.C]
kind = "salesforce"
login_url = "http://127.0.0.1:1"
client_id = "x"
client_secret_file = "/nowhere"
[connections.W]
kind = "google"
credentials_file = "/nowhere"
[policies.Sales]
crm = "C"
mailbox = "W"
[[users]]
email = "ann@acme.example"
policy = "Sales"
"""

VIEWER = Actor("vera@ops", Role.VIEWER, "ssh 10.0.0.7")
OPERATOR = Actor("otto@ops", Role.OPERATOR, "pts/3")
ADMIN = Actor("ada@ops", Role.ADMIN, "pts/1")


def test_a_command_that_is_not_named_is_an_admins() -> None:
    assert needs(SettleHeld) is needs(PauseUser) is Role.OPERATOR
    assert needs(SavePolicy) is needs(EnableJob) is needs("something new") is Role.ADMIN


async def test_roles_are_checked_in_the_service_and_refusals_are_on_record(tmp_path: Path) -> None:
    service = await Service.open(tmp_path / "data")
    try:
        assert (await service.apply(CONFIG, "a.toml", ADMIN)).ok
        told = await service.apply(CONFIG, "a.toml", OPERATOR)
        assert told.text == "otto@ops is an operator here, and this needs an admin; nothing was changed"
        with pytest.raises(ServiceError, match="vera@ops is a viewer here, and this needs an operator"):
            await service.sync(None, VIEWER)
        with pytest.raises(ServiceError, match="needs an operator"):
            await service.verify(None, VIEWER)
        assert not (await service.stop(OPERATOR)).ok
        async with service.running(schedule=False):
            assert (await service.do(PauseUser("ann@acme.example"), OPERATOR)).ok
            assert not (await service.do(PauseUser("ann@acme.example"), VIEWER)).ok
            assert not (await service.do(DisablePolicy("Sales"), OPERATOR)).ok
        rows = {(row.actor, row.command): row for row in await service.audit()}
    finally:
        await service.close()
    paused = rows["otto@ops", "PauseUser"]
    assert (paused.object, paused.origin) == ("ann@acme.example", "pts/3")
    assert (paused.before, paused.after) == ("state=disabled", "state=paused")
    refused = rows["vera@ops", "PauseUser"]
    assert (refused.origin, refused.before, refused.after) == ("ssh 10.0.0.7", "", "")
    assert refused.result.startswith("refused: vera@ops is a viewer here")
    assert rows["otto@ops", "DisablePolicy"].result.startswith("refused:")
    assert rows["otto@ops", "stop"].result.startswith("refused:")
    applied = rows["ada@ops", "apply"]
    assert "[policies.Sales]" in applied.after
    assert "/nowhere" in applied.after  # where a secret is, never the secret


async def test_the_log_is_read_by_pages_and_words(tmp_path: Path) -> None:
    service = await Service.open(tmp_path / "data")
    try:
        await service.apply(CONFIG, "a.toml", ADMIN)
        async with service.running(schedule=False):
            for _ in range(3):
                await service.do(PauseUser("ann@acme.example"), OPERATOR)
        page = await service.audit(limit=2)
        assert [row.command for row in page] == ["PauseUser"] * 2
        older = await service.audit(page[-1].id, limit=2)
        assert [row.command for row in older] == ["PauseUser", "apply"]
        assert [row.actor for row in await service.audit(words=["ADA", "apply"])] == ["ada@ops"]
        assert await service.audit(words=["100%"]) == []
    finally:
        await service.close()


def test_without_a_file_only_the_engines_user_and_root_come_in(tmp_path: Path) -> None:
    found = access.read(tmp_path)
    assert found.role(os.getuid()) is found.role(0) is Role.ADMIN
    assert found.role(65_533) is None
    assert not found.shared


def test_roles_by_user_number_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / access.NAME).write_text(
        '[roles]\nadmin = ["ada"]\noperator = ["%desk"]\nviewer = ["7002", "%all"]\n'
    )
    (tmp_path / access.NAME).chmod(0o600)
    people = {
        7001: ["ada", "7001", "%all"],
        7002: ["7002"],
        7003: ["otto", "7003", "%all", "%desk"],
        7004: ["eve"],
    }
    monkeypatch.setattr(access, "names", people.__getitem__)
    found = access.read(tmp_path)
    assert [found.role(uid) for uid in people] == [Role.ADMIN, Role.VIEWER, Role.OPERATOR, None]
    assert found.shared


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[roles]\nboss = []\n", "roles.boss: no such role; allowed: viewer, operator, admin"),
        ('[roles]\nadmin = "ada"\n', "roles.admin: a list of users"),
        ('[roles]\nadmin = ["ada"]\nviewer = ["ada"]\n', "roles.viewer: ada is admin already"),
        ('[role]\nadmin = ["ada"]\n', "role: allowed is one section"),
        ("[roles\n", "not TOML"),
    ],
)
def test_a_file_that_is_wrong_names_what_is_allowed(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / access.NAME).write_text(text)
    (tmp_path / access.NAME).chmod(0o600)
    with pytest.raises(Trouble, match=r"roles\.toml") as trouble:
        access.read(tmp_path)
    assert told in str(trouble.value)


def test_a_file_that_others_may_write_gives_nobody_a_role(tmp_path: Path) -> None:
    (tmp_path / access.NAME).write_text('[roles]\nadmin = ["eve"]\n')
    (tmp_path / access.NAME).chmod(0o666)
    with pytest.raises(Trouble, match="chmod go-w"):
        access.read(tmp_path)
