"""Sections of a configuration as data: which settings there are, of what kind, and what they mean.

Reading, writing and the reference page all go through these tables, so that none of them can know a setting that the
others do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.model.config_problems import Collector, join
from engine.model.config_values import BAD, Kind
from engine.model.modules import Module

#: Default of a setting that must be given.
REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class ListOf:
    """Several values of one kind, kept in order; a repeated one counts once."""

    kind: Kind
    most: int = 100
    sort: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return f"a list of: {self.kind.allowed}"

    def read(self, raw: Any, where: str, problems: Collector) -> Any:
        """A tuple, or ``BAD``."""
        if not isinstance(raw, list | tuple):
            problems.add(where, "is not a list", value=raw, allowed=self.allowed)
            return BAD
        if len(raw) > self.most:
            problems.add(where, f"has {len(raw):,} entries", allowed=f"at most {self.most}")
            return BAD
        values = [self.kind.read(each, f"{where}[{index}]", problems) for index, each in enumerate(raw)]
        unique = dict.fromkeys(value for value in values if value is not BAD)
        return tuple(sorted(unique) if self.sort else unique)

    def write(self, value: Any) -> list[Any]:
        """JSON-able."""
        return [self.kind.write(each) for each in value]


@dataclass(frozen=True, slots=True)
class ByModule:
    """One value for each of some modules; those that are not named keep the default."""

    modules: tuple[Module, ...]
    kind: Kind | Section | ByName
    default: Mapping[Module, Any]

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return f"a table of {', '.join(self.modules)}"

    def read(self, raw: Any, where: str, problems: Collector) -> Any:
        """A mapping by module, or ``BAD``."""
        if not isinstance(raw, Mapping):
            problems.add(where, "is not a table", value=raw, allowed=self.allowed)
            return BAD
        names = {module.value: module for module in self.modules}
        values = dict(self.default)
        for key, each in raw.items():
            at = join(where, key)
            if key not in names:
                problems.unknown(at, key, names, "module here")
                continue
            module = names[key]
            if isinstance(self.kind, Section):
                value = self.kind.read(each, at, problems, self.default[module])
            else:
                value = self.kind.read(each, at, problems)
            if value is not BAD:
                values[module] = value
        return values

    def write(self, value: Any) -> dict[str, Any]:
        """JSON-able."""
        return {module.value: self.kind.write(value[module]) for module in self.modules if module in value}


@dataclass(frozen=True, slots=True)
class ByName:
    """One value for each of some names that only the reader of the whole policy can judge."""

    kind: Kind
    names: str

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return f"a table of {self.names}, each: {self.kind.allowed}"

    def read(self, raw: Any, where: str, problems: Collector) -> Any:
        """A mapping by name, or ``BAD``."""
        if not isinstance(raw, Mapping):
            problems.add(where, "is not a table", value=raw, allowed=self.allowed)
            return BAD
        values = {key: self.kind.read(each, join(where, key), problems) for key, each in raw.items()}
        return {key: value for key, value in values.items() if value is not BAD}

    def write(self, value: Any) -> dict[str, Any] | None:
        """JSON-able; an empty one is left out."""
        return {name: self.kind.write(each) for name, each in value.items()} or None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: as in the file; for a section of a policy also the field of its dataclass.
        kind: what is allowed.
        meaning: for the reference page.
        default: ours, not as written; ``REQUIRED`` when there is none.
    """

    name: str
    kind: Kind | ListOf | ByModule | ByName | Section
    meaning: str
    default: Any = None


@dataclass(frozen=True, slots=True)
class Section:
    """A table of settings that make one frozen dataclass; the setting's default is the object of all defaults.

    Attributes:
        settings: the settings, in the order of export.
        off: ``false`` in place of the table means ``None``.
    """

    settings: tuple[Setting, ...]
    off: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return "a table, or false" if self.off else "a table"

    def read(self, raw: Any, where: str, problems: Collector, base: Any) -> Any:
        """An object with ``base``'s values for what is not given; or ``BAD``."""
        if self.off and raw is False:
            return None
        values = read_settings(self.settings, raw, where, problems, self.allowed)
        return BAD if values is BAD else replace(base, **values)

    def write(self, value: Any) -> Any:
        """JSON-able."""
        return False if value is None else write_settings(self.settings, value)


def read_settings(
    settings: tuple[Setting, ...], raw: Any, where: str, problems: Collector, allowed: str = "a table"
) -> Any:
    """The settings that a table gives, by name; missing required ones and unknown ones are noted. Or ``BAD``."""
    if not isinstance(raw, Mapping):
        problems.add(where, "is not a table", value=raw, allowed=allowed)
        return BAD
    names = [each.name for each in settings]
    values: dict[str, Any] = {}
    for each in settings:
        if each.name in raw:
            at = join(where, each.name)
            if isinstance(each.kind, Section):
                value = each.kind.read(raw[each.name], at, problems, each.default)
            else:
                value = each.kind.read(raw[each.name], at, problems)
            if value is not BAD:
                values[each.name] = value
        elif each.default is REQUIRED:
            problems.add(join(where, each.name), "must be given", allowed=each.kind.allowed)
    for key in raw:
        if key not in names:
            problems.unknown(join(where, key), key, [*names, *_inside(settings)])
    return values


def _inside(settings: tuple[Setting, ...]) -> list[str]:
    """The settings of the sections among ``settings``, for one that was written a level too high."""
    return [
        f"{each.name}.{inner.name}"
        for each in settings
        if isinstance(each.kind, Section)
        for inner in each.kind.settings
    ]


def write_settings(settings: tuple[Setting, ...], value: Any) -> dict[str, Any]:
    """A JSON-able table of an object's settings; those that are ``None`` are left out."""
    written = ((each.name, each.kind.write(getattr(value, each.name))) for each in settings)
    return {name: entry for name, entry in written if entry is not None}
