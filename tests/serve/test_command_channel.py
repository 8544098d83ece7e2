"""Commands while an engine works on the data directory: they run inside of it, with the client's files and rights."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.engine import PATIENCE, Engine, serving, syncline
from tui import ask, background, exits, wire


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with serving(tmp_path_factory.mktemp("serve")) as found:
        yield found


def test_a_command_answers_from_the_running_engine(engine: Engine) -> None:
    ended = engine.run("status", "--json")
    assert (ended.returncode, ended.stderr) == (exits.OK, "")
    assert json.loads(ended.stdout)["policies"] == []


def test_its_error_and_code_come_back(engine: Engine) -> None:
    ended = engine.run("why", "nobody@acme.example")
    assert ended.returncode == exits.USAGE
    assert ended.stderr.startswith("syncline: no item fits 'nobody@acme.example'")
    assert ended.stdout == ""


def test_an_engine_that_takes_nobody_in_any_more_is_no_empty_answer(capfd: pytest.CaptureFixture[str]) -> None:
    # It has said why and closed before our first word: that broken pipe was once taken for one of our own output.
    ours, engines = socket.socketpair()
    engines.sendall(wire.told(wire.EXIT, {"code": exits.UNUSABLE, "text": "the engine was stopped (SIGTERM)"}))
    engines.close()
    assert ask.ask(ours, ["users", "--json"]) == exits.UNUSABLE
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == "syncline: the engine was stopped (SIGTERM)\n"


def test_wrong_usage_never_reaches_the_engine(engine: Engine) -> None:
    ended = engine.run("held", "--approve")
    assert ended.returncode == exits.USAGE
    assert "needs the IDs" in ended.stderr


@pytest.mark.parametrize("given", [None, "x = 1\n"])
def test_a_file_is_read_from_where_the_client_is(engine: Engine, tmp_path: Path, given: str | None) -> None:
    (tmp_path / "here.toml").write_text("x = 1\n")
    ended = engine.run("apply", "-" if given else "here.toml", cwd=tmp_path, given=given)
    assert ended.returncode == exits.USAGE
    where = "standard input" if given else "here.toml"
    assert ended.stderr.startswith(f"syncline: {where}: 1 error, nothing was changed\nx: no such section")


def test_relative_paths_in_a_file_begin_at_the_clients_folder(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text(
        '[connections.W]\nkind = "google"\ncredentials_file = "keys/google.json"\n', encoding="utf-8"
    )
    assert engine.run("apply", "here.toml", cwd=tmp_path).returncode == exits.OK
    assert f'"{tmp_path}/keys/google.json"' in engine.run("export").stdout


def test_a_file_that_is_not_there_is_told(engine: Engine, tmp_path: Path) -> None:
    ended = engine.run("apply", "not-here.toml", cwd=tmp_path)
    assert ended.returncode == exits.USAGE
    assert "not-here.toml: No such file or directory" in ended.stderr


def test_the_schedule_runs_once(engine: Engine) -> None:
    ended = engine.run("sync")
    assert ended.returncode == exits.USAGE
    assert "an engine runs the schedule already" in ended.stderr


def test_a_second_engine_is_told_who_is_the_first(engine: Engine) -> None:
    ended = engine.run("serve")
    assert ended.returncode == exits.UNUSABLE
    assert f"pid {engine.process.pid}" in ended.stderr


def test_who_starts_an_engine_learns_whether_the_directory_is_held_or_unusable(
    engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(background.NotStarted, match=f"pid {engine.process.pid}") as refused:
        background.start(str(engine.folder))
    assert refused.value.busy, "another terminal may have started it just now: it is worth to look for it again"
    (tmp_path / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    with pytest.raises(background.NotStarted, match=r"ledger\.sqlite") as damaged:
        background.start(str(tmp_path))
    assert not damaged.value.busy


def test_the_socket_is_this_users_alone(engine: Engine) -> None:
    assert engine.socket.stat().st_mode & 0o777 == 0o600
    assert engine.socket.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">cI", wire.HELLO, 2**31),
        wire.frame(wire.INPUT, b"q"),
        wire.told(wire.HELLO, {"version": wire.VERSION + 1}),
        wire.told(wire.HELLO, ["version"]),
        wire.frame(wire.HELLO, b"\xff"),
        wire.told(wire.HELLO, {"version": wire.VERSION, "want": "command", "words": "status", "cwd": "/"}),
        wire.told(wire.HELLO, {"version": wire.VERSION, "want": "dance"}),
    ],
)
def test_what_is_no_client_is_told_so_and_harms_nobody(engine: Engine, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(engine.socket))
        sock.sendall(sent)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    ((kind, payload),) = wire.Frames().feed(answer)
    assert kind == wire.EXIT
    assert json.loads(payload)["code"] == exits.USAGE
    assert engine.run("status").returncode == exits.OK


def test_the_engine_asks_for_no_file_that_the_command_line_does_not_name(tmp_path: Path) -> None:
    """What comes to a false engine stays with the client, too."""
    from tui.ask import Conversation

    (tmp_path / "secret").write_text("secret")
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(
            wire.told(wire.READ, {"name": str(tmp_path / "secret"), "most": 100})
            + wire.told(wire.WRITE, {"name": str(tmp_path / "planted")})
            + wire.frame(wire.PART, b"x")
            + wire.told(wire.DONE, {"error": ""})
            + wire.told(wire.EXIT, {"code": 7, "text": ""})
        )
        with ours:
            assert Conversation(ours, ["status"]).run() == 7
        answers = [json.loads(payload)["error"] for _, payload in wire.Frames().feed(theirs.recv(65536))]
    assert answers == ["the command line does not name this file"] * 2
    assert not (tmp_path / "planted").exists()


def test_sigterm_ends_it_well_and_the_socket_goes(tmp_path: Path) -> None:
    with serving(tmp_path) as engine:
        assert engine.stop() == exits.OK
        assert not engine.socket.exists()
        # From now on a command opens the data directory by itself.
        assert engine.run("status").returncode == exits.OK
        assert (engine.folder / "syncline.log").read_text() == ""


def test_lists_come_from_the_running_engine_and_events_are_followed_until_ctrl_c(engine: Engine) -> None:
    done = engine.run("jobs", "--json")
    assert (done.returncode, done.stderr) == (exits.OK, "")
    assert "upkeep" in [row["job"] for row in json.loads(done.stdout)["rows"]]
    done = engine.run("users", "--csv", "state:failed")
    assert (done.returncode, done.stdout.count("\n")) == (exits.OK, 1)

    # A shell that runs the tests in the background has it ignored, also by who is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    follower = subprocess.Popen(
        [*syncline("events", "--follow", "--json"), "--data-dir", str(engine.folder)],
        env=engine.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    connections = Path("/proc/net/unix")
    deadline = time.monotonic() + PATIENCE
    while connections.exists() and connections.read_text().count(str(engine.socket)) < 2:
        assert time.monotonic() < deadline
        assert follower.poll() is None
        time.sleep(0.02)
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=PATIENCE)
    assert (follower.returncode, out) == (exits.INTERRUPTED, "")
    assert "Traceback" not in err
