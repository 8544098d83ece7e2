"""The policy's rules about mails filed from Exchange: where they go afterwards, what files by itself, folders renamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.mails import letter, messages, opportunity
from tests.acceptance.test_filing_exchange import SIZES, check
from tests.acceptance.town import assert_idle, engine, town

RULES = """enabled = true
[policies.Demo.mail]
after = "remove"
unfile = true
inbox = true
sent = true
exclude_domains = ["secret.example"]
"""


@pytest.mark.asyncio
async def test_filed_mails_go_back_and_mails_of_people_of_the_crm_are_filed_by_themselves(
    tmp_path: Path,
) -> None:
    with town(tmp_path / "town", users=1, sizes=SIZES, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        async with engine(tmp_path, room.config(RULES)) as service:
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            contact, other = place.soql("SELECT Id, Email FROM Contact WHERE Email != null")[:2]
            [first, second, *_] = [one for _, one in sorted(room.record_folders(user).items())]
            # Received, and sent by the owner: each goes back to where such mails are.
            got = room.deliver(user, letter("Got"))
            wrote = room.deliver(user, letter("Wrote", sender=user, to="kim@customer.example"), "sentitems")
            room.move(user, first, got, wrote)
            room.deliver(user, letter("Arrives", sender=contact["Email"]))
            room.deliver(user, letter("Leaves", sender=user, to=other["Email"]), "sentitems")
            room.deliver(user, letter("Unknown", sender="nobody@nowhere.example"))
            room.deliver(
                user, letter("Hush", sender=contact["Email"], headers=[("Cc", "x@deep.secret.example")])
            )
            room.deliver(user, letter("Mine", sender=contact["Email"], headers=[("Sensitivity", "Personal")]))
            await check(service)
            found = {row["Subject"]: row for row in messages(place)}
            assert found.keys() == {"Got", "Wrote", "Arrives", "Leaves"}
            assert {name: row["Incoming"] for name, row in found.items()} == {
                "Got": True, "Wrote": False, "Arrives": True, "Leaves": False,
            }  # fmt: skip
            assert room.subjects(user, first) == []
            assert {"Got", "Arrives"} <= set(room.subjects(user, "inbox"))
            assert {"Wrote", "Leaves"} <= set(room.subjects(user, "sentitems"))
            rows = [(row.id, row.state) for row in await service.filed(user)]
            assert len(rows) == 4
            await check(service)  # what went back is nobody's doing, and nothing new
            assert [(row.id, row.state) for row in await service.filed(user)] == rows
            place.reset()
            await check(service)
            assert room.asked() == {"FindFolder": 1}
            # Kept where it was dropped, a mail that a person takes out of the folder is taken out of the CRM.
            kept = RULES.replace('after = "remove"', 'after = "keep"')
            assert (await service.apply(room.config(kept), "x", "admin")).ok
            [there] = room.move(user, first, room.deliver(user, letter("Kept")))
            await check(service)
            assert len(messages(place, "Subject = 'Kept'")) == 1
            [there] = room.move(user, second, there)
            await check(service)
            moved = messages(place, "Subject = 'Kept'")
            names = {opportunity(place, name): one for name, one in room.record_folders(user).items()}
            assert [names[row["RelatedToId"]] for row in moved] == [second]
            room.move(user, "inbox", there)
            await check(service)
            assert messages(place, "Subject = 'Kept'") == []
            # One that is deleted to tidy up the mailbox is no wish to take it out of the CRM.
            [there] = room.move(user, first, room.deliver(user, letter("Deleted")))
            await check(service)
            room.remove(user, there)
            await check(service)
            assert len(messages(place, "Subject = 'Deleted'")) == 1
            (row,) = await service.filed(user, words="Deleted")
            assert (row.state, row.reason) == ("filed", "the mail was deleted; its e-mail stays in the CRM")
            assert place.stats()["exchange.mails"] == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("rule", ["follow", "revert"])
async def test_a_folder_renamed_or_moved_files_as_before_and_that_of_a_closed_record_is_set_aside(
    tmp_path: Path, rule: str
) -> None:
    policy = f'enabled = true\nlabels = {{ renamed = "{rule}", closed = "keep" }}\nmail = {{ after = "move" }}'
    with town(tmp_path / "town", users=1, sizes=SIZES, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        async with engine(tmp_path, room.config(policy)) as service:
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            (name, drop), (other, second) = sorted(room.record_folders(user).items())[:2]
            room.rename_folder(user, drop, "My favourite")
            room.move_folder(user, "inbox", drop)
            place.change("Opportunity", opportunity(place, other), StageName="Closed Won")
            assert_idle(await service.sync("Demo", "admin"))
            room.deliver(user, letter("Renamed"), drop)
            await check(service)
            (found,) = messages(place)
            assert found["RelatedToId"] == opportunity(place, name)
            tree = room.tree(user)
            assert room.subjects(user, tree["CRM/Filed"]) == ["Renamed"]
            if rule == "follow":
                assert room.folders(user, "inbox") == {"My favourite": drop}
            else:
                assert tree[f"CRM/Opportunities/{name}"] == drop
            assert tree[f"CRM/Opportunities/Closed/{other}"] == second
            said = "\n".join(line.text for line in service.store.lines[user])
            assert "My favourite" in said
            assert f"CRM/Opportunities/Closed/{other}" in said
            # Mails must not follow the folder of filed mails into the bin.
            room.move_folder(user, "deleteditems", tree["CRM/Filed"])
            room.deliver(user, letter("After that"), drop)
            await check(service)
            assert room.subjects(user, room.tree(user)["CRM/Filed"]) == ["After that"]
            # The record is renamed, in whatever place its folder is; a closed one is filed to as well, and comes back.
            place.change("Opportunity", opportunity(place, name), Name="Called anew")
            place.change("Opportunity", opportunity(place, other), StageName="Prospecting")
            room.deliver(user, letter("Late"), second)
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            assert len(messages(place)) == 3
            tree = room.tree(user)
            assert tree[f"CRM/Opportunities/{other}"] == second
            where = room.folders(user, "inbox") if rule == "follow" else room.record_folders(user)
            assert where["Called anew"] == drop
            await check(service)  # lists the folder that we have taken a mail from
            place.reset()
            await check(service)
            assert room.asked() == {"FindFolder": 1}
