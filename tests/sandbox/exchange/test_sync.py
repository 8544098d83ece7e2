"""SyncFolderItems: pages while things go on, states that are none, moves, and ten thousand items."""

from __future__ import annotations

from typing import Any

import pytest
from exchangelib import CalendarItem, EWSDateTime, Task
from exchangelib.errors import ErrorInvalidSyncStateData, ErrorIrresolvableConflict
from exchangelib.services import UpdateItem
from lxml import etree

from engine.sandbox.exchange import creates, store
from engine.sandbox.exchange.accounts import Account
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.events import Hub
from engine.sandbox.kit.world import transaction
from tests.sandbox.exchange.library import account
from tests.sandbox.exchange.office import ANNA, M, Office, T


def page(
    running: Office, state: str, limit: int, folder: str = "tasks"
) -> tuple[list[tuple[str, str]], str, bool]:
    """Kind and id of each change of one page, the next state, whether it was the last."""
    told = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    answer = running.call(
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:SyncFolderId>"
        f'<t:DistinguishedFolderId Id="{folder}"/></m:SyncFolderId>{told}<m:MaxChangesReturned>{limit}'
        "</m:MaxChangesReturned></m:SyncFolderItems>"
    )
    changes = []
    for one in answer.iterfind(f".//{{{M}}}Changes/*"):
        identity = one.find(f".//{{{T}}}ItemId")
        assert identity is not None
        changes.append((etree.QName(one).localname, str(identity.get("Id"))))
    last = answer.findtext(f".//{{{M}}}IncludesLastItemInRange") == "true"
    return changes, str(answer.findtext(f".//{{{M}}}SyncState")), last


def made_tasks(anna: Any, count: int) -> list[Any]:
    tasks = [Task(folder=anna.tasks, subject=f"{number}") for number in range(count)]
    for one in tasks:
        one.save()
    return tasks


def test_changes_between_pages_are_told_once_and_rightly(exchange: Office) -> None:
    with account(exchange) as anna:
        tasks = made_tasks(anna, 6)
        ids = [one.id for one in tasks]
        first, state, last = page(exchange, "", 3)
        assert (first, last) == ([("Create", one) for one in ids[:3]], False)
        tasks[0].subject = "changed after it was told"
        tasks[0].save(update_fields=["subject"])
        tasks[4].subject = "changed before it was told"
        tasks[4].save(update_fields=["subject"])
        tasks[1].delete()
        tasks[5].delete()
        late = made_tasks(anna, 1)[0]
        rest, state, last = page(exchange, state, 10)
        assert last
        assert sorted(rest) == sorted(
            [
                ("Create", ids[3]),
                ("Create", ids[4]),
                ("Update", ids[0]),
                ("Delete", ids[1]),
                ("Create", late.id),
            ]
        )
        assert page(exchange, state, 10)[0] == []


def test_a_state_that_is_none_or_another_folders(exchange: Office) -> None:
    with account(exchange) as anna:
        made_tasks(anna, 1)
        _, state, _ = page(exchange, "", 10)
        with pytest.raises(ErrorInvalidSyncStateData):
            list(anna.tasks.sync_items(sync_state="H4sIAAAA"))
        with pytest.raises(ErrorInvalidSyncStateData):
            list(anna.contacts.sync_items(sync_state=state))


def test_a_move_is_a_deletion_here_and_a_creation_there(exchange: Office) -> None:
    with account(exchange) as anna:
        task = made_tasks(anna, 1)[0]
        old = task.id
        _, state, _ = page(exchange, "", 10)
        _, there, _ = page(exchange, "", 10, "deleteditems")
        task.move_to_trash()
        assert page(exchange, state, 10)[0] == [("Delete", old)]
        moved = page(exchange, there, 10, "deleteditems")[0]
        assert [kind for kind, _ in moved] == ["Create"]
        assert moved[0][1] != old


def test_a_stale_change_key_is_refused_when_told_to(exchange: Office) -> None:
    with account(exchange) as anna:
        start = EWSDateTime(2026, 11, 23, 9, tzinfo=anna.default_timezone)
        item = CalendarItem(folder=anna.calendar, subject="one", start=start, end=start)
        item.save()
        stale = anna.calendar.get(subject="one")
        item.subject = "two"
        item.save(update_fields=["subject"])
        stale.subject = "three"
        with pytest.raises(ErrorIrresolvableConflict):
            stale.save(update_fields=["subject"], conflict_resolution="NeverOverwrite")
        stale.save(update_fields=["subject"], conflict_resolution="AlwaysOverwrite")
        assert anna.calendar.get(subject="three")
        assert UpdateItem.SERVICE_NAME == "UpdateItem"


def test_folders_are_synchronised_too(exchange: Office) -> None:
    with account(exchange) as anna:
        names = {folder.name for _, folder in anna.msg_folder_root.sync_hierarchy()}
        assert {"Calendar", "Contacts", "Tasks"} <= names
        state = anna.msg_folder_root.folder_sync_state
        from exchangelib.folders import Contacts

        made = Contacts(parent=anna.contacts, name="Leads")
        made.save()
        changes = [
            (kind, folder.name) for kind, folder in anna.msg_folder_root.sync_hierarchy(sync_state=state)
        ]
        assert ("create", "Leads") in changes
        state = anna.msg_folder_root.folder_sync_state
        made.delete()
        changes = [kind for kind, _ in anna.msg_folder_root.sync_hierarchy(sync_state=state)]
        assert changes == ["delete"]


def test_ten_thousand_items_are_read_in_pages(exchange: Office) -> None:
    mailbox = store.mailbox_by_email(exchange.world, ANNA)
    assert mailbox is not None
    folder = store.special_folder(exchange.world, mailbox.row, "tasks")
    assert folder is not None
    call = Call(exchange.world, Hub(), Account(ANNA, mailbox.row, frozenset()), mailbox, "Exchange2016", None)
    with transaction(exchange.world):
        for number in range(10_000):
            creates.make(call, folder, "Task", {"Subject": f"{number}"})
    exchange.watch.faulty = True  # twenty pages are enough to validate one of them elsewhere
    state, seen, last = "", set(), False
    while not last:
        changes, state, last = page(exchange, state, 512)
        assert all(kind == "Create" for kind, _ in changes)
        seen.update(identity for _, identity in changes)
    assert len(seen) == 10_000
