"""The part of a preview that an admin lets a cycle carry out, and whether a plan still is what was previewed. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.ledger.proposals import Proposal
from engine.model.modules import Module
from engine.sync.plan import Planned

#: Kinds of lines that a cycle can carry out; containers are made as the others need them, held items wait for an admin.
WRITES = frozenset({"create", "update", "delete", "merge"})

CHANGED = "it changed since the preview"


@dataclass(slots=True)
class Chosen:
    """Lines of one mailbox's preview that are to be carried out, and what became of them.

    Attributes:
        rows: by link; an item that is written on both sides has two.
        agreed: links whose plan was what had been previewed.
        changed: links whose plan was another, with the reason.
    """

    rows: Mapping[int, Sequence[Proposal]]
    agreed: set[int] = field(default_factory=set)
    changed: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Iterable[Proposal]) -> Chosen:
        """From lines of a preview; those that nothing can be done about are left out."""
        rows: dict[int, list[Proposal]] = {}
        for one in lines:
            if one.kind in WRITES and one.state == "proposed":
                rows.setdefault(one.link_id, []).append(one)
        return cls(rows)

    @property
    def modules(self) -> frozenset[Module]:
        """Modules of the chosen lines."""
        return frozenset(Module(one.module) for rows in self.rows.values() for one in rows)

    def pairs(self, found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the twins found now that were previewed as such."""
        twins = {(link_id, one.twin) for link_id, rows in self.rows.items() for one in rows if one.twin}
        return [pair for pair in found if pair in twins]

    def take(self, planned: Planned) -> bool:
        """Whether a link's plan may be carried out: it was chosen, and is what was previewed."""
        plan = planned.plan
        wanted = self.rows.get(plan.link_id)
        if wanted is None:
            return False
        now = [(one.side, one.kind, _text(one.patch), one.etag, one.remote_id) for one in plan.intents]
        then = [
            (one.side, "update" if one.kind == "merge" else one.kind, _text(one.patch), one.etag, one.remote_id)
            for one in wanted
            if one.side
        ]
        if sorted(map(str, now)) == sorted(map(str, then)) and (now or plan.state == "live"):
            self.agreed.add(plan.link_id)
            return True
        if plan.link_id not in self.agreed:
            said = f"; it would now be {plan.state}: {plan.reason}" if plan.state and plan.reason else ""
            self.changed[plan.link_id] = CHANGED + said
        return False

    def left(self, link_ids: Collection[int]) -> set[int]:
        """Chosen links that are not among some."""
        return self.rows.keys() - set(link_ids)


def _text(patch: Mapping[str, Any]) -> str:
    return json.dumps(patch, sort_keys=True)
