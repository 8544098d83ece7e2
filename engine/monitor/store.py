"""The store and its subscriptions: the engine writes rows and marks keys dirty, screens pull.

No queue per event: marking an id dirty costs one set insert per subscription, whatever the rate, so a slow or dead
screen costs nothing and is bounded by construction (screens.md section 5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import StrEnum

from engine.monitor.rows import EngineRow, IncidentRow, JobRow, LimitRow, Line, PolicyRow, SessionRow, UserRow

#: Lines kept in memory per mailbox; older ones are in the ledger.
RING = 2000

#: More dirty ids than this and a subscription is told "all".
MANY = 1000


class Table(StrEnum):
    """The kinds of row one can subscribe to."""

    ENGINE = "engine"
    POLICIES = "policies"
    USERS = "users"
    JOBS = "jobs"
    LIMITS = "limits"
    LINES = "lines"
    SESSIONS = "sessions"
    INCIDENTS = "incidents"


class Subscription:
    """The dirty keys of one screen. Use ``take`` at each pull; ``close`` when the screen is hidden."""

    def __init__(self, store: Store, tables: Iterable[Table]) -> None:
        self._store = store
        self._dirty: dict[Table, set[str] | None] = dict.fromkeys(tables)  # None: all
        self._store._subscriptions.add(self)

    def mark(self, table: Table, key: str) -> None:
        """Called by the store."""
        dirty = self._dirty.get(table, ())
        if isinstance(dirty, set):
            dirty.add(key)
            if len(dirty) > MANY:
                self._dirty[table] = None

    def mark_all(self, table: Table) -> None:
        """Called by the store when rows came or went."""
        if table in self._dirty:
            self._dirty[table] = None

    def take(self, table: Table) -> set[str] | None:
        """The keys that changed since the last call; ``None`` means everything may have changed."""
        dirty = self._dirty[table]
        self._dirty[table] = set()
        return dirty

    def pending(self, table: Table) -> int | None:
        """How many keys the next ``take`` will bring; ``None`` means that everything may have changed."""
        dirty = self._dirty[table]
        return None if dirty is None else len(dirty)

    def close(self) -> None:
        """Stop listening; idempotent."""
        self._store._subscriptions.discard(self)


class Store:
    """All rows that screens show, by id. Written by the loop's thread only."""

    def __init__(self) -> None:
        self.engine = EngineRow()
        self.policies: dict[str, PolicyRow] = {}
        self.users: dict[str, UserRow] = {}
        self.jobs: dict[str, JobRow] = {}
        self.limits: dict[str, LimitRow] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.lines: dict[str, deque[Line]] = {}
        self.incidents: dict[str, IncidentRow] = {}
        #: The live ones by what they are about (``engine.model.incident.key_of``).
        self.live_incidents: dict[str, IncidentRow] = {}
        self._subscriptions: set[Subscription] = set()
        self._seq = 0

    def subscribe(self, *tables: Table) -> Subscription:
        """Listen to tables; the first ``take`` of each says "all"."""
        return Subscription(self, tables)

    def touch(
        self, table: Table, row: EngineRow | PolicyRow | UserRow | JobRow | LimitRow | IncidentRow
    ) -> None:
        """Say that a row changed."""
        row.rev += 1
        for subscription in self._subscriptions:
            subscription.mark(table, row.id)

    def incident_live(self, key: str) -> bool:
        """Whether an incident of this key is live."""
        return key in self.live_incidents

    def reshape(self, table: Table) -> None:
        """Say that rows of a table came or went."""
        for subscription in self._subscriptions:
            subscription.mark_all(table)

    def append(self, mailbox: str, at_ms: int, sign: str, text: str, level: int) -> Line:
        """Add a line to a mailbox's ring."""
        self._seq += 1
        line = Line(self._seq, at_ms, sign, text, level)
        ring = self.lines.get(mailbox)
        if ring is None:
            ring = self.lines[mailbox] = deque(maxlen=RING)
        ring.append(line)
        for subscription in self._subscriptions:
            subscription.mark(Table.LINES, mailbox)
        return line
