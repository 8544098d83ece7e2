"""Contacts and records through the connector as the engine uses it, under Google's own quotas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.mailbox.google.connector import GoogleConnector
from engine.model.modules import Module
from engine.model.port import Result, Structure, Write, WriteKind
from engine.net.net import Net
from tests.mailbox.google.lab import Lab, open_lab

STRUCTURE = Structure(
    groups={Module.CONTACT: "CRM Contacts", Module.LEAD: "CRM Leads"},
    labels=("CRM", "CRM/Opportunities", "CRM/Cases"),
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(Path(tmp_path_factory.mktemp("both")), google_quota={"enabled": True}) as running:
        yield running


async def test_a_first_sync_of_contacts_and_records_is_what_verify_finds(lab: Lab) -> None:
    connector = GoogleConnector(lab.settings(), Net())
    account = lab.account()
    try:
        containers = await connector.ensure(account, STRUCTURE, {})
        scopes = {scope.key: scope for scope in containers.scopes}
        assert set(scopes) == {"contacts", "mail"}
        contacts = [
            Write(
                WriteKind.CREATE,
                module,
                f"{module}-{number}",
                fields={"given": f"P{number}", "family": "Test", "email": f"p{number}@example.org"},
                containers=(containers.ids[f"group:{module}"],),
            )
            for module, count in ((Module.CONTACT, 120), (Module.LEAD, 30))
            for number in range(count)
        ]
        outcomes = await connector.apply(scopes["contacts"], contacts)
        assert {row.result for row in outcomes} == {Result.DONE}
        records = [
            Write(
                WriteKind.CREATE,
                module,
                f"{module}-{number}",
                fields={"name": f"Record {number}", "link": f"https://crm.example.org/{module}/{number}"},
                containers=("label:" + containers.ids["label:" + path], "path:" + path),
            )
            for module, path in ((Module.OPPORTUNITY, "CRM/Opportunities"), (Module.CASE, "CRM/Cases"))
            for number in range(12)
        ]
        outcomes = await connector.apply(scopes["mail"], records)
        assert {row.result for row in outcomes} == {Result.DONE}
        findings = await connector.verify(account, STRUCTURE, containers.ids)
        assert {row.check: (row.ok, row.detail) for row in findings} == {
            "group CRM Contacts": (True, "120 members"),
            "group CRM Leads": (True, "30 members"),
            "label CRM": (True, "26 labels below it"),
            "label CRM/Opportunities": (True, "12 labels below it"),
            "label CRM/Cases": (True, "12 labels below it"),
            "quick connect mails": (True, "24 mails for 24 record labels"),
        }
        again = await connector.ensure(account, STRUCTURE, {})
        assert (again.ids, again.created) == (containers.ids, ())
    finally:
        await connector.close()
    assert not [name for name in lab.world.counters if name.startswith("google.refused")]
