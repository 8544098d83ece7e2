"""What stands in front of the APIs: tokens, scopes, quota, batches, schema checks, faults."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import httpx
import pytest
from google.auth.exceptions import RefreshError
from google.oauth2 import service_account
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest

from engine.sandbox.google import accounts
from tests.sandbox.google.conftest import ANNA, BEN, SCOPES, Google
from tests.sandbox.google.test_calendar import meeting


def token(google: Google, api: str = "calendar", user: str = ANNA) -> str:
    http = google.http(api, user)
    http.credentials.refresh(http._request)
    return str(http.credentials.token)


def client(google: Google, **headers: str) -> httpx.Client:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.Client(base_url=google.url, headers=headers, verify=context)


def refused_token(google: Google, **changes: Any) -> str:
    credentials = service_account.Credentials.from_service_account_file(
        str(google.key), **{"scopes": SCOPES["calendar"], "subject": ANNA, **changes}
    )
    request = google.http("calendar")._request
    with pytest.raises(RefreshError) as caught:
        credentials.refresh(request)
    return str(caught.value.args[1]["error"])


def test_who_gets_no_token(google: Google) -> None:
    assert refused_token(google, subject="nobody@example.com") == "invalid_grant"
    drive = ["https://www.googleapis.com/auth/drive"]
    assert refused_token(google, scopes=SCOPES["calendar"] + drive) == "unauthorized_client"
    accounts.delegate(google.world, SCOPES["tasks"])
    assert refused_token(google) == "unauthorized_client"
    accounts.delegate(google.world, SCOPES["calendar"])
    assert token(google).startswith("ya29.")
    google.world.db.execute("DELETE FROM google_accounts")
    assert refused_token(google) == "invalid_grant"


def test_a_foreign_key_signs_in_vain(google: Google, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "key.json"
    info = json.loads(google.key.read_text())
    accounts.create_service_account(
        google.world, other, info["token_uri"], email="other@x.iam.gserviceaccount.com"
    )
    info["private_key"] = json.loads(other.read_text())["private_key"]
    google.key.write_text(json.dumps(info))
    assert refused_token(google) == "invalid_grant"
    assert other.stat().st_mode & 0o077 == 0


def test_tokens_expire_and_cover_only_their_scopes(google: Google) -> None:
    with client(google, authorization=f"Bearer {token(google)}") as http:
        assert http.get("/calendar/v3/calendars/primary").status_code == 200
        wrong = http.get("/tasks/v1/users/@me/lists")
        assert (wrong.status_code, wrong.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
        google.world.clock.offset_ms += 3_601_000
        late = http.get("/calendar/v3/calendars/primary")
        assert (late.status_code, late.json()["error"]["errors"][0]["reason"]) == (401, "authError")
        assert late.headers["www-authenticate"].startswith("Bearer")
    with client(google) as http:
        assert http.get("/calendar/v3/calendars/primary").status_code == 401
        assert http.get("/v1/people/me?personFields=names").json()["error"]["status"] == "UNAUTHENTICATED"
        answer = http.post("/token", data={"grant_type": "password"})
        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_an_account_and_its_key_outlive_a_restart(google: Google) -> None:
    before = json.loads(google.key.read_text())
    accounts.create_service_account(google.world, google.key, "http://127.0.0.1:1/token")
    after = json.loads(google.key.read_text())
    assert after["private_key"] == before["private_key"]
    assert after["token_uri"] == "http://127.0.0.1:1/token"


def test_quota_is_per_quota_user_and_slides(google: Google) -> None:
    google.world.settings["google_quota"] = {"calendar_user": 3, "calendar_project": 5}
    with client(google, authorization=f"Bearer {token(google)}") as http:

        def call(who: str) -> tuple[int, str]:
            answer = http.get("/calendar/v3/colors", params={"quotaUser": who} if who else {})
            body = answer.json()
            return answer.status_code, body["error"]["errors"][0]["reason"] if "error" in body else ""

        assert [call("a") for _ in range(4)] == [(200, "")] * 3 + [(403, "userRateLimitExceeded")]
        assert [call("") for _ in range(3)] == [(200, "")] * 2 + [(403, "rateLimitExceeded")]
        google.world.clock.offset_ms += 61_000
        assert [call("") for _ in range(4)] == [(200, "")] * 3 + [(403, "userRateLimitExceeded")]
        # Without quotaUser all users of a service account spend from one purse.
        http.headers["authorization"] = f"Bearer {token(google, user=BEN)}"
        assert call("") == (403, "userRateLimitExceeded")
        named = http.get("/calendar/v3/colors", headers={"x-goog-quota-user": "b"})
        assert named.status_code == 200


def test_quota_of_the_newer_apis_is_429(google: Google) -> None:
    google.world.settings["google_quota"] = {"gmail_user": 1, "people_read_user": 1, "tasks_day": 1}
    with client(google, authorization=f"Bearer {token(google, 'gmail')}") as http:
        assert http.get("/gmail/v1/users/me/profile").status_code == 200
        over = http.get("/gmail/v1/users/me/profile")
        assert (over.status_code, over.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    with client(google, authorization=f"Bearer {token(google, 'people')}") as http:
        path = "/v1/people/me/connections?personFields=names"
        assert [http.get(path).status_code for _ in range(2)] == [200, 429]
        # A refused batch create spends nothing.
        assert http.post("/v1/people:batchCreateContacts", json={}).status_code == 429
    with client(google, authorization=f"Bearer {token(google, 'tasks')}") as http:
        assert [http.get("/tasks/v1/users/@me/lists").status_code for _ in range(2)] == [200, 403]


def test_a_batch_by_googles_client(google: Google) -> None:
    service = google.service("calendar")
    service.colors().get().execute()  # fetches the token: the batch class would open a connection of its own for it
    seen: dict[str, Any] = {}

    def keep(name: str, answer: Any, error: Any) -> None:
        seen[name] = error.resp.status if error else answer["summary"]

    batch = BatchHttpRequest(callback=keep, batch_uri=f"{google.url}/batch/calendar/v3")
    for number in range(10):
        body = meeting(id=f"event{number % 9}", summary=f"é {number}")
        batch.add(service.events().insert(calendarId="primary", body=body), request_id=str(number))
    batch.execute()
    assert seen == {**{str(number): f"é {number}" for number in range(9)}, "9": 409}
    assert google.world.counters["google.calendar.events.insert"] == 10
    large = BatchHttpRequest(callback=keep, batch_uri=f"{google.url}/batch/calendar/v3")
    for _ in range(51):
        large.add(service.events().list(calendarId="primary"))
    with pytest.raises(HttpError) as caught:
        large.execute()
    assert caught.value.resp.status == 400


def raw_batch(*requests: str) -> bytes:
    parts = [
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <item-{number}>\r\n\r\n{request}\r\n"
        for number, request in enumerate(requests)
    ]
    return ("".join(parts) + "--b--\r\n").encode()


def test_inner_calls_of_a_batch_may_use_the_outer_token_and_each_is_charged(google: Google) -> None:
    google.world.settings["google_quota"] = {"calendar_user": 2}
    headers = {
        "authorization": f"Bearer {token(google)}",
        "content-type": "multipart/mixed; boundary=b",
    }
    with client(google, **headers) as http:
        body = raw_batch(*["GET /calendar/v3/colors HTTP/1.1\r\nAccept: application/json\r\n\r\n"] * 3)
        answer = http.post("/batch/calendar/v3", content=body)
        assert answer.headers["content-type"].startswith("multipart/mixed; boundary=")
        assert [answer.text.count(f"HTTP/1.1 {status}") for status in (200, 403)] == [2, 1]
        assert "Content-ID: <response-item-2>" in answer.text
        mixed = raw_batch(
            "GET /calendar/v3/colors HTTP/1.1\r\n\r\n", "GET /tasks/v1/users/@me/lists HTTP/1.1\r\n\r\n"
        )
        assert http.post("/batch", content=mixed).status_code == 400
        assert http.post("/batch", content=b"nonsense").status_code == 400
        assert http.post("/batch/drive/v3", content=raw_batch("GET /x HTTP/1.1")).status_code == 404


def test_bodies_and_parameters_are_checked(google: Google) -> None:
    with client(google, authorization=f"Bearer {token(google, 'people')}") as http:
        wrong = http.post("/v1/people:createContact", json={"names": [{"firstName": "A"}]})
        assert wrong.status_code == 400
        assert "Unknown name \"firstName\" at 'names[0]'" in wrong.json()["error"]["message"]
        assert http.post("/v1/people:createContact", json={"names": "A"}).status_code == 400
        assert http.post("/v1/people:createContact", content=b"{").status_code == 400
        assert http.get("/v1/people/me?personFields=names&colour=red").status_code == 400
        assert http.get("/v1/nothing").status_code == 404
        # A GET that is too long for a URL comes as a form.
        long = http.post(
            "/v1/people/me/connections",
            content="personFields=names&pageSize=5",
            headers={"x-http-method-override": "GET", "content-type": "application/x-www-form-urlencoded"},
        )
        assert long.status_code == 200, long.text


def test_faults_strike_methods_and_inner_calls(google: Google) -> None:
    with client(
        google, authorization=f"Bearer {token(google)}", **{"content-type": "multipart/mixed; boundary=b"}
    ) as http:

        def arm(**rule: Any) -> None:
            assert http.post("/_sandbox/faults", json=rule).status_code == 200

        arm(service="google", route="calendar.colors.get", status=503)
        text = http.post(
            "/batch/calendar/v3", content=raw_batch(*["GET /calendar/v3/colors HTTP/1.1\r\n\r\n"] * 2)
        ).text
        assert [text.count(f"HTTP/1.1 {status}") for status in (503, 200)] == [1, 1]
        arm(service="google", route="calendar.events.insert", kind="lost_reply")
        with pytest.raises(httpx.TransportError):
            http.post("/calendar/v3/calendars/primary/events", json=meeting(id="lost1"))
        assert http.get("/calendar/v3/calendars/primary/events/lost1").status_code == 200
        arm(service="google", route="calendar.events.insert", kind="lost_request")
        with pytest.raises(httpx.TransportError):
            http.post("/calendar/v3/calendars/primary/events", json=meeting(id="lost2"))
        assert http.get("/calendar/v3/calendars/primary/events/lost2").status_code == 404
        arm(service="google", route="calendar.events.list", kind="truncate")
        with pytest.raises(httpx.TransportError):
            http.get("/calendar/v3/calendars/primary/events")


def test_answers_come_without_delay_on_a_kept_connection(google: Google) -> None:
    port = int(google.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET /calendar/v3/colors HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        received = b""
        while received.count(b"HTTP/1.1 401") < 2:
            received += raw.recv(65_536)
