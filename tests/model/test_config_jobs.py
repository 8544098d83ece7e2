"""Access groups and jobs in the declarative configuration: what is refused and how, and that export reads back."""

from __future__ import annotations

from datetime import time

import pytest

from engine.model.config import export, parse
from engine.model.config_jobs import settings_of
from engine.model.form import changed
from engine.model.form_job import check_job, job_pages
from engine.model.job import CALENDAR, SYSTEM, AccessGroup, JobSettings, Person, ScheduleKind, scope_of
from engine.model.policy import Connection, Policy
from tests.model.test_config import SALES, refused

ANN = '[[users]]\nemail = "ann@acme.example"\npolicy = "Sales"\n'
EXCHANGE = """
[connections.ews]
kind = "exchange"
url = "https://mail.acme.example/EWS/Exchange.asmx"
username = "svc"
password_env = "EWS_PASSWORD"
"""
FULL = (
    SALES
    + EXCHANGE
    + ANN
    + """
[access_groups.Reps]
policies = ["Sales"]
operators = ["Ann@acme.example"]
[jobs.CalendarSynchronization]
enabled = true
schedule = "weekly"
days = ["fri", "mon"]
at = "06:30"
zone = "Europe/Berlin"
context = "Reps"
skip_older_than_days = 90
"""
)
JOB = SALES + "[jobs.CalendarSynchronization]\n"


def test_jobs_and_access_groups_are_read_and_written_back() -> None:
    found = parse(FULL, "acme.toml")
    assert found.groups == (AccessGroup("Reps", policies=("Sales",), operators=("ann@acme.example",)),)
    (job,) = found.jobs
    assert job.enabled is True
    assert settings_of(job.name, job.override) == JobSettings(
        schedule=ScheduleKind.WEEKLY,
        days=(0, 4),
        at=time(6, 30),
        zone="Europe/Berlin",
        context="Reps",
        skip_older_than_days=90,
    )
    again = parse(export(found), "again")
    assert (again.groups, again.jobs) == (found.groups, found.jobs)


def test_a_file_without_jobs_says_nothing_of_them() -> None:
    found = parse(SALES, "acme.toml")
    assert (found.groups, found.jobs) == ((), ())


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (SALES + "[jobs.Nightly]\n", "jobs.Nightly", "CalendarSynchronization"),
        (JOB + 'schedule = "hourly"\n', f"jobs.{CALENDAR}.schedule", "several-times-a-day"),
        (JOB + "minutes = 0\n", f"jobs.{CALENDAR}.minutes", "from 1 to 1440"),
        (JOB + 'at = "25:00"\n', f"jobs.{CALENDAR}.at", "from 00:00 to 24:00"),
        (JOB + 'schedule = "several-times-a-day"\ntimes = []\n', f"jobs.{CALENDAR}.times", "must be given"),
        (JOB + 'schedule = "weekly"\ndays = []\n', f"jobs.{CALENDAR}.days", "must be given"),
        (JOB + "day = 32\n", f"jobs.{CALENDAR}.day", '1 to 31, or "last"'),
        (
            JOB + 'schedule = "yearly"\nmonth = 2\nday = 30\n',
            f"jobs.{CALENDAR}.day",
            "month 2 never has that day",
        ),
        (JOB + 'zone = "Berlin"\n', f"jobs.{CALENDAR}.zone", "Europe/Berlin"),
        (JOB + 'context = "Reps"\n', f"jobs.{CALENDAR}.context", SYSTEM),
        (JOB + "skip_older_than_days = -1\n", f"jobs.{CALENDAR}.skip_older_than_days", "from 0 to 3650"),
        (JOB + "enabled = 1\n", f"jobs.{CALENDAR}.enabled", "true or false"),
        (
            SALES + '[access_groups.X]\npolicies = ["Nowhere"]\n',
            "access_groups.X.policies[0]",
            "no such policy",
        ),
        (
            SALES + '[access_groups.X]\noperators = ["bob@acme.example"]\n',
            "access_groups.X.operators[0]",
            "no user of any policy",
        ),
        (SALES + '[access_groups.X]\nconnection = "no"\n', "access_groups.X.connection", "no such connection"),
        (
            SALES + EXCHANGE + '[access_groups.X]\nconnection = "ews"\npolicies = ["Sales"]\n',
            "access_groups.X.connection",
            "is of kind exchange, and not google",
        ),
        (SALES + f'[access_groups."{SYSTEM}"]\n', f'access_groups."{SYSTEM}"', "another name"),
    ],
)
def test_what_is_refused_names_its_field_and_what_is_allowed(text: str, place: str, says: str) -> None:
    found = refused(text)
    assert [where for where, _ in found] == [place]
    assert says in found[0][1]


def test_credentials_of_a_group_must_lead_to_the_same_server() -> None:
    other = EXCHANGE.replace("connections.ews", "connections.other").replace("mail.acme", "mail2.acme")
    policy = '[policies.Field]\ncrm = "acme"\nmailbox = "ews"\n'
    text = SALES + EXCHANGE + other + policy + '[access_groups.X]\nconnection = "other"\npolicies = ["Field"]\n'
    ((place, line),) = refused(text)
    assert place == "access_groups.X.connection"
    assert "leads to another server (url) than the mailboxes of the policy 'Field'" in line


POLICIES = {"Sales": Policy("Sales", "crm", "google"), "Field": Policy("Field", "crm", "ews")}
CONNECTIONS = {
    "google": Connection("google", "google"),
    "ews": Connection("ews", "exchange"),
    "ews2": Connection("ews2", "exchange"),
}
PEOPLE = [
    Person("ann@x.example", "Sales", True, ""),
    Person("bob@x.example", "Field", True, "b@exchange.example"),
    Person("cid@x.example", "Field", False, "c@exchange.example"),
    Person("dee@x.example", "Field", True, ""),
]


def served(group: AccessGroup | None) -> dict[str, tuple[str, tuple[str, ...]]]:
    scope = scope_of(group, POLICIES, CONNECTIONS, PEOPLE)
    return {share.policy: (share.connection, share.operators) for share in scope.shares}


def test_the_context_decides_connection_and_operators() -> None:
    everybody = ("bob@x.example", "dee@x.example")
    assert served(None) == {"Field": ("ews", everybody)}
    assert served(AccessGroup("x")) == {"Field": ("ews", everybody)}
    assert served(AccessGroup("x", "ews2")) == {"Field": ("ews2", everybody)}
    assert served(AccessGroup("x", operators=("dee@x.example", "cid@x.example"))) == {
        "Field": ("ews", ("dee@x.example",))
    }
    assert served(AccessGroup("x", policies=("Sales",))) == {"Sales": ("google", ("ann@x.example",))}
    left = scope_of(None, POLICIES, CONNECTIONS, PEOPLE).left_out
    assert left == {"cid@x.example": "Calendar Sync is off for this person"}


def test_the_form_and_the_file_go_through_the_same_validation() -> None:
    typed: dict[str, object] = {}
    for name, text in (("schedule", "daily"), ("at", "24:30"), ("zone", "Mars")):
        typed = changed(typed, name, text, "job")
    found = check_job(CALENDAR, typed, ())
    assert [one.path for one in found.problems] == ["at", "zone"]
    assert "00:00 to 24:00" in str(found.problems[0])
    assert (found.settings, found.override) == (None, None)
    typed = changed(changed({}, "schedule", "several-times-a-day", "job"), "times", "18:00, 06:00", "job")
    found = check_job(CALENDAR, typed, ())
    assert found.override == {"schedule": "several-times-a-day", "times": ["06:00", "18:00"]}
    # What equals the shipped definition is no override, and an empty field goes back to it.
    assert check_job(CALENDAR, {"minutes": 15, "context": SYSTEM}, ()).override is None
    assert changed({"minutes": 5}, "minutes", "", "job") == {}
    ((problem),) = check_job(CALENDAR, {"context": "Reps"}, ()).problems
    assert (problem.path, "no such access group" in problem.message) == ("context", True)
    assert check_job(CALENDAR, {"context": "Reps"}, ("Reps",)).problems == ()


def test_the_form_shows_the_fields_that_count_for_the_schedule() -> None:
    def names(document: dict[str, object]) -> list[str]:
        return [field.path for field in job_pages(document, ())[0].fields]

    assert names({}) == ["schedule", "minutes", "zone"]
    assert names({"schedule": "startup"}) == ["schedule", "zone"]
    assert names({"schedule": "yearly"}) == ["schedule", "at", "day", "month", "zone"]
    context = job_pages({}, ("Reps",))[1].fields[0]
    assert context.choices == (SYSTEM, "Reps")
