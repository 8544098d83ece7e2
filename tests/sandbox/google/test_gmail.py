"""The Gmail API of the sandbox, called with google-api-python-client over a socket."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.http import MediaIoBaseUpload

from engine.sandbox.google import gmail
from engine.sandbox.google.call import Call
from engine.sandbox.kit.world import open_world
from tests.sandbox.google.workspace import Workspace, refusal, workspace

_DAY = 86_400
_VISIBLE = {"messageListVisibility": "show", "labelListVisibility": "labelShow"}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with workspace(tmp_path_factory.mktemp("gmail")) as running:
        yield running


@pytest.fixture
def api(space: Workspace) -> Iterator[Any]:
    with space.client("gmail", "v1", space.new_user()) as service:
        yield service.users()


def mail(subject: str = "Offer", identifier: str = "m1@example.com", **headers: str) -> bytes:
    message = EmailMessage()
    message["From"] = "Berta <berta@example.com>"
    message["To"] = "ada@example.com"
    message["Subject"] = subject
    message["Message-ID"] = f"<{identifier}>"
    message["Date"] = "Fri, 20 Nov 2026 10:00:00 +0100"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Dear Ada,\n\nall is <well> & done.\n")
    return bytes(message)


def raw(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


def insert(
    api: Any, content: bytes | None = None, labels: tuple[str, ...] = (), **params: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"raw": raw(content or mail()), "labelIds": list(labels)}
    if "threadId" in params:
        body["threadId"] = params.pop("threadId")
    return api.messages().insert(userId="me", body=body, **params).execute()


def label(api: Any, name: str, **fields: Any) -> dict[str, Any]:
    return api.labels().create(userId="me", body={"name": name, **_VISIBLE, **fields}).execute()


def found(api: Any, q: str | None = None, **params: Any) -> list[str]:
    answer = api.messages().list(userId="me", q=q, **params).execute()
    return [entry["id"] for entry in answer.get("messages", [])]


def history(api: Any, start: str, **params: Any) -> list[dict[str, Any]]:
    return api.history().list(userId="me", startHistoryId=start, **params).execute().get("history", [])


def test_labels_are_created_nested_coloured_changed_and_deleted(api: Any) -> None:
    colour = {"textColor": "#ffffff", "backgroundColor": "#16a766"}
    made = label(api, "CRM/Deals", color=colour, labelListVisibility="labelHide")
    assert (made["type"], made["color"], made["labelListVisibility"]) == ("user", colour, "labelHide")
    listed = api.labels().list(userId="me").execute()["labels"]
    assert {"INBOX", "SENT", "TRASH", "UNREAD"} <= {
        entry["id"] for entry in listed if entry["type"] == "system"
    }
    assert [entry["name"] for entry in listed if entry["type"] == "user"] == ["CRM/Deals"]
    patched = api.labels().patch(userId="me", id=made["id"], body={"name": "CRM/Won"}).execute()
    assert (patched["name"], patched["color"]) == ("CRM/Won", colour)
    updated = (
        api.labels()
        .update(userId="me", id=made["id"], body={"id": made["id"], "name": "CRM/Lost", **_VISIBLE})
        .execute()
    )
    assert "color" not in updated
    assert updated["labelListVisibility"] == "labelShow"
    api.labels().delete(userId="me", id=made["id"]).execute()
    with refusal(404):
        api.labels().get(userId="me", id=made["id"]).execute()
    assert label(api, "CRM/Deals")["id"] != made["id"]


def test_label_names_are_unique_in_any_case(api: Any) -> None:
    label(api, "CRM/Deals")
    other = label(api, "Other")
    with refusal(409) as error:
        label(api, "crm/DEALS")
    assert error["message"] == "Label name exists or conflicts"
    assert error["status"] == "ALREADY_EXISTS"
    with refusal(409):
        api.labels().patch(userId="me", id=other["id"], body={"name": "crm/deals"}).execute()
    assert api.labels().patch(userId="me", id=other["id"], body={"name": "OTHER"}).execute()["name"] == "OTHER"


@pytest.mark.parametrize("name", ["  ", "inbox", "Sent", "Drafts", "a//b", "/a", "x" * 226])
def test_impossible_label_names_are_refused(api: Any, name: str) -> None:
    with refusal(400) as error:
        label(api, name)
    assert error["errors"][0]["reason"] == "invalidArgument"


@pytest.mark.parametrize(
    "colour",
    [{"textColor": "#ffffff", "backgroundColor": "#123456"}, {"backgroundColor": "#16a766"}],
)
def test_label_colours_come_in_pairs_from_the_palette(api: Any, colour: dict[str, str]) -> None:
    with refusal(400) as error:
        label(api, "Deals", color=colour)
    assert "palette" in error["message"]


def test_a_mailbox_holds_so_many_labels_and_no_more(
    api: Any, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(space.world.settings, "gmail_label_limit", 1)
    label(api, "One")
    with refusal(400):
        label(api, "Two")


def test_system_labels_cannot_be_changed(api: Any) -> None:
    with refusal(400):
        api.labels().delete(userId="me", id="INBOX").execute()
    with refusal(400):
        api.labels().patch(userId="me", id="INBOX", body={"name": "Mine"}).execute()


def test_a_message_is_inserted_with_labels_and_read_in_every_format(api: Any) -> None:
    mark = label(api, "CRM")["id"]
    content = mail()
    made = insert(api, content, ("INBOX", "UNREAD", mark), internalDateSource="dateHeader")
    assert made["labelIds"] == sorted(["INBOX", "UNREAD", mark])

    def get(**params: Any) -> dict[str, Any]:
        return api.messages().get(userId="me", id=made["id"], **params).execute()

    assert base64.urlsafe_b64decode(get(format="raw")["raw"]) == content
    full = get()
    assert full["internalDate"] == "1795165200000"
    assert full["snippet"].startswith("Dear Ada, all is &lt;well&gt; &amp; done")
    assert b"all is <well>" in base64.urlsafe_b64decode(full["payload"]["body"]["data"])
    metadata = get(format="metadata", metadataHeaders=["Subject"])
    assert metadata["payload"]["headers"] == [{"name": "Subject", "value": "Offer"}]
    minimal = get(format="minimal")
    assert "payload" not in minimal
    assert minimal["threadId"] == made["id"]
    counts = api.labels().get(userId="me", id=mark).execute()
    assert [counts[name] for name in ("messagesTotal", "messagesUnread", "threadsTotal", "threadsUnread")] == [
        1
    ] * 4


def test_insert_takes_the_time_of_receipt_and_import_the_date_header(api: Any, space: Workspace) -> None:
    def date(identifier: str) -> int:
        answer = api.messages().get(userId="me", id=identifier, format="minimal").execute()
        return int(answer["internalDate"])

    before = space.world.clock.now_ms()
    assert date(insert(api)["id"]) >= before
    imported = api.messages().import_(userId="me", body={"raw": raw(mail())}).execute()
    assert date(imported["id"]) == 1795165200000
    assert imported["labelIds"] == ["INBOX", "UNREAD"]


def test_a_second_copy_is_a_second_message(api: Any) -> None:
    insert(api)
    insert(api)
    assert len(found(api, "rfc822msgid:<m1@example.com>")) == 2


def test_a_message_for_the_archive_is_seen_by_nobody(api: Any) -> None:
    start = api.getProfile(userId="me").execute()["historyId"]
    made = insert(api, deleted=True)
    assert found(api) == []
    assert history(api, start) == []
    with refusal(404):
        api.messages().get(userId="me", id=made["id"]).execute()


def test_a_message_can_be_uploaded_as_media(api: Any) -> None:
    content = mail("Uploaded")
    media = MediaIoBaseUpload(io.BytesIO(content), mimetype="message/rfc822")
    request = api.messages().insert(userId="me", body={"labelIds": ["SENT"]}, media_body=media)
    request.uri = request.uri.replace("https:", "http:")  # the client insists on TLS for uploads
    made = request.execute()
    assert made["labelIds"] == ["SENT"]
    answer = api.messages().get(userId="me", id=made["id"], format="raw").execute()
    assert base64.urlsafe_b64decode(answer["raw"]) == content


def test_attachments_are_read_apart(api: Any) -> None:
    message = EmailMessage()
    message["Subject"] = "Report"
    message.set_content("See the file.")
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="report.pdf")
    made = insert(api, bytes(message))
    payload = api.messages().get(userId="me", id=made["id"]).execute()["payload"]
    assert [part["mimeType"] for part in payload["parts"]] == ["text/plain", "application/pdf"]
    identifier = payload["parts"][1]["body"]["attachmentId"]
    attachments = api.messages().attachments()
    data = attachments.get(userId="me", messageId=made["id"], id=identifier).execute()
    assert base64.urlsafe_b64decode(data["data"]) == b"%PDF-1.7"
    with refusal(404):
        attachments.get(userId="me", messageId=made["id"], id="none").execute()
    assert found(api, "has:attachment") == [made["id"]]


@pytest.mark.parametrize(
    "body",
    [{}, {"raw": "*not base64*"}, {"raw": "QQ==", "labelIds": ["Label_77"]}],
)
def test_impossible_messages_are_refused(api: Any, body: dict[str, Any]) -> None:
    with refusal(400):
        api.messages().insert(userId="me", body=body).execute()
    assert found(api) == []


def test_the_path_must_name_the_mailbox_of_the_token(api: Any) -> None:
    with refusal(403):
        api.messages().list(userId="somebody@example.com").execute()


def test_searches_find_by_id_label_place_subject_and_sender(api: Any) -> None:
    mark = label(api, "CRM/Big Deals")["id"]
    one = insert(api, mail("Offer for Bonn", "one@example.com"), ("INBOX", mark))["id"]
    two = insert(api, mail("Invoice", "two@example.com"), ("SENT",))["id"]
    gone = insert(api, mail("Offer to bin", "gone@example.com"), ("TRASH",))["id"]
    expected = {
        "rfc822msgid:one@example.com": [one],
        "rfc822msgid:<two@example.com>": [two],
        "rfc822msgid:three@example.com": [],
        "label:crm-big-deals": [one],
        'label:"CRM/Big Deals"': [one],
        "in:inbox": [one],
        "in:sent": [two],
        "in:trash": [gone],
        "subject:offer": [one],
        'subject:"for bonn"': [one],
        "offer in:anywhere": [gone, one],
        "-subject:offer": [two],
        "from:berta subject:invoice": [two],
        "from:nobody": [],
        "is:unread": [],
        "before:2020/01/01": [],
        "well": [two, one],
    }
    assert {query: found(api, query) for query in expected} == expected
    assert found(api) == [two, one]
    assert found(api, includeSpamTrash=True) == [gone, two, one]
    assert found(api, labelIds=["INBOX", mark]) == [one]
    assert found(api, labelIds=["INBOX", "SENT"]) == []
    with refusal(400):
        found(api, labelIds=["Label_77"])


def test_lists_come_in_pages_newest_first(api: Any) -> None:
    made = [insert(api, mail(identifier=f"{number}@example.com"))["id"] for number in range(5)]
    first = api.messages().list(userId="me", maxResults=3).execute()
    second = api.messages().list(userId="me", maxResults=3, pageToken=first["nextPageToken"]).execute()
    assert first["resultSizeEstimate"] == 5
    assert "nextPageToken" not in second
    assert [entry["id"] for entry in first["messages"] + second["messages"]] == made[::-1]
    with refusal(400):
        api.messages().list(userId="me", pageToken="x").execute()
    with refusal(400):
        api.messages().list(userId="me", maxResults=501).execute()


def test_labels_of_a_message_change(api: Any) -> None:
    mark = label(api, "CRM")["id"]
    made = insert(api, labels=("INBOX", "UNREAD"))["id"]

    def modify(add: list[str], remove: list[str]) -> list[str]:
        body = {"addLabelIds": add, "removeLabelIds": remove}
        return api.messages().modify(userId="me", id=made, body=body).execute().get("labelIds", [])

    assert modify([mark], ["UNREAD"]) == sorted(["INBOX", mark])
    for add, remove in (([], []), (["Label_77"], []), (["SENT"], []), ([mark], [mark]), ([mark] * 101, [])):
        with refusal(400):
            modify(add, remove)
    assert "TRASH" in api.messages().trash(userId="me", id=made).execute()["labelIds"]
    assert found(api) == []
    assert api.messages().untrash(userId="me", id=made).execute()["labelIds"] == [mark]
    api.messages().delete(userId="me", id=made).execute()
    for call in (
        api.messages().get(userId="me", id=made),
        api.messages().delete(userId="me", id=made),
        api.messages().trash(userId="me", id=made),
        api.messages().modify(userId="me", id=made, body={"addLabelIds": [mark]}),
    ):
        with refusal(404):
            call.execute()


def test_batches_change_and_delete_up_to_a_thousand(api: Any) -> None:
    mark = label(api, "CRM")["id"]
    made = [insert(api)["id"] for _ in range(3)]
    body = {"ids": [*made, "19a0000000000001"], "addLabelIds": [mark]}
    api.messages().batchModify(userId="me", body=body).execute()
    assert len(found(api, labelIds=[mark])) == 3
    api.messages().batchDelete(userId="me", body={"ids": made[:2]}).execute()
    assert found(api) == made[2:]
    many = {"ids": ["19a0000000000001"] * 1001}
    with refusal(400):
        api.messages().batchModify(userId="me", body={**many, "addLabelIds": [mark]}).execute()
    with refusal(400):
        api.messages().batchDelete(userId="me", body=many).execute()


def test_a_deleted_label_leaves_its_messages(api: Any) -> None:
    mark = label(api, "CRM")["id"]
    made = insert(api, labels=("INBOX", mark))["id"]
    start = api.getProfile(userId="me").execute()["historyId"]
    api.labels().delete(userId="me", id=mark).execute()
    assert api.messages().get(userId="me", id=made, format="minimal").execute()["labelIds"] == ["INBOX"]
    assert history(api, start)[0]["labelsRemoved"][0]["labelIds"] == [mark]


def test_answers_join_the_thread_of_what_they_answer(api: Any) -> None:
    first = insert(api, mail("Offer", "one@example.com"))
    second = insert(api, mail("Re: Offer", "two@example.com", References="<one@example.com>"))
    third = insert(api, mail("AW: RE: offer", "three@example.com", In_Reply_To="<two@example.com>"))
    other = insert(api, mail("New matter", "four@example.com", References="<one@example.com>"))
    assert second["threadId"] == third["threadId"] == first["threadId"]
    assert other["threadId"] == other["id"]
    stray = insert(api, mail("Offer", "five@example.com"), threadId=first["threadId"])
    assert stray["threadId"] == stray["id"]
    with refusal(404):
        insert(api, threadId="19a0000000000001")
    thread = api.threads().get(userId="me", id=first["threadId"], format="minimal").execute()
    assert [entry["id"] for entry in thread["messages"]] == [first["id"], second["id"], third["id"]]


def test_threads_are_listed_changed_trashed_and_deleted(api: Any) -> None:
    one = insert(api, mail("Offer", "one@example.com"), ("INBOX",))["threadId"]
    insert(api, mail("Re: Offer", "two@example.com", References="<one@example.com>"), ("INBOX",))
    two = insert(api, mail("Other", "three@example.com"), ("INBOX",))["threadId"]

    def listed(**params: Any) -> list[str]:
        answer = api.threads().list(userId="me", **params).execute()
        return [entry["id"] for entry in answer.get("threads", [])]

    assert listed() == [two, one]
    assert listed(q="subject:offer") == [one]
    mark = label(api, "CRM")["id"]
    changed = api.threads().modify(userId="me", id=one, body={"addLabelIds": [mark]}).execute()
    assert [entry["labelIds"] for entry in changed["messages"]] == [sorted(["INBOX", mark])] * 2
    api.threads().trash(userId="me", id=one).execute()
    assert listed() == [two]
    api.threads().untrash(userId="me", id=one).execute()
    assert listed() == [two, one]
    api.threads().delete(userId="me", id=one).execute()
    with refusal(404):
        api.threads().get(userId="me", id=one).execute()


def test_history_tells_what_happened_in_order(api: Any) -> None:
    mark = label(api, "CRM")["id"]
    start = api.getProfile(userId="me").execute()["historyId"]
    made = insert(api, labels=("INBOX",))["id"]
    api.messages().modify(
        userId="me", id=made, body={"addLabelIds": [mark], "removeLabelIds": ["INBOX"]}
    ).execute()
    api.messages().delete(userId="me", id=made).execute()
    records = history(api, start)
    kinds = [sorted(set(record) - {"id", "messages"}) for record in records]
    assert kinds == [["messagesAdded"], ["labelsAdded", "labelsRemoved"], ["messagesDeleted"]]
    assert [int(record["id"]) for record in records] == sorted(int(record["id"]) for record in records)
    assert records[0]["messages"][0]["id"] == made
    assert len(history(api, start, historyTypes=["messageDeleted"])) == 1
    assert len(history(api, start, labelId=mark)) == 2
    page = api.history().list(userId="me", startHistoryId=start, maxResults=2).execute()
    rest = history(api, start, maxResults=2, pageToken=page["nextPageToken"])
    assert page["history"] + rest == records
    assert history(api, page["historyId"]) == []


def test_history_of_unknown_or_old_ids_is_not_found(api: Any, space: Workspace) -> None:
    start = api.getProfile(userId="me").execute()["historyId"]
    insert(api)
    for unknown in ("1", str(int(start) + 10_000)):
        with refusal(404):
            history(api, unknown)
    with refusal(400):
        history(api, "yesterday")
    space.advance(8 * _DAY)
    with refusal(404):
        history(api, start)
    assert history(api, api.getProfile(userId="me").execute()["historyId"]) == []


def test_a_profile_counts_messages_and_threads(api: Any) -> None:
    insert(api, mail("Offer", "one@example.com"))
    insert(api, mail("Re: Offer", "two@example.com", References="<one@example.com>"))
    profile = api.getProfile(userId="me").execute()
    assert (profile["messagesTotal"], profile["threadsTotal"]) == (2, 1)


def test_watching_needs_a_topic(api: Any, space: Workspace) -> None:
    for body in ({}, {"topicName": "news"}, {"topicName": "projects/p/topics/t", "labelIds": ["Label_77"]}):
        with refusal(400):
            api.watch(userId="me", body=body).execute()
    answer = api.watch(userId="me", body={"topicName": "projects/p/topics/t"}).execute()
    assert int(answer["expiration"]) > space.world.clock.now_ms() + 6 * _DAY * 1000
    api.stop(userId="me").execute()


def test_messages_survive_a_restart(tmp_path: Path) -> None:
    def call(method: str, body: Any = None, **params: Any) -> Any:
        world = open_world(tmp_path)
        gmail.setup(world)
        answer = gmail.HANDLERS[method](Call(world, "ada@example.com", method, params, body)).body
        world.db.close()
        return answer

    made = call("gmail.users.messages.insert", {"raw": raw(mail()), "labelIds": ["INBOX"]})
    assert call("gmail.users.messages.get", id=made["id"])["labelIds"] == ["INBOX"]
    call("gmail.users.messages.delete", id=made["id"])
    again = call("gmail.users.messages.insert", {"raw": raw(mail())})
    assert again["id"] != made["id"]
