"""Filing what the drop-label check has recorded: headers, then the mail if it may be read, then the CRM, then the label.

Each step is written ahead. A mail is known in the CRM by a key made of its Message-ID and the record, so that the same mail
of two mailboxes, or of one engine that died and another, stands there once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.ledger import filing as units
from engine.ledger import mailboxes
from engine.ledger.filing import FilingRow
from engine.ledger.leave import MADE
from engine.model.activity import ActivityKind
from engine.model.mail import (
    Filed,
    Filing,
    Layout,
    MailHead,
    Move,
    NewRecord,
    ParsedMail,
    Person,
    Sensitivity,
    heads_and_places,
)
from engine.model.modules import Module
from engine.model.policy import AfterFiling
from engine.model.port import Outcome, Result, Structure
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.context import Waits
from engine.sync.faults import backoff_ms
from engine.sync.filing import Check, hidden_of
from engine.sync.mail_records import fields_of, missing
from engine.sync.mailparse import Limits, Unreadable, participants, read_mail, sensitivity, subject_of

#: Rows worked on at a time.
BATCH = 50

#: Attempts after which a mail is shown as refused; a person may have it tried again.
MOST_ATTEMPTS = 10

#: What is shown of a mail that is not to be read.
PRIVATE = "(private mail)"

MB = 1_000_000


@dataclass(slots=True)
class _Draft:
    """One row on its way."""

    row: FilingRow
    head: MailHead
    own: str
    mail: ParsedMail | None = None
    record: str = ""
    person: Person | None = None

    @property
    def incoming(self) -> bool:
        """Whether the mailbox's owner received it."""
        sender = self.mail.sender.address.casefold() if self.mail else ""
        return not self.head.sent and sender != self.own


@dataclass(slots=True)
class _Changes:
    """Columns to be set, by row, and what is said about them."""

    rows: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)

    def add(self, row: FilingRow, **values: Any) -> None:
        """Set columns of a row."""
        self.rows.append((row.id, values))


def key_of(message: str, target: str) -> str:
    """The key of a mail with a record: the same whoever files it; no secret is in it and nothing of the mail."""
    digest = hashlib.sha256(f"{message}\n{target}".encode("utf-8", "replace")).hexdigest()
    return f"mail.{digest[:40]}"


def record_key(message: str, module: str) -> str:
    """The key of the record that is made of a mail."""
    digest = hashlib.sha256(f"new {module}\n{message}".encode("utf-8", "replace")).hexdigest()
    return f"made.{digest[:40]}"


async def work_off(check: Check) -> None:
    """File, unfile and move what is due.

    Raises:
        ProviderError: a provider cannot be used now; rows stay due.
        Waits: a provider asked to come back later.
        Stopped: when asked.
    """
    run = check.run
    await _unfile(check)
    done: set[int] = set()
    while True:
        run.check_stop()
        rows = await run.ledger.read(
            units.due, check.mailbox_id, run.clock.now_ms(), ("waiting", "sent"), BATCH + len(done)
        )
        rows = [row for row in rows if row.id not in done][:BATCH]
        if not rows:
            break
        done |= {row.id for row in rows}
        run.total = max(run.total or 0, len(done))
        await _file(check, rows)
        run.done = len(done)
        run.progress()
        await release(check)
    await release(check)


# -- out of the mailbox, into the CRM --------------------------------------------------------------------------


async def _file(check: Check, rows: Sequence[FilingRow]) -> None:
    run = check.run
    found: dict[str, MailHead] = {}
    mails = list(dict.fromkeys(row.mail for row in rows))
    step = check.store.mail_capability.heads
    for start in range(0, len(mails), step):
        heads, names = await heads_and_places(check.store, run.account, mails[start : start + step])
        check.names = check.names if names is None else names
        found |= {head.mail: head for head in heads}
    drafts = await _admitted(check, rows, found)
    for group in _parcels(drafts, check.store.mail_capability.source_bytes):
        run.check_stop()
        await _file_group(check, group)


async def _admitted(check: Check, rows: Sequence[FilingRow], found: Mapping[str, MailHead]) -> list[_Draft]:
    """The rows whose mails may be read; the others are settled with their reasons, by their headers alone."""
    run, policy = check.run, check.run.policy.mail
    now = run.clock.now_ms()
    hidden = hidden_of(run.policy)
    changes, ours, drafts = _Changes(), [], []
    lost = [row.key for row in rows if row.key and _absent(found.get(row.mail))]
    there = await check.archive.mail_find(lost) if lost else {}
    for row in rows:
        head = found.get(row.mail)
        if head is None or head.gone:
            if row.key in there:
                changes.add(row, state="filed", activity=there[row.key], done_at=now, reason="")
                check.filed += 1
            else:
                changes.add(row, state="gone", reason="the mail was deleted before it was filed", done_at=now)
            continue
        if check.store.mail_is_ours(head):
            ours.append(row.id)
            continue
        reason = ""
        shown, sender = subject_of(head), _sender(head)
        if head.draft:
            reason = "it is a draft; drop it once more when it is sent"
        elif row.state == "waiting" and row.place and row.place not in head.places:
            changes.add(
                row, state="left", released=2, reason="its label was taken off before it was filed", done_at=now
            )
            continue
        elif not policy.private and (kind := sensitivity(head.headers)) is not Sensitivity.NORMAL:
            reason = f"it is marked {kind.value}, and the policy leaves such mails unread"
            shown, sender = PRIVATE, ""
        elif hit := hidden.hit(participants(head.headers)):
            reason = f"the policy excludes mails from or to {hit}"
        elif head.size > policy.mail_mb * MB:
            reason = f"it has {head.size / MB:.0f} MB, and the policy files no mail above {policy.mail_mb} MB"
        if reason:
            _refuse(check, changes, row, reason, subject=shown, sender=sender)
            continue
        drafts.append(_Draft(row, head, run.account.email.casefold()))
    if ours:
        await run.ledger.write(units.forget, run.fence, ours)
    if changes.rows:
        await run.ledger.write(units.change, run.fence, changes.rows)
    return drafts


def _absent(head: MailHead | None) -> bool:
    return head is None or head.gone


def _sender(head: MailHead) -> str:
    those = participants({"from": head.headers.get("from", "")})
    return (those[0].name or those[0].address) if those else ""


def _refuse(check: Check, changes: _Changes, row: FilingRow, reason: str, **values: Any) -> None:
    """A mail is not filed, and stays visible with its reason."""
    check.refused += 1
    changes.add(row, state="refused", reason=reason, done_at=check.run.clock.now_ms(), **values)
    subject = str(values.get("subject", row.subject)) or "(no subject)"
    check.run.tell(ActivityKind.ITEMS, sign="✗", ok=False, text=f"mail not filed: {_quoted(subject)}: {reason}")


def _quoted(subject: str) -> str:
    return subject if subject == PRIVATE else f"“{subject[:80]}”"


def _parcels(drafts: Sequence[_Draft], most: int) -> Iterator[list[_Draft]]:
    """Drafts whose mails are fetched together; a large mail comes alone."""
    parcel: list[_Draft] = []
    size = 0
    by_mail: dict[str, list[_Draft]] = {}
    for draft in drafts:
        by_mail.setdefault(draft.row.mail, []).append(draft)
    for those in by_mail.values():
        if parcel and size + those[0].head.size > most:
            yield parcel
            parcel, size = [], 0
        parcel += those
        size += those[0].head.size
    if parcel:
        yield parcel


async def _file_group(check: Check, group: Sequence[_Draft]) -> None:
    """Read some mails and file them."""
    run, policy = check.run, check.run.policy.mail
    sources = await check.store.mail_sources(run.account, list(dict.fromkeys(one.row.mail for one in group)))
    limits = Limits(policy.attachments, policy.attachment_mb * MB)
    parsed: dict[str, ParsedMail | Unreadable] = {}
    for one in group:
        mail = one.row.mail
        if mail in sources and mail not in parsed:
            source = sources.pop(mail)
            if isinstance(source, str):
                parsed[mail] = Unreadable(source)
            else:
                parsed[mail] = await asyncio.to_thread(_parse, source, limits, one.head.received_ms)
    changes = _Changes()
    drafts = []
    for one in group:
        outcome = parsed.get(one.row.mail)
        if outcome is None:
            changes.add(
                one.row,
                state="gone",
                reason="the mail was deleted before it was filed",
                done_at=run.clock.now_ms(),
            )
        elif isinstance(outcome, Unreadable):
            shown = {"subject": subject_of(one.head), "sender": _sender(one.head)}
            _refuse(check, changes, one.row, str(outcome), **shown)
        else:
            one.mail = outcome
            drafts.append(one)
    people = await check.archive.mail_people(
        sorted({address.address for one in drafts if one.mail for address in one.mail.everybody})
    )
    if changes.rows:
        await run.ledger.write(units.change, run.fence, changes.rows)
    drafts = await _make_records(check, drafts, people)
    await _send(check, drafts, people)


def _parse(raw: bytes, limits: Limits, received_ms: int) -> ParsedMail | Unreadable:
    try:
        return read_mail(raw, limits, received_ms=received_ms)
    except Unreadable as error:
        return error


async def _make_records(check: Check, drafts: Sequence[_Draft], people: Mapping[str, Person]) -> list[_Draft]:
    """Make the records of "Create New" mails; what cannot be made is refused. Returns the drafts that can be filed."""
    run = check.run
    ready = [one for one in drafts if one.row.target != "new" or one.row.record]
    for one in ready:
        one.record = one.row.record
    new = [one for one in drafts if one.row.target == "new" and not one.row.record]
    changes = _Changes()
    wanted: list[tuple[_Draft, NewRecord]] = []
    for one in new:
        assert one.mail is not None
        module = Module(one.row.module)
        rules = run.policy.mail.create.get(module, {})
        fields = fields_of(rules, module, one.mail, _sent_ms(one))
        lacking = missing(check.archive.mail_required(module), fields)
        if lacking:
            reason = f"no {module.value} can be made of it: the mail gives no {', no '.join(lacking)}"
            _refuse(
                check,
                changes,
                one.row,
                reason,
                released=1,
                subject=one.mail.subject[:500],
                sender=one.mail.sender.name or one.mail.sender.address,
                message=one.mail.message_id,
            )
            continue
        key = record_key(one.mail.message_id, module.value)
        person = people.get(one.mail.sender.address.casefold())
        record = NewRecord(key, module, fields, run.account.crm_user, person, one.row.attempt)
        wanted.append((one, record))
    if changes.rows:
        await run.ledger.write(units.change, run.fence, changes.rows)
    if not wanted:
        return ready
    made = await check.archive.mail_create([record for _, record in wanted])
    changes = _Changes()
    for (one, record), answer in zip(wanted, made, strict=True):
        if answer.outcome.result is Result.DONE and answer.record:
            one.record = answer.record
            name = str(record.fields.get("name") or record.fields.get("family") or "")
            changes.add(one.row, record=answer.record, name=name)
            one.row = replace(one.row, record=answer.record, name=name)
            ready.append(one)
            run.tell(ActivityKind.ITEMS, sign="+", text=f"made the {record.module.value} {name} of a mail")
            check.made += record.module in run.policy.labels.assign_to and run.policy.on(record.module)
        else:
            _unsettled(check, changes, one, answer.outcome)
    await run.ledger.write(units.change, run.fence, changes.rows)
    return ready


def _sent_ms(one: _Draft) -> int:
    assert one.mail is not None
    return one.mail.sent_ms if one.mail.sent_ms is not None else one.head.received_ms


async def _send(check: Check, drafts: Sequence[_Draft], people: Mapping[str, Person]) -> None:
    """Write ahead, file, write down what became of it."""
    run = check.run
    first: dict[str, _Draft] = {}
    copies: list[tuple[_Draft, str]] = []
    keys: dict[int, str] = {}
    for one in drafts:
        assert one.mail is not None
        key = keys[one.row.id] = key_of(one.mail.message_id, one.record or one.row.target)
        if key in first:
            copies.append((one, key))
        else:
            first[key] = one
    known = {row.key: row for row in await run.ledger.read(units.same_key, list(first))}
    ahead, mirrored = _Changes(), _Changes()
    filings: list[Filing] = []
    senders: list[_Draft] = []
    for key, one in first.items():
        shown = _shown(one, key)
        if key in known and known[key].id != one.row.id:
            # Filed from another mailbox, or another copy in this one: it stands in the CRM once.
            _done(check, mirrored, one, known[key].activity, "", extra=shown, again=True)
            continue
        ahead.add(one.row, state="sent", attempt=one.row.attempt + 1, **shown)
        filings.append(_filing(one, key, people))
        senders.append(one)
    if mirrored.rows or ahead.rows:
        await run.ledger.write(units.change, run.fence, [*mirrored.rows, *ahead.rows])
    answers: Sequence[Filed] = []
    if filings:
        answers = await check.archive.mail_file(filings)
    after = _Changes()
    activities = {key: row.activity for key, row in known.items()}
    for one, filing, answer in zip(senders, filings, answers, strict=True):
        if answer.outcome.result is Result.DONE and answer.activity:
            activities[filing.key] = answer.activity
            assert one.mail is not None
            notes = "; ".join(part for part in (*one.mail.notes, answer.outcome.reason) if part)
            _done(check, after, one, answer.activity, notes, again=answer.before)
        else:
            _unsettled(check, after, one, answer.outcome)
    for one, key in copies:
        if key in activities:
            _done(check, after, one, activities[key], "", extra=_shown(one, key), again=True)
    if after.rows:
        await run.ledger.write(units.change, run.fence, after.rows)


def _shown(one: _Draft, key: str) -> dict[str, Any]:
    assert one.mail is not None
    return {
        "key": key,
        "message": one.mail.message_id,
        "subject": one.mail.subject[:500],
        "sender": (one.mail.sender.name or one.mail.sender.address)[:200],
        "sent_at": _sent_ms(one),
        "incoming": int(one.incoming),
        "files": len(one.mail.attachments),
        "thread": one.head.thread,
    }


def _filing(one: _Draft, key: str, people: Mapping[str, Person]) -> Filing:
    assert one.mail is not None
    mail = one.mail
    module = Module(one.row.module) if one.row.target != "people" else None
    known = dict(people)
    sender = mail.sender.address.casefold()
    if module in (Module.LEAD, Module.CONTACT) and sender and sender not in known:
        known[sender] = Person(one.record, module.value, sender)
    return Filing(
        key=key,
        mail=mail,
        record=one.record if one.row.target != "people" else "",
        module=module,
        people={
            address.address.casefold(): known[address.address.casefold()]
            for address in mail.everybody
            if address.address.casefold() in known
        },
        incoming=one.incoming,
        sent_ms=_sent_ms(one),
        thread=mail.references[-1] if mail.references else mail.message_id,
        attempt=one.row.attempt,
    )


def _done(
    check: Check,
    changes: _Changes,
    one: _Draft,
    activity: str,
    notes: str,
    *,
    extra: Mapping[str, Any] | None = None,
    again: bool = False,
) -> None:
    """A mail stands in the CRM."""
    policy = check.run.policy.mail
    check.filed += 1
    values: dict[str, Any] = {
        **(extra or {}),
        "state": "filed",
        "activity": activity,
        "reason": notes[:1000],
        "done_at": check.run.clock.now_ms(),
    }
    if one.row.left_at is not None:
        if policy.unfile:
            values["state"] = "unfiling"
    elif one.row.place and (policy.after is not AfterFiling.KEEP or one.row.target == "new"):
        values["released"] = 1
    changes.add(one.row, **values)
    assert one.mail is not None
    to = f"the {one.row.module} {one.row.name}".strip()
    said = "stands in the CRM already, filed to" if again else "filed to"
    check.run.tell(
        ActivityKind.ITEMS, sign="✓" if again else "+", text=f"mail {_quoted(one.mail.subject)} {said} {to}"
    )


def _unsettled(check: Check, changes: _Changes, one: _Draft, outcome: Outcome) -> None:
    """A mail was not filed, or nobody knows."""
    run = check.run
    attempt = one.row.attempt + 1
    reason = outcome.reason or outcome.result.value
    if outcome.result in (Result.REJECTED, Result.GONE):
        shown = {"subject": one.mail.subject[:500], "sender": one.mail.sender.address} if one.mail else {}
        _refuse(check, changes, one.row, f"the CRM refused it: {reason}", **shown)
        return
    if attempt >= MOST_ATTEMPTS:
        _refuse(check, changes, one.row, f"tried {attempt} times: {reason}", attempt=attempt)
        return
    check.waiting += 1
    until = run.clock.now_ms() + backoff_ms(attempt, outcome.retry_after)
    state = "sent" if outcome.result is Result.UNKNOWN else "waiting"
    changes.add(
        one.row, state=state, attempt=attempt, not_before=until, reason=f"will be tried again: {reason}"
    )


# -- out of the CRM --------------------------------------------------------------------------------------------


async def _unfile(check: Check) -> None:
    """Take mails out of the CRM whose label was taken off; one that another mailbox still files stays."""
    run = check.run
    rows = await run.ledger.read(units.due, check.mailbox_id, run.clock.now_ms(), ("unfiling",), 1000)
    if not rows:
        return
    places = check.names = await check.store.mail_places(run.account)
    changes = _Changes()
    now = run.clock.now_ms()
    # A label that was deleted leaves all its mails: that is tidying up, and no wish to take them out of the CRM.
    kept = [row for row in rows if row.place not in places]
    for row in kept:
        changes.add(row, state="filed", reason="its drop label was deleted; the e-mail stays in the CRM")
    if kept:
        run.note(f"{len(kept)} mails stay in the CRM: their drop label was deleted, not taken off them", "!")
    asked = [row for row in rows if row.place in places]
    thrown = await check.store.mail_deleted(run.account, {row.mail: row.message for row in asked})
    for row in asked:
        if row.mail in thrown:
            changes.add(row, state="filed", reason="the mail was deleted; its e-mail stays in the CRM")
    asked = [row for row in asked if row.mail not in thrown]
    others = {
        row.key for row in await run.ledger.read(units.same_key, list({row.key for row in asked if row.key}))
    }
    alone = [row for row in asked if row.key not in others]
    for row in asked:
        if row.key in others:
            changes.add(
                row,
                state="unfiled",
                done_at=now,
                reason="it stays in the CRM: another mailbox has filed it too",
            )
    if changes.rows:
        await run.ledger.write(units.change, run.fence, changes.rows)
    if not alone:
        return
    outcomes = await check.archive.mail_unfile([row.activity for row in alone])
    changes = _Changes()
    for row, outcome in zip(alone, outcomes, strict=True):
        if outcome.result in (Result.DONE, Result.GONE):
            check.unfiled += 1
            changes.add(row, state="unfiled", reason="its label was taken off", done_at=now)
            run.tell(
                ActivityKind.ITEMS,
                sign="-",
                text=f"mail {_quoted(row.subject)} taken out of the CRM: its label is off",
            )
        elif outcome.result is Result.REJECTED:
            check.refused += 1
            changes.add(row, state="filed", reason=f"it could not be taken out of the CRM: {outcome.reason}")
        else:
            until = now + backoff_ms(row.attempt + 1, outcome.retry_after)
            changes.add(row, attempt=row.attempt + 1, not_before=until)
    await run.ledger.write(units.change, run.fence, changes.rows)


# -- labels ----------------------------------------------------------------------------------------------------


async def release(check: Check) -> None:
    """Take drop labels off settled mails, or exchange them, as the policy says. Repeating it is harmless.

    A mail that lies in a folder goes back to the received or the sent mails: nothing is ever deleted.
    """
    run = check.run
    rows = await run.ledger.read(units.to_release, check.mailbox_id)
    if not rows:
        return
    stay = [row for row in rows if _stays(check, row)]
    if stay:
        await run.ledger.write(units.change, run.fence, [(row.id, {"released": 0}) for row in stay])
        rows = [row for row in rows if row not in stay]
    folders = check.store.mail_capability.layout is Layout.FOLDERS
    received, sent = check.store.mail_inbox()
    groups: dict[tuple[str, str, str], list[FilingRow]] = {}
    for row in rows:
        back = (received if row.incoming else sent) if folders else ""
        groups.setdefault((_label_for(check, row), row.place, back), []).append(row)
    ids = {name: await place_id(check, name) for name, _, _ in groups if name}
    moves, owners = [], []
    for (name, place, back), those in groups.items():
        mails = tuple(dict.fromkeys(row.mail for row in those))
        to = ids[name] if name else back
        moves.append(Move(mails, (to,) if to else (), (place,)))
        owners.append(those)
    answers = await check.store.mail_move(run.account, moves)
    changes = _Changes()
    wait: ProviderError | None = None
    for those, move, answer in zip(owners, moves, answers, strict=True):
        outcome = answer.outcome
        if outcome.result in (Result.REFUSED, Result.UNKNOWN):
            wait = ProviderError(
                ErrorKind.THROTTLED, "mail labels", outcome.reason, retry_after=outcome.retry_after
            )
            continue
        if outcome.result is Result.REJECTED and move.add:
            # Somebody deleted our label: it is made anew, and the next round uses that.
            for name, value in list(run.containers.items()):
                if value in move.add:
                    del run.containers[name]
            await run.ledger.write(mailboxes.set_mailbox_fenced, run.fence, containers=run.containers)
            run.note(f"a label for settled mails was missing: {outcome.reason}", "!")
            continue
        for row in those:
            changes.add(row, released=2, mail=answer.ids.get(row.mail, row.mail))
    if changes.rows:
        await run.ledger.write(units.change, run.fence, changes.rows)
    if wait is not None:
        raise Waits(str(wait), run.clock.now_ms() + backoff_ms(1, wait.retry_after))


def _stays(check: Check, row: FilingRow) -> bool:
    """Whether a mail keeps its label: one that was filed, taken off and dropped again lies where the policy keeps mails."""
    return row.state == "filed" and row.target != "new" and check.run.policy.mail.after is AfterFiling.KEEP


def _label_for(check: Check, row: FilingRow) -> str:
    """Name of the label that a settled mail gets; empty for none."""
    policy = check.run.policy
    if row.state == "refused":
        return f"{policy.labels.master}/{policy.mail.missing}"
    if policy.mail.after is AfterFiling.FILED:
        return f"{policy.labels.master}/{policy.mail.filed}"
    return ""


async def place_id(check: Check, path: str) -> str:
    """As ``label_id``; a folder that a person has thrown away is made anew, lest mails follow it into the bin."""
    run = check.run
    known = run.containers.get(f"label:{path}")
    if known and check.store.mail_capability.layout is Layout.FOLDERS:
        if check.names is None:
            check.names = await check.store.mail_places(run.account)
        if known not in check.names:
            del run.containers[f"label:{path}"]
            run.note(f"the folder {path} was deleted by hand: it is made anew", "!")
    found = await label_id(check, path)
    if check.names is not None:
        check.names.setdefault(found, path)
    return found


async def label_id(check: Check, path: str) -> str:
    """The id of a label of ours, made when it is first needed."""
    run = check.run
    name = f"label:{path}"
    if name not in run.containers:
        above: tuple[str, ...] = ()
        if check.store.mail_capability.layout is Layout.FOLDERS:
            # A folder stands in another one, which is known by its id whatever it is called now.
            parts = path.split("/")
            above = tuple("/".join(parts[:end]) for end in range(1, len(parts)))
        known = {label: run.containers[label] for one in above if (label := f"label:{one}") in run.containers}
        found = await run.base.mailbox.ensure(run.account, Structure(labels=(*above, path)), known)
        run.containers[name] = found.ids[name]
        if name in found.created:
            run.containers[f"{MADE}{name}"] = found.ids[name]
        await run.ledger.write(mailboxes.set_mailbox_fenced, run.fence, containers=run.containers)
    return run.containers[name]
