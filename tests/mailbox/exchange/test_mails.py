"""Mails for filing: what a look at a mailbox costs and never misses, and mails that are read and moved."""

from __future__ import annotations

import base64

import pytest

from engine.mailbox.exchange import mail_watch
from engine.model.mail import MailPage, MailStore, Move
from engine.model.port import Result, Structure
from engine.net.errors import CursorExpired
from tests.acceptance.mails import letter
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import Lab, lab

TREE = Structure(labels=("CRM", "CRM/A", "CRM/B"))
HOME = (mail_watch.INBOX, mail_watch.SENT)


def deliver(place: Lab, folder: str, raw: bytes, version: str = "Exchange2016") -> str:
    """A mail comes into a folder."""
    kind = "DistinguishedFolderId" if folder.islower() else "FolderId"
    answer = place.office.call(
        f'<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId><t:{kind} Id="{folder}"/></m:SavedItemFolderId>'
        f"<m:Items><t:Message><t:MimeContent>{base64.b64encode(raw).decode()}</t:MimeContent></t:Message></m:Items>"
        "</m:CreateItem>",
        version=version,
    )
    return str(next(answer.iter("{*}ItemId")).get("Id"))


def transfer(place: Lab, mail: str, folder: str) -> str:
    """A person drags a mail into a folder."""
    kind = "DistinguishedFolderId" if folder.islower() else "FolderId"
    answer = place.office.call(
        f'<m:MoveItem><m:ToFolderId><t:{kind} Id="{folder}"/></m:ToFolderId>'
        f'<m:ItemIds><t:ItemId Id="{mail}"/></m:ItemIds></m:MoveItem>'
    )
    return str(next(answer.iter("{*}ItemId")).get("Id"))


async def look(store: MailStore, place: Lab, cursor: str, *watched: str) -> tuple[MailPage, str]:
    """One look, and the cursor behind it."""
    [page] = [one async for one in store.mail_changes(place.account, cursor, watched)]
    assert page.cursor is not None
    return page, page.cursor


def mails(page: MailPage) -> set[tuple[str, tuple[str, ...]]]:
    return {(one.mail, one.places) for one in page.placements}


async def folders_of(box: Mailbox) -> tuple[str, str]:
    made = await box.connector.ensure(box.lab.account, TREE, {})
    return made.ids["label:CRM/A"], made.ids["label:CRM/B"]


async def test_one_call_tells_which_folders_have_changed_and_one_lists_them(box: Mailbox) -> None:
    place, store = box.lab, box.connector
    one, two = await folders_of(box)
    cursor = await store.mail_start(place.account)
    _, cursor = await look(store, place, cursor, one, two)
    place.asked()
    page, after = await look(store, place, cursor, one, two)
    assert (page, after) == (MailPage((), cursor), cursor)
    assert place.asked() == {"http": 1, "FindFolder": 1}
    first, second = deliver(place, one, letter("One")), deliver(place, two, letter("Two"))
    page, cursor = await look(store, place, cursor, one, two)
    assert mails(page) == {(first, (one,)), (second, (two,))}
    assert set(page.listed) == {one, two}
    assert page.names is not None
    assert page.names[two] == "CRM/B"
    assert place.asked() == {"http": 4, "CreateItem": 2, "items": 2, "FindFolder": 1, "FindItem": 1}
    # One goes, another comes: as many as before, and yet another folder.
    place.office.advance(2)
    transfer(place, first, "inbox")
    third = deliver(place, one, letter("Three"))
    page, cursor = await look(store, place, cursor, one, two)
    assert (mails(page), page.listed) == ({(third, (one,))}, (one,))
    assert (await look(store, place, cursor, one, two))[0].listed == ()


async def test_what_arrives_is_told_once_and_only_where_it_matters(box: Mailbox) -> None:
    place, store = box.lab, box.connector
    one, _ = await folders_of(box)
    old = deliver(place, "inbox", letter("Old"))
    cursor = await store.mail_start(place.account)
    new, own = deliver(place, "inbox", letter("New")), deliver(place, "sentitems", letter("Own"))
    assert (await look(store, place, cursor, one))[0].placements == ()
    page, cursor = await look(store, place, cursor, one, *HOME)
    assert mails(page) == {(new, ("inbox",)), (own, ("sentitems",))}
    assert all(seen.arrived and seen.thread for seen in page.placements)
    assert page.listed == ()
    for number in range(3):
        place.office.advance(1000)
        latest = deliver(place, "inbox", letter(f"Later {number}"))
        page, cursor = await look(store, place, cursor, one, *HOME)
        assert mails(page) == {(latest, ("inbox",))}
    assert (await look(store, place, cursor, one, *HOME))[0].placements == ()
    assert old not in {seen.mail for seen in page.placements}


async def test_a_server_that_tells_no_times_is_asked_for_all_folders_each_time() -> None:
    with lab(exchange_commit_times=False) as place:
        async with place.connector() as store:
            made = await store.ensure(place.account, TREE, {})
            one = made.ids["label:CRM/A"]
            cursor = await store.mail_start(place.account)
            for _ in range(2):
                page, cursor = await look(store, place, cursor, one)
                assert page.listed == (one,)


async def test_all_folders_are_listed_once_a_day_and_many_mails_page_by_page() -> None:
    with lab(exchange_find_limit=2) as place:
        async with place.connector() as store:
            made = await store.ensure(place.account, TREE, {})
            one = made.ids["label:CRM/A"]
            there = {deliver(place, one, letter(f"Mail {number}")) for number in range(5)}
            cursor = await store.mail_start(place.account)
            page, cursor = await look(store, place, cursor, one)
            assert page.placements == ()
            swept = mail_watch.read_cursor(cursor)
            swept.swept -= mail_watch.SWEEP_MS
            page, cursor = await look(store, place, swept.text(), one)
            assert {seen.mail for seen in page.placements} == there
            assert page.listed == (one,)
            found = await store.mail_listed(place.account, [one, "AAAA"])
            assert {seen.mail for seen in found} == there
            assert await store.mail_listed(place.account, ["inbox"], since_ms=0) == []


async def test_a_cursor_of_another_mailbox_lists_anew(box: Mailbox) -> None:
    place, store = box.lab, box.connector
    cursor = mail_watch.read_cursor(await store.mail_start(place.account))
    cursor.home = ("other", *cursor.home[1:])
    for text in (cursor.text(), "s:from before", "[]"):
        with pytest.raises(CursorExpired):
            await look(store, place, text)


async def test_headers_come_from_properties_and_the_whole_mail_on_request(box: Mailbox) -> None:
    place, store = box.lab, box.connector
    raw = letter(
        "Ünïcode, and: more",
        identity="words",
        sender='"Customer, Kim" <kim@customer.example>',
        headers=[
            ("Cc", "a@b.example, C <c@d.example>"),
            ("Sensitivity", "Private"),
            ("References", "<r@x.example>"),
        ],
    )
    mail = deliver(place, "inbox", raw)
    [head] = await store.mail_heads(place.account, [mail, mail[:-8] + "AAAAAAA="])
    assert head.headers["from"] == '"Customer, Kim" <kim@customer.example>'
    assert head.headers["cc"] == 'a@b.example, "C" <c@d.example>'
    assert head.headers["subject"] == "Ünïcode, and: more"
    assert head.headers["sensitivity"] == "Private"
    assert head.headers["references"] == "<r@x.example>"
    assert (head.sent, head.draft, head.gone) == (False, False, False)
    assert head.size > len(raw)
    assert await store.mail_sources(place.account, [mail]) == {mail: raw}
    # An item that is no mail by itself says so, and keeps nobody from the others.
    answer = place.office.call(
        "<m:CreateItem><m:Items><t:Task><t:Subject>x</t:Subject></t:Task></m:Items></m:CreateItem>"
    )
    task = str(next(answer.iter("{*}ItemId")).get("Id"))
    found = await store.mail_sources(place.account, [task, mail])
    assert found[mail] == raw
    assert isinstance(found[task], str)


async def test_mails_are_moved_to_where_they_shall_be_and_known_by_their_new_ids(box: Mailbox) -> None:
    place, store = box.lab, box.connector
    one, two = await folders_of(box)
    first, second = deliver(place, one, letter("One")), deliver(place, two, letter("Two"))
    place.asked()
    moves = [Move((first,), ("inbox",), (one,)), Move((second,), ("inbox",), (two,))]
    answers = await store.mail_move(place.account, moves)
    assert place.asked() == {"http": 1, "MoveItem": 1}  # both go to one folder
    assert [one.outcome.result for one in answers] == [Result.DONE] * 2
    [head] = await store.mail_heads(place.account, [answers[0].ids[first]])
    assert head.headers["subject"] == "One"
    # Once more, as an engine that died in between would: there is nothing to move, and that is well.
    answers = await store.mail_move(place.account, moves)
    assert [(one.outcome.result, one.ids) for one in answers] == [(Result.DONE, {})] * 2
    # Into a folder that somebody has deleted.
    third = deliver(place, one, letter("Three"))
    place.office.call(
        f'<m:DeleteFolder DeleteType="HardDelete"><m:FolderIds><t:FolderId Id="{two}"/></m:FolderIds></m:DeleteFolder>'
    )
    [answer] = await store.mail_move(place.account, [Move((third,), (two,), (one,))])
    assert answer.outcome.result is Result.REJECTED
    assert [seen.mail for seen in await store.mail_listed(place.account, [one])] == [third]


async def test_a_folder_is_given_its_full_name_wherever_it_was_put(box: Mailbox) -> None:
    place, store = box.lab, box.connector
    one, two = await folders_of(box)
    assert (await store.mail_rename(place.account, one, "CRM/B/Mine")).result is Result.DONE
    assert (await store.mail_places(place.account))[one] == "CRM/B/Mine"
    assert (await store.mail_rename(place.account, one, "CRM/A")).result is Result.DONE
    assert (await store.mail_places(place.account))[one] == "CRM/A"
    answer = await store.mail_rename(place.account, one, "Nowhere/A")
    assert (answer.result, answer.reason) == (Result.REJECTED, "there is no folder Nowhere")
    place.office.call(
        '<m:MoveFolder><m:ToFolderId><t:DistinguishedFolderId Id="deleteditems"/></m:ToFolderId>'
        f'<m:FolderIds><t:FolderId Id="{two}"/></m:FolderIds></m:MoveFolder>'
    )
    assert two not in await store.mail_places(place.account)


async def test_exchange_2010_is_asked_for_nothing_that_it_does_not_know() -> None:
    with lab(exchange_version="Exchange2010_SP2") as place:
        async with place.connector(version="Exchange2010") as store:
            made = await store.ensure(place.account, TREE, {})
            one = made.ids["label:CRM/A"]
            cursor = await store.mail_start(place.account)
            mail = deliver(place, one, letter("Old server"), version="Exchange2010_SP2")
            page, cursor = await look(store, place, cursor, one, *HOME)
            assert mails(page) == {(mail, (one,))}
            [head] = await store.mail_heads(place.account, [mail])
            assert head.thread == page.placements[0].thread
            [moved] = await store.mail_move(place.account, [Move((mail,), ("inbox",), (one,))])
            assert list(await store.mail_sources(place.account, list(moved.ids.values()))) == [moved.ids[mail]]
            assert await store.mail_deleted(place.account, {mail: "Old.server@customer.example"}) == set()
            assert (await store.mail_places(place.account))[one] == "CRM/A"
