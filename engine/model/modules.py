"""The names of what is synchronised: sides, modules, their fixed order, directions and outcomes."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """One of the two ends of a link."""

    CRM = "crm"
    MAILBOX = "mailbox"

    @property
    def other(self) -> Side:
        """The opposite end."""
        return Side.MAILBOX if self is Side.CRM else Side.CRM


class Module(StrEnum):
    """A kind of item that a policy can switch on or off."""

    CONTACT = "contact"
    LEAD = "lead"
    APPOINTMENT = "appointment"
    CALL = "call"
    SERVICE_CALL = "service_call"
    TASK = "task"
    OPPORTUNITY = "opportunity"
    CASE = "case"


class Step(StrEnum):
    """One of the five steps of a cycle, in the product's fixed order (Riva's: domain.md 5.1.6), or the drop-label check."""

    CONTACTS = "contacts+leads"
    CALENDAR = "calendar"
    TASKS = "tasks"
    LABELS = "label structure"
    RECORDS = "opportunities+cases"
    MAIL = "filed mail"  # of the drop-label check alone


STEPS: tuple[Step, ...] = tuple(step for step in Step if step is not Step.MAIL)

STEP_MODULES: dict[Step, tuple[Module, ...]] = {
    Step.CONTACTS: (Module.CONTACT, Module.LEAD),
    Step.CALENDAR: (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL),
    Step.TASKS: (Module.TASK,),
    Step.LABELS: (),
    Step.RECORDS: (Module.OPPORTUNITY, Module.CASE),
    Step.MAIL: (),
}

STEP_OF: dict[Module, Step] = {module: step for step, modules in STEP_MODULES.items() for module in modules}

#: Modules whose items carry the same fields, so that an item may be matched across them.
CONTACT_MODULES = frozenset({Module.CONTACT, Module.LEAD})
EVENT_MODULES = frozenset({Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL})
RECORD_MODULES = frozenset({Module.OPPORTUNITY, Module.CASE})


class Direction(StrEnum):
    """Which way a module flows."""

    BOTH = "both"
    TO_MAILBOX = "crm-to-mailbox"
    TO_CRM = "mailbox-to-crm"

    def writes(self, side: Side) -> bool:
        """Whether items may be written to ``side``."""
        return self is Direction.BOTH or self is (
            Direction.TO_MAILBOX if side is Side.MAILBOX else Direction.TO_CRM
        )


class ItemOutcome(StrEnum):
    """What a cycle did with one item; the counters on every screen use these words."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    MERGED = "merged"
    UNCHANGED = "unchanged"
    FILTERED = "filtered"
    CONFLICT = "conflict"
    HELD = "held"
    FAILED = "failed"
