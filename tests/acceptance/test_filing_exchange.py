"""A mail dropped into a record's folder at Exchange is an e-mail of that record in the CRM after the next check; once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from engine.service import Service
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.mails import files, letter, messages, opportunity
from tests.acceptance.test_disk import until
from tests.acceptance.town import Town, assert_idle, committed, engine, town
from tui.why import explanation_text

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


async def why(service: Service, mail: int) -> str:
    """What ``syncline why`` says of a mail."""
    return explanation_text(await service.explain(f"mail#{mail}"))


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


async def test_a_mail_copied_into_several_folders_is_filed_to_each_record_once(
    room: Mailroom, place: Town, service: Service
) -> None:
    user = place.users[0]
    (one, first), (two, second) = sorted(room.record_folders(user).items())[:2]
    case = next(iter(room.record_folders(user, "CRM/Cases").values()))
    mail = room.deliver(user, letter("Three records"))
    [copied] = room.move(user, first, mail, copy=True)
    room.move(user, case, mail, copy=True)
    room.move(user, second, mail)
    await check(service)
    found = messages(place, "Subject = 'Three records'")
    assert {row["RelatedToId"] for row in found if row["RelatedToId"]} == {
        opportunity(place, one),
        opportunity(place, two),
    }
    assert (len(found), len([row for row in found if row["ParentId"]])) == (3, 1)
    # A second copy in one folder is the same mail, and so is one that goes out and comes back with another id.
    room.move(user, first, *room.move(user, "inbox", copied))
    room.deliver(user, letter("Three records"), first)
    await check(service)
    assert len(messages(place, "Subject = 'Three records'")) == 3


async def test_a_mail_becomes_a_record_or_says_what_it_lacks(
    room: Mailroom, place: Town, service: Service
) -> None:
    user = place.users[0]
    tree = room.tree(user)
    good = letter("Interested", sender="Lee Novak <lee@novak-works.example>", identity="lead1")
    bad = letter("Hi", sender="someone@gmail.com", identity="lead2")
    room.move(user, tree["CRM/Create New Lead"], room.deliver(user, good), room.deliver(user, bad))
    room.move(user, tree["CRM/Create New Case"], room.deliver(user, letter("RE: It is broken")))
    await check(service)
    (lead,) = place.soql("SELECT Id, LastName, OwnerId FROM Lead WHERE Email = 'lee@novak-works.example'")
    assert (lead["LastName"], lead["OwnerId"]) == ("Novak", place.crm_user(user))
    assert len(place.soql("SELECT Id FROM Case WHERE Subject = 'It is broken'")) == 1
    assert room.subjects(user, room.tree(user)["CRM/Missing required matches"]) == ["Hi"]
    assert room.subjects(user, tree["CRM/Create New Lead"]) == []
    # A mail that made a record goes back to where mails arrive, and is not taken for a new one of its conversation.
    assert {"Interested", "RE: It is broken"} <= set(room.subjects(user, "inbox"))
    (refused,) = [row for row in await service.filed(user) if row.state == "refused"]
    assert refused.reason.startswith("no lead can be made of it: the mail gives no family")
    said = await why(service, refused.id)
    assert said.startswith(
        f"mail: Hi   {user}, policy Demo\nIt was not filed: {refused.reason}. r in Filed mail"
    )
    assert 'a person dropped it on a "Create New" label or folder' in said
    assert "lead2@customer.example" in said
    before = [(row.id, row.state) for row in await service.filed(user)]
    await check(service)
    assert [(row.id, row.state) for row in await service.filed(user)] == before
    assert len(place.soql("SELECT Id FROM Case WHERE Subject = 'It is broken'")) == 1
    # The case's own folder comes with a full sync of this mailbox that follows by itself.
    await until(lambda: "It is broken" in room.record_folders(user, "CRM/Cases"))
    assert_idle(await service.sync("Demo", "admin"))  # what still runs of it has ended then


async def test_later_mails_of_a_conversation_follow(room: Mailroom, place: Town, service: Service) -> None:
    user = place.users[0]
    name, folder = sorted(room.record_folders(user).items())[-1]
    room.move(user, folder, room.deliver(user, letter("Talk", identity="talk1")))
    await check(service)
    thread = [("In-Reply-To", "<talk1@customer.example>"), ("References", "<talk1@customer.example>")]
    own = letter("Re: Talk", identity="talk2", sender=user, to="kim@customer.example", headers=thread)
    room.deliver(user, own, "sentitems")
    room.deliver(user, letter("Re: another", identity="talk3"))
    await check(service)
    place.reset()
    await check(service)
    assert room.asked() == {"FindFolder": len(place.users)}  # what was filed from the inbox left no trace there
    room.deliver(user, letter("RE: Talk", identity="talk4", headers=thread))
    await check(service)
    found = messages(place, f"RelatedToId = '{opportunity(place, name)}'")
    assert {row["Subject"]: row["Incoming"] for row in found if "alk" in row["Subject"]} == {
        "Talk": True,
        "Re: Talk": False,
        "RE: Talk": True,
    }
    assert "RE: Talk" not in room.subjects(user, folder)  # they stay where they arrived


async def test_a_private_mail_is_not_read(room: Mailroom, place: Town, service: Service) -> None:
    user = place.users[0]
    folder = next(iter(room.record_folders(user).values()))
    raw = letter("My salary", text="SECRET BODY", headers=[("Sensitivity", "Company-Confidential")])
    room.move(user, folder, room.deliver(user, raw))
    await check(service)
    assert messages(place, "Subject = 'My salary'") == []
    (row,) = [row for row in await service.filed(user) if "confidential" in row.reason]
    assert (row.state, row.subject) == ("refused", "(private mail)")
    said = await why(service, row.id)
    assert said.startswith(
        f"mail: (private mail)   {user}, policy Demo\nIt was not filed: it is marked confidential"
    )
    assert "Dropped on   the mail stays there" in said
    assert not [word for word in ("My salary", "SECRET", "customer.example") if word in said]
    assert b"SECRET" not in service._ledger.path.read_bytes()
    assert "My salary" not in "".join(line.text for line in service.store.lines[user])
    # The folder is listed again for another mail: what was refused there stays refused, and nobody hears of it again.
    before = sum("not filed" in line.text for line in service.store.lines[user])
    room.deliver(user, letter("Not private"), folder)
    await check(service)
    assert len(messages(place, "Subject = 'Not private'")) == 1
    assert sum("not filed" in line.text for line in service.store.lines[user]) == before


async def test_a_folder_that_was_thrown_away_files_nothing_and_one_brought_back_does(
    room: Mailroom, place: Town, service: Service
) -> None:
    user = place.users[1]
    name, folder = next(iter(room.record_folders(user).items()))
    branch = room.tree(user)["CRM/Opportunities"]
    room.move_folder(user, "deleteditems", folder)
    room.deliver(user, letter("In the bin"), folder)
    await check(service)
    assert messages(place, "Subject = 'In the bin'") == []
    room.move_folder(user, branch, folder)
    await check(service)
    (found,) = messages(place, "Subject = 'In the bin'")
    assert found["RelatedToId"] == opportunity(place, name)
    # The record's next change brings another folder in place of one that is still in the bin.
    room.move_folder(user, "deleteditems", folder)
    place.change("Opportunity", opportunity(place, name), Amount=4711)
    for _ in range(2):
        assert_idle(await service.sync("Demo", "admin"))
    again = room.record_folders(user)[name]
    assert again != folder
    room.deliver(user, letter("In the new one"), again)
    await check(service)
    (found,) = messages(place, "Subject = 'In the new one'")
    assert found["RelatedToId"] == opportunity(place, name)


async def test_a_mail_dropped_for_a_demo_is_filed(room: Mailroom, place: Town, service: Service) -> None:
    user = place.users[1]
    (dropped,) = place.edit("mail", user, 1, seed=1)
    await check(service)
    (found,) = messages(place, f"Subject = '{dropped['subject']}'")
    assert found["RelatedToId"] or found["ParentId"]
    assert list(files(place, found["Id"])) == ["details.pdf"]
