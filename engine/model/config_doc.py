"""The reference page of the configuration, made from the tables: ``python -m engine.model.config_doc``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.model.canonical import FIELDS
from engine.model.config import ENABLED, USER
from engine.model.config_connections import KINDS
from engine.model.config_export import value_text
from engine.model.config_jobs import ACCESS_GROUP, JOB
from engine.model.config_jobs import ENABLED as JOB_ENABLED
from engine.model.config_policy import POLICY
from engine.model.config_sections import REQUIRED, ByModule, ByName, ListOf, Section, Setting
from engine.model.config_setup import SETUP
from engine.model.config_values import Kind
from engine.model.job import SHIPPED
from engine.model.modules import Module
from engine.model.policy import ModuleSettings

_HEAD = """\
# Configuration

This page is made from the tables that read the file: `python -m engine.model.config_doc > docs/configuration.md`.

`syncline apply FILE.toml` stores connections, policies and users as a whole: every fault is told at once, with its
place, value and what is allowed, and nothing is changed unless all of it is right. `syncline export` prints what is
stored, in the same form. What the file no longer names is switched off or forgotten; items that were synchronised stay
where they are. [example.toml](example.toml) is a file to begin with.

A secret never stands in the file. It names the file (`..._file`) or the environment variable (`..._env`) that holds it;
a relative path starts at the folder of the configuration file. Names that the tables below do not have are refused.
Texts and times are written in quotes, `true` and `false` and numbers without.
"""

_CONNECTIONS = {
    "salesforce": (
        "Salesforce",
        'A CRM, over its REST API. `auth = "client_credentials"` needs `client_secret_file` or `client_secret_env`; '
        '`auth = "jwt"` needs `username` and `private_key_file`.',
    ),
    "google": (
        "Google Workspace",
        "Mailboxes, through a service account with domain-wide delegation. Any server that speaks the same APIs can be "
        "named by the URLs; where a batch endpoint is missing, calls go one by one.",
    ),
    "exchange": (
        "Microsoft Exchange",
        'Mailboxes on the premises, over EWS, by an account with the impersonation right. `auth = "basic"` and `"ntlm"` need '
        '`username` and `password_file` or `password_env`; `"oauth"` needs `client_id`, `client_secret_file` or '
        "`client_secret_env`, and `tenant` or `token_uri`.",
    ),
}

_SECTIONS = {
    "scheduling": "When cycles run. `workdays` and `weekends` are tables with the settings named below.",
    "address_books": "Contacts and leads.",
    "calendar": "Appointments, phone calls and service calls.",
    "labels": "The label tree of opportunities and cases, and the drop labels in it.",
    "mail": "Mails that people put under a drop label become e-mails of that record in the CRM; `inbox` and `sent` file by "
    "themselves. What is refused stands in the Filed mail view with its reason.",
    "rollout": "A first sync, or a change of what the policy writes, reaches some mailboxes first. A wave is judged after its "
    "cycles and a verification; what is too bad stops the roll-out, with its reason.",
    "delete_safety": "Each of these is a table with `count` and `percent`. A cycle that would delete more items than "
    "`count`, or more than `percent` of what is there, waits for an admin.",
}


_SETUP = {
    "smtp": "The mail server through which failure mails go, to the `error_addresses` of policies and the addresses of "
    "connections. Without it incidents are only shown. See [mails.md](mails.md).",
    "push": "Where providers tell of changes by themselves. Without it mailboxes are polled. See [push.md](push.md).",
}


def page() -> str:
    """The whole page as Markdown."""
    out = [_HEAD]
    for kind, (title, text) in _CONNECTIONS.items():
        out += [f'## {title}: `[connections.NAME]` with `kind = "{kind}"`\n', f"{text}\n", _table(KINDS[kind])]
    plain = tuple(each for each in POLICY if not isinstance(each.kind, Section | ByModule))
    out += [
        "## Policies: `[policies.NAME]`\n",
        "The rules between one CRM connection and one mailbox connection. A name with spaces is quoted: "
        '`[policies."Acme Sales"]`.\n',
        _table((*plain[:2], ENABLED, *plain[2:])),
    ]
    for each in POLICY:
        if isinstance(each.kind, Section):
            out += [
                f"### `[policies.NAME.{each.name}]`\n",
                f"{_SECTIONS[each.name]}\n",
                _table(each.kind.settings, each.default),
            ]
    out += [_modules(), "## Users: `[[users]]`\n", "One table for each mailbox.\n", _table(USER), _jobs()]
    for name, (title, section, _) in SETUP.items():
        out += [f"## {title}: `[{name}]`\n", f"{_SETUP[name]}\n", _table(section.settings)]
    return "\n".join(out)


def _jobs() -> str:
    """The jobs that ship, and the contexts in which they can run."""
    names = ", ".join(f"`{name}`" for name in SHIPPED)
    return (
        "## Jobs: `[jobs.NAME]`\n\n"
        f"What is set over a job that ships ({names}); what is not named stays as shipped, and a job without a table "
        f"is as shipped as a whole.\n\n{_table((JOB_ENABLED, *JOB))}\n"
        "## Access groups: `[access_groups.NAME]`\n\n"
        "A context of a job: with whose credentials, and for which operators it runs. A user is an operator while his "
        f"`calendar_sync` is on.\n\n{_table(ACCESS_GROUP)}"
    )


def _modules() -> str:
    """The settings of modules; only records differ from the common defaults."""
    setting = next(each for each in POLICY if each.name == "modules")
    assert isinstance(setting.kind, ByModule)
    assert isinstance(setting.kind.kind, Section)
    names = ", ".join(f"`{module}`" for module in Module)
    return (
        "### `[policies.NAME.modules.MODULE]`\n\n"
        f"{setting.meaning} The modules are {names}.\n\n{_table(setting.kind.kind.settings, ModuleSettings())}\n"
        f"The fields that `conflicts` can name, by module:\n\n{_fields()}"
    )


def _fields() -> str:
    """The fields by module; modules with the same fields share a line."""
    tables: dict[str, list[str]] = {}
    for module in Module:
        tables.setdefault(", ".join(f"`{name}`" for name in FIELDS[module]), []).append(f"`{module}`")
    return "\n".join(f"- {', '.join(modules)}: {names}" for names, modules in tables.items()) + "\n"


def _table(settings: tuple[Setting, ...], defaults: Any = None) -> str:
    lines = ["| setting | meaning | allowed | default |", "| --- | --- | --- | --- |"]
    for each in settings:
        default = each.default if defaults is None else getattr(defaults, each.name)
        lines += _rows(each.name, each, default)
    return "\n".join(lines) + "\n"


def _rows(name: str, setting: Setting, default: Any) -> Iterator[str]:
    kind = setting.kind
    if isinstance(kind, Section):
        note = f"{setting.meaning}" + (" A table of:" if not kind.off else " A table of, or `false`:")
        yield _row(name, note, kind.allowed, "")
        for each in kind.settings:
            yield from _rows(f"{name}.{each.name}", each, getattr(default, each.name))
    elif isinstance(kind, ByModule):
        yield _row(name, setting.meaning, kind.allowed, "")
        if isinstance(kind.kind, Section):
            for each in kind.kind.settings:
                yield from _rows(f"{name}.MODULE.{each.name}", each, each.default)
            return
        for module in kind.modules:
            yield _row(f"{name}.{module}", "", kind.kind.allowed, _written(kind.kind, default[module]))
    else:
        yield _row(name, setting.meaning, kind.allowed, _written(kind, default))


def _written(kind: Kind | ListOf | ByName | Section, default: Any) -> str:
    if default is REQUIRED:
        return "must be given"
    if default in (None, "", {}):
        return "none"
    written = kind.write(default)
    return f"`{value_text(written)}`" if not isinstance(written, Mapping) else ""


def _row(name: str, meaning: str, allowed: str, default: str) -> str:
    return f"| `{name}` | {meaning} | {allowed} | {default} |".replace("|  |", "| |").replace("|  |", "| |")


if __name__ == "__main__":
    print(page(), end="")
