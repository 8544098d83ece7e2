"""Tests a connection the way ``doctor`` prints it: settings, login, version, impersonation and one read, told apart."""

from __future__ import annotations

from engine.mailbox.exchange import folders
from engine.mailbox.exchange import settings as settings_of
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.xml import element
from engine.model.port import Account, Finding
from engine.net.errors import ErrorKind, ProviderError

#: Major and minor number of the version that a server gives itself (Microsoft's page "Exchange Server build numbers").
_RELEASES = {"14": "Exchange2010", "15.0": "Exchange2013", "15.1": "Exchange2016", "15.2": "Exchange2019"}
_ORDER = ("Exchange2010", "Exchange2013", "Exchange2016", "Exchange2019", "ExchangeSE")

_WHAT = {
    ErrorKind.CREDENTIAL: "login",
    ErrorKind.DELEGATION: "impersonation",
    ErrorKind.THROTTLED: "throttled",
    ErrorKind.UNAVAILABLE: "server",
    ErrorKind.MALFORMED: "server",
    ErrorKind.PERMISSION: "access",
    ErrorKind.NOT_FOUND: "mailbox",
    ErrorKind.REQUEST: "read",
}


async def check(client: ExchangeClient, account: Account | None) -> list[Finding]:
    """Findings for login and version, then for the mailbox. Never raises: a failure is a finding.

    Without an account the login and the server are tested, by a call that concerns nobody's mailbox.
    """
    findings: list[Finding] = []
    try:
        await _login(client)
        findings.append(
            Finding(True, "login", f"{client.host} lets {_who(client)} in ({client.settings.auth})")
        )
    except ProviderError as error:
        return [_finding(error)]
    findings.append(_version(client))
    if account is None:
        return findings
    try:
        present = await folders.get(client, account, ["calendar", "contacts", "tasks"])
    except ProviderError as error:
        return [*findings, _finding(error)]
    findings.append(Finding(True, "impersonation", f"{_who(client)} may act as {account.email}"))
    for name, folder in zip(("calendar", "contacts", "tasks"), present, strict=True):
        detail = f"{folder.name}, {folder.items} items" if folder else f"the mailbox has no folder {name}"
        findings.append(Finding(folder is not None, f"read {name}", detail))
    return findings


async def _login(client: ExchangeClient) -> None:
    """A call that any account may make: what time zones there are, of which one is asked for.

    Raises:
        ProviderError: it was refused.
    """
    body = element(
        "m:GetServerTimeZones",
        element("m:Ids", "<t:Id>UTC</t:Id>"),
        ReturnFullTimeZoneData="false",
    )
    try:
        await client.call(None, "GetServerTimeZones", body, idempotent=True, attempts=1)
    except ProviderError as error:
        # Whoever is told in EWS' own words that he may not do this has logged in.
        if error.status is not None or error.kind not in {ErrorKind.REQUEST, ErrorKind.NOT_FOUND}:
            raise


def _who(client: ExchangeClient) -> str:
    settings = client.settings
    return settings.client_id if settings.auth == settings_of.OAUTH else settings.username


def _version(client: ExchangeClient) -> Finding:
    """The server's own version beside the one of the setting; a lower setting works, a higher one may not."""
    numbers = client.version.split(".")
    release = _RELEASES.get(".".join(numbers[:2])) or _RELEASES.get(numbers[0])
    wanted = client.settings.version
    if release is None:
        return Finding(True, "version", f"asked for as {wanted}; the server does not tell its own")
    detail = f"the server is {client.version} ({release}{' or SE' if release == 'Exchange2019' else ''})"
    if min(_ORDER.index(wanted), _ORDER.index("Exchange2019")) > _ORDER.index(release):
        return Finding(False, "version", f"{detail}, the connection says {wanted}", f"Set version to {release}")
    return Finding(True, "version", f"{detail}, asked for as {wanted}")


def _finding(error: ProviderError) -> Finding:
    what = _WHAT.get(error.kind, "settings")
    text = error.detail
    if error.kind is ErrorKind.CONFIGURATION:
        said = text.lower()
        tls = "certificate" in said or "tls" in said
        what = "tls" if tls else "version" if "version" in said else "settings"
        if said.endswith("wrong scope"):
            what = "scope"
    pause = f" (for {error.retry_after:.0f} s)" if error.retry_after else ""
    return Finding(False, what, text + pause, error.advice)
