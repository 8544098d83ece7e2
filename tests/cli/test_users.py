"""``syncline users`` and ``syncline incidents`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtime.test_freshness import FILE
from tests.sync.world import A
from tui import cli, exits


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "sales.toml").write_text(
        FILE.replace("{contact}", "enabled = true").replace("enabled = true\n[pol", "[pol")
    )
    assert run(tmp_path, "apply", str(tmp_path / "sales.toml")) == exits.OK
    capsys.readouterr()
    return tmp_path


def run(folder: Path, *words: str) -> int:
    return cli.main([*words, "--data-dir", str(folder / "data")])


def test_an_import_is_shown_first_and_stored_whole_or_not_at_all(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "people.csv"
    file.write_text(f"Operator;Calendar Sync\n{A};no\nnew@example.org;yes\nbad address;yes\n")
    assert run(folder, "users", "import", str(file)) == exits.USAGE
    told = capsys.readouterr()
    assert "1 to add, 1 to change, 0 as they are, 1 rejected" in told.out
    assert "nothing was changed" in told.err
    assert run(folder, "users", "--json") == exits.OK
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2
    file.write_text(file.read_text().replace("bad address;yes\n", ""))
    assert run(folder, "users", "import", str(file), "--dry-run") == exits.OK
    assert "dry run: nothing was changed" in capsys.readouterr().out
    assert run(folder, "users", "import", str(file)) == exits.OK
    assert "1 user added, 1 changed, 0 as before" in capsys.readouterr().out
    assert run(folder, "users", "export", str(folder / "out.csv")) == exits.OK
    capsys.readouterr()
    text = (folder / "out.csv").read_text(encoding="utf-8-sig")
    assert f"{A},Sales,,,false," in text
    assert run(folder, "users", "import", str(folder / "out.csv"), "--json") == exits.OK
    again = json.loads(capsys.readouterr().out)
    assert (again["adds"], again["changes"], again["same"]) == ([], [], 3)


def test_wrong_words_say_what_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(folder, "users", "import")
    assert "needs a FILE.csv" in capsys.readouterr().err
    (folder / "x.csv").write_text("email\na@b.example\n")
    assert run(folder, "users", "import", str(folder / "x.csv"), "--map", "email") == exits.USAGE
    assert "is not FIELD=COLUMN" in capsys.readouterr().err


def test_incidents_when_nothing_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "incidents") == exits.OK
    assert "no incident" in capsys.readouterr().out
    assert run(folder, "incidents", "--json") == exits.OK
    assert json.loads(capsys.readouterr().out) == {"incidents": [], "mails": {"undelivered": [], "waiting": 0}}
    assert run(folder, "incidents", "--ack", "7") == exits.USAGE
    assert "over" in capsys.readouterr().err
