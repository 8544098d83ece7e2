"""Logging in by each grant, sessions that end, the daily limit, and simple-salesforce against the server."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
import requests
import simple_salesforce
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceMalformedRequest

from engine.sandbox.salesforce import accounts
from tests.sandbox.salesforce.conftest import DATA, Org


def token(org: Org, **form: str) -> tuple[int, dict[str, Any]]:
    answer = org.http.post("/services/oauth2/token", data=form, headers={"Authorization": ""})
    return answer.status_code, answer.json()


def key_pair() -> tuple[str, str]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


PRIVATE, PUBLIC = key_pair()


def test_client_credentials_answer_names_the_instance_and_the_user(org: Org) -> None:
    status, body = token(org, grant_type="client_credentials", client_id="client", client_secret="secret")
    assert status == 200
    assert body["instance_url"] == org.url
    assert body["token_type"] == "Bearer"
    assert body["id"].endswith(org.user)
    assert int(body["issued_at"]) > 0


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (
            {"grant_type": "client_credentials", "client_id": "other", "client_secret": "secret"},
            "invalid_client_id",
        ),
        ({"grant_type": "client_credentials", "client_id": "client", "client_secret": "no"}, "invalid_client"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        (
            {"grant_type": "password", "client_id": "client", "client_secret": "secret", "username": "x"},
            "invalid_grant",
        ),
        ({"grant_type": accounts.JWT_GRANT, "assertion": "rubbish"}, "invalid_grant"),
    ],
)
def test_refused_logins(org: Org, form: dict[str, str], error: str) -> None:
    status, body = token(org, **form)
    assert (status, body["error"]) == (400, error)
    assert "secret" not in body["error_description"]


def test_password_logins_take_password_and_token_together(org: Org) -> None:
    accounts.set_password(org.world, "ann.berg@acme.example", "passwordTOKEN")
    form = {"grant_type": "password", "client_id": "client", "client_secret": "secret"}
    status, body = token(org, **form, username="Ann.Berg@acme.example", password="passwordTOKEN")
    assert (status, body["token_type"]) == (200, "Bearer")


def test_ended_sessions_are_refused(org: Org) -> None:
    accounts.revoke_all(org.world)
    assert org.refusal(org.get("limits")) == (401, "INVALID_SESSION_ID")


def assertion(org: Org, **changes: Any) -> str:
    now = org.world.clock.now_ms() / 1000
    claims = {"iss": "jwt", "sub": "ann.berg@acme.example", "aud": org.url, "exp": int(now) + 180}
    return jwt.encode({**claims, **changes}, PRIVATE, algorithm="RS256")


def test_jwt_bearer_is_checked_against_the_registered_key(org: Org) -> None:
    accounts.register_jwt_client(org.world, "jwt", PUBLIC)
    status, body = token(org, grant_type=accounts.JWT_GRANT, assertion=assertion(org))
    assert status == 200
    assert body["id"].endswith(org.user)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sub": "nobody@acme.example"}, "invalid_grant"),
        ({"aud": "https://elsewhere.example"}, "invalid_grant"),
        ({"exp": int(time.time()) - 60}, "invalid_grant"),
        ({"iss": "unknown"}, "invalid_client_id"),
    ],
)
def test_a_wrong_assertion_is_refused(org: Org, changes: dict[str, Any], error: str) -> None:
    accounts.register_jwt_client(org.world, "jwt", PUBLIC)
    status, body = token(org, grant_type=accounts.JWT_GRANT, assertion=assertion(org, **changes))
    assert (status, body["error"]) == (400, error)


def test_an_assertion_signed_by_another_key_is_refused(org: Org) -> None:
    accounts.register_jwt_client(org.world, "jwt", key_pair()[1])
    assert token(org, grant_type=accounts.JWT_GRANT, assertion=assertion(org))[1]["error"] == "invalid_grant"


def test_a_session_ends_after_two_idle_hours(org: Org) -> None:
    org.world.clock.offset_ms += 3_600_000
    assert org.get("limits").status_code == 200
    org.world.clock.offset_ms += 7_200_000
    answer = org.get("limits")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_without_a_session_there_is_nothing_but_the_versions(org: Org) -> None:
    org.http.headers["Authorization"] = "Bearer nonsense"
    assert org.refusal(org.get("sobjects")) == (401, "INVALID_SESSION_ID")
    assert "62.0" in [each["version"] for each in org.http.get("/services/data").json()]


def test_every_answer_tells_the_use_of_the_daily_limit_and_the_limit_holds(org: Org) -> None:
    org.world.settings["sf_daily_limit"] = 2
    assert org.get("limits").headers["Sforce-Limit-Info"] == "api-usage=1/2"
    assert org.get("limits").json()["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
    answer = org.get("limits")
    assert org.refusal(answer) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=2/2"


def test_the_daily_limit_rolls(org: Org) -> None:
    org.world.settings |= {"sf_daily_limit": 1, "sf_session_seconds": 10**6}
    org.get("limits")
    assert org.get("limits").status_code == 403
    org.world.clock.offset_ms += 25 * 3_600_000
    assert org.get("limits").status_code == 200


def test_userinfo_tells_who_is_logged_in(org: Org) -> None:
    body = org.http.get("/services/oauth2/userinfo").json()
    assert (body["preferred_username"], body["zoneinfo"]) == ("ann.berg@acme.example", "Europe/Berlin")


def test_unknown_version_and_path_are_not_found(org: Org) -> None:
    assert org.http.get("/services/data/v12.0/limits").status_code == 404
    assert org.refusal(org.get("nonsense")) == (404, "NOT_FOUND")
    assert org.refusal(org.post("limits", {})) == (405, "METHOD_NOT_ALLOWED")


def test_an_injected_fault_strikes_once(org: Org) -> None:
    rule = {
        "service": "salesforce",
        "route": "/limits$",
        "verb": "GET",
        "kind": "status",
        "status": 503,
        "times": 1,
    }
    assert org.http.post("/_sandbox/faults", json=rule).status_code == 200
    assert [org.get("limits").status_code for _ in range(2)] == [503, 200]


class Loopback(HTTPAdapter):
    """Sends what simple-salesforce wants to say to ``https://...`` to the sandbox."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # type: ignore[override]
        path = request.path_url
        request.url = self._url + path
        return super().send(request, **{**more, "proxies": {}})


def client(org: Org, **login: Any) -> simple_salesforce.Salesforce:
    session = requests.Session()
    session.mount("https://", Loopback(org.url))
    return simple_salesforce.Salesforce(session=session, version="62.0", **login)


def test_simple_salesforce_reads_and_writes(org: Org) -> None:
    token_ = org.http.headers["Authorization"].removeprefix("Bearer ")
    sf = client(org, session_id=token_, instance_url=org.url)
    made = sf.Contact.create({"LastName": "Ortiz", "Email": "j@acme.example"})
    assert made["success"]
    assert sf.Contact.get(made["id"])["Name"] == "Ortiz"
    assert sf.Contact.update(made["id"], {"FirstName": "José"}) == 204
    assert sf.Contact.upsert("Syncline_Key__c/k1", {"LastName": "Neu"}) == 201
    assert sf.query("SELECT Name FROM Contact ORDER BY Name")["totalSize"] == 2
    assert {"Contact", "Lead", "Event"} <= {each["name"] for each in sf.describe()["sobjects"]}
    assert sf.Contact.delete(made["id"]) == 204
    bin_too = sf.query_all_iter("SELECT Id FROM Contact", include_deleted=True)
    assert made["id"] in {row["Id"] for row in bin_too}
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    with pytest.raises(SalesforceMalformedRequest):
        sf.query("SELECT Nonsense FROM Contact")
    sf.session.close()


@pytest.mark.parametrize("wrong", ["", "!"])
def test_simple_salesforce_logs_in_by_soap(org: Org, wrong: str) -> None:
    accounts.set_password(org.world, "ann.berg@acme.example", "pass<&>wordTOKEN")
    login = {"username": "ann.berg@acme.example", "password": "pass<&>word", "security_token": "TOKEN" + wrong}
    if wrong:
        with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
            client(org, **login)
        return
    sf = client(org, **login)
    assert sf.query("SELECT Id FROM User")["totalSize"] == 1
    sf.session.close()


def test_simple_salesforce_logs_in_by_jwt_and_by_client_credentials(org: Org) -> None:
    accounts.register_jwt_client(org.world, "jwt", PUBLIC)
    by_key = client(org, username="ann.berg@acme.example", consumer_key="jwt", privatekey=PRIVATE)
    by_secret = client(org, consumer_key="client", consumer_secret="secret", domain="acme.my")
    for sf in (by_key, by_secret):
        assert sf.query("SELECT Id FROM User")["totalSize"] == 1
        sf.session.close()


def test_a_url_longer_than_16_kilobytes_is_refused(org: Org) -> None:
    assert org.http.get(f"{DATA}/query", params={"q": "SELECT Id FROM User" + " " * 17_000}).status_code == 414
