"""Pure parts of the Google client: error bodies, batches, URLs, colours, task notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mailbox.google import batch, colours, tasks_map
from engine.mailbox.google.auth import ServiceAccount, load_service_account
from engine.mailbox.google.errors import failure, outcome_of
from engine.mailbox.google.quota import charges
from engine.mailbox.google.services import build_service
from engine.mailbox.google.settings import Api, GoogleSettings, Quotas
from engine.mailbox.google.wire import quota_user, wire, with_quota_user
from engine.model.modules import Module
from engine.model.port import Account, Result, Write, WriteKind
from engine.net.errors import ErrorKind, ProviderError

ANNA = Account("anna@firm.example")


def old(status: int, reason: str, message: str = "Text") -> bytes:
    return json.dumps(
        {
            "error": {
                "errors": [{"domain": "global", "reason": reason, "message": message}],
                "code": status,
                "message": message,
            }
        }
    ).encode()


def new(status: int, grpc: str, reason: str = "") -> bytes:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return json.dumps(
        {"error": {"code": status, "message": "Text", "status": grpc, "details": details}}
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "result"),
    [
        (403, old(403, "rateLimitExceeded"), ErrorKind.THROTTLED, Result.REFUSED),
        (403, old(403, "userRateLimitExceeded"), ErrorKind.THROTTLED, Result.REFUSED),
        (403, old(403, "quotaExceeded"), ErrorKind.THROTTLED, Result.REFUSED),
        (429, new(429, "RESOURCE_EXHAUSTED"), ErrorKind.THROTTLED, Result.REFUSED),
        (403, old(403, "forbiddenForNonOrganizer"), ErrorKind.PERMISSION, Result.REJECTED),
        (403, new(403, "PERMISSION_DENIED", "SERVICE_DISABLED"), ErrorKind.PERMISSION, Result.REFUSED),
        (400, old(400, "invalid"), ErrorKind.REQUEST, Result.REJECTED),
        (404, old(404, "notFound"), ErrorKind.NOT_FOUND, Result.GONE),
        (410, old(410, "deleted"), ErrorKind.NOT_FOUND, Result.GONE),
        (412, old(412, "conditionNotMet"), ErrorKind.REQUEST, Result.CONFLICT),
        (503, old(503, "backendError"), ErrorKind.UNAVAILABLE, Result.UNKNOWN),
        (502, b"<html>Bad gateway</html>", ErrorKind.UNAVAILABLE, Result.UNKNOWN),
        (401, old(401, "authError"), ErrorKind.CREDENTIAL, Result.REFUSED),
    ],
)
def test_refusals_are_told_apart(status: int, body: bytes, kind: ErrorKind, result: Result) -> None:
    refusal = failure(Api.CALENDAR, status, {}, body)
    assert refusal.kind is kind
    assert refusal.status == status
    assert outcome_of(refusal).result is result


def test_the_calendar_usage_limit_pauses_for_an_hour() -> None:
    assert outcome_of(failure(Api.CALENDAR, 403, {}, old(403, "quotaExceeded"))).retry_after == 3600


def test_retry_after_is_seconds_or_a_date() -> None:
    assert failure(Api.GMAIL, 429, {"retry-after": "7"}, b"").retry_after == 7
    dated = {"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}
    assert failure(Api.GMAIL, 429, dated, b"").retry_after == 30


def test_expired_cursors_of_both_generations() -> None:
    assert failure(Api.CALENDAR, 410, {}, old(410, "fullSyncRequired")).cursor_expired
    assert failure(Api.PEOPLE, 400, {}, new(400, "FAILED_PRECONDITION", "EXPIRED_SYNC_TOKEN")).cursor_expired
    assert not failure(Api.CALENDAR, 410, {}, old(410, "deleted")).cursor_expired


def test_a_switched_off_api_says_where_to_switch_it_on() -> None:
    refusal = failure(Api.TASKS, 403, {}, old(403, "accessNotConfigured"))
    assert "Enable the Google Tasks API" in refusal.advice


# -- batches -------------------------------------------------------------------------------------------------


def requests(count: int) -> list[Any]:
    service = build_service(Api.CALENDAR, "https://www.googleapis.com/calendar/v3/")
    made = [service.events.insert(calendarId="a@b.c", body={"summary": f"Ünï {n} 🎉"}) for n in range(count)]
    made[0].headers["If-Match"] = '"7"'
    return made


def test_the_library_can_read_our_batch() -> None:
    many = requests(3)
    body = batch.write_batch(many, [with_quota_user(one.uri, ANNA) for one in many])
    parts = body.split(b"--" + batch.BOUNDARY.encode())
    assert len(parts) == 5
    assert parts[-1].strip() == b"--"
    assert b'If-Match: "7"' in parts[1]
    for part in parts[1:-1]:
        head, inner, content = part.split(b"\r\n\r\n")
        assert b"Content-Type: application/http" in head
        assert inner.startswith(b"POST /calendar/v3/calendars/a%40b.c/events?alt=json&quotaUser=")
        assert f"Content-Length: {len(content.rstrip())}".encode() in inner
        json.loads(content)


ANSWER = (
    b"--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-1>\r\n\r\n"
    b'HTTP/1.1 200 OK\r\nETag: "5"\r\nContent-Type: application/json\r\n\r\n{"id": "one"}\r\n'
    b"--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-0>\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n\r\n"
    b"--batch_x--\r\n"
)


def test_parts_are_matched_by_id_whatever_their_order() -> None:
    parts = batch.read_batch("multipart/mixed; boundary=batch_x", ANSWER)
    assert parts[0] == (204, {"content-length": "0"}, b"")
    assert parts[1][0] == 200
    assert parts[1][1]["etag"] == '"5"'
    assert json.loads(parts[1][2]) == {"id": "one"}


@given(st.integers(0, len(ANSWER) - 1))
def test_a_torn_answer_gives_whole_parts_or_none(cut: int) -> None:
    whole = batch.read_batch("multipart/mixed; boundary=batch_x", ANSWER)
    for number, part in batch.read_batch("multipart/mixed; boundary=batch_x", ANSWER[:cut]).items():
        assert part == whole[number]


@given(st.binary(max_size=300))
def test_rubbish_is_no_answer(content: bytes) -> None:
    assert batch.read_batch("multipart/mixed; boundary=zzz", content) == {}
    assert batch.read_batch("text/html", content) == {}


# -- URLs ----------------------------------------------------------------------------------------------------


def test_every_url_names_an_opaque_quota_user() -> None:
    assert len(quota_user(ANNA)) <= 40
    assert "anna" not in quota_user(ANNA)
    assert quota_user(ANNA) == quota_user(Account("Anna@firm.example"))
    assert quota_user(ANNA) != quota_user(Account("ben@firm.example"))


def test_long_reads_become_posts() -> None:
    service = build_service(Api.PEOPLE, "https://people.googleapis.com/")
    names = [f"people/c{n:018d}" for n in range(200)]
    long = service.people.getBatchGet(resourceNames=names, personFields="names")
    sent = wire(long, ANNA, "token")
    assert sent["method"] == "POST"
    assert sent["headers"]["x-http-method-override"] == "GET"
    assert "?" not in sent["url"]
    assert sent["content"] is not None
    assert sent["content"].count("resourceNames=") == 200
    assert f"quotaUser={quota_user(ANNA)}" in sent["content"]
    short = service.people.getBatchGet(resourceNames=names[:3], personFields="names")
    assert wire(short, ANNA, "token")["method"] == "GET"


def test_collections_are_made_once() -> None:
    service = build_service(Api.GMAIL, "http://127.0.0.1:9/")
    assert service.users.labels is service.users.labels
    with pytest.raises(AttributeError):
        service.users.nonsense  # noqa: B018


# -- settings, quota -----------------------------------------------------------------------------------------


def test_quota_charges() -> None:
    quotas = Quotas()
    people = {
        charge.bucket: charge.cost
        for charge in charges(quotas, Api.PEOPLE, "people.people.batchCreateContacts", "a")
    }
    assert people == {(Api.PEOPLE, "reads", "a"): 6, (Api.PEOPLE, "writes", "a"): 6}
    gmail = charges(quotas, Api.GMAIL, "gmail.users.messages.insert", "a")
    assert [charge.cost for charge in gmail] == [25, 25]
    calendar = charges(quotas, Api.CALENDAR, "calendar.events.insert", "a")
    assert [charge.rate for charge in calendar] == [600, 10_000]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read credentials_file"),
        ("{", "is not JSON"),
        ("[]", 'field "type"'),
        ('{"type": "authorized_user"}', 'field "type"'),
        ('{"type": "service_account", "client_email": "a@b"}', 'field "private_key" is missing'),
        (
            '{"type": "service_account", "client_email": "a@b", "private_key": "SECRETKEY", "token_uri": "x"}',
            'field "private_key" is not a PEM',
        ),
    ],
)
def test_a_bad_key_file_is_named_and_never_quoted(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ProviderError) as caught:
        load_service_account(str(path))
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "SECRETKEY" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_service_account_does_not_show_its_key() -> None:
    assert "hidden" not in repr(ServiceAccount("a@b", "1", "uri", "id", "hidden"))


def test_endpoints_and_batches_fall_back_to_googles() -> None:
    settings = GoogleSettings("key.json", endpoints={Api.CALENDAR: "http://127.0.0.1:9/calendar/v3"})
    assert settings.endpoint(Api.CALENDAR) == "http://127.0.0.1:9/calendar/v3/"
    assert settings.endpoint(Api.GMAIL) == "https://gmail.googleapis.com/"
    assert settings.batch_url(Api.CALENDAR) == "https://www.googleapis.com/batch/calendar/v3"


# -- colours -------------------------------------------------------------------------------------------------

PALETTE = {"1": "#a4bdfc", "5": "#fbd75b", "9": "#5484ed", "10": "#51b749", "11": "#dc2127"}
WANTED = {
    Module.APPOINTMENT: ("A", "#3f51b5"),
    Module.CALL: ("B", "#f4511e"),
    Module.SERVICE_CALL: ("C", "#0b8043"),
}


def test_the_nearest_colours_are_chosen_and_differ() -> None:
    assert colours.nearest(WANTED, PALETTE) == {
        Module.APPOINTMENT: "9",
        Module.CALL: "11",
        Module.SERVICE_CALL: "10",
    }
    same = {module: (name, "#dc2127") for module, (name, _) in WANTED.items()}
    assert len(set(colours.nearest(same, PALETTE).values())) == 3
    assert set(colours.nearest(WANTED, {"1": "#a4bdfc"}).values()) == {"1"}


# -- tasks ---------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200)


@given(texts, st.one_of(st.none(), texts), st.one_of(st.none(), st.dates()), st.booleans())
def test_a_task_comes_back_as_it_was_written(subject: str, body: str | None, due: Any, done: bool) -> None:
    from engine.model import canonical

    fields = canonical.compact(
        {
            "subject": canonical.text(subject),
            "body": canonical.text(body),
            "due": due.isoformat() if due else None,
            "done": done,
        }
    )
    document = tasks_map.body_of(Write(WriteKind.CREATE, Module.TASK, "link:1:mailbox", fields=fields))
    seen = tasks_map.observe({"id": "t", "etag": '"1"', **document})
    assert seen.marker == "link:1:mailbox"
    assert canonical.diff(Module.TASK, fields, seen.fields, canonical.TASK_FIELDS) == {}


def test_the_marker_is_found_where_people_have_moved_it() -> None:
    assert tasks_map.split_notes("[CRM:k:1]\nCall back") == ("Call back", "k:1")
    assert tasks_map.split_notes("One\n[CRM:k:1]\nTwo") == ("One\n\nTwo", "k:1")
    assert tasks_map.split_notes("Text without") == ("Text without", None)
    assert tasks_map.split_notes("see [CRM:k] there") == ("see [CRM:k] there", None)


def test_a_change_of_the_notes_keeps_the_marker() -> None:
    write = Write(
        WriteKind.UPDATE,
        Module.TASK,
        "other",
        "t",
        patch={"body": "New"},
        native={"marker": "link:1:mailbox"},
    )
    assert tasks_map.body_of(write) == {"notes": "New\n\n[CRM:link:1:mailbox]"}


def test_long_notes_are_shortened_and_stay_so() -> None:
    notes = tasks_map.join_notes("🎉" * 9000, "k")
    assert notes is not None
    assert len(notes.encode("utf-16-le")) // 2 <= tasks_map.NOTES_MAX
    body, marker = tasks_map.split_notes(notes)
    assert marker == "k"
    assert body is not None
    assert body.endswith("(shortened, see CRM)")
    assert tasks_map.join_notes(body, "k") == notes


def test_a_title_that_is_too_long_is_the_items_fault() -> None:
    write = Write(WriteKind.CREATE, Module.TASK, "k", fields={"subject": "x" * 1025})
    assert "at most 1024" in (tasks_map.fault(write) or "")
