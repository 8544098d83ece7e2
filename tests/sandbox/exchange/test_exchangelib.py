"""exchangelib, which others have written, works on the sandbox as on an Exchange server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from exchangelib import CalendarItem, Contact, EWSDate, EWSDateTime, HTMLBody, Message, Task
from exchangelib.errors import ErrorImpersonateUserDenied, ErrorItemNotFound
from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress

from engine.sandbox.exchange import accounts
from tests.sandbox.exchange.library import account
from tests.sandbox.exchange.office import ANNA, BEN, SERVICE, SERVICE_PASSWORD, Office


def test_folders_are_listed_made_renamed_and_removed(exchange: Office) -> None:
    with account(exchange) as anna:
        names = {folder.name for folder in anna.msg_folder_root.walk()}
        assert {"Calendar", "Contacts", "Tasks", "Inbox", "Deleted Items", "Sent Items", "Drafts"} <= names
        from exchangelib.folders import Calendar

        team = Calendar(parent=anna.calendar, name="Team")
        team.save()
        team.name = "Team B"
        team.save()
        assert [folder.name for folder in anna.calendar.children] == ["Team B"]
        team.delete()
        anna.root.clear_cache()
        assert list(anna.calendar.children) == []


def test_an_appointment_is_made_found_changed_and_deleted(exchange: Office) -> None:
    with account(exchange) as anna:
        zone = anna.default_timezone
        start = EWSDateTime(2026, 11, 23, 9, 30, tzinfo=zone)
        item = CalendarItem(
            folder=anna.calendar,
            subject="Kick-off <1> & 🚀",
            body="First line\nSecond line",
            location="Room 4",
            start=start,
            end=start + timedelta(hours=1),
            categories=["Customers", "Red"],
            sensitivity="Private",
            legacy_free_busy_status="Tentative",
            reminder_minutes_before_start=30,
            sandbox_key="crm-1",
        )
        item.save()
        found = anna.calendar.get(sandbox_key="crm-1")
        assert (found.subject, found.location, found.start) == ("Kick-off <1> & 🚀", "Room 4", start)
        assert found.categories == ["Customers", "Red"]
        assert (found.sensitivity, found.legacy_free_busy_status) == ("Private", "Tentative")
        assert found.body.splitlines() == ["First line", "Second line"]
        assert found.type == "Single"
        assert found.organizer.email_address == ANNA
        found.start, found.end = start + timedelta(days=1), start + timedelta(days=1, hours=2)
        found.save(update_fields=["start", "end"])
        assert anna.calendar.get(sandbox_key="crm-1").duration == "PT2H"
        twin = anna.calendar.get(sandbox_key="crm-1")
        found.delete()
        assert list(anna.calendar.filter(sandbox_key="crm-1")) == []
        with pytest.raises(ErrorItemNotFound):
            twin.delete()


def test_whole_days_are_days_of_their_zone(exchange: Office) -> None:
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "America/New_York", "Asia/Kolkata"):
        with account(exchange, zone=zone) as anna:
            item = CalendarItem(
                folder=anna.calendar,
                subject=zone,
                start=EWSDate(2026, 3, 28),
                end=EWSDate(2026, 3, 29),
                is_all_day=True,
            )
            item.save()
            found = next(one for one in anna.calendar.all() if one.subject == zone)
            assert (found.start, found.end, found.is_all_day) == (
                EWSDate(2026, 3, 28),
                EWSDate(2026, 3, 29),
                True,
            )


def test_a_contact_keeps_all_its_fields(exchange: Office) -> None:
    with account(exchange) as anna:
        contact = Contact(
            folder=anna.contacts,
            display_name="Dr. Ada Berg",
            given_name="Ada",
            surname="Berg",
            middle_name="M.",
            company_name="ACME",
            job_title="CTO",
            department="R&D",
            file_as="Berg, Ada",
            email_addresses=[
                EmailAddress(label="EmailAddress1", email="ada@acme.example"),
                EmailAddress(label="EmailAddress2", email="berg@home.example"),
            ],
            phone_numbers=[
                PhoneNumber(label="MobilePhone", phone_number="+49 171 1"),
                PhoneNumber(label="BusinessPhone", phone_number="+49 30 1"),
            ],
            physical_addresses=[
                PhysicalAddress(
                    label="Business", street="Hauptstr. 1", city="Berlin", country="Germany", zipcode="10115"
                )
            ],
            birthday=EWSDate(1980, 2, 29),
            body="A note",
            categories=["Leads"],
        )
        contact.save()
        found = anna.contacts.get(display_name="Dr. Ada Berg")
        for name in (
            "given_name",
            "surname",
            "middle_name",
            "company_name",
            "job_title",
            "department",
            "file_as",
        ):
            assert getattr(found, name) == getattr(contact, name), name
        mails = {one.label: one.email for one in found.email_addresses if one.email}
        assert mails == {"EmailAddress1": "ada@acme.example", "EmailAddress2": "berg@home.example"}
        phones = {one.label: one.phone_number for one in found.phone_numbers if one.phone_number}
        assert phones == {"MobilePhone": "+49 171 1", "BusinessPhone": "+49 30 1"}
        assert [(one.label, one.city) for one in found.physical_addresses] == [("Business", "Berlin")]
        assert found.birthday == EWSDate(1980, 2, 29)
        assert found.complete_name.full_name == "Dr. Ada Berg"
        found.phone_numbers = [PhoneNumber(label="MobilePhone", phone_number="+49 171 2")]
        found.save(update_fields=["phone_numbers"])
        again = anna.contacts.get(display_name="Dr. Ada Berg")
        assert {one.label: one.phone_number for one in again.phone_numbers} == {"MobilePhone": "+49 171 2"}


def test_a_task_is_completed_and_opened_again(exchange: Office) -> None:
    with account(exchange) as anna:
        task = Task(
            folder=anna.tasks, subject="Send the offer", due_date=EWSDate(2026, 12, 1), importance="High"
        )
        task.save()
        task.status = "Completed"
        task.save(update_fields=["status"])
        found = anna.tasks.get(subject="Send the offer")
        assert (found.is_complete, found.percent_complete, found.due_date) == (True, 100, EWSDate(2026, 12, 1))
        assert found.complete_date is not None
        found.status = "InProgress"
        found.save(update_fields=["status"])
        again = anna.tasks.get(subject="Send the offer")
        assert (again.is_complete, again.percent_complete, again.complete_date) == (False, 0, None)


def test_a_message_is_saved_and_marked_read(exchange: Office) -> None:
    with account(exchange) as anna:
        message = Message(
            folder=anna.drafts, subject="Offer", body=HTMLBody("<b>Hello</b>"), to_recipients=[BEN]
        )
        message.save()
        found = anna.drafts.get(subject="Offer")
        assert (found.body, found.to_recipients[0].email_address) == ("<b>Hello</b>", BEN)
        assert found.text_body == "Hello"
        found.is_read = False
        found.save(update_fields=["is_read"])
        assert anna.drafts.get(subject="Offer").is_read is False


def test_sync_tells_creations_updates_deletions_and_reading_apart(exchange: Office) -> None:
    with account(exchange) as anna:
        made = [Message(folder=anna.inbox, subject=f"{number}", is_read=True) for number in range(4)]
        for one in made:
            one.save()
        kinds = [kind for kind, _ in anna.inbox.sync_items(max_changes_returned=3)]
        assert kinds == ["create"] * 4
        made[0].subject = "changed"
        made[0].save(update_fields=["subject"])
        made[1].is_read = False
        made[1].save(update_fields=["is_read"])
        made[2].delete()
        Message(folder=anna.inbox, subject="new").save()
        changes = [(kind, what) for kind, what in anna.inbox.sync_items(sync_state=anna.inbox.item_sync_state)]
        assert sorted(kind for kind, _ in changes) == ["create", "delete", "read_flag_change", "update"]
        assert list(anna.inbox.sync_items(sync_state=anna.inbox.item_sync_state)) == []


def test_a_service_account_acts_for_those_it_may(exchange: Office) -> None:
    with account(exchange, act_for=ANNA) as anna:
        Task(folder=anna.tasks, subject="Anna's").save()
    with account(exchange, act_for=BEN) as ben:
        assert list(ben.tasks.all()) == []
    accounts.add_account(exchange.world, SERVICE, SERVICE_PASSWORD, impersonates=[BEN])
    with account(exchange, act_for=ANNA) as anna, pytest.raises(ErrorImpersonateUserDenied):
        list(anna.tasks.all())
