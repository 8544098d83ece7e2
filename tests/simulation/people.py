"""What people do, and which of their values may be gone in the end.

Every value that a person writes carries a number of its own (``v17``), so that it can be followed through both systems.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.model.canonical import compact
from engine.model.modules import EVENT_MODULES, Module
from tests.simulation.questions import invite, invites, quarrel
from tests.sync.fakes import OBJECT_OF, FakeProvider, Thing, place_of

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

#: Fields whose values are followed.
FOLLOWED = {
    Module.CONTACT: ("title", "company", "notes", "department"),
    Module.LEAD: ("title", "company", "notes"),
    Module.APPOINTMENT: ("location", "body"),
    Module.TASK: ("body",),
}
NAME = {Module.CONTACT: "family", Module.LEAD: "family", Module.APPOINTMENT: "subject", Module.TASK: "subject"}

#: Stands in the body of private items, which must never come into the ledger or a log.
SECRET = "PRIVATEBODY"

NOBODY = "nobody@example.org"

#: Where people copy items, so many of their deeds are followed by it.
COPIES = 0.15

#: Where they move series, after so many of their deeds about appointments.
MOVES = 0.5

_TOKEN = re.compile(r"v\d+")


def tokens(values: Iterable[Any]) -> set[str]:
    """The numbers of all values that stand in some fields."""
    return set(_TOKEN.findall(" ".join(str(value) for value in values)))


def moment(day: int, hour: int) -> dict[str, Any]:
    """A start within the calendar window."""
    return {"utc": f"2026-12-{day:02d}T{hour:02d}:00:00Z", "zone": "UTC"}


class People:
    """Everybody who edits one of the two systems."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world
        self.dice = world.dice
        self.written = 0
        self.working = False
        #: Values that must not be lost, and those that somebody who saw them replaced.
        self.values: set[str] = set()
        self.seen: set[str] = set()
        #: The person's own items, outside the policy: (place, id) to version. Nobody but the person may write them.
        self.own: dict[tuple[str, str], int] = {}
        #: Names (and occurrences) that a person deleted, moved to another owner or took back: side, name.
        self.removed: set[tuple[str, str]] = set()
        #: Names of what was made on both sides at once.
        self.twins: set[str] = set()
        #: Those of them that may stand twice on a side by a person's hand, since the engine never saw both at once: a feed
        #: showed only one of them, or one was in the bin. What it made itself it knows when it comes back from the bin.
        self.by_hand: set[str] = set()
        #: In some seeds people copy items, with all that is on them: dice of their own, so that other seeds stay as they were.
        self.copying: random.Random | None = None
        #: In others they move whole series.
        self.moving: random.Random | None = None
        #: What people noted in a field that no canonical form knows: (place, id) to value.
        self.unknown: dict[tuple[str, str], str] = {}

    # -- helpers -------------------------------------------------------------------------------------------

    def token(self) -> str:
        """A new value, which must not be lost."""
        self.written += 1
        value = f"v{self.written}"
        self.values.add(value)
        return value

    def _text(self) -> str:
        value = self.token()
        shape = self.dice.random()
        if shape < 0.1:
            return f"{value} and a long remark that some servers would rather cut short"
        return f"{value}\nsecond line" if shape < 0.15 else value

    def _saw(self, thing: Thing) -> None:
        self.seen |= tokens(thing.fields.values())

    def _where(self, provider: FakeProvider, email: str, module: Module) -> str:
        return OBJECT_OF[module] if provider is self.world.crm else f"{email}/{place_of(module)}"

    # -- one deed ------------------------------------------------------------------------------------------

    def act(self, *, working: bool = False) -> None:
        """Somebody does something; ``working``: while a cycle is under way."""
        self.working = working
        world, dice = self.world, self.dice
        email = dice.choice(world.people)
        module = dice.choice(world.modules)
        provider: Any = dice.choice((world.crm, world.mail))
        where = self._where(provider, email, module)
        things = [one for one in provider.of(email, module) if (where, one.id) not in self.own]
        what = dice.random()
        if what < 0.30 or not things:
            self.create(provider, email, module)
            return
        thing = dice.choice(things)
        if what < 0.68:
            self.edit(provider, where, thing)
        elif what < 0.73:
            self.clear(provider, where, thing)
        elif what < 0.84:
            self.delete(provider, where, thing)
        elif what < 0.88:
            self.restore(provider, where, email, module)
        elif what < 0.92 and provider is world.crm:
            self.give(where, thing)
        elif what < 0.96 or module not in EVENT_MODULES:
            self.note(provider, where, thing)
        else:
            self.reschedule(provider, where, thing)
        if module is Module.APPOINTMENT and dice.random() < 0.5:
            self.occurrence(provider, where, dice.choice(things))
        if self.copying is not None and self.copying.random() < COPIES:
            self.copy(self.copying, provider, where, self.copying.choice(things))
        if self.moving is not None and module is Module.APPOINTMENT and self.moving.random() < MOVES:
            self.move(self.moving, provider, where, self.moving.choice(things))

    def create(self, provider: Any, email: str, module: Module) -> None:
        """A new item; now and then the person's own, or on both sides at once."""
        dice, name = self.dice, self.token()
        fields: dict[str, Any] = {NAME[module]: name}
        if module in (Module.CONTACT, Module.LEAD):
            fields["given"] = "Ann"
            if dice.random() < 0.4:
                fields["email"] = f"{name}@x.test"
            if dice.random() < 0.4:
                fields["phone_work"] = {"raw": f"030 55500{dice.randint(10, 99)}", "e164": None}
        if module is Module.APPOINTMENT:
            day, hour = dice.randint(1, 26), dice.randint(8, 17)
            fields |= {"start": moment(day, hour), "end": moment(day, hour + 1)}
            if dice.random() < 0.3:
                fields["rule"] = {"lines": [f"RRULE:FREQ=DAILY;COUNT={dice.randint(3, 6)}"]}
        if module is Module.TASK and dice.random() < 0.5:
            fields["due"] = f"2026-12-{dice.randint(1, 28):02d}"
        world = self.world
        shape = dice.random()
        if shape < 0.04 and module is not Module.TASK:
            item = world.mail.add(email, module, own=True, **fields)
            self.values -= {name}
            place = self._where(world.mail, email, module)
            self.own[place, item] = world.mail.shelf(place).now[item].version
            world.note("person", email, "creates an item of their own", item)
            return
        twin = shape < 0.09 and not self.working and (module is not Module.APPOINTMENT or "rule" not in fields)
        if twin:
            self.twins.add(name)
        if twin and module in (Module.CONTACT, Module.LEAD):
            fields["email"] = f"{name}@x.test"
        if twin and (
            module is Module.APPOINTMENT  # which may be moved before it is matched
            or world.weather.has("lagging feed")
            or world.weather.has("truncated page")
        ):
            self.by_hand.add(name)
        for one in (world.crm, world.mail) if twin else (provider,):
            if module is Module.APPOINTMENT and not twin and shape > 0.9:
                fields |= {"private": True, "body": f"{SECRET} {self.written}"}
            else:
                fields[dice.choice(FOLLOWED[module])] = self._text()
            world.note("person", email, "creates", one.side, module, one.add(email, module, **fields), name)

    def move(self, dice: random.Random, provider: Any, where: str, thing: Thing) -> None:
        """A whole series gets another hour, or goes on for another time; what was changed about its occurrences is dropped where the provider does so."""
        thing = provider.shelf(where).now[thing.id]
        if thing.parent is not None or thing.deleted or not thing.fields.get("rule"):
            return
        for one in provider.shelf(where).live():
            if one.parent == thing.id and (provider.drops or provider.resets):
                self._saw(one)
                self.gone(provider, where, one)
        if dice.random() < 0.4:
            new: dict[str, Any] = {"rule": {"lines": [f"RRULE:FREQ=DAILY;COUNT={dice.randint(3, 8)}"]}}
        else:
            day, hour = int(thing.fields["start"]["utc"][8:10]), dice.randint(8, 17)
            new = {"start": moment(day, hour), "end": moment(day, hour + 1)}
        provider.drop_occurrences(where, thing.id, {**thing.fields, **new})
        provider.edit(where, thing.id, **new)
        self.world.note("person", provider.side, "moves the series", thing.id, new)

    def copy(self, dice: random.Random, provider: Any, where: str, thing: Thing) -> None:
        """A copy with our mark, as Outlook makes them: left as it is, or given another name."""
        thing = provider.shelf(where).now[thing.id]
        if thing.parent is not None or thing.deleted:
            return
        fields = dict(thing.fields)
        if dice.random() < 0.5:
            fields[NAME[thing.module]] = self.token()
        else:
            self.by_hand.add(identity(provider, where, thing))
        again = provider._store(where, replace(thing, id=provider._fresh(), fields=fields, version=0))
        self.world.note("person", provider.side, "copies", thing.id, "to", again.id, fields[NAME[thing.module]])

    def edit(self, provider: Any, where: str, thing: Thing) -> None:
        """Another value in one field, by somebody who sees the present one."""
        if invites(self, thing):
            invite(self, provider, where, thing)
            return
        names = [one for one in FOLLOWED[thing.module] if not (thing.fields.get("private") and one == "body")]
        field, value = self.dice.choice(names), self._text()
        self.seen |= tokens([thing.fields.get(field)])
        provider.edit(where, thing.id, **{field: value})
        self.world.note("person", provider.side, "edits", thing.id, field, value)
        quarrel(self, provider, thing, field)

    def clear(self, provider: Any, where: str, thing: Thing) -> None:
        """Empty a field."""
        field = self.dice.choice(FOLLOWED[thing.module])
        self.seen |= tokens([thing.fields.get(field)])
        provider.edit(where, thing.id, **{field: None})
        self.world.note("person", provider.side, "clears", thing.id, field)

    def reschedule(self, provider: Any, where: str, thing: Thing) -> None:
        """Another hour."""
        if thing.parent is not None or thing.fields.get("rule"):
            return
        day, hour = self.dice.randint(1, 26), self.dice.randint(8, 17)
        provider.edit(where, thing.id, start=moment(day, hour), end=moment(day, hour + 1))
        self.world.note("person", provider.side, "moves", thing.id)

    def note(self, provider: Any, where: str, thing: Thing) -> None:
        """Something in a field of the provider's own, which no canonical form knows."""
        self.written += 1
        value = f"note {self.written}"
        provider._store(where, replace(thing, native={**(thing.native or {}), "unknown": value}))
        self.unknown[where, thing.id] = value
        self.world.note("person", provider.side, "notes", thing.id, value)

    def gone(self, provider: Any, where: str, thing: Thing) -> None:
        """Remember that what stands for this item on the other side may go."""
        for one in provider.shelf(where).live():
            if thing.id in (one.id, one.parent):
                self.removed.add((provider.side, identity(provider, where, one)))

    def delete(self, provider: Any, where: str, thing: Thing) -> None:
        """Delete an item; a changed occurrence is cancelled instead, as calendars do."""
        if thing.parent is not None:
            self.gone(provider, where, thing)
            provider.edit(where, thing.id, cancelled=True)
            self.world.note("person", provider.side, "cancels", thing.id)
            return
        for one in provider.shelf(where).live():
            if thing.id in (one.id, one.parent):
                self._saw(one)
        self.gone(provider, where, thing)
        provider.delete(where, thing.id)
        self.world.note("person", provider.side, "deletes", thing.id)

    def restore(self, provider: Any, where: str, email: str, module: Module) -> None:
        """Take something back from the bin."""
        bin_ = [
            one
            for one in provider.shelf(where).now.values()
            if one.deleted
            and one.module is module
            and one.parent is None
            and not one.fields.get("rule")
            and (provider is self.world.mail or one.owner == f"u-{email}")
        ]
        if not bin_:
            return
        thing = self.dice.choice(bin_)
        self.by_hand |= self.twins & {identity(provider, where, thing)}
        provider._store(where, replace(thing, deleted=False))
        self.world.note("person", provider.side, "restores", thing.id)

    def give(self, where: str, thing: Thing) -> None:
        """A CRM record gets another owner, with the changed occurrences of a series."""
        if thing.parent is not None:
            return
        crm = self.world.crm
        to = self.dice.choice((*self.world.people, NOBODY))
        self.gone(crm, where, thing)
        for one in crm.shelf(where).live():
            if thing.id in (one.id, one.parent):
                crm.give(one.id, one.module, to)
        self.world.note("person", "crm gives", thing.id, "to", to)

    def occurrence(self, provider: Any, where: str, thing: Thing) -> None:
        """Change one occurrence of a series."""
        thing = provider.shelf(where).now[thing.id]
        rule = thing.fields.get("rule")
        if not rule or thing.parent is not None:
            return
        day = int(thing.fields["start"]["utc"][8:10]) + self.dice.randint(0, 2)
        original = f"{thing.fields['start']['utc'][:8]}{day:02d}{thing.fields['start']['utc'][10:]}"
        item = f"{thing.id}_{original}"
        known = provider.shelf(where).now.get(item)
        if provider.shelf(where).now[thing.id].deleted:
            return
        if known is not None and not known.deleted:
            self.edit(provider, where, known)
            return
        hour = int(original[11:13]) + 1
        fields = compact(
            {
                **{name: value for name, value in thing.fields.items() if name not in {"rule", "location"}},
                "start": moment(day, hour),
                "end": moment(day, hour + 1),
                "location": self._text(),
            }
        )
        provider._store(
            where,
            Thing(item, thing.module, fields, 0, 0, owner=thing.owner, parent=thing.id, occurrence=original),
        )
        # The series tells a new version with it, as in Exchange; who deletes it meanwhile has seen another one.
        provider._store(where, provider.shelf(where).now[thing.id])
        self.world.note("person", provider.side, "changes the occurrence", item)


def identity(provider: FakeProvider, where: str, thing: Thing) -> str:
    """By what an item is known on both sides: its name, and its original start for one occurrence of a series."""
    if thing.parent is not None:
        master = provider.shelf(where).now.get(thing.parent)
        name = master.fields.get("subject") if master is not None else thing.fields.get("subject")
        return f"{','.join(sorted(tokens([name])))}@{thing.occurrence}"
    return ",".join(sorted(tokens([thing.fields.get(NAME[thing.module])])))
