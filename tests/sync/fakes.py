"""A CRM and a mail system in memory behind the ports: versions, cursors, lag, and faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from engine.model.canonical import FIELDS, compact
from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Module, Side
from engine.model.occurrences import OCCUPIED, is_plain, occupied, plain
from engine.model.port import (
    Account,
    Capability,
    Containers,
    CreateKey,
    CrmUser,
    Finding,
    Guard,
    Observation,
    Outcome,
    Page,
    Result,
    Scope,
    Structure,
    Write,
    WriteKind,
)
from engine.model.recurrence import in_series
from engine.net.errors import CursorExpired, ErrorKind, ProviderError

START_MS = 1_795_000_000_000  # some moment in November 2026


class Crash(BaseException):
    """The process is gone."""


class VirtualClock:
    """Time that passes only when somebody waits or something happens."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Thing:
    """One version of an item at a provider."""

    id: str
    module: Module
    fields: Mapping[str, Any]
    version: int
    modified: int
    marker: str | None = None
    owner: str | None = None
    containers: tuple[str, ...] = ()
    parent: str | None = None
    occurrence: str | None = None
    deleted: bool = False
    native: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Shelf:
    """One feed: every version that ever was, in order."""

    log: list[Thing] = field(default_factory=list)
    now: dict[str, Thing] = field(default_factory=dict)
    epoch: int = 0

    def put(self, thing: Thing) -> None:
        self.log.append(thing)
        self.now[thing.id] = thing

    def live(self) -> list[Thing]:
        return [thing for thing in self.now.values() if not thing.deleted]


@dataclass(slots=True)
class Fault:
    """What happens to one call or one write: see ``FakeProvider``."""

    kind: str
    retry_after: float | None = None


Plan = Callable[[str, Scope | None, Write | None], str | None]
"""Asked before each call (``changes``, ``page``, ``fetch``, ``occurrences``, ``apply``, ``ensure``) and each ``write``; names a fault."""


def no_faults(_point: str, _scope: Scope | None, _write: Write | None) -> str | None:
    return None


@cache
def _capability(
    module: Module, create_key: CreateKey, lag: int, windowed: bool, resets: bool = False
) -> Capability:
    names = frozenset(FIELDS[module])
    return Capability(
        names,
        names,
        create_key,
        Guard.ETAG,
        lag_seconds=lag,
        batch=4,
        parallel=2,
        exceptions=module in EVENT_MODULES,
        windowed=windowed,
        resets=resets,
    )


class FakeProvider:
    """What both providers have in common.

    Faults of a call: ``throttled``, ``unavailable``, ``lost`` (applied, then no answer), ``credential``,
    ``permission``, ``not found``, ``expired``, ``empty``, ``crash``, ``crash-after``. Faults of a write: ``lost-before``,
    ``lost-after``, ``refused``, ``conflict``, ``rejected``.
    """

    side: Side

    def __init__(self, clock: VirtualClock, create_key: CreateKey = CreateKey.NATURAL, lag: int = 0) -> None:
        self.clock = clock
        self.create_key = create_key
        self.lag = lag
        self.shelves: dict[str, Shelf] = {}
        self.faults: Plan = no_faults
        self.calls: list[str] = []
        self.log: list[str] = []
        #: Mailboxes for which it was called.
        self.asked: set[str] = set()
        #: Containers that somebody deleted, by id.
        self.removed: set[str] = set()
        self.page_size = 50
        self.mailed = 0
        #: Logical names of the containers that we made, by mailbox.
        self.made: dict[str, set[str]] = {}
        #: Ids of labels under which people have filed mails of their own.
        self.filed: set[str] = set()
        self.unguarded = 0
        self.dead = False
        self.windowed = False
        self.rewrites: dict[str, Callable[[Any], Any]] = {}
        #: Changed occurrences do not outlive that their series is moved, and are told as cancelled, as at Google.
        self.drops = False
        #: Nor do those that the series still has, and these are told as their series makes them, as at Exchange.
        self.resets = False
        self._ids = 0

    def shelf(self, remote_id: str) -> Shelf:
        found = self.shelves.get(remote_id)
        return found if found is not None else self.shelves.setdefault(remote_id, Shelf())

    def capability(self, module: Module) -> Capability | None:
        return _capability(module, self.create_key, self.lag, self.windowed, self.resets)

    # -- what people do ------------------------------------------------------------------------------------

    def _tick(self) -> int:
        self.clock.ms += 1
        return self.clock.ms

    def _fresh(self) -> str:
        self._ids += 1
        return f"{self.side[0]}{self._ids}"

    def edit(self, where: str, item: str, /, **fields: Any) -> None:
        """A person changes fields; None clears one."""
        old = self.shelf(where).now[item]
        self._store(where, replace(old, fields=compact({**old.fields, **fields}), deleted=False))

    def delete(self, where: str, item: str) -> None:
        """A person deletes an item; the changed occurrences of a series go with it."""
        shelf = self.shelf(where)
        for thing in [*shelf.live()]:
            if item in (thing.id, thing.parent):
                self._store(where, replace(thing, deleted=True))

    def drop_occurrences(self, where: str, series: str, master: Mapping[str, Any]) -> None:
        """What was changed about the occurrences of a series that is moved is dropped, where the provider does so."""
        if not self.drops and not self.resets:
            return
        for thing in [*self.shelf(where).live()]:
            if thing.parent != series or thing.occurrence is None:
                continue
            stays = in_series(master["rule"]["lines"], master["start"], thing.occurrence)
            if not stays:
                self._store(where, replace(thing, fields={"cancelled": True}))
            elif self.resets:
                self._store(where, replace(thing, fields=plain(master, thing.occurrence)))

    def _store(self, where: str, thing: Thing) -> Thing:
        thing = replace(thing, version=thing.version + 1, modified=self._tick())
        self.shelf(where).put(thing)
        return thing

    # -- the port ------------------------------------------------------------------------------------------

    def _call(self, point: str, scope: Scope | None) -> str | None:
        if self.dead:
            raise Crash
        if point != "page":
            self.calls.append(point)
        if scope is not None and scope.account is not None:
            self.asked.add(scope.account.email)
        fault = self.faults(point, scope, None)
        if fault == "crash":
            raise Crash
        if fault == "expired":
            raise CursorExpired
        kinds = {
            "throttled": ErrorKind.THROTTLED,
            "unavailable": ErrorKind.UNAVAILABLE,
            "credential": ErrorKind.CREDENTIAL,
            "permission": ErrorKind.PERMISSION,
            "not found": ErrorKind.NOT_FOUND,
        }
        if fault in kinds:
            raise ProviderError(kinds[fault], "Fake", fault, retry_after=5 if fault == "throttled" else None)
        return fault

    def show(self, thing: Thing) -> Observation:
        """An item as this provider tells it."""
        if thing.deleted:
            return Observation(thing.id, thing.module, deleted=True)
        return Observation(
            thing.id,
            thing.module,
            fields=thing.fields,
            etag=str(thing.version),
            marker=thing.marker,
            modified=thing.modified,
            owner=thing.owner,
            containers=thing.containers,
            parent=thing.parent,
            occurrence=thing.occurrence,
            native=thing.native,
        )

    async def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        fault = self._call("changes", scope)
        if scope.remote_id in self.removed:
            raise ProviderError(ErrorKind.NOT_FOUND, "Fake", "Not Found")
        shelf = self.shelf(scope.remote_id)
        seen_at = self.clock.ms - self.lag * 1000
        visible = next((n for n, thing in enumerate(shelf.log) if thing.modified > seen_at), len(shelf.log))
        start = 0
        if cursor is not None:
            epoch, _, number = cursor.partition(":")
            if int(epoch) != shelf.epoch:
                raise CursorExpired
            start = int(number)
        if self.lag:
            start = min(start, visible)
        listed = {thing.id: thing for thing in shelf.log[start:visible]}
        if cursor is None:
            listed = {key: thing for key, thing in listed.items() if not thing.deleted}
        if fault == "empty":
            listed = {}
        things = list(listed.values())
        pieces = [things[n : n + self.page_size] for n in range(0, len(things), self.page_size)] or [[]]
        for number_, piece in enumerate(pieces):
            self._call("page", scope)
            last = number_ == len(pieces) - 1
            yield Page(
                tuple(self.show(thing) for thing in piece),
                f"{shelf.epoch}:{max(visible, start)}" if last else None,
                snapshot=cursor is None,
            )

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        self._call("fetch", scope)
        now = self.shelf(scope.remote_id).now
        return [
            self.show(now[one]) if one in now else Observation(one, scope.modules[0], deleted=True)
            for one in ids
        ]

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        self._call("occurrences", scope)
        return [self.show(one) for one in self.shelf(scope.remote_id).live() if one.parent in series]

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        fault = self._call("apply", scope)
        await asyncio.sleep(0)
        outcomes = []
        for write in writes:
            self.mailed += write.notify
            outcomes.append(self._one(scope, write))
        if fault == "crash-after":
            raise Crash
        if fault == "lost":
            raise ProviderError(ErrorKind.UNAVAILABLE, "Fake", "connection reset", maybe_applied=True)
        return outcomes

    def _one(self, scope: Scope, write: Write) -> Outcome:
        fault = self.faults("write", scope, write)
        match fault:
            case "lost-before":
                return Outcome(Result.UNKNOWN, reason="time-out")
            case "refused":
                return Outcome(Result.REFUSED, reason="too many requests", retry_after=3)
            case "conflict" if write.kind is not WriteKind.CREATE:
                return Outcome(Result.CONFLICT, reason="precondition failed")
            case "rejected":
                return Outcome(Result.REJECTED, reason="this value is not allowed")
        outcome = self._create(scope, write) if write.kind is WriteKind.CREATE else self._change(scope, write)
        if fault == "lost-after" and outcome.result is Result.DONE:
            return Outcome(Result.UNKNOWN, reason="time-out")
        return outcome

    def _create(self, scope: Scope, write: Write) -> Outcome:
        shelf = self.shelf(scope.remote_id)
        if write.parent is not None:
            item = f"{write.parent}_{write.occurrence}"
        elif self.create_key is CreateKey.NATURAL:
            item = write.key
            while item in shelf.now and shelf.now[item].deleted:
                item += "#"
        else:
            item = self._fresh()
            if self.create_key is CreateKey.PROBE and write.attempt:
                item = next((one.id for one in shelf.live() if one.marker == write.key), item)
        known = shelf.now.get(item)
        if known is not None and not known.deleted:
            ours = known.marker == write.key and known.fields == self._kept(write.fields)
            if write.parent is None or ours or not occupied(write, known.fields):
                return Outcome(Result.DONE, self.show(known))
            if not is_plain(write.module, known.fields, shelf.now[write.parent].fields, write.occurrence or ""):
                return Outcome(Result.CONFLICT, reason=OCCUPIED)
        self.log.append(f"create {write.module} {write.key}")
        series = shelf.now.get(write.parent or "")
        thing = Thing(
            item,
            write.module,
            self._kept(write.fields),
            known.version if known else 0,
            0,
            marker=write.key,
            # An occurrence belongs to whom its series belongs (seed 94158).
            owner=series.owner if series is not None else write.owner or None,
            containers=write.containers,
            parent=write.parent,
            occurrence=write.occurrence,
        )
        return Outcome(Result.DONE, self.show(self._store(scope.remote_id, thing)))

    def _kept(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What this provider makes of the values that it is given."""
        return compact(
            {
                name: self.rewrites[name](value) if name in self.rewrites and value is not None else value
                for name, value in fields.items()
            }
        )

    def _change(self, scope: Scope, write: Write) -> Outcome:
        shelf = self.shelf(scope.remote_id)
        known = shelf.now.get(write.remote_id)
        if known is None or known.deleted:
            return Outcome(Result.GONE)
        if write.etag is None:
            self.unguarded += 1
        elif write.etag != str(known.version):
            return Outcome(Result.CONFLICT, reason="precondition failed")
        self.log.append(f"{write.kind} {write.module} {write.remote_id}")
        if write.kind is WriteKind.DELETE:
            self.delete(scope.remote_id, write.remote_id)
            return Outcome(Result.DONE)
        fields = compact({**known.fields, **dict.fromkeys(write.patch), **self._kept(write.patch)})
        if known.fields.get("rule") and any(
            fields.get(name) != known.fields.get(name) for name in ("start", "rule")
        ):
            self.drop_occurrences(scope.remote_id, known.id, fields)
        return Outcome(Result.DONE, self.show(self._store(scope.remote_id, replace(known, fields=fields))))

    async def check(self, account: Account | None) -> list[Finding]:
        return []

    async def close(self) -> None:
        return


#: CRM objects: calls and tasks live in one, as in Salesforce.
OBJECTS: dict[str, tuple[Module, ...]] = {
    "Contact": (Module.CONTACT,),
    "Lead": (Module.LEAD,),
    "Event": (Module.APPOINTMENT,),
    "Task": (Module.CALL, Module.TASK),
    "ServiceCall": (Module.SERVICE_CALL,),
    "Opportunity": (Module.OPPORTUNITY,),
    "Case": (Module.CASE,),
}
OBJECT_OF = {module: name for name, modules in OBJECTS.items() for module in modules}


@cache
def _objects(modules: frozenset[Module]) -> tuple[Scope, ...]:
    return tuple(
        Scope(name, name, tuple(one for one in held if one in modules))
        for name, held in OBJECTS.items()
        if set(held) & modules
    )


class FakeCrm(FakeProvider):
    """A CRM whose feeds serve all mailboxes."""

    side = Side.CRM

    def __init__(self, clock: VirtualClock, people: Iterable[str], create_key: CreateKey = CreateKey.NATURAL):
        super().__init__(clock, create_key)
        self.people = list(people)

    def scopes(self, modules: Sequence[Module]) -> tuple[Scope, ...]:
        return _objects(frozenset(modules))

    async def users(self, *, managers: bool = False) -> list[CrmUser]:
        self._call("users", None)
        return [CrmUser(f"u-{email}", email, email) for email in self.people]

    def add(self, email: str, module: Module, /, **fields: Any) -> str:
        """A person makes a record that ``email`` owns."""
        thing = Thing(self._fresh(), module, compact(fields), 0, 0, owner=f"u-{email}")
        return self._store(OBJECT_OF[module], thing).id

    def give(self, item: str, module: Module, email: str) -> None:
        """A record gets another owner."""
        old = self.shelf(OBJECT_OF[module]).now[item]
        self._store(OBJECT_OF[module], replace(old, owner=f"u-{email}"))

    def of(self, email: str, module: Module) -> list[Thing]:
        return [
            one
            for one in self.shelf(OBJECT_OF[module]).live()
            if one.module is module and one.owner == f"u-{email}"
        ]


def place_of(module: Module) -> str:
    """The key of the mailbox feed that holds a module."""
    if module in CONTACT_MODULES:
        return "contacts"
    if module in EVENT_MODULES:
        return "calendar"
    return "mail" if module in RECORD_MODULES else "tasks"


class FakeMail(FakeProvider):
    """A mail system; every mailbox has contacts, a calendar, tasks and labels."""

    side = Side.MAILBOX

    async def ensure(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        self._call("ensure", None)
        ids, scopes = self._structure(account, structure)
        self.made.setdefault(account.email, set()).update(ids)
        return Containers(ids, scopes, tuple(sorted(set(ids) - set(known))))

    async def occupied(self, scope: Scope, ids: Sequence[str]) -> set[str]:
        self._call("occupied", scope)
        return self.filed & set(ids)

    async def remove(self, account: Account, made: Mapping[str, str]) -> dict[str, str]:
        self._call("remove", None)
        told = {}
        for name, value in made.items():
            used = any(
                value in thing.containers
                for where, shelf in self.shelves.items()
                if where.startswith(account.email)
                for thing in shelf.live()
            )
            told[name] = "something of the person's own is in it" if used else ""
            if not used:
                self.made.get(account.email, set()).discard(name)
                self.log.append(f"remove {name}")
        return told

    async def survey(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        self._call("survey", None)
        ids, scopes = self._structure(account, structure)
        there = self.made.get(account.email, set())
        carried = {
            one
            for shelf in (self.shelf(scope.remote_id) for scope in scopes)
            for thing in shelf.live()
            for one in thing.containers
        }
        found = {name: value for name, value in ids.items() if name in there or value in carried}
        return Containers(found, scopes, missing=tuple(sorted(ids.keys() - found.keys())))

    def _structure(self, account: Account, structure: Structure) -> tuple[dict[str, str], tuple[Scope, ...]]:
        ids = {f"group:{module}": f"g-{name}" for module, name in structure.groups.items()}
        ids |= {f"colour:{module}": f"k-{pair[0]}" for module, pair in structure.colours.items()}
        ids |= {f"label:{path}": f"l-{path}" for path in structure.labels}
        places: dict[str, tuple[Module, ...]] = {}
        if structure.groups:
            places["contacts"] = (Module.CONTACT, Module.LEAD)
        if structure.calendar_mode is not None:
            places["calendar"] = (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL)
        if structure.tasks:
            places["tasks"] = (Module.TASK,)
        if structure.labels:
            places["mail"] = (Module.OPPORTUNITY, Module.CASE)
        scopes = tuple(
            Scope(key, self.container(f"{account.email}/{key}"), modules, account)
            for key, modules in places.items()
        )
        return ids, scopes

    def container(self, first: str) -> str:
        """The id of a container that may have been deleted and made anew."""
        return first if first not in self.removed else self.container(f"{first}'")

    async def verify(self, account: Account, structure: Structure, known: Mapping[str, str]) -> list[Finding]:
        return []

    def add(self, email: str, module: Module, /, *, own: bool = False, **fields: Any) -> str:
        """A person makes an item in the mailbox, in the policy's group or colour unless it is their own."""
        marks = {
            Module.CONTACT: "g-CRM Contacts",
            Module.LEAD: "g-CRM Leads",
            Module.APPOINTMENT: "k-CRM Appointment",
            Module.CALL: "k-CRM Phone Call",
            Module.SERVICE_CALL: "k-CRM Service Call",
        }
        containers = () if own or module not in marks else (marks[module],)
        thing = Thing(self._fresh(), module, compact(fields), 0, 0, containers=containers)
        return self._store(self.container(f"{email}/{place_of(module)}"), thing).id

    def of(self, email: str, module: Module) -> list[Thing]:
        place = self.container(f"{email}/{place_of(module)}")
        return [one for one in self.shelf(place).live() if one.module is module]
