"""A disk that fails under a running engine, an old ledger that is restored, a ledger that is lost or damaged."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.service import EnablePolicy, Service, ServiceError, SettleHeld, UserState, upkeep
from engine.service import Settle as How
from tests.acceptance.forks import fork
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    assert_no_doubles,
    engine,
    town,
)
from tests.clocks import HastyClock
from tests.ledger.disk import Disk, failing

TINY = {
    "contacts": 14,
    "leads": 2,
    "appointments": 8,
    "calls": 1,
    "service_calls": 1,
    "tasks": 3,
    "opportunities": 2,
    "cases": 1,
}
ON = 'enabled = true\nmailbox_deletes = "mirror"\n'


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot be used is tried more often than once a second."""
    monkeypatch.setattr(upkeep, "FLUSH_SECONDS", 0.05)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY) as running:
        yield running


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - rows are pulled, and tell by no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("code", "words"), [(sqlite3.SQLITE_FULL, "the disk is full"), (sqlite3.SQLITE_IOERR, "the disk reports")]
)
async def test_a_disk_that_fails_is_told_on_every_screen_and_everything_goes_on_when_it_is_well(
    place: Town, tmp_path: Path, code: int, words: str
) -> None:
    """It fails in the middle of the first sync, for some seconds; nobody starts anything again by hand."""
    disk = Disk(code, frozenset({"write", "commit"}), lasts=10_000_000)
    with failing(disk):
        async with engine(tmp_path, place.config(), clock=HastyClock()) as service:
            disk.number, disk.at = 0, 60
            await service.do(EnablePolicy("Demo"), "alice")
            row = service.store.engine
            await until(lambda: row.fault != "")
            assert row.fault.startswith("Critical: the ledger ")
            assert words in row.fault
            assert (await service.status())["engine"]["fault"] == row.fault
            await until(lambda: not service._timekeeper.running("full:Demo"))
            before = place.stats()
            answer = await service.do(EnablePolicy("Demo"), "alice")
            assert not answer.ok
            assert words in answer.text
            hits = disk.hits
            await until(lambda: disk.hits > hits + 1)  # it is tried again and again
            after = place.stats()
            assert after["google.http"] == before["google.http"], "calls went out although nothing can be noted"
            assert row.fault
            disk.heal()
            await until(lambda: row.fault == "")
            assert "can be used again" in row.message
            await until(lambda: {one.state for one in service.store.users.values()} == {UserState.IDLE})
            await until(lambda: not service._timekeeper.running("full:Demo"))
            assert (await service.status())["engine"]["fault"] == ""
            assert_idle(await service.sync("Demo", "alice"))
            await assert_all_green(service)
            assert_no_doubles(place)
    assert place.stats()["google.mails"] == 0


def _choked(folder: Path) -> None:
    """In a process of its own: the operating system lets no file grow, then lets it again."""

    async def story() -> dict[str, Any]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        upkeep.FLUSH_SECONDS = 0.05
        service = await Service.open(folder / "data", clock=HastyClock())
        told: dict[str, Any] = {}
        try:
            assert (await service.apply((folder / "demo.toml").read_text(encoding="utf-8"), "x", "test")).ok
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            async with service.running():
                size = (folder / "data" / "ledger.sqlite-wal").stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, hard))
                await service.do(EnablePolicy("Demo"), "test")
                await until(lambda: service.store.engine.fault != "")
                told["fault"] = service.store.engine.fault
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                await until(lambda: service.store.engine.fault == "")
                await until(lambda: not service._timekeeper.running("full:Demo"))
                told["report"] = await service.sync("Demo", "test")
        finally:
            await service.close()
        return told

    (folder / "told.json").write_text(json.dumps(asyncio.run(story())), encoding="utf-8")


async def test_files_that_the_system_lets_no_longer_grow(place: Town, tmp_path: Path) -> None:
    """No injection: the operating system itself refuses the writes of SQLite, in the middle of a first sync."""
    (tmp_path / "demo.toml").write_text(place.config(), encoding="utf-8")
    process = fork(_choked, tmp_path)
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == 0
    told = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
    assert told["fault"].startswith("Critical: the ledger ")
    assert_idle(told["report"])
    assert_no_doubles(place)
    async with engine(tmp_path, None) as service:
        await assert_all_green(service)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes at ``data``."""
    folder = tmp_path / "data"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_file_system_that_is_really_full(place: Town, tmp_path: Path, small_disk: Path) -> None:
    """Other files fill the disk in the middle of the first sync, and are removed again."""
    async with engine(tmp_path, place.config(), clock=HastyClock()) as service:
        ballast = small_disk / "ballast"
        left = shutil.disk_usage(small_disk).free - 48 * 1024
        ballast.write_bytes(b"x" * left)
        await service.do(EnablePolicy("Demo"), "alice")
        row = service.store.engine
        await until(lambda: row.fault != "")
        assert "the disk is full" in row.fault
        await until(lambda: not service._timekeeper.running("full:Demo"))
        ballast.unlink()
        await until(lambda: row.fault == "")
        await until(lambda: {one.state for one in service.store.users.values()} == {UserState.IDLE})
        await until(lambda: not service._timekeeper.running("full:Demo"))
        assert_idle(await service.sync("Demo", "alice"))
        await assert_all_green(service)
        assert_no_doubles(place)


async def test_no_engine_starts_on_a_disk_that_fails_and_the_advice_is_right(
    place: Town, tmp_path: Path
) -> None:
    async with engine(tmp_path, place.config()):
        pass
    with failing(Disk(sqlite3.SQLITE_FULL, frozenset({"write"}), at=1, lasts=1000)) as disk:
        with pytest.raises(ServiceError, match="the disk is full; free some space"):
            await Service.open(tmp_path / "data")
        disk.heal()
        await (await Service.open(tmp_path / "data")).close()


def _copy(source: Path, target: Path) -> None:
    """A backup as people make it: a copy of the file, of an engine at rest."""
    target.mkdir()
    shutil.copy(source / "ledger.sqlite", target / "ledger.sqlite")


async def _quiet(place: Town, service: Service) -> None:
    for _ in range(6):
        place.reset()
        if (await service.sync("Demo", "test"))["totals"]["writes"] == 0:
            break
    assert place.writes() == {}
    await assert_all_green(service)
    assert_no_doubles(place)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_ledger_of_yesterday_or_none_deletes_nothing_and_doubles_nothing(
    place: Town, tmp_path: Path, lost: bool
) -> None:
    """After the copy people made, edited and deleted on both sides, and the engine carried all of it over."""
    user = place.users[0]
    data = tmp_path / "data"
    async with engine(tmp_path, place.config(policy=ON)) as service:
        await _quiet(place, service)
    _copy(data, tmp_path / "backup")
    contacts = {
        entry["value"].split(".")[1]: person for person in place.contacts(user) for entry in _ours(person)
    }
    edited, also, gone, away = [record for record in sorted(contacts) if record.startswith("003")][:4]
    async with engine(tmp_path, None) as service:
        place.change("Contact", edited, Title="Chief of Maps")
        _phone(place, user, contacts[also], "+49 30 9010001")
        place.remove("Contact", gone)
        place.google(user, "DELETE", f"v1/{contacts[away]['resourceName']}:deleteContact")
        owner = place.crm_user(user)
        place.crm("POST", "sobjects/Contact", json={"LastName": "Alt", "OwnerId": owner})
        group = place.groups(user)["CRM Contacts"]
        member = {"contactGroupMembership": {"contactGroupResourceName": group}}
        body = {"names": [{"familyName": "Neu"}], "memberships": [member]}
        place.google(user, "POST", "v1/people:createContact", json=body)
        for _ in range(3):
            await service.sync("Demo", "test")
            await service.do(SettleHeld(user, None, How.APPROVE), "test")
        await _quiet(place, service)
    # One more edit on each side, which no engine has seen yet.
    place.change("Contact", edited, Department="Atlas")
    _phone(place, user, place.contact(user, contacts[also]["resourceName"]), "+49 30 9010002")
    before = _records(place, user)
    shutil.rmtree(data)
    if not lost:
        (tmp_path / "backup").rename(data)
    place.reset()
    async with engine(tmp_path, place.config(policy=ON)) as service:
        await service.sync("Demo", "test")
        deletes = [name for name in place.writes() if "elete" in name or "DELETE" in name or "trash" in name]
        assert deletes == []
        await _quiet(place, service)
        assert await service.waiting() == [] or lost
    assert _records(place, user) == before
    [row] = place.soql(f"SELECT Title, Department FROM Contact WHERE Id = '{edited}'")
    assert (row["Title"], row["Department"]) == ("Chief of Maps", "Atlas")
    assert "Atlas" in str(place.contact(user, contacts[edited]["resourceName"]))
    [row] = place.soql(f"SELECT Phone FROM Contact WHERE Id = '{also}'")
    assert row["Phone"] == "+49 30 9010002"


def _ours(person: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in person.get("clientData", []) if entry["key"] == "syncline_key"]


def _phone(place: Town, user: str, person: dict[str, Any], value: str) -> None:
    current = place.contact(user, person["resourceName"])
    place.google(
        user,
        "PATCH",
        f"v1/{person['resourceName']}:updateContact",
        params={"updatePersonFields": "phoneNumbers"},
        json={"etag": current["etag"], "phoneNumbers": [{"type": "work", "value": value}]},
    )


def _records(place: Town, user: str) -> dict[str, list[str]]:
    """What is there on both sides, by id."""
    return {
        "contacts": sorted(row["Id"] for row in place.soql("SELECT Id FROM Contact")),
        "events": sorted(row["Id"] for row in place.soql("SELECT Id FROM Event")),
        "people": sorted(person["resourceName"] for person in place.contacts(user)),
        "diary": sorted(event["id"] for event in place.events(user)),
    }
