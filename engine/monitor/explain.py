"""The values of "explain this item": what is known of one item, why it stands as it does, and what comes next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: a label and what it says.

    Attributes:
        tone: ``""``, ``quiet``, ``alert`` (a person is needed, or something waits) or ``fault``.
    """

    label: str
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Facts under a title."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field on both sides and as last agreed, in words; empty where there is no value.

    Attributes:
        differs: ``""`` (all agree), ``crm``, ``mailbox`` (that side differs from what was agreed), ``both``, or
            ``first`` (the sides differ and never agreed).
        plan: what the planner would do with it now; empty for nothing.
    """

    name: str
    label: str
    crm: str
    agreed: str
    mailbox: str
    differs: str = ""
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """One item that a question came upon.

    Attributes:
        link: asks for this item alone (``#link``); None for the person's own item, which has no twin.
        name: ``(private)`` for a private item.
        state: of its link, or ``own``.
    """

    link: int | None
    mailbox: str
    module: str
    name: str
    state: str
    reason: str
    side: str
    remote_id: str


@dataclass(frozen=True, slots=True)
class Item:
    """One item, explained.

    Attributes:
        answer: one or two sentences: how it stands, why, and what happens next.
        tone: of the answer, as in ``Fact``.
    """

    hit: Hit
    policy: str
    answer: str
    tone: str
    fields: tuple[FieldView, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to a question about an item.

    Attributes:
        item: when exactly one was found.
        hits: to choose from, when there are several; ``more`` when there are even more.
        note: why nothing was found, and how to ask.
    """

    query: str
    item: Item | None = None
    hits: tuple[Hit, ...] = ()
    more: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a mailbox or a job does not run now (or that it runs).

    Attributes:
        kind: ``user`` or ``job``.
        why: sentences, the deciding one first.
    """

    kind: str
    id: str
    state: str
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptCount:
    """So many items of a module stay on their side for one reason.

    Attributes:
        kind: ``filtered`` (a rule of the policy), ``absent`` (deleted in one place, kept in the other), ``dismissed``
            (an admin has given it up) or ``own`` (the person's own, outside the policy's groups and colours).
    """

    kind: str
    module: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Filtered:
    """What of a mailbox does not cross over, and why; nothing is dropped in silence.

    Attributes:
        counts: all of it by reason, the most frequent first.
        rows: one page of the items, in the order of their ids.
        after: the id to ask for the next page with; None at the end.
    """

    mailbox: str
    counts: tuple[KeptCount, ...]
    rows: tuple[Hit, ...]
    after: int | None = None
