"""``syncline events``: what happens in the mailboxes, line by line, as the Activity Monitors show it."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from engine.service import Line, Service, Store, Subscription, Table
from tui import exits
from tui import filter as language
from tui.exits import Trouble
from tui.listing import Column, chosen, show
from tui.out import Out
from tui.printing import plain, when

KEYS = ("user", "policy", "level")
EVENTS = ("at_ms", "mailbox", "policy", "level", "sign", "text")

#: The levels by number, from detail to fault.
LEVELS = ("detail", "item", "step", "fault")

#: With a filter so many of the newest lines are looked at.
MOST = 20_000

#: Seconds between two looks while following: nothing is lost in between, the store keeps 2,000 lines a mailbox.
PULL_SECONDS = 0.25


async def events(service: Service, given: Namespace, out: Out) -> int:
    """The newest lines, and with ``--follow`` those that come, until Ctrl+C.

    Raises:
        Trouble: nothing can come because no engine works here.
    """
    wanted = chosen(given.filter, KEYS)
    if given.follow and not service.store.engine.running:
        raise Trouble(
            exits.USAGE,
            "no engine works on this data directory, so nothing new comes; start one (syncline serve), or leave out --follow",
        )
    follower = Follower(service.store) if given.follow else None
    try:
        found = await service.newest_lines(MOST if wanted else max(given.limit, 1), None)
        policy = {row.id: row.policy for row in service.store.users.values()}
        records = [record(mailbox, policy.get(mailbox, ""), line) for mailbox, line in found]
        records = [one for one in records if wanted.matches(fields(one))]
        records = records[-given.limit :] if given.limit else []
        if follower is None and not given.json:
            columns = [Column(name, name) for name in ("mailbox", "level", "sign", "text")]
            await show(out, given, records, [Column("at", "at_ms"), *columns], _none(wanted), names=EVENTS)
            return exits.OK
        for one in records:
            out.print(_line(one, given, out))
        await out.drain()
        if follower is not None:
            # What was written between the look at the disk and the first look at the store stands in both.
            follower.known = {(mailbox, line.at_ms, line.text) for mailbox, line in found[-1000:]}
            await _follow(service, follower, wanted, given, out)
    finally:
        if follower is not None:
            follower.close()
    return exits.OK


async def _follow(
    service: Service, follower: Follower, wanted: language.Filter, given: Namespace, out: Out
) -> None:
    while not out.stopped.is_set():
        for mailbox, line in follower.fresh(out):
            row = service.store.users.get(mailbox)
            one = record(mailbox, "" if row is None else row.policy, line)
            if wanted.matches(fields(one)):
                out.print(_line(one, given, out))
        await out.drain()
        if not service.store.engine.running:
            return
        await asyncio.sleep(PULL_SECONDS)


class Follower:
    """The lines that come after it was made, each once, of all mailboxes in the order in which they came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, int] = {key: ring[-1].seq for key, ring in store.lines.items() if ring}
        self._subscription: Subscription = store.subscribe(Table.LINES)
        self._subscription.take(Table.LINES)
        self.known: set[tuple[str, int, str]] = set()

    def fresh(self, out: Out) -> list[tuple[str, Line]]:
        """What came since the last look; what a ring had no room for is told as skipped."""
        dirty = self._subscription.take(Table.LINES)
        found: list[tuple[str, Line]] = []
        for mailbox in self._store.lines if dirty is None else dirty:
            ring = self._store.lines.get(mailbox)
            if not ring:
                continue
            seen = self._seen.get(mailbox, 0)
            if seen and len(ring) == ring.maxlen and ring[0].seq > seen + 1:
                out.warn(f"syncline: lines of {mailbox} were skipped: the reader is too slow")
            for line in reversed(ring):
                if line.seq <= seen:
                    break
                found.append((mailbox, line))
            self._seen[mailbox] = ring[-1].seq
        found.sort(key=lambda one: one[1].seq)
        known, self.known = self.known, set()
        return [one for one in found if (one[0], one[1].at_ms, one[1].text) not in known]

    def close(self) -> None:
        """Stop to listen."""
        self._subscription.close()


def record(mailbox: str, policy: str, line: Line) -> dict[str, Any]:
    """A line as ``events --json`` has it."""
    return {
        "at_ms": line.at_ms,
        "mailbox": mailbox,
        "policy": policy,
        "level": LEVELS[min(line.level, len(LEVELS) - 1)],
        "sign": line.sign,
        "text": line.text,
    }


def fields(one: Mapping[str, Any]) -> Mapping[str, str]:
    """What the filter finds in a line."""
    user, policy = one["mailbox"].lower(), one["policy"].lower()
    return {
        "user": user,
        "policy": policy,
        "level": one["level"],
        "": f"{user} {policy} {one['level']} {one['text'].lower()}",
    }


def _line(one: Mapping[str, Any], given: Namespace, out: Out) -> str:
    if given.json:
        return json.dumps(one, ensure_ascii=False)
    return f"{when(one['at_ms'], out.zone)} {one['mailbox']} {one['sign'] or ' '} {plain(one['text'], 500)}"


def _none(wanted: language.Filter) -> str:
    return f"no line matches {wanted.source}" if wanted.source else "nothing has happened yet"
