"""The whole connector over real sockets: sign-in, quota users, structure, doctor."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.mailbox.google.ensure import calendar_marker
from engine.mailbox.google.settings import Api
from engine.mailbox.google.wire import quota_user
from engine.model.modules import Module
from engine.model.port import Account, CalendarMode, CreateKey, Guard, Result, Structure, Write, WriteKind
from engine.net.errors import ErrorKind, ProviderError
from engine.sandbox.google.accounts import delegate
from engine.sandbox.google.discovery import all_scopes
from tests.mailbox.google.conftest import ANNA, BEN, Google, scope_of

COLOURS = {
    Module.APPOINTMENT: ("CRM Appointment", "#3f51b5"),
    Module.CALL: ("CRM Phone Call", "#f4511e"),
    Module.SERVICE_CALL: ("CRM Service Call", "#0b8043"),
}
COLOUR = Structure(calendar_mode=CalendarMode.COLOUR, colours=COLOURS)
SEPARATE = Structure(calendar_mode=CalendarMode.SEPARATE, calendar_name="CRM", colours=COLOURS)
WHOLE = Structure(
    groups={Module.CONTACT: "CRM Contacts", Module.LEAD: "CRM Leads"},
    calendar_mode=CalendarMode.COLOUR,
    colours=COLOURS,
    tasks=True,
    labels=("CRM", "CRM/Opportunities", "CRM/Cases"),
)


def create(key: str) -> Write:
    fields = {"subject": key, "start": {"date": "2026-11-24"}, "end": {"date": "2026-11-25"}}
    return Write(WriteKind.CREATE, Module.APPOINTMENT, key, fields=fields)


def quota_users(google: Google) -> set[str]:
    """The quota users of all calls so far, those inside batches too; empty for a call without one."""
    found = set()
    for asked in google.calls():
        found.add(asked.query.get("quotaUser", [""])[0])
        if not asked.path.startswith("/batch"):
            continue
        envelope = message_from_bytes(
            b"Content-Type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body
        )
        for part in envelope.get_payload():
            target = str(part.get_payload()).split()[1]  # type: ignore[union-attr]
            found.add(parse_qs(urlsplit(target).query).get("quotaUser", [""])[0])
    return found


async def test_every_call_names_its_quota_user(google: Google) -> None:
    connector = google.connector()
    containers = await connector.ensure(ANNA, WHOLE, {})
    for scope in containers.scopes:
        async for _ in connector.changes(scope, None):
            pass
        if scope.key == "calendar":
            await connector.apply(scope, [create("a"), create("b")])
    await connector.verify(ANNA, WHOLE, containers.ids)
    assert quota_users(google) == {quota_user(ANNA)}


async def test_one_sign_in_serves_all_who_wait(google: Google) -> None:
    connector = google.connector()
    await asyncio.gather(*(connector.ensure(ANNA, COLOUR, {}) for _ in range(5)))
    assert google.world.counters["google.token"] == 1


async def test_a_token_that_expired_early_is_renewed_once(google: Google) -> None:
    connector = google.connector()
    scope = await scope_of(connector, "calendar", COLOUR)
    google.world.clock.offset_ms += 4_000_000
    pages = [page async for page in connector.changes(scope, None)]
    assert pages[-1].cursor
    assert google.world.counters["google.token"] == 2


async def test_a_missing_delegation_says_what_to_authorise(google: Google) -> None:
    delegate(google.world, [])
    connector = google.connector()
    with pytest.raises(ProviderError) as caught:
        await connector.ensure(ANNA, COLOUR, {})
    assert caught.value.kind is ErrorKind.DELEGATION
    client_id = json.loads(google.key_file.read_text())["client_id"]
    assert client_id in caught.value.advice
    assert "https://www.googleapis.com/auth/calendar" in caught.value.advice


async def test_apis_that_are_delegated_work_without_those_that_are_not(google: Google) -> None:
    delegate(google.world, ["https://www.googleapis.com/auth/tasks"])
    connector = google.connector()
    [scope] = (await connector.ensure(ANNA, Structure(tasks=True), {})).scopes
    assert [page.observations async for page in connector.changes(scope, None)] == [()]
    with pytest.raises(ProviderError) as caught:
        await connector.ensure(ANNA, COLOUR, {})
    assert caught.value.kind is ErrorKind.DELEGATION


async def test_an_unknown_person(google: Google) -> None:
    with pytest.raises(ProviderError) as caught:
        await google.connector().ensure(Account("nobody@firm.example"), COLOUR, {})
    assert caught.value.kind is ErrorKind.CREDENTIAL
    assert "nobody@firm.example" in str(caught.value)


async def test_a_write_without_delegation_fails_as_a_whole(google: Google) -> None:
    connector = google.connector()
    scope = await scope_of(connector, "calendar", COLOUR)
    fresh = google.connector()
    delegate(google.world, [])
    with pytest.raises(ProviderError) as caught:
        await fresh.apply(scope, [create("a"), create("b")])
    assert caught.value.kind is ErrorKind.DELEGATION


async def test_an_unreachable_server_is_named(google: Google) -> None:
    connector = google.connector(token_uri="http://127.0.0.1:1/token")
    with pytest.raises(ProviderError) as caught:
        await connector.client.delegation._fetch((ANNA.email, ("scope",)))
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert "127.0.0.1:1" in str(caught.value)


async def test_no_secret_in_any_text(google: Google) -> None:
    connector = google.connector()
    token, _ = await connector.client.token(Api.CALENDAR, ANNA)
    key = json.loads(google.key_file.read_text())["private_key"].splitlines()[1]
    google.fault(route="colors", kind="status", status=400, body="not json", times=5)
    with pytest.raises(ProviderError) as caught:
        await connector.ensure(ANNA, COLOUR, {})
    for text in (
        str(caught.value),
        repr(caught.value),
        repr(connector.client.settings),
        repr(vars(connector.client)),
    ):
        assert token not in text
        assert key not in text


# -- structure -----------------------------------------------------------------------------------------------


async def test_the_whole_structure_is_made_once(google: Google) -> None:
    connector = google.connector()
    first = await connector.ensure(ANNA, WHOLE, {})
    assert {scope.key for scope in first.scopes} == {"contacts", "calendar", "tasks", "mail"}
    assert set(first.ids) == {
        "group:contact",
        "group:lead",
        "calendar",
        "colour:appointment",
        "colour:call",
        "colour:service_call",
        "tasks",
        "label:CRM",
        "label:CRM/Opportunities",
        "label:CRM/Cases",
    }
    assert first.created
    again = await google.connector().ensure(ANNA, WHOLE, {})
    assert (again.ids, again.created) == (first.ids, ())
    findings = await connector.verify(ANNA, WHOLE, first.ids)
    assert all(finding.ok for finding in findings), findings


async def test_only_what_the_policy_needs_is_touched(google: Google) -> None:
    connector = google.connector()
    containers = await connector.ensure(ANNA, Structure(tasks=True), {})
    assert [scope.key for scope in containers.scopes] == ["tasks"]
    # Google's alias names the list, so that it need not be looked up.
    assert google.calls() == []
    [made] = await connector.apply(
        containers.scopes[0], [Write(WriteKind.CREATE, Module.TASK, "k1", fields={"subject": "Call Ada"})]
    )
    assert made.result is Result.DONE
    assert {asked.path.split("/")[1] for asked in google.calls()} == {"tasks"}


async def test_a_task_list_of_an_earlier_time_is_kept_while_it_is_there(google: Google) -> None:
    connector = google.connector()
    inserted = connector.client.tasks.tasklists.insert(body={"title": "CRM"})
    known = str((await connector.client.execute(inserted, ANNA, idempotent=False))["id"])
    assert (await connector.ensure(ANNA, Structure(tasks=True), {"tasks": known})).ids == {"tasks": known}
    deleted = connector.client.tasks.tasklists.delete(tasklist=known)
    await connector.client.execute(deleted, ANNA, idempotent=True)
    assert (await connector.ensure(ANNA, Structure(tasks=True), {"tasks": known})).ids == {"tasks": "@default"}


async def test_the_structure_of_a_new_mailbox_is_made_without_looking_for_it(google: Google) -> None:
    google.forget()
    await google.connector().ensure(ANNA, WHOLE, {})
    asked = Counter(f"{one.verb} {one.path.partition('?')[0]}" for one in google.calls())
    # Two groups (People has no batch for them), one palette, one batch of labels.
    assert asked == {"POST /v1/contactGroups": 2, "GET /calendar/v3/colors": 1, "POST /batch": 1}


async def test_mailboxes_that_begin_together_share_one_reading_of_the_palette(google: Google) -> None:
    connector = google.connector()
    found = await asyncio.gather(*(connector.ensure(one, COLOUR, {}) for one in (ANNA, BEN)))
    assert found[0].ids == found[1].ids
    assert [asked.path for asked in google.calls()] == ["/calendar/v3/colors"]


async def test_the_palette_is_read_once_for_all_mailboxes(google: Google) -> None:
    connector = google.connector()
    one = await connector.ensure(ANNA, COLOUR, {})
    google.forget()
    other = await connector.ensure(BEN, COLOUR, {})
    assert one.ids == other.ids
    assert len({one.ids[f"colour:{module.value}"] for module in COLOURS}) == 3
    assert google.calls() == []


async def test_a_separate_calendar_is_made_once_and_coloured(google: Google) -> None:
    connector = google.connector()
    first = await connector.ensure(ANNA, SEPARATE, {})
    assert first.created == ("calendar CRM",)
    scope = first.scopes[0]
    assert (scope.key, scope.remote_id) == ("calendar:crm", first.ids["calendar"])
    again = await connector.ensure(ANNA, SEPARATE, {})
    assert (again.ids, again.created) == (first.ids, ())
    entry = await connector.client.execute(
        connector.client.calendar.calendarList.get(calendarId=scope.remote_id), ANNA, idempotent=True
    )
    assert entry["backgroundColor"] == "#3f51b5"
    assert calendar_marker(ANNA) in entry["description"]
    outcome = (await connector.apply(scope, [create("a")]))[0]
    assert outcome.observation is not None
    assert not (outcome.observation.native or {}).get("read_only")
    findings = await connector.verify(ANNA, SEPARATE, first.ids)
    assert [finding.ok for finding in findings] == [True]
    gone = await connector.verify(ANNA, SEPARATE, {"calendar": "gone@group.calendar.google.com"})
    assert [finding.ok for finding in gone] == [False]


async def test_a_lost_reply_to_the_calendars_insert_makes_no_second_one(google: Google) -> None:
    connector = google.connector()
    google.fault(route="calendar.calendars.insert", kind="lost_reply")
    with pytest.raises(ProviderError):
        await connector.ensure(ANNA, SEPARATE, {})
    found = await connector.ensure(ANNA, SEPARATE, {})
    assert found.created == ()
    answer = await connector.client.execute(
        connector.client.calendar.calendarList.list(), ANNA, idempotent=True
    )
    assert len(answer["items"]) == 2


async def test_event_labels_instead_of_colours(google: Google) -> None:
    connector = google.connector(event_labels=True)
    first = await connector.ensure(ANNA, COLOUR, {})
    assert len(first.created) == 3
    assert (await connector.ensure(ANNA, COLOUR, {})).created == ()
    mark = first.ids["colour:call"]
    assert mark.startswith("label:")
    write = create("a")
    labelled = Write(write.kind, Module.CALL, write.key, fields=write.fields, containers=(mark,))
    outcome = (await connector.apply(first.scopes[0], [labelled]))[0]
    assert outcome.observation is not None
    assert mark in outcome.observation.containers
    findings = await connector.verify(ANNA, COLOUR, first.ids)
    assert all(finding.ok for finding in findings)
    assert any("1 of 1 events" in finding.detail for finding in findings)


# -- doctor --------------------------------------------------------------------------------------------------


def failed(findings: list[Any]) -> list[str]:
    return [finding.check for finding in findings if not finding.ok]


async def test_doctor_finds_nothing_wrong(google: Google) -> None:
    findings = await google.connector().check(ANNA)
    assert failed(findings) == []
    assert {finding.check for finding in findings} >= {f"read {api.value}" for api in Api}
    assert [finding.check for finding in await google.connector().check(None)] == ["credentials"]


async def test_doctor_tells_delegation_scope_and_person_apart(google: Google) -> None:
    delegate(google.world, [])
    assert failed(await google.connector().check(ANNA)) == [f"delegation {api.value}" for api in Api]
    delegate(google.world, [scope for scope in all_scopes() if not scope.endswith("/tasks")])
    findings = await google.connector().check(ANNA)
    assert failed(findings) == ["scope tasks"]
    advice = next(finding.advice for finding in findings if not finding.ok)
    assert "https://www.googleapis.com/auth/tasks" in advice
    delegate(google.world, all_scopes())
    assert failed(await google.connector().check(Account("nobody@firm.example"))) == [
        f"token {api.value}" for api in Api
    ]


async def test_doctor_tells_throttling_and_a_switched_off_api_apart(google: Google) -> None:
    throttled = {"error": {"code": 429, "message": "Slow down", "status": "RESOURCE_EXHAUSTED"}}
    google.fault(route="contactGroups", status=429, body=throttled, headers={"Retry-After": "1"})
    off = {"error": {"errors": [{"reason": "accessNotConfigured"}], "code": 403, "message": "Not enabled"}}
    google.fault(route="tasklists|/tasks/v1/users", status=403, body=off)
    findings = await google.connector().check(ANNA)
    assert failed(findings) == ["throttled people", "read tasks"]
    assert "Enable the Google Tasks API" in next(f.advice for f in findings if f.check == "read tasks")


async def test_doctor_names_a_bad_key_file(google: Google) -> None:
    findings = await google.connector(credentials_file="/nonexistent/key.json").check(ANNA)
    assert [(finding.ok, finding.check) for finding in findings] == [(False, "credentials")]
    assert "/nonexistent/key.json" in findings[0].detail


async def test_a_short_throttle_is_waited_out(google: Google) -> None:
    google.fault(route="colors", status=429, headers={"Retry-After": "0"})
    assert (await google.connector().ensure(ANNA, COLOUR, {})).ids["calendar"]


# -- capabilities --------------------------------------------------------------------------------------------


def test_capabilities(google_server: Google) -> None:
    connector = google_server.connector()
    for module in (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL):
        can = connector.capability(module)
        assert can is not None
        assert (can.create_key, can.guard, can.batch, can.exceptions) == (
            CreateKey.NATURAL,
            Guard.ETAG,
            50,
            True,
        )
    task = connector.capability(Module.TASK)
    assert task is not None
    assert (task.create_key, task.guard) == (CreateKey.MARKER, Guard.ETAG)
    for module in Module:
        assert connector.capability(module) is not None
