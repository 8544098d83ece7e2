"""The settings of connections, by kind. The connectors' own settings have the same names and defaults (tested)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.model.config_problems import Collector
from engine.model.config_sections import REQUIRED, Setting, read_settings
from engine.model.config_values import (
    BAD,
    emails,
    flag,
    guarded_url,
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
    Setting(
        "push",
        flag(),
        "Whether Google is asked to tell of changes of calendars by itself, to the listener of `[push]`.",
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

EXCHANGE: tuple[Setting, ...] = (
    Setting("url", guarded_url(), "Address of EWS, `https://HOST/EWS/Exchange.asmx`.", REQUIRED),
    Setting(
        "version",
        word("Exchange2010", "Exchange2013", "Exchange2016", "Exchange2019", "ExchangeSE"),
        "Version of the server.",
        "Exchange2016",
    ),
    Setting("auth", word("basic", "ntlm", "oauth"), "How to log in.", "basic"),
    Setting(
        "username",
        text(254),
        "Impersonation account, `DOMAIN\\name` or its address (`basic`, `ntlm`).",
        "",
    ),
    Setting("password_file", path(), "File with its password (`basic`, `ntlm`).", ""),
    Setting("password_env", variable(), "Or the environment variable with it.", ""),
    Setting("client_id", text(512), "Application that may impersonate (`oauth`).", ""),
    Setting("client_secret_file", path(), "File with the application's secret (`oauth`).", ""),
    Setting("client_secret_env", variable(), "Or the environment variable with it.", ""),
    Setting("tenant", text(254, without="/?#"), "Directory of the application (`oauth`).", ""),
    Setting("token_uri", guarded_url(empty=True), "Token endpoint; empty: Microsoft's of `tenant`.", ""),
    Setting(
        "scope",
        text(512),
        "What tokens are asked for (`oauth`); empty: `https://HOST/.default` with the host of `url`.",
        "",
    ),
    Setting(
        "ca_file",
        path(),
        "PEM file of the authority that signed the server's certificate; without it the machine's authorities.",
        "",
    ),
    Setting("batch_size", whole(1, 512, "items"), "Items in one create, update or delete.", 100),
    Setting(
        "mode",
        word("polling", "push", "streaming", "pull"),
        "How changes are heard of: `polling` by schedule; besides it `push` to `notification_url`, or `streaming` or "
        "`pull` where the server cannot reach this machine.",
        "polling",
    ),
    Setting("notification_url", url(), "Where the server sends notifications (`push`).", ""),
    Setting(
        "notification_frequency",
        whole(1, 1440, "minutes"),
        "How long a mailbox is retried before its sync is cancelled and the failure mails go out.",
        30,
    ),
    Setting("notify_sync_failure_to", emails(), "Who gets the failure mails.", ""),
    Setting(
        "max_connections", whole(1, 50, "calls"), "Calls at once to this server, for all mailboxes together.", 8
    ),
    Setting("timeout", number(1, 600, "seconds"), "Time that one call may take.", 60.0),
    Setting("default_region", region(), _REGION, ""),
)

#: Settings by kind of connection, and what each kind is.
KINDS: Mapping[str, tuple[Setting, ...]] = {"salesforce": SALESFORCE, "google": GOOGLE, "exchange": EXCHANGE}
CRM_KINDS = ("salesforce",)
MAILBOX_KINDS = ("google", "exchange")


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
    if kind == "exchange":
        _check_exchange(values, where, problems, settings)
    return Connection(name, kind, values)


def _check_login(values: Mapping[str, Any], where: str, problems: Collector, given: Mapping[str, Any]) -> None:
    """Each grant has its own settings."""
    auth = values.get("auth", "client_credentials") if "auth" not in given or "auth" in values else ""
    if auth == "jwt":
        for key in ("username", "private_key_file"):
            if key not in given:
                problems.add(f"{where}.{key}", 'must be given when auth is "jwt"')
    if auth == "client_credentials":
        _one_secret("client_secret", where, problems, given)


def _check_exchange(
    values: Mapping[str, Any], where: str, problems: Collector, given: Mapping[str, Any]
) -> None:
    """Each way to log in has its own settings, and push needs an address."""
    auth = values.get("auth", "basic") if "auth" not in given or "auth" in values else ""
    if auth in {"basic", "ntlm"}:
        if "username" not in given:
            problems.add(f"{where}.username", f'must be given when auth is "{auth}"')
        _one_secret("password", where, problems, given)
    if auth == "oauth":
        if "client_id" not in given:
            problems.add(f"{where}.client_id", 'must be given when auth is "oauth"')
        if not given.get("tenant") and not given.get("token_uri"):
            problems.add(f"{where}.tenant", 'must be given when auth is "oauth", or token_uri')
        _one_secret("client_secret", where, problems, given)
    if values.get("mode") == "push" and not given.get("notification_url"):
        problems.add(f"{where}.notification_url", 'must be given when mode is "push"')


def _one_secret(name: str, where: str, problems: Collector, given: Mapping[str, Any]) -> None:
    """A secret stands in a file or in an environment variable, not in both."""
    file, variable_ = f"{name}_file", f"{name}_env"
    sources = [key for key in (file, variable_) if key in given]
    if len(sources) != 1:
        problems.add(
            f"{where}.{file}",
            f"both it and {variable_} are given" if sources else f"must be given, or {variable_}",
            allowed=f"one of {file} and {variable_}",
        )
