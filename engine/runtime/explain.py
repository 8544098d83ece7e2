"""Explain this item: find it, read all that is known of it, ask the planner without obeying it, and say it in words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, tzinfo

from engine.ledger import explain as units
from engine.ledger import links, mailboxes, matching
from engine.ledger.explain import Found, Material
from engine.model.canonical import display_name
from engine.model.modules import Module, Side
from engine.model.port import Capability
from engine.monitor.explain import Explanation, Fact, Filtered, Hit, Item, KeptCount, Section
from engine.monitor.fold import TROUBLE
from engine.monitor.why import why_user
from engine.net.errors import ProviderError
from engine.runtime import words
from engine.runtime.explain_words import PLACE, Times, field_views, planner, rules, sides, told, work
from engine.runtime.filing_why import PREFIX, explain_mail
from engine.runtime.office import Office
from engine.sync.assigned import CROWDED
from engine.sync.plan import Planned, Planning, find_twins, plan_link, rules_for

#: Items offered to choose from.
MOST_HITS = 50

#: Items of a page of what is filtered.
PAGE = 200

ASK = (
    "ask by the number of a link (#12), the id at a provider, an e-mail address, or words of its name; "
    "records whose owner is no user of a policy are never read"
)


async def explain(office: Office, query: str, mailbox: str | None, zone: tzinfo = UTC) -> Explanation:
    """Explain the one item that fits, or list those that do.

    Args:
        office: the engine.
        query: ``#12`` (link), ``mail#12`` (a filed mail), an id at a provider, an e-mail address, or words of a name.
        mailbox: of this mailbox alone.
        zone: for the times in the text.
    """
    query = query.strip()
    if query.startswith(PREFIX):
        return await explain_mail(office, query, zone)
    emails = {office.mailbox_ids[row.id]: row.id for row in office.store.users.values()}
    ids = {office.mailbox_ids[mailbox]} if mailbox is not None else set(emails)
    if not query:
        return Explanation(query, note=f"nothing was asked: {ASK}")
    found = await _find(office, query, ids)
    if not found:
        where = f" in {mailbox}" if mailbox is not None else ""
        return Explanation(query, note=f"no item fits {query!r}{where}: {ASK}")
    hits = tuple(hit_of(one, emails[one.mailbox_id]) for one in found[:MOST_HITS])
    if len(found) > 1:
        return Explanation(query, hits=hits, more=len(found) > MOST_HITS)
    only = found[0]
    if only.link_id is None:
        return Explanation(query, item=_own(office, hits[0]))
    material = await office.ledger.read(units.material, only.link_id)
    if material is None:  # merged with its twin a moment ago
        return Explanation(query, note=f"{query!r} has just become one with its twin; ask again")
    return Explanation(query, item=await _item(office, hits[0], material, Times(office.clock.now_ms(), zone)))


async def _find(office: Office, query: str, ids: Collection[int]) -> list[Found]:
    read = office.ledger.read
    number = query.removeprefix("#")
    if number.isdecimal() and number.isascii() and len(number) <= 18:
        found = await read(units.by_link, int(number), ids)
        if found or query.startswith("#"):
            return found
    found = await read(units.by_remote, query, ids)
    if found:
        return found
    asked = query.split()
    return [one for one in await read(units.by_words, asked, ids) if _named_so(one, asked)]


def _named_so(one: Found, asked: list[str]) -> bool:
    """Whether the words stand in what people call the item. A private item is never found by its words."""
    if one.fields.get("private"):
        return False
    if one.link_id is None:
        return True  # found by its match key, and nothing else is kept of it
    module = Module(one.module)
    text = [display_name(module, one.fields)]
    text += [str(one.fields.get(name) or "") for name in ("company", "number", "email", "email_2", "email_3")]
    text += [row["email"] for row in one.fields.get("attendees") or ()]
    said = " ".join(text).casefold()
    return all(word.casefold() in said for word in asked)


def hit_of(one: Found, mailbox: str) -> Hit:
    """One item as a list shows it; a private one shows nothing of itself."""
    module = Module(one.module)
    if one.link_id is None:
        name = "the person's own item"
    else:
        name = "(private)" if one.fields.get("private") else display_name(module, one.fields)
    return Hit(one.link_id, mailbox, one.module, name, one.state, one.reason, one.side, one.remote_id)


def _own(office: Office, hit: Hit) -> Item:
    answer = (
        "The person's own item: it lies outside the policy's groups and colours, so it stays in the mailbox. "
        "Put into the policy's group, or given its colour, it crosses over with the next cycle."
    )
    return Item(hit, office.store.users[hit.mailbox].policy, answer, "", (), ())


async def _item(office: Office, hit: Hit, material: Material, at: Times) -> Item:
    user = office.store.users[hit.mailbox]
    policy = office.policies[user.policy]
    private = hit.name == "(private)"
    twins, held = await _twins(office, material, hit.mailbox)
    planned, why_not = _planned(office, material, hit.mailbox, held)
    containers = (await office.ledger.read(mailboxes.mailbox_by_id, office.mailbox_ids[hit.mailbox])).containers
    answer, tone = answered(material, planned, why_not, at)
    sections = [
        planner(planned, why_not, material),
        sides(material, containers, at),
        rules(policy, material, at.now_ms),
        work(material, at),
    ]
    if material.conflicts:
        facts = tuple(
            Fact(row.field, f"{row.why or 'both sides changed it'}; {row.state} since {at(row.at)}", "alert")
            for row in material.conflicts
        )
        sections.append(Section("Conflicts", facts))
    if twins:
        sections.append(Section("Possible twins", twins))
    series = _series(material)
    if series:
        sections.append(Section("Series", series))
    sections.append(_mailbox(office, hit.mailbox, at))
    sections.append(told(material, at, private=private))
    return Item(
        hit, user.policy, answer, tone, field_views(material, planned, private=private), tuple(sections)
    )


def _mailbox(office: Office, mailbox: str, at: Times) -> Section:
    """How its mailbox stands, and why no cycle of it runs now: the item cannot come before its mailbox does."""
    row = office.store.users[mailbox]
    kind = f", {row.fault_class} fault" if row.fault_class is not None else ""
    last = "never" if row.last_success_ms is None else at(row.last_success_ms)
    why = why_user(office.store, mailbox, at.now_ms, at)
    return Section(
        "Its mailbox",
        (
            Fact(mailbox, f"{row.state}{kind}; last cycle that ended well: {last}"),
            *(Fact("", sentence, "alert" if row.state in TROUBLE else "quiet") for sentence in why),
        ),
    )


async def _twins(office: Office, material: Material, mailbox: str) -> tuple[tuple[Fact, ...], str | None]:
    """Items of the other side that share a key with a link that has no twin yet, and why it would be held for them."""
    row = material.row
    if row.base is not None or (row.crm is not None and row.mailbox is not None):
        return (), None
    candidates = await office.ledger.read(matching.candidates, [row.id])
    others = sorted({one.other_link_id for one in candidates if one.other_link_id is not None} - {row.id})
    every = candidates + (await office.ledger.read(matching.candidates, others) if others else [])
    policy = office.policies[office.store.users[mailbox].policy]
    _, held = find_twins(every, {row.id}, policy.match_existing)
    facts: dict[object, Fact] = {}
    for one in candidates:
        key = one.key.partition(":")[0]
        same = "our mark" if key == "ref" else f"the same {KEYS.get(key, key)}"
        if one.other_link_id is None:
            facts.setdefault(
                (key, None), Fact("own item", f"{same}: the person's own item, outside the policy")
            )
        else:
            facts.setdefault(one.other_link_id, Fact(f"#{one.other_link_id}", same))
    return tuple(facts.values()), None if row.reason == links.BESIDE else held.get(row.id)


KEYS = {"email": "e-mail address", "name": "name", "event": "subject and start", "task": "subject and due date"}


def _planned(office: Office, material: Material, mailbox: str, held: str | None) -> tuple[Planned | None, str]:
    """The planner's decision about the link as it stands now; or why it cannot be asked."""
    policy = office.policies[office.store.users[mailbox].policy]
    module = Module(material.row.module)
    if not policy.on(module):
        return None, f"the policy {policy.name} does not sync {module.value.replace('_', ' ')} items"
    try:
        records = {
            Side.CRM: office.crm(policy.crm).capability(module),
            Side.MAILBOX: office.mailbox(policy.mailbox).capability(module),
        }
    except ProviderError as error:
        return None, f"the connections of {policy.name} cannot be used: {error}"
    crm, mail = records[Side.CRM], records[Side.MAILBOX]
    if crm is None or mail is None:
        return None, f"one of the two sides cannot hold {module.value.replace('_', ' ')} items"
    planning = _planning(office, policy.name, mailbox, module, crm, mail)
    if material.row.reason == CROWDED:
        planning = replace(planning, crowded=frozenset({material.row.id}))
    return plan_link(material.row, planning, held), ""


def _planning(
    office: Office, policy: str, mailbox: str, module: Module, crm: Capability, mail: Capability
) -> Planning:
    rules_ = office.policies[policy]
    guards = {(Side.CRM, module): crm.guard, (Side.MAILBOX, module): mail.guard}
    # No write follows, so that it does not matter into which feed one would go.
    scopes = dict.fromkeys(guards, 0)
    return Planning(
        rules_, mailbox, office.clock.now_ms(), {module: rules_for(rules_, module, crm, mail)}, guards, scopes
    )


def answered(material: Material, planned: Planned | None, why_not: str, at: Times) -> tuple[str, str]:
    """How the item stands, why, and what happens next: one or two sentences, and their tone."""
    row = material.row
    waiting = [one for one in material.intents if one.state == "held"]
    unclear = [one for one in material.intents if one.state in {"in_flight", "unknown"}]
    open_ = [one for one in material.conflicts if one.state == "open"]
    if row.state == "quarantined":
        return (
            f"In quarantine after it was refused too often: {row.reason}. It is tried again when it changes on "
            "either side, or when you say so (held items: r tries it again, K dismisses it).",
            "fault",
        )
    if row.state == "held":
        return (
            f"Held, and waits for you: {row.reason}. Key h on its user, or syncline held, settles it.",
            "alert",
        )
    if waiting:
        one = waiting[0]
        return (
            f"Its {one.kind} in the {PLACE[one.side]} is held and waits for you: {one.error or one.why}.",
            "alert",
        )
    if open_:
        names = ", ".join(one.field for one in open_)
        return f"Both sides changed {names}, and the policy asks you; all other fields are in step.", "alert"
    if unclear:
        one = unclear[0]
        return (
            f"Its {one.kind} in the {PLACE[one.side]} was sent and its outcome is not known yet; it is looked for "
            "before anything is repeated, so that nothing is doubled.",
            "alert",
        )
    if material.due is not None and material.due.attempts:
        late = material.due.not_before
        when = "with the next cycle" if late <= at.now_ms or late > 1 << 60 else at(late)
        return (
            f"Refused {words.count(material.due.attempts, 'time', 'times')} in a row: {row.reason or 'see below'}. "
            f"It is tried again {when}; five failures set it aside.",
            "fault",
        )
    if material.due is not None:
        return f"On the work list: the next cycle {_next(planned, why_not)}.", ""
    if row.state == "tombstone":
        return "Gone on both sides; only its history is kept.", "quiet"
    if row.state in units.QUIET_STATES:
        where = "CRM" if row.crm is not None and not row.crm.deleted else "mailbox"
        tone = "alert" if row.reason.startswith(links.DISMISSED) else ""
        return f"Stays in the {where}: {row.reason}. It is looked at again when it changes.", tone
    if row.state == "live" and planned is not None and planned.plan.intents:
        return (
            f"In step as far as the last cycle saw; looked at now, a cycle {_next(planned, why_not)} once it changes.",
            "",
        )
    if row.state == "live":
        return "In step: both sides show what was agreed, and nothing is to do.", ""
    return f"New on one side; a cycle {_next(planned, why_not)}.", ""


def _next(planned: Planned | None, why_not: str) -> str:
    if planned is None:
        return f"does nothing with it: {why_not}"
    if planned.plan.intents:
        return " and ".join(
            f"{VERBS[one.kind]} the {PLACE[one.side]} ({one.why})" for one in planned.plan.intents
        )
    if planned.plan.state in (None, "live"):
        return "finds both sides equal and writes nothing"
    if planned.plan.state == "tombstone":
        return "closes it: it is gone on both sides"
    return f"leaves it as {planned.plan.state}" + (f": {planned.plan.reason}" if planned.plan.reason else "")


VERBS = {"create": "creates it in", "update": "updates", "delete": "deletes it in"}


def _series(material: Material) -> tuple[Fact, ...]:
    row = material.row
    facts = []
    if row.parent_link is not None:
        facts.append(
            Fact("occurrence", f"of {row.occurrence}, in the series #{row.parent_link} ({row.parent_state})")
        )
    if material.children:
        told = ", ".join(f"{count} {state}" for state, count in sorted(material.children.items()))
        facts.append(Fact("changed occurrences", told))
    return tuple(facts)


# -- what stays on its side ----------------------------------------------------------------------------


async def filtered(
    office: Office, mailbox: str, module: str | None, reason: str | None, after: int, limit: int = PAGE
) -> Filtered:
    """What of a mailbox does not cross over, counted by reason, with one page of the items."""
    mailbox_id = office.mailbox_ids[mailbox]
    kept = await office.ledger.read(units.kept_by_reason, mailbox_id)
    found = await office.ledger.read(
        units.kept_links, mailbox_id, module=module, reason=reason, after=after, limit=limit
    )
    counts = tuple(
        KeptCount(
            "dismissed" if one.reason.startswith(links.DISMISSED) else one.state,
            one.module,
            one.reason or OWN,
            one.count,
        )
        for one in kept
    )
    last = found[-1].link_id if len(found) == limit else None
    return Filtered(mailbox, counts, tuple(hit_of(one, mailbox) for one in found), last)


OWN = "the person's own, outside the policy's groups and colours"
