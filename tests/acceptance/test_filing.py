"""A mail dropped on a record's label is an e-mail of that record in the CRM after the next check; once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from engine.service import Service
from tests.acceptance.mails import (
    deliver,
    files,
    label,
    labels_of,
    letter,
    messages,
    opportunity,
    record_labels,
)
from tests.acceptance.town import Town, assert_idle, engine, town

SIZES = {
    "contacts": 20,
    "leads": 3,
    "appointments": 0,
    "calls": 0,
    "service_calls": 0,
    "tasks": 2,
    "opportunities": 6,
    "cases": 4,
}

POLICY = "enabled = true"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("filing"), users=2, sizes=SIZES) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(place: Town, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The company after its first sync and its first check."""
    async with engine(tmp_path_factory.mktemp("engine"), place.config(policy=POLICY)) as running:
        assert_idle(await running.sync("Demo", "admin"))
        await check(running)
        yield running


async def check(service: Service) -> None:
    """One drop-label check, which must end well."""
    for run in await service.check_labels("Demo", "admin"):
        assert run.result == "ok", run.note


async def test_a_dropped_mail_is_an_activity_of_the_record_with_its_people_and_files(
    place: Town, service: Service
) -> None:
    user = place.users[0]
    name, drop = next(iter(record_labels(place, user).items()))
    contact = place.soql("SELECT Id, Email FROM Contact WHERE Email != null")[0]
    raw = letter(
        "The offer",
        sender=f"Somebody <{contact['Email']}>",
        to=f"{user}, stranger@elsewhere.example",
        text="Plain words.",
        page="<p>Rich <b>words</b><script>alert(1)</script><img src='https://t.example/pixel.gif'></p>",
        files=[("offer.pdf", b"%PDF-1.7 offer")],
    )
    mail = deliver(place, user, raw)["id"]
    label(place, user, mail, add=[drop])
    await check(service)

    (found,) = messages(place, "Subject = 'The offer'")
    assert found["RelatedToId"] == opportunity(place, name)
    assert found["TextBody"].strip() == "Plain words."
    assert "<b>words</b>" in found["HtmlBody"]
    assert "script" not in found["HtmlBody"]
    assert "pixel" not in found["HtmlBody"]
    assert found["Incoming"] is True
    assert found["MessageIdentifier"] == "The.offer@customer.example"
    assert found["MessageDate"] == "2026-11-27T08:30:00.000+0000"
    assert found["ToAddress"] == "stranger@elsewhere.example"
    relations = place.soql(
        "SELECT RelationId, RelationType FROM EmailMessageRelation WHERE EmailMessageId = '{}'".format(
            found["Id"]
        )
    )
    assert {(row["RelationId"], row["RelationType"]) for row in relations} == {
        (contact["Id"], "FromAddress"),
        (place.crm_user(user), "ToAddress"),
    }
    assert files(place, found["Id"]) == {"offer.pdf": b"%PDF-1.7 offer"}
    assert f"CRM/Opportunities/{name}" in labels_of(place, user, mail)

    await check(service)
    assert len(messages(place, "Subject = 'The offer'")) == 1


async def test_an_idle_check_is_one_call_per_mailbox_and_commits_nothing(place: Town, service: Service) -> None:
    await check(service)
    place.reset()
    commits = service._ledger.commits
    await check(service)
    counters = place.stats()
    calls = {name: count for name, count in counters.items() if name.startswith(("google.gmail", "salesforce"))}
    assert calls == {"google.gmail.users.history.list": len(place.users)}
    assert service._ledger.commits - commits <= 2  # the run on an admin's request, and its audit
