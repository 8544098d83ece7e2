"""What an admin does about incidents and their mails: acknowledge, drop, try again."""

from __future__ import annotations

from engine.ledger import mails
from engine.model.incident import IncidentKind
from engine.monitor.commands import AcknowledgeIncidents, Answer, DropMails, Incidental, RetryMails
from engine.runtime import words
from engine.runtime.mailman import SERVER, Mailman
from engine.runtime.office import Office


def what_happens(office: Office, command: Incidental) -> tuple[str, ...]:
    """What a command is about to do, for the confirmation."""
    if not isinstance(command, DropMails):
        return ()
    which = (
        "All failure mails that wait"
        if command.address == SERVER
        else f"The mails to {command.address} that wait"
    )
    return (
        f"{which} are given up: nobody gets them.",
        "What they tell stays in the list of incidents.",
        "Mails of incidents to come go out as before, to the addresses that the configuration names.",
    )


async def do(office: Office, mailman: Mailman, command: Incidental, by: str) -> Answer:
    """Carry out a command."""
    match command:
        case AcknowledgeIncidents(ids):
            number = await office.incidents.acknowledge(ids, by)
            if number:
                return Answer(True, f"{words.count(number, 'incident', 'incidents')} acknowledged by {by}")
            return Answer(False, "somebody has acknowledged it already, or it is over")
        case DropMails(address):
            number = await mailman.drop(address)
            return Answer(True, f"{words.count(number, 'mail', 'mails')} dropped")
        case RetryMails():
            if office.setup.smtp is None:
                return Answer(False, "there is no mail server: add the section [smtp] to the configuration")
            waiting = len(await office.ledger.read(mails.unsent))
            await office.ledger.write(mails.retry)
            mailman.again()
            await mailman.tick()
            left = await office.ledger.read(mails.unsent)
            if left:
                why = next((one.error for one in left if one.error), "") or _why(office)
                return Answer(False, f"{words.count(len(left), 'mail waits', 'mails wait')} still: {why}")
            return Answer(True, f"{words.count(waiting, 'mail', 'mails')} sent" if waiting else "no mail waits")


def _why(office: Office) -> str:
    row = office.incidents.live(SERVER, IncidentKind.MAIL)
    return row.text if row is not None else "it is not due yet"
