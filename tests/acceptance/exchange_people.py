"""People whose mailboxes are at Exchange; the rest of their day is that of the others."""

from __future__ import annotations

from random import Random

from lxml import etree

from tests.acceptance.mailroom import Mailroom
from tests.acceptance.people import People
from tests.acceptance.town import Town


class ExchangePeople(People):
    """The same people with Outlook in place of a browser."""

    def __init__(self, place: Town, dice: Random) -> None:
        super().__init__(place, dice)
        self.room = Mailroom(place)

    def linked(self) -> list[tuple[str, str, str]]:
        return [
            (user, item.id, item.record)
            for user in self.place.users
            for item in (*self.room.contacts(user), *self.room.calendar(user))
            if item.record.startswith(("003", "00U")) and "Recurrence" not in item.shown
        ]

    def set_phone(self, user: str, contact: str, phone: str) -> None:
        self.room.call(
            user,
            '<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly"><m:ItemChanges>'
            f'<t:ItemChange><t:ItemId Id="{contact}"/><t:Updates><t:SetItemField>'
            '<t:IndexedFieldURI FieldURI="contacts:PhoneNumber" FieldIndex="BusinessPhone"/><t:Contact>'
            f'<t:PhoneNumbers><t:Entry Key="BusinessPhone">{phone}</t:Entry></t:PhoneNumbers></t:Contact>'
            "</t:SetItemField></t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>",
        )

    def set_location(self, user: str, event: str, location: str) -> None:
        self.room.change(user, event, "CalendarItem", Location=location)

    def new_contact(self, user: str, name: str) -> None:
        item = f"<t:Categories><t:String>CRM Contacts</t:String></t:Categories><t:Surname>{name}</t:Surname>"
        self.room.create(user, "contacts", f"<t:Contact>{item}</t:Contact>")

    def throw_contact(self, user: str, contact: str) -> None:
        self.room.remove(user, contact)

    throw_event = throw_contact

    def seen(self) -> list[tuple[str, str]]:
        return [
            (item.shown.get("Surname") or item.shown.get("Subject", ""), etree.tostring(item.node).decode())
            for user in self.place.users
            for item in (*self.room.contacts(user), *self.room.calendar(user))
        ]

    def writes(self) -> dict[str, int]:
        return self.room.writes()

    def assert_no_harm(self) -> None:
        assert self.place.stats()["exchange.mails"] == 0
        self.room.assert_no_doubles()
