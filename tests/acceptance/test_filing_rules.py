"""The policy's rules about filed mail: the label afterwards, taking mails out again, what files by itself, exclusions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from engine.service import Service
from tests.acceptance.mails import deliver, label, labels_of, letter, messages, record_labels
from tests.acceptance.test_filing import SIZES, check
from tests.acceptance.town import Town, assert_idle, engine, town

POLICY = """enabled = true
[policies.Demo.mail]
after = "move"
unfile = true
inbox = true
sent = true
attachments = "list"
exclude_domains = ["secret.example"]
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("rules"), users=2, sizes=SIZES) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(place: Town, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with engine(tmp_path_factory.mktemp("engine"), place.config(policy=POLICY)) as running:
        assert_idle(await running.sync("Demo", "admin"))
        await check(running)
        yield running


async def test_a_filed_mail_moves_and_is_not_taken_out_for_it(place: Town, service: Service) -> None:
    user = place.users[0]
    name, drop = sorted(record_labels(place, user).items())[0]
    mail = deliver(place, user, letter("Moves", files=[("plan.txt", b"the plan")]))["id"]
    label(place, user, mail, add=[drop])
    await check(service)
    assert "CRM/Filed" in labels_of(place, user, mail)
    assert f"CRM/Opportunities/{name}" not in labels_of(place, user, mail)
    await check(service)  # sees our own removal of the label
    (found,) = messages(place, "Subject = 'Moves'")
    assert found["HasAttachment"] is False
    assert "plan.txt (8 bytes)" in found["TextBody"]
    label(place, user, mail, add=[drop])  # dropped once more: filed already, the label goes again
    await check(service)
    assert f"CRM/Opportunities/{name}" not in labels_of(place, user, mail)
    assert len(messages(place, "Subject = 'Moves'")) == 1


async def test_mails_of_people_of_the_crm_are_filed_by_themselves(place: Town, service: Service) -> None:
    user = place.users[0]
    contact, other = place.soql("SELECT Id, Email FROM Contact WHERE Email != null")[:2]
    deliver(place, user, letter("Arrives", sender=contact["Email"]))
    deliver(place, user, letter("Leaves", sender=user, to=other["Email"]), "SENT")
    deliver(place, user, letter("Unknown", sender="nobody@nowhere.example"))
    deliver(place, user, letter("Hush", sender=contact["Email"], headers=[("Cc", "x@deep.secret.example")]))
    deliver(place, user, letter("Mine", sender=contact["Email"], headers=[("Sensitivity", "Personal")]))
    await check(service)
    found = {row["Subject"]: row for row in messages(place)}
    assert {"Arrives", "Leaves"} <= found.keys()
    assert not {"Unknown", "Hush", "Mine"} & found.keys()
    assert (found["Arrives"]["Incoming"], found["Leaves"]["Incoming"]) == (True, False)
    assert found["Arrives"]["RelatedToId"] is None
    relations = place.soql("SELECT EmailMessageId, RelationId FROM EmailMessageRelation")
    assert (found["Arrives"]["Id"], contact["Id"]) in {
        (row["EmailMessageId"], row["RelationId"]) for row in relations
    }


async def test_an_excluded_mail_is_refused_with_the_reason(place: Town, service: Service) -> None:
    user = place.users[0]
    drop = next(iter(record_labels(place, user).values()))
    mail = deliver(place, user, letter("Keep out", sender="a@secret.example"))["id"]
    label(place, user, mail, add=[drop])
    await check(service)
    (row,) = await service.filed(user, words="keep out")
    assert (row.state, row.reason) == ("refused", "the policy excludes mails from or to a@secret.example")
    assert messages(place, "Subject = 'Keep out'") == []


async def test_an_expired_history_loses_nothing(place: Town, service: Service) -> None:
    user = place.users[0]
    drop = next(iter(record_labels(place, user).values()))
    contact = place.soql("SELECT Id, Email FROM Contact WHERE Email != null")[0]
    mail = deliver(place, user, letter("While away"))["id"]
    label(place, user, mail, add=[drop])
    deliver(place, user, letter("From a contact", sender=contact["Email"]))
    before = len(messages(place))
    place.advance(9 * 86_400)
    await check(service)
    subjects = [row["Subject"] for row in messages(place)]
    assert sorted(subjects).count("While away") == 1
    assert subjects.count("From a contact") == 1
    assert len(subjects) == before + 2
