"""The lists of the command line over fixed rows: what a script reads, what a spreadsheet gets, what a person sees."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from argparse import Namespace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.service import Line
from tests.screens import fake
from tui import cli, events, exits, lists
from tui.exits import Trouble
from tui.out import Out

ZONE = ZoneInfo("Europe/Berlin")


class Heard(Out):
    """Keeps what is printed."""

    def __init__(self) -> None:
        super().__init__("alice", ZONE, remote=False)
        self.text = self.errors = ""
        self.more = asyncio.Event()

    def print(self, text: str = "", end: str = "\n") -> None:
        self.text += text + end
        self.more.set()

    def warn(self, text: str) -> None:
        self.errors += text + "\n"

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def folder(self, name: str) -> Path:
        raise AssertionError("no list reads a file")

    async def read(self, name: str) -> bytes:
        raise AssertionError("no list reads a file")

    async def write(self, name: str, data: bytes) -> None:
        raise AssertionError("no list writes a file")


class Service(fake.FakeService):
    async def newest_lines(self, limit: int, mailbox: str | None = None) -> list[tuple[str, Line]]:
        found = [(key, line) for key, ring in self.store.lines.items() for line in ring]
        return sorted(found, key=lambda one: one[1].seq)[-limit:]


@pytest.fixture
def service() -> Service:
    made = Service(fake.running())
    made.history = [run for job in made.store.jobs for run in fake.history(job)]
    return made


def given(*words: str) -> Namespace:
    return cli.parse(words)


async def printed(command: object, service: Service, *words: str) -> str:
    out = Heard()
    assert await command(service, given(*words), out) == exits.OK  # type: ignore[operator]
    return out.text


async def test_the_queue_stands_in_the_order_of_the_app(service: Service) -> None:
    rows = json.loads(await printed(lists.queue, service, "queue", "--json"))["rows"]
    assert tuple(rows[0]) == lists.QUEUE
    states = [row["state"] for row in rows]
    assert (
        states.index("backoff") < states.index("initializing") < states.index("queued") < states.index("idle")
    )
    waiting = [row["place"] for row in rows if row["state"] == "queued"]
    assert waiting == sorted(waiting)
    (first,) = [row for row in rows if row["mailbox"] == "t.nowak@example.com"]
    assert (first["step_number"], first["done"], first["total"]) == (1, 1204, None)


async def test_a_filter_is_that_of_the_app(service: Service) -> None:
    text = await printed(lists.users, service, "users", "--json", "state:active", "policy:emea")
    assert {row["state"] for row in json.loads(text)["rows"]} == {"syncing"}
    text = await printed(lists.users, service, "users", "--json", "--", "-policy:emea", "-policy:support")
    assert {row["policy"] for row in json.loads(text)["rows"]} == {"Sales APAC", "Marketing"}
    assert await printed(lists.users, service, "users", "state:failed") == "no user matches state:failed\n"
    with pytest.raises(
        Trouble, match=r"unknown filter word 'colour:'. Known: state: policy: user: step:"
    ) as trouble:
        await printed(lists.users, service, "users", "colour:red")
    assert trouble.value.code == exits.USAGE


async def test_every_list_is_one_json_document_and_csv_with_the_documented_names(service: Service) -> None:
    for command, names, words in (
        (lists.queue, lists.QUEUE, ["queue"]),
        (lists.users, lists.USERS, ["users"]),
        (lists.jobs, lists.JOBS, ["jobs"]),
        (lists.runs, lists.RUNS, ["runs"]),
    ):
        document = json.loads(await printed(command, service, *words, "--json"))
        assert list(document) == ["rows"]
        assert document["rows"]
        assert all(tuple(row) == names for row in document["rows"])
        table = list(csv.reader(io.StringIO(await printed(command, service, *words, "--csv"))))
        head = [f"{name.removesuffix('_ms')}_utc" if name.endswith("_ms") else name for name in names]
        assert table[0] == head
        assert len(table) == len(document["rows"]) + 1
        empty = await printed(command, service, *words, "--csv", "nothing-has-this")
        assert empty == ",".join(head) + "\n"
        assert json.loads(await printed(command, service, *words, "--json", "nothing-has-this")) == {"rows": []}
        documented = Path("docs/cli.md").read_text(encoding="utf-8")
        assert all(f'"{name}"' in documented for name in names), command


async def test_csv_has_times_in_utc_and_no_formulas(service: Service) -> None:
    row = service.store.users["h.costa@example.com"]
    row.crm_user = '=HYPERLINK("http://evil.example")'
    rows = list(csv.DictReader(io.StringIO(await printed(lists.users, service, "users", "--csv", "h.costa"))))
    assert rows[0]["crm_user"] == '\'=HYPERLINK("http://evil.example")'
    assert rows[0]["last_success_utc"] == "2026-11-21T12:57:12Z"
    assert rows[0]["stale_since_utc"] == ""


async def test_what_others_wrote_cannot_steer_the_terminal(service: Service) -> None:
    service.store.append("h.costa@example.com", fake.NOW, "+", "contact \x1b]0;owned\x07 created", 1)
    for words in (["events"], ["events", "--json"], ["events", "--csv"]):
        assert "\x1b" not in await printed(events.events, service, *words, "--limit", "1")


async def test_runs_are_youngest_first_and_at_most_so_many(service: Service) -> None:
    rows = json.loads(await printed(lists.runs, service, "runs", "--json", "--limit", "3"))["rows"]
    assert len(rows) == 3
    begun = [row["started_ms"] for row in rows]
    assert begun == sorted(begun, reverse=True)
    rows = json.loads(await printed(lists.runs, service, "runs", "--json", "result:failed"))["rows"]
    assert all(row["result"] == "failed" for row in rows)


async def test_events_go_on_with_what_comes_each_line_once(service: Service) -> None:
    store, out = service.store, Heard()
    store.append("h.costa@example.com", fake.NOW, "+", "contact 'Before' created", 1)
    following = asyncio.create_task(
        events.events(service, given("events", "--follow", "--json", "--limit", "2", "level:item"), out)  # type: ignore[arg-type]
    )
    await out.more.wait()
    out.more.clear()
    store.append("h.costa@example.com", fake.NOW + 1, "+", "contact 'After' created", 1)
    store.append("h.costa@example.com", fake.NOW + 2, "▸", "calendar begins", 2)
    store.append("a.diaz@example.com", fake.NOW + 3, "~", "contact 'Then' updated", 1)
    while "'Then'" not in out.text:
        await out.more.wait()
        out.more.clear()
    out.stopped.set()
    assert await following == exits.OK
    lines = [json.loads(line) for line in out.text.splitlines()]
    assert [line["text"] for line in lines[-3:]] == [
        "contact 'Before' created",
        "contact 'After' created",
        "contact 'Then' updated",
    ]
    assert all(tuple(line) == events.EVENTS for line in lines)
    assert not store._subscriptions


async def test_nothing_is_followed_where_nothing_can_come(service: Service) -> None:
    service.store.engine.running = False
    with pytest.raises(Trouble, match="no engine works on this data directory"):
        await printed(events.events, service, "events", "--follow")
    assert not service.store._subscriptions


async def test_a_reader_that_is_too_slow_is_told_what_it_missed(service: Service) -> None:
    store, out = service.store, Heard()
    store.append("h.costa@example.com", fake.NOW, "+", "first", 1)
    follower = events.Follower(store)
    for number in range(2_500):
        store.append("h.costa@example.com", fake.NOW + number, "+", f"line {number}", 1)
    found = follower.fresh(out)
    follower.close()
    assert [line.text for _, line in found] == [f"line {number}" for number in range(500, 2_500)]
    assert "lines of h.costa@example.com were skipped" in out.errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["runs", "--limit", "many"], "a whole number from 0 to 100000 is"),
        (["queue", "--json", "--csv"], "not allowed with"),
        (["events", "--follow", "--csv"], "events --follow prints lines or --json, not --csv"),
    ],
)
def test_wrong_options_are_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parse(words)
    assert ended.value.code == exits.USAGE
    assert told in capsys.readouterr().err
