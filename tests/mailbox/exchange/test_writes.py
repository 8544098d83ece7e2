"""Writes: one result for each item, nothing twice, nothing over a person's change, nobody mailed unasked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine.mailbox.exchange.xml import T
from engine.model.modules import Module
from engine.model.port import Outcome, Result, Write
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import create, delete, done, one, read, update
from tests.mailbox.exchange.test_feed import SECOND, WEEKLY, moment, tasks

MEETING = {
    "subject": "Meeting",
    "start": moment("2026-11-23T08:00:00Z"),
    "end": moment("2026-11-23T09:00:00Z"),
    "busy": True,
    "attendees": [{"email": "guest@x.example", "name": "Guest", "status": "none", "optional": False}],
}


def mails(box: Mailbox) -> int:
    """Mails that the sandbox has sent to guests."""
    return int(box.lab.office.world.counters.get("exchange.mails", 0))


@pytest.mark.parametrize("size", [1, 7, 512])
async def test_any_batch_size_ends_in_the_same_state(box: Mailbox, size: int) -> None:
    async with box.lab.connector(batch_size=size) as connector:
        made = await done(connector, box.tasks, *tasks(20))
        assert box.lab.asked()["CreateItem"] == -(-20 // size)
        await done(connector, box.tasks, *(update(each, {"done": True}) for each in made[:10]))
        assert box.lab.asked()["UpdateItem"] == -(-10 // size)
        outcomes = await connector.apply(box.tasks, [delete(each) for each in made[10:15]])
        assert {outcome.result for outcome in outcomes} == {Result.DONE}
    seen, _ = await read(box.connector, box.tasks)
    assert sorted((each.fields["subject"], each.fields["done"]) for each in seen) == sorted(
        (f"Task {n}", n < 10) for n in range(20) if not 10 <= n < 15
    )


@pytest.mark.parametrize("size", [1, 7])
async def test_small_batches_are_read_back_together(box: Mailbox, size: int) -> None:
    async with box.lab.connector(batch_size=size) as connector:
        assert connector.capability(Module.TASK).batch >= 25  # type: ignore[union-attr]
        await done(connector, box.tasks, *tasks(20))
        assert box.lab.asked()["GetItem"] == 1
        # The feed shows what is known already: it need not be read again.
        await read(connector, box.tasks)
        assert box.lab.asked() == {"SyncFolderItems": 1, "http": 1}


@pytest.mark.parametrize("written", ["CreateItem", "UpdateItem"])
async def test_what_a_person_does_before_our_write_is_read_back_is_told_by_the_feed(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """It is no part of what our write has left: it would be taken for ours, and the edit be lost to the CRM."""
    [task] = await done(box.connector, box.tasks, *tasks(1))
    _, cursor = await read(box.connector, box.tasks)
    call = box.connector.client.call

    async def edited(account: Any, operation: str, body: str, **options: Any) -> Any:
        messages = await call(account, operation, body, **options)
        if operation == written:
            [identity] = [str(one.get("Id")) for one in messages[0].node.iter(f"{T}ItemId")]
            box.lab.office.call(
                '<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly"><m:ItemChanges>'
                f'<t:ItemChange><t:ItemId Id="{identity}"/><t:Updates><t:SetItemField><t:FieldURI '
                'FieldURI="item:Subject"/><t:Task><t:Subject>A person</t:Subject></t:Task></t:SetItemField></t:Updates>'
                "</t:ItemChange></m:ItemChanges></m:UpdateItem>"
            )
        return messages

    monkeypatch.setattr(box.connector.client, "call", edited)
    write = (
        create(Module.TASK, "t.new.aa.0", {"subject": "Ours", "done": False})
        if written == "CreateItem"
        else update(task, {"subject": "Ours"})
    )
    [left] = await done(box.connector, box.tasks, write)
    assert left.fields["subject"] == "Ours"
    [told], _ = await read(box.connector, box.tasks, cursor)
    assert (told.remote_id, told.fields["subject"]) == (left.remote_id, "A person")
    assert told.etag != left.etag


async def test_a_server_that_is_lost_in_the_midst_is_not_asked_for_the_rest(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with box.lab.connector(batch_size=1) as connector:
        call, before = connector.client.call, box.lab.calls()["CreateItem"]

        async def breaking(account: Any, operation: str, body: str, **options: Any) -> Any:
            if box.lab.calls()["CreateItem"] == before + 2 and operation == "CreateItem":
                box.lab.fault(route="asmx", kind="lost_reply")
            return await call(account, operation, body, **options)

        monkeypatch.setattr(connector.client, "call", breaking)
        outcomes = await connector.apply(box.tasks, tasks(9))
        results = [outcome.result for outcome in outcomes]
        assert results == [Result.DONE] * 2 + [Result.UNKNOWN] + [Result.REFUSED] * 6
        assert box.lab.calls()["CreateItem"] == before + 3


async def test_one_stale_item_stops_none_of_the_others(box: Mailbox) -> None:
    """Cases 10 and 11: per item, and never over what we have not seen."""
    made = await done(box.connector, box.tasks, *tasks(3))
    await done(box.connector, box.tasks, update(made[1], {"subject": "a person's"}))
    outcomes = await box.connector.apply(box.tasks, [update(each, {"done": True}) for each in made])
    assert [outcome.result for outcome in outcomes] == [Result.DONE, Result.CONFLICT, Result.DONE]
    # The new versions of those that were done are known: the next update goes through at once.
    again = [outcome.observation for outcome in outcomes if outcome.observation is not None]
    await done(box.connector, box.tasks, *(update(each, {"due": "2026-12-01"}) for each in again))
    [middle] = await box.connector.fetch(box.tasks, [made[1].remote_id])
    assert middle.fields == {"subject": "a person's", "done": False}


async def test_one_item_that_exchange_refuses_stops_none_of_the_others(box: Mailbox) -> None:
    """Case 25: one bad item."""
    strange = {**WEEKLY, "rule": {"lines": ["RRULE:FREQ=HOURLY"]}}
    outcomes = await box.connector.apply(
        box.calendar,
        [
            create(Module.APPOINTMENT, "c.1.aa.0", MEETING),
            create(Module.APPOINTMENT, "c.2.aa.0", strange),
            create(Module.APPOINTMENT, "c.3.aa.0", {**MEETING, "subject": "Third"}),
        ],
    )
    assert [outcome.result for outcome in outcomes] == [Result.DONE, Result.REJECTED, Result.DONE]
    assert "Exchange has no such repetition" in outcomes[1].reason


@pytest.mark.parametrize("fault", [{"kind": "lost_reply"}, {"kind": "status_after", "status": 500}])
async def test_a_create_whose_answer_was_lost_is_found_again(box: Mailbox, fault: dict[str, Any]) -> None:
    """Cases 1 and 2: with a pool of several connections, too, and whatever was lost."""
    writes = tasks(4)
    box.lab.fault(route="asmx", **fault)
    outcomes = await box.connector.apply(box.tasks, writes)
    assert [outcome.result for outcome in outcomes] == [Result.UNKNOWN] * 4
    box.lab.asked()
    outcomes = await box.connector.apply(box.tasks, [replace(write, attempt=1) for write in writes])
    assert [outcome.result for outcome in outcomes] == [Result.DONE] * 4
    assert [outcome.observation and outcome.observation.marker for outcome in outcomes] == [
        write.key for write in writes
    ]
    assert box.lab.asked() == {"http": 2, "FindItem": 1, "GetItem": 1}
    assert len((await read(box.connector, box.tasks))[0]) == 4


@pytest.mark.parametrize("fault", [{"kind": "lost_request"}, {"kind": "truncate"}])
async def test_a_create_that_never_arrived_is_made_by_its_repeat(box: Mailbox, fault: dict[str, Any]) -> None:
    box.lab.fault(route="asmx", **fault)
    writes = tasks(2)
    outcomes = await box.connector.apply(box.tasks, writes)
    assert {outcome.result for outcome in outcomes} == {Result.UNKNOWN}
    await done(box.connector, box.tasks, *(replace(write, attempt=1) for write in writes))
    assert len((await read(box.connector, box.tasks))[0]) == 2


async def test_nobody_is_mailed_unless_the_write_says_so(box: Mailbox) -> None:
    """Case 24: create, update and delete of a meeting, a series and an occurrence."""
    [meeting, series] = await done(
        box.connector,
        box.calendar,
        create(Module.APPOINTMENT, "c.1.aa.0", MEETING),
        create(Module.APPOINTMENT, "c.2.aa.0", {**WEEKLY, "attendees": MEETING["attendees"]}),
    )
    [meeting] = await done(box.connector, box.calendar, update(meeting, {"location": "Room 1"}))
    away = create(Module.APPOINTMENT, "b", {"cancelled": True}, parent=series.remote_id, occurrence=SECOND)
    await done(box.connector, box.calendar, away)
    [gone] = await box.connector.apply(box.calendar, [delete(meeting)])
    assert gone.result is Result.DONE
    assert mails(box) == 0
    said = [dict(each.attrib) for each in box.lab.office.watch.requests]
    assert {value for each in said for name, value in each.items() if name.startswith("SendMeeting")} == {
        "SendToNone"
    }


async def test_guests_are_mailed_when_the_write_says_so(box: Mailbox) -> None:
    told = create(Module.APPOINTMENT, "c.1.aa.0", MEETING, notify=True)
    quiet = create(Module.APPOINTMENT, "c.2.aa.0", MEETING)
    await done(box.connector, box.calendar, told, quiet)
    said = [
        each.get("SendMeetingInvitations")
        for each in box.lab.office.watch.requests
        if each.tag.endswith("CreateItem")
    ]
    assert said == ["SendToNone", "SendToAllAndSaveCopy"]


async def test_a_delete_spares_what_a_person_has_changed(box: Mailbox) -> None:
    first, second = await done(box.connector, box.tasks, *tasks(2))
    await done(box.connector, box.tasks, update(first, {"subject": "mine"}))
    outcomes = await box.connector.apply(box.tasks, [delete(first), delete(second)])
    assert [outcome.result for outcome in outcomes] == [Result.CONFLICT, Result.DONE]
    outcomes = await box.connector.apply(box.tasks, [delete(second)])
    assert [outcome.result for outcome in outcomes] == [Result.GONE]


async def test_an_occurrence_changed_meanwhile_is_a_conflict_and_one_of_another_day_is_not(
    box: Mailbox,
) -> None:
    [series] = await done(box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", WEEKLY))

    def change(subject: str, start: str) -> Write:
        times = {"start": moment(start), "end": moment(start.replace(":00:00Z", ":30:00Z"))}
        fields = {"subject": subject, "busy": True, **times}
        return create(Module.APPOINTMENT, "x", fields, parent=series.remote_id, occurrence=start)

    first, second = change("first", SECOND), change("second", "2026-11-09T08:00:00Z")
    # Both in one call of apply, although each gives the series a new version.
    one_, two = await done(box.connector, box.calendar, first, second)
    assert (one_.fields["subject"], two.fields["subject"]) == ("first", "second")
    await done(box.connector, box.calendar, update(one_, {"location": "a person's"}))
    outcome = await one(box.connector, box.calendar, update(one_, {"location": "ours"}))
    assert outcome.result is Result.CONFLICT
    [two] = await done(box.connector, box.calendar, update(two, {"location": "ours"}))
    await done(box.connector, box.calendar, update(two, {"cancelled": True}))
    back = await one(box.connector, box.calendar, update(two, {"subject": "back"}))
    assert back.result is Result.REJECTED
    assert "cannot bring one back" in back.reason


@pytest.mark.parametrize("cancels", [False, True])
async def test_an_occurrence_that_a_person_has_changed_is_not_overwritten(box: Mailbox, cancels: bool) -> None:
    """Seed 97735."""
    [series] = await done(box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", WEEKLY))
    when = {"parent": series.remote_id, "occurrence": SECOND}
    times = {"start": moment(SECOND), "end": moment(SECOND.replace(":00:00Z", ":30:00Z"))}
    theirs = {"subject": "theirs", "location": "Wien", "busy": True, **times}
    [made] = await done(box.connector, box.calendar, create(Module.APPOINTMENT, "t", theirs, **when))
    fields = {"cancelled": True} if cancels else {"subject": "ours", "busy": True, **times}
    ours = create(Module.APPOINTMENT, "o", fields, **when)
    for attempt in (0, 1):
        outcome = await one(box.connector, box.calendar, replace(ours, attempt=attempt))
        assert outcome.result is Result.CONFLICT
        [now] = await box.connector.fetch(box.calendar, [made.remote_id])
        assert (now.etag, now.fields) == (made.etag, made.fields)
    # What a lost answer leaves is met by its own repeat, and is no conflict.
    again = create(Module.APPOINTMENT, "t", theirs, attempt=1, **when)
    assert (await one(box.connector, box.calendar, again)).result is Result.DONE


async def test_what_we_do_not_synchronise_survives_every_update(box: Mailbox) -> None:
    """Case 22: each property that a person may have set is the same before and after."""
    office = box.lab.office
    folder = f'<t:FolderId Id="{box.contacts.remote_id}"/>'
    made = office.call(
        f'<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId>{folder}</m:SavedItemFolderId><m:Items>'
        "<t:Contact><t:Categories><t:String>Golf</t:String></t:Categories><t:FileAs>Zed</t:FileAs>"
        "<t:GivenName>Ann</t:GivenName><t:Nickname>Annie</t:Nickname><t:CompanyName>Acme</t:CompanyName>"
        '<t:EmailAddresses><t:Entry Key="EmailAddress1">a@x.example</t:Entry></t:EmailAddresses>'
        '<t:PhysicalAddresses><t:Entry Key="Home"><t:City>Home town</t:City></t:Entry></t:PhysicalAddresses>'
        '<t:PhoneNumbers><t:Entry Key="AssistantPhone">9</t:Entry><t:Entry Key="MobilePhone">8</t:Entry>'
        "</t:PhoneNumbers><t:OfficeLocation>4th floor</t:OfficeLocation><t:SpouseName>Sam</t:SpouseName>"
        "<t:Surname>Lee</t:Surname></t:Contact></m:Items></m:CreateItem>",
    )
    assert made is not None
    [seen], _ = await read(box.connector, box.contacts)

    def whole() -> dict[str, str]:
        answer = office.call(
            "<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape></m:ItemShape>"
            f'<m:ItemIds><t:ItemId Id="{seen.remote_id}"/></m:ItemIds></m:GetItem>'
        )
        [item] = answer.iter("{*}Contact")
        return {
            child.tag.rpartition("}")[2]: "".join(child.itertext()) for child in item if child.tag is not None
        }

    before = whole()
    for _ in range(3):
        patch = {"title": "CEO", "phone_mobile": {"raw": "7", "e164": None}, "email_2": "b@x.example"}
        [seen] = await done(box.connector, box.contacts, update(seen, patch))
        back = {"title": None, "phone_mobile": {"raw": "8", "e164": None}, "email_2": None}
        [seen] = await done(box.connector, box.contacts, update(seen, back))
    after = whole()
    moving = {"ItemId", "LastModifiedTime", "LastModifiedName", "Size"}
    assert {name: value for name, value in after.items() if name not in moving} == {
        name: value for name, value in before.items() if name not in moving
    }


class Ears:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.waits: list[tuple[float, str]] = []

    def called(self, provider: str, account: str) -> None:
        self.calls.append((provider, account))

    def waiting(self, provider: str, account: str, seconds: float, reason: str) -> None:
        self.waits.append((seconds, reason))


BUSY = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>a:ErrorServerBusy'
    "</faultcode><faultstring>The server cannot service this request right now. Try again later.</faultstring>"
    '<detail><e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">ErrorServerBusy'
    '</e:ResponseCode><t:MessageXml xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">'
    '<t:Value Name="BackOffMilliseconds">{}</t:Value></t:MessageXml></detail></s:Fault></s:Body></s:Envelope>'
)


async def test_a_busy_server_slows_all_mailboxes_and_is_a_wait_and_no_error(box: Mailbox) -> None:
    """Case 23."""
    ears = Ears()
    async with box.lab.connector(Net(observer=ears)) as connector:
        box.lab.fault(route="asmx", kind="status", status=500, body=BUSY.format(40))
        seen, _ = await read(connector, box.tasks)
        assert seen == []
        assert [reason for _, reason in ears.waits][:1] == ["asked to slow down"]
        assert ears.waits[0][0] <= 0.04
        assert connector.client.lane.limit == 2
        assert len(ears.calls) == 2
        box.lab.fault(route="asmx", kind="status", status=500, body=BUSY.format(600_000))
        outcomes = await connector.apply(box.tasks, tasks(1))
        assert outcomes == [Outcome(Result.REFUSED, None, outcomes[0].reason, 600.0)]
        [(name, used, granted)] = connector.usage()
        assert (name, used) == ("Exchange calls at once", 0.0)
        assert granted <= 2


async def test_an_engine_that_may_not_send_sends_nothing(box: Mailbox) -> None:
    class Taken(Exception):
        pass

    def permit() -> None:
        raise Taken

    async with box.lab.connector(Net(permit=permit)) as connector:
        with pytest.raises(Taken):
            await connector.apply(box.tasks, tasks(1))
    assert box.lab.asked() == {}


async def test_a_call_that_is_given_up_holds_up_nobody(box: Mailbox) -> None:
    sent = asyncio.Event()

    class Told(Ears):
        def called(self, provider: str, account: str) -> None:
            sent.set()

    async with box.lab.connector(Net(observer=Told())) as connector:
        await read(connector, box.tasks)
        sent.clear()
        box.lab.fault(route="asmx", kind="latency", seconds=3, times=1)
        hanging = asyncio.ensure_future(read(connector, box.tasks))
        await sent.wait()
        # The loop and the other threads go on, whichever of the two calls it is that hangs.
        other = asyncio.ensure_future(read(connector, box.calendar))
        await asyncio.wait({hanging, other}, return_when=asyncio.FIRST_COMPLETED)
        assert hanging.done() is not other.done()
        late = other if hanging.done() else hanging
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        assert (await read(connector, box.tasks))[0] == []
    # Closing has not waited for the thread that still hung.


async def test_a_wrong_password_is_told_without_it(box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_TEST_WRONG", "Hunter2-Hunter2")
    async with box.lab.connector(password_env="SYNCLINE_TEST_WRONG") as connector:
        with pytest.raises(ProviderError) as caught:
            await read(connector, box.tasks)
        assert caught.value.kind is ErrorKind.CREDENTIAL
        assert "Hunter2" not in str(caught.value) + repr(caught.value.__context__)
        # A password that is put right is taken for the next call.
        monkeypatch.setenv("SYNCLINE_TEST_WRONG", "s3rvice!Pass")
        assert (await read(connector, box.tasks))[0] == []
