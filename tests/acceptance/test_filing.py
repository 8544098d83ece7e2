"""A mail dropped on a record's label is an e-mail of that record in the CRM after the next check; once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from engine.service import RetryFiling, Service
from tests.acceptance.mails import (
    deliver,
    drop_label,
    files,
    label,
    labels_of,
    letter,
    messages,
    opportunity,
    record_labels,
)
from tests.acceptance.test_disk import until
from tests.acceptance.town import Town, assert_idle, committed, engine, town

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
    # Taken off, it stays in the CRM; dropped once more, it stays under the label.
    label(place, user, mail, remove=[drop])
    await check(service)
    label(place, user, mail, add=[drop])
    await check(service)
    await check(service)
    assert f"CRM/Opportunities/{name}" in labels_of(place, user, mail)
    assert len(messages(place, "Subject = 'The offer'")) == 1


async def test_an_idle_check_is_one_call_per_mailbox_and_commits_nothing(place: Town, service: Service) -> None:
    await check(service)
    place.reset()
    units = committed(service)
    await check(service)
    counters = place.stats()
    calls = {name: count for name, count in counters.items() if name.startswith(("google.gmail", "salesforce"))}
    assert calls == {"google.gmail.users.history.list": len(place.users)}
    # The run on an admin's request, its audit, and what the monitors had to say before.
    assert set(units) <= {"_record_run", "add_audit", "_flush"}


async def test_a_mail_on_several_labels_is_filed_to_each_record_once(place: Town, service: Service) -> None:
    user, other = place.users
    shared = sorted(record_labels(place, user).items())[:2]
    case = next(iter(record_labels(place, user, "CRM/Cases").values()))
    raw = letter("Three records")
    mail = deliver(place, user, raw)["id"]
    label(place, user, mail, add=[*(one for _, one in shared), case])
    await check(service)
    found = messages(place, "Subject = 'Three records'")
    assert {row["RelatedToId"] for row in found if row["RelatedToId"]} == {
        opportunity(place, name) for name, _ in shared
    }
    assert len([row for row in found if row["ParentId"]]) == 1
    assert len(found) == 3
    # A second copy of the mail in the same mailbox, as a mailing list brings it, is the same mail.
    copy = deliver(place, user, raw)["id"]
    label(place, user, copy, add=[shared[0][1]])
    await check(service)
    assert len(messages(place, "Subject = 'Three records'")) == 3
    assert other  # whose mailbox nothing of this concerns


async def test_a_mail_becomes_a_record_or_says_what_it_lacks(place: Town, service: Service) -> None:
    user = place.users[0]
    new_lead = drop_label(place, user, "CRM/Create New Lead")
    new_case = drop_label(place, user, "CRM/Create New Case")
    good = deliver(
        place, user, letter("Interested", sender="Lee Novak <lee@novak-works.example>", identity="lead1")
    )["id"]
    label(place, user, good, add=[new_lead])
    bad = deliver(place, user, letter("Hi", sender="someone@gmail.com", identity="lead2"))["id"]
    label(place, user, bad, add=[new_lead])
    issue = deliver(place, user, letter("RE: It is broken", text="It does not start.", identity="case1"))["id"]
    label(place, user, issue, add=[new_case])
    await check(service)

    (lead,) = place.soql(
        "SELECT Id, FirstName, LastName, Company, OwnerId FROM Lead WHERE Email = 'lee@novak-works.example'"
    )
    assert (lead["FirstName"], lead["LastName"], lead["Company"]) == ("Lee", "Novak", "Novak Works")
    assert lead["OwnerId"] == place.crm_user(user)
    relations = place.soql(f"SELECT EmailMessageId FROM EmailMessageRelation WHERE RelationId = '{lead['Id']}'")
    assert len(relations) == 1
    assert "CRM/Create New Lead" not in labels_of(place, user, good)

    assert "CRM/Missing required matches" in labels_of(place, user, bad)
    assert "CRM/Create New Lead" not in labels_of(place, user, bad)
    (refused,) = [row for row in await service.filed(user) if row.state == "refused"]
    assert refused.reason.startswith("no lead can be made of it: the mail gives no family")

    (made,) = place.soql("SELECT Id, Description FROM Case WHERE Subject = 'It is broken'")
    assert made["Description"] == "It does not start."
    assert [row["Subject"] for row in messages(place, f"ParentId = '{made['Id']}'")] == ["RE: It is broken"]
    # Its drop label comes with a full sync of this mailbox that follows by itself.
    await until(lambda: "It is broken" in record_labels(place, user, "CRM/Cases"))
    assert "It is broken" not in record_labels(place, place.users[1], "CRM/Cases")
    assert_idle(await service.sync("Demo", "admin"))  # what still runs of it has ended then
    await check(service)
    assert len(place.soql("SELECT Id FROM Case WHERE Subject = 'It is broken'")) == 1


async def test_later_mails_of_a_conversation_follow(place: Town, service: Service) -> None:
    user = place.users[0]
    name, drop = sorted(record_labels(place, user).items())[-1]
    first = deliver(place, user, letter("Talk", identity="talk1"))
    label(place, user, first["id"], add=[drop])
    await check(service)
    reply = letter(
        "Re: Talk", identity="talk2", sender=user, to="kim@customer.example",
        headers=[("In-Reply-To", "<talk1@customer.example>"), ("References", "<talk1@customer.example>")],
    )  # fmt: skip
    sent = deliver(place, user, reply, "SENT")
    assert sent["threadId"] == first["threadId"]
    deliver(place, user, letter("Re: another", identity="talk3"))
    await check(service)
    found = messages(place, f"RelatedToId = '{opportunity(place, name)}'")
    assert {row["Subject"]: row["Incoming"] for row in found if "alk" in row["Subject"]} == {
        "Talk": True,
        "Re: Talk": False,
    }
    assert {row["ThreadIdentifier"] for row in found if "alk" in row["Subject"]} == {"talk1@customer.example"}


async def test_a_private_mail_is_not_read(place: Town, service: Service) -> None:
    user = place.users[0]
    drop = next(iter(record_labels(place, user).values()))
    raw = letter("My salary", text="SECRET BODY", headers=[("Sensitivity", "Company-Confidential")])
    mail = deliver(place, user, raw)["id"]
    label(place, user, mail, add=[drop])
    place.reset()
    await check(service)
    assert place.stats()["google.gmail.users.messages.get"] == 1  # its headers
    assert messages(place, "Subject = 'My salary'") == []
    (row,) = [row for row in await service.filed(user) if "confidential" in row.reason]
    assert (row.state, row.subject) == ("refused", "(private mail)")
    assert "SECRET" not in (service._ledger.path).read_bytes().decode("latin-1")
    assert "My salary" not in "".join(line.text for line in service.store.lines[user])


async def test_what_the_crm_refuses_is_shown_and_tried_again_on_request(place: Town, service: Service) -> None:
    user = place.users[0]
    name, drop = sorted(record_labels(place, user).items())[0]
    record = opportunity(place, name)
    mail = deliver(place, user, letter("To nowhere"))["id"]
    label(place, user, mail, add=[drop])
    place.crm("DELETE", f"sobjects/Opportunity/{record}")
    await check(service)
    (row,) = [row for row in await service.filed(user, words="nowhere") if row.state == "refused"]
    assert "cross reference" in row.reason
    answer = await service.do(RetryFiling((row.id,)), "admin")
    assert answer.ok, answer
    await check(service)
    (row,) = await service.filed(user, words="nowhere")
    assert row.state == "refused"


async def test_a_mail_dropped_for_a_demo_is_filed(place: Town, service: Service) -> None:
    (dropped,) = place.edit("mail", place.users[1], 1, seed=1)
    await check(service)
    (found,) = messages(place, f"Subject = '{dropped['subject']}'")
    assert found["RelatedToId"] or found["ParentId"]
