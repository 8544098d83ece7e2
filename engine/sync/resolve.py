"""From what a provider shows to what the ledger records: whose item it is, of which module, and under which keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.ledger.observe import Seen
from engine.model.canonical import FIELDS, Fields, compact, match_keys
from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, Module, Side
from engine.model.policy import Policy, Visibility
from engine.model.port import CalendarMode, Observation
from engine.sync.audience import Audience, Place
from engine.sync.markers import is_for, reference, referenced


def without_private_body(module: Module, fields: Fields) -> dict[str, Any]:
    """Fields as they may be stored: the text of a private item never reaches the ledger (invariant I15)."""
    values = compact(fields)
    if values.get("private"):
        return {name: value for name, value in values.items() if not FIELDS[module][name].body}
    return values


def crm_seen(policy: Policy, observation: Observation, audience: Audience) -> list[Seen] | None:
    """A CRM item, fanned out to the mailboxes that receive it; ``None`` when its module is off.

    Args:
        policy: whose feed it is.
        observation: the item.
        audience: the mailboxes that it may be for.
    """
    module = observation.module
    if not policy.on(module):
        return None
    if policy.settings(module).visibility is Visibility.ALL:
        targets: Sequence[Place] = audience.everybody
    else:
        targets = audience.of(observation.owner or "", team=policy.labels.of_team(module))
    fields = without_private_body(module, observation.fields)
    return [_seen(Side.CRM, mailbox_id, email, module, observation, fields) for mailbox_id, email in targets]


def mailbox_seen(
    policy: Policy, mailbox_id: int, email: str, observation: Observation, containers: Mapping[str, str]
) -> Seen | None:
    """A mailbox item; ``None`` when its module is off. What lies outside the policy's groups and colours is ``own``."""
    marker = observation.marker
    if marker is not None and not is_for(marker, email):
        observation = replace(observation, marker=None)
        marker = None
    module, inside = _module_of(policy, observation, containers)
    if not policy.on(module):
        return None
    # A changed or cancelled occurrence carries no mark of its own: it belongs to whom its series belongs.
    own = not inside and marker is None and observation.parent is None
    fields = without_private_body(module, observation.fields)
    return _seen(Side.MAILBOX, mailbox_id, email, module, observation, fields, own=own)


def _module_of(policy: Policy, observation: Observation, containers: Mapping[str, str]) -> tuple[Module, bool]:
    """The module of a mailbox item and whether it is marked as ours."""
    module = observation.module
    if module in CONTACT_MODULES:
        for candidate in (Module.LEAD, Module.CONTACT):
            if containers.get(f"group:{candidate}") in observation.containers:
                return candidate, True
        return module, not policy.address_books.require_group
    if module in EVENT_MODULES and policy.calendar.mode is CalendarMode.COLOUR:
        for candidate in sorted(EVENT_MODULES):
            if containers.get(f"colour:{candidate}") in observation.containers:
                return candidate, True
        return module, not policy.calendar.require_colour
    return module, True


def _seen(
    side: Side,
    mailbox_id: int,
    email: str,
    module: Module,
    observation: Observation,
    fields: dict[str, Any],
    *,
    own: bool = False,
) -> Seen:
    keys = [reference(side, email, observation.remote_id)]
    if observation.marker and (target := referenced(observation.marker)) is not None:
        keys.append(target)
    if observation.parent is None:
        keys.extend(match_keys(module, fields))
    return Seen(
        mailbox_id=mailbox_id,
        remote_id=observation.remote_id,
        module=module,
        fields=fields,
        etag=observation.etag,
        marker=observation.marker,
        native=dict(observation.native) if observation.native is not None else None,
        containers=observation.containers,
        parent=observation.parent,
        occurrence=observation.occurrence,
        modified=observation.modified,
        own=own,
        keys=tuple(dict.fromkeys(keys)),
    )
