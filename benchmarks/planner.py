"""The planner alone: CPU per link, in the cases that a cycle meets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.rows import Row
from engine.model.canonical import FIELDS, Fields
from engine.model.modules import Module, Side
from engine.sync.reconcile import Rules, Tree, Verdict, View, reconcile

#: Target of the design for all of our own code per item, in microseconds.
OWN_CODE_US = 100.0

_NAMES = frozenset(FIELDS[Module.CONTACT])
_RULES = Rules(shared=_NAMES, writable={Side.CRM: _NAMES, Side.MAILBOX: _NAMES})


def _contact(number: int) -> Fields:
    return {
        "given": f"Ada {number}",
        "family": "Lovelace",
        "company": "Analytical Engines Ltd",
        "title": "Head of Programming",
        "department": "Research",
        "email": f"ada.{number}@example.com",
        "phone_work": f"+4420{number:08d}",
        "phone_mobile": f"+4477{number:08d}",
        "address_work": {"street": "12 St James's Square", "city": "London", "country": "United Kingdom"},
        "birthday": "1815-12-10",
        "notes": "Met at the fair.\n" * 8,
    }


def _new(number: int) -> Tree:
    return Tree(number, Module.CONTACT, None, View(True, _contact(number)), None)


def _same(number: int) -> Tree:
    base = _contact(number)
    return Tree(number, Module.CONTACT, base, View(True, _contact(number)), View(True, _contact(number)))


def _edited(number: int) -> Tree:
    edited = {**_contact(number), "title": "Countess"}
    return Tree(number, Module.CONTACT, _contact(number), View(True, edited), View(True, _contact(number)))


async def measure(folder: Path, users: int) -> list[Row]:
    """CPU microseconds per link for three cases, over ``users`` thousand links. ``folder`` is not used."""
    cases: tuple[tuple[str, Callable[[int], Tree], Verdict], ...] = (
        ("new in the CRM", _new, Verdict.WRITE),
        ("unchanged", _same, Verdict.AGREED),
        ("one field edited", _edited, Verdict.WRITE),
    )
    rows = []
    for name, make, expected in cases:
        trees = [make(number) for number in range(users * 1000)]
        begun = time.process_time()
        decisions = [reconcile(tree, _RULES) for tree in trees]
        spent = time.process_time() - begun
        if any(decision.verdict is not expected for decision in decisions):
            raise RuntimeError(f"the planner did not answer {expected.value} for a contact that is {name}")
        rows.append(
            Row(f"planner: contact {name}", round(spent * 1e6 / len(trees), 1), "µs/item", peer=OWN_CODE_US)
        )
    return rows
