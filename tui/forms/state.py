"""What stands in a form while an admin edits it: a document, the texts in its fields, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.service import FormField, FormPage, FormProblem, changed, texts

#: Path of the field that holds the name of what is edited; the document does not have it.
NAME = ""

Document = Mapping[str, Any]


class Form:
    """One form.

    Args:
        name: of what is edited; empty for something new, whose name is then the first field.
        document: what to begin with.
        pages: the pages of a document.
        check: what is wrong with a name and a document.
        offers: names to choose from, by the kinds of connection that a field names.
        kind: of the connection that is edited; empty for a policy.
        new: whether the name can still be typed.
    """

    def __init__(
        self,
        name: str,
        document: Document,
        pages: Callable[[Document], Sequence[FormPage]],
        check: Callable[[str, Document], Sequence[FormProblem]],
        offers: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda kinds: (),
        *,
        kind: str = "",
        new: bool,
    ) -> None:
        self.name, self.document, self.new, self._kind = name, document, new, kind
        self._pages, self._check, self._offers = pages, check, offers
        self._began = (name, document)
        self.number = 0
        self.cursor = 0
        self._refresh()
        self._first = dict(self.texts)
        self._labels: dict[str, str] = {}

    def _refresh(self) -> None:
        pages = list(self._pages(self.document))
        self.texts = texts(pages, self.document, self._kind)
        if self.new:
            name = FormField(NAME, "Name", "How it is called.", "a text of 1 to 100 characters", required=True)
            pages[0] = replace(pages[0], fields=(name, *pages[0].fields))
            self.texts[NAME] = self.name
        self.pages = [replace(page, fields=tuple(map(self._offered, page.fields))) for page in pages]
        self.problems: dict[str, list[FormProblem]] = {}
        for each in self._check(self.name, self.document):
            self.problems.setdefault(each.path, []).append(each)

    def _offered(self, field: FormField) -> FormField:
        return replace(field, choices=self._offers(field.offers)) if field.offers else field

    # Where the cursor is

    @property
    def page(self) -> FormPage:
        """The page that is shown."""
        self.number = min(self.number, len(self.pages) - 1)
        return self.pages[self.number]

    @property
    def field(self) -> FormField:
        """The field under the cursor."""
        self.cursor = max(0, min(self.cursor, len(self.page.fields) - 1))
        return self.page.fields[self.cursor]

    def move(self, step: int) -> None:
        """Move by fields; past the end of a page comes the next one."""
        place = self.cursor + step
        if abs(step) == 1 and place >= len(self.page.fields) and self.number + 1 < len(self.pages):
            self.number, self.cursor = self.number + 1, 0
        elif abs(step) == 1 and place < 0 and self.number > 0:
            self.number -= 1
            self.cursor = len(self.page.fields) - 1
        else:
            self.cursor = max(0, min(place, len(self.page.fields) - 1))

    def go_to(self, path: str) -> None:
        """Put the cursor on the first field whose path begins so; it stays where there is none."""
        for number, page in enumerate(self.pages):
            for place, field in enumerate(page.fields):
                if field.path.startswith(path):
                    self.number, self.cursor = number, place
                    return

    def turn(self, step: int) -> None:
        """Turn to another page."""
        self.number = (self.number + step) % len(self.pages)
        self.cursor = 0

    def go_to_problem(self) -> bool:
        """Put the cursor on the next field with a problem; False when there is none."""
        places = [
            (number, place)
            for number, page in enumerate(self.pages)
            for place, field in enumerate(page.fields)
            if field.path in self.problems
        ]
        if not places:
            return False
        here = (self.number, self.cursor)
        self.number, self.cursor = next((each for each in places if each > here), places[0])
        return True

    # What changes

    def put(self, path: str, text: str) -> None:
        """Type a text into a field."""
        if path == NAME and self.new:
            self.name = text.strip()
        else:
            self.document = changed(self.document, path, text, self._kind)
        self._refresh()

    def tried(self, path: str, text: str) -> list[FormProblem]:
        """What would be wrong with a field if this text stood in it."""
        name = text.strip() if path == NAME and self.new else self.name
        document = self.document if path == NAME else changed(self.document, path, text, self._kind)
        return [each for each in self._check(name, document) if each.path == path]

    def reset(self, path: str) -> bool:
        """Put back what stood in a field at first; False when it was not changed."""
        first = self._first.get(path, "")
        if self.texts.get(path, "") == first:
            return False
        self.put(path, first)
        return True

    def next_choice(self, field: FormField) -> str | None:
        """The word after the one that stands in a field; None when it has no choices."""
        if not field.choices:
            return None
        now = self.texts.get(field.path) or field.default
        place = field.choices.index(now) if now in field.choices else -1
        return field.choices[(place + 1) % len(field.choices)]

    def changes(self) -> list[tuple[str, str, str]]:
        """What differs from the beginning: label, before, after."""
        labels = {field.path: field.label for page in self.pages for field in page.fields}
        self._labels |= labels
        paths = dict.fromkeys([*self.texts, *self._first])
        return [
            (self._labels.get(path, path), self._first.get(path, ""), self.texts.get(path, ""))
            for path in paths
            if self._first.get(path, "") != self.texts.get(path, "")
        ]

    @property
    def dirty(self) -> bool:
        """Whether anything differs from the beginning."""
        return (self.name, self.document) != self._began

    @property
    def wrong(self) -> list[FormProblem]:
        """All problems."""
        return [each for some in self.problems.values() for each in some]

    def wrong_on(self, page: FormPage) -> int:
        """How many fields of a page have a problem."""
        loose = NAME in self.problems and not self.new and page is self.pages[0]
        return sum(field.path in self.problems for field in page.fields) + loose
