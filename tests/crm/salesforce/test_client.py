import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from engine.crm.salesforce import SalesforceConnector, SalesforceSettings
from engine.model.modules import Module
from engine.model.port import Result
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net
from tests.crm.salesforce.org import Org, create


class Impatient:
    """A clock on which every wait is over at once."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped

    async def sleep(self, seconds: float) -> None:
        self.skipped += seconds
        await asyncio.sleep(0)


@pytest.fixture
async def org(org: Org, settings: SalesforceSettings) -> AsyncIterator[Org]:
    await org.connector.close()
    org.connector = SalesforceConnector(settings, Net(clock=Impatient(), observer=org.memory))
    try:
        await org.connector.users()
        yield org
    finally:
        await org.connector.close()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 500, "body": [{"errorCode": "UNKNOWN_EXCEPTION", "message": "x"}]},
        {"kind": "lost_request"},
        {"kind": "lost_reply"},
        {"kind": "truncate"},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}",
)
async def test_a_read_survives_what_passes(org: Org, fault: dict) -> None:
    org.add("Contact", LastName="Berg")
    org.fault(route="queryAll", times=2, **fault)
    seen, _ = await org.read(Module.CONTACT)
    assert [each.fields for each in seen] == [{"family": "Berg"}]
    assert org.memory.waits  # and the admin can see that it waited


async def test_a_write_that_may_have_arrived_is_not_repeated_here(org: Org) -> None:
    org.fault(route="composite", verb="POST", status=503)
    with pytest.raises(ProviderError) as caught:
        await org.apply(create(Module.CONTACT, "k", family="Berg"))
    assert (caught.value.kind, caught.value.maybe_applied) == (ErrorKind.UNAVAILABLE, True)
    assert await org.read(Module.CONTACT)


async def test_a_write_that_was_turned_away_at_the_door_is_repeated(org: Org) -> None:
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentPerOrgLongTxn Limit exceeded."}]
    org.fault(route="composite", verb="POST", status=403, body=body)
    (outcome,) = await org.apply(create(Module.CONTACT, "k", family="Berg"))
    assert outcome.result is Result.DONE


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "API_DISABLED_FOR_ORG", ErrorKind.PERMISSION),
        (400, "INVALID_TYPE", ErrorKind.PERMISSION),
        (400, "MALFORMED_QUERY", ErrorKind.REQUEST),
        (404, "NOT_FOUND", ErrorKind.NOT_FOUND),
    ],
)
async def test_what_needs_a_person_is_told_at_once(org: Org, status: int, code: str, kind: ErrorKind) -> None:
    org.fault(route="queryAll", status=status, body=[{"errorCode": code, "message": "why"}])
    org.calls()
    with pytest.raises(ProviderError) as caught:
        await org.read(Module.CONTACT)
    assert caught.value.kind is kind
    assert f"{code}: why" in str(caught.value)
    assert org.calls() == 1


async def test_an_answer_that_is_no_json_says_where_to_look(org: Org) -> None:
    org.fault(route="queryAll", status=200, body="<html>Proxy</html>")
    with pytest.raises(ProviderError) as caught:
        await org.read(Module.CONTACT)
    assert caught.value.kind is ErrorKind.MALFORMED
    assert "login_url" in caught.value.advice


async def test_a_listing_that_breaks_off_leaves_no_cursor(org: Org) -> None:
    from engine.sandbox.salesforce import store

    store.insert_many(org.world, "Contact", [{"LastName": f"No {n}"} for n in range(2100)])
    pages = org.connector.changes(org.scope(Module.CONTACT), None)
    assert (await anext(pages)).cursor is None
    org.fault(
        route="queryAll|/query/",
        status=400,
        body=[{"errorCode": "INVALID_QUERY_LOCATOR", "message": "x"}],
        times=9,
    )
    with pytest.raises(ProviderError) as caught:
        await anext(pages)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
