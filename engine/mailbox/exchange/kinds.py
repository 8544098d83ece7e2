"""The three kinds of item, each with how it is asked for, read and written: what feeds and writes share goes by these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.mailbox.exchange import calendar_read, calendar_write, contacts, tasks
from engine.mailbox.exchange.calendar_read import Seen
from engine.mailbox.exchange.client import ExchangeClient
from engine.model.modules import EVENT_MODULES, Module
from engine.model.port import Account, Observation, Scope, Write

#: Canonical modules of a calendar in the product's order.
EVENTS_IN_ORDER = (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of item.

    Attributes:
        distinguished: Exchange's name of the folder that each mailbox has for it.
        module: the module named where an item is gone and nothing else is known.
        shape: ``m:ItemShape``, what of an item is asked for.
        observe: an item's element as observation, with what it says of its occurrences; ``None``: never synchronised.
        create: the element of a new item.
        changes: the field changes of an update.
    """

    distinguished: str
    module: Module
    shape: str
    observe: Callable[[Any, Account, str], Seen | None]
    create: Callable[[Write, Account], str]
    changes: Callable[[Write, Account], str]

    @property
    def events(self) -> bool:
        """Whether its items are events, with guests and occurrences."""
        return self.module in EVENT_MODULES


def _event(node: Any, account: Account, _region: str) -> Seen | None:
    return calendar_read.observe(node, account)


def _contact(node: Any, account: Account, region: str) -> Seen | None:
    return _alone(contacts.observe(node, account, region))


def _task(node: Any, account: Account, _region: str) -> Seen | None:
    return _alone(tasks.observe(node, account))


def _alone(observation: Observation | None) -> Seen | None:
    return None if observation is None else Seen(observation)


CALENDAR = Kind(
    "calendar",
    Module.APPOINTMENT,
    calendar_read.SHAPE,
    _event,
    calendar_write.create,
    calendar_write.changes,
)
CONTACTS = Kind("contacts", Module.CONTACT, contacts.shape(), _contact, contacts.create, contacts.changes)
TASKS = Kind("tasks", Module.TASK, tasks.SHAPE, _task, tasks.create, tasks.changes)

_BY_KEY = {"calendar": CALENDAR, "contacts": CONTACTS, "tasks": TASKS}


def kind_of(scope: Scope) -> Kind:
    """The kind of item that a scope holds.

    Raises:
        ValueError: no such scope.
    """
    try:
        return _BY_KEY[scope.key.partition(":")[0]]
    except KeyError:
        raise ValueError(f"Exchange has no scope {scope.key!r}; there are {', '.join(_BY_KEY)}, mail") from None


def account_of(scope: Scope) -> Account:
    """The mailbox of a scope.

    Raises:
        ValueError: the scope names none; every scope of a mailbox connector must.
    """
    if scope.account is None:
        raise ValueError(f"the scope {scope.key!r} names no mailbox")
    return scope.account


def region_of(client: ExchangeClient) -> str:
    """Country in which phone numbers without ``+`` are read; may be empty."""
    return client.settings.default_region
