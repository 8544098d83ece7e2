"""Client credentials against a token endpoint on a real socket: one token for all, renewed when it is refused, told apart, kept secret."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.mailbox.exchange.connector import ExchangeConnector
from engine.model.modules import Module
from engine.model.port import CalendarMode, Finding
from engine.net.errors import ErrorKind, ProviderError
from engine.sandbox.exchange import accounts, oauth
from tests.mailbox.exchange.lab import STRUCTURE, Lab, create, done, lab, read, scope_of
from tests.sandbox.exchange.office import SERVICE

CLIENT, SECRET = "6731de76-14a6-49ae-97bc-6eba6914391e", "kR8~pLaYs-WiTh.FiRe_42"
VARIABLE = "SYNCLINE_TEST_CLIENT_SECRET"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A server that takes tokens and nothing else."""
    monkeypatch.setenv(VARIABLE, SECRET)
    with lab(exchange_auth=("bearer",)) as running:
        accounts.add_application(running.office.world, CLIENT, SECRET, SERVICE)
        yield running


def by_token(place: Lab, **more: Any) -> dict[str, Any]:
    """Settings of a connection that logs in by an application."""
    return {
        "auth": "oauth",
        "username": "",
        "password_env": "",
        "client_id": CLIENT,
        "client_secret_env": VARIABLE,
        "token_uri": f"{place.office.url}/{oauth.TENANT}/oauth2/v2.0/token",
        **more,
    }


def tokens(place: Lab) -> int:
    """How many tokens were asked for so far."""
    return place.office.world.counters["exchange.token"]


async def failure(place: Lab, **more: Any) -> Finding:
    """What ``doctor`` says is wrong."""
    async with place.connector(**by_token(place, **more)) as connector:
        [bad] = [one for one in await connector.check(place.account) if not one.ok]
    assert bad.advice
    assert SECRET not in bad.detail + bad.advice
    return bad


async def refusal(connector: ExchangeConnector, place: Lab) -> ProviderError:
    """How a call fails."""
    with pytest.raises(ProviderError) as caught:
        await connector.ensure(place.account, STRUCTURE, {})
    return caught.value


async def test_one_token_serves_all_calls(place: Lab) -> None:
    async with place.connector(**by_token(place)) as connector:
        found = await connector.check(place.account)
        assert all(one.ok for one in found), found
        assert f"lets {CLIENT} in (oauth)" in found[0].detail
        await connector.ensure(place.account, STRUCTURE, {})
    assert tokens(place) == 1


async def test_a_token_that_expires_in_the_middle_of_a_run_is_renewed_and_nothing_is_written_twice(
    place: Lab,
) -> None:
    """The server's clock is ahead of ours: it refuses the token between two calls of one run."""
    async with place.connector(**by_token(place)) as connector:
        structure = replace(STRUCTURE, calendar_mode=CalendarMode.COLOUR)
        scope = scope_of((await connector.ensure(place.account, structure, {})).scopes, "tasks")
        _, cursor = await read(connector, scope)
        place.office.world.clock.offset_ms += 2 * 3_600_000
        await done(connector, scope, create(Module.TASK, "k1", {"subject": "Once"}))
        assert tokens(place) == 2
        place.office.world.clock.offset_ms += 2 * 3_600_000
        news, _ = await read(connector, scope, cursor)
        assert [one.fields["subject"] for one in news] == ["Once"]
        assert tokens(place) == 3


async def test_an_application_that_the_server_does_not_know_costs_one_more_token_and_no_more(
    place: Lab,
) -> None:
    accounts.add_application(place.office.world, CLIENT, SECRET, "nobody@example.com")
    async with place.connector(**by_token(place)) as connector:
        error = await refusal(connector, place)
    assert (error.kind, error.status) == (ErrorKind.CREDENTIAL, 401)
    assert "does not accept the token" in error.detail
    assert "full_access_as_app" in error.advice
    assert tokens(place) == 2


async def test_the_doctor_tells_apart_what_an_admin_has_to_do(
    place: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCLINE_TEST_OLD_SECRET", "an-old-secret")
    bad = await failure(place, client_secret_env="SYNCLINE_TEST_OLD_SECRET")
    assert (bad.check, "invalid_client, AADSTS7000215, 401" in bad.detail) == ("login", True)
    assert "has expired" in bad.advice
    assert "an-old-secret" not in bad.detail + bad.advice
    bad = await failure(place, client_id="00000000-0000-0000-0000-000000000000")
    assert (bad.check, "unauthorized_client, AADSTS700016" in bad.detail) == ("login", True)
    assert "client_id" in bad.advice
    for scope, error in (
        ("https://outlook.example/.default", "invalid_resource"),
        ("EWS.AccessAsUser.All", "invalid_scope"),
    ):
        bad = await failure(place, scope=scope)
        assert (bad.check, error in bad.detail, scope in bad.advice) == ("scope", True, True)
    bad = await failure(place, token_uri=f"{place.office.url}/elsewhere.example/oauth2/v2.0/token")
    assert (bad.check, "AADSTS90002" in bad.detail, "tenant" in bad.advice) == ("login", True, True)
    bad = await failure(place, token_uri="http://127.0.0.1:9/token")
    assert bad.check == "server"


async def test_the_secret_and_the_token_reach_neither_text_nor_log(
    place: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when the endpoint repeats them: in its explanation, in an answer that is none, in the server's refusal."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    echo = f"Invalid secret {SECRET} for {CLIENT}"
    answers: list[dict[str, Any]] = [
        {"status": 401, "body": f'{{"error": "invalid_client", "error_description": "{echo}"}}'},
        {"status": 400, "body": f'{{"error": "{echo}"}}'},
        {"status": 200, "body": f'{{"token": "{SECRET}"}}'},
        {"status": 500, "body": echo},
    ]
    for one in answers:
        place.fault(route="oauth2", kind="status", times=9, **one)
        async with place.connector(**by_token(place)) as connector:
            error = await refusal(connector, place)
        said += [str(error), repr(error), error.advice, "".join(traceback.format_exception(error))]
    async with place.connector(**by_token(place)) as connector:
        await connector.ensure(place.account, STRUCTURE, {})
        [token] = place.office.world.db.execute("SELECT token FROM exchange_issued").fetchone()
        said += [repr(connector.client.settings), repr(connector.client._tokens.__dict__)]
    text = "\n".join([*said, *(record.getMessage() for record in caplog.records)])
    assert "invalid_client" in text
    assert SECRET not in text
    assert token not in text
