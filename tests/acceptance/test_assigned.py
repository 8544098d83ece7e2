"""Which records have a drop label: filters, which come first, and what becomes of the label of a record that is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.mails import deliver, label, letter, messages, record_labels
from tests.acceptance.test_filing import SIZES, check
from tests.acceptance.town import Town, assert_idle, engine, town

POLICY = """enabled = true
mail = {{ unfile = true }}
labels = {{ closed = "remove", records = {{ opportunity = {{ most = {most}, first = "closing"{name} }} }} }}
"""


def closing(place: Town) -> list[str]:
    """Names of the open opportunities, those that close first in front."""
    rows = place.soql("SELECT Id, Name, CloseDate, IsClosed FROM Opportunity")
    return [row["Name"] for row in sorted(rows, key=lambda row: row["CloseDate"]) if not row["IsClosed"]]


def spread(place: Town) -> dict[str, str]:
    """Opportunities that close one after the other; ids by name."""
    rows = place.soql("SELECT Id, Name FROM Opportunity")
    for number, row in enumerate(rows):
        place.change("Opportunity", row["Id"], CloseDate=f"2027-0{number % 9 + 1}-15", StageName="Prospecting")
    return {row["Name"]: row["Id"] for row in rows}


@pytest.mark.asyncio
async def test_the_first_have_labels_and_a_closed_one_loses_its_own_but_no_mail(tmp_path: Path) -> None:
    with town(tmp_path / "town", users=1, sizes=SIZES) as place:
        ids = spread(place)
        user = place.users[0]
        async with engine(tmp_path, place.config(policy=POLICY.format(most=3, name=""))) as service:
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            order = closing(place)
            assert sorted(record_labels(place, user)) == sorted(order[:3])

            drop = record_labels(place, user)[order[0]]
            mail = deliver(place, user, letter("Before the end"))["id"]
            label(place, user, mail, add=[drop])
            await check(service)
            place.change("Opportunity", ids[order[0]], StageName="Closed Won")
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            # The label is gone and the next has one; the mail stays where it was, and the e-mail in the CRM.
            assert sorted(record_labels(place, user)) == sorted(order[1:4])
            found = place.google(
                user, "GET", f"gmail/v1/users/me/messages/{mail}", params={"format": "minimal"}
            )
            assert "INBOX" in found["labelIds"]
            (filed,) = messages(place)
            assert filed["RelatedToId"] == ids[order[0]]
            assert (await service.filed(user))[0].state == "filed"
            said = "\n".join(line.text for line in service.store.lines[user])
            assert f"opportunity {order[0]!r}" in said

            # Edited while it is closed it stays away; opened again it comes back, and pushes the last one out.
            place.change("Opportunity", ids[order[0]], NextStep="Celebrate")
            assert_idle(await service.sync("Demo", "admin"))
            assert sorted(record_labels(place, user)) == sorted(order[1:4])
            place.change("Opportunity", ids[order[0]], StageName="Prospecting")
            assert_idle(await service.sync("Demo", "admin"))
            again = record_labels(place, user)
            assert sorted(again) == sorted(order[:3])
            late = deliver(place, user, letter("After all"))["id"]
            label(place, user, late, add=[again[order[0]]])
            await check(service)
            assert {row["RelatedToId"] for row in messages(place)} == {ids[order[0]]}

        # Another policy: nothing changed in the CRM, and yet there are more labels; then nothing is left to do.
        async with engine(tmp_path, place.config(policy=POLICY.format(most=5, name=""))) as service:
            assert_idle(await service.sync("Demo", "admin"))
            assert sorted(record_labels(place, user)) == sorted(order[:5])
            place.reset()
            assert_idle(await service.sync("Demo", "admin"))
            assert place.writes() == {}

        # Another pattern: the labels are called by it, and stay what they were; one that a person calls his own way
        # afterwards keeps that name, whatever else changes about its record.
        accounts = {
            row["Name"]: row["Account"]["Name"]
            for row in place.soql("SELECT Id, Name, Account.Name FROM Opportunity WHERE AccountId != null")
        }
        names = {name: f"{name} ({accounts[name]})" if name in accounts else name for name in order}
        pattern = POLICY.format(most=5, name=', name = "{name} ({account})"')
        async with engine(tmp_path, place.config(policy=pattern)) as service:
            assert_idle(await service.sync("Demo", "admin"))
            assert sorted(record_labels(place, user)) == sorted(names[name] for name in order[:5])
            drop = record_labels(place, user)[names[order[0]]]
            assert drop == again[order[0]]
            place.google(user, "PATCH", f"gmail/v1/users/me/labels/{drop}", json={"name": "Mine"})
            await check(service)
            place.change("Opportunity", ids[order[0]], NextStep="Call again")
            place.change("Opportunity", ids[order[1]], Name="Renamed a/b")
            assert_idle(await service.sync("Demo", "admin"))
            assert place.labels(user)[drop] == "Mine"
            wanted = f"Renamed a-b ({accounts[order[1]]})" if order[1] in accounts else "Renamed a-b"
            assert wanted in record_labels(place, user)
            place.reset()
            assert_idle(await service.sync("Demo", "admin"))
            assert place.writes() == {}
