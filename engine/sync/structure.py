"""From a policy to the containers it needs in a mailbox."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace

from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Module
from engine.model.policy import Policy
from engine.model.port import CalendarMode, Containers, Scope, Structure

CREATE_NEW_NAMES = {
    Module.CASE: "Create New Case",
    Module.OPPORTUNITY: "Create New Opportunity",
    Module.LEAD: "Create New Lead",
    Module.CONTACT: "Create New Contact",
}


def label_paths(policy: Policy) -> tuple[str, ...]:
    """The label tree, parents first: master, Create New entries, one branch per AssignTo module."""
    if not any(policy.on(module) for module in RECORD_MODULES):
        return ()
    master = policy.labels.master
    branches = [branch_path(policy, module) for module in policy.labels.assign_to if policy.on(module)]
    return (
        master,
        *(f"{master}/{CREATE_NEW_NAMES[module]}" for module in policy.labels.create_new),
        *branches,
    )


def branch_path(policy: Policy, module: Module) -> str:
    """Full path of the label below which the records of a module are found."""
    return f"{policy.labels.master}/{policy.labels.assign_to[module]}"


def containers_structure(policy: Policy) -> Structure:
    """Everything but the label tree, which is a step of its own."""
    events = [module for module in EVENT_MODULES if policy.on(module)]
    colours = policy.calendar.mode is CalendarMode.COLOUR
    return Structure(
        groups={module: policy.address_books.groups[module] for module in CONTACT_MODULES if policy.on(module)},
        calendar_mode=policy.calendar.mode if events else None,
        calendar_name=policy.calendar.name if not colours else "",
        colours={module: policy.calendar.colours[module] for module in events} if colours else {},
        tasks=policy.on(Module.TASK),
    )


def made_ids(structure: Structure, found: Containers) -> dict[str, str]:
    """Ids by logical name of the containers that ``ensure`` has made just now, and not found."""
    said = {f"colour:{module}": f"event label {name}" for module, (name, _) in structure.colours.items()}
    said["calendar"] = f"calendar {structure.calendar_name}"
    return {
        name: value for name, value in found.ids.items() if {name, said.get(name, name)} & set(found.created)
    }


def part(structure: Structure, modules: Collection[Module]) -> Structure:
    """What of a structure some modules need; of the label tree all or nothing."""
    events = EVENT_MODULES & set(modules)
    return replace(
        structure,
        groups={module: name for module, name in structure.groups.items() if module in modules},
        calendar_mode=structure.calendar_mode if events else None,
        colours=structure.colours if events else {},
        tasks=structure.tasks and Module.TASK in modules,
        labels=structure.labels if RECORD_MODULES & set(modules) else (),
    )


def label_structure(policy: Policy) -> Structure:
    """The label tree alone."""
    return Structure(labels=label_paths(policy))


def whole_structure(policy: Policy) -> Structure:
    """Containers and labels together, for verification."""
    part = containers_structure(policy)
    return Structure(
        groups=part.groups,
        calendar_mode=part.calendar_mode,
        calendar_name=part.calendar_name,
        colours=part.colours,
        tasks=part.tasks,
        labels=label_paths(policy),
    )


def identity_of(policy: Policy, scope: Scope) -> str:
    """What the ledger takes for one and the same feed: the container, and what the policy takes from it.

    A module that is switched on later (or shown to more people) must be read from the beginning, although the cursor
    of the feed has long passed its items; a changed identity drops the cursor.
    """
    taken = ",".join(
        f"{module}:{policy.settings(module).visibility}"
        for module in sorted(scope.modules)
        if policy.on(module)
    )
    if scope.account is None:
        told = f" activities:{scope.activities}" if scope.activities else ""
        teams = ",".join(module for module in sorted(scope.modules) if policy.labels.of_team(module))
        return f"{scope.remote_id} {taken}{told}{f' team:{teams}' if teams else ''}"
    return f"{scope.remote_id} {taken} {int(policy.address_books.require_group)}{int(policy.calendar.require_colour)}"


def with_activities(policy: Policy, scope: Scope) -> Scope:
    """A CRM feed as the policy wants it: records with their next activities, for the quick connect mails."""
    if set(scope.modules) <= RECORD_MODULES:
        return replace(scope, activities=policy.labels.activities)
    return scope


#: Grows when a version makes something that earlier ones did not: each mailbox is then looked at once more, and what it lacks is
#: added. 2: categories in the list of an Exchange mailbox.
MADE_SINCE = 2


def fingerprint(structure: Structure) -> str:
    """Changes when a policy asks for other containers, so that an unchanged mailbox needs no call."""
    document = json.dumps(
        [
            MADE_SINCE,
            sorted(structure.groups.items()),
            structure.calendar_mode,
            structure.calendar_name,
            sorted((module, list(pair)) for module, pair in structure.colours.items()),
            structure.tasks,
            structure.labels,
        ]
    )
    return hashlib.sha256(document.encode()).hexdigest()[:16]
