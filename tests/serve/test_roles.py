"""Who may do what: checked where it is executed, and on record with who, from where, before and after."""

from __future__ import annotations

import os
import sys
import tempfile
import typing
from dataclasses import fields
from pathlib import Path

import pytest

from engine.service import (
    Actor,
    Command,
    DisablePolicy,
    EnableJob,
    PauseUser,
    ResumeUser,
    Role,
    SavePolicy,
    Service,
    ServiceError,
    SettleHeld,
    needs,
    refusal,
)
from tests.ledgers import begun
from tests.serve.console import Client
from tests.serve.engine import Engine, serving
from tui import cli, entry, exits
from tui.exits import Trouble
from tui.run import owner
from tui.serve import access
from tui.serve.door import listening
from tui.serve.hall import hall
from tui.serve.manner import Manner

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


#: Commands of an operator; every other one is an admin's, and none a viewer's.
OPERATORS = {
    "AcknowledgeIncidents", "CancelUser", "DecideConflict", "DropPreview", "PauseUser", "PreviewPolicy", "ResumeUser",
    "RunJob", "SettleHeld", "StopJob", "SyncNow", "TestConnection", "TestPolicy", "TraceJob", "VerifyPolicy",
}  # fmt: skip

COMMANDS: list[type] = list(typing.get_args(Command))


async def test_every_command_is_refused_to_every_role_below_its_own(tmp_path: Path) -> None:
    assert {command.__name__ for command in COMMANDS} > OPERATORS
    service = await Service.open(begun(tmp_path / "data"))
    try:
        for command in COMMANDS:
            made = command(*("x" for field in fields(command) if field.init))
            operates = command.__name__ in OPERATORS
            for actor in (VIEWER, *(() if operates else (OPERATOR,))):
                answer = await service.do(made, actor)
                assert not answer.ok, f"{actor.name} {command.__name__}"
                needed = "an operator" if operates else "an admin"
                assert f"and this needs {needed}; nothing was changed" in answer.text, command.__name__
            assert not refusal(ADMIN, command)
            assert bool(refusal(OPERATOR, command)) is not operates
        assert not (await service.audit(words=["refused"], limit=500))[0].before
        for call in (
            service.apply(CONFIG, "a.toml", VIEWER), service.stop(VIEWER), service.apply(CONFIG, "a.toml", OPERATOR)
        ):  # fmt: skip
            assert not (await call).ok
        for read in (
            service.sync(None, VIEWER), service.check_labels(None, VIEWER), service.verify(None, VIEWER),
            service.preview("Sales", VIEWER), service.run_job("x", VIEWER),
            service.export_table("Queue", "csv", "a,b", VIEWER),
        ):  # fmt: skip
            with pytest.raises(ServiceError):
                await read
        assert not (tmp_path / "data" / "exports").exists()
        path = await service.export_table("Queue", "csv", "a,b", OPERATOR)
        assert Path(path).read_text() == "a,b"
    finally:
        await service.close()


async def test_where_people_connect_a_bare_name_may_only_look(tmp_path: Path) -> None:
    service = await Service.open(begun(tmp_path / "data"))
    try:
        assert (
            await service.apply(CONFIG, "a.toml", "ada")
        ).ok  # a process of its own, which nobody else reaches
        async with hall(service, Manner(), access.Access()):
            told = await service.apply(CONFIG, "a.toml", "ada")
            assert "ada is a viewer here" in told.text
            async with service.running(schedule=False):
                assert not (await service.do(PauseUser("ann@acme.example"), "ada")).ok
            assert not (await service.stop("ada")).ok
            assert (await service.apply(CONFIG, "a.toml", ADMIN)).ok
    finally:
        await service.close()


def test_who_says_no_role_may_look() -> None:
    assert Actor("ada").role is Role.VIEWER


def test_the_owner_of_the_data_directory_is_never_locked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owner(tmp_path).role is owner(tmp_path / "to be made").role is Role.ADMIN
    assert access.Access({"ssh:ada": Role.VIEWER}).role(os.getuid()) is Role.ADMIN
    monkeypatch.setattr(os, "getuid", lambda: 65_533)
    stranger = owner(tmp_path)
    assert stranger.role is Role.VIEWER
    assert "run it as that user" in refusal(stranger, "apply")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_roles_hold_over_the_socket(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    path = tmp_path / "data" / access.NAME
    path.write_text('[roles]\nviewer = ["65533"]\noperator = ["65532"]\n')
    path.chmod(0o600)
    with serving(tmp_path) as engine:
        os.chmod(engine.env["XDG_RUNTIME_DIR"], 0o711)  # as /run is

        file = engine.folder / "acme.toml"
        file.write_text(CONFIG)
        assert engine.run("apply", str(file)).returncode == exits.OK
        assert as_user(engine, 65_533, "status")[0] == exits.OK
        for uid, role in ((65_533, "a viewer"), (65_532, "an operator")):
            code, told = as_user(engine, uid, "rollout", "Sales", "next")
            assert code == exits.USAGE
            assert f"is {role} here, and this needs an admin" in told
        assert "needs an operator" in as_user(engine, 65_533, "verify")[1]
        assert "has no role here" in as_user(engine, 65_531, "status")[1]
        assert engine.process.poll() is None


class Stranger(Client):
    """``syncline attach`` of another user. He may not read where Python is, so that nothing is started: he is forked."""

    UID = 65_533

    def run(self, path: str, words: list[str] | None) -> None:
        code = 99
        try:
            os.chdir("/")
            os.setgroups([])
            os.setuid(self.UID)
            sys.argv = ["syncline", "attach", "--socket", path]
            code = entry.main()
        finally:
            os._exit(code)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_a_role_that_is_taken_away_is_gone_at_the_next_command_of_a_console(tmp_path: Path) -> None:
    service = await Service.open(begun(tmp_path / "data"))
    vera = str(Stranger.UID)
    try:
        assert (await service.apply(CONFIG, "a.toml", "ada")).ok
        with tempfile.TemporaryDirectory(prefix="sl-") as folder:
            os.chmod(folder, 0o711)
            path = f"{folder}/run/x.sock"
            async with (
                hall(service, Manner(), access.Access({vera: Role.ADMIN})) as guests,
                listening(path, guests, shared=True),
                service.running(schedule=False),
            ):
                console = Stranger(path, (140, 40))
                try:
                    await console.sees("[1 Policies]")
                    console.press("p")
                    await console.sees("ann@acme.example is paused")
                    (row,) = service.store.sessions.values()
                    actor = guests._sessions[row.id].actor
                    guests.take_roles(access.Access({vera: Role.VIEWER}))
                    await console.sees("You are a viewer now: the roles were changed.")
                    assert row.role == Role.VIEWER
                    console.press("p")
                    await console.sees("is a viewer here, and this needs an operator; nothing was changed")
                    # What was asked before and is answered only now comes past the console's own look.
                    assert not (await service.do(ResumeUser("ann@acme.example"), actor)).ok
                    assert service.store.users["ann@acme.example"].state == "paused"
                    guests.take_roles(access.Access({vera: Role.ADMIN}))
                    await console.sees("You are an admin now: the roles were changed.")
                    guests.take_roles(access.Access())
                    assert await console.ended() == exits.OK
                    assert b"has no role here any more; the sync goes on" in console.seen
                finally:
                    console.close()
                refused = await service.audit(words=["refused"])
                assert [(row.command, row.object) for row in refused] == [("ResumeUser", "ann@acme.example")]
    finally:
        await service.close()


def as_user(engine: Engine, uid: int, *words: str) -> tuple[int, str]:
    """A command line of another user: its exit code, and what it said. It may not read where Python is, so it is forked."""
    get, put = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.dup2(put, 1)
            os.dup2(put, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.environ.update(engine.env)
            os.chdir("/")
            os.setgroups([])
            os.setuid(uid)
            code = cli.main([*words, "--data-dir", str(engine.folder)])
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(put)
    with os.fdopen(get) as file:
        told = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), told


def test_a_command_that_is_not_named_is_an_admins() -> None:
    assert needs(SettleHeld) is needs(PauseUser) is Role.OPERATOR
    assert needs(SavePolicy) is needs(EnableJob) is needs("something new") is Role.ADMIN


async def test_roles_are_checked_in_the_service_and_refusals_are_on_record(tmp_path: Path) -> None:
    service = await Service.open(begun(tmp_path / "data"))
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
    service = await Service.open(begun(tmp_path / "data"))
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
