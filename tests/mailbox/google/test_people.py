"""Contacts against the Google sandbox, over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.mailbox.google import people
from engine.mailbox.google.client import GoogleClient
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Account, Outcome, Result, Scope, Write, WriteKind
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from engine.sandbox.company.generate import generate
from tests.mailbox.google.lab import Lab, open_lab, read_all

ADA = {
    "given": "Ada",
    "family": "Lovelace",
    "company": "Analytical Engines",
    "title": "Programmer",
    "email": "ada@example.org",
    "phone_work": {"raw": "+44 20 7946 0000", "e164": "+442079460000"},
    "phone_mobile": {"raw": "+44 7700 900123", "e164": "+447700900123"},
    "address_work": {"street": "12 St James's Sq", "city": "London", "country": "United Kingdom"},
    "birthday": "1815-12-10",
    "website": "https://example.org/ada",
    "notes": "First line\nSecond line",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(Path(tmp_path_factory.mktemp("people"))) as running:
        yield running


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[GoogleClient]:
    async with lab.client() as made:
        yield made


@pytest.fixture
def scope(lab: Lab) -> Scope:
    return people.scope_of(lab.account())


def account(scope: Scope) -> Account:
    assert scope.account is not None
    return scope.account


def create(number: int, **more: Any) -> Write:
    fields = {"given": f"Person {number}", "family": "Test", "email": f"p{number}@example.org"}
    return Write(WriteKind.CREATE, Module.CONTACT, f"key-{number}", fields=fields | more)


def update(outcome: Outcome, **patch: Any) -> Write:
    seen = outcome.observation
    assert seen is not None
    fields = {**seen.fields, **patch}
    return Write(
        WriteKind.UPDATE,
        seen.module,
        "update-" + seen.remote_id,
        remote_id=seen.remote_id,
        fields=fields,
        patch=patch,
        etag=seen.etag,
        native=seen.native,
    )


def delete(outcome: Outcome) -> Write:
    seen = outcome.observation
    assert seen is not None
    return Write(
        WriteKind.DELETE, seen.module, "delete", remote_id=seen.remote_id, etag=seen.etag, native=seen.native
    )


async def raw(client: GoogleClient, scope: Scope, name: str) -> dict[str, Any]:
    """The person as Google stores it, with every field."""
    fields = (
        "names,nicknames,emailAddresses,phoneNumbers,addresses,organizations,birthdays,urls,biographies,"
        "memberships,clientData,userDefined,relations,events"
    )
    request = client.people.people.get(resourceName=name, personFields=fields)
    person: dict[str, Any] = await client.execute(request, account(scope), idempotent=True)
    person.pop("etag")
    return person


async def edit(client: GoogleClient, scope: Scope, name: str, mask: str, **fields: Any) -> None:
    """What a person does in Google's own screens."""
    request = client.people.people.get(resourceName=name, personFields="metadata")
    person = await client.execute(request, account(scope), idempotent=True)
    body = {"etag": person["etag"], "metadata": person["metadata"], **fields}
    await client.execute(
        client.people.people.updateContact(resourceName=name, updatePersonFields=mask, body=body),
        account(scope),
        idempotent=True,
    )


async def test_a_new_contact_comes_back_as_it_was_written(client: GoogleClient, scope: Scope) -> None:
    groups, _ = await people.ensure_groups(client, account(scope), {Module.CONTACT: "CRM Contacts"}, {})
    write = Write(
        WriteKind.CREATE, Module.CONTACT, "key-ada", fields=ADA, containers=(groups["group:contact"],)
    )
    [outcome] = await people.apply(client, scope, [write])
    assert outcome.result is Result.DONE
    made = outcome.observation
    assert made is not None
    assert made.fields == ADA
    assert made.marker == "key-ada"
    assert made.modified
    assert set(made.containers) == {groups["group:contact"], "contactGroups/myContacts"}

    [seen], last = await read_all(people.changes(client, scope, None))
    assert (seen.remote_id, seen.etag, seen.fields, seen.marker) == (
        made.remote_id,
        made.etag,
        ADA,
        "key-ada",
    )
    assert seen.native == made.native
    assert last.snapshot
    assert last.total == 1
    assert [row.etag for row in await people.fetch(client, scope, [made.remote_id])] == [made.etag]


async def test_a_lead_is_told_from_a_contact_by_our_mark(client: GoogleClient, scope: Scope) -> None:
    lead = Write(WriteKind.CREATE, Module.LEAD, "key-lead", fields={"family": "Prospect"})
    await people.apply(client, scope, [lead, create(1)])
    seen, _ = await read_all(people.changes(client, scope, None))
    assert {row.marker: row.module for row in seen} == {"key-lead": Module.LEAD, "key-1": Module.CONTACT}


async def test_450_creates_take_three_calls_and_an_idle_feed_one(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    await read_all(people.changes(client, scope, None))
    before = lab.count("people.people.batchCreateContacts"), lab.calls()
    outcomes = await people.apply(client, scope, [create(number) for number in range(450)])
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    assert [row.observation.marker for row in outcomes if row.observation] == [f"key-{n}" for n in range(450)]
    assert lab.count("people.people.batchCreateContacts") - before[0] == 3
    assert lab.calls() - before[1] == 3

    _, last = await read_all(people.changes(client, scope, None))
    before_idle = lab.calls()
    seen, idle = await read_all(people.changes(client, scope, last.cursor))
    assert (seen, idle.snapshot, lab.calls() - before_idle) == ([], False, 1)


async def test_updates_with_one_set_of_fields_share_a_call(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    made = await people.apply(client, scope, [create(number) for number in range(220)])
    before = lab.calls()
    done = await people.apply(client, scope, [update(row, title="Director") for row in made])
    assert lab.calls() - before == 2
    assert {row.result for row in done} == {Result.DONE}
    assert all(row.observation and row.observation.fields["title"] == "Director" for row in done)

    mixed = [update(done[0], notes="A"), update(done[1], title="Chief"), update(done[2], notes="C")]
    before = lab.calls()
    outcomes = await people.apply(client, scope, mixed)
    assert lab.calls() - before == 2
    assert [row.observation.fields.get("notes") for row in outcomes if row.observation] == ["A", None, "C"]


async def test_an_update_that_changes_nothing_costs_no_call(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    [made] = await people.apply(client, scope, [create(1, **ADA)])
    before = lab.calls()
    [outcome] = await people.apply(client, scope, [update(made, notes=ADA["notes"])])
    assert lab.calls() == before
    assert outcome.result is Result.DONE
    assert outcome.observation is not None
    assert made.observation is not None
    assert outcome.observation.fields == made.observation.fields
    assert outcome.observation.etag == made.observation.etag


async def test_22_unknown_fields_types_and_labels_survive_three_round_trips(
    client: GoogleClient, scope: Scope
) -> None:
    body = {
        "names": [{"givenName": "Grace", "familyName": "Hopper", "phoneticGivenName": "Grays"}],
        "nicknames": [{"value": "Amazing Grace"}],
        "emailAddresses": [
            {"value": "grace@example.org", "type": "Navy", "displayName": "Adm. Hopper"},
            {"value": "g2@example.org", "type": "home"},
            {"value": "g3@example.org", "type": "work"},
            {"value": "g4@example.org", "type": "Yale"},
        ],
        "phoneNumbers": [
            {"value": "+1 202 555 0101", "type": "pager"},
            {"value": "+1 202 555 0102", "type": "mobile"},
            {"value": "+1 202 555 0103", "type": "mobile"},
            {"value": "+1 202 555 0104", "type": "Yacht"},
            {"value": "+1 202 555 0105", "type": "homeFax"},
            {"value": "+1 202 555 0106", "type": "workMobile"},
        ],
        "addresses": [
            {
                "type": "home",
                "streetAddress": "1 Elm St",
                "city": "Arlington",
                "poBox": "7",
                "countryCode": "US",
            },
            {
                "type": "work",
                "streetAddress": "2 Navy Yard",
                "extendedAddress": "Floor 3",
                "city": "Washington",
            },
            {"type": "Cabin", "streetAddress": "Wolfeboro"},
        ],
        "organizations": [
            {"name": "Vassar", "type": "school", "title": "Professor"},
            {
                "name": "US Navy",
                "type": "work",
                "title": "Admiral",
                "jobDescription": "COBOL",
                "costCenter": "9",
            },
            {"name": "DEC", "type": "work", "title": "Consultant"},
        ],
        "birthdays": [{"date": {"year": 1906, "month": 12, "day": 9}}],
        "urls": [
            {"value": "https://example.org/grace", "type": "homePage"},
            {"value": "https://example.org/blog", "type": "blog"},
        ],
        "biographies": [{"value": "Nanosecond wires"}],
        "userDefined": [{"key": "Rank", "value": "Rear admiral"}],
        "clientData": [{"key": "another-tool", "value": "77"}],
        "relations": [{"person": "Howard Aiken", "type": "manager"}],
    }
    person = await client.execute(
        client.people.people.createContact(body=body), account(scope), idempotent=False
    )
    name = person["resourceName"]
    first = await raw(client, scope, name)
    [seen] = await people.fetch(client, scope, [name])
    assert seen.fields["phone_mobile"]["e164"] == "+12025550102"
    assert seen.fields["fax"]["raw"] == "+1 202 555 0105"
    assert seen.fields["company"] == "US Navy"
    assert seen.fields["email_3"] == "g3@example.org"
    outcome = Outcome(Result.DONE, seen)
    away = {
        "given": "Brewster",
        "email_2": "changed@example.org",
        "phone_mobile": {"raw": "+1 202 555 0199", "e164": "+12025550199"},
        "fax": {"raw": "+1 202 555 0198", "e164": "+12025550198"},
        "address_work": {"street": "3 Pentagon", "city": "Arlington"},
        "title": "Captain",
        "website": "https://example.org/other",
        "notes": "Changed",
        "birthday": "1906-12-10",
    }
    back = {field: seen.fields.get(field) for field in away}
    for _ in range(3):
        [outcome] = await people.apply(client, scope, [update(outcome, **away)])
        assert outcome.result is Result.DONE
        assert outcome.observation is not None
        assert {field: outcome.observation.fields[field] for field in away} == away
        changed = await raw(client, scope, name)
        assert [row["type"] for row in changed["phoneNumbers"]] == [
            "pager",
            "mobile",
            "mobile",
            "Yacht",
            "homeFax",
            "workMobile",
        ]
        assert changed["emailAddresses"][1]["type"] == "home"
        [outcome] = await people.apply(client, scope, [update(outcome, **back)])
        assert outcome.result is Result.DONE
    assert await raw(client, scope, name) == first


def demo_fields(person: Any) -> dict[str, Any]:
    """The canonical fields of a contact of the demo company."""
    fields: dict[str, Any] = {
        name: canonical.text(getattr(person, name))
        for name in ("prefix", "given", "middle", "family", "suffix", "title", "department", "email", "notes")
    }
    for name in ("phone_work", "phone_mobile", "phone_home", "phone_other", "fax"):
        fields[name] = canonical.phone(getattr(person, name), person.region)
    for name, place in (("address_work", person.address), ("address_other", person.other_address)):
        fields[name] = canonical.address(**asdict(place)) if place else None
    fields["birthday"] = person.birthday.isoformat() if person.birthday else None
    return canonical.compact(fields)


async def test_people_in_twenty_languages_come_back_as_they_were(client: GoogleClient, scope: Scope) -> None:
    company = generate(7, 2, today=date(2026, 11, 21), contacts=400)
    wanted = {f"key-{place}": demo_fields(person) for place, person in enumerate(company.contacts)}
    writes = [Write(WriteKind.CREATE, Module.CONTACT, key, fields=fields) for key, fields in wanted.items()]
    outcomes = await people.apply(client, scope, writes)
    assert {row.result for row in outcomes} == {Result.DONE}
    seen, _ = await read_all(people.changes(client, scope, None))
    assert len(seen) == len(wanted)
    for row in seen:
        assert row.marker is not None
        assert canonical.diff(Module.CONTACT, wanted[row.marker], row.fields, canonical.CONTACT_FIELDS) == {}


async def test_clearing_a_field_clears_its_entry_only(client: GoogleClient, scope: Scope) -> None:
    [made] = await people.apply(client, scope, [create(1, **ADA)])
    gone = ("phone_work", "title", "company", "website", "notes", "birthday", "address_work")
    [outcome] = await people.apply(client, scope, [update(made, **dict.fromkeys(gone))])
    assert outcome.observation is not None
    assert dict(outcome.observation.fields) == {k: v for k, v in ADA.items() if k not in gone}


async def test_10_a_changed_contact_is_a_conflict_and_the_rest_of_its_batch_is_written(
    client: GoogleClient, scope: Scope
) -> None:
    made = await people.apply(client, scope, [create(number) for number in range(5)])
    assert made[2].observation is not None
    assert made[4].observation is not None
    await edit(client, scope, made[2].observation.remote_id, "nicknames", nicknames=[{"value": "Two"}])
    await people.apply(client, scope, [delete(made[4])])
    outcomes = await people.apply(client, scope, [update(row, title="Boss") for row in made])
    assert [row.result for row in outcomes] == [
        Result.DONE,
        Result.DONE,
        Result.CONFLICT,
        Result.DONE,
        Result.GONE,
    ]
    [seen] = await people.fetch(client, scope, [made[2].observation.remote_id])
    assert "title" not in seen.fields
    [again] = await people.apply(client, scope, [update(Outcome(Result.DONE, seen), title="Boss")])
    assert again.result is Result.DONE


async def test_11_a_document_of_which_we_know_only_the_version_is_read_first(
    client: GoogleClient, scope: Scope
) -> None:
    from dataclasses import replace

    made = await people.apply(client, scope, [create(number, **ADA) for number in range(2)])
    writes = [replace(update(row, title="Boss"), native=None) for row in made]
    assert made[1].observation is not None
    await edit(client, scope, made[1].observation.remote_id, "nicknames", nicknames=[{"value": "N"}])
    outcomes = await people.apply(client, scope, writes)
    assert [row.result for row in outcomes] == [Result.DONE, Result.CONFLICT]
    assert outcomes[0].observation is not None
    assert outcomes[0].observation.fields["company"] == ADA["company"]


async def test_25_one_bad_contact_is_rejected_alone(client: GoogleClient, scope: Scope) -> None:
    writes = [create(number) for number in range(30)]
    writes[17] = create(17, birthday="2001-02-31")
    outcomes = await people.apply(client, scope, writes)
    assert [index for index, row in enumerate(outcomes) if row.result is not Result.DONE] == [17]
    assert outcomes[17].result is Result.REJECTED
    assert "date" in outcomes[17].reason.lower()
    seen, _ = await read_all(people.changes(client, scope, None))
    assert len(seen) == 29


async def test_25_a_search_for_bad_contacts_is_bounded(lab: Lab, client: GoogleClient, scope: Scope) -> None:
    before = lab.calls()
    outcomes = await people.apply(
        client, scope, [create(number, birthday="2001-02-31") for number in range(200)]
    )
    assert {row.result for row in outcomes} == {Result.REJECTED, Result.REFUSED}
    assert lab.calls() - before < 100


async def test_01_a_lost_reply_leaves_the_creates_unknown_and_marked(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    lab.fault(route="batchCreateContacts", kind="lost_reply")
    outcomes = await people.apply(client, scope, [create(number) for number in range(3)])
    assert {row.result for row in outcomes} == {Result.UNKNOWN}
    # Applied all the same: the feed shows our markers, so that the engine adopts and does not repeat.
    seen, _ = await read_all(people.changes(client, scope, None))
    assert {row.marker for row in seen} == {"key-0", "key-1", "key-2"}


async def test_01_a_lost_reply_to_updates_ends_as_a_conflict_that_shows_our_own_write(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    made = await people.apply(client, scope, [create(number) for number in range(3)])
    lab.fault(route="batchUpdateContacts", kind="lost_reply")
    outcomes = await people.apply(client, scope, [update(row, title="Boss") for row in made])
    # The repeat met new versions, our own: reading them again shows both sides equal.
    assert {row.result for row in outcomes} == {Result.CONFLICT}
    seen = await people.fetch(client, scope, [row.observation.remote_id for row in made if row.observation])
    assert [row.fields["title"] for row in seen] == ["Boss"] * 3


async def test_02_a_server_error_on_a_create_is_not_repeated(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    before = lab.calls()
    lab.fault(route="batchCreateContacts", status=500)
    outcomes = await people.apply(client, scope, [create(1)])
    assert outcomes[0].result is Result.UNKNOWN
    assert lab.calls() - before <= 1


async def test_throttling_refuses_what_was_not_sent_and_keeps_what_was_done(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    made = await people.apply(client, scope, [create(1)])
    lab.fault(route="batchUpdateContacts", status=429, times=None, headers={"Retry-After": "400"})
    outcomes = await people.apply(client, scope, [create(2), update(made[0], title="Boss")])
    assert [row.result for row in outcomes] == [Result.DONE, Result.REFUSED]
    assert outcomes[1].retry_after == 400


@pytest.mark.parametrize("number", [4, 12])
async def test_deletes_skip_what_changed_or_is_gone(client: GoogleClient, scope: Scope, number: int) -> None:
    made = await people.apply(client, scope, [create(n) for n in range(number)])
    assert made[1].observation is not None
    await edit(client, scope, made[1].observation.remote_id, "nicknames", nicknames=[{"value": "One"}])
    await people.apply(client, scope, [delete(made[2])])
    outcomes = await people.apply(client, scope, [delete(row) for row in made])
    wanted = [Result.DONE, Result.CONFLICT, Result.GONE, *[Result.DONE] * (number - 3)]
    assert [row.result for row in outcomes] == wanted
    seen, _ = await read_all(people.changes(client, scope, None))
    assert [row.marker for row in seen] == ["key-1"]


async def test_the_feed_tells_of_deletes_and_foreign_edits(client: GoogleClient, scope: Scope) -> None:
    made = await people.apply(client, scope, [create(number) for number in range(3)])
    _, last = await read_all(people.changes(client, scope, None))
    first, second = made[0].observation, made[1].observation
    assert first is not None
    assert second is not None
    await people.apply(client, scope, [delete(made[0])])
    await edit(client, scope, second.remote_id, "biographies", biographies=[{"value": "Met in Oslo"}])
    seen, after = await read_all(people.changes(client, scope, last.cursor))
    by_id = {row.remote_id: row for row in seen}
    assert by_id[first.remote_id].deleted
    assert by_id[second.remote_id].fields["notes"] == "Met in Oslo"
    assert by_id[second.remote_id].etag != second.etag
    assert set(by_id) == {first.remote_id, second.remote_id}
    assert not after.snapshot
    fetched = await people.fetch(client, scope, [first.remote_id, second.remote_id])
    assert [row.deleted for row in fetched] == [True, False]


async def test_pages_of_a_long_feed_carry_the_cursor_on_the_last_only(
    lab: Lab, client: GoogleClient, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "PAGE_SIZE", 40)
    await people.apply(client, scope, [create(number) for number in range(100)])
    pages = [page async for page in people.changes(client, scope, None)]
    assert [len(page.observations) for page in pages] == [40, 40, 20]
    assert [page.cursor is None for page in pages] == [True, True, False]
    assert all(page.snapshot and page.total == 100 for page in pages)


async def test_07_an_expired_or_foreign_cursor_asks_for_a_full_read(
    lab: Lab, client: GoogleClient, scope: Scope
) -> None:
    _, last = await read_all(people.changes(client, scope, None))
    assert last.cursor is not None
    for broken in (last.cursor + "x", "names,metadata " + last.cursor.partition(" ")[2]):
        with pytest.raises(CursorExpired):
            await read_all(people.changes(client, scope, broken))
    lab.world.clock.offset_ms += 8 * 86_400_000
    try:
        with pytest.raises(CursorExpired):
            await read_all(people.changes(client, scope, last.cursor))
    finally:
        lab.world.clock.offset_ms -= 8 * 86_400_000


async def test_the_feed_lags_and_fetch_does_not(lab: Lab, client: GoogleClient, scope: Scope) -> None:
    lab.world.settings["people_lag_seconds"] = 120
    try:
        _, last = await read_all(people.changes(client, scope, None))
        [made] = await people.apply(client, scope, [create(1)])
        assert made.observation is not None
        seen, _ = await read_all(people.changes(client, scope, last.cursor))
        assert seen == []
        [now] = await people.fetch(client, scope, [made.observation.remote_id])
        assert now.etag == made.observation.etag
        lab.world.clock.offset_ms += 121_000
        seen, _ = await read_all(people.changes(client, scope, last.cursor))
        assert [row.etag for row in seen] == [made.observation.etag]
    finally:
        lab.world.settings["people_lag_seconds"] = 0


async def test_groups_are_made_once_adopted_and_verified(lab: Lab, client: GoogleClient, scope: Scope) -> None:
    wanted = {Module.CONTACT: "CRM Contacts", Module.LEAD: "CRM Leads"}
    before = lab.calls()
    ids, created = await people.ensure_groups(client, account(scope), wanted, {})
    assert sorted(created) == ["group:contact", "group:lead"]
    assert lab.calls() - before == 2
    before = lab.calls()
    assert await people.ensure_groups(client, account(scope), wanted, ids) == (ids, [])
    assert lab.calls() - before == 1
    # A lost ledger: the names are enough.
    assert await people.ensure_groups(client, account(scope), wanted, {}) == (ids, [])

    write = create(1)
    await people.apply(
        client,
        scope,
        [Write(write.kind, write.module, write.key, fields=write.fields, containers=(ids["group:contact"],))],
    )
    findings = await people.verify_groups(client, account(scope), wanted, ids)
    assert [(row.ok, row.check, row.detail) for row in findings] == [
        (True, "group CRM Contacts", "1 member"),
        (True, "group CRM Leads", "0 members"),
    ]
    await client.execute(
        client.people.contactGroups.delete(resourceName=ids["group:lead"]), account(scope), idempotent=True
    )
    findings = await people.verify_groups(client, account(scope), wanted, ids)
    assert [(row.ok, row.detail) for row in findings] == [(True, "1 member"), (False, "missing")]
    assert findings[1].advice
    again, created = await people.ensure_groups(client, account(scope), wanted, ids)
    assert created == ["group:lead"]
    assert again["group:lead"] != ids["group:lead"]


async def test_a_contact_found_by_its_address_joins_the_group(client: GoogleClient, scope: Scope) -> None:
    ids, _ = await people.ensure_groups(client, account(scope), {Module.CONTACT: "CRM Contacts"}, {})
    person = await client.execute(
        client.people.people.createContact(body={"names": [{"givenName": "Own"}]}),
        account(scope),
        idempotent=False,
    )
    [seen] = await people.fetch(client, scope, [person["resourceName"]])
    write = Write(
        WriteKind.UPDATE,
        Module.CONTACT,
        "adopt",
        remote_id=seen.remote_id,
        fields=seen.fields,
        etag=seen.etag,
        native=seen.native,
        containers=(ids["group:contact"],),
    )
    [outcome] = await people.apply(client, scope, [write])
    assert outcome.observation is not None
    assert set(outcome.observation.containers) == {*seen.containers, ids["group:contact"]}


async def test_a_full_mailbox_rejects_with_googles_words(lab: Lab, client: GoogleClient, scope: Scope) -> None:
    lab.world.settings["people_contact_limit"] = 2
    try:
        outcomes = await people.apply(client, scope, [create(number) for number in range(3)])
    finally:
        del lab.world.settings["people_contact_limit"]
    assert {row.result for row in outcomes} == {Result.REJECTED}
    assert "MY_CONTACTS_OVERFLOW_COUNT" in outcomes[0].reason


async def test_an_unknown_mailbox_fails_as_a_whole(client: GoogleClient) -> None:
    nobody = people.scope_of(Account("nobody@example.com"))
    with pytest.raises(ProviderError) as caught:
        await people.apply(client, nobody, [create(1)])
    assert caught.value.kind in {ErrorKind.CREDENTIAL, ErrorKind.DELEGATION}
