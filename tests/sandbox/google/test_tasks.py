"""Tasks: lists, dates without time, completion, paging, etags."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.google.conftest import Google
from tests.sandbox.google.test_calendar import refusal


@pytest.fixture
def service(google: Google) -> Any:
    return google.service("tasks")


def test_a_task_from_birth_to_death(service: Any) -> None:
    tasks = service.tasks()
    made = tasks.insert(
        tasklist="@default", body={"title": "Call", "due": "2026-11-30T15:30:00+01:00"}
    ).execute()
    assert (made["due"], made["status"]) == ("2026-11-30T00:00:00.000Z", "needsAction")
    done = tasks.patch(tasklist="@default", task=made["id"], body={"status": "completed"}).execute()
    assert done["completed"].endswith("Z")
    again = tasks.patch(
        tasklist="@default", task=made["id"], body={"status": "needsAction", "due": None}
    ).execute()
    assert ("completed" in again, "due" in again) == (False, False)
    tasks.delete(tasklist="@default", task=made["id"]).execute()
    assert refusal(tasks.delete(tasklist="@default", task=made["id"])) == (404, "notFound")
    assert tasks.get(tasklist="@default", task=made["id"]).execute()["deleted"] is True
    assert tasks.list(tasklist="@default").execute()["items"] == []
    assert len(tasks.list(tasklist="@default", showDeleted=True).execute()["items"]) == 1


def test_completed_tasks_hide_when_the_list_is_cleared(service: Any) -> None:
    tasks = service.tasks()
    for number in range(3):
        body = {"title": str(number), "status": "completed" if number else "needsAction"}
        tasks.insert(tasklist="@default", body=body).execute()

    def seen(**query: Any) -> list[str]:
        return sorted(one["title"] for one in tasks.list(tasklist="@default", **query).execute()["items"])

    assert seen() == ["0", "1", "2"]
    assert seen(showCompleted=False) == ["0"]
    tasks.clear(tasklist="@default").execute()
    assert seen() == ["0"]
    assert seen(showHidden=True) == ["0", "1", "2"]


def test_changes_since_a_moment(google: Google, service: Any) -> None:
    tasks = service.tasks()
    first = tasks.insert(tasklist="@default", body={"title": "old"}).execute()
    google.world.clock.offset_ms += 60_000
    second = tasks.insert(tasklist="@default", body={"title": "new"}).execute()
    query = {"tasklist": "@default", "updatedMin": second["updated"], "showDeleted": True, "showHidden": True}
    assert [one["title"] for one in tasks.list(**query).execute()["items"]] == ["new"]
    tasks.delete(tasklist="@default", task=first["id"]).execute()
    found = {one["title"]: one.get("deleted", False) for one in tasks.list(**query).execute()["items"]}
    assert found == {"new": False, "old": True}
    assert refusal(tasks.list(tasklist="@default", updatedMin="now"))[0] == 400


def test_pages_hold_a_hundred(service: Any) -> None:
    tasks = service.tasks()
    for number in range(105):
        tasks.insert(tasklist="@default", body={"title": str(number)}).execute()
    assert len(tasks.list(tasklist="@default").execute()["items"]) == 20
    page = tasks.list(tasklist="@default", maxResults=500).execute()
    assert len(page["items"]) == 100
    rest = tasks.list(tasklist="@default", maxResults=500, pageToken=page["nextPageToken"]).execute()
    titles = [one["title"] for one in page["items"] + rest["items"]]
    assert titles == [str(number) for number in reversed(range(105))]
    assert refusal(tasks.list(tasklist="@default", pageToken="x"))[0] == 400


def test_order_and_parents(service: Any) -> None:
    tasks = service.tasks()
    first = tasks.insert(tasklist="@default", body={"title": "first"}).execute()
    second = tasks.insert(tasklist="@default", body={"title": "second"}, previous=first["id"]).execute()
    child = tasks.insert(tasklist="@default", body={"title": "child"}, parent=first["id"]).execute()
    assert child["parent"] == first["id"]
    assert first["position"] < second["position"]
    moved = tasks.move(tasklist="@default", task=second["id"]).execute()
    assert moved["position"] < first["position"]
    assert refusal(tasks.insert(tasklist="@default", body={"title": "x"}, parent=child["id"]))[0] == 400
    tasks.delete(tasklist="@default", task=first["id"]).execute()
    assert tasks.get(tasklist="@default", task=child["id"]).execute()["deleted"] is True


def test_refusals(service: Any) -> None:
    tasks = service.tasks()
    for body in (
        {"title": "t" * 1025},
        {"notes": "n" * 8193},
        {"due": "soon"},
        {"status": "half"},
        {"colour": "red"},
    ):
        assert refusal(tasks.insert(tasklist="@default", body=body))[0] == 400
    made = tasks.insert(tasklist="@default", body={"title": "a"}).execute()
    changed = tasks.patch(tasklist="@default", task=made["id"], body={"title": "b"}).execute()
    late = tasks.update(tasklist="@default", task=made["id"], body={"id": made["id"], "title": "c"})
    late.headers["If-Match"] = made["etag"]
    assert refusal(late) == (412, "conditionNotMet")
    late.headers["If-Match"] = changed["etag"]
    assert late.execute()["title"] == "c"
    assert refusal(tasks.get(tasklist="@default", task="none")) == (404, "notFound")
    assert refusal(tasks.list(tasklist="none")) == (404, "notFound")


def test_lists(service: Any) -> None:
    lists = service.tasklists()
    assert [one["title"] for one in lists.list().execute()["items"]] == ["My Tasks"]
    made = lists.insert(body={"title": "CRM"}).execute()
    service.tasks().insert(tasklist=made["id"], body={"title": "in CRM"}).execute()
    assert lists.patch(tasklist=made["id"], body={"title": "Sales"}).execute()["title"] == "Sales"
    lists.delete(tasklist=made["id"]).execute()
    assert refusal(lists.get(tasklist=made["id"])) == (404, "notFound")
    assert refusal(lists.delete(tasklist="@default"))[0] == 400
