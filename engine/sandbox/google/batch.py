"""The multipart/mixed batch format: many HTTP requests in one (the batching guides of Calendar, Gmail and People)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from engine.sandbox.google.call import ApiError

LIMITS = {"calendar": 50, "gmail": 100, "people": 1000, "tasks": 1000}
"""Calls per batch. Calendar's guide says 1,000 now, its older text and the servers of the time 50: we take the smaller."""

_BLANK = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: verb, raw path, query string, lower-case headers, body."""

    verb: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; ``body`` is JSON text or empty."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """An inner request with its Content-ID (empty when it had none)."""

    content_id: str
    request: Request


def _headers(block: bytes) -> dict[str, str]:
    out = {}
    for line in _LINE.split(block):
        name, colon, value = line.partition(b":")
        if colon:
            out[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
    return out


def _blocks(data: bytes) -> tuple[bytes, bytes]:
    """Head and body of a part or request."""
    if data.startswith((b"\n", b"\r\n")):
        return b"", data.split(b"\n", 1)[1]
    pieces = _BLANK.split(data, maxsplit=1)
    return pieces[0], pieces[1] if len(pieces) > 1 else b""


def read(content_type: str, body: bytes) -> list[Part]:
    """The inner requests of a batch.

    Raises:
        ApiError: 400 when the body is not multipart/mixed or a part is no HTTP request.
    """
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if match is None or not content_type.lower().startswith("multipart/mixed"):
        raise ApiError(400, "badRequest", "Failed to parse batch request, error: Missing boundary.")
    mark = b"--" + match[1].encode("latin-1")
    pieces = (b"\n" + body).split(b"\n" + mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ApiError(400, "badRequest", "Failed to parse batch request, error: Unexpected end of input.")
    return [_part(piece[2:] if piece.startswith(b"\r\n") else piece[1:]) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, content = _blocks(piece)
    inner_head, inner_body = _blocks(content.lstrip(b"\r\n"))
    line, _, rest = inner_head.partition(b"\n")
    words = line.decode("latin-1").split()
    if len(words) < 2:
        raise ApiError(
            400, "badRequest", "Failed to parse batch request, error: Inner request line is malformed."
        )
    headers = _headers(rest)
    length = headers.get("content-length", "")
    inner_body = inner_body[: int(length)] if length.isdigit() else inner_body.rstrip(b"\r\n")
    url = urlsplit(words[1])
    request = Request(words[0].upper(), url.path, url.query, headers, inner_body)
    return Part(_headers(head).get("content-id", ""), request)


def check_size(apis: Sequence[str], count: int, limits: Mapping[str, int]) -> None:
    """Refuse a batch that mixes APIs or holds too many calls.

    Args:
        apis: the APIs of the inner calls, unknown ones as an empty string.
        count: number of inner calls.
        limits: calls per batch by API, over ``LIMITS``.

    Raises:
        ApiError: 400.
    """
    known = {api for api in apis if api}
    if len(known) > 1:
        raise ApiError(
            400, "badRequest", f"A batch must stay within one API; found {', '.join(sorted(known))}."
        )
    limit = min(({**LIMITS, **limits}[api] for api in known), default=max(LIMITS.values()))
    if count > limit:
        raise ApiError(
            400,
            "batchSizeTooLarge",
            f"The batch request contains too many calls: {count}. The limit is {limit}.",
        )


def write(parts: Sequence[Part], responses: Sequence[Response]) -> tuple[str, bytes]:
    """The multipart answer in the order of the parts: content type and body."""
    boundary = "batch_" + secrets.token_urlsafe(16)
    out: list[bytes] = []
    for part, response in zip(parts, responses, strict=True):
        head = [f"--{boundary}", "Content-Type: application/http"]
        if part.content_id:
            head.append(f"Content-ID: {_answer_id(part.content_id)}")
        head += ["", f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        head += [f"{name}: {value}" for name, value in (response.headers or {}).items()]
        if response.body:
            head.append("Content-Type: application/json; charset=UTF-8")
        head += [f"Content-Length: {len(response.body)}", "", ""]
        out.append("\r\n".join(head).encode("latin-1") + response.body + b"\r\n")
    out.append(f"--{boundary}--\r\n".encode("latin-1"))
    return f"multipart/mixed; boundary={boundary}", b"".join(out)


def _answer_id(content_id: str) -> str:
    return f"<response-{content_id[1:]}" if content_id.startswith("<") else f"response-{content_id}"
