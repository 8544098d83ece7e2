"""What stands wrong although no cycle fails: items in quarantine, and roll-outs that stopped by themselves.

Each is one incident, of a mailbox or of a policy. They are worked out from what the ledger has, at the start and whenever a
policy's numbers are brought up to date, so that no crash between the trouble and its incident loses one.
"""

from __future__ import annotations

from engine.jobs import rollout
from engine.ledger import mailboxes, waiting
from engine.model.incident import IncidentKind, Strike
from engine.model.states import FaultClass
from engine.runtime import words
from engine.runtime.office import Office

QUARANTINE_ADVICE = (
    "h in Policies or on the mailbox lists them with their reasons: mend the item, then retry it, or dismiss it. "
    "Each is tried again by itself when it changes on either side."
)
ROLLOUT_ADVICE = "O in Policies shows its waves: mend the cause, then admit the next wave, or all. Nobody else is admitted meanwhile."


async def look(office: Office, policy: str, *, dismissed: bool = False) -> None:
    """Open, bring up to date and end the incidents of a policy's lingering troubles. It reads nothing where there are none.

    Args:
        office: the engine's.
        policy: its name.
        dismissed: what is in quarantine no more was given up by an admin, and is not well for that.

    Raises:
        LedgerFault: the ledger cannot be used.
    """
    await _quarantine(office, policy, dismissed=dismissed)
    await _rollout(office, policy)


async def _quarantine(office: Office, policy: str, *, dismissed: bool) -> None:
    kind, incidents, now = IncidentKind.QUARANTINE, office.incidents, office.clock.now_ms()
    users = [row for row in office.store.users.values() if row.policy == policy]
    asked = [row.id for row in users if row.held or incidents.live(row.id, kind) is not None]
    if not asked:
        return
    ids = {office.mailbox_ids[email]: email for email in asked}
    found = {ids[key]: one for key, one in (await office.ledger.read(waiting.aside, list(ids))).items()}
    strikes = []
    for email, (count, reason) in found.items():
        text = f"{words.count(count, 'item was', 'items were')} refused too often and set aside: {reason}"
        row = incidents.live(email, kind)
        if row is None or row.text != text:
            strikes.append(
                Strike(
                    kind, policy, email, FaultClass.ITEM, text, QUARANTINE_ADVICE, "writing items", now, True
                )
            )
    if strikes:
        await incidents.strike(*strikes)
    over = [email for email in asked if email not in found]
    await (incidents.dismiss if dismissed else incidents.heal)(kind, *over)


async def _rollout(office: Office, policy: str) -> None:
    kind, row = IncidentKind.ROLLOUT, office.store.policies[policy]
    live = office.incidents.live(policy, kind)
    if live is None and row.rollout_stage != rollout.Stage.STOPPED:
        return
    stored = {record.name: record for record in await office.ledger.read(mailboxes.policies)}
    progress = rollout.read(stored[policy].rollout)
    if progress is None or progress.stage is not rollout.Stage.STOPPED:
        await office.incidents.heal(kind, policy)
    elif live is None and rollout.gave_up(progress):
        text, now = rollout.said(progress), office.clock.now_ms()
        phase = f"wave {progress.wave} of {progress.waves}"
        await office.incidents.strike(
            Strike(kind, policy, policy, FaultClass.CYCLE, text, ROLLOUT_ADVICE, phase, now, True)
        )
