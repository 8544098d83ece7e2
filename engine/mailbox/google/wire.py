"""From the library's ``HttpRequest`` to the wire and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypedDict

from googleapiclient.http import HttpRequest

from engine.mailbox.google.settings import Api
from engine.model.port import Account
from engine.net.errors import ErrorKind, ProviderError

#: Longest URL that is sent as GET; googleapiclient's own constant, which acts only in ``HttpRequest.execute``.
MAX_URI = 2048


class Sending(TypedDict):
    """The arguments of ``Http.send``."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: str | None
    account: str


def wire(request: HttpRequest, account: Account, token: str) -> Sending:
    """One signed request as it is sent; a URL that is too long for GET becomes a POST that says it is a GET."""
    uri = with_quota_user(request.uri, account)
    method, body = request.method, request.body
    headers = {**request.headers, "authorization": f"Bearer {token}"}
    if method == "GET" and len(uri) > MAX_URI:
        method = "POST"
        uri, _, body = uri.partition("?")
        headers["x-http-method-override"] = "GET"
        headers["content-type"] = "application/x-www-form-urlencoded"
    return Sending(method=method, url=uri, headers=headers, content=body, account=account.email)


def api_of(request: HttpRequest) -> Api:
    """The API that a request belongs to, by its discovery method id (``gmail.users.labels.list``)."""
    return Api(str(request.methodId).partition(".")[0])


def with_quota_user(uri: str, account: Account) -> str:
    """The URL with ``quotaUser``, without which all mailboxes share the service account's quota."""
    return f"{uri}{'&' if '?' in uri else '?'}quotaUser={quota_user(account)}"


class _Answer(dict[str, str]):
    """What ``HttpRequest.postproc`` expects as response: headers with ``status`` and ``reason``."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.status = status
        self.reason = ""


def quota_user(account: Account) -> str:
    """The opaque name under which Google counts this mailbox's calls (at most 40 characters, providers.md 1.9)."""
    return hashlib.sha256(b"syncline:" + account.email.lower().encode()).hexdigest()[:32]


def parse(api: Api, request: HttpRequest, status: int, headers: Mapping[str, str], content: bytes) -> Any:
    """The library's reading of a good answer.

    Raises:
        ProviderError: MALFORMED, the answer is not what it should be.
    """
    try:
        return request.postproc(_Answer(status, headers), content)
    except (ValueError, KeyError, AttributeError, UnicodeDecodeError):
        raise ProviderError(
            ErrorKind.MALFORMED,
            api.label,
            f"the answer to {request.methodId} cannot be read",
            advice="Check that the endpoint in the connection's settings is the API itself and no other server",
            status=status,
            maybe_applied=request.method != "GET",
        ) from None
