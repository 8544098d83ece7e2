"""Opportunities and cases in every stage, open and closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

from engine.sandbox.company.model import Account, Case, Contact, Opportunity
from engine.sandbox.company.prose import note

#: Salesforce's standard stages, the last two closed.
STAGES = (
    "Prospecting",
    "Qualification",
    "Needs Analysis",
    "Value Proposition",
    "Id. Decision Makers",
    "Perception Analysis",
    "Proposal/Price Quote",
    "Negotiation/Review",
    "Closed Won",
    "Closed Lost",
)
CASE_STATUS = ("New", "Working", "Escalated", "Closed")

_DEALS = (
    "renewal",
    "expansion",
    "pilot",
    "Rahmenvertrag",
    "обновление",
    "新規契約",
    "migration / phase 2",
    "upgrade 🚀",
)
_NEXT = ("Send proposal", "Call the buyer", "Wait for legal", "Demo on site")
_TROUBLES = (
    "Cannot log in",
    "Invoice is wrong",
    "Delivery damaged 📦",
    "Anlage steht still",
    "Не приходит счёт",
    "請求書の再発行",
    'Error "<null>" in the report',
)


def make_opportunities(
    dice: Random,
    count: int,
    today: date,
    users: int,
    owned: Sequence[Sequence[int]],
    contacts: Sequence[Contact],
    accounts: Sequence[Account],
) -> tuple[Opportunity, ...]:
    """Deals, in turn of each user and through all stages; closed ones closed before ``today``."""
    found = []
    for place in range(count):
        owner = place % users
        stage = STAGES[(place // users + place) % len(STAGES)]
        people = tuple(dice.sample(owned[owner], min(len(owned[owner]), dice.randint(1, 3))))
        account = next(
            (contacts[person].account for person in people if contacts[person].account is not None), None
        )
        firm = accounts[account].name if account is not None else "Acme"
        days = dice.randint(1, 200)
        found.append(
            Opportunity(
                owner,
                f"{firm[:80]} {dice.choice(_DEALS)} {place + 1}",
                account,
                people,
                stage,
                round(dice.uniform(900, 900_000), 2) if dice.random() < 0.9 else None,
                today - timedelta(days=days) if stage.startswith("Closed") else today + timedelta(days=days),
                dice.choice(_NEXT) if dice.random() < 0.6 else None,
                note(dice, "Came from the fair.") if dice.random() < 0.5 else None,
            )
        )
    return tuple(found)


def make_cases(
    dice: Random, count: int, users: int, owned: Sequence[Sequence[int]], contacts: Sequence[Contact]
) -> tuple[Case, ...]:
    """Requests in every status."""
    found = []
    for place in range(count):
        owner = place % users
        contact = dice.choice(owned[owner]) if owned[owner] else None
        found.append(
            Case(
                owner,
                f"{dice.choice(_TROUBLES)} ({place + 1})",
                contacts[contact].account if contact is not None else None,
                contact,
                CASE_STATUS[(place // users + place) % len(CASE_STATUS)],
                dice.choice(("High", "Medium", "Low")),
                dice.choice(("Phone", "Email", "Web")),
                note(dice, "Customer waits for an answer.") if dice.random() < 0.7 else None,
            )
        )
    return tuple(found)
