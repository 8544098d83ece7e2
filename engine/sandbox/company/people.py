"""Users, firms, contacts and leads, with what makes real address books hard: gaps, twins, scripts, long notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from engine.sandbox.company.locales import LOCALES, Locale, ascii_of, fill, international
from engine.sandbox.company.model import Account, Address, Contact, Lead, User
from engine.sandbox.company.prose import LONG_NAME_PART, note

DOMAIN = "acme.example"

#: The zones of users and of series; Berlin, New York, London, Los Angeles, Sydney and Santiago change their clocks.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Tokyo",
    "Europe/London",
    "Asia/Kolkata",
    "America/Los_Angeles",
    "Australia/Sydney",
    "America/Santiago",
)

#: The users that a demo shows first, easy to read.
_FIRST = (
    ("ann.berg", "Ann", "Berg", "Europe/Berlin", "Account Manager"),
    ("j.ortiz", "Javier", "Ortiz", "America/New_York", "Account Manager"),
    ("kim.lee", "Kim", "Lee", "Asia/Tokyo", "Sales Engineer"),
    ("o.adeyemi", "Olu", "Adeyemi", "Europe/London", "Regional Director"),
    ("p.nair", "Priya", "Nair", "Asia/Kolkata", "Service Manager"),
)

LEAD_STATUS = ("Open - Not Contacted", "Working - Contacted", "Closed - Not Converted")


@dataclass(frozen=True, slots=True)
class Firm:
    """An account with the locale its people come from."""

    account: Account
    locale: Locale


def make_users(dice: Random, count: int) -> tuple[User, ...]:
    """The employees; the first five are always the same, the others have addresses with a number."""
    users = []
    for place in range(count):
        if place < len(_FIRST):
            local, given, family, zone, title = _FIRST[place]
            users.append(User(f"{local}@{DOMAIN}", given, family, zone, title))
            continue
        locale = dice.choice(LOCALES)
        given_name, family_name = dice.choice(locale.given), dice.choice(locale.family)
        address = f"{given_name.latin[:1]}.{family_name.latin}{place + 1}@{DOMAIN}"
        users.append(
            User(address, given_name.native, family_name.native, ZONES[place % len(ZONES)], "Account Manager")
        )
    return tuple(users)


def make_firms(dice: Random, count: int, users: int) -> tuple[Firm, ...]:
    """The accounts, in turn of every locale, so that a dozen of them already speak a dozen languages."""
    firms = []
    for place in range(count):
        locale = LOCALES[place % len(LOCALES)]
        stem = dice.choice(locale.firms)
        name = dice.choice(locale.firm_forms).format(stem.native)
        if place >= len(LOCALES):
            name = (
                f"{name} {place + 1}" if dice.random() < 0.3 else f"{name} ({dice.choice(locale.cities).name})"
            )
        domain = f"{stem.latin}{place + 1}.example"
        phone = _phone(dice, locale, locale.fixed)
        account = Account(place % users, name[:255], domain, phone, _address(dice, locale))
        firms.append(Firm(account, locale))
    return tuple(firms)


def _address(dice: Random, locale: Locale) -> Address:
    city = dice.choice(locale.cities)
    street = dice.choice(locale.streets).format(n=dice.randint(1, 250), m=dice.randint(2, 60))
    return Address(street, city.name, city.region, fill(city.postcode, dice), locale.country)


def _phone(dice: Random, locale: Locale, templates: tuple[str, ...]) -> str:
    national = fill(dice.choice(templates), dice)
    return international(locale, national) if dice.random() < 0.7 else national


def _maybe(dice: Random, share: float) -> bool:
    return dice.random() < share


def _birthday(dice: Random) -> date:
    return date(1948, 2, 29) + timedelta(days=dice.randrange(20_000))


def make_person(dice: Random, place: int, owner: int, firm: Firm | None, firm_place: int | None) -> Contact:
    """One person of ``firm`` (or of none), with about a fifth of all fields missing."""
    locale = firm.locale if firm else dice.choice(LOCALES)
    given, family = dice.choice(locale.given), dice.choice(locale.family)
    domain = firm.account.domain if firm else "post.example"
    work_address = firm.account.address if firm and _maybe(dice, 0.7) else _address(dice, locale)
    family_name = family.native
    # Double names keep the number of different people high in languages with few names in our lists.
    if _maybe(dice, 0.12) and locale.region in {"ES", "BR", "GB", "DE", "PL"}:
        family_name = f"{family_name}-{dice.choice(locale.family).native}"
    return Contact(
        owner=owner,
        account=firm_place,
        language=locale.tag,
        region=locale.region,
        family=family_name,
        given=given.native if _maybe(dice, 0.96) else None,
        middle=dice.choice(locale.given).native if _maybe(dice, 0.06) else None,
        prefix=dice.choice(("Mr.", "Ms.", "Dr.", "Prof.")) if _maybe(dice, 0.2) else None,
        suffix=dice.choice(("Jr.", "III", "PhD")) if _maybe(dice, 0.03) else None,
        title=dice.choice(locale.titles) if _maybe(dice, 0.8) else None,
        department=dice.choice(locale.departments) if _maybe(dice, 0.5) else None,
        email=f"{given.latin}.{family.latin}{place + 1}@{domain}" if _maybe(dice, 0.9) else None,
        phone_work=_phone(dice, locale, locale.fixed) if _maybe(dice, 0.8) else None,
        phone_mobile=_phone(dice, locale, locale.mobile) if _maybe(dice, 0.6) else None,
        phone_home=_phone(dice, locale, locale.fixed) if _maybe(dice, 0.15) else None,
        phone_other=_phone(dice, locale, locale.mobile) if _maybe(dice, 0.06) else None,
        fax=_phone(dice, locale, locale.fixed) if _maybe(dice, 0.1) else None,
        address=work_address if _maybe(dice, 0.85) else None,
        other_address=_address(dice, locale) if _maybe(dice, 0.15) else None,
        birthday=_birthday(dice) if _maybe(dice, 0.25) else None,
        notes=note(dice, locale.greeting) if _maybe(dice, 0.35) else None,
    )


def _twin(dice: Random, original: Contact, place: int, owner: int, turn: int) -> Contact:
    """The same person entered a second time, each time spoilt in another way."""
    email = original.email or f"shared.mailbox{place + 1}@post.example"
    if turn % 4 == 0:  # the address typed in capitals
        local, _, domain = email.partition("@")
        changed = replace(original, email=f"{local.title()}@{domain.upper()}", notes=None)
    elif turn % 4 == 1:  # accents lost
        spelt = ascii_of(original.family).capitalize() or original.family.replace("о", "o")
        changed = replace(original, family=spelt, email=None, phone_mobile=None)
    elif turn % 4 == 2:  # given and family name swapped
        changed = replace(
            original, given=original.family, family=original.given or original.family, address=None
        )
    else:  # the same, with another address of another firm
        changed = replace(original, email=f"{place + 1}.{email}", account=None, title=None)
    return replace(changed, owner=owner, birthday=None)


def make_contacts(dice: Random, count: int, users: int, firms: tuple[Firm, ...]) -> tuple[Contact, ...]:
    """The contacts, owned in turn by each user. Each 40th is a near-duplicate of an earlier one of its owner."""
    contacts: list[Contact] = []
    for place in range(count):
        owner = place % users
        if place % 40 == 39 and place >= 8 * users:
            twin_of = dice.randrange((place - 1 - owner) // users) * users + owner
            twin = _twin(dice, contacts[twin_of], place, owner, place // 40)
            contacts.append(replace(twin, twin_of=twin_of))
            continue
        firm_place = dice.randrange(len(firms)) if firms and _maybe(dice, 0.92) else None
        firm = firms[firm_place] if firm_place is not None else None
        contacts.append(make_person(dice, place, owner, firm, firm_place))
    return tuple(_with_extremes(dice, contacts))


def _with_extremes(dice: Random, contacts: list[Contact]) -> list[Contact]:
    """A few people at the limits: 30 kB notes, very long names, emoji, only an address, only a family name."""
    if len(contacts) < 60:
        return contacts
    step = max(200, len(contacts) // 40)
    for base in range(0, len(contacts) - 12, step):
        contacts[base + 3] = replace(contacts[base + 3], notes=note(dice, "30 kB", length=30_000))
        contacts[base + 5] = replace(
            contacts[base + 5],
            given=" ".join([LONG_NAME_PART] * 3)[:40].strip(),
            family="-".join([LONG_NAME_PART] * 6)[:80].strip("-"),
        )
        contacts[base + 7] = replace(
            contacts[base + 7], given="Zoë 🌻", title="Chief Happiness Officer 🎉👩🏽‍💻"
        )
        contacts[base + 9] = Contact(contacts[base + 9].owner, None, "en-US", "US", "Reception")
    return contacts


def make_leads(dice: Random, count: int, users: int) -> tuple[Lead, ...]:
    """The leads, owned in turn by each user, each with a company of its own."""
    leads = []
    for place in range(count):
        locale = LOCALES[(place * 7) % len(LOCALES)]
        stem = dice.choice(locale.firms)
        company = dice.choice(locale.firm_forms).format(f"{stem.native} {dice.choice(locale.cities).name}")
        firm = Firm(
            Account(
                place % users, company, f"{stem.latin}-lead{place + 1}.example", "", _address(dice, locale)
            ),
            locale,
        )
        person = make_person(dice, place, place % users, firm, None)
        website = f"https://www.{firm.account.domain}/" if _maybe(dice, 0.5) else None
        leads.append(Lead(place % users, person, company[:255], website, dice.choice(LEAD_STATUS)))
    return tuple(leads)
