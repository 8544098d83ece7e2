"""Sections of the configuration that concern the engine as a whole: their tables, and documents to values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from engine.model.config_problems import Collector, ConfigErrors
from engine.model.config_sections import REQUIRED, Section, Setting, write_settings
from engine.model.config_values import (
    BAD,
    email,
    endpoint,
    host,
    number,
    one_of,
    path,
    text,
    url,
    variable,
    whole,
)
from engine.model.setup import Push, Security, Setup, Smtp

_SMTP = Smtp("", "")
_PUSH = Push("", "")

#: Mail servers that are on this machine: nobody listens on the way to them.
_HERE = ("localhost", "127.", "::1")

SMTP = Section(
    (
        Setting("host", host(), "Name or address of the mail server.", REQUIRED),
        Setting(
            "port", whole(1, 65_535), "Its port: 587 for STARTTLS, 465 for TLS, 25 for a relay.", _SMTP.port
        ),
        Setting(
            "security",
            one_of(Security),
            "STARTTLS, which must succeed; TLS from the first byte; or none, for a relay on this machine.",
            _SMTP.security,
        ),
        Setting("sender", email(), "Address that the mails come from.", REQUIRED),
        Setting("username", text(254, empty=True), "User name; empty: the server asks for none.", ""),
        Setting("password_file", path(), "File with the password.", ""),
        Setting("password_env", variable(), "Or the environment variable with it.", ""),
        Setting(
            "ca_file",
            path(),
            "PEM file of the authority that signed the server's certificate, if it is your own.",
            "",
        ),
        Setting(
            "timeout", number(1, 600, "seconds"), "Time that one step of a delivery may take.", _SMTP.timeout
        ),
    ),
)

PUSH = Section(
    (
        Setting("bind", endpoint(), "Address and port to listen on.", REQUIRED),
        Setting(
            "public_url",
            url(empty=False),
            "How the providers reach it. Google calls https only; Exchange must reach it from its own servers.",
            REQUIRED,
        ),
        Setting(
            "certificate_file", path(), "PEM file of the certificate; without it a proxy in front does TLS.", ""
        ),
        Setting("key_file", path(), "PEM file of the certificate's key.", ""),
        Setting(
            "body_limit",
            whole(1024, 16_777_216, "bytes"),
            "A notification that is longer is refused.",
            _PUSH.body_limit,
        ),
        Setting(
            "rate_limit",
            whole(1, 100_000, "notifications"),
            "A minute and sender; more are refused.",
            _PUSH.rate_limit,
        ),
        Setting("connections", whole(1, 10_000), "Connections at once.", _PUSH.connections),
    ),
)

#: The sections by name: what they are, their table, and the object of all defaults.
SETUP: Mapping[str, tuple[str, Section, Any]] = {
    "smtp": ("Failure mails", SMTP, _SMTP),
    "push": ("Push notifications", PUSH, _PUSH),
}


def read_setup(document: Mapping[str, Any], problems: Collector) -> Setup:
    """The sections that a document has; those that it has not are None."""
    found: dict[str, Any] = {}
    for name, (_, section, base) in SETUP.items():
        if name not in document:
            continue
        value = section.read(document[name], name, problems, base)
        if value is not BAD:
            found[name] = value
    setup = Setup(**found)
    if setup.smtp is not None:
        _check_smtp(setup.smtp, problems)
    if setup.push is not None:
        _check_push(setup.push, problems)
    return setup


def _check_smtp(smtp: Smtp, problems: Collector) -> None:
    sources = [name for name in ("password_file", "password_env") if getattr(smtp, name)]
    if smtp.username and len(sources) != 1:
        problems.add(
            "smtp.password_file",
            "both it and password_env are given"
            if sources
            else "must be given beside username, or password_env",
            allowed="one of password_file and password_env",
        )
    if sources and not smtp.username:
        problems.add("smtp.username", f"must be given beside {sources[0]}")
    if smtp.username and smtp.security is Security.NONE and not smtp.host.startswith(_HERE):
        problems.add(
            "smtp.security",
            "would send the password in the clear",
            value=smtp.security.value,
            allowed="starttls, tls; none only without username, or for a relay on this machine",
        )


def _check_push(push: Push, problems: Collector) -> None:
    if bool(push.certificate_file) != bool(push.key_file):
        missing = "key_file" if push.certificate_file else "certificate_file"
        problems.add(f"push.{missing}", "must be given: a certificate and its key belong together")


def setup_to_docs(setup: Setup) -> dict[str, dict[str, Any]]:
    """JSON-able documents by section."""
    return {
        name: {key: value for key, value in write_settings(section.settings, value).items() if value != ""}
        for name, (_, section, _) in SETUP.items()
        if (value := getattr(setup, name)) is not None
    }


def setup_from_docs(docs: Mapping[str, Any]) -> Setup:
    """The opposite of ``setup_to_docs``.

    Raises:
        ConfigErrors: a stored document is not valid for this version.
    """
    problems = Collector()
    setup = read_setup({name: docs[name] for name in docs if name in SETUP}, problems)
    if problems.problems:
        raise ConfigErrors("the ledger", problems.problems)
    return setup


def with_paths(setup: Setup, absolute: Any) -> Setup:
    """The same with the paths of files as ``absolute`` makes them."""

    def one(value: Any) -> Any:
        if value is None:
            return None
        named = [
            each.name for each in fields(value) if each.name.endswith("_file") and getattr(value, each.name)
        ]
        return replace(value, **{name: absolute(getattr(value, name)) for name in named})

    return Setup(**{name: one(getattr(setup, name)) for name in SETUP})
