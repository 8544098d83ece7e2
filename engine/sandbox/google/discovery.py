"""Routes, parameters and scopes of the Google APIs, read from the discovery documents that google-api-python-client ships."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, unquote

from engine.sandbox.google.call import ApiError
from engine.sandbox.google.schema import Schemas

APIS = {"calendar": "calendar.v3", "people": "people.v1", "tasks": "tasks.v1", "gmail": "gmail.v1"}
STRICT = frozenset({"people", "tasks", "gmail"})
"""APIs that refuse unknown body fields."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its converter (raises ``ApiError``) and whether it may repeat."""

    name: str
    convert: Callable[[str], Any]
    repeated: bool
    required: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Method:
    """One method of one API, ready to be called."""

    id: str
    api: str
    verb: str
    pattern: re.Pattern[str]
    parameters: dict[str, Parameter]
    request: str
    scopes: frozenset[str]
    upload: bool
    required: tuple[str, ...]
    defaults: dict[str, Any]


@cache
def document(api: str) -> dict[str, Any]:
    """The discovery document of ``calendar``, ``people``, ``tasks`` or ``gmail``."""
    name = f"discovery_cache/documents/{APIS[api]}.json"
    loaded: dict[str, Any] = json.loads(files("googleapiclient").joinpath(name).read_text(encoding="utf-8"))
    return loaded


@cache
def schemas(api: str) -> Schemas:
    """The compiled body checks of an API."""
    return Schemas(document(api)["schemas"], strict=api in STRICT)


@cache
def all_scopes() -> tuple[str, ...]:
    """Every OAuth scope that the four documents name, sorted."""
    return tuple(sorted({scope for api in APIS for scope in document(api)["auth"]["oauth2"]["scopes"]}))


def _methods(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from node.get("methods", {}).values()
    for inner in node.get("resources", {}).values():
        yield from _methods(inner)


@cache
def _table() -> dict[tuple[str, int, str], list[Method]]:
    """Methods by verb, number of path segments and first segment; literal paths before those with variables."""
    table: dict[tuple[str, int, str], list[Method]] = {}
    for api in APIS:
        root = document(api)
        common = {name: _parameter(name, spec) for name, spec in root["parameters"].items()}
        for spec in _methods(root):
            paths = [(root["servicePath"] + spec["path"], False)]
            protocols = spec.get("mediaUpload", {}).get("protocols", {})
            if "simple" in protocols:
                paths.append((protocols["simple"]["path"].lstrip("/"), True))
            for path, upload in paths:
                method = _method(api, spec, path, common, upload)
                key = (
                    method.verb,
                    path.count("/") + _hidden_slashes(path, spec),
                    path.split("/", 1)[0].split(":")[0],
                )
                table.setdefault(key, []).append(method)
    for methods in table.values():
        methods.sort(key=lambda method: -len(re.sub(r"\(\?P<.*?\)", "", method.pattern.pattern)))
    return table


def _hidden_slashes(path: str, spec: dict[str, Any]) -> int:
    return sum(spec["parameters"][name]["pattern"].count("/") - spec["parameters"][name]["pattern"].count("^/]")
               for name in re.findall(r"\{\+(\w+)\}", path))  # fmt: skip


def _method(api: str, spec: dict[str, Any], path: str, common: dict[str, Parameter], upload: bool) -> Method:
    def group(match: re.Match[str]) -> str:
        name = match[2]
        if match[1]:
            return f"(?P<{name}>{spec['parameters'][name]['pattern'].strip('^$')})"
        return f"(?P<{name}>[^/]+)"

    literal = re.sub(r"[.^$*?\[\]|()\\]", lambda match: "\\" + match[0], path)
    parameters = common | {name: _parameter(name, inner) for name, inner in spec.get("parameters", {}).items()}
    return Method(
        id=spec["id"],
        api=api,
        verb=spec["httpMethod"],
        pattern=re.compile("/" + re.sub(r"\{(\+?)(\w+)\}", group, literal)),
        parameters=parameters,
        request=spec.get("request", {}).get("$ref", ""),
        scopes=frozenset(spec.get("scopes", ())),
        upload=upload,
        required=tuple(name for name, parameter in parameters.items() if parameter.required),
        defaults={
            name: parameter.default for name, parameter in parameters.items() if parameter.default is not None
        },
    )


def _parameter(name: str, spec: dict[str, Any]) -> Parameter:
    convert = _converter(name, spec)
    default = spec.get("default")
    return Parameter(
        name=name,
        convert=convert,
        repeated=bool(spec.get("repeated")),
        required=bool(spec.get("required")),
        default=None if default is None else convert(default),
    )


def _converter(name: str, spec: dict[str, Any]) -> Callable[[str], Any]:
    kind = spec.get("type", "string")
    allowed = frozenset(spec["enum"]) if "enum" in spec else None
    pattern = re.compile(spec["pattern"]) if "pattern" in spec else None
    low = int(spec["minimum"]) if "minimum" in spec else None
    high = int(spec["maximum"]) if "maximum" in spec else None

    def refuse(value: str, hint: str) -> ApiError:
        return ApiError(
            400, "invalidParameter", f"Invalid value '{value}' for parameter '{name}'. {hint}", location=name
        )

    def text(value: str) -> str:
        if allowed is not None and value not in allowed:
            raise refuse(value, f"Allowed values: [{', '.join(sorted(allowed))}]")
        if pattern is not None and not pattern.match(value):
            raise refuse(value, f"Values must match the following regular expression: '{pattern.pattern}'")
        return value

    def whole(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise refuse(value, "Values must be integers.") from None
        if (low is not None and number < low) or (high is not None and number > high):
            raise refuse(
                value, f"Values must be within the range: [{low}, {high if high is not None else 2**31 - 1}]"
            )
        return number

    def flag(value: str) -> bool:
        if value.lower() not in ("true", "false", "1", "0"):
            raise refuse(value, "Allowed values: [true, false]")
        return value.lower() in ("true", "1")

    return {"integer": whole, "boolean": flag}.get(kind, text)


def route(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The method at ``path`` (raw, percent-encoded, with leading slash) and its path parameters, or None."""
    plain = path.replace("%40", "@").replace("%3A", ":").replace("%3a", ":")
    first = plain[1:].split("/", 1)[0].split(":")[0]
    for method in _table().get((verb, plain.count("/") - 1, first), ()):
        match = method.pattern.fullmatch(plain)
        if match is not None:
            return method, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def path_exists(path: str) -> bool:
    """Whether some verb serves ``path`` (404 or 405)."""
    return any(route(verb, path) for verb in ("GET", "POST", "PUT", "PATCH", "DELETE"))


def parameters(method: Method, query: str, path_values: dict[str, str]) -> dict[str, Any]:
    """The parameters of a call by name, converted; defaults filled in.

    Raises:
        ApiError: 400 for an unknown, repeated, malformed or missing parameter.
    """
    values: dict[str, Any] = dict(method.defaults)
    seen: set[str] = set()
    for name, raw in parse_qsl(query, keep_blank_values=True):
        spec = method.parameters.get(name)
        if spec is None:
            raise ApiError(
                400,
                "invalidParameter",
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.',
                location=name,
            )
        if spec.repeated:
            if name not in seen:
                values[name] = []
            values[name].append(spec.convert(raw))
        else:
            if name in seen:
                raise ApiError(
                    400, "invalidParameter", f"Parameter '{name}' may be given only once.", location=name
                )
            values[name] = spec.convert(raw)
        seen.add(name)
    for name, raw in path_values.items():
        values[name] = method.parameters[name].convert(raw)
    for name in method.required:
        if name not in values:
            raise ApiError(400, "required", f"Required parameter: {name}", location=name)
    return values
