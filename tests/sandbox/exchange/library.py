"""exchangelib, pointed at the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exchangelib import (
    BASIC,
    DELEGATE,
    IMPERSONATION,
    Account,
    CalendarItem,
    Configuration,
    Contact,
    Credentials,
    EWSTimeZone,
    Message,
    Task,
    Version,
)
from exchangelib.extended_properties import ExtendedProperty
from exchangelib.version import EXCHANGE_2016

from tests.sandbox.exchange.office import ANNA, PASSWORD, SERVICE, SERVICE_PASSWORD, Office


class Key(ExtendedProperty):
    """The property by which a client finds what it has made."""

    property_set_id = "c11ff724-aa03-4555-9952-8fa248a11c3e"
    property_name = "SandboxTestKey"
    property_type = "String"


for _kind in (CalendarItem, Contact, Task, Message):
    _kind.register("sandbox_key", Key)


@contextmanager
def account(
    running: Office,
    user: str = ANNA,
    *,
    auth: str = BASIC,
    act_for: str = "",
    zone: str = "Europe/Berlin",
    **more: Any,
) -> Iterator[Any]:
    """An exchangelib account: of ``user`` by own password, or of ``act_for`` by the service account."""
    login = Credentials(SERVICE, SERVICE_PASSWORD) if act_for else Credentials(user, PASSWORD)
    configuration = Configuration(
        service_endpoint=running.endpoint,
        credentials=login,
        auth_type=auth,
        version=Version(build=EXCHANGE_2016),
        **more,
    )
    made = Account(
        primary_smtp_address=act_for or user,
        config=configuration,
        autodiscover=False,
        access_type=IMPERSONATION if act_for else DELEGATE,
        default_timezone=EWSTimeZone(zone),
    )
    try:
        yield made
    finally:
        made.protocol.close()
