"""Exchange's response codes and HTTP statuses told apart by what can be done about them.

Sources: the list of ResponseCode values in messages.xsd and Microsoft's page "ResponseCode"; throttling:
"EWS throttling in Exchange" (ErrorServerBusy with BackOffMilliseconds).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.mailbox.exchange.settings import PROVIDER, ExchangeSettings
from engine.model.port import Outcome, Result
from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import host_of

#: The server has no room for us now; nothing was done.
BUSY = frozenset(
    {
        "ErrorServerBusy",
        "ErrorExceededConnectionCount",
        "ErrorExceededFindCountLimit",
        "ErrorTooManyObjectsOpened",
        "ErrorConcurrentSyncCalls",
        "ErrorInsufficientResources",
    }
)

#: The mailbox cannot be reached for a while; nothing was done.
AWAY = frozenset(
    {
        "ErrorMailboxMoveInProgress",
        "ErrorMailboxStoreUnavailable",
        "ErrorMailboxFailover",
        "ErrorConnectionFailed",
        "ErrorADUnavailable",
        "ErrorADOperation",
        "ErrorBatchProcessingStopped",
        "ErrorNoRespondingCASInDestinationSite",
    }
)

#: Nobody can tell whether it was done.
UNSURE = frozenset(
    {
        "ErrorTimeoutExpired",
        "ErrorInternalServerError",
        "ErrorInternalServerTransientError",
        "ErrorContentConversionFailed",
        "no response code",
    }
)

_IMPERSONATION = frozenset(
    {
        "ErrorImpersonateUserDenied",
        "ErrorImpersonationDenied",
        "ErrorImpersonationFailed",
        "ErrorImpersonationRequired",
    }
)
_VERSION = frozenset(
    {
        "ErrorInvalidServerVersion",
        "ErrorIncorrectSchemaVersion",
        "ErrorInvalidSchemaVersionForMailboxVersion",
        "ErrorInvalidExchangeImpersonationHeaderData",
    }
)
_NOBODY = frozenset(
    {
        "ErrorNonExistentMailbox",
        "ErrorMissingInformationEmailAddress",
        "ErrorInvalidSmtpAddress",
        "ErrorMailboxConfiguration",
        "ErrorNameResolutionNoMailbox",
    }
)
_GONE = frozenset(
    {
        "ErrorItemNotFound",
        "ErrorCalendarOccurrenceIsDeletedFromRecurrence",
        "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange",
        "ErrorRecurrenceHasNoOccurrence",
    }
)
_CONFLICT = frozenset(
    {
        "ErrorIrresolvableConflict",
        "ErrorStaleObject",
        "ErrorInvalidChangeKey",
        "ErrorChangeKeyRequired",
        "ErrorChangeKeyRequiredForWriteOperations",
    }
)
_SYNC_STATE = frozenset({"ErrorInvalidSyncStateData", "ErrorSyncFolderNotFound"})

_ONLINE = (
    "EWS is being switched off in Exchange Online: tenants are blocked since 1 October 2026 and all of them for good on "
    "1 April 2027. Use Microsoft Graph for these mailboxes; until then an administrator can set EWSEnabled to true and "
    "name this application in EWSAllowedAppIDs (Set-OrganizationConfig)"
)


def fault_of(code: str, text: str, back_off: float | None) -> ProviderError:
    """A call that Exchange refused as a whole (SOAP fault, or the code of the only message of an answer)."""
    kind, advice = _classify(code)
    said = f"{text} ({code})" if text and code else text or code or "a fault without an explanation"
    return ProviderError(
        kind,
        PROVIDER,
        said[:500],
        advice=advice,
        retry_after=back_off,
        maybe_applied=code in UNSURE or not code,
    )


def _classify(code: str) -> tuple[ErrorKind, str]:
    if code in BUSY:
        return ErrorKind.THROTTLED, "The connection waits and goes on by itself"
    if code in AWAY | UNSURE:
        return ErrorKind.UNAVAILABLE, "The connection tries again by itself"
    if code in _IMPERSONATION:
        return ErrorKind.DELEGATION, (
            "Give the impersonation account the ApplicationImpersonation role for this mailbox "
            "(New-ManagementRoleAssignment)"
        )
    if code in _VERSION:
        return (
            ErrorKind.CONFIGURATION,
            "The server does not speak this version: lower `version` of the connection",
        )
    if code in _NOBODY:
        return ErrorKind.NOT_FOUND, "Check the user's address: the server has no mailbox of that name"
    if code in {"ErrorAccessDenied", "ErrorAccountDisabled", "ErrorFolderPermission"}:
        return ErrorKind.PERMISSION, "Check the rights of the impersonation account on this mailbox"
    if code in {"ErrorFolderNotFound", "ErrorParentFolderNotFound", "ErrorItemNotFound"} | _SYNC_STATE:
        return ErrorKind.NOT_FOUND, ""
    return ErrorKind.REQUEST, ""


def refused(status: int, headers: Mapping[str, str], content: bytes, host: str) -> ProviderError:
    """An answer that is no SOAP: the status tells what it is. ``headers`` have lower-case names."""
    pause = headers.get("retry-after", "")
    wait = float(pause) if pause.strip().isdigit() else None
    if status == 401 and "invalid_token" in headers.get("www-authenticate", ""):
        return _error(
            ErrorKind.CREDENTIAL,
            f"{host} does not accept the token that was given to us (401, invalid_token)",
            "Check that the application has the permission full_access_as_app with an administrator's consent, and that "
            "`scope` of the connection names this server",
            status,
        )
    if status == 401:
        return _error(
            ErrorKind.CREDENTIAL,
            f"{host} refused the login (401)",
            "Check username, password or secret and `auth` of the connection, and that the account is not locked",
            status,
        )
    if status == 403:
        if _is_online(headers, content, host):
            return _error(ErrorKind.PERMISSION, f"Exchange Online blocks EWS for {host} (403)", _ONLINE, status)
        return _error(
            ErrorKind.PERMISSION,
            f"{host} refuses EWS to this account (403)",
            "Check that EWS is switched on for the organisation and the mailbox (Set-CASMailbox -EwsEnabled) and that its "
            "EwsApplicationAccessPolicy lets Syncline in",
            status,
        )
    if status == 429 or (status == 503 and wait is not None):
        return _error(
            ErrorKind.THROTTLED,
            f"{host} asks to slow down ({status})",
            "The connection waits and goes on by itself",
            status,
            wait=wait,
        )
    if status in {301, 302, 307, 308, 404, 405}:
        return _error(
            ErrorKind.CONFIGURATION,
            f"there is no EWS at this address of {host} ({status})",
            "Correct the url of the connection; it ends with /EWS/Exchange.asmx",
            status,
        )
    if status >= 500:
        return _error(
            ErrorKind.UNAVAILABLE,
            f"{host} failed with HTTP status {status}",
            "The connection tries again by itself",
            status,
            wait=wait,
            maybe_applied=True,
        )
    return _error(ErrorKind.REQUEST, f"{host} refused the call with HTTP status {status}", "", status)


def no_token(settings: ExchangeSettings, status: int, reason: str, said: str) -> ProviderError:
    """The refusal of a token endpoint (RFC 6749, 5.2). Of its explanation the number alone is told: it may quote anything.

    Args:
        settings: of the connection.
        status: HTTP status.
        reason: the document's ``error``.
        said: its ``error_description``.
    """
    number = _NUMBER.search(said)
    known = reason if _REASON.fullmatch(reason) else "no error code"
    words = ", ".join(one for one in (known, number[0] if number else "", str(status)) if one)
    detail = f"{host_of(settings.token_url)} gives no token ({words})"
    if status >= 500 or status == 429:
        return _error(ErrorKind.UNAVAILABLE, detail, "The connection tries again by itself", status)
    if reason in {"invalid_scope", "invalid_resource", "invalid_target"}:
        advice = (
            f"The tenant knows no resource for the scope {settings.token_scope}: set `scope` of the connection to the "
            "application ID URI of Exchange there, with /.default at its end"
        )
        return _error(ErrorKind.CONFIGURATION, f"{detail}: wrong scope", advice, status)
    if reason == "unauthorized_client":
        advice = "The tenant knows no application of that `client_id`, or does not let it ask: correct it, or `tenant`"
        return _error(ErrorKind.CREDENTIAL, detail, advice, status)
    if reason == "invalid_client":
        advice = (
            "The client secret is wrong or has expired: make a new one, and keep its value (not its id) in the file or "
            "variable of the connection"
        )
        return _error(ErrorKind.CREDENTIAL, detail, advice, status)
    advice = "Check client_id, the client secret and tenant of the connection"
    return _error(ErrorKind.CREDENTIAL, detail, advice, status)


_REASON = re.compile(r"[a-z_]{1,60}")
_NUMBER = re.compile(r"AADSTS\d{1,9}")


def _is_online(headers: Mapping[str, str], content: bytes, host: str) -> bool:
    """Whether it is Exchange Online that answers: by its address, or by what it says of itself."""
    name = host.partition(":")[0].lower()
    if name.endswith(("office365.com", "outlook.com", "office365.us", "outlook.cn")):
        return True
    said = content[:4096].lower()
    words = (b"exchange online", b"ewsenabled", b"ewsallowedappids")
    return any(word in said for word in words) or "x-ms-diagnostics" in headers


def _error(
    kind: ErrorKind,
    detail: str,
    advice: str,
    status: int,
    *,
    wait: float | None = None,
    maybe_applied: bool = False,
) -> ProviderError:
    return ProviderError(
        kind,
        PROVIDER,
        detail,
        advice=advice,
        status=status,
        retry_after=wait,
        maybe_applied=maybe_applied,
    )


def concerns_all(code: str) -> bool:
    """Whether a failure is about the connection or the mailbox and not about the item that was written."""
    return _classify(code)[0] in {
        ErrorKind.DELEGATION,
        ErrorKind.CONFIGURATION,
        ErrorKind.PERMISSION,
    }


def is_gone(code: str) -> bool:
    """Whether an item is no longer there under that id."""
    return code in _GONE or code.startswith("ErrorInvalidId")


def is_bad_state(code: str) -> bool:
    """Whether the server no longer knows the sync state of a feed."""
    return code in _SYNC_STATE


def outcome_of(code: str, text: str, back_off: float | None) -> Outcome:
    """What a failed write means for the engine (sync.md sections 3.7 and 4)."""
    said = f"{text} ({code})" if text else code
    if code in BUSY | AWAY:
        return Outcome(Result.REFUSED, reason=said, retry_after=back_off)
    if code in UNSURE:
        return Outcome(Result.UNKNOWN, reason=said)
    if is_gone(code):
        return Outcome(Result.GONE, reason=said)
    if code in _CONFLICT:
        return Outcome(Result.CONFLICT, reason=said)
    if concerns_all(code):
        return Outcome(Result.REFUSED, reason=said)
    return Outcome(Result.REJECTED, reason=said)
