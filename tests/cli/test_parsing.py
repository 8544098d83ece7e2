"""The command line: what is understood and what is refused."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_data_dir

from engine.sandbox.company import KINDS as SANDBOX_KINDS
from engine.sandbox.company import MOST_USERS as SANDBOX_USERS
from engine.service import VerifyRow
from tui import cli, exits
from tui.exits import MEANING

DOCS = Path(__file__).parents[2] / "docs"


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.parse(words)
    assert caught.value.code == exits.USAGE
    return capsys.readouterr().err


def test_without_a_command_it_is_the_app_on_the_default_directory() -> None:
    given = cli.parse([])
    assert given.command is None
    assert given.data_dir == Path(user_data_dir("syncline"))
    assert (given.ascii, given.theme) == (False, "dark")


def test_the_demo_has_a_directory_of_its_own() -> None:
    assert cli.parse(["demo"]).data_dir == Path(user_data_dir("syncline")) / "demo"


@pytest.mark.parametrize("words", [["--data-dir", "x", "status"], ["status", "--data-dir", "x"]])
def test_options_of_all_commands_stand_before_or_after_the_name(words: list[str]) -> None:
    given = cli.parse([*words, "--ascii"])
    assert given.data_dir == Path("x").absolute()
    assert given.ascii


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["demo", "--users", "0"], "--users: '0' is not allowed; a whole number from 1 to 5000 is"),
        (["demo", "--users", "many"], "whole number from 1 to 5000"),
        (["demo", "--contacts", "-1"], "whole number from 0"),
        (["demo", "--json"], "--json needs --headless"),
        (["apply"], "FILE.toml"),
        (["sinc"], "invalid choice: 'sinc'"),
        (["status", "--jsn"], "--jsn"),
        (["--theme", "pink"], "pink"),
        (["--ascii", "sandbox"], "sandbox takes its own options"),
        (["held", "--approve"], "held --approve needs the IDs that held lists"),
        (["held", "--approve", "x"], "'x' is not allowed"),
        (["held", "--approve", "1", "--keep", "2"], "not allowed with argument"),
        (["held", "--approve", "--all-deletes"], "and --mailbox"),
        (["held", "--keep", "--all-deletes", "--mailbox", "a@x"], "needs --approve, --discard or --restore"),
        (["held", "--approve", "1", "--all-deletes", "--mailbox", "a@x"], "or --all-deletes"),
        (["conflicts", "decide"], "needs the IDs that conflicts lists"),
        (["conflicts", "decide", "x", "--keep", "crm"], "'x' is no ID"),
        (["conflicts", "decide", "3"], "--keep crm, --keep mailbox or --value TEXT"),
        (["conflicts", "decide", "3", "--keep", "left"], "invalid choice: 'left'"),
        (["conflicts", "decide", "3", "--keep", "crm", "--value", "x"], "not allowed with argument"),
        (["conflicts", "a@x", "b@x"], "one mailbox at most"),
        (["conflicts", "a@x", "--value", "x"], "conflicts decide ID"),
    ],
)
def test_wrong_usage_is_one_clear_message(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert told in refused(capsys, *words)


def test_help_and_wrong_usage_do_not_wait_for_the_engine() -> None:
    script = "import sys, tui.cli; print({name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "tui" in loaded.stdout
    assert not {"engine", "textual", "sqlalchemy"} & set(literal_eval(loaded.stdout))


def test_kinds_and_limits_are_the_sandboxs() -> None:
    assert [kind.replace("-", "_") for kind in cli.KINDS] == list(SANDBOX_KINDS)
    assert cli.MOST_USERS == SANDBOX_USERS


def test_the_page_and_help_tell_every_exit_code_and_command() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    text = cli.parser().format_help()
    for code, meaning in MEANING.items():
        assert f"| {code} | {meaning} |" in page
        assert f"{code}  {meaning}" in text
    for command in ("demo", "apply", "export", "sync", "status", "verify", "doctor", "sandbox"):
        assert f"`syncline {command}" in page
        assert f"    {command} " in text


def user(state: str, failed: int = 0) -> dict[str, Any]:
    return {"state": state, "modules": {"contact": {"failed": failed}}}


@pytest.mark.parametrize(
    ("users", "result", "fault", "code"),
    [
        ([user("idle"), user("idle")], "ok", "", exits.OK),
        ([user("idle"), user("idle", failed=1)], "ok", "", exits.FAULTS),
        ([user("idle"), user("failed")], "ok", "", exits.FAULTS),
        ([user("idle"), user("idle")], "failed", "", exits.FAULTS),
        ([user("backoff"), user("failed")], "ok", "", exits.REFUSED),
        ([user("idle")], "failed", "Salesforce: the secret was refused", exits.REFUSED),
    ],
)
def test_a_report_becomes_an_exit_code(users: list[dict[str, Any]], result: str, fault: str, code: int) -> None:
    assert exits.of_report({"users": users, "policies": [{"result": result}]}, [fault]) == code


def test_a_verification_becomes_an_exit_code() -> None:
    good = VerifyRow("ann", "contacts", True, 3, 3)
    unread = VerifyRow("bob", "access", False, 0, 1)
    assert exits.of_verify([good]) == exits.OK
    assert exits.of_verify([good, VerifyRow("ann", "tasks", False, 2, 3), unread]) == exits.DIFFERS
    assert exits.of_verify([good, unread]) == exits.REFUSED
