"""The settings of connections, by kind. The connectors' own settings have the same names and defaults (tested)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.model.config_problems import Collector
from engine.model.config_sections import REQUIRED, Setting, read_settings
from engine.model.config_values import (
    BAD,
    flag,
    number,
    path,
    region,
    text,
    url,
    variable,
    version,
    whole,
    word,
)
from engine.model.policy import Connection

_REGION = "Country in which phone numbers without a leading + are read."

SALESFORCE: tuple[Setting, ...] = (
    Setting("login_url", url(empty=False), "My Domain address or login host of the org.", REQUIRED),
    Setting("client_id", text(512), "Consumer key of the External Client App.", REQUIRED),
    Setting("auth", word("client_credentials", "jwt"), "OAuth grant.", "client_credentials"),
    Setting("client_secret_file", path(), "File with the consumer secret (`client_credentials`).", ""),
    Setting("client_secret_env", variable(), "Or the environment variable with it.", ""),
    Setting("username", text(254), "User to act as (`jwt`).", ""),
    Setting("private_key_file", path(), "PEM file of the RSA key whose certificate the app has (`jwt`).", ""),
    Setting("audience", url(), "`aud` of the JWT; empty: found from `login_url`.", ""),
    Setting("api_version", version(), "Version of the REST API.", "62.0"),
    Setting("link_url", url(), "Base of the record links that people see; empty: the org's own address.", ""),
    Setting(
        "overlap_seconds",
        number(0, 3600, "seconds"),
        "How far before the last read a feed starts again, for changes whose transaction committed late.",
        120.0,
    ),
    Setting("default_region", region(), _REGION, ""),
    Setting("multi_currency", flag(), "Whether the org has several currencies.", False),
    Setting(
        "token_seconds",
        number(60, 86_400, "seconds"),
        "How long an access token is used; less than the session timeout of the org.",
        3600.0,
    ),
)

_APIS = {
    "calendar": (
        "Calendar",
        "https://www.googleapis.com/calendar/v3/",
        "https://www.googleapis.com/batch/calendar/v3",
    ),
    "people": ("People", "https://people.googleapis.com/", "https://people.googleapis.com/batch"),
    "tasks": ("Tasks", "https://tasks.googleapis.com/", "https://tasks.googleapis.com/batch"),
    "gmail": ("Gmail", "https://gmail.googleapis.com/", "https://gmail.googleapis.com/batch"),
}

_QUOTAS = {
    "calendar_per_user": (600, "Calendar calls per minute and mailbox"),
    "calendar_per_project": (10_000, "Calendar calls per minute"),
    "gmail_per_user": (6_000, "Gmail quota units per minute and mailbox"),
    "gmail_per_project": (1_200_000, "Gmail quota units per minute"),
    "people_reads_per_user": (90, "People reads per minute and mailbox"),
    "people_writes_per_user": (90, "People writes per minute and mailbox"),
    "people_group_reads_per_user": (90, "People reads of groups per minute and mailbox"),
    "people_other_writes_per_user": (30, "People deletes and writes to groups per minute and mailbox"),
    "tasks_per_day": (50_000, "Tasks calls per day"),
}

GOOGLE: tuple[Setting, ...] = (
    Setting("credentials_file", path(), "JSON key file of the service account.", REQUIRED),
    *(
        Setting(f"{api}_url", url(), f"Root URL of the {title} API.", root)
        for api, (title, root, _) in _APIS.items()
    ),
    *(
        Setting(f"{api}_batch_url", url(), f"Batch URL of the {title} API; empty: single calls.", batch)
        for api, (title, _, batch) in _APIS.items()
    ),
    Setting("token_uri", url(), "Token endpoint; empty: the one in the key file.", ""),
    Setting("calendar_batch", whole(1, 1000, "calls"), "Calls in one calendar batch.", 50),
    Setting(
        "gmail_batch",
        whole(1, 100, "calls"),
        "Calls in one Gmail batch; Google advises against more than 50.",
        50,
    ),
    Setting(
        "tasks_batch",
        flag(),
        "Whether tasks use the batch endpoint, which Google does not document for them.",
        False,
    ),
    Setting(
        "event_labels",
        flag(),
        "Mark events by labels with own names instead of the eleven event colours.",
        False,
    ),
    Setting("default_region", region(), _REGION, ""),
    Setting("timeout", number(1, 600, "seconds"), "Time that one call may take.", 30.0),
    Setting(
        "people_lag_seconds",
        whole(0, 3600, "seconds"),
        "How long after a write Google's contact feed may still show the old state.",
        300,
    ),
    *(
        Setting(f"quota_{name}", number(1, 1e9), f"Quota of the Cloud project: {what}.", default)
        for name, (default, what) in _QUOTAS.items()
    ),
)

#: Settings by kind of connection, and what each kind is.
KINDS: Mapping[str, tuple[Setting, ...]] = {"salesforce": SALESFORCE, "google": GOOGLE}
CRM_KINDS = ("salesforce",)
MAILBOX_KINDS = ("google",)


def read_connection(name: str, raw: Any, where: str, problems: Collector) -> Connection | None:
    """A connection with the settings that are given (defaults stay with the connector); ``None`` when unreadable."""
    if not isinstance(raw, Mapping):
        problems.add(where, "is not a table", value=raw)
        return None
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        problems.add(
            f"{where}.kind",
            "must be given" if kind is None else "no such kind of connection",
            value=kind,
            allowed=", ".join(KINDS),
        )
        return None
    settings = {key: value for key, value in raw.items() if key != "kind"}
    values = read_settings(KINDS[kind], settings, where, problems)
    if values is BAD:
        return None
    if kind == "salesforce":
        _check_login(values, where, problems, settings)
    return Connection(name, kind, values)


def _check_login(values: Mapping[str, Any], where: str, problems: Collector, given: Mapping[str, Any]) -> None:
    """Each grant has its own settings."""
    auth = values.get("auth", "client_credentials") if "auth" not in given or "auth" in values else ""
    if auth == "jwt":
        for key in ("username", "private_key_file"):
            if key not in given:
                problems.add(f"{where}.{key}", 'must be given when auth is "jwt"')
    sources = [key for key in ("client_secret_file", "client_secret_env") if key in given]
    if auth == "client_credentials" and len(sources) != 1:
        problems.add(
            f"{where}.client_secret_file",
            "both it and client_secret_env are given" if sources else "must be given, or client_secret_env",
            allowed="one of client_secret_file and client_secret_env",
        )
