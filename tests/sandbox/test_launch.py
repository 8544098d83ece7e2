"""The sandbox as a process: its ready file, logins, restart, signals, wrong arguments, edits by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from engine.sandbox.kit import edit

SMALL = ("--contacts", "60", "--leads", "5", "--appointments", "40", "--calls", "5", "--service-calls", "5")
SMALL = (*SMALL, "--tasks", "5", "--opportunities", "5", "--cases", "5", "--today", "2026-11-21")
EWS = "http://schemas.microsoft.com/exchange/services/2006"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
CONTACTS = "https://www.googleapis.com/auth/contacts"
CALENDAR = "https://www.googleapis.com/auth/calendar"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "engine.sandbox", *arguments]


@contextmanager
def sandbox(data_dir: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running sandbox and what its ready file says; terminated at the end."""
    ready_file = data_dir.parent / f"{data_dir.name}.ready.json"
    words = command("--data-dir", str(data_dir), "--ready-file", str(ready_file), *arguments)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"the sandbox did not start: {process.communicate()[1]}")
        printed = json.loads(line)
        assert json.loads(ready_file.read_text(encoding="utf-8")) == printed
        yield process, printed
    finally:
        if process.poll() is None:
            process.terminate()
        _, errors = process.communicate(timeout=20)
        assert errors == ""


def crm_token(ready: dict[str, Any]) -> str:
    service = ready["salesforce"]
    form = {
        "grant_type": "client_credentials",
        "client_id": service["client_id"],
        "client_secret": Path(service["client_secret_file"]).read_text(encoding="ascii"),
    }
    return str(httpx.post(service["token_url"], data=form).raise_for_status().json()["access_token"])


def query(ready: dict[str, Any], soql: str, token: str = "") -> dict[str, Any]:
    service = ready["salesforce"]
    url = f"{service['base_url']}/services/data/v{service['api_version']}/query"
    headers = {"Authorization": f"Bearer {token or crm_token(ready)}"}
    found: dict[str, Any] = httpx.get(url, params={"q": soql}, headers=headers).raise_for_status().json()
    return found


def google_headers(ready: dict[str, Any], user: str) -> dict[str, str]:
    credentials = Credentials.from_service_account_file(
        ready["google"]["credentials_file"], scopes=[CONTACTS, CALENDAR], subject=user
    )
    credentials.refresh(Request())
    return {"Authorization": f"Bearer {credentials.token}"}


def connections(ready: dict[str, Any], user: str) -> list[dict[str, Any]]:
    url = ready["google"]["people_url"] + "v1/people/me/connections"
    params = {"personFields": "names,emailAddresses,phoneNumbers,organizations", "pageSize": "1000"}
    answer = httpx.get(url, params=params, headers=google_headers(ready, user)).raise_for_status().json()
    return list(answer.get("connections", []))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with sandbox(tmp_path_factory.mktemp("launch") / "data", *SMALL) as (_, ready):
        yield ready | {"ready_file": str(Path(ready["data_dir"]).parent / "data.ready.json")}


def test_ready_file_names_everything_a_client_needs(running: dict[str, Any]) -> None:
    google, salesforce = running["google"], running["salesforce"]
    base = google["base_url"]
    assert base.startswith("http://127.0.0.1:")
    assert google["calendar_url"] == f"{base}/calendar/v3/"
    assert google["people_url"] == google["tasks_url"] == google["gmail_url"] == f"{base}/"
    assert google["batch_urls"] == {
        "calendar": f"{base}/batch/calendar/v3",
        "people": f"{base}/batch",
        "tasks": f"{base}/batch",
        "gmail": f"{base}/batch",
    }
    assert google["token_uri"] == f"{base}/token"
    assert google["project_id"]
    assert salesforce["token_url"] == f"{salesforce['base_url']}/services/oauth2/token"
    assert salesforce["api_version"] == "62.0"
    assert running["control_url"] == f"{base}/_sandbox"
    assert [user["email"] for user in running["users"]][:2] == ["ann.berg@acme.example", "j.ortiz@acme.example"]
    assert all(set(user) == {"email", "name", "crm_user", "zone"} for user in running["users"])


def test_secrets_are_for_their_owner_only(running: dict[str, Any]) -> None:
    names = (
        running["google"]["credentials_file"],
        running["salesforce"]["client_secret_file"],
        running["salesforce"]["jwt_key_file"],
    )
    for name in names:
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600


def test_crm_holds_the_company(running: dict[str, Any]) -> None:
    token = crm_token(running)
    for sobject, count in (("Contact", 60), ("Lead", 5), ("Opportunity", 5), ("Case", 5), ("Task", 10)):
        assert query(running, f"SELECT COUNT() FROM {sobject}", token)["totalSize"] == count
    owners = {row["OwnerId"] for row in query(running, "SELECT OwnerId FROM Contact", token)["records"]}
    assert owners == {user["crm_user"] for user in running["users"]}


def test_jwt_login_works_too(running: dict[str, Any]) -> None:
    service = running["salesforce"]
    claims = {
        "iss": service["jwt_client_id"],
        "sub": service["username"],
        "aud": service["base_url"],
        "exp": int(time.time()) + 120,
    }
    assertion = jwt.encode(claims, Path(service["jwt_key_file"]).read_text(encoding="ascii"), algorithm="RS256")
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    token = httpx.post(service["token_url"], data=form).raise_for_status().json()["access_token"]
    assert query(running, "SELECT COUNT() FROM Contact", token)["totalSize"] == 60


def test_a_third_of_the_mailboxes_already_holds_own_things(running: dict[str, Any]) -> None:
    counts = [len(connections(running, user["email"])) for user in running["users"]]
    assert counts == [0, 40, 0, 0, 40]
    url = running["google"]["calendar_url"] + "calendars/primary/events"
    events = httpx.get(url, headers=google_headers(running, "j.ortiz@acme.example")).raise_for_status().json()
    assert len(events["items"]) == 20
    crm = query(running, "SELECT Email FROM Contact WHERE Owner.Email = 'j.ortiz@acme.example'")["records"]
    known = {row["Email"].casefold() for row in crm if row["Email"]}
    own = {
        mail["value"].casefold()
        for person in connections(running, "j.ortiz@acme.example")
        for mail in person.get("emailAddresses", [])
    }
    assert len(own & known) == 4
    assert len(own - known) > 20


def run_edit(running: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    words = command("edit", *arguments, "--ready-file", running["ready_file"])
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)


def test_edits_in_the_crm_are_printed_and_made(running: dict[str, Any]) -> None:
    done = run_edit(running, "crm", "--user", "ann.berg@acme.example", "--count", "3")
    assert done.returncode == 0, done.stderr
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({change["id"] for change in changes}) == 3
    for change in changes:
        rows = query(running, f"SELECT Phone, Title FROM Contact WHERE Id = '{change['id']}'")["records"]
        assert rows[0][change["field"]] == change["after"] != change["before"]


def test_edits_in_a_mailbox_are_made_through_its_api(running: dict[str, Any]) -> None:
    user = "p.nair@acme.example"
    changes = list(edit.run("mailbox", Path(running["ready_file"]), user, 2, seed=3))
    people = {person["resourceName"]: person for person in connections(running, user)}
    for change in changes:
        person = people[change["id"]]
        kind = "organizations" if change["field"] == "title" else "phoneNumbers"
        assert change["after"] in {entry.get("title", entry.get("value")) for entry in person[kind]}
    assert len(people) == 40


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("crm", "--user", "nobody@acme.example"), "--user nobody@acme.example"),
        (("mailbox", "--user", "j.ortiz@acme.example", "--count", "900"), "--count 900"),
    ],
)
def test_edits_that_cannot_be_made_say_why(
    running: dict[str, Any], arguments: tuple[str, ...], named: str
) -> None:
    done = run_edit(running, *arguments)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_one_sandbox_per_folder(running: dict[str, Any]) -> None:
    done = subprocess.run(
        command("--data-dir", running["data_dir"]), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert f"process id {running['pid']}" in done.stderr


def test_a_restart_keeps_state_ports_and_keys(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with sandbox(data_dir, *SMALL) as (process, first):
        list(edit.run("crm", tmp_path / "data.ready.json", "ann.berg@acme.example", 1, seed=1))
        title = query(first, "SELECT Id, Phone, Title, SystemModstamp FROM Contact ORDER BY Id")["records"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert not (tmp_path / "data.ready.json").exists()
    with sandbox(data_dir, "--users", "50") as (process, second):
        assert {**second, "pid": 0} == {**first, "pid": 0}
        assert (
            query(second, "SELECT Id, Phone, Title, SystemModstamp FROM Contact ORDER BY Id")["records"]
            == title
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


def test_other_ports_on_restart_still_log_in(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with sandbox(data_dir, "--users", "1", "--empty") as (_, first):
        pass
    taken = [int(first[name]["base_url"].rsplit(":", 1)[1]) for name in ("google", "salesforce")]
    with socket.create_server(("127.0.0.1", taken[0])), socket.create_server(("127.0.0.1", taken[1])):
        with sandbox(data_dir) as (_, second):
            assert second["google"]["base_url"] != first["google"]["base_url"]
            assert connections(second, "ann.berg@acme.example") == []
            assert query(second, "SELECT COUNT() FROM Contact")["totalSize"] == 0
        done = subprocess.run(
            command("--data-dir", str(data_dir), "--port-google", str(taken[0])),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"--port-google: port {taken[0]} is in use" in done.stderr


def test_a_loading_cut_short_is_begun_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    db = sqlite3.connect(data_dir / "sandbox.sqlite")
    with db:
        db.execute("CREATE TABLE launcher_state(key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute("INSERT INTO launcher_state VALUES ('loading', 'true')")
        db.execute("CREATE TABLE sf_ready (half INTEGER)")
    db.close()
    with sandbox(data_dir, *SMALL, "--services", "salesforce") as (_, ready):
        assert "google" not in ready
        assert ready["control_url"] == f"{ready['salesforce']['base_url']}/_sandbox"
        assert query(ready, "SELECT COUNT() FROM Contact")["totalSize"] == 60


def test_exchange_stands_beside_the_others_when_asked_for(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with sandbox(data_dir, *SMALL) as (_, first):
        assert "exchange" not in first
    with sandbox(data_dir, "--services", "google,salesforce,exchange") as (_, ready):
        exchange = ready["exchange"]
        assert exchange["ews_url"] == f"{exchange['base_url']}/EWS/Exchange.asmx"
        assert stat.S_IMODE(os.stat(exchange["passwords_file"]).st_mode) == 0o600
        passwords = json.loads(Path(exchange["passwords_file"]).read_text(encoding="utf-8"))
        assert set(passwords) == {exchange["service_account"], *(user["email"] for user in ready["users"])}
        counts = {}
        for folder in ("calendar", "contacts", "tasks"):
            body = (
                f'<m:GetFolder xmlns:m="{EWS}/messages" xmlns:t="{EWS}/types"><m:FolderShape><t:BaseShape>Default'
                "</t:BaseShape></m:FolderShape><m:FolderIds>"
                f'<t:DistinguishedFolderId Id="{folder}"/></m:FolderIds></m:GetFolder>'
            )
            user = ready["users"][0]["email"]
            envelope = f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{body}</s:Body></s:Envelope>'
            answer = httpx.post(
                exchange["ews_url"], content=envelope, auth=(user, passwords[user])
            ).raise_for_status()
            counts[folder] = int(answer.text.partition("TotalCount>")[2].partition("<")[0])
        assert counts == {"calendar": 6, "contacts": 5, "tasks": 3}


def test_answers_that_last_end_with_the_sandbox(tmp_path: Path) -> None:
    with sandbox(tmp_path / "data", "--services", "exchange", "--users", "1", "--empty") as (process, ready):
        exchange, user = ready["exchange"], ready["users"][0]["email"]
        login = (user, json.loads(Path(exchange["passwords_file"]).read_text(encoding="utf-8"))[user])

        def envelope(body: str) -> str:
            names = f'xmlns:s="{SOAP}" xmlns:m="{EWS}/messages" xmlns:t="{EWS}/types"'
            return f"<s:Envelope {names}><s:Body>{body}</s:Body></s:Envelope>"

        kinds = "<t:EventTypes><t:EventType>CreatedEvent</t:EventType></t:EventTypes>"
        wish = f'<m:StreamingSubscriptionRequest SubscribeToAllFolders="true">{kinds}</m:StreamingSubscriptionRequest>'
        made = httpx.post(
            exchange["ews_url"], content=envelope(f"<m:Subscribe>{wish}</m:Subscribe>"), auth=login
        )
        name = made.text.partition("SubscriptionId>")[2].partition("<")[0]
        body = (
            f"<m:GetStreamingEvents><m:SubscriptionIds><t:SubscriptionId>{name}</t:SubscriptionId></m:SubscriptionIds>"
            "<m:ConnectionTimeout>30</m:ConnectionTimeout></m:GetStreamingEvents>"
        )
        with httpx.stream(
            "POST", exchange["ews_url"], content=envelope(body), auth=login, timeout=30
        ) as answer:
            pieces = answer.iter_text()
            assert "ConnectionStatus>OK" in next(pieces)
            process.send_signal(signal.SIGTERM)
            assert "ErrorSubscriptionNotFound" in "".join(pieces)
        assert process.wait(timeout=20) == 0


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    words = command("--data-dir", str(tmp_path / "data"), "--users", "1", "--empty", "--exit-with-parent")
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    ready = json.loads(parent.stdout.readline())
    parent.kill()
    # The grandchild holds the pipe too, so its end is the end of the file.
    assert parent.stdout.read() == ""
    parent.wait(timeout=20)
    parent.stdout.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(ready["control_url"] + "/stats")


@pytest.mark.parametrize(
    ("arguments", "named", "allowed"),
    [
        ((), "--data-dir", "required"),
        (("--users", "0"), "--users", "1 to 5000"),
        (("--users", "many"), "--users", "1 to 5000"),
        (("--contacts", "-1"), "--contacts", "from 0"),
        (("--services", "google,graph"), "--services", "google, salesforce, exchange"),
        (("--quota", "maybe"), "--quota", "'real', 'off'"),
        (("--latency-ms", "x"), "--latency-ms", "0 to 60000"),
        (("--people-lag", "-3"), "--people-lag", "0 to 86400"),
        (("--port-google", "70000"), "--port-google", "0 to 65535"),
        (("--today", "yesterday"), "--today", "2026-11-21"),
        (("--data-dir", "x", "--empty", "--tasks", "3"), "--empty", "--tasks"),
        (("--colour",), "--colour", ""),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(
    arguments: tuple[str, ...], named: str, allowed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.sandbox.__main__ import main

    given = arguments if "--data-dir" in arguments or not arguments else ("--data-dir", "x", *arguments)
    with pytest.raises(SystemExit) as left:
        main(given)
    text = capsys.readouterr().err
    assert left.value.code == 2
    assert named in text
    assert allowed in text
    assert text.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="ascii")
    done = subprocess.run(
        command("--data-dir", str(tmp_path / "file" / "data")),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "data directory" in done.stderr
    assert "Traceback" not in done.stderr
