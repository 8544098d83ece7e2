from dataclasses import replace

import pytest

from engine.crm.salesforce import errors
from engine.crm.salesforce.objects import stamp_of
from engine.model.modules import Module
from engine.model.port import Result
from engine.net.errors import ErrorKind, ProviderError
from tests.crm.salesforce.org import Org, create, delete, update


async def test_two_hundred_creates_are_one_call_and_come_back_with_versions(org: Org) -> None:
    await org.connector.users()
    org.calls()
    writes = [create(Module.CONTACT, f"k{n}", family=f"No {n}", given="A") for n in range(200)]
    outcomes = await org.apply(*writes)
    assert org.calls() == 1
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    for number, outcome in enumerate(outcomes):
        seen = outcome.observation
        assert seen is not None
        assert seen.marker == f"k{number}"
        assert seen.fields == {"family": f"No {number}", "given": "A"}
        assert seen.etag is not None
        # A stamp that falls on a whole second is not the whole version.
        assert stamp_of(seen.etag) == org.row("Contact", seen.remote_id)["SystemModstamp"]


async def test_a_create_that_is_repeated_makes_one_record(org: Org) -> None:
    write = create(
        Module.CALL, "same", subject="Call back", start={"utc": "2026-11-23T08:00:00Z", "zone": None}
    )
    (first,) = await org.apply(write)
    (second,) = await org.apply(replace(write, attempt=1))
    assert first.observation is not None
    assert first.observation == second.observation
    seen, _ = await org.read(Module.TASK)
    assert len(seen) == 1


async def test_a_create_whose_answer_was_lost_is_found_again(org: Org) -> None:
    write = create(Module.CONTACT, "lost", family="Lost")
    await org.connector.users()
    org.fault(route="composite", verb="POST", kind="lost_reply")
    with pytest.raises(ProviderError) as caught:
        await org.apply(write)
    assert caught.value.maybe_applied
    (outcome,) = await org.apply(replace(write, attempt=1))
    assert outcome.result is Result.DONE
    assert len((await org.read(Module.CONTACT))[0]) == 1


async def test_the_named_person_owns_what_is_created(org: Org) -> None:
    from engine.sandbox.salesforce import store

    bob = store.add_user(org.world, "bob@acme.example", "Bob Ray", "UTC", "bob")
    (outcome,) = await org.apply(replace(create(Module.TASK, "t", subject="For Bob"), owner=bob))
    assert outcome.observation is not None
    assert outcome.observation.owner == bob


async def test_an_update_writes_only_the_patch(org: Org) -> None:
    contact = org.add("Contact", LastName="Berg", Title="Old", LeadSource="Web", MailingCity="Rome")
    (seen,), _ = await org.read(Module.CONTACT)
    await org.connector.users()
    org.calls()
    (outcome,) = await org.apply(update(seen, title="New", email="b@x.example"))
    assert org.calls() == 2  # the versions, then the write
    assert outcome.observation is not None
    assert outcome.observation.fields == {**seen.fields, "title": "New", "email": "b@x.example"}
    row = org.row("Contact", contact)
    assert (row["LeadSource"], row["MailingCity"]) == ("Web", "Rome")


async def test_clearing_a_field_clears_it(org: Org) -> None:
    contact = org.add("Contact", LastName="Berg", Title="Old", MailingCity="Rome", MobilePhone="+39 06 1")
    (seen,), _ = await org.read(Module.CONTACT)
    await org.apply(update(seen, title=None, address_work=None, phone_mobile=None))
    row = org.row("Contact", contact)
    assert (row["Title"], row["MailingCity"], row["MobilePhone"]) == (None, None, None)


async def test_an_edit_that_we_have_not_seen_is_a_conflict_and_stays(org: Org) -> None:
    contact = org.add("Contact", LastName="Berg")
    (seen,), _ = await org.read(Module.CONTACT)
    org.edit("Contact", contact, FirstName="Human")
    first, second = await org.apply(update(seen, given="Engine"), delete(seen))
    assert (first.result, second.result) == (Result.CONFLICT, Result.CONFLICT)
    assert org.row("Contact", contact)["FirstName"] == "Human"


async def test_what_is_gone_is_told_so(org: Org) -> None:
    contact = org.add("Contact", LastName="Berg")
    (seen,), _ = await org.read(Module.CONTACT)
    org.delete("Contact", contact)
    guarded = await org.apply(update(seen, given="x"), delete(seen))
    bare = await org.apply(replace(update(seen, given="x"), etag=None), replace(delete(seen), etag=None))
    assert {outcome.result for outcome in (*guarded, *bare)} == {Result.GONE}


async def test_mixed_writes_keep_their_order_and_their_own_ends(org: Org) -> None:
    for name in ("One", "Two", "Three"):
        org.add("Contact", LastName=name)
    one, two, three = sorted((await org.read(Module.CONTACT))[0], key=lambda each: each.modified or 0)
    outcomes = await org.apply(
        delete(one),
        create(Module.CONTACT, "bad", given="No family name"),
        update(two, email="not an address"),
        create(Module.CONTACT, "good", family="Good"),
        update(three, title="x" * 200),
    )
    done, rejected = Result.DONE, Result.REJECTED
    assert [outcome.result for outcome in outcomes] == [done, rejected, rejected, done, rejected]
    assert "last name" in outcomes[1].reason
    assert "INVALID_EMAIL_ADDRESS" in outcomes[2].reason
    assert "STRING_TOO_LONG" in outcomes[4].reason
    assert "Title" in outcomes[4].reason
    assert org.row("Contact", one.remote_id)["IsDeleted"]


async def test_a_lead_without_a_company_gets_salesforces_own_filler_and_reads_back_empty(org: Org) -> None:
    (outcome,) = await org.apply(create(Module.LEAD, "lead", family="Solo"))
    assert outcome.observation is not None
    assert outcome.observation.fields == {"family": "Solo"}
    assert org.row("Lead", outcome.observation.remote_id)["Company"] == "[not provided]"


async def test_more_than_one_batch_is_written(org: Org) -> None:
    outcomes = await org.apply(*(create(Module.TASK, f"t{n}", subject=f"No {n}") for n in range(450)))
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    assert [outcome.observation.fields["subject"] for outcome in outcomes if outcome.observation] == [
        f"No {n}" for n in range(450)
    ]


async def test_when_a_later_batch_is_lost_the_first_ones_are_still_told(org: Org) -> None:
    await org.connector.users()
    writes = [create(Module.TASK, f"t{n}", subject=f"No {n}") for n in range(250)]
    strikes = iter([False, True])

    original = org.connector._client.composite

    async def composite(requests: list, *, idempotent: bool = False) -> list:
        if next(strikes, False):
            org.fault(route="composite", verb="POST", kind="lost_reply")
        return await original(requests, idempotent=idempotent)

    org.connector._client.composite = composite  # type: ignore[method-assign]
    outcomes = await org.apply(*writes)
    assert [outcome.result for outcome in outcomes] == [Result.DONE] * 200 + [Result.UNKNOWN] * 50


async def test_a_write_that_changes_nothing_of_ours_still_tells_the_item(org: Org) -> None:
    org.add("Contact", LastName="Berg")
    (seen,), _ = await org.read(Module.CONTACT)
    (outcome,) = await org.apply(update(seen, company="The account's name is not ours to write"))
    assert outcome.result is Result.DONE
    assert outcome.observation == seen


@pytest.mark.parametrize(
    ("code", "existing", "result"),
    [
        ("UNABLE_TO_LOCK_ROW", True, Result.REFUSED),
        ("ENTITY_IS_DELETED", True, Result.GONE),
        ("INVALID_CROSS_REFERENCE_KEY", True, Result.GONE),
        ("INVALID_CROSS_REFERENCE_KEY", False, Result.REJECTED),
        ("REQUIRED_FIELD_MISSING", False, Result.REJECTED),
        ("DUPLICATES_DETECTED", False, Result.REJECTED),
        ("UNKNOWN_EXCEPTION", False, Result.UNKNOWN),
    ],
)
def test_what_a_refusal_of_one_record_means(code: str, existing: bool, result: Result) -> None:
    outcome = errors.item_outcome([{"statusCode": code, "message": "why", "fields": []}], existing=existing)
    assert outcome.result is result
    assert outcome.reason == f"{code}: why"


async def test_an_exhausted_allowance_is_throttling_and_not_a_hang(org: Org) -> None:
    org.world.settings["sf_daily_limit"] = 0
    with pytest.raises(ProviderError) as caught:
        await org.read(Module.CONTACT)
    assert caught.value.kind is ErrorKind.THROTTLED
    assert caught.value.retry_after == errors.DAILY_LIMIT_WAIT
    assert "24 hours" in caught.value.advice


async def test_an_ended_session_is_renewed_once(org: Org) -> None:
    from engine.sandbox.salesforce import accounts

    org.add("Contact", LastName="Berg")
    await org.read(Module.CONTACT)
    accounts.revoke_all(org.world)
    seen, _ = await org.read(Module.CONTACT)
    assert len(seen) == 1
    assert org.world.counters["salesforce.logins"] == 2
    ((_, used, granted),) = org.connector.usage()
    assert 0 < used < granted
