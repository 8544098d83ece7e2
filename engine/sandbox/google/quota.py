"""Quotas per project and per user, as sliding windows over the world's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from engine.sandbox.google.call import ApiError
from engine.sandbox.kit.world import World

MINUTE = 60_000
DAY = 86_400_000

DEFAULTS: dict[str, int | None] = {
    "calendar_user": 600,
    "calendar_project": 10_000,
    "gmail_user": 6_000,
    "gmail_project": 1_200_000,
    "people_read_user": 90,
    "people_write_user": 90,
    "people_group_read_user": 90,
    "people_other_write_user": 30,
    "tasks_day": 50_000,
}
"""Calendar and Gmail: projects of May 2026 and later (their quota guides). People: as reported, the console has the
true ones; ``other`` are deletions and writes to groups. Units per minute, Tasks per day. None: no limit."""

_GMAIL_UNITS = {
    "gmail.users.getProfile": 1,
    "gmail.users.labels.get": 1,
    "gmail.users.labels.list": 1,
    "gmail.users.history.list": 2,
    "gmail.users.messages.list": 5,
    "gmail.users.messages.modify": 5,
    "gmail.users.messages.delete": 10,
    "gmail.users.messages.trash": 20,
    "gmail.users.messages.untrash": 20,
    "gmail.users.messages.get": 20,
    "gmail.users.messages.attachments.get": 20,
    "gmail.users.messages.insert": 25,
    "gmail.users.messages.import": 25,
    "gmail.users.messages.batchModify": 50,
    "gmail.users.messages.batchDelete": 50,
    "gmail.users.messages.send": 100,
    "gmail.users.threads.list": 10,
    "gmail.users.threads.get": 40,
    "gmail.users.stop": 50,
    "gmail.users.watch": 100,
}
_GMAIL_OTHER = 5

_PEOPLE: dict[str, tuple[tuple[str, int], ...]] = {
    "people.people.createContact": (("people_read_user", 1), ("people_write_user", 1)),
    "people.people.updateContact": (("people_read_user", 1), ("people_write_user", 1)),
    "people.people.batchCreateContacts": (("people_read_user", 6), ("people_write_user", 6)),
    "people.people.batchUpdateContacts": (("people_read_user", 6), ("people_write_user", 6)),
    "people.people.deleteContact": (("people_other_write_user", 1),),
    "people.people.batchDeleteContacts": (("people_other_write_user", 10),),
    "people.contactGroups.list": (("people_group_read_user", 1),),
    "people.contactGroups.get": (("people_group_read_user", 1),),
    "people.contactGroups.batchGet": (("people_group_read_user", 1),),
    "people.contactGroups.create": (("people_other_write_user", 1),),
    "people.contactGroups.update": (("people_other_write_user", 1),),
    "people.contactGroups.delete": (("people_other_write_user", 1),),
    "people.contactGroups.members.modify": (("people_other_write_user", 1),),
}


class _Window:
    """Units spent within the last ``span`` milliseconds, kept in sixtieths of the span."""

    __slots__ = ("_slots", "_span", "spent")

    def __init__(self, span: int) -> None:
        self._span = span
        self._slots: deque[list[int]] = deque()
        self.spent = 0

    def expire(self, now: int) -> None:
        """Forget what is older than the span."""
        while self._slots and self._slots[0][0] <= now - self._span:
            self.spent -= self._slots.popleft()[1]

    def add(self, now: int, units: int) -> None:
        """Spend units at ``now`` (milliseconds)."""
        width = self._span // 60
        if self._slots and now - self._slots[-1][0] < width:
            self._slots[-1][1] += units
        else:
            self._slots.append([now, units])
        self.spent += units


class Quota:
    """Books of all quotas of one server.

    ``settings["google_quota"]`` may hold any key of ``DEFAULTS`` and ``enabled`` (False: nothing is limited).

    Raises:
        ValueError: the settings name an unknown quota.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._windows: dict[tuple[str, str], _Window] = {}
        unknown = set(world.settings.get("google_quota", {})) - set(DEFAULTS) - {"enabled"}
        if unknown:
            raise ValueError(
                f"google_quota: unknown key {sorted(unknown)[0]!r}; allowed: {', '.join(DEFAULTS)}, enabled"
            )

    def charge(self, api: str, method: str, project: str, user: str) -> None:
        """Book one call, or refuse it and book nothing.

        Args:
            api: ``calendar``, ``gmail``, ``people`` or ``tasks``.
            method: discovery method id.
            project: Cloud project of the service account.
            user: ``quotaUser`` of the call, or the service account when it sent none (domain-wide delegation guide).

        Raises:
            ApiError: 403 ``rateLimitExceeded`` or ``userRateLimitExceeded`` (Calendar), 403 ``dailyLimitExceeded`` (Tasks
                past its day), 429 ``RESOURCE_EXHAUSTED`` (Gmail, People).
        """
        settings: Mapping[str, Any] = self._world.settings.get("google_quota", {})
        if not settings.get("enabled", True):
            return
        now = self._world.clock.now_ms()
        booked: list[tuple[_Window, int]] = []
        for name, units in costs(api, method):
            limit = settings.get(name, DEFAULTS[name])
            if limit is None:
                continue
            key = (name, f"{project}/{user}" if name.endswith("_user") else project)
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = _Window(DAY if name.endswith("_day") else MINUTE)
            window.expire(now)
            if window.spent + units > limit:
                self._world.counters[f"google.refused.{name}"] += 1
                raise _refusal(api, name)
            booked.append((window, units))
        for window, units in booked:
            window.add(now, units)


def costs(api: str, method: str) -> tuple[tuple[str, int], ...]:
    """Which quotas a call is charged to, with units."""
    if api == "calendar":
        return (("calendar_user", 1), ("calendar_project", 1))
    if api == "gmail":
        units = _GMAIL_UNITS.get(method, _GMAIL_OTHER)
        return (("gmail_user", units), ("gmail_project", units))
    if api == "people":
        return _PEOPLE.get(method, (("people_read_user", 1),))
    return (("tasks_day", 1),)


def _refusal(api: str, name: str) -> ApiError:
    if api == "calendar":
        reason = "userRateLimitExceeded" if name.endswith("_user") else "rateLimitExceeded"
        text = "User Rate Limit Exceeded" if name.endswith("_user") else "Rate Limit Exceeded"
        return ApiError(403, reason, text, domain="usageLimits")
    if api == "tasks":
        return ApiError(403, "dailyLimitExceeded", "Daily Limit Exceeded", domain="usageLimits")
    return ApiError(
        429,
        "rateLimitExceeded",
        f"Quota exceeded for quota metric '{name}' and limit '{name} per minute' of service '{api}.googleapis.com'.",
        info_reason="RATE_LIMIT_EXCEEDED",
        domain="usageLimits",
    )
