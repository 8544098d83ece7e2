"""A mail dropped into a record's folder at Exchange is an e-mail of that record in the CRM after the next check; once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from engine.service import Service
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.mails import files, letter, messages, opportunity
from tests.acceptance.town import Town, assert_idle, committed, engine, town

SIZES = {
    "contacts": 12,
    "leads": 2,
    "appointments": 0,
    "calls": 0,
    "service_calls": 0,
    "tasks": 0,
    "opportunities": 6,
    "cases": 4,
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailroom]:
    with town(tmp_path_factory.mktemp("filing"), users=2, sizes=SIZES, options=SERVICES) as running:
        yield Mailroom(running)


@pytest.fixture(scope="module")
def place(room: Mailroom) -> Town:
    return room.place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(room: Mailroom, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The company after its first sync and its first checks."""
    async with engine(tmp_path_factory.mktemp("engine"), room.config("enabled = true")) as running:
        assert_idle(await running.sync("Demo", "admin"))
        await check(running)
        await check(running)
        yield running


async def check(service: Service) -> None:
    """One drop-label check, which must end well."""
    for run in await service.check_labels("Demo", "admin"):
        assert run.result == "ok", run.note


async def test_a_dropped_mail_is_an_activity_of_the_record_with_its_people_and_files(
    room: Mailroom, place: Town, service: Service
) -> None:
    user = place.users[0]
    name, folder = next(iter(room.record_folders(user).items()))
    contact = place.soql("SELECT Id, Email FROM Contact WHERE Email != null")[0]
    raw = letter(
        "The offer",
        sender=f"Somebody <{contact['Email']}>",
        to=f"{user}, stranger@elsewhere.example",
        text="Plain words.",
        page="<p>Rich <b>words</b><script>alert(1)</script></p>",
        files=[("offer.pdf", b"%PDF-1.7 offer")],
    )
    room.move(user, folder, room.deliver(user, raw))
    await check(service)

    (found,) = messages(place, "Subject = 'The offer'")
    assert found["RelatedToId"] == opportunity(place, name)
    assert found["TextBody"].strip() == "Plain words."
    assert "<b>words</b>" in found["HtmlBody"]
    assert "script" not in found["HtmlBody"]
    assert found["Incoming"] is True
    assert found["MessageIdentifier"] == "The.offer@customer.example"
    assert found["MessageDate"] == "2026-11-27T08:30:00.000+0000"
    relations = place.soql(
        f"SELECT RelationId, RelationType FROM EmailMessageRelation WHERE EmailMessageId = '{found['Id']}'"
    )
    assert {(row["RelationId"], row["RelationType"]) for row in relations} == {
        (contact["Id"], "FromAddress"),
        (place.crm_user(user), "ToAddress"),
    }
    assert files(place, found["Id"]) == {"offer.pdf": b"%PDF-1.7 offer"}
    assert room.subjects(user, folder) == ["The offer"]

    await check(service)
    assert len(messages(place, "Subject = 'The offer'")) == 1


async def test_an_idle_check_is_one_call_per_mailbox_and_commits_nothing(
    room: Mailroom, place: Town, service: Service
) -> None:
    await check(service)
    place.reset()
    units = committed(service)
    await check(service)
    assert room.asked() == {"FindFolder": len(place.users)}
    assert not [name for name in place.stats() if name.startswith("salesforce")]
    # The run on an admin's request, its audit, and what the monitors had to say before.
    assert set(units) <= {"_record_run", "add_audit", "_flush"}
    assert place.stats()["exchange.mails"] == 0
