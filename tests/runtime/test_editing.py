"""The stored configuration, changed piece by piece: by the rules of the file, whole or not at all, nobody's change lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.model.config import parse
from engine.service import KINDS as KINDS_OF_CONNECTION
from engine.service import (
    AddUsers,
    DeleteConnection,
    DeletePolicy,
    EnablePolicy,
    PolicyState,
    RemoveUsers,
    SaveConnection,
    SavePolicy,
    Service,
    SetUser,
    TestConnection,
    changed,
    check_connection,
    check_policy,
    connection_pages,
    next_runs,
    policy_pages,
    texts,
)
from tests.ledgers import begun

FILE = """
[connections.crm]
kind = "salesforce"
login_url = "http://127.0.0.1:9"
client_id = "app"
client_secret_file = "/nowhere/secret.txt"
[connections.mail]
kind = "google"
credentials_file = "/nowhere/key.json"
[policies.Sales]
crm = "crm"
mailbox = "mail"
[policies.Pilot]
crm = "crm"
mailbox = "mail"
[[users]]
email = "ann@example.com"
policy = "Sales"
[[users]]
email = "bob@example.com"
policy = "Pilot"
"""
KINDS = {"crm": "salesforce", "mail": "google"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = await Service.open(begun(tmp_path / "data"))
    try:
        assert (await service.apply(FILE, "file.toml", "test")).ok
        yield service
    finally:
        await service.close()


async def test_a_form_stores_what_the_file_would(service: Service) -> None:
    draft = service.policy_draft("Sales")
    document = changed(draft.settings, "scheduling.workdays.minutes", "30")
    document = changed(document, "scheduling.blackouts", "Sat 22:00 - Sun 04:00")
    answer = await service.do(SavePolicy("Sales", document, draft.was), "alice")
    assert answer.ok, answer
    stored = {one.name: one for one in parse(await service.export(), "export").policies}["Sales"]
    assert stored.scheduling.workdays.minutes == 30
    assert len(stored.scheduling.blackouts) == 1
    assert service.store.jobs["full:Sales"].schedule.startswith("every 30 min")


async def test_one_wrong_field_and_nothing_is_saved(service: Service) -> None:
    draft, before = service.policy_draft("Sales"), await service.export()
    document = changed(changed(draft.settings, "conflict", "crm"), "scheduling.workdays.minutes", "0")
    answer = await service.do(SavePolicy("Sales", document, draft.was), "alice")
    assert not answer.ok
    assert answer.details == (
        "scheduling.workdays.minutes: 0: is not allowed; allowed: a whole number from 1 to 1440 (minutes)",
    )
    assert await service.export() == before


async def test_a_change_of_somebody_else_is_not_overwritten(service: Service) -> None:
    alice, bob = service.policy_draft("Sales"), service.policy_draft("Sales")
    assert (await service.do(SavePolicy("Sales", changed(bob.settings, "conflict", "crm"), bob.was), "bob")).ok
    answer = await service.do(
        SavePolicy("Sales", changed(alice.settings, "conflict", "ask"), alice.was), "alice"
    )
    assert not answer.ok
    assert "changed by somebody else" in answer.text
    assert service.policy_draft("Sales").settings["conflict"] == "crm"


async def test_a_copy_is_off_and_has_no_users(service: Service) -> None:
    draft = service.policy_draft("", copy_of="Sales")
    assert (await service.do(SavePolicy("Sales two", draft.settings), "alice")).ok
    row = service.store.policies["Sales two"]
    assert row.state is PolicyState.DISABLED
    assert row.users == 0
    answer = await service.do(SavePolicy("SALES", draft.settings), "alice")
    assert not answer.ok
    assert "has this name already" in answer.text


async def test_users_come_and_go_and_nobody_is_taken_from_another_policy(service: Service) -> None:
    answer = await service.do(AddUsers("Sales", (("bob@example.com", "", ""),)), "alice")
    assert not answer.ok
    assert "bob@example.com is in Pilot already" in answer.text
    answer = await service.do(AddUsers("Sales", (("Carl@Example.com", "", "Europe/Berlin"),)), "alice")
    assert answer.ok, answer
    assert service.store.users["carl@example.com"].zone == "Europe/Berlin"
    answer = await service.do(AddUsers("Sales", (("dora@example.com", "", "Mars"), ("x", "", ""))), "alice")
    assert not answer.ok
    assert len(answer.details) == 2
    assert "dora@example.com" not in service.store.users
    assert (await service.do(RemoveUsers("Sales", ("carl@example.com",)), "alice")).ok
    assert "carl@example.com" not in service.store.users
    assert (await service.do(RemoveUsers("Sales", ("bob@example.com",)), "alice")).ok is False


async def test_who_a_user_is_in_the_crm_is_set_and_the_rest_stays(service: Service) -> None:
    assert (await service.do(SetUser("ann@example.com", "005A", "Europe/Berlin"), "alice")).ok
    assert 'crm_user = "005A"' in await service.export()
    assert service.store.users["ann@example.com"].crm_user == "005A"
    refused = await service.do(SetUser("ann@example.com", "005A", "Mars"), "alice")
    assert "no such time zone" in refused.text
    assert (await service.do(SetUser("ann@example.com", "", ""), "alice")).ok
    assert "005A" not in await service.export()


async def test_a_person_of_the_crm_is_not_given_to_a_second_mailbox(service: Service) -> None:
    """The second mailbox would receive everything, and the first nothing any more, without a word."""
    assert (await service.do(SetUser("ann@example.com", "005A", ""), "alice")).ok
    refused = await service.do(AddUsers("Sales", (("anne@example.com", "005A", ""),)), "alice")
    told = "ann@example.com is 005A already, and one mailbox receives what is that person's"
    assert (refused.ok, refused.text) == (False, f"nobody was added: {told}")
    assert "anne@example.com" not in service.store.users
    twice = (("carl@example.com", "005C", ""), ("dora@example.com", "005C", ""))
    refused = await service.do(AddUsers("Sales", twice), "alice")
    assert "is the person of users[0] in 'Sales' already" in refused.text
    assert (await service.do(AddUsers("Sales", (("anne@example.com", "", ""),)), "alice")).ok
    refused = await service.do(SetUser("anne@example.com", "005A", ""), "alice")
    assert refused.text == f"nothing was changed: {told}"
    # The same person may be in another policy, and stays who he is in his own.
    assert (await service.do(SetUser("bob@example.com", "005A", ""), "alice")).ok
    assert (await service.do(SetUser("ann@example.com", "005A", "Europe/Berlin"), "alice")).ok


async def test_a_policy_is_deleted_only_when_it_is_off(service: Service) -> None:
    assert "its 1 user" in service.what_happens(DeletePolicy("Pilot"))[0]
    service.store.policies["Pilot"].state = PolicyState.ENABLED
    assert not (await service.do(DeletePolicy("Pilot"), "alice")).ok
    service.store.policies["Pilot"].state = PolicyState.DISABLED
    assert (await service.do(DeletePolicy("Pilot"), "alice")).ok
    assert "Pilot" not in service.store.policies
    assert "bob@example.com" not in service.store.users
    assert "full:Pilot" not in service.store.jobs
    assert "Pilot" not in await service.export()


async def test_a_connection_in_use_stays_and_its_secret_is_named_only(service: Service) -> None:
    (crm, mail) = sorted(service.connections(), key=lambda row: row.id)
    assert crm.secret == "client_secret_file: /nowhere/secret.txt"
    assert set(mail.policies) == {"Sales", "Pilot"}
    assert not (await service.do(DeleteConnection("crm"), "alice")).ok
    draft = service.connection_draft("crm")
    new = changed(draft.settings, "api_version", "63.0", "salesforce")
    assert (await service.do(SaveConnection("crm", "salesforce", new, draft.was), "alice")).ok
    assert 'api_version = "63.0"' in await service.export()
    assert (await service.do(SaveConnection("second", "salesforce", new), "alice")).ok
    assert (await service.do(DeleteConnection("second"), "alice")).ok
    assert [row.id for row in service.connections() if row.id == "second"] == []


async def test_a_test_of_typed_settings_stores_nothing(service: Service) -> None:
    before = await service.export()
    answer = await service.do(TestConnection("crm", "salesforce", {"login_url": "x"}), "alice")
    assert not answer.ok
    assert answer.text.startswith("it cannot be tested yet")
    draft = service.connection_draft("crm")
    answer = await service.do(TestConnection("crm", "salesforce", draft.settings), "alice")
    assert not answer.ok
    assert "secret" in answer.text  # the file is missing, and is named
    assert await service.export() == before


async def test_edits_need_no_running_engine_but_a_switch_does(service: Service) -> None:
    assert (await service.do(EnablePolicy("Sales"), "alice")).text == "the engine is not running"


def test_every_field_of_a_policy_reads_back_what_it_shows() -> None:
    from engine.model.form import new_policy

    document = new_policy("crm", "mail")
    pages = policy_pages(document)
    shown = texts(pages, document)
    assert len(shown) > 80
    again = document
    for path, text in shown.items():
        again = changed(again, path, text)
    assert check_policy("Sales", again, KINDS) == ()
    assert texts(policy_pages(again), again) == shown


def test_a_wrong_value_is_told_at_its_field() -> None:
    from engine.model.form import new_policy

    document = new_policy("crm", "mail")
    wrong = {
        "scheduling.workdays.minutes": "0",
        "calendar.past_days": "many",
        "labels.records.case.whose": "everybody",
        "rollout.waves": "1, two",
        "error_addresses": "ops@example.com, nobody",
        "modules.contact.conflicts": "shoe_size = crm",
    }
    for path, text in wrong.items():
        document = changed(document, path, text)
    found = check_policy("Sales", document, KINDS)
    assert {each.path for each in found} == wrong.keys()
    assert all(each.allowed for each in found)
    whose = next(each for each in found if each.path == "labels.records.case.whose")
    assert whose.allowed == "mine, team"


@pytest.mark.parametrize("kind", KINDS_OF_CONNECTION)
def test_every_kind_of_connection_has_a_form_that_reads_back_what_it_shows(kind: str) -> None:
    pages = connection_pages(kind)
    settings: dict[str, object] = {}
    for page in pages:
        for field in page.fields:
            settings = changed(settings, field.path, field.default, kind)
    shown = texts(pages, settings, kind)
    assert shown == {field.path: field.default for page in pages for field in page.fields}
    wrong = {each.path for each in check_connection("one", kind, settings)}
    missing = {field.path for page in pages for field in page.fields if field.required}
    assert missing <= wrong
    assert all(not shown[path] for path in wrong)


def test_a_section_that_is_switched_off_hides_its_fields_and_comes_back_with_defaults() -> None:
    from engine.model.form import new_policy

    document = changed(new_policy("crm", "mail"), "scheduling.weekends", "off")
    paths = {field.path for page in policy_pages(document) for field in page.fields}
    assert "scheduling.weekends.minutes" not in paths
    document = changed(document, "scheduling.weekends", "on")
    assert document["scheduling"]["weekends"]["minutes"] == 60
    assert check_policy("Sales", document, KINDS) == ()


def test_a_key_typed_for_its_path_is_refused_and_not_repeated() -> None:
    found = check_connection("g", "google", {"credentials_file": '{"private_key": "-----BEGIN SECRET"}'})
    told = " ".join(map(str, found))
    assert "the secret itself does not belong here" in told
    assert "SECRET" not in told
    (problem,) = check_connection("g", "google", {"credentials_file": "secrets/key.json"})
    assert problem.path == "credentials_file"
    assert "whole path" in problem.allowed


def test_next_runs_follow_the_settings_that_are_typed() -> None:
    from engine.model.form import new_policy

    noon = 1_795_262_400_000  # 21 Nov 2026 12:00 UTC, a Saturday
    document = changed(new_policy("crm", "mail"), "scheduling.weekends.minutes", "30")
    assert [(at - noon) // 60_000 for at in next_runs(document, noon, 3)] == [30, 60, 90]
    assert next_runs(changed(document, "scheduling.weekends.minutes", "0"), noon) == []
