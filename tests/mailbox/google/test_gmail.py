"""Labels and quick connect mails against the Google sandbox, over a socket."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from engine.mailbox.google import gmail
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.settings import Api
from engine.model.modules import Module
from engine.model.port import Account, Outcome, Result, Scope, Write, WriteKind
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from tests.mailbox.google.lab import Lab, open_lab, read_all

TREE = ("CRM", "CRM/Opportunities", "CRM/Cases")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(Path(tmp_path_factory.mktemp("gmail"))) as running:
        yield running


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[GoogleClient]:
    async with lab.client() as made:
        yield made


@pytest.fixture
def account(lab: Lab) -> Account:
    return lab.account()


@pytest.fixture
def scope(account: Account) -> Scope:
    return gmail.scope_of(account)


@pytest.fixture
async def branch(client: GoogleClient, account: Account) -> tuple[str, ...]:
    """The containers of an opportunity in a mailbox whose label tree stands."""
    ids, _ = await gmail.ensure_labels(client, account, TREE, {})
    return ("label:" + ids["label:CRM/Opportunities"], "path:CRM/Opportunities")


def create(branch: tuple[str, ...], key: str, name: str, **fields: Any) -> Write:
    whole = {"name": name, "link": f"https://crm.example.org/{key}", "stage": "Open", **fields}
    return Write(WriteKind.CREATE, Module.OPPORTUNITY, key, fields=whole, containers=branch)


def update(outcome: Outcome, branch: tuple[str, ...], **patch: Any) -> Write:
    seen = outcome.observation
    assert seen is not None
    return Write(
        WriteKind.UPDATE,
        seen.module,
        "u-" + seen.remote_id,
        remote_id=seen.remote_id,
        fields={**seen.fields, **patch},
        patch=patch,
        native=seen.native,
        containers=branch,
    )


def delete(outcome: Outcome) -> Write:
    seen = outcome.observation
    assert seen is not None
    return Write(WriteKind.DELETE, seen.module, "d", remote_id=seen.remote_id, native=seen.native)


async def labels(client: GoogleClient, account: Account) -> dict[str, str]:
    """User labels below the tree: name to id."""
    answer = await client.execute(client.gmail.users.labels.list(userId="me"), account, idempotent=True)
    return {row["name"]: row["id"] for row in answer["labels"] if row["name"].count("/") == 2}


async def mails(client: GoogleClient, account: Account, label: str, *, trash: bool = False) -> list[Any]:
    """The mails under a label, parsed."""
    request = client.gmail.users.messages.list(userId="me", labelIds=[label], includeSpamTrash=trash)
    answer = await client.execute(request, account, idempotent=True)
    found = []
    for row in answer.get("messages") or ():
        request = client.gmail.users.messages.get(userId="me", id=row["id"], format="raw")
        message = await client.execute(request, account, idempotent=True)
        parsed: Any = message_from_bytes(base64.urlsafe_b64decode(message["raw"]), policy=default)
        parsed.gmail = message
        found.append(parsed)
    return found


async def test_the_tree_is_made_once_adopted_and_verified(
    lab: Lab, client: GoogleClient, account: Account, scope: Scope
) -> None:
    before = lab.calls()
    ids, created = await gmail.ensure_labels(client, account, TREE, {})
    assert created == [f"label:{path}" for path in TREE]
    assert lab.calls() - before == 1
    before = lab.calls()
    assert await gmail.ensure_labels(client, account, TREE, ids) == (ids, [])
    assert lab.calls() - before == 1
    # A lost ledger, and other capitals in the policy: a name is a name without case.
    upper, created = await gmail.ensure_labels(client, account, ("CRM", "CRM/OPPORTUNITIES"), {})
    assert (upper["label:CRM/OPPORTUNITIES"], created) == (ids["label:CRM/Opportunities"], [])

    await gmail.apply(
        client, scope, [create(("label:x", "path:CRM/Opportunities"), f"k{n}", f"Deal {n}") for n in range(3)]
    )
    findings = await gmail.verify_labels(client, account, TREE, ids)
    assert [(row.ok, row.check, row.detail) for row in findings] == [
        (True, "label CRM", "5 labels below it"),
        (True, "label CRM/Opportunities", "3 labels below it"),
        (True, "label CRM/Cases", "0 labels below it"),
        (True, "quick connect mails", "3 mails for 3 record labels"),
    ]
    await client.execute(
        client.gmail.users.labels.delete(userId="me", id=ids["label:CRM/Cases"]), account, idempotent=True
    )
    findings = await gmail.verify_labels(client, account, TREE, ids)
    assert [row.ok for row in findings] == [True, True, False, True]
    assert findings[2].detail == "missing"


async def test_the_tree_grows_by_what_is_missing(lab: Lab, client: GoogleClient, account: Account) -> None:
    first, _ = await gmail.ensure_labels(client, account, TREE[:2], {})
    before = lab.calls()
    # Half of the tree is there, and nobody remembers it: one batch that is refused in part, one list.
    ids, created = await gmail.ensure_labels(client, account, TREE, {})
    assert created == ["label:CRM/Cases"]
    assert {name: ids[name] for name in first} == first
    assert lab.calls() - before == 2


async def test_a_tree_whose_batch_was_lost_or_refused_is_completed(
    lab: Lab, client: GoogleClient, account: Account
) -> None:
    # All labels were made, the answer never came.
    lab.fault(route="/batch", kind="lost_reply")
    ids, created = await gmail.ensure_labels(client, account, TREE, {})
    assert (set(ids), created) == ({f"label:{path}" for path in TREE}, [])
    # One label of the batch is asked to wait: it is made by itself.
    other = lab.account()
    lab.fault(route="gmail/v1/users/me/labels", status=429, headers={"Retry-After": "0"})
    ids, created = await gmail.ensure_labels(client, other, TREE, {})
    assert (len(ids), created) == (3, [f"label:{path}" for path in TREE])


async def test_a_name_that_gmail_keeps_for_itself_is_told(client: GoogleClient, account: Account) -> None:
    with pytest.raises(ProviderError) as caught:
        await gmail.ensure_labels(client, account, ("Inbox",), {})
    assert "Inbox" in str(caught.value)


async def test_a_record_becomes_a_label_with_one_read_mail(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    [outcome] = await gmail.apply(client, scope, [create(branch, "k1", "Acme / renewal", amount=1000)])
    assert outcome.result is Result.DONE
    made = outcome.observation
    assert made is not None
    assert made.native is not None
    assert made.marker == "k1"
    assert await labels(client, account) == {"CRM/Opportunities/Acme - renewal": made.remote_id}
    [mail] = await mails(client, account, made.remote_id)
    assert mail["Subject"] == "Opportunity: Acme / renewal"
    assert mail["To"] == account.email
    assert mail.gmail["id"] == made.native["message"]
    assert set(mail.gmail["labelIds"]) == {made.remote_id}
    [seen] = await gmail.fetch(client, scope, [made.remote_id])
    assert seen.fields == made.fields
    assert seen.native == made.native
    assert seen.module is Module.OPPORTUNITY


async def test_fifty_records_cost_two_calls(
    lab: Lab, client: GoogleClient, scope: Scope, branch: tuple[str, ...]
) -> None:
    before = lab.calls()
    outcomes = await gmail.apply(client, scope, [create(branch, f"k{n}", f"Deal {n}") for n in range(50)])
    assert {row.result for row in outcomes} == {Result.DONE}
    assert lab.calls() - before == 2


async def test_without_a_batch_endpoint_calls_go_singly(
    lab: Lab, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    async with lab.client(batch_urls={Api.GMAIL: ""}) as single:
        outcomes = await gmail.apply(single, scope, [create(branch, f"k{n}", f"Deal {n}") for n in range(3)])
        assert {row.result for row in outcomes} == {Result.DONE}
        assert len(await labels(single, account)) == 3
        ids, created = await gmail.ensure_labels(single, lab.account(), TREE, {})
        assert created == list(ids) == [f"label:{path}" for path in TREE]


async def test_records_of_one_name_get_labels_of_their_own(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    first = [create(branch, "k1", "Acme", number="O-1"), create(branch, "k2", "ACME", number="O-2")]
    outcomes = await gmail.apply(client, scope, first)
    third = await gmail.apply(client, scope, [create(branch, "k3", "acme", number="O-3")])
    fourth = await gmail.apply(client, scope, [create(branch, "k4", "Acme", number="O-3")])
    names = {label: name for name, label in (await labels(client, account)).items()}
    ids = [row.observation.remote_id for row in (*outcomes, *third, *fourth) if row.observation]
    assert len(set(ids)) == 4
    assert [names[label] for label in ids[:3]] == [
        "CRM/Opportunities/Acme",
        "CRM/Opportunities/ACME (O-2)",
        "CRM/Opportunities/acme (O-3)",
    ]
    assert names[ids[3]].startswith("CRM/Opportunities/Acme (")
    for label, key in zip(ids, ("k1", "k2", "k3", "k4"), strict=True):
        [mail] = await mails(client, account, label)
        assert f"https://crm.example.org/{key}" in mail.get_body(("plain",)).get_content()


async def test_01_after_lost_replies_a_repeat_makes_nothing_twice(
    lab: Lab, client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    writes = [create(branch, f"k{n}", f"Deal {n}") for n in range(3)]
    # The labels were made, the answer never came.
    lab.fault(route="/batch", kind="lost_reply")
    outcomes = await gmail.apply(client, scope, writes)
    assert {row.result for row in outcomes} == {Result.UNKNOWN}
    assert len(await labels(client, account)) == 3
    # The labels are adopted, the mails were made, the answer never came: nothing of the batch is known.
    mails_before = lab.count("gmail.users.messages.insert")
    repeated = [replace(write, attempt=1) for write in writes]
    outcomes = await gmail.apply(client, scope, repeated)
    assert {row.result for row in outcomes} == {Result.DONE}
    assert lab.count("gmail.users.messages.insert") - mails_before == 3
    # And once more, as after a crash before the outcomes were committed.
    again = await gmail.apply(client, scope, [replace(write, attempt=2) for write in writes])
    assert [row.observation for row in again] == [row.observation for row in outcomes]
    found = await labels(client, account)
    assert len(found) == 3
    for label in found.values():
        assert len(await mails(client, account, label, trash=True)) == 1


@pytest.mark.parametrize("kind", ["lost_reply", "truncate", "lost_request"])
async def test_01_a_lost_answer_to_the_mails_is_probed_before_the_repeat(
    lab: Lab, client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...], kind: str
) -> None:
    writes = [create(branch, f"k{n}", f"Deal {n}") for n in range(3)]
    lab.fault(route="/batch", kind="latency")  # lets the labels pass
    lab.fault(route="/batch", kind=kind)
    outcomes = await gmail.apply(client, scope, writes)
    assert {row.result for row in outcomes} == {Result.UNKNOWN}
    again = await gmail.apply(client, scope, [replace(write, attempt=1) for write in writes])
    assert {row.result for row in again} == {Result.DONE}
    found = await labels(client, account)
    assert sorted(found.values()) == sorted(row.observation.remote_id for row in again if row.observation)
    for label in found.values():
        assert len(await mails(client, account, label, trash=True)) == 1


async def test_a_lost_ledger_adopts_the_records_own_label(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    [old] = await gmail.apply(client, scope, [create(branch, "k1", "Acme")])
    fresh = create(branch, "another-key", "Acme", stage="Won")
    fresh = replace(fresh, fields={**fresh.fields, "link": "https://crm.example.org/k1"})
    [new] = await gmail.apply(client, scope, [fresh])
    assert old.observation is not None
    assert new.observation is not None
    assert new.observation.remote_id == old.observation.remote_id
    [mail] = await mails(client, account, new.observation.remote_id)
    assert "Won" in mail.get_body(("plain",)).get_content()


async def test_a_label_that_a_person_made_is_used(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    body = {
        "name": "CRM/Opportunities/Acme",
        "labelListVisibility": "labelShow",
        "messageListVisibility": "show",
    }
    made = await client.execute(
        client.gmail.users.labels.create(userId="me", body=body), account, idempotent=False
    )
    [outcome] = await gmail.apply(client, scope, [create(branch, "k1", "Acme")])
    assert outcome.observation is not None
    assert outcome.observation.remote_id == made["id"]


async def test_a_thrown_away_mail_still_tells_whose_the_label_is(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    [first] = await gmail.apply(client, scope, [create(branch, "k1", "Acme")])
    assert first.observation is not None
    assert first.observation.native is not None
    message = first.observation.native["message"]
    await client.execute(client.gmail.users.messages.trash(userId="me", id=message), account, idempotent=True)
    [second] = await gmail.apply(client, scope, [create(branch, "k2", "Acme", number="O-2")])
    assert second.observation is not None
    assert second.observation.remote_id != first.observation.remote_id


async def test_an_update_renames_the_label_and_replaces_the_mail(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    made = await gmail.apply(client, scope, [create(branch, "k1", "Acme"), create(branch, "k2", "Beta")])
    outcomes = await gmail.apply(
        client, scope, [update(made[0], branch, name="Acme 2027"), update(made[1], branch, stage="Won")]
    )
    assert {row.result for row in outcomes} == {Result.DONE}
    assert set(await labels(client, account)) == {"CRM/Opportunities/Acme 2027", "CRM/Opportunities/Beta"}
    for row, before, words in zip(outcomes, made, ("Acme 2027", "Won"), strict=True):
        assert row.observation is not None
        assert before.observation is not None
        assert row.observation.remote_id == before.observation.remote_id
        assert row.observation.native is not None
        assert row.observation.native["generation"] == 1
        [mail] = await mails(client, account, row.observation.remote_id)
        assert words in mail.get_body(("plain",)).get_content()
    # The next one continues from there.
    [third] = await gmail.apply(client, scope, [update(outcomes[0], branch, stage="Lost")])
    assert third.observation is not None
    assert third.observation.native is not None
    assert third.observation.native["generation"] == 2
    assert len(await mails(client, account, third.observation.remote_id)) == 1


async def test_a_rename_to_a_taken_name_takes_the_second_choice(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    made = await gmail.apply(
        client, scope, [create(branch, "k1", "Acme"), create(branch, "k2", "Beta", number="O-2")]
    )
    [outcome] = await gmail.apply(client, scope, [update(made[1], branch, name="acme")])
    assert outcome.result is Result.DONE
    assert set(await labels(client, account)) == {
        "CRM/Opportunities/Acme",
        "CRM/Opportunities/acme (O-2)",
    }


async def test_a_repeated_update_leaves_one_mail(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    [made] = await gmail.apply(client, scope, [create(branch, "k1", "Acme")])
    write = update(made, branch, stage="Won")
    await gmail.apply(client, scope, [write])
    # The outcome was lost with the process; the same change is planned again on the old state.
    [outcome] = await gmail.apply(client, scope, [write])
    assert outcome.observation is not None
    [mail] = await mails(client, account, outcome.observation.remote_id)
    assert outcome.observation.native is not None
    assert mail.gmail["id"] == outcome.observation.native["message"]


async def test_deletes_take_the_label_and_the_mail_and_leave_what_people_filed(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    made = await gmail.apply(client, scope, [create(branch, f"k{n}", f"Deal {n}") for n in range(3)])
    first = made[0].observation
    assert first is not None
    filed = base64.urlsafe_b64encode(b"From: x@example.org\r\nSubject: Offer\r\n\r\nHello").decode()
    kept = await client.execute(
        client.gmail.users.messages.insert(userId="me", body={"raw": filed, "labelIds": [first.remote_id]}),
        account,
        idempotent=False,
    )
    assert made[1].observation is not None
    await client.execute(
        client.gmail.users.labels.delete(userId="me", id=made[1].observation.remote_id),
        account,
        idempotent=True,
    )
    bare = replace(delete(made[2]), native=None)
    outcomes = await gmail.apply(client, scope, [delete(made[0]), delete(made[1]), bare])
    assert [row.result for row in outcomes] == [Result.DONE, Result.GONE, Result.DONE]
    assert await labels(client, account) == {}
    answer = await client.execute(client.gmail.users.messages.list(userId="me"), account, idempotent=True)
    assert [row["id"] for row in answer["messages"]] == [kept["id"]]


async def test_an_update_of_a_deleted_label_is_gone(
    client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    made = await gmail.apply(client, scope, [create(branch, f"k{n}", f"Deal {n}") for n in range(2)])
    assert made[0].observation is not None
    label = made[0].observation.remote_id
    await client.execute(client.gmail.users.labels.delete(userId="me", id=label), account, idempotent=True)
    outcomes = await gmail.apply(client, scope, [update(row, branch, stage="Won") for row in made])
    assert [row.result for row in outcomes] == [Result.GONE, Result.DONE]
    seen = await gmail.fetch(client, scope, [label, made[1].observation.remote_id])  # type: ignore[union-attr]
    assert [row.deleted for row in seen] == [True, False]


async def test_one_throttled_record_does_not_hold_up_the_others(
    lab: Lab, client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    lab.fault(route="messages.insert", status=429, headers={"Retry-After": "400"})
    writes = [create(branch, f"k{n}", f"Deal {n}") for n in range(3)]
    outcomes = await gmail.apply(client, scope, writes)
    assert sorted(row.result for row in outcomes) == [Result.DONE, Result.DONE, Result.REFUSED]
    [index] = [number for number, row in enumerate(outcomes) if row.result is Result.REFUSED]
    assert outcomes[index].retry_after == 400
    [again] = await gmail.apply(client, scope, [replace(writes[index], attempt=1)])
    assert again.result is Result.DONE
    assert len(await labels(client, account)) == 3


async def test_a_missing_permission_is_the_connections_failure_and_no_records(
    lab: Lab, client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    body = {"error": {"code": 403, "message": "Delegation denied", "errors": [{"reason": "forbidden"}]}}
    lab.fault(route="labels.create", status=403, body=body, times=None)
    with pytest.raises(ProviderError) as caught:
        await gmail.apply(client, scope, [create(branch, f"k{n}", f"Deal {n}") for n in range(3)])
    assert caught.value.kind is ErrorKind.PERMISSION
    assert "Delegation denied" in str(caught.value)


async def test_a_record_without_a_branch_is_rejected(client: GoogleClient, scope: Scope) -> None:
    [outcome] = await gmail.apply(client, scope, [create((), "k1", "Acme")])
    assert outcome.result is Result.REJECTED


async def test_08_the_cursor_moves_with_one_call_and_expires_with_404(
    lab: Lab, client: GoogleClient, account: Account, scope: Scope, branch: tuple[str, ...]
) -> None:
    seen, first = await read_all(gmail.changes(client, scope, None))
    assert (seen, first.snapshot) == ([], False)
    assert first.cursor is not None
    before = lab.calls()
    _, idle = await read_all(gmail.changes(client, scope, first.cursor))
    assert (idle.cursor, lab.calls() - before) == (first.cursor, 1)
    await gmail.apply(client, scope, [create(branch, f"k{n}", f"Deal {n}") for n in range(3)])
    before = lab.calls()
    _, later = await read_all(gmail.changes(client, scope, idle.cursor))
    assert lab.calls() - before == 1
    assert later.cursor is not None
    assert int(later.cursor) > int(first.cursor)
    with pytest.raises(CursorExpired):
        await read_all(gmail.changes(client, scope, "1"))
