"""The demo company: always the same for a seed, as large as asked, and as untidy as real data."""

from __future__ import annotations

import unicodedata
from collections import Counter
from datetime import UTC, date, timedelta
from random import Random
from zoneinfo import ZoneInfo

import phonenumbers
import pytest

from engine.sandbox.company import KINDS, Company, counts_for, generate, load_salesforce
from engine.sandbox.company.locales import LOCALES, fill, international
from engine.sandbox.kit.world import open_world
from engine.sandbox.salesforce import store

TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def company() -> Company:
    return generate(7, 5, today=TODAY)


def test_same_seed_same_company(company: Company) -> None:
    assert generate(7, 5, today=TODAY) == company
    assert generate(8, 5, today=TODAY).contacts != company.contacts


def test_another_count_of_tasks_leaves_the_contacts_alone(company: Company) -> None:
    assert generate(7, 5, today=TODAY, tasks=3).contacts == company.contacts


def test_default_counts_of_five_users(company: Company) -> None:
    counts = {kind: len(getattr(company, kind)) for kind in KINDS}
    assert counts == {
        "contacts": 1200,
        "leads": 150,
        "appointments": 400,
        "calls": 120,
        "service_calls": 60,
        "tasks": 200,
        "opportunities": 80,
        "cases": 40,
    }


def test_counts_grow_with_users_and_can_be_set() -> None:
    counts = counts_for(10, tasks=0, leads=1)
    assert (counts.contacts, counts.cases, counts.tasks, counts.leads) == (2400, 80, 0, 1)


def test_each_user_owns_his_share() -> None:
    large = generate(1, 50, today=TODAY, contacts=5_000, appointments=0)
    assert set(Counter(contact.owner for contact in large.contacts).values()) == {100}


@pytest.mark.parametrize(("users", "wanted"), [(0, {}), (5_001, {}), (5, {"tasks": -1})])
def test_numbers_out_of_range_are_refused(users: int, wanted: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        generate(1, users, today=TODAY, **wanted)  # type: ignore[arg-type]


def test_first_users_are_those_of_the_demo(company: Company) -> None:
    assert [user.email for user in company.users[:2]] == ["ann.berg@acme.example", "j.ortiz@acme.example"]
    many = generate(1, 400, today=TODAY, contacts=0)
    assert len({user.email for user in many.users}) == 400
    for user in many.users:
        assert user.email.isascii()
        ZoneInfo(user.zone)


def test_names_come_in_a_dozen_languages_and_ten_scripts(company: Company) -> None:
    assert len({contact.language for contact in company.contacts}) >= 12
    letters = (letter for contact in company.contacts for letter in contact.family if letter.isalpha())
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "CJK", "HANGUL", "THAI", "DEVANAGARI"} <= scripts


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: locale.tag)
def test_every_phone_template_makes_valid_numbers(locale) -> None:
    dice = Random(1)
    for template in (*locale.fixed, *locale.mobile):
        for _ in range(20):
            national = fill(template, dice)
            read = phonenumbers.parse(national, locale.region)
            assert phonenumbers.is_valid_number(read), (locale.tag, national)
            assert phonenumbers.parse(international(locale, national), None) == read


def test_phones_of_contacts_are_valid_in_their_country(company: Company) -> None:
    for contact in company.contacts:
        for number in (
            contact.phone_work,
            contact.phone_mobile,
            contact.phone_home,
            contact.phone_other,
            contact.fax,
        ):
            if number:
                assert phonenumbers.is_valid_number(phonenumbers.parse(number, contact.region)), number


def test_contacts_are_untidy_within_the_limits_of_the_crm(company: Company) -> None:
    contacts = company.contacts
    assert sum(contact.email is None for contact in contacts) > 50
    assert sum(contact.given is None for contact in contacts) > 20
    assert sum(contact.other_address is not None for contact in contacts) > 100
    assert sum(len(contact.notes or "") > 29_000 for contact in contacts) in range(3, 20)
    assert any("<p>" in (contact.notes or "") for contact in contacts)
    assert any("🌻" in (contact.given or "") for contact in contacts)
    assert max(len(contact.family) for contact in contacts) > 60
    for contact in contacts:
        assert len(contact.family) <= 80
        assert len(contact.given or "") <= 40
        assert len(contact.email or "") <= 80
        assert len(contact.notes or "") <= 32_000
        assert contact.address is None or len(contact.address.street) <= 255


def test_near_duplicates_belong_to_the_same_owner(company: Company) -> None:
    twins = [contact for contact in company.contacts if contact.twin_of is not None]
    assert len(twins) >= 20
    originals = [company.contacts[contact.twin_of] for contact in twins if contact.twin_of is not None]
    assert all(twin.owner == original.owner for twin, original in zip(twins, originals, strict=True))
    assert any(
        twin.email
        and original.email
        and twin.email != original.email
        and twin.email.lower() == original.email.lower()
        for twin, original in zip(twins, originals, strict=True)
    )


def test_appointments_of_every_kind_around_today(company: Company) -> None:
    found = company.appointments
    first, last = TODAY - timedelta(days=45), TODAY + timedelta(days=400)
    inside = [one for one in found if first <= one.start.date() <= last]
    assert 0.85 * len(found) < len(inside) < len(found)
    assert any(one.start.date() < TODAY for one in inside)
    assert sum(one.private for one in found) >= 10
    assert sum(one.all_day for one in found) >= 20
    assert any(one.all_day and one.end - one.start > timedelta(days=1) for one in found)
    assert any(not one.all_day and one.end - one.start > timedelta(days=1) for one in found)
    assert len({one.zone for one in found}) == 8
    guests = [guest.email for one in found for guest in one.guests]
    assert any(guest.endswith("@acme.example") for guest in guests)
    assert any(not guest.endswith("@acme.example") for guest in guests)
    for one in found:
        assert one.start < one.end
        assert one.start.tzinfo is UTC
        if one.series is None:
            assert one.end - one.start <= timedelta(days=14)


def test_series_start_with_their_first_occurrence_and_keep_their_wall_time(company: Company) -> None:
    series = [one for one in company.appointments if one.series is not None]
    assert {one.series.rule.split(";")[0] for one in series} == {"FREQ=DAILY", "FREQ=WEEKLY", "FREQ=MONTHLY"}
    assert sum(bool(one.series.moved) for one in series) > 5
    assert sum(bool(one.series.cancelled) for one in series) > 5
    crosses = 0
    for one in series:
        starts = load_salesforce.occurrence_starts(one)
        assert starts[0] == one.start
        zone = ZoneInfo(one.zone)
        assert len({start.astimezone(zone).time() for start in starts}) == 1
        crosses += len({start.time() for start in starts}) > 1
    assert crosses > 3  # clocks changed in between


def test_loaded_into_the_crm_series_have_their_exceptions(company: Company) -> None:
    world = open_world(None)
    store.setup(world)
    try:
        users = load_salesforce.load(world, company)
        assert len(set(users)) == 5
        counted = "SELECT COUNT(*) FROM sf_Event WHERE "
        series = [one for one in company.appointments if one.series is not None]
        moved = sum(len(one.series.moved) for one in series)
        cancelled = sum(len(one.series.cancelled) for one in series)
        assert world.db.execute(counted + "GroupEventType = '3'").fetchone()[0] == len(series)
        assert world.db.execute(counted + "IsRecurrence2Exception = 1 AND IsDeleted = 0").fetchone()[0] == moved
        assert world.db.execute(counted + "IsDeleted = 1").fetchone()[0] == cancelled
        one_day = world.db.execute(
            "SELECT StartDateTime, EndDateTime FROM sf_Event WHERE IsAllDayEvent = 1 AND Subject = 'Trade fair' "
            "AND DurationInMinutes = 1440"
        ).fetchone()
        assert one_day[0] == one_day[1]  # the CRM counts the last day in
        orphans = "SELECT COUNT(*) FROM sf_Contact WHERE OwnerId NOT IN (SELECT Id FROM sf_User)"
        assert world.db.execute(orphans).fetchone()[0] == 0
    finally:
        world.db.close()
