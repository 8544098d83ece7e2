"""Doctor tells apart what an admin has to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.port import Finding
from engine.sandbox.exchange import accounts
from tests.mailbox.exchange.lab import Lab, lab
from tests.mailbox.exchange.test_writes import BUSY
from tests.sandbox.exchange.office import PASSWORD


async def findings(place: Lab, **options: Any) -> list[Finding]:
    async with place.connector(**options) as connector:
        return await connector.check(place.account)


def failure(found: list[Finding]) -> Finding:
    [bad] = [one for one in found if not one.ok]
    assert bad.advice
    return bad


async def test_a_good_connection_is_told_with_what_was_found(place: Lab) -> None:
    found = await findings(place)
    assert all(one.ok for one in found), found
    assert [one.check for one in found] == [
        "login",
        "version",
        "impersonation",
        "read calendar",
        "read contacts",
        "read tasks",
    ]
    assert "Exchange2016" in found[1].detail
    assert "anna@example.com" in found[2].detail


@pytest.mark.parametrize("auth", ["basic", "ntlm"])
async def test_both_logins_of_windows_work(place: Lab, auth: str) -> None:
    assert all(one.ok for one in await findings(place, auth=auth))


async def test_a_refused_login(place: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_TEST_WRONG", "nonsense")
    bad = failure(await findings(place, password_env="SYNCLINE_TEST_WRONG"))
    assert (bad.check, "401" in bad.detail) == ("login", True)


async def test_a_missing_right_to_impersonate(place: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.add_account(place.office.world, "weak@example.com", PASSWORD)
    monkeypatch.setenv("SYNCLINE_TEST_WEAK", PASSWORD)
    bad = failure(await findings(place, username="weak@example.com", password_env="SYNCLINE_TEST_WEAK"))
    assert bad.check == "impersonation"
    assert "ApplicationImpersonation" in bad.advice


async def test_a_mailbox_that_does_not_exist(place: Lab) -> None:
    from engine.model.port import Account

    async with place.connector() as connector:
        bad = failure(await connector.check(Account("nobody@example.com")))
    assert bad.check == "mailbox"


async def test_a_version_that_the_server_does_not_speak() -> None:
    with lab(exchange_version="Exchange2010_SP2") as place:
        bad = failure(await findings(place, version="Exchange2019"))
        assert bad.check == "version"
        assert all(one.ok for one in await findings(place, version="Exchange2010"))


async def test_exchange_online_that_blocks_ews() -> None:
    with lab(exchange_blocked=True) as place:
        bad = failure(await findings(place))
    assert bad.check == "access"
    assert "Exchange Online blocks EWS" in bad.detail
    for word in ("Microsoft Graph", "1 October 2026", "1 April 2027", "EWSAllowedAppIDs"):
        assert word in bad.advice


async def test_a_throttled_server(place: Lab) -> None:
    place.fault(route="asmx", kind="status", status=500, body=BUSY.format(9000))
    bad = failure(await findings(place))
    assert (bad.check, "9 s" in bad.detail) == ("throttled", True)


async def test_no_tls_where_tls_was_asked_for(place: Lab) -> None:
    bad = failure(await findings(place, url=place.office.endpoint.replace("http://", "https://")))
    assert bad.check == "tls"


async def test_nobody_there(place: Lab) -> None:
    bad = failure(await findings(place, url="http://127.0.0.1:9/EWS/Exchange.asmx"))
    assert (bad.check, "could not be reached" in bad.detail) == ("server", True)


async def test_another_server_at_that_address(place: Lab) -> None:
    bad = failure(await findings(place, url=place.office.url + "/nothing"))
    assert bad.check == "settings"
    assert "/EWS/Exchange.asmx" in bad.advice


async def test_a_password_file_that_is_not_there(place: Lab, tmp_path: Any) -> None:
    bad = failure(await findings(place, password_env="", password_file=str(tmp_path / "none.txt")))
    assert "password_file" in bad.detail
