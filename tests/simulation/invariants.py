"""The invariants of the synchronisation, each by its name (docs/sync.md): what is checked while a seed runs and in the end.

I9 (the planner is pure and symmetric) is a matter of the planner's own properties: tests/sync/test_reconcile.py.
I7, I8, I11 and I12 are watched where they could be broken, at the servers and at the ledger's commits; the checks
here report what was seen there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from engine.ledger.links import KEPT_DELETE, KEPT_TWIN, UNDONE_DELETE
from engine.model.canonical import FIELDS, same
from engine.model.modules import Direction, Module, Side
from engine.model.occurrences import is_plain
from engine.model.recurrence import in_series
from tests.simulation.people import SECRET, identity, tokens
from tests.simulation.previewing import nothing_written
from tests.simulation.undoing import restored_or_listed
from tests.simulation.world import SimWorld, Violation
from tests.sync.fakes import OBJECT_OF, FakeProvider, Thing, place_of

#: States of a link in which its two sides need not be alike: it waits for a person, or the policy leaves it so.
APART = frozenset({"held", "filtered", "absent", "quarantined"})


def _docs(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def no_lost_edit(world: SimWorld) -> None:
    """I1: a value that a person wrote is current, or was replaced by somebody who could see it, or is in the journal."""
    persons = world.persons
    missing = persons.values - persons.seen
    for provider in (world.crm, world.mail):
        for shelf in provider.shelves.values():
            missing -= tokens(value for thing in shelf.live() for value in thing.fields.values())
    if missing:
        missing -= tokens(row[0] for row in world.rows("SELECT before FROM journal WHERE before IS NOT NULL"))
    if missing:
        raise Violation("I1", f"lost: {', '.join(sorted(missing))}")


def no_duplicate(world: SimWorld) -> None:
    """I2: at most one live item per link and side, in the ledger and, by its name, on the servers.

    What is held as a possible twin, or whose removal Delete Safety holds, stands in nobody's place: it is shown to an
    admin, and no copy of it is made. Nor does what is there again because an admin wanted it back.
    """
    double = world.rows(
        "SELECT link_id, side FROM item WHERE deleted = 0 AND link_id IS NOT NULL GROUP BY link_id, side HAVING count(*) > 1"
    )
    if double:
        raise Violation("I2", f"two live items of one side in link {double[0][0]} ({double[0][1]})")
    waits = {
        row[0]
        for row in world.rows(
            "SELECT item.remote_id FROM item JOIN link ON link.id = item.link_id "
            "WHERE item.deleted = 0 AND (link.state = 'held' OR link.reason IN (?, ?, ?) "
            "OR EXISTS (SELECT 1 FROM intent WHERE intent.link_id = link.id AND "
            "(intent.state = 'held' OR intent.error = 'an admin lets it be made again')))",
            KEPT_TWIN,
            KEPT_DELETE,
            UNDONE_DELETE,
        )
    }
    for email in world.people:
        for side, provider in ((Side.CRM, world.crm), (Side.MAILBOX, world.mail)):
            names: dict[str, list[str]] = {}
            for module in world.modules:
                where = OBJECT_OF[module] if side is Side.CRM else f"{email}/{place_of(module)}"
                for thing in provider.of(email, module):  # type: ignore[attr-defined]
                    if (where, thing.id) not in world.persons.own and not waits & {thing.id, thing.parent}:
                        names.setdefault(identity(provider, where, thing), []).append(thing.id)
            for name, ids in names.items():
                if len(ids) > 1 and name.partition("@")[0] not in world.persons.by_hand:
                    raise Violation(
                        "I2", f"{email} has {name} {len(ids)} times in the {side}: {', '.join(ids)}"
                    )


def converged(world: SimWorld) -> None:
    """I3: once faults have stopped, crm = mailbox = base for every link, and nothing is dirty or open."""
    open_ = world.rows(
        "SELECT link_id, kind, side, state FROM intent WHERE state IN ('planned','in_flight','unknown')"
    )
    if open_:
        raise Violation("I3", f"a write is still open: {open_[0]}")
    dirty = world.rows(
        "SELECT dirty.link_id, link.state, link.reason FROM dirty JOIN link ON link.id = dirty.link_id "
        "WHERE link.state NOT IN ('held','quarantined') AND NOT EXISTS "
        "(SELECT 1 FROM intent WHERE intent.link_id = dirty.link_id AND intent.state = 'held')"
    )
    if dirty:
        raise Violation("I3", f"link {dirty[0][0]} is still on the work list ({dirty[0][1]} {dirty[0][2]})")
    links = {row[0]: row for row in world.rows("SELECT id, module, state, base, mailbox_id FROM link")}
    held = {row[0] for row in world.rows("SELECT link_id FROM intent WHERE state = 'held'")}
    sides: dict[int, dict[str, tuple[Any, Any]]] = {}
    for link_id, side, fields, accepted in world.rows(
        "SELECT link_id, side, fields, accepted FROM item WHERE deleted = 0 AND link_id IS NOT NULL"
    ):
        sides.setdefault(link_id, {})[side] = (_docs(fields) or {}, _docs(accepted) or {})
    for link_id, shown in sides.items():
        _, module, state, base, _ = links[link_id]
        if state in APART or link_id in held:
            continue
        if state != "live" or len(shown) != 2:
            raise Violation(
                "I3", f"link {link_id} ({module}) is {state} with {' and '.join(sorted(shown))} live"
            )
        if world.policy.settings(Module(module)).direction is Direction.BOTH:
            _agree(link_id, Module(module), shown, _docs(base) or {})
    _ledger_shows_the_servers(world)


def _agree(link_id: int, module: Module, shown: Mapping[str, tuple[Any, Any]], base: Mapping[str, Any]) -> None:
    for name, field in FIELDS[module].items():
        values = []
        for fields, accepted in (shown["crm"], shown["mailbox"]):
            value, pair = fields.get(name), accepted.get(name)
            values.append(pair[0] if pair is not None and same(field.kind, value, pair[1]) else value)
        crm, mailbox = values
        if not same(field.kind, crm, mailbox) or not same(field.kind, crm, base.get(name)):
            raise Violation(
                "I3", f"{module} {link_id}.{name}: CRM {crm!r}, mailbox {mailbox!r}, base {base.get(name)!r}"
            )


def _ledger_shows_the_servers(world: SimWorld) -> None:
    """What the ledger believes is what the servers hold: every item, in its present version."""
    known: dict[tuple[str, str, str], tuple[str | None, int]] = {}
    for side, email, remote_id, etag, own in world.rows(
        "SELECT item.side, mailbox.email, item.remote_id, item.etag, item.own FROM item "
        "JOIN mailbox ON mailbox.id = item.mailbox_id WHERE item.deleted = 0"
    ):
        known[side, email, remote_id] = (etag, own)
    for email in world.people:
        for provider in (world.crm, world.mail):
            for module in world.modules:
                for thing in provider.of(email, module):
                    row = known.pop((provider.side, email, thing.id), None)
                    if row is None and provider.resets and _as_its_series(provider, email, thing):
                        continue
                    if row is None:
                        raise Violation(
                            "I3", f"the ledger knows nothing of {provider.side} {module} {thing.id}"
                        )
                    if row[0] != str(thing.version):
                        raise Violation(
                            "I3",
                            f"the ledger has {thing.id} in version {row[0]}, the server in {thing.version}",
                        )
    if known:
        raise Violation("I3", f"the ledger believes in {sorted(known)[0]}, which is gone")


def _as_its_series(provider: FakeProvider, email: str, thing: Thing) -> bool:
    """Whether an occurrence is nothing by itself, at a server that forgets what was changed: plain, or not in its series."""
    if thing.parent is None:
        return False
    where = OBJECT_OF[thing.module] if provider.side is Side.CRM else f"{email}/{place_of(thing.module)}"
    series, start = provider.shelf(where).now[thing.parent].fields, thing.occurrence or ""
    return not in_series(series["rule"]["lines"], series["start"], start) or is_plain(
        thing.module, thing.fields, series, start
    )


def idle(world: SimWorld, before: tuple[int, int], calls: Counter[str]) -> None:
    """I4: a cycle without news makes exactly one call per feed, writes nothing and commits nothing."""
    feeds = len(world.crm.scopes(world.modules)) + len({place_of(one) for one in world.modules}) * len(
        world.people
    )
    if dict(calls) != {"changes": feeds}:
        raise Violation("I4", f"an idle cycle made the calls {dict(calls)} instead of {feeds} of changes")
    after = (world.store.commits, len(world.crm.log) + len(world.mail.log))
    if after != before:
        raise Violation(
            "I4", f"an idle cycle made {after[0] - before[0]} commits and {after[1] - before[1]} writes"
        )


def cost(world: SimWorld, calls: Counter[str], pages: int, changes: int) -> None:
    """I5: calls at most feeds + pages + c x changes."""
    feeds = len(world.crm.scopes(world.modules)) + len({place_of(one) for one in world.modules}) * len(
        world.people
    )
    # A feed that is read again from the beginning asks twice, and fetches what it did not list.
    most = 3 * feeds + pages + 4 * changes + 2
    if sum(calls.values()) > most:
        raise Violation("I5", f"{dict(calls)} for {changes} changes in {feeds} feeds and {pages} further pages")


def cursor_behind(world: SimWorld) -> None:
    """I6: a cursor is never ahead of committed observations: what lies before it is in the ledger."""
    rows: dict[tuple[int, str], list[tuple[int, str | None, int]]] | None = None
    emails = dict(world.rows("SELECT id, email FROM mailbox"))
    served = {f"u-{email}" for email in emails.values()}
    for scope_id, mailbox_id, side, key, cursor in world.rows(
        "SELECT id, mailbox_id, side, key, cursor FROM scope WHERE cursor IS NOT NULL"
    ):
        provider: FakeProvider = world.crm if side == "crm" else world.mail
        shelf = provider.shelf(key if side == "crm" else f"{emails[mailbox_id]}/{key}")
        epoch, _, number = cursor.partition(":")
        if int(epoch) != shelf.epoch or world.read_to.get(scope_id) == cursor:
            continue
        if rows is None:
            rows = {}
            for sid, remote_id, deleted, etag, mailbox in world.rows(
                "SELECT scope_id, remote_id, deleted, etag, mailbox_id FROM item"
            ):
                rows.setdefault((sid, remote_id), []).append((deleted, etag, mailbox))
        latest: dict[str, Thing] = {thing.id: thing for thing in shelf.log[: int(number)]}
        # A feed shows the latest state: of what was deleted behind the cursor the ledger may know already, or never have known.
        left = {thing.id for thing in shelf.log[int(number) :] if thing.deleted}
        for thing in latest.values():
            if (
                thing.deleted
                or thing.id in left
                or thing.module not in world.modules
                or (side == "crm" and thing.owner not in served)
            ):
                continue
            now = shelf.now[thing.id]
            if provider.resets and now.parent is not None:
                continue  # it may be plain again, and is then nothing that such a server knows by itself
            found = rows.get((scope_id, thing.id), [])
            fresh = [one for one in found if one[0] or (one[1] is not None and int(one[1]) >= thing.version)]
            if not fresh:
                raise Violation(
                    "I6", f"the cursor {cursor} of {key} is past {thing.id}, which was never recorded"
                )
            if not now.deleted and now.owner == thing.owner and all(one[0] for one in fresh):
                raise Violation("I7", f"{thing.id} is deleted in the ledger, and lives on the server")
        world.read_to[scope_id] = cursor


def guard(world: SimWorld) -> None:
    """I7: no delete without a delete; never more in one cycle than Delete Safety lets through.

    A cycle is one engine's. What another plans that has taken over meanwhile, from a reading of its own, is its own, as
    is what an engine plans that is started again after a crash (seed 83619).
    """
    for (_, email, side, module), count in world.deletes.items():
        most = world.policy.threshold(module).count + world.let_through[email, side, module]
        if count > most:
            raise Violation("I7", f"{count} {module} deletes in the {side} of {email}, {most} are let through")


def versions(world: SimWorld) -> None:
    """I8: every update and delete names the version that it is based on."""
    if world.crm.unguarded or world.mail.unguarded:
        raise Violation("I8", "a write named no version")


def unknown_fields(world: SimWorld) -> None:
    """I10: what people noted in fields that we do not know is still there."""
    for (where, item), value in world.persons.unknown.items():
        for provider in (world.crm, world.mail):
            thing = provider.shelves[where].now.get(item) if where in provider.shelves else None
            if thing is not None and not thing.deleted and (thing.native or {}).get("unknown") != value:
                raise Violation("I10", f"{item} has lost its {value!r}: {thing.native}")


def nobody_mailed(world: SimWorld) -> None:
    """I12: no attendee is mailed."""
    if world.crm.mailed or world.mail.mailed:
        raise Violation("I12", "a guest was mailed")


def no_private_body(world: SimWorld) -> None:
    """I15: no body of a private item is in the ledger, in what the screens are told, or in a log."""
    if SECRET.encode() in world.store.raw.serialize():
        raise Violation("I15", "the body of a private item is in the ledger")
    if any(SECRET in (one.text or "") for one in world.told):
        raise Violation("I15", "the body of a private item was told to the screens")


def stale_lease(world: SimWorld) -> None:
    """I11: an engine whose lease was taken over commits nothing (watched at every commit of the ledger)."""
    found = [one for one in world.wrong if one.name == "I11"]
    if found:
        raise found[0]


#: Checked after every cycle and every death of a process.
ALWAYS: Mapping[str, Callable[[SimWorld], None]] = {
    "I6": cursor_behind,
    "I7": guard,
    "I8": versions,
    "I11": stale_lease,
    "I12": nobody_mailed,
}

#: Checked when faults have stopped and nothing is left to do.
FINALLY: Mapping[str, Callable[[SimWorld], None]] = {
    "I1": no_lost_edit,
    "I2": no_duplicate,
    "I3": converged,
    "I10": unknown_fields,
    "I15": no_private_body,
}

#: Every invariant with its check. I4 and I5 are checked on the cycles that lead to the end, I13 around every preview.
INVARIANTS: Mapping[str, Callable[..., None]] = dict(
    sorted(
        {
            **ALWAYS,
            **FINALLY,
            "I4": idle,
            "I5": cost,
            "I13": nothing_written,
            "I14": restored_or_listed,
        }.items(),
        key=lambda one: int(one[0][1:]),
    )
)
