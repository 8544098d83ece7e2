"""The settings of a policy: their table, and policies to documents and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.model.canonical import FIELDS, SEVERAL
from engine.model.config_labels import LABELS, check_labels
from engine.model.config_mail import MAIL, check_mail
from engine.model.config_problems import Collector, join
from engine.model.config_sections import (
    REQUIRED,
    ByModule,
    ByName,
    ListOf,
    Section,
    Setting,
    read_settings,
    write_settings,
)
from engine.model.config_values import (
    BAD,
    blackout,
    clock,
    colour_label,
    cron,
    day,
    email,
    flag,
    number,
    one_of,
    optional,
    region,
    text,
    wave_sizes,
    weekday,
    whole,
    zone,
)
from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Direction, Module
from engine.model.policy import (
    Attendees,
    ConflictRule,
    DeleteMode,
    Hours,
    Policy,
    PrivateItems,
    Visibility,
    Whose,
)
from engine.model.port import CalendarMode

_DEFAULTS = Policy("", "", "")
_NAME = text(100)

#: Gmail allows 225 characters for a whole path; a slash would make a level of its own.
_LABEL = text(60, without="/")


def _in_order(modules: frozenset[Module]) -> tuple[Module, ...]:
    return tuple(module for module in Module if module in modules)


MODULE = Section(
    (
        Setting("enabled", flag(), "Whether the module is synchronised.", True),
        Setting(
            "direction",
            one_of(Direction),
            "Which way items flow. Opportunities and cases flow to the mailbox only, as labels and mails.",
            Direction.BOTH,
        ),
        Setting(
            "visibility",
            one_of(Visibility),
            "Which CRM items a mailbox receives: those that its person owns, or all.",
            Visibility.OWNED,
        ),
        Setting(
            "conflict",
            optional(one_of(ConflictRule)),
            "As the policy's `conflict`, for this module alone.",
            None,
        ),
        Setting(
            "conflicts",
            ByName(one_of(ConflictRule), "fields"),
            "As `conflict`, for single fields of this module; `union` only for fields with several values (attendees). "
            "The end of an event follows its start.",
            {},
        ),
    ),
)

_HOURS = (
    Setting("start", clock(), "First cycle of the day.", Hours().start),
    Setting("end", clock(), "No cycle starts from then on; 00:00 or 24:00 is the end of the day.", Hours().end),
    Setting("minutes", whole(1, 1440, "minutes"), "Time from one full sync to the next.", Hours().minutes),
)

SCHEDULING = Section(
    (
        Setting(
            "zone", zone(), "Time zone of the times in this section, and of windows.", _DEFAULTS.scheduling.zone
        ),
        Setting(
            "workday_days",
            ListOf(weekday(), most=7, sort=True),
            "Days on which `workdays` holds; on the others `weekends` does.",
            _DEFAULTS.scheduling.workday_days,
        ),
        Setting(
            "label_check_minutes",
            whole(1, 1440, "minutes"),
            "Time between two looks at the drop labels; within the hours below.",
            _DEFAULTS.scheduling.label_check_minutes,
        ),
        Setting(
            "verify",
            cron(),
            "When the job Verify reads everything back, once it is switched on; in the zone above.",
            _DEFAULTS.scheduling.verify,
        ),
        Setting(
            "blackouts",
            ListOf(blackout()),
            "Weekly periods in which no cycle starts; one may reach over the end of the week.",
            (),
        ),
        Setting("workdays", Section(_HOURS), "Full syncs on workdays.", _DEFAULTS.scheduling.workdays),
        Setting(
            "weekends",
            Section(_HOURS, off=True),
            "Full syncs on the other days; `false` for none.",
            _DEFAULTS.scheduling.weekends,
        ),
    ),
)

ADDRESS_BOOKS = Section(
    (
        Setting(
            "groups",
            ByModule(_in_order(CONTACT_MODULES), _NAME, _DEFAULTS.address_books.groups),
            "Contact group in the mailbox, by module.",
            _DEFAULTS.address_books.groups,
        ),
        Setting(
            "require_group",
            flag(),
            "Only contacts in one of the groups go to the CRM; others stay as they are.",
            _DEFAULTS.address_books.require_group,
        ),
        Setting("default_region", region(), "Country in which phone numbers without a leading + are read.", ""),
    ),
)

CALENDAR = Section(
    (
        Setting(
            "mode",
            one_of(CalendarMode),
            "CRM items in the person's own calendar marked by colour, or in a separate calendar.",
            _DEFAULTS.calendar.mode,
        ),
        Setting("name", _NAME, "Name of the separate calendar.", _DEFAULTS.calendar.name),
        Setting(
            "require_colour",
            flag(),
            "Only events with one of the colours go to the CRM; others stay where they are and count as filtered.",
            _DEFAULTS.calendar.require_colour,
        ),
        Setting(
            "past_days",
            whole(0, 3650, "days"),
            "How long ago an event may have ended.",
            _DEFAULTS.calendar.past_days,
        ),
        Setting(
            "future_days",
            whole(1, 3650, "days"),
            "How far ahead an event may begin.",
            _DEFAULTS.calendar.future_days,
        ),
        Setting(
            "attendees",
            one_of(Attendees),
            "Guests: listed in the mailbox's event without a mail to them; invited, so that the provider mails them within "
            "`guest_mail_budget` (never in a first sync); or not written at all.",
            _DEFAULTS.calendar.attendees,
        ),
        Setting(
            "private", one_of(PrivateItems), "Whether private events cross over.", _DEFAULTS.calendar.private
        ),
        Setting(
            "colours",
            ByModule(_in_order(EVENT_MODULES), colour_label(), _DEFAULTS.calendar.colours),
            "Label name and colour, by module.",
            _DEFAULTS.calendar.colours,
        ),
    ),
)

_THRESHOLD = Section(
    (
        Setting("count", whole(0, 1_000_000, "items"), "Most deletes of one cycle."),
        Setting("percent", number(0, 100, "%"), "Most deletes of one cycle as a part of what is there."),
    ),
)

_GUARDED = {
    "contacts": "contacts and leads",
    "appointments": "appointments",
    "tasks": "tasks",
    "other": "everything else",
    "inferred": "items of any module that a complete listing no longer shows",
}

DELETE_SAFETY = Section(
    tuple(
        Setting(
            name,
            _THRESHOLD,
            f"A cycle with more deletes than this waits for an admin: {what}.",
            getattr(_DEFAULTS.delete_safety, name),
        )
        for name, what in _GUARDED.items()
    ),
)

ROLLOUT = Section(
    (
        Setting(
            "waves",
            wave_sizes(),
            'How many further mailboxes each wave admits, such as `[1, 5, "all"]`; what is left makes the last wave. '
            "Without it all mailboxes begin at once.",
            _DEFAULTS.rollout.waves,
        ),
        Setting(
            "error_percent",
            number(0, 100, "%"),
            "More failed mailboxes, refused items or differing checks of a wave than this stop the roll-out.",
            _DEFAULTS.rollout.error_percent,
        ),
        Setting(
            "delete_percent",
            number(0, 100, "%"),
            "More deletes than this part of the items of a wave stop the roll-out, made or held.",
            _DEFAULTS.rollout.delete_percent,
        ),
        Setting(
            "ask",
            flag(),
            "Whether an admin says when the next wave begins; otherwise it begins by itself after a good one.",
            _DEFAULTS.rollout.ask,
        ),
    ),
)

POLICY: tuple[Setting, ...] = (
    Setting("crm", _NAME, "Name of the CRM connection.", REQUIRED),
    Setting("mailbox", _NAME, "Name of the mailbox connection.", REQUIRED),
    Setting(
        "start_date",
        optional(day()),
        "CRM items last changed before this day stay out of the first sync; without it all cross over.",
        None,
    ),
    Setting(
        "match_existing",
        flag(),
        "Whether a CRM item is matched with one that the mailbox already has, instead of making a second one.",
        _DEFAULTS.match_existing,
    ),
    Setting(
        "conflict",
        one_of(ConflictRule),
        "What happens when both sides changed the same field: the value changed last, the CRM's or the mailbox's wins; or "
        "it stays as it is on both sides and waits for you; or fields with several values (attendees) keep what both "
        "kept and what either added, while all others follow `newest`.",
        _DEFAULTS.conflict,
    ),
    Setting(
        "mailbox_deletes",
        one_of(DeleteMode),
        "What a delete in the mailbox does in the CRM.",
        _DEFAULTS.mailbox_deletes,
    ),
    Setting(
        "crm_deletes",
        one_of(DeleteMode),
        "What a delete in the CRM does in the mailbox.",
        _DEFAULTS.crm_deletes,
    ),
    Setting(
        "guest_mail_budget",
        whole(0, 100_000, "guests"),
        'With `attendees = "invited"`: how many guests one cycle of a mailbox may let the provider mail; writes that '
        "would mail more wait for an admin. A first sync mails nobody.",
        _DEFAULTS.guest_mail_budget,
    ),
    Setting(
        "error_addresses",
        ListOf(email()),
        "Who gets the failure mails: one for each incident, and one when it is over (`[smtp]`).",
        (),
    ),
    Setting(
        "notify_after_minutes",
        whole(0, 1440, "minutes"),
        "How long something is retried before its failure mail goes out; what waits for a person is mailed within a minute.",
        _DEFAULTS.notify_after_minutes,
    ),
    Setting("scheduling", SCHEDULING, "When cycles run.", _DEFAULTS.scheduling),
    Setting("address_books", ADDRESS_BOOKS, "Contacts and leads.", _DEFAULTS.address_books),
    Setting("calendar", CALENDAR, "Appointments, phone calls and service calls.", _DEFAULTS.calendar),
    Setting("labels", LABELS, "The label tree of opportunities and cases.", _DEFAULTS.labels),
    Setting("mail", MAIL, "Mails that are filed to the CRM.", _DEFAULTS.mail),
    Setting(
        "rollout",
        ROLLOUT,
        "A first sync, or a change of what the policy writes, reaches some mailboxes first.",
        _DEFAULTS.rollout,
    ),
    Setting("delete_safety", DELETE_SAFETY, "When deletes wait for an admin.", _DEFAULTS.delete_safety),
    Setting(
        "modules",
        ByModule(tuple(Module), MODULE, _DEFAULTS.modules),
        "Switch, direction and rules, by module. Modules that are not named keep the defaults: all on.",
        _DEFAULTS.modules,
    ),
)


def read_policy(name: str, raw: Any, where: str, problems: Collector) -> Policy | None:
    """A policy, or ``None`` after noting why not. Faults of single settings leave a policy with defaults for these."""
    values = read_settings(POLICY, raw, where, problems)
    if values is BAD:
        return None
    found = replace(_DEFAULTS, name=name, **values)
    _check(found, where, problems)
    return found


def _check(policy: Policy, where: str, problems: Collector) -> None:
    """What no single setting can tell."""
    for module in RECORD_MODULES:
        if policy.settings(module).direction is not Direction.TO_MAILBOX:
            problems.add(
                f"{where}.modules.{module}.direction",
                "labels and mails never write to the CRM",
                value=policy.settings(module).direction.value,
                allowed=Direction.TO_MAILBOX.value,
            )
        if policy.labels.of_team(module) and policy.settings(module).visibility is Visibility.ALL:
            problems.add(
                f"{where}.labels.records.{module}.whose",
                f'says nothing beside `modules.{module}.visibility = "all"`, by which everybody sees every {module}',
                value=Whose.TEAM.value,
                allowed=f'{Whose.MINE}, or `modules.{module}.visibility = "owned"`',
            )
    check_labels(policy.labels, where, problems)
    check_mail(policy.mail, where, problems)
    for module, chosen in policy.modules.items():
        _check_conflicts(f"{where}.modules.{module}.conflicts", module, chosen.conflicts, problems)
    names = {
        "address_books.groups": policy.address_books.groups.values(),
        "calendar.colours": [label for label, _ in policy.calendar.colours.values()],
        "labels.assign_to": policy.labels.assign_to.values(),
    }
    for section, values in names.items():
        if len({value.casefold() for value in values}) < len(values):
            problems.add(
                f"{where}.{section}", "two modules have the same name", allowed="a name for each module"
            )
    colours = [colour for _, colour in policy.calendar.colours.values()]
    if len(set(colours)) < len(colours):
        problems.add(
            f"{where}.calendar.colours", "two modules have the same colour", allowed="a colour for each module"
        )
    for name in ("workdays", "weekends"):
        hours: Hours | None = getattr(policy.scheduling, name)
        if hours is not None and hours.start >= hours.end and hours.end != Hours().end:
            problems.add(
                f"{where}.scheduling.{name}",
                f"starts at {hours.start:%H:%M}, which is not before its end at {hours.end:%H:%M}",
                allowed="a start before the end; an end of 00:00 is midnight at the end of the day",
            )


def _check_conflicts(
    where: str, module: Module, chosen: Mapping[str, ConflictRule], problems: Collector
) -> None:
    table = FIELDS[module]
    several = ", ".join(name for name, field in table.items() if field.kind in SEVERAL)
    others = ", ".join(rule for rule in ConflictRule if rule is not ConflictRule.UNION)
    for name, rule in chosen.items():
        if name not in table:
            problems.unknown(join(where, name), name, table, f"field of the module {module}")
        elif rule is ConflictRule.UNION and table[name].kind not in SEVERAL:
            problems.add(
                join(where, name),
                "holds one value, so that there is nothing to unite",
                value=rule.value,
                allowed=others + (f" (union is for: {several})" if several else ""),
            )


def policy_to_doc(policy: Policy) -> dict[str, Any]:
    """A policy as a JSON-able document with the names of the TOML file; its own name is not in it.

    A module that the policy does not name is written as switched off, which means the same.
    """
    full = {module: policy.settings(module) for module in Module}
    off = replace(_DEFAULTS.settings(Module.CASE), enabled=False)
    for module in RECORD_MODULES - policy.modules.keys():
        full[module] = off
    return write_settings(POLICY, replace(policy, modules=full))


def policy_from_doc(name: str, doc: Mapping[str, Any]) -> Policy:
    """The policy of a document made by ``policy_to_doc``; settings that are not in it have their defaults.

    Raises:
        ConfigErrors: with every problem.
    """
    problems = Collector()
    policy = read_policy(name, doc, join("policies", name), problems)
    problems.done("stored policy")
    assert policy is not None
    return policy
