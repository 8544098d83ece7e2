"""The door: log-ins, versions, schema, impersonation, throttling, faults on demand."""

from __future__ import annotations

import http.client
from typing import Any

import httpx
import pytest
from exchangelib import DELEGATE, NTLM, Account, CalendarItem, Configuration, Credentials, EWSDateTime
from exchangelib.errors import ErrorCalendarEndDateIsEarlierThanStartDate, ErrorServerBusy, UnauthorizedError
from lxml import etree

from engine.sandbox.exchange import accounts, grammar
from engine.sandbox.exchange.app import create_app
from engine.sandbox.exchange.names import BUILDS
from engine.sandbox.kit.world import open_world
from tests.sandbox.exchange.library import account
from tests.sandbox.exchange.office import ANNA, BEN, PASSWORD, SCHEMA, SERVICE, SERVICE_PASSWORD, Office, office

INBOX = (
    "<m:GetFolder><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape><m:FolderIds>"
    '<t:DistinguishedFolderId Id="inbox"/></m:FolderIds></m:GetFolder>'
)
TASK = "<m:CreateItem><m:Items><t:Task><t:Subject>x</t:Subject></t:Task></m:Items></m:CreateItem>"


def tasks(running: Office) -> int:
    found = running.world.db.execute("SELECT COUNT(*) FROM exchange_items WHERE tag = 'Task'").fetchone()
    return int(found[0])


# -- log-in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", [ANNA, "anna", "SANDBOX\\anna", "ANNA@EXAMPLE.COM"])
def test_basic_takes_every_form_of_the_name(exchange: Office, login: str) -> None:
    exchange.call(INBOX, user=login)


@pytest.mark.parametrize(
    ("login", "password"),
    [(ANNA, "wrong"), ("nobody@example.com", PASSWORD), ("OTHER\\anna", PASSWORD), ("", "")],
)
def test_others_are_asked_to_log_in(exchange: Office, login: str, password: str) -> None:
    status, headers, _ = exchange.post(INBOX, user=login, password=password)
    assert status == 401
    assert "NTLM" in headers["www-authenticate"]
    exchange.call(INBOX)


def test_a_bearer_token_stands_for_an_account(exchange: Office) -> None:
    accounts.add_token(exchange.world, "token-1", SERVICE)
    status, _, _ = exchange.post(INBOX, user="", act_for=BEN, http_headers={"Authorization": "Bearer token-1"})
    assert status == 200
    assert exchange.post(INBOX, user="", http_headers={"Authorization": "Bearer x"})[0] == 401


def test_ntlm_logs_in_a_connection(exchange: Office) -> None:
    with account(exchange, auth=NTLM) as anna:
        assert anna.inbox.total_count == 0
        assert list(anna.inbox.all()) == []
    assert exchange.world.counters["exchange.ntlm_logins"] >= 1
    assert exchange.world.counters["exchange.ntlm_refused"] == 0


def test_ntlm_refuses_a_wrong_password(exchange: Office) -> None:
    configuration = Configuration(
        service_endpoint=exchange.endpoint,
        credentials=Credentials(ANNA, "wrong"),
        auth_type=NTLM,
        max_connections=1,
    )
    anna = Account(ANNA, config=configuration, autodiscover=False, access_type=DELEGATE)
    with pytest.raises(UnauthorizedError):
        anna.root.refresh()
    anna.protocol.close()
    assert exchange.world.counters["exchange.ntlm_refused"] >= 1


def test_a_server_may_offer_one_scheme_only() -> None:
    with office({"exchange_auth": ["ntlm"]}) as running:
        status, headers, _ = running.post(INBOX)
        assert (status, headers["www-authenticate"]) == (401, "NTLM")
        with account(running, auth=NTLM) as anna:
            assert anna.inbox.total_count == 0


def test_exchangelib_finds_scheme_and_version_by_itself(exchange: Office) -> None:
    configuration = Configuration(service_endpoint=exchange.endpoint, credentials=Credentials(ANNA, PASSWORD))
    exchange.watch.faulty = True  # its probe is a request that is meant to fail
    anna = Account(ANNA, config=configuration, autodiscover=False, access_type=DELEGATE)
    assert anna.version.api_version == "Exchange2016"
    assert anna.inbox.total_count == 0
    anna.protocol.close()


def test_blocked_ews_answers_403() -> None:
    with office({"exchange_blocked": True}) as running:
        assert running.post(INBOX)[0] == 403
        assert running.post(INBOX, password="wrong")[0] == 401


# -- versions and schema ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", list(BUILDS))
def test_each_version_says_what_it_is(version: str) -> None:
    with office({"exchange_version": version}) as running:
        _, _, envelope = running.post(INBOX, version=version)
        assert envelope is not None
        info = envelope.find(".//{*}ServerVersionInfo")
        assert info is not None
        major, minor, build, _ = BUILDS[version]
        assert (info.get("MajorVersion"), info.get("MinorVersion")) == (str(major), str(minor))
        assert info.get("MajorBuildNumber") == str(build)
        newer = [one for one in BUILDS if list(BUILDS).index(one) > list(BUILDS).index(version)]
        for one in [*newer[:1], "Exchange2099"]:
            running.watch.faulty = True
            assert running.fault(INBOX, version=one) == "ErrorInvalidServerVersion"


def test_an_unknown_server_version_is_named() -> None:
    world = open_world(None, {"exchange_version": "Exchange5"})
    with pytest.raises(ValueError, match="exchange_version 'Exchange5'"):
        create_app(world)
    world.db.close()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (INBOX.replace("Default", "Everything"), "Everything"),
        (INBOX.replace('Id="inbox"', 'Id="nowhere"'), "nowhere"),
        (INBOX.replace("<m:FolderIds>", "<m:Wrong/><m:FolderIds>"), "Wrong"),
        ('<m:CreateItem><m:Items><t:Task><t:DueDate>soon</t:DueDate></t:Task></m:Items></m:CreateItem>', "soon"),
        (
            "<m:CreateItem><m:Items><t:Task><t:DueDate>2026-02-30T00:00:00Z</t:DueDate></t:Task></m:Items></m:CreateItem>",
            "2026-02-30",
        ),
        (
            '<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items><t:CalendarItem><t:End>2026-01-01T00:00:00Z</t:End>'
            "<t:Start>2026-01-01T00:00:00Z</t:Start></t:CalendarItem></m:Items></m:CreateItem>",
            "wrong order",
        ),
        ('<m:DeleteItem><m:ItemIds><t:ItemId Id="x"/></m:ItemIds></m:DeleteItem>', "DeleteType"),
        ("<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:SyncFolderId>"
         '<t:DistinguishedFolderId Id="inbox"/></m:SyncFolderId><m:MaxChangesReturned>513</m:MaxChangesReturned>'
         "</m:SyncFolderItems>", "513"),
    ],
)  # fmt: skip
def test_what_the_schema_forbids_is_refused_whole(exchange: Office, body: str, named: str) -> None:
    exchange.watch.faulty = True
    status, _, envelope = exchange.post(body)
    assert (status, tasks(exchange)) == (500, 0)
    assert envelope is not None
    text = etree.tostring(envelope).decode()
    assert "ErrorSchemaValidation" in text
    assert named in text


@pytest.mark.parametrize(
    "content", [b"", b"no xml", b"<a/>", b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"]
)
def test_what_is_no_soap_is_refused(exchange: Office, content: bytes) -> None:
    exchange.watch.faulty = True
    assert exchange.raw(content, ANNA, PASSWORD)[0] == 500


def test_other_operations_and_paths(exchange: Office) -> None:
    exchange.watch.faulty = True
    assert exchange.fault("<m:FindPeople/>") == "ErrorInvalidRequest"
    login = (ANNA, PASSWORD.encode().decode("latin-1").encode("latin-1").decode())
    assert httpx.get(f"{exchange.url}/elsewhere", auth=login).status_code in (401, 404)


@pytest.mark.skipif(not SCHEMA.is_dir(), reason="the published schema is not here")
def test_the_grammar_says_what_the_schema_says() -> None:
    schemas = {"m": "messages.xsd", "t": "types.xsd"}
    roots = {prefix: etree.parse(str(SCHEMA / name)).getroot() for prefix, name in schemas.items()}
    xs = "{http://www.w3.org/2001/XMLSchema}"
    compared = 0
    for prefix, root in roots.items():
        for element in root.iterchildren(f"{xs}complexType", f"{xs}simpleType"):
            name = f"{prefix}:{element.get('name')}"
            if name not in grammar.names():
                continue
            compared += 1
            inner = {one for below in element.iterdescendants(f"{xs}complexType") for one in below.iter()}
            own = [
                one.get("name") for one in element.iter(f"{xs}element") if one.get("name") and one not in inner
            ]
            assert set(own) <= set(grammar.order(name)) or grammar.type_of(name).open, name
            values = [
                one.get("value")
                for one in element.iterchildren(f"{xs}restriction")
                for one in one.iter(f"{xs}enumeration")
            ]
            if values and element.tag == f"{xs}simpleType":
                assert tuple(values) == grammar.values(name), name
            for attribute in element.iter(f"{xs}attribute"):
                if attribute.get("name") and element.tag == f"{xs}complexType":
                    assert attribute.get("name") in grammar.type_of(name).attributes, name
    assert compared > 300


# -- impersonation ---------------------------------------------------------------------------------------


def test_whom_an_account_may_act_for(exchange: Office) -> None:
    service: dict[str, Any] = {"user": SERVICE, "password": SERVICE_PASSWORD}
    exchange.call(INBOX, act_for=ANNA, **service)
    assert exchange.fault(INBOX, act_for="nobody@example.com", **service) == "ErrorNonExistentMailbox"
    assert exchange.fault(INBOX, act_for=BEN) == "ErrorImpersonateUserDenied"
    assert exchange.refused(INBOX, **service) == "ErrorMissingEmailAddress"
    bens = INBOX.replace(
        '<t:DistinguishedFolderId Id="inbox"/>',
        f'<t:DistinguishedFolderId Id="inbox"><t:Mailbox><t:EmailAddress>{BEN}</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>',
    )
    assert exchange.refused(bens) == "ErrorAccessDenied"
    exchange.call(bens, **service)


def test_ids_of_another_mailbox_open_nothing(exchange: Office) -> None:
    folder = exchange.call(INBOX, user=BEN).find(".//{*}FolderId")
    assert folder is not None
    by_id = f'<t:FolderId Id="{folder.get("Id")}"/>'
    body = INBOX.replace('<t:DistinguishedFolderId Id="inbox"/>', by_id)
    assert exchange.refused(body) == "ErrorAccessDenied"
    assert exchange.refused(
        INBOX.replace('<t:DistinguishedFolderId Id="inbox"/>', '<t:FolderId Id="eA=="/>')
    ) == ("ErrorInvalidIdMalformed")


# -- throttling and faults -------------------------------------------------------------------------------


def test_too_many_requests_are_told_how_long_to_wait() -> None:
    with office({"exchange_quota": {"requests_per_minute": 2}}) as running:
        running.call(INBOX)
        running.call(INBOX)
        _, _, envelope = running.post(INBOX)
        assert envelope is not None
        wait = int(str(envelope.findtext(".//{*}Value[@Name='BackOffMilliseconds']")))
        assert 50_000 < wait <= 60_000
        with account(running) as anna, pytest.raises(ErrorServerBusy) as caught:
            anna.root.refresh()
        assert 40 < caught.value.back_off <= 60
        running.call(INBOX, user=BEN)
        running.advance(61)
        running.call(INBOX)


def test_unknown_limits_are_named() -> None:
    world = open_world(None, {"exchange_quota": {"speed": 3}})
    with pytest.raises(ValueError, match="speed"):
        create_app(world)
    world.db.close()


def inject(running: Office, **rule: Any) -> None:
    answer = httpx.post(f"{running.url}/_sandbox/faults", json={"service": "exchange", **rule})
    assert answer.status_code == 200, answer.text


def test_faults_are_aimed_at_operations(exchange: Office) -> None:
    inject(
        exchange,
        route="CreateItem",
        kind="status",
        status=500,
        body={"code": "ErrorServerBusy", "values": {"BackOffMilliseconds": 1500}},
    )
    exchange.call(INBOX)
    assert exchange.fault(TASK) == "ErrorServerBusy"
    assert tasks(exchange) == 0
    inject(exchange, route="CreateItem", kind="status", status=503)
    assert exchange.post(TASK)[0] == 503
    inject(exchange, route="CreateItem", kind="status_after", status=500, body={"code": "ErrorTimeoutExpired"})
    assert exchange.fault(TASK) == "ErrorTimeoutExpired"
    assert tasks(exchange) == 1


@pytest.mark.parametrize(("kind", "made"), [("lost_request", 0), ("lost_reply", 1), ("truncate", 1)])
def test_lost_requests_and_lost_replies(exchange: Office, kind: str, made: int) -> None:
    inject(exchange, route="CreateItem", kind=kind)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        exchange.post(TASK)
    assert tasks(exchange) == made


def test_one_part_of_a_batch_can_fail(exchange: Office) -> None:
    inject(exchange, route="CreateItem/part", kind="status", body={"code": "ErrorItemSave"})
    two = TASK.replace("</t:Task>", "</t:Task><t:Task><t:Subject>y</t:Subject></t:Task>")
    _, _, envelope = exchange.post(two)
    assert envelope is not None
    assert exchange.codes(envelope) == ["ErrorItemSave", "NoError"]
    assert tasks(exchange) == 1


def test_exchangelib_sees_a_part_that_failed(exchange: Office) -> None:
    with account(exchange) as anna:
        start = EWSDateTime(2026, 11, 23, 9, tzinfo=anna.default_timezone)
        late = EWSDateTime(2026, 11, 23, 8, tzinfo=anna.default_timezone)
        pair = [
            CalendarItem(subject="good", start=start, end=start),
            CalendarItem(subject="bad", start=start, end=late),
        ]
        for one in pair:
            one.clean = lambda version=None: None
        with pytest.raises(ErrorCalendarEndDateIsEarlierThanStartDate):
            anna.bulk_create(anna.calendar, pair)
        assert [one.subject for one in anna.calendar.all()] == ["good"]
