"""From a connection's settings to the connector that speaks to it.

A connector is imported with the first connection of its kind: a library of a provider costs every start of the app a good part
of its time, and a command that calls nobody needs none.
"""

from __future__ import annotations

from engine.crm.connector import CrmConnector
from engine.mailbox.connector import MailboxConnector
from engine.model.policy import Connection
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net

_ADVICE = "Correct the connection's settings and apply them again"


def connect_crm(connection: Connection, net: Net) -> CrmConnector:
    """A CRM's connector. Nothing is read or called before its first use.

    Raises:
        ProviderError: ``CONFIGURATION``: no such kind of CRM, or settings that cannot work.
    """
    if connection.kind != "salesforce":
        raise _unusable(connection, f"{connection.kind!r} is no kind of CRM that this version knows")
    from engine.crm.salesforce import SalesforceConnector, SalesforceSettings

    try:
        return SalesforceConnector(SalesforceSettings(**connection.settings), net)  # type: ignore[arg-type]
    except TypeError as error:
        # The text names the missing or unknown setting, never a value.
        raise _unusable(connection, str(error).rpartition("() ")[2]) from None


def connect_mailbox(connection: Connection, net: Net) -> MailboxConnector:
    """A mail system's connector. Nothing is read or called before its first use.

    Raises:
        ProviderError: ``CONFIGURATION``: no such kind of mail system, or settings that cannot work.
    """
    if connection.kind == "exchange":
        from engine.mailbox.exchange.connector import ExchangeConnector
        from engine.mailbox.exchange.settings import parse_settings as exchange_settings

        try:
            return ExchangeConnector(exchange_settings(connection.settings), net)
        except ValueError as error:
            raise _unusable(connection, str(error)) from None
    if connection.kind != "google":
        raise _unusable(connection, f"{connection.kind!r} is no kind of mail system that this version knows")
    from engine.mailbox.google.connector import GoogleConnector
    from engine.mailbox.google.settings_text import SettingsError, parse_settings

    try:
        settings = parse_settings({key: str(value) for key, value in connection.settings.items()})
    except SettingsError as error:
        raise _unusable(connection, "; ".join(error.problems)) from None
    return GoogleConnector(settings, net)


def _unusable(connection: Connection, detail: str) -> ProviderError:
    return ProviderError(ErrorKind.CONFIGURATION, f"connection {connection.name!r}", detail, advice=_ADVICE)
