"""The filter language: ``state:failed,backoff policy:emea -user:bot text``.

Words with a colon look into one field, others anywhere; commas mean "or", spaces "and", a leading minus "not".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Words that stand for several states.
GROUPS: dict[str, tuple[str, ...]] = {
    "active": ("initializing", "syncing"),
    "waiting": ("queued", "backoff"),
    "fault": ("failed", "quarantined", "stale", "error"),
    "first": ("initializing",),
    "off": ("disabled",),
    "on": ("enabled",),
}


@dataclass(frozen=True, slots=True)
class Term:
    """One word: a field (or "" for anywhere), the texts of which one must occur, and whether it is negated."""

    key: str
    texts: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. ``error`` says what is wrong with it, in one line."""

    source: str = ""
    terms: tuple[Term, ...] = ()
    error: str = ""
    keys: tuple[str, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether a row passes. ``fields`` are lower-case texts by key; the key "" holds all that can be found."""
        return all(_passes(term, fields) for term in self.terms)


def _passes(term: Term, fields: Mapping[str, str]) -> bool:
    value = fields.get(term.key, "")
    found = (
        value in term.texts
        if term.key == "state" and any(value == text for text in term.texts)
        else any(text in value for text in term.texts)
    )
    return found is not term.negated


def parse(source: str, keys: tuple[str, ...]) -> Filter:
    """Read a filter; ``keys`` are the fields that the table has. A fault is told, not raised."""
    terms: list[Term] = []
    for word in source.split():
        negated = word.startswith("-") and len(word) > 1
        bare = word[1:] if negated else word
        key, colon, text = bare.partition(":")
        key = key.lower()
        if not colon:
            terms.append(Term("", (bare.lower(),), negated))
            continue
        if key not in keys:
            known = " ".join(f"{name}:" for name in keys)
            return Filter(source, (), f"Unknown filter word '{key}:'. Known: {known} or plain text.", keys)
        texts = [part for part in text.lower().split(",") if part]
        if key == "state":
            texts = [state for part in texts for state in GROUPS.get(part, (part,))]
        if texts:
            terms.append(Term(key, tuple(texts), negated))
    return Filter(source, tuple(terms), "", keys)
