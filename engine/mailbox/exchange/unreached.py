"""What it means that no answer came: whether the request may have arrived is what decides about a repeat."""

from __future__ import annotations

import ssl

import requests
from urllib3 import exceptions as urllib3

from engine.mailbox.exchange.settings import PROVIDER
from engine.net.errors import ErrorKind, ProviderError


def explain(error: BaseException, host: str, *, sent: bool) -> ProviderError:
    """The provider error for what requests raised.

    Args:
        error: the exception.
        host: the server, for people.
        sent: whether bytes of the request have left this machine.
    """
    chain = _chain(error)
    if sent:
        late = any(isinstance(one, requests.Timeout) for one in chain)
        what = (
            f"{host} did not answer in time"
            if late
            else f"the connection to {host} was lost before the answer was complete"
        )
        return _away(what, maybe_applied=True)
    certificate = next((one for one in chain if isinstance(one, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        return ProviderError(
            ErrorKind.CONFIGURATION,
            PROVIDER,
            f"the certificate of {host} is not trusted ({certificate.verify_message})",
            advice="Name the issuing authority in `ca_file` of the connection, or correct the host name in `url`",
        )
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return ProviderError(
            ErrorKind.CONFIGURATION,
            PROVIDER,
            f"no TLS connection to {host} can be made",
            advice="Check that the server speaks TLS 1.2 or newer at this port, and that `url` begins with https://",
        )
    if any(isinstance(one, urllib3.ConnectTimeoutError) for one in chain):
        return _away(f"{host} could not be reached in time", maybe_applied=False)
    refused = next((one for one in chain if isinstance(one, OSError) and one.strerror), None)
    reason = refused.strerror if refused is not None else "no connection"
    return _away(f"{host} could not be reached ({reason})", maybe_applied=False)


def _away(what: str, *, maybe_applied: bool) -> ProviderError:
    return ProviderError(
        ErrorKind.UNAVAILABLE,
        PROVIDER,
        what,
        advice="It will be tried again; if it persists, check the network and the server",
        maybe_applied=maybe_applied,
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and all that it was made of: requests and urllib3 keep the cause among the arguments."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.append(one)
        inside = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        waiting += [each for each in inside if isinstance(each, BaseException)]
    return found
