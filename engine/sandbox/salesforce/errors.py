"""The one way in which the server refuses, in the words of the real REST API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class SfError(Exception):
    """A refusal.

    Attributes:
        code: ``errorCode`` of the REST body and ``statusCode`` of a collection's result.
        message: human text.
        status: HTTP status when the whole request is refused.
        fields: names of the fields at fault; ``None`` leaves the member out of the REST body.
        headers: extra response headers.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        fields: Sequence[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = None if fields is None else list(fields)
        self.headers = headers or {}

    def rest(self) -> dict[str, Any]:
        """One element of the REST error body."""
        body: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            body["fields"] = self.fields
        return body

    def row(self) -> dict[str, Any]:
        """One element of ``errors`` in the result of a collection."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}


def not_found() -> SfError:
    """404 for an id or a path that nothing answers to."""
    return SfError("NOT_FOUND", "The requested resource does not exist", 404)


def deleted() -> SfError:
    """404 for a record that lies in the recycle bin."""
    return SfError("ENTITY_IS_DELETED", "entity is deleted", 404, [])
