"""The two ways in which a request or one of its parts is refused."""

from __future__ import annotations

from collections.abc import Mapping


class EwsError(Exception):
    """A refusal of one part of a request: it becomes a response message of class ``Error``.

    Attributes:
        code: of ``ResponseCodeType``, e.g. ``ErrorItemNotFound``.
        message: human text.
        values: named values for ``MessageXml``, e.g. ``BackOffMilliseconds``.
        inner: XML that the response message carries in spite of the error.
    """

    def __init__(
        self, code: str, message: str, values: Mapping[str, str] | None = None, inner: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.values = dict(values or {})
        self.inner = inner


class SoapFault(Exception):
    """A refusal of a whole request: a SOAP fault with HTTP status 500.

    Attributes:
        code: of ``ResponseCodeType``.
        message: human text.
        values: named values for ``MessageXml``.
        kind: local name of ``faultcode``: ``Client`` or a code as Exchange writes it.
        status: HTTP status.
        headers: further HTTP headers.
        line: where a schema violation stands.
    """

    def __init__(
        self,
        code: str,
        message: str,
        values: Mapping[str, str] | None = None,
        *,
        kind: str = "",
        status: int = 500,
        headers: Mapping[str, str] | None = None,
        line: int = 0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.values = dict(values or {})
        self.kind = kind or code
        self.status = status
        self.headers = dict(headers or {})
        self.line = line


def not_found() -> EwsError:
    """The item, folder or attachment does not exist (any more)."""
    return EwsError("ErrorItemNotFound", "The specified object was not found in the store.")


def malformed() -> EwsError:
    """An id that this server cannot have given."""
    return EwsError("ErrorInvalidIdMalformed", "Id is malformed.")


def denied() -> EwsError:
    """The caller has no right to that mailbox or folder."""
    return EwsError("ErrorAccessDenied", "Access is denied. Check credentials and try again.")


def invalid(message: str, code: str = "ErrorInvalidRequest") -> EwsError:
    """A request that is valid by the schema and makes no sense."""
    return EwsError(code, message)
