"""Roll-outs for people: what one is about to do, how far it is, and what becomes of an admin's command."""

from __future__ import annotations

from collections.abc import Sequence

from engine.jobs import rollout
from engine.jobs.rollout import Stage
from engine.ledger import mailboxes
from engine.ledger.mailboxes import MailboxRecord
from engine.model.policy import Rollout
from engine.model.states import Move
from engine.monitor.commands import Answer, RollOut
from engine.monitor.report import RolloutReport, WaveRow
from engine.monitor.store import Table
from engine.runtime import lingering, rows, words
from engine.runtime.office import Office

#: Mailboxes of a wave that are named.
NAMED = 5


def what_enable(setting: Rollout, users: Sequence[str]) -> tuple[str, ...]:
    """What a roll-out makes of the first sync of so many users."""
    placed = rollout.waves(setting, range(len(users)))
    count = max(placed.values(), default=0)
    if not setting.waves or count < 2:
        return ()
    sizes = [sum(wave == number for wave in placed.values()) for number in range(1, count + 1)]
    first = [users[index] for index, wave in placed.items() if wave == 1]
    named = ", ".join(first[:NAMED]) + (" ..." if len(first) > NAMED else "")
    return (
        f"Roll-out in {count} waves: {', then '.join(f'{size:,}' for size in sizes)}. First {named}.",
        (
            "Each wave is read back and judged; "
            + ("you say when the next one begins." if setting.ask else "the next one begins by itself.")
            + f" It stops above {setting.error_percent:g} % errors or {setting.delete_percent:g} % deletes."
        ),
    )


def what_happens(office: Office, command: RollOut) -> tuple[str, ...]:
    """What a command is about to do, from the store alone."""
    row = office.store.policies[command.policy]
    now = f"The roll-out of {row.id}: {row.rollout or 'none is under way'}."
    match command.move:
        case Move.NEXT:
            return (now, "The mailboxes of the next wave begin their cycles now.")
        case Move.ALL:
            return (now, "All mailboxes that still wait begin their cycles now; no further wave is judged.")
        case _:
            return (now, "No further mailbox is admitted; those that run already go on.")


async def move(office: Office, command: RollOut, by: str) -> Answer:
    """Store an admin's command.

    Raises:
        KeyError: there is no such policy.
    """
    row = office.store.policies[command.policy]
    progress, refusal = await office.runner.waves.move(row.id, command.move, by)
    if refusal:
        return Answer(False, f"{row.id}: {refusal}")
    stored = {record.name: record for record in await office.ledger.read(mailboxes.policies)}[row.id]
    rows.show_rollout(office, row, stored, await office.ledger.read(mailboxes.mailboxes, row.id))
    office.fold.recount()
    office.store.touch(Table.POLICIES, row)
    await lingering.look(office, row.id)
    text = rollout.said(progress) or "all mailboxes are admitted"
    return Answer(True, f"{row.id}: {text}")


async def report(office: Office, policy: str) -> RolloutReport:
    """How far a roll-out is, wave by wave.

    Raises:
        KeyError: there is no such policy.
    """
    setting = office.policies[policy].rollout
    stored = {record.name: record for record in await office.ledger.read(mailboxes.policies)}[policy]
    records = await office.ledger.read(mailboxes.mailboxes, policy)
    progress = rollout.read(stored.rollout)
    if progress is None or progress.stage is Stage.DONE:
        text = "no roll-out is under way" if setting.waves else "this policy rolls out to all at once"
        placed = rollout.waves(setting, range(len(records))) if setting.waves else {}
        if all(record.phase == "new" for record in records) and len(set(placed.values())) > 1:
            text = "it begins with the first sync"
            return _report(policy, "", text, placed, records, 0)
        return RolloutReport(policy, "", text)
    waves = {index: record.wave for index, record in enumerate(records) if record.wave is not None}
    return _report(policy, progress.stage.value, rollout.said(progress), waves, records, progress.wave)


def _report(
    policy: str, stage: str, text: str, placed: dict[int, int], records: list[MailboxRecord], present: int
) -> RolloutReport:
    found = []
    for number in sorted(set(placed.values())):
        names = tuple(records[index].email for index, wave in placed.items() if wave == number)
        found.append(WaveRow(number, "admitted" if number <= present else "waits", names))
    return RolloutReport(policy, stage, text, tuple(found))


def refusal(office: Office, mailbox: str) -> str:
    """Why a mailbox may not be synchronised yet; empty when it may."""
    row = office.store.users[mailbox]
    if not row.why.startswith(rollout.WAITS):
        return ""
    return f"{mailbox} {row.why}; {words.next_wave(row.policy)}"
