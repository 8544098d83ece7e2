"""Settings of a Google Workspace connection: where the APIs are, what may be asked of them, how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Api(StrEnum):
    """The four Google APIs that the connector speaks."""

    CALENDAR = "calendar"
    PEOPLE = "people"
    TASKS = "tasks"
    GMAIL = "gmail"

    @property
    def label(self) -> str:
        """The name that an admin knows from the Cloud console."""
        return TITLES[self]


TITLES: Mapping[Api, str] = {
    Api.CALENDAR: "Google Calendar",
    Api.PEOPLE: "Google People",
    Api.TASKS: "Google Tasks",
    Api.GMAIL: "Gmail",
}

#: Root URLs; each is what the library's ``client_options.api_endpoint`` expects (discovery's rootUrl + servicePath).
ENDPOINTS: Mapping[Api, str] = {
    Api.CALENDAR: "https://www.googleapis.com/calendar/v3/",
    Api.PEOPLE: "https://people.googleapis.com/",
    Api.TASKS: "https://tasks.googleapis.com/",
    Api.GMAIL: "https://gmail.googleapis.com/",
}

#: People has no batch endpoint of its own use: its bulk methods are better (providers.md 1.2).
BATCH_URLS: Mapping[Api, str] = {
    Api.CALENDAR: "https://www.googleapis.com/batch/calendar/v3",
    Api.PEOPLE: "https://people.googleapis.com/batch",
    Api.TASKS: "https://tasks.googleapis.com/batch",
    Api.GMAIL: "https://gmail.googleapis.com/batch",
}

_AUTH = "https://www.googleapis.com/auth/"

#: The scopes to authorise in the Admin console, and no more.
SCOPES: Mapping[Api, tuple[str, ...]] = {
    Api.CALENDAR: (_AUTH + "calendar",),
    Api.PEOPLE: (_AUTH + "contacts",),
    Api.TASKS: (_AUTH + "tasks",),
    Api.GMAIL: (_AUTH + "gmail.labels", _AUTH + "gmail.modify"),
}


@dataclass(frozen=True, slots=True)
class Quotas:
    """Google's limits per Cloud project; all of them are shown and can be raised in the Cloud console.

    Defaults are those of projects made after May 2026 (providers.md 1.3). Per minute unless the name says otherwise;
    Gmail counts units; People's "other writes" are deletes and writes to groups.
    """

    calendar_per_user: float = 600
    calendar_per_project: float = 10_000
    gmail_per_user: float = 6_000
    gmail_per_project: float = 1_200_000
    people_reads_per_user: float = 90
    people_writes_per_user: float = 90
    people_group_reads_per_user: float = 90
    people_other_writes_per_user: float = 30
    tasks_per_day: float = 50_000


@dataclass(frozen=True, slots=True)
class GoogleSettings:
    """One Google Workspace connection.

    Attributes:
        credentials_file: path of the service account's JSON key.
        endpoints: root URL per API; APIs that are not named keep Google's.
        batch_urls: batch URL per API; an empty string means single calls.
        token_uri: token endpoint; empty: the one in the key file.
        quotas: what the project may spend.
        calendar_batch: calls per calendar batch, 1 to 1000; Google's documentation says 50 to 1000 in different places.
        gmail_batch: calls per Gmail batch; Google advises against more than 50.
        tasks_batch: whether tasks use the batch endpoint, which Google does not document for Tasks.
        event_labels: mark events by calendar labels with own names instead of the eleven event colours.
        push: whether Google is asked to tell of changes of calendars by itself.
        scopes: OAuth scopes per API.
        default_region: ISO 3166 country in which phone numbers without ``+`` are read; empty: none.
        timeout: seconds that one call may take.
        people_lag_seconds: how long after a write the contact feed may still show the old state ("several minutes",
            people.connections.list).
    """

    credentials_file: str
    endpoints: Mapping[Api, str] = field(default_factory=dict)
    batch_urls: Mapping[Api, str] = field(default_factory=dict)
    token_uri: str = ""
    quotas: Quotas = Quotas()
    calendar_batch: int = 50
    gmail_batch: int = 50
    tasks_batch: bool = False
    event_labels: bool = False
    push: bool = False
    scopes: Mapping[Api, tuple[str, ...]] = field(default_factory=lambda: dict(SCOPES))
    default_region: str = ""
    timeout: float = 30.0
    people_lag_seconds: int = 300

    def endpoint(self, api: Api) -> str:
        """Root URL of an API, with a closing slash."""
        return self.endpoints.get(api, ENDPOINTS[api]).rstrip("/") + "/"

    def batch_url(self, api: Api) -> str:
        """Batch URL of an API; empty when calls go singly."""
        return self.batch_urls.get(api, BATCH_URLS[api])

    def batch_size(self, api: Api) -> int:
        """Most calls in one batch."""
        return {Api.CALENDAR: self.calendar_batch, Api.GMAIL: self.gmail_batch}.get(api, 50)

    def scopes_of(self, api: Api) -> tuple[str, ...]:
        """OAuth scopes that an API needs."""
        return tuple(self.scopes.get(api, SCOPES[api]))

    def all_scopes(self) -> tuple[str, ...]:
        """The scopes of all APIs, sorted."""
        return tuple(sorted({scope for api in Api for scope in self.scopes_of(api)}))
