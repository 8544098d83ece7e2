import json

import pytest

from engine.crm.salesforce import feed
from engine.model.modules import Module
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from engine.sandbox.salesforce import store
from tests.crm.salesforce.org import Org

HOUR = 3_600_000
DAY = 24 * HOUR


async def test_a_first_read_lists_every_live_row_in_pages_of_2000(org: Org) -> None:
    ids = store.insert_many(org.world, "Contact", [{"LastName": f"No {n}"} for n in range(4100)])
    org.delete("Contact", ids[7])
    await org.connector.check()
    org.calls()
    pages = [page async for page in org.connector.changes(org.scope(Module.CONTACT), None)]
    assert org.calls() == 3
    assert [len(page.observations) for page in pages] == [2000, 2000, 99]
    assert {page.total for page in pages} == {4099}
    assert {each.remote_id for page in pages for each in page.observations} == set(ids) - {ids[7]}


async def test_an_idle_read_is_one_call_and_leaves_nothing_to_store(org: Org) -> None:
    store.insert_many(org.world, "Contact", [{"LastName": f"No {n}"} for n in range(50)])
    seen, cursor = await org.read(Module.CONTACT)
    assert len(seen) == 50
    org.calls()
    for _ in range(3):
        assert await org.read(Module.CONTACT, cursor) == ([], cursor)
    assert org.calls() == 3


async def test_what_was_seen_within_the_overlap_comes_again_with_what_is_new(org: Org) -> None:
    ids = store.insert_many(org.world, "Contact", [{"LastName": f"No {n}"} for n in range(5)])
    before, cursor = await org.read(Module.CONTACT)
    late = org.add("Contact", LastName="Late")
    after, cursor = await org.read(Module.CONTACT, cursor)
    assert [each.remote_id for each in after] == [*ids, late]
    assert after[:5] == before
    assert (await org.read(Module.CONTACT, cursor))[0] == []


async def test_rows_older_than_the_overlap_are_not_read_again(org: Org) -> None:
    store.insert_many(org.world, "Contact", [{"LastName": f"No {n}"} for n in range(50)])
    _, cursor = await org.read(Module.CONTACT)
    org.world.clock.offset_ms += HOUR
    late = org.add("Contact", LastName="Late")
    _, cursor = await org.read(Module.CONTACT, cursor)
    org.world.clock.offset_ms += 1000
    later = org.add("Contact", LastName="Later")
    seen, _ = await org.read(Module.CONTACT, cursor)
    assert [each.remote_id for each in seen] == [late, later]


async def test_a_cancelled_occurrence_costs_no_call_once_it_was_told(org: Org) -> None:
    (series,) = store.insert_many(
        org.world,
        "Event",
        [
            {
                "Subject": "Daily",
                "StartDateTime": "2026-11-23T08:00:00Z",
                "DurationInMinutes": 30,
                "IsRecurrence2": True,
                "Recurrence2PatternText": "RRULE:FREQ=DAILY;COUNT=3",
                "Recurrence2PatternTimeZone": "Europe/Berlin",
            }
        ],
    )
    _, cursor = await org.read(Module.APPOINTMENT)
    store.cancel_occurrence(org.world, series, "2026-11-24T08:00:00Z")
    seen, cursor = await org.read(Module.APPOINTMENT, cursor)
    assert [each.fields for each in seen if each.parent] == [{"cancelled": True}]
    org.calls()
    assert await org.read(Module.APPOINTMENT, cursor) == ([], cursor)
    assert org.calls() == 1


async def test_every_object_is_read_by_one_call(org: Org) -> None:
    scopes = org.connector.scopes(list(Module))
    assert [scope.key for scope in scopes] == ["Contact", "Lead", "Event", "Task", "Opportunity", "Case"]
    assert scopes[3].modules == (Module.TASK, Module.CALL)
    await org.connector.users()
    cursors = {}
    for scope in scopes:
        cursors[scope.key] = [page async for page in org.connector.changes(scope, None)][-1].cursor
    org.calls()
    for scope in scopes:
        assert [page async for page in org.connector.changes(scope, cursors[scope.key])][-1].cursor
    assert org.calls() == len(scopes)


async def test_edits_and_deletions_arrive(org: Org) -> None:
    kept, edited, deleted = (org.add("Contact", LastName=name) for name in ("Kept", "Edited", "Deleted"))
    before, cursor = await org.read(Module.CONTACT)
    org.edit("Contact", edited, FirstName="Now")
    org.delete("Contact", deleted)
    after = {each.remote_id: each for each in (await org.read(Module.CONTACT, cursor))[0]}
    was = {each.remote_id: each for each in before}
    assert after[kept] == was[kept]
    assert after[edited].fields == {"given": "Now", "family": "Edited"}
    assert after[edited].etag != was[edited].etag
    assert after[edited].modified > was[edited].modified
    assert after[deleted].deleted
    assert after[deleted].fields == {}


async def test_an_edit_made_while_a_long_read_runs_is_not_lost(org: Org) -> None:
    ids = store.insert_many(org.world, "Contact", [{"LastName": f"No {n}"} for n in range(2500)])
    pages = org.connector.changes(org.scope(Module.CONTACT), None)
    await anext(pages)
    org.edit("Contact", ids[0], FirstName="Meanwhile")  # on the page that was read already
    cursor = [page async for page in pages][-1].cursor
    seen = {each.remote_id: each for each in (await org.read(Module.CONTACT, cursor))[0]}
    assert seen[ids[0]].fields["given"] == "Meanwhile"


async def test_a_converted_lead_is_gone(org: Org) -> None:
    lead = org.add("Lead", LastName="Maybe", Company="Acme")
    seen, cursor = await org.read(Module.LEAD)
    assert seen[0].fields == {"family": "Maybe", "company": "Acme"}
    org.edit("Lead", lead, Status="Closed - Converted")
    org.world.db.execute("UPDATE sf_Lead SET IsConverted = 1 WHERE Id = ?", (lead,))
    assert (await org.read(Module.LEAD, cursor))[0][0].deleted
    assert (await org.read(Module.LEAD))[0] == []


async def test_two_edits_in_one_second_differ_where_stamps_have_whole_seconds(org: Org) -> None:
    org.world.settings["sf_whole_seconds"] = True
    contact = org.add("Contact", LastName="Fast")
    stamp = org.row("Contact", contact)["SystemModstamp"]
    (first,), _ = await org.read(Module.CONTACT)
    org.edit("Contact", contact, FirstName="Twice")
    org.world.db.execute("UPDATE sf_Contact SET SystemModstamp = ? WHERE Id = ?", (stamp, contact))
    (second,), _ = await org.read(Module.CONTACT)
    assert first.modified == second.modified
    assert first.etag != second.etag


async def test_a_cursor_older_than_the_recycle_bin_has_expired(org: Org) -> None:
    org.add("Contact", LastName="Any")
    for cursor in (json.dumps({"from": "2020-01-01T00:00:00.000Z"}), "nonsense", '{"from": "x"}'):
        with pytest.raises(CursorExpired):
            await org.read(Module.CONTACT, cursor)


async def test_the_owner_and_our_marker_are_told(org: Org) -> None:
    org.add("Contact", LastName="Marked", Syncline_Key__c="link-1")
    (seen,), _ = await org.read(Module.CONTACT)
    assert seen.owner == org.ann
    assert seen.marker == "link-1"


async def test_fetch_tells_what_is_there_and_what_is_gone(org: Org) -> None:
    here, gone = org.add("Contact", LastName="Here"), org.add("Contact", LastName="Gone")
    org.delete("Contact", gone)
    never = here[:-5] + "zzIAA"
    await org.connector.users()
    org.calls()
    seen = await org.connector.fetch(org.scope(Module.CONTACT), [gone, here, never])
    assert org.calls() == 1
    assert [each.remote_id for each in seen] == [gone, here, never]
    assert [each.deleted for each in seen] == [True, False, True]


async def test_fetch_of_many_stays_below_the_length_of_a_url(org: Org) -> None:
    ids = store.insert_many(org.world, "Task", [{"Subject": f"No {n}"} for n in range(2600)])
    await org.connector.users()
    org.calls()
    seen = await org.connector.fetch(org.scope(Module.TASK), ids)
    assert [each.remote_id for each in seen] == ids
    assert not any(each.deleted for each in seen)
    assert org.calls() == 2


async def test_an_org_without_middle_names_is_read_all_the_same(org: Org) -> None:
    org.add("Contact", LastName="Plain")
    org.fault(
        route="queryAll",
        status=400,
        body=[
            {
                "errorCode": "INVALID_FIELD",
                "message": "No such column 'MiddleName' on entity 'Contact'. If you are attempting to use a custom "
                "field, be sure to append the '__c' after the custom field name.",
            }
        ],
    )
    (seen,), _ = await org.read(Module.CONTACT)
    assert seen.fields == {"family": "Plain"}


async def test_an_org_without_our_package_says_what_to_install(org: Org) -> None:
    message = "No such column 'Syncline_Key__c' on entity 'Contact'."
    org.fault(route="queryAll", status=400, body=[{"errorCode": "INVALID_FIELD", "message": message}])
    with pytest.raises(ProviderError) as caught:
        await org.read(Module.CONTACT)
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert "Syncline_Key__c" in caught.value.detail
    assert "metadata package" in caught.value.advice


async def test_audits_list_ids(org: Org) -> None:
    from datetime import UTC, datetime, timedelta

    kept, gone = org.add("Contact", LastName="Kept"), org.add("Contact", LastName="Gone")
    org.delete("Contact", gone)
    now = datetime.now(UTC)
    span = (now - timedelta(days=1), now + timedelta(minutes=2))
    assert await org.connector.audit_deleted(org.scope(Module.CONTACT), *span) == [gone]
    assert kept in await org.connector.audit_updated(org.scope(Module.CONTACT), *span)


def test_only_columns_that_orgs_may_lack_are_optional() -> None:
    assert "LastName" not in feed.OPTIONAL
    assert "Syncline_Key__c" not in feed.OPTIONAL
