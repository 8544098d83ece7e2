"""SOQL text to a syntax tree: a tokenizer and a recursive descent, with the error texts of the real parser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from engine.sandbox.salesforce.errors import SfError

AGGREGATES = frozenset({"count", "count_distinct", "min", "max", "sum", "avg"})

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    | (?P<op><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),:])
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the query: its kind, its text, and where it starts (from 0)."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. ``kind`` is string, number, boolean, null, date, datetime or literal (``TODAY``, ``LAST_N_DAYS:7``)."""

    kind: str
    value: Any
    at: int


@dataclass(frozen=True, slots=True)
class Path:
    """A field, perhaps of a parent: ``Account.Owner.Name``."""

    parts: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Function:
    """An aggregate (``COUNT(Id) total``) or ``FIELDS(ALL)``; ``argument`` is ``None`` for ``COUNT()``."""

    name: str
    argument: Path | None
    alias: str
    at: int


@dataclass(frozen=True, slots=True)
class Compare:
    """``path op value``; ``op`` is ``= != < <= > >= like in notin``; for the last two the value is a tuple or a query."""

    path: Path
    op: str
    value: Value | tuple[Value, ...] | Query
    at: int


@dataclass(frozen=True, slots=True)
class Logic:
    """``and`` and ``or`` of several conditions, ``not`` of one."""

    op: str
    parts: tuple[Condition, ...]


Condition = Compare | Logic


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query or a subquery."""

    items: tuple[Path | Function | Query, ...]
    source: str
    source_at: int
    alias: str = ""
    where: Condition | None = None
    group: tuple[Path, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None
    all_rows: bool = False
    text: str = field(default="", repr=False)


def fault(text: str, at: int, code: str, message: str) -> SfError:
    """A refusal that shows the place in the query as the real parser does."""
    start = max(0, at - 40)
    snippet = text[start : at + 40].replace("\n", " ")
    pointer = " " * (at - start) + "^"
    return SfError(code, f"\n{snippet}\n{pointer}\nERROR at Row:1:Column:{at + 1}\n{message}")


def parse(text: str) -> Query:
    """The tree of a query.

    Raises:
        SfError: ``MALFORMED_QUERY`` with the place of the unexpected token.
    """
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = 0

    def _split(self, text: str) -> list[Token]:
        tokens, at = [], 0
        stop = len(text.rstrip())
        while at < stop:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise fault(text, at, "MALFORMED_QUERY", f"unexpected token: '{text[at]}'")
            tokens.append(Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            at = found.end()
        return tokens

    # -- words ---------------------------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> Token:
        place = self._next + ahead
        return self._tokens[place] if place < len(self._tokens) else Token("end", "<EOF>", len(self._text))

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _is(self, *words: str) -> bool:
        return all(self._peek(n).text.lower() == word for n, word in enumerate(words))

    def _accept(self, *words: str) -> bool:
        if self._is(*words):
            self._next += len(words)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            self._unexpected()

    def _name(self) -> Token:
        if self._peek().kind != "name":
            self._unexpected()
        return self._take()

    def _number(self) -> int:
        token = self._peek()
        if token.kind != "number" or not token.text.isdigit():
            self._unexpected()
        return min(int(self._take().text), 2**31)  # more rows than that there are not

    def _unexpected(self) -> NoReturn:
        token = self._peek()
        raise fault(self._text, token.at, "MALFORMED_QUERY", f"unexpected token: '{token.text}'")

    def end(self) -> None:
        """Nothing may follow."""
        if self._peek().kind != "end":
            self._unexpected()

    # -- clauses -------------------------------------------------------------------------------------------

    def query(self) -> Query:
        """``SELECT ... FROM ...`` with its clauses."""
        self._expect("select")
        items = [self._item()]
        while self._accept(","):
            items.append(self._item())
        self._expect("from")
        source = self._name()
        alias = ""
        if self._peek().kind == "name" and self._peek().text.lower() not in _CLAUSES:
            alias = self._take().text
        where = self._either() if self._accept("where") else None
        group: list[Path] = []
        if self._accept("group", "by"):
            group.append(self._path())
            while self._accept(","):
                group.append(self._path())
        order: list[Order] = []
        if self._accept("order", "by"):
            order.append(self._order())
            while self._accept(","):
                order.append(self._order())
        limit = self._number() if self._accept("limit") else None
        offset = self._number() if self._accept("offset") else None
        return Query(
            tuple(items),
            source.text,
            source.at,
            alias,
            where,
            tuple(group),
            tuple(order),
            limit,
            offset,
            self._accept("all", "rows"),
            self._text,
        )

    def _item(self) -> Path | Function | Query:
        if self._accept("("):
            inner = self.query()
            self._expect(")")
            return inner
        token = self._name()
        name = token.text.lower()
        if not self._is("("):
            return Path(tuple(token.text.split(".")), token.at)
        if name not in AGGREGATES and name != "fields":
            raise fault(self._text, token.at, "MALFORMED_QUERY", f"unexpected token: '{token.text}'")
        self._take()
        argument = None if self._is(")") else self._path()
        self._expect(")")
        alias = ""
        if self._peek().kind == "name" and not self._is("from"):
            alias = self._take().text
        return Function(name, argument, alias, token.at)

    def _path(self) -> Path:
        token = self._name()
        return Path(tuple(token.text.split(".")), token.at)

    def _order(self) -> Order:
        path = self._path()
        descending = self._accept("desc") or (self._accept("asc") and False)
        last = self._accept("nulls", "last")
        if not last:
            self._accept("nulls", "first")
        return Order(path, descending, last)

    # -- conditions ----------------------------------------------------------------------------------------

    def _either(self) -> Condition:
        first = self._unit()
        if not (self._is("and") or self._is("or")):
            return first
        word = self._peek().text.lower()
        parts = [first]
        while self._accept(word):
            parts.append(self._unit())
        # SOQL has no precedence between AND and OR: a mix needs parentheses.
        if self._is("and") or self._is("or"):
            self._unexpected()
        return Logic(word, tuple(parts))

    def _unit(self) -> Condition:
        if self._accept("not"):
            return Logic("not", (self._unit(),))
        if self._accept("("):
            inner = self._either()
            self._expect(")")
            return inner
        path = self._path()
        at = self._peek().at
        if self._accept("not", "in"):
            return Compare(path, "notin", self._many(), at)
        if self._accept("in"):
            return Compare(path, "in", self._many(), at)
        if self._accept("like"):
            return Compare(path, "like", self._value(), at)
        if self._peek().kind != "op":
            self._unexpected()
        op = self._take().text
        return Compare(path, "!=" if op == "<>" else op, self._value(), at)

    def _many(self) -> tuple[Value, ...] | Query:
        self._expect("(")
        if self._is("select"):
            inner = self.query()
            self._expect(")")
            return inner
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._peek()
        word = token.text.lower()
        if token.kind == "name" and word in ("true", "false", "null"):
            self._take()
            return Value(
                "null" if word == "null" else "boolean", None if word == "null" else word == "true", token.at
            )
        if token.kind == "name" and "." not in word:
            self._take()
            if self._accept(":"):
                return Value("literal", (word, self._number()), token.at)
            return Value("literal", (word, None), token.at)
        if token.kind == "string":
            self._take()
            return Value("string", _unquote(token.text), token.at)
        if token.kind == "number":
            self._take()
            return Value("number", float(token.text) if "." in token.text else int(token.text), token.at)
        if token.kind in ("date", "datetime"):
            self._take()
            return Value(token.kind, token.text, token.at)
        self._unexpected()


_CLAUSES = frozenset({"where", "group", "order", "limit", "offset", "all", "having", "with", "for", "using"})


def _unquote(text: str) -> str:
    # An escaped wildcard keeps its backslash: LIKE alone may hold one, and its SQL escapes them likewise.
    return re.sub(
        r"\\(.)",
        lambda found: found[0] if found[1] in "%_" else _ESCAPES.get(found[1], found[1]),
        text[1:-1],
        flags=re.DOTALL,
    )
