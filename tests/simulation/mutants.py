"""Ten engine bugs, planted on purpose: each has an owner among the proofs, which must find it.

Random seeds alone do not prove a second line of defence, since the first one holds; such a bug is owned by a scenario.
"""

from __future__ import annotations

import asyncio
import inspect
import textwrap
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import engine.ledger.intents
import engine.ledger.mailboxes
import engine.ledger.observe
import engine.ledger.plans
import engine.ledger.twins
import engine.ledger.waiting
import engine.sync.apply
import engine.sync.asking
import engine.sync.cycle
import engine.sync.observe
import engine.sync.recover
from engine.ledger.sql import set_columns
from engine.model.modules import Module
from engine.model.policy import ModuleSettings, Policy
from engine.model.port import CreateKey
from engine.sync.reconcile import Verdict
from tests.simulation.run import run_seed
from tests.sync.world import A, World, faulty

Plant = Callable[[pytest.MonkeyPatch], None]
Hunt = Callable[[], str]
"""Runs a proof; returns what it found, empty when it holds."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug, how it is planted, and the proof that owns it."""

    name: str
    plant: Plant
    hunt: Hunt


def seeds(count: int, *kinds: str, only: Collection[str] = ()) -> Hunt:
    """The owner is the simulation: so many seeds with these kinds of fault, and invariants that must notice."""

    def hunt() -> str:
        for number in range(count):
            verdict = run_seed(number, kinds=kinds)
            if verdict.broken and (not only or verdict.broken in only):
                return f"seed {number}: {verdict.broken}: {verdict.text}"
        return ""

    return hunt


def scenario(story: Callable[[], Any]) -> Hunt:
    """The owner is a scenario of its own."""

    def hunt() -> str:
        try:
            asyncio.run(story())
        except AssertionError as error:
            return str(error).partition("\n")[0] or "it fails"
        return ""

    return hunt


# -- scenarios -------------------------------------------------------------------------------------------------


async def a_create_is_sent_once(point: str) -> None:
    """A create whose answer is lost, at a provider whose feed lags: it is waited for and found, not sent again."""
    policy = Policy("sales", "crm", "mail", modules={Module.CONTACT: ModuleSettings()})
    world = await World(policy=policy, mail_key=CreateKey.MARKER, lag=120).start()
    world.crm.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@x.test")
    with faulty(
        world.mail, lambda at, *_: point if at == ("write" if point == "lost-after" else "apply") else None
    ):
        await world.cycle()
    await world.cycle()
    await world.settle(3)
    sent = [line for line in world.mail.log if line.startswith("create")]
    assert len(sent) == 1, f"one contact was created {len(sent)} times"
    await world.check()


async def a_rewritten_value_is_no_edit() -> None:
    """What a server makes of our value does not flow back as if a person had written it."""
    policy = Policy("sales", "crm", "mail", modules={Module.CONTACT: ModuleSettings()})
    world = await World(policy=policy).start()
    world.mail.rewrites["notes"] = lambda value: f"<p>{value}</p>"
    item = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee", notes="short")
    await world.settle(2)
    world.crm.edit("Contact", item, title="Chief")
    await world.settle(3)
    written = world.crm.log + world.mail.log
    assert len(written) == 2, f"a value that the server rewrote was written back: {written}"
    assert world.crm.shelf("Contact").now[item].fields["notes"] == "short"


# -- bugs ------------------------------------------------------------------------------------------------------


def _no_if_match(patch: pytest.MonkeyPatch) -> None:
    right = engine.sync.apply._write
    patch.setattr(engine.sync.apply, "_write", lambda *args: replace(right(*args), etag=None))


class _Nothing:
    """A statement that does nothing."""

    def many(self, *_: Any, **__: Any) -> None:
        return

    run_among = run = many


def _no_journal(patch: pytest.MonkeyPatch) -> None:
    for name in ("_JOURNALLED", "_UNSURE", "_WITH_SERIES"):
        patch.setattr(engine.ledger.intents, name, _Nothing())
    patch.setattr(engine.ledger.plans, "_JOURNAL", _Nothing())


def _blind_retry(patch: pytest.MonkeyPatch) -> None:
    blind = SimpleNamespace(MARKER=None, PROBE=CreateKey.PROBE, NATURAL=CreateKey.NATURAL)
    for module in (engine.sync.apply, engine.sync.recover):
        patch.setattr(module, "CreateKey", blind)


def _recompiled(patch: pytest.MonkeyPatch, module: ModuleType, name: str, old: str, new: str) -> None:
    """Replace a function by its own text with one change."""
    text = textwrap.dedent(inspect.getsource(getattr(module, name)))
    assert text.count(old) == 1, f"{name} no longer has {old!r} once: plant this bug anew"
    names: dict[str, Any] = {}
    exec(compile(text.replace(old, new), f"<{name} with a bug>", "exec"), module.__dict__, names)
    patch.setattr(module, name, names[name])


def _only_cursor(connection: Any, scope_id: int, cursor: str) -> None:
    set_columns(connection, engine.ledger.observe.scope, "id", scope_id, cursor=cursor)


def _cursor_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.ledger.observe, "only_cursor", _only_cursor, raising=False)
    mark = "        listed_here = bool(seen or gone)\n".replace("        ", "        ", 1)
    _recompiled(
        patch,
        engine.sync.observe,
        "_pages",
        mark,
        mark
        + "        if last:\n            await ledger.write(units.only_cursor, feed.row.id, page.cursor)\n",
    )


async def _hold_nothing(*_: Any, **__: Any) -> None:
    return


def _guard_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.sync.cycle, "hold_excess", _hold_nothing)


def _base_stays(patch: pytest.MonkeyPatch) -> None:
    right = engine.sync.asking.reconcile

    def wrong(tree: Any, *args: Any) -> Any:
        decision = right(tree, *args)
        return replace(decision, base=tree.base or {}) if decision.verdict is Verdict.AGREED else decision

    patch.setattr(engine.sync.asking, "reconcile", wrong)


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    for module in (
        engine.ledger.observe,
        engine.ledger.intents,
        engine.ledger.plans,
        engine.ledger.mailboxes,
        engine.ledger.twins,
        engine.ledger.waiting,
    ):
        patch.setattr(module, "check", lambda *_: None)


def _no_twin_merger(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.sync.cycle, "plan_double", lambda *_: None)


def _no_accepted_forms(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.sync.apply, "after_write", lambda *_: {})


def _not_written_ahead(patch: pytest.MonkeyPatch) -> None:
    def take_flight(*_: Any) -> None:
        return

    patch.setattr(engine.ledger.intents, "take_flight", take_flight)


def _windows_believed(patch: pytest.MonkeyPatch) -> None:
    _without_trait(patch, "windowed")


def _net_feeds_believed(patch: pytest.MonkeyPatch) -> None:
    _without_trait(patch, "net")


def _without_trait(patch: pytest.MonkeyPatch, name: str) -> None:
    tells = engine.sync.observe.tells
    patch.setattr(
        engine.sync.observe, "tells", lambda port, feed, trait: trait != name and tells(port, feed, trait)
    )


MUTANTS = (
    Mutant("no If-Match", _no_if_match, seeds(20, only=("I8",))),
    Mutant("no journal", _no_journal, seeds(150, only=("I1",))),
    Mutant(
        "blind retry of an unknown create", _blind_retry, scenario(lambda: a_create_is_sent_once("lost-after"))
    ),
    Mutant("cursor committed before the items", _cursor_first, seeds(200, "crash", only=("I6",))),
    Mutant("Delete Safety off", _guard_off, seeds(200, only=("I7",))),
    Mutant("base not advanced on agreement", _base_stays, seeds(100, "lost reply", "crash", only=("I3",))),
    Mutant("fence not checked", _no_fence, seeds(100, "two engines", only=("I11",))),
    Mutant("twin merger removed", _no_twin_merger, seeds(150, "double delivery", only=("I2",))),
    Mutant("accepted forms dropped", _no_accepted_forms, scenario(a_rewritten_value_is_no_edit)),
    Mutant(
        "in-flight not written ahead",
        _not_written_ahead,
        scenario(lambda: a_create_is_sent_once("crash-after")),
    ),
    Mutant("removals of a windowed feed believed", _windows_believed, seeds(150, "windowed removal")),
    Mutant("the silence of a net feed believed", _net_feeds_believed, seeds(150, only=("I3",))),
)
