"""Checking request bodies against the schemas of a discovery document, compiled once per schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.sandbox.google.call import ApiError

Check = Callable[[Any, str], Any]
"""Takes a JSON value and its path; returns the value as the handler shall see it; raises ``ApiError`` 400."""


class Schemas:
    """Compiled checks of one API.

    Args:
        schemas: the ``schemas`` of the discovery document.
        strict: unknown fields are refused ("Unknown name"), as the newer APIs do; Calendar drops them silently.
    """

    def __init__(self, schemas: dict[str, Any], *, strict: bool) -> None:
        self._schemas = schemas
        self._strict = strict
        self._checks: dict[str, Check] = {}
        self._required: dict[tuple[str, str], tuple[str, ...]] = {}

    def clean(self, name: str, value: Any, method: str) -> Any:
        """Check ``value`` against schema ``name`` as the body of ``method``.

        Fields that are read-only are dropped (except ``metadata``, whose sources carry the etags that People wants
        back), and in lenient APIs unknown ones too.

        Raises:
            ApiError: 400 on a wrong type, enum value, unknown or missing field.
        """
        cleaned = self._named(name)(value, "")
        for missing in self._needs(name, method):
            if cleaned.get(missing) is None:
                raise ApiError(400, "required", _missing(missing))
        return cleaned

    def _needs(self, name: str, method: str) -> tuple[str, ...]:
        key = (name, method)
        if key not in self._required:
            fields = self._schemas[name].get("properties", {})
            self._required[key] = tuple(
                field
                for field, spec in fields.items()
                if method in spec.get("annotations", {}).get("required", ())
            )
        return self._required[key]

    def _named(self, name: str) -> Check:
        found = self._checks.get(name)
        if found is None:
            self._checks[name] = self._later(name)  # schemas may be recursive
            found = self._checks[name] = self._compile(self._schemas[name])
        return found

    def _later(self, name: str) -> Check:
        def check(value: Any, where: str) -> Any:
            return self._named(name)(value, where)

        return check

    def _compile(self, spec: dict[str, Any]) -> Check:
        if "$ref" in spec:
            return self._later(spec["$ref"])
        kind = spec.get("type", "any")
        if kind == "object":
            return self._object(spec)
        if kind == "array":
            return self._array(self._compile(spec["items"]))
        if kind == "string":
            return _string(spec)
        if kind in ("integer", "number"):
            return _number(kind, spec)
        if kind == "boolean":
            return _boolean
        return lambda value, where: value

    def _object(self, spec: dict[str, Any]) -> Check:
        fields = {
            name: (self._compile(inner), bool(inner.get("readOnly")) and name != "metadata")
            for name, inner in spec.get("properties", {}).items()
        }
        rest = self._compile(spec["additionalProperties"]) if "additionalProperties" in spec else None
        strict = self._strict

        def check(value: Any, where: str) -> Any:
            if not isinstance(value, dict):
                raise _wrong(where, "object", value)
            out = {}
            for name, inner in value.items():
                known = fields.get(name)
                if known is None:
                    if rest is not None:
                        out[name] = None if inner is None else rest(inner, f"{where}.{name}")
                    elif strict:
                        raise _unknown(where, name)
                    continue
                one, read_only = known
                if not read_only:
                    out[name] = None if inner is None else one(inner, f"{where}.{name}" if where else name)
            return out

        return check

    def _array(self, one: Check) -> Check:
        def check(value: Any, where: str) -> Any:
            if not isinstance(value, list):
                raise _wrong(where, "list", value)
            return [one(inner, f"{where}[{index}]") for index, inner in enumerate(value)]

        return check


def _string(spec: dict[str, Any]) -> Check:
    allowed = frozenset(spec["enum"]) if "enum" in spec else None
    whole = spec.get("format") in ("int64", "uint64")

    def check(value: Any, where: str) -> Any:
        if whole and isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # protobuf JSON takes 64-bit integers as numbers or as strings
        if not isinstance(value, str):
            raise _wrong(where, "TYPE_STRING", value)
        if allowed is not None and value not in allowed:
            raise _wrong(where, "TYPE_ENUM", value)
        if whole and not value.lstrip("-").isdigit():
            raise _wrong(where, "TYPE_INT64", value)
        return value

    return check


def _number(kind: str, spec: dict[str, Any]) -> Check:
    types: tuple[type, ...] = (int,) if kind == "integer" else (int, float)
    label = f"TYPE_{str(spec.get('format', kind)).upper()}"

    def check(value: Any, where: str) -> Any:
        if isinstance(value, str):
            try:
                return int(value) if kind == "integer" else float(value)
            except ValueError:
                raise _wrong(where, label, value) from None
        if isinstance(value, bool) or not isinstance(value, types):
            raise _wrong(where, label, value)
        return value

    return check


def _boolean(value: Any, where: str) -> Any:
    if not isinstance(value, bool):
        raise _wrong(where, "TYPE_BOOL", value)
    return value


def _missing(field: str) -> str:
    return {
        "start": "Missing start time.",
        "end": "Missing end time.",
        "summary": "Missing title.",
        "iCalUID": "Missing iCalUID.",
    }.get(field, f"Required: {field}")


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:80] + "..."


def _wrong(where: str, kind: str, value: Any) -> ApiError:
    return ApiError(400, "invalid", f"Invalid value at '{where or 'body'}' ({kind}), {_shown(value)}")


def _unknown(where: str, name: str) -> ApiError:
    at = f" at '{where}'" if where else ""
    return ApiError(
        400, "badRequest", f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
    )
