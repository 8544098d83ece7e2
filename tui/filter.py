"""The filter language: ``state:failed,backoff policy:"sales emea" -user:bot text``.

Words with a colon look into one field, others anywhere; commas mean "or", blanks "and", a leading minus "not", and quotes
keep a blank inside of a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

#: Words that stand for several states.
GROUPS: dict[str, tuple[str, ...]] = {
    "active": ("initializing", "syncing"),
    "waiting": ("queued", "backoff"),
    "fault": ("failed", "quarantined", "stale", "error"),
    "first": ("initializing",),
    "off": ("disabled",),
    "on": ("enabled",),
}

Known = Mapping[str, Sequence[str]]
"""The values that a field can have, for those fields that have few."""

#: Words that a completion offers at most.
MOST = 12


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


def words(source: str) -> list[str]:
    """The words of a filter, quotes taken off.

    Raises:
        ValueError: a quote is not closed.
    """
    found: list[str] = []
    current, inside, begun = "", False, False
    for letter in source:
        if letter == '"':
            inside, begun = not inside, True
        elif letter.isspace() and not inside:
            if current or begun:
                found.append(current)
            current, begun = "", False
        else:
            current += letter
    if inside:
        raise ValueError('A quote is not closed: "two words" need one at both ends.')
    return [*found, current] if current or begun else found


def parse(source: str, keys: tuple[str, ...], known: Known | None = None) -> Filter:
    """Read a filter. A fault is told, not raised.

    Args:
        source: as typed.
        keys: the fields that the table has.
        known: the values of fields that have few; another value is told to be none.
    """
    try:
        split = words(source)
    except ValueError as error:
        return Filter(source, (), str(error), keys)
    terms: list[Term] = []
    for word in split:
        negated = word.startswith("-") and len(word) > 1
        bare = word[1:] if negated else word
        key, colon, text = bare.partition(":")
        key = key.lower()
        if not colon:
            if bare:
                terms.append(Term("", (bare.lower(),), negated))
            continue
        if key not in keys:
            return Filter(source, (), _unknown_key(key, keys), keys)
        texts = [part.strip() for part in text.lower().split(",") if part.strip()]
        wrong = _unknown_value(key, texts, (known or {}).get(key, ()))
        if wrong:
            return Filter(source, (), wrong, keys)
        if key == "state":
            texts = [state for part in texts for state in GROUPS.get(part, (part,))]
        if texts:
            terms.append(Term(key, tuple(texts), negated))
    return Filter(source, tuple(terms), "", keys)


def _unknown_key(key: str, keys: Sequence[str]) -> str:
    near = get_close_matches(key, keys, n=1)
    hint = f" Did you mean {near[0]}:?" if near else ""
    known = " ".join(f"{name}:" for name in keys)
    return f"Unknown filter word '{key}:'.{hint} Known: {known} or plain text."


def _unknown_value(key: str, texts: Sequence[str], values: Sequence[str]) -> str:
    """A value that none of the known ones contains: it would silently find nothing."""
    for text in texts:
        if values and not any(text in value.lower() for value in values):
            near = get_close_matches(text, [value.lower() for value in values], n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            return f"No {key} is called '{text}'.{hint} Known: {', '.join(values[:MOST])}."
    return ""


def completions(source: str, keys: Sequence[str], known: Known) -> list[str]:
    """What the whole filter could become when its last word is completed, the likeliest first."""
    head, _, last = source.rpartition(" ")
    if source.count('"') % 2:  # inside of a quoted word
        head, _, last = source.rpartition(' "')
        last = f'"{last}' if head or source.startswith('"') else source
    before = f"{head} " if head else ""
    minus, bare = ("-", last[1:]) if last.startswith("-") else ("", last)
    key, colon, text = bare.partition(":")
    if not colon:
        return (
            [f"{before}{minus}{name}:" for name in keys if name.startswith(bare.lower()) and bare]
            if bare
            else []
        )
    parts = text.split(",")
    done, typed = ",".join(parts[:-1]), parts[-1].strip('"').lower()
    done = f"{done}," if done else ""
    values = known.get(key.lower(), ())
    fits = sorted(
        (value for value in values if typed in value.lower() and value.lower() != typed),
        key=lambda value: (not value.lower().startswith(typed), value.lower()),
    )
    return [f"{before}{minus}{key}:{done}{_quoted(value)}" for value in fits[:MOST]]


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
