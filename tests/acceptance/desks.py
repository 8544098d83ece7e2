"""People who drop mails on records and take them away again, at either mail system, so that one story is told of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.mails import deliver, label, record_labels
from tests.acceptance.town import Town

#: The sandbox's options by mail system.
OPTIONS: Mapping[str, Sequence[str]] = {"google": (), "exchange": SERVICES}


class Desk(Protocol):
    """What people do with mails."""

    def config(self, policy: str) -> str:
        """The declarative file for the town; ``policy`` are further lines of the policy, below its head."""

    def records(self, user: str) -> dict[str, str]:
        """Drop labels or folders of opportunities: id by the record's name."""

    def drop(self, user: str, raw: bytes, *places: str) -> str:
        """A mail comes and is put under some drop labels, or copied into such folders; its id, in the first of them."""

    def put(self, user: str, mail: str, place: str) -> str:
        """A mail is put under one more drop label, or moved into such a folder; its id there."""

    def take(self, user: str, mail: str, place: str) -> str:
        """A drop label is taken off a mail, or the mail is moved back to the inbox; its id there."""

    def subjects(self, user: str, place: str) -> list[str]:
        """Subjects of the mails under a drop label or in such a folder, those of ours left out."""


@dataclass(frozen=True)
class GmailDesk:
    """Gmail: any number of labels on a mail, which keeps its id."""

    place: Town

    def config(self, policy: str) -> str:
        return self.place.config(policy=policy)

    def records(self, user: str) -> dict[str, str]:
        return record_labels(self.place, user)

    def drop(self, user: str, raw: bytes, *places: str) -> str:
        mail = str(deliver(self.place, user, raw)["id"])
        label(self.place, user, mail, add=places)
        return mail

    def put(self, user: str, mail: str, place: str) -> str:
        label(self.place, user, mail, add=[place])
        return mail

    def take(self, user: str, mail: str, place: str) -> str:
        label(self.place, user, mail, remove=[place])
        return mail

    def subjects(self, user: str, place: str) -> list[str]:
        mails = [one for one in self.place.mails(user) if place in one["labels"]]
        return sorted(one["subject"] for one in mails if "syncline" not in one["from"])


@dataclass(frozen=True)
class ExchangeDesk:
    """Exchange: a mail lies in one folder, and has another id in another one."""

    room: Mailroom

    def config(self, policy: str) -> str:
        return self.room.config(policy)

    def records(self, user: str) -> dict[str, str]:
        return self.room.record_folders(user)

    def drop(self, user: str, raw: bytes, *places: str) -> str:
        mail = self.room.deliver(user, raw)
        for place in places[1:]:
            self.room.move(user, place, mail, copy=True)
        return self.put(user, mail, places[0])

    def put(self, user: str, mail: str, place: str) -> str:
        [there] = self.room.move(user, place, mail)
        return there

    def take(self, user: str, mail: str, place: str) -> str:
        return self.put(user, mail, "inbox")

    def subjects(self, user: str, place: str) -> list[str]:
        return self.room.subjects(user, place)


def desk(place: Town, system: str) -> Desk:
    """The desks of a town by the name of its mail system, ``google`` or ``exchange``."""
    return ExchangeDesk(Mailroom(place)) if system == "exchange" else GmailDesk(place)
