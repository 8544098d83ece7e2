"""The declarative configuration: what is refused and how, and that export reads back."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, time
from pathlib import Path

import pytest

from engine.connect import connect_crm, connect_mailbox
from engine.crm.salesforce import SalesforceSettings
from engine.mailbox.exchange.settings import ExchangeSettings
from engine.mailbox.google.settings import BATCH_URLS, ENDPOINTS, Api, GoogleSettings, Quotas
from engine.mailbox.google.settings_text import KEYS
from engine.model.config import (
    ConfigErrors,
    Configuration,
    export,
    parse,
    policy_from_doc,
    policy_to_doc,
    resolved,
)
from engine.model.config_connections import EXCHANGE, GOOGLE, SALESFORCE
from engine.model.config_sections import REQUIRED
from engine.model.modules import Direction, Module
from engine.model.policy import (
    Attendees,
    Blackout,
    ConflictRule,
    Connection,
    DeleteMode,
    Hours,
    ModuleSettings,
    Policy,
    TargetUser,
    Visibility,
)
from engine.model.port import CalendarMode
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net

ENDS = """
[connections.acme]
kind = "salesforce"
login_url = "https://acme.my.salesforce.com"
client_id = "3MVG9"
client_secret_file = "secrets/acme.txt"

[connections.workspace]
kind = "google"
credentials_file = "key.json"
"""
SALES = ENDS + '[policies.Sales]\ncrm = "acme"\nmailbox = "workspace"\n'


def refused(text: str) -> list[tuple[str, str]]:
    """Place and whole line of every problem."""
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "acme.toml")
    return [(problem.where, str(problem)) for problem in caught.value.problems]


def one(text: str) -> tuple[str, str]:
    (problem,) = refused(text)
    return problem


def test_three_tables_are_enough() -> None:
    configuration = parse(SALES + '[[users]]\nemail = "Ann@Acme.example"\npolicy = "Sales"\n', "acme.toml")
    assert configuration.policies == (Policy("Sales", "acme", "workspace"),)
    assert configuration.enabled == {"Sales": None}
    assert configuration.users == (TargetUser("ann@acme.example", "Sales"),)
    assert configuration.connections[1] == Connection("workspace", "google", {"credentials_file": "key.json"})


def test_an_operator_has_a_switch_for_the_calendar_and_an_address_at_exchange() -> None:
    given = 'calendar_sync = false\nexchange_email = "Ann.B@Mail.acme.example"\n'
    text = SALES + '[[users]]\nemail = "ann@acme.example"\npolicy = "Sales"\n' + given
    (user,) = parse(text, "acme.toml").users
    assert (user.calendar_sync, user.exchange_email) == (False, "ann.b@mail.acme.example")
    again = parse(export(parse(text, "acme.toml")), "export")
    assert again.users == (user,)
    place, line = one(text.replace("false", '"no"'))
    assert (place, "true or false" in line) == ("users[0].calendar_sync", True)
    assert one(text.replace("Ann.B@Mail.acme.example", "ann"))[0] == "users[0].exchange_email"


def test_every_setting_of_a_policy_is_read() -> None:
    policy = parse(
        SALES
        + """
enabled = true
start_date = 2026-01-31
conflict = "crm"
mailbox_deletes = "mirror"
crm_deletes = "never"
match_existing = false
error_addresses = ["ops@acme.example", "OPS@acme.example", "it@acme.example"]
[policies.Sales.modules.contact]
direction = "mailbox-to-crm"
visibility = "all"
conflict = "mailbox"
[policies.Sales.modules.case]
enabled = false
[policies.Sales.scheduling]
zone = "Europe/Berlin"
workday_days = ["Sunday", "mon", "TUE"]
workdays = { start = "07:00", end = 19:30:00, minutes = 5 }
weekends = false
label_check_minutes = 2
blackouts = ["sat 22:00 - Sunday 4:00", "Sun 22:00-Sun 24:00"]
[policies.Sales.address_books]
groups.lead = "Leads (CRM)"
require_group = false
default_region = "de"
[policies.Sales.calendar]
mode = "separate"
past_days = 0
attendees = "unshared"
colours = { call = ["Rufe", "#AABBCC"] }
[policies.Sales.labels]
master = "Acme"
create_new = []
assign_to.case = "Fälle"
[policies.Sales.delete_safety]
contacts.percent = 12.5
""",
        "acme.toml",
    ).policies[0]
    assert policy.start_date == date(2026, 1, 31)
    assert (policy.conflict, policy.mailbox_deletes) == (ConflictRule.CRM, DeleteMode.MIRROR)
    assert policy.error_addresses == ("ops@acme.example", "it@acme.example")
    assert policy.modules[Module.CONTACT] == ModuleSettings(
        True, Direction.TO_CRM, Visibility.ALL, ConflictRule.MAILBOX
    )
    assert not policy.on(Module.CASE)
    assert policy.modules[Module.CASE].direction is Direction.TO_MAILBOX
    assert policy.on(Module.LEAD)
    assert policy.scheduling.workday_days == (0, 1, 6)
    assert policy.scheduling.workdays == Hours(time(7), time(19, 30), 5)
    assert policy.scheduling.weekends is None
    assert policy.scheduling.blackouts == (
        Blackout(5, time(22), 6, time(4)),
        Blackout(6, time(22), 0, time(0)),
    )
    assert policy.address_books.groups == {Module.CONTACT: "CRM Contacts", Module.LEAD: "Leads (CRM)"}
    assert policy.address_books.default_region == "DE"
    assert (policy.calendar.mode, policy.calendar.attendees) == (CalendarMode.SEPARATE, Attendees.UNSHARED)
    assert policy.calendar.colours[Module.CALL] == ("Rufe", "#aabbcc")
    assert policy.labels.assign_to == {Module.OPPORTUNITY: "Opportunities", Module.CASE: "Fälle"}
    assert policy.delete_safety.contacts.percent == 12.5
    assert policy.delete_safety.contacts.count == 250
    document = json.loads(json.dumps(policy_to_doc(policy)))
    assert policy_from_doc("Sales", document) == policy


def test_weekends_keep_their_own_interval_when_only_the_start_is_given() -> None:
    policy = parse(SALES + 'scheduling.weekends.start = "09:00"\n', "x").policies[0]
    assert policy.scheduling.weekends == Hours(time(9), time(0), 60)


def test_export_reads_back_to_the_same() -> None:
    users = "".join(
        f'[[users]]\nemail = "u{n}@acme.example"\npolicy = "Sales"\nzone = "Asia/Tokyo"\n' for n in range(3)
    )
    awkward = '[policies."Süd \\"West\\" \\\\ 1.5"]\ncrm = "acme"\nmailbox = "workspace"\nenabled = false\n'
    first = parse(SALES + 'enabled = true\nstart_date = "2026-02-28"\n' + awkward + users, "acme.toml")
    text = export(first)
    assert parse(text, "export") == first
    assert export(parse(text, "export")) == text
    assert export(Configuration()) == ""


def test_a_module_that_a_policy_does_not_name_is_stored_as_off() -> None:
    policy = Policy("Sales", "acme", "workspace", modules={Module.CONTACT: ModuleSettings()})
    back = policy_from_doc("Sales", policy_to_doc(policy))
    assert [module for module in Module if back.on(module)] == [Module.CONTACT]


def test_all_faults_are_told_at_once_with_place_value_and_remedy() -> None:
    found = refused(
        """
[connections.acme]
kind = "salesforce"
login_url = "acme.my.salesforce.com"
[connections.workspace]
kind = "gogle"
[policies.Sales]
crm = "acm"
mailbox = "acme"
calendar.past_days = -1
scheduling.zone = "Europe/Berln"
[[users]]
email = "ann"
policy = "Sals"
"""
    )
    assert [where for where, _ in found] == [
        "connections.acme.login_url",
        "connections.acme.client_id",
        "connections.acme.client_secret_file",
        "connections.workspace.kind",
        "policies.Sales.scheduling.zone",
        "policies.Sales.calendar.past_days",
        "policies.Sales.crm",
        "policies.Sales.mailbox",
        "users[0].email",
        "users[0].policy",
    ]
    lines = dict(found)
    assert "'gogle'" in lines["connections.workspace.kind"]
    assert "salesforce, google, exchange" in lines["connections.workspace.kind"]
    assert "-1" in lines["policies.Sales.calendar.past_days"]
    assert "0 to 3650" in lines["policies.Sales.calendar.past_days"]
    assert "did you mean 'acme'?" in lines["policies.Sales.crm"]
    assert "wrong kind" in lines["policies.Sales.mailbox"]
    assert "did you mean 'Sales'?" in lines["users[0].policy"]


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("calendar.past_days = 3651", "calendar.past_days"),
        ("calendar.past_days = true", "calendar.past_days"),
        ("calendar.past_days = 1.0", "calendar.past_days"),
        ("calendar.future_days = 0", "calendar.future_days"),
        ('calendar.mode = "colours"', "calendar.mode"),
        ('calendar.colours.call = ["Call", "red"]', "calendar.colours.call"),
        ('calendar.colours.call = ["Call"]', "calendar.colours.call"),
        ('calendar.colours.task = ["Task", "#000000"]', "calendar.colours.task"),
        ('calendar.colours.call = ["CRM Call", "#3f51b5"]', "calendar.colours"),
        ('calendar.require_colour = "yes"', "calendar.require_colour"),
        ("scheduling.workdays.minutes = 0", "scheduling.workdays.minutes"),
        ("scheduling.workdays.minutes = 1441", "scheduling.workdays.minutes"),
        ('scheduling.workdays.start = "7:00"', "scheduling.workdays.start"),
        ('scheduling.workdays.end = "24:30"', "scheduling.workdays.end"),
        ('scheduling.workdays = { start = "10:00", end = "09:00" }', "scheduling.workdays"),
        ("scheduling.weekends = true", "scheduling.weekends"),
        ('scheduling.workday_days = ["noday"]', "scheduling.workday_days[0]"),
        ('scheduling.workday_days = "mon"', "scheduling.workday_days"),
        ('scheduling.blackouts = ["Sat 22:00"]', "scheduling.blackouts[0]"),
        ('scheduling.blackouts = ["Sat 22:00 - Sat 22:00"]', "scheduling.blackouts[0]"),
        ('scheduling.zone = "../etc/passwd"', "scheduling.zone"),
        ('error_addresses = ["a@b"]', "error_addresses[0]"),
        ('error_addresses = ["a b@c.de"]', "error_addresses[0]"),
        ('start_date = "31.01.2026"', "start_date"),
        ("start_date = 2026-01-31T00:00:00", "start_date"),
        ('address_books.default_region = "Germany"', "address_books.default_region"),
        ('address_books.groups.contact = " "', "address_books.groups.contact"),
        ('address_books.groups.contact = "CRM leads"', "address_books.groups"),
        ('labels.master = "CRM/Acme"', "labels.master"),
        ('labels.create_new = ["task"]', "labels.create_new[0]"),
        ("labels.max_records = 0", "labels.max_records"),
        ("labels.records.opportunity.most = 0", "labels.records.opportunity.most"),
        ('labels.records.opportunity.first = "biggest"', "labels.records.opportunity.first"),
        ('labels.records.case.first = "amount"', "labels.records.case.first"),
        ('labels.records.opportunity.whose = "all"', "labels.records.opportunity.whose"),
        (
            'labels.records.case.whose = "team"\nmodules.case.visibility = "all"',
            "labels.records.case.whose",
        ),
        ("labels.records.contact.most = 5", "labels.records.contact"),
        ('labels.records.opportunity.name = "{name} ({number})"', "labels.records.opportunity.name"),
        ('labels.records.opportunity.name = "{account}"', "labels.records.opportunity.name"),
        ('labels.records.case.name = "{name"', "labels.records.case.name"),
        ('labels.records.case.name = "{number}/{name}"', "labels.records.case.name"),
        ('labels = { closed = "remove", open_only = false }', "labels.open_only"),
        (
            'labels = { closed = "remove", records = { case = { open_only = false } } }',
            "labels.records.case.open_only",
        ),
        ("delete_safety.contacts.percent = 100.5", "delete_safety.contacts.percent"),
        ("delete_safety.contacts.percent = nan", "delete_safety.contacts.percent"),
        ("delete_safety.tasks.count = -1", "delete_safety.tasks.count"),
        ('modules.case.direction = "both"', "modules.case.direction"),
        ('modules.contact = "on"', "modules.contact"),
        ('modules.contact.conflicts = "ask"', "modules.contact.conflicts"),
        ('modules.contact.conflicts.title = "loudest"', "modules.contact.conflicts.title"),
        ('modules.contact.conflicts.title = "union"', "modules.contact.conflicts.title"),
        ('modules.task.conflicts.location = "ask"', "modules.task.conflicts.location"),
        ('enabled = "yes"', "enabled"),
        ('calendar = "colour"', "calendar"),
    ],
)
def test_a_wrong_value_is_refused_where_it_stands(setting: str, where: str) -> None:
    place, line = one(SALES + setting + "\n")
    assert place == f"policies.Sales.{where}"
    assert "allowed: " in line


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("calendar_batch = 1001", "calendar_batch"),
        ("calendar_batch = 0", "calendar_batch"),
        ("gmail_batch = 101", "gmail_batch"),
        ("people_lag_seconds = -1", "people_lag_seconds"),
        ("timeout = 0.5", "timeout"),
        ("quota_tasks_per_day = inf", "quota_tasks_per_day"),
        ('calendar_url = "ftp://host/"', "calendar_url"),
        ('calendar_url = "http://host:port/"', "calendar_url"),
        ('event_labels = "yes"', "event_labels"),
    ],
)
def test_a_wrong_setting_of_a_connection_is_refused(setting: str, where: str) -> None:
    place, line = one(ENDS + setting + "\n")
    assert place == f"connections.workspace.{where}"
    assert "allowed: " in line


def test_rules_of_single_fields_are_read_and_exported() -> None:
    text = """
[policies.Sales.modules.contact]
conflict = "newest"
conflicts = { phone_work = "ask", title = "crm" }
[policies.Sales.modules.appointment]
conflicts = { attendees = "union", start = "ask" }
"""
    configuration = parse(SALES + text, "acme.toml")
    policy = configuration.policies[0]
    assert policy.modules[Module.CONTACT].conflicts == {
        "phone_work": ConflictRule.ASK,
        "title": ConflictRule.CRM,
    }
    assert policy.rule(Module.APPOINTMENT, "attendees") is ConflictRule.UNION
    assert policy.rule(Module.APPOINTMENT, "end") is ConflictRule.ASK
    written = export(configuration)
    assert 'conflicts = { phone_work = "ask", title = "crm" }' in written
    assert parse(written, "again.toml") == configuration


def test_a_rule_of_a_field_that_cannot_have_it_is_refused_with_what_can() -> None:
    _, unknown = one(SALES + '[policies.Sales.modules.contact]\nconflicts = { phone = "ask" }\n')
    assert "no such field of the module contact" in unknown
    assert "phone_work" in unknown
    _, single = one(SALES + '[policies.Sales.modules.appointment]\nconflicts = { location = "union" }\n')
    assert "holds one value" in single
    assert "newest, crm, mailbox, ask (union is for: attendees)" in single


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    assert "did you mean past_days?" in one(SALES + "calendar.past_day = 3\n")[1]
    assert "did you mean calendar.past_days?" in one(SALES + "past_days = 3\n")[1]
    assert "did you mean contact?" in one(SALES + "modules.contacts.enabled = true\n")[1]
    assert "did you mean policies?" in one("[policy.Sales]\n")[1]


@pytest.mark.parametrize(
    "line",
    [
        'client_secret = "hunter2-hunter2"',
        'password = "hunter2-hunter2"',
        'token = "hunter2-hunter2"',
        'private_key = "hunter2-hunter2"',
        'calender_url = "hunter2-hunter2"',
        'token_uri = "https://me:hunter2-hunter2@host/"',
        'token_uri = "https://host/?key=hunter2-hunter2"',
        'default_region = "-----BEGIN PRIVATE KEY----- hunter2-hunter2"',
    ],
)
def test_a_secret_is_refused_and_never_repeated(line: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse(ENDS + line + "\n", "acme.toml")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.problems)


def test_a_secret_in_place_of_its_file_or_variable_is_not_repeated() -> None:
    key = "-----BEGIN PRIVATE KEY-----\\nhunter2"
    for line in (f'client_secret_file = "{key}"', 'client_secret_env = "hunter2!"'):
        text = ENDS.replace('client_secret_file = "secrets/acme.txt"', line)
        assert "hunter2" not in one(text)[1]
        assert "secret itself does not belong here" in one(text)[1]
    assert (
        "client_secret_file"
        in one(ENDS.replace("client_secret_file", "client_secret_file = 'x'\nclient_secret"))[1]
    )


def test_each_grant_asks_for_its_own_settings() -> None:
    def login(lines: str) -> str:
        return ENDS.replace('client_secret_file = "secrets/acme.txt"', lines)

    assert parse(login('client_secret_env = "SECRET"'), "x")
    assert parse(login('auth = "jwt"\nusername = "sync@acme.example"\nprivate_key_file = "k.pem"'), "x")
    assert [where for where, _ in refused(login('auth = "jwt"'))] == [
        "connections.acme.username",
        "connections.acme.private_key_file",
    ]
    both = login('client_secret_env = "SECRET"\nclient_secret_file = "s"')
    assert "both" in one(both)[1]
    assert "auth" in one(login('auth = "basic"'))[0]


def test_a_mailbox_is_under_one_policy_once() -> None:
    user = '[[users]]\nemail = "{}"\npolicy = "{}"\n'
    other = '[policies.Other]\ncrm = "acme"\nmailbox = "workspace"\n'
    text = SALES + other + user.format("ann@acme.example", "Sales") + user.format("ANN@acme.example", "Other")
    place, line = one(text)
    assert place == "users[1].email"
    assert "users[0] under the policy 'Sales'" in line
    assert "a mailbox has one policy" in line
    assert "already declared" in one(SALES + 2 * user.format("ann@acme.example", "Sales"))[1]


def test_names_that_differ_only_by_case_are_refused() -> None:
    assert "policies.sales" in one(SALES + '[policies.sales]\ncrm = "acme"\nmailbox = "workspace"\n')[0]


@pytest.mark.parametrize(
    "text",
    [
        "a = ",
        "[x]\n[x]\n",
        "a = 1" + "0" * 5000,
        "x = " + "[" * 5000,
        "users = 3",
        "policies = []",
        "\x00",
        "",
        "# nothing\n",
    ],
)
def test_what_is_no_configuration_is_one_clear_message(text: str) -> None:
    with pytest.raises(ConfigErrors, match=r"^acme\.toml: 1 problem, nothing was changed"):
        parse(text, "acme.toml")


def test_a_huge_number_is_refused_and_not_printed() -> None:
    assert "very long number" in one(SALES + f"calendar.past_days = 0x{'f' * 5000}\n")[1]


def test_paths_are_made_absolute() -> None:
    configuration = resolved(parse(ENDS, "x"), Path("/etc/syncline"))
    assert configuration.connections[0].settings["client_secret_file"] == "/etc/syncline/secrets/acme.txt"
    assert configuration.connections[1].settings["credentials_file"] == "/etc/syncline/key.json"


def test_five_thousand_users_are_read_at_once() -> None:
    users = "".join(f'[[users]]\nemail = "u{n}@acme.example"\npolicy = "Sales"\n' for n in range(5000))
    assert len(parse(SALES + users, "x").users) == 5000


def test_the_tables_know_the_connectors_settings_and_defaults() -> None:
    salesforce = {each.name: each.default for each in SALESFORCE}
    assert salesforce == {
        each.name: REQUIRED if each.default is dataclasses.MISSING else each.default
        for each in dataclasses.fields(SalesforceSettings)
    }
    exchange = {each.name: each.default for each in EXCHANGE}
    assert exchange == {
        each.name: REQUIRED if each.default is dataclasses.MISSING else each.default
        for each in dataclasses.fields(ExchangeSettings)
    }
    google = {each.name: each.default for each in GOOGLE}
    assert set(google) == set(KEYS)
    plain = GoogleSettings("")
    for name in (
        "calendar_batch",
        "gmail_batch",
        "tasks_batch",
        "event_labels",
        "timeout",
        "people_lag_seconds",
    ):
        assert google[name] == getattr(plain, name)
    for each in dataclasses.fields(Quotas):
        assert google[f"quota_{each.name}"] == each.default
    for api in Api:
        assert google[f"{api}_url"] == ENDPOINTS[api]
        assert google[f"{api}_batch_url"] == BATCH_URLS[api]


async def test_connections_become_connectors() -> None:
    text = ENDS + "people_lag_seconds = 7\nevent_labels = true\n"
    acme, workspace = parse(text, "x").connections
    crm, mailbox = connect_crm(acme, Net()), connect_mailbox(workspace, Net())
    try:
        capability = mailbox.capability(Module.CONTACT)
        assert capability is not None
        assert capability.lag_seconds == 7
        assert crm.capability(Module.CONTACT) is not None
    finally:
        await crm.close()
        await mailbox.close()


def test_a_stored_connection_that_cannot_work_is_a_fault_of_configuration() -> None:
    for connection in (Connection("a", "google", {}), Connection("a", "exchange", {})):
        with pytest.raises(ProviderError) as caught:
            connect_mailbox(connection, Net())
        assert caught.value.kind is ErrorKind.CONFIGURATION
    for connection in (Connection("a", "salesforce", {"login": "x"}), Connection("a", "google", {})):
        with pytest.raises(ProviderError) as caught:
            connect_crm(connection, Net())
        assert caught.value.kind is ErrorKind.CONFIGURATION
