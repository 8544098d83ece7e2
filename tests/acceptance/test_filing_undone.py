"""A drop label that is taken off takes the mail out of the CRM, where the policy says so; a deleted label does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.mails import deliver, label, letter, messages, opportunity, record_labels
from tests.acceptance.test_filing import SIZES, check
from tests.acceptance.town import assert_idle, engine, town


@pytest.mark.asyncio
async def test_a_label_taken_off_and_a_label_deleted(tmp_path: Path) -> None:
    policy = "enabled = true\nmail = { unfile = true }"
    with town(tmp_path / "town", users=2, sizes=SIZES) as place:
        async with engine(tmp_path, place.config(policy=policy)) as service:
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            user = place.users[0]
            first, second = [one for _, one in sorted(record_labels(place, user).items())][:2]
            taken = deliver(place, user, letter("Taken off"))["id"]
            kept = deliver(place, user, letter("Kept"))["id"]
            early = deliver(place, user, letter("Too early"))["id"]
            label(place, user, taken, add=[first])
            label(place, user, kept, add=[second])
            label(place, user, early, add=[first])
            label(place, user, early, remove=[first])
            await check(service)
            assert {row["Subject"] for row in messages(place)} == {"Taken off", "Kept"}
            tasks = len(place.soql("SELECT Id FROM Task WHERE TaskSubtype = 'Email'"))
            assert tasks == 2
            label(place, user, taken, remove=[first])
            place.google(user, "DELETE", f"gmail/v1/users/me/labels/{second}")
            await check(service)
            assert {row["Subject"] for row in messages(place)} == {"Kept"}
            rows = {row.subject: row for row in await service.filed(user)}
            assert rows["Taken off"].state == "unfiled"
            assert rows["Kept"].state == "filed"
            # Dropped again, it is filed again.
            label(place, user, taken, add=[first])
            await check(service)
            assert {row["Subject"] for row in messages(place)} == {"Kept", "Taken off"}
            # The activity that the org makes of an e-mail is no task to do: it reaches nobody's task list.
            assert_idle(await service.sync("Demo", "admin"))
            assert not [task for task in place.tasks(user) if task["title"].startswith("Email:")]


@pytest.mark.asyncio
@pytest.mark.parametrize("rule", ["follow", "revert"])
async def test_a_renamed_label_files_as_before_and_a_closed_record_is_set_aside(
    tmp_path: Path, rule: str
) -> None:
    policy = f'enabled = true\nlabels = {{ renamed = "{rule}", closed = "keep" }}'
    with town(tmp_path / "town", users=1, sizes=SIZES) as place:
        async with engine(tmp_path, place.config(policy=policy)) as service:
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            user = place.users[0]
            (name, drop), (other, second) = sorted(record_labels(place, user).items())[:2]
            body = {"name": "Mine/My favourite"}
            place.google(user, "PATCH", f"gmail/v1/users/me/labels/{drop}", json=body)
            place.change("Opportunity", opportunity(place, other), StageName="Closed Won")
            assert_idle(await service.sync("Demo", "admin"))
            mail = deliver(place, user, letter("Renamed"))["id"]
            label(place, user, mail, add=[drop])
            await check(service)
            (found,) = messages(place)
            assert found["RelatedToId"] == opportunity(place, name)
            wanted = "Mine/My favourite" if rule == "follow" else f"CRM/Opportunities/{name}"
            assert place.labels(user)[drop] == wanted
            assert place.labels(user)[second] == f"CRM/Opportunities/Closed/{other}"
            said = "\n".join(line.text for line in service.store.lines[user])
            assert "Mine/My favourite" in said
            assert f"CRM/Opportunities/Closed/{other}" in said
            # A mail of a closed record is filed as well; the record opened again comes back.
            late = deliver(place, user, letter("Late"))["id"]
            label(place, user, late, add=[second])
            place.change("Opportunity", opportunity(place, other), StageName="Prospecting")
            assert_idle(await service.sync("Demo", "admin"))
            await check(service)
            assert len(messages(place)) == 2
            assert place.labels(user)[second] == f"CRM/Opportunities/{other}"
