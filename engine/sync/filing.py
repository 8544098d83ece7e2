"""The drop-label check: what people did to mails since the last one, recorded with the cursor; then the work it makes.

Level-triggered: a mail under a drop label is a row of the ledger, and rows are worked on until they are settled. The feed
only says where to look; when its cursor has expired, the labels are listed instead and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from engine.ledger import filing as units
from engine.ledger.fence import Fence
from engine.ledger.filing import Seen, Target
from engine.ledger.mailboxes import MailboxRecord
from engine.model.activity import ActivityKind
from engine.model.mail import (
    Address,
    Hidden,
    Layout,
    MailArchive,
    MailHead,
    MailPage,
    MailStore,
    Placement,
    Sensitivity,
    archive_of,
    store_of,
)
from engine.model.modules import Module, Step
from engine.model.policy import Policy
from engine.model.states import CycleKind, StepState
from engine.net.errors import CursorExpired
from engine.sync.context import PolicyContext, Run
from engine.sync.cycle import account_of
from engine.sync.mailparse import participants, sensitivity
from engine.sync.structure import CREATE_NEW_NAMES

#: After an expired cursor, mails of conversations and for auto-filing are looked for so far back, milliseconds.
LOOK_BACK_MS = 10 * 86_400_000


@dataclass(slots=True)
class Check:
    """One drop-label check of one mailbox.

    Attributes:
        run: for fences, stops and telling.
        store, archive: both ends.
        filed, refused, unfiled, waiting: how many mails ended so.
        made: how many records with a drop label of their own were made.
        places: what the labels stand for, once they were asked for.
        told: the monitors have heard that there is something to do.
        names: the names of the labels by id, when a call for something else brought them.
    """

    run: Run
    store: MailStore
    archive: MailArchive
    filed: int = 0
    refused: int = 0
    unfiled: int = 0
    waiting: int = 0
    made: int = 0
    places: Places | None = None
    told: bool = False
    names: dict[str, str] | None = None

    @property
    def mailbox_id(self) -> int:
        """The mailbox's id in the ledger."""
        return self.run.record.id

    def begin(self) -> None:
        """Tell the monitors that there is something to do; an idle check says nothing."""
        if not self.told:
            self.told = True
            self.run.tell(ActivityKind.CYCLE, text=f"{CycleKind.LABELS.value} started", sign="▸")
            self.run.step_state(Step.MAIL, StepState.RUNNING)

    def end(self) -> None:
        """Tell them that it is over."""
        if self.told:
            self.run.step_state(Step.MAIL, StepState.DONE)
            self.run.tell(ActivityKind.CYCLE, ended=True, text=self.said(), sign="✓")

    def said(self) -> str:
        """What was done, in a line."""
        parts = [
            f"{count} {word}"
            for word, count in (
                ("filed", self.filed),
                ("refused", self.refused),
                ("taken out of the CRM", self.unfiled),
                ("to be tried again", self.waiting),
            )
            if count
        ]
        return f"{CycleKind.LABELS.value}: {', '.join(parts) if parts else 'nothing to file'}"


@dataclass(frozen=True, slots=True)
class Places:
    """What the places of a mailbox stand for.

    Attributes:
        targets: records by the id of their drop label.
        create: modules by the id of their "Create New" label.
        ours: ids of quick connect mails.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    create: dict[str, Module] = field(default_factory=dict)
    ours: frozenset[str] = frozenset()

    @property
    def watched(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.targets, *self.create)


def hidden_of(policy: Policy) -> Hidden:
    """Whose mails the policy never files."""
    return Hidden(frozenset(policy.mail.exclude_addresses), frozenset(policy.mail.exclude_domains))


def files_mail(context: PolicyContext) -> bool:
    """Whether the policy files mails at all, and both its ends can."""
    return (
        context.policy.mail.enabled
        and store_of(context.mailbox) is not None
        and archive_of(context.crm) is not None
    )


async def check_labels(
    context: PolicyContext, record: MailboxRecord, fence: Fence, stop: asyncio.Event
) -> Check:
    """One drop-label check of one mailbox; one call of the mail system when nobody did anything.

    Raises:
        ProviderError: a call failed; what was recorded goes on with the next check.
        Stopped: at a page boundary, when asked.
        StaleLease: somebody else has taken over.
        ValueError: one of the two ends cannot file mails; ask ``files_mail`` before.
    """
    from engine.sync.filing_work import work_off
    from engine.sync.label_names import look_at_names

    store, archive = store_of(context.mailbox), archive_of(context.crm)
    if store is None or archive is None:
        raise ValueError("this mail system or this CRM files no mails")
    check = Check(Run(context, record, account_of(record), fence, CycleKind.LABELS, stop), store, archive)
    check.run.containers = dict(record.containers)
    try:
        await observe(check)
        if await context.ledger.read(units.has_work, record.id, context.clock.now_ms()):
            check.begin()
            await work_off(check)
        await look_at_names(check)
    finally:
        check.end()
    return check


async def observe(check: Check) -> None:
    """Read the feed from its cursor to its end, and record what it tells."""
    run = check.run
    cursor = await run.ledger.read(units.cursor_of, check.mailbox_id)
    if not cursor:
        await _list(check, None)
        return
    watched: tuple[str, ...] = ()
    if check.store.mail_capability.layout is Layout.FOLDERS:
        # Not more of the ledger than that: an idle check is made every few minutes for each mailbox.
        drops = await run.ledger.read(units.target_places, check.mailbox_id)
        watched = (*drops, *_create_places(check))
        policy = run.policy.mail
        if policy.follow or policy.inbox or policy.sent:
            watched += check.store.mail_inbox()
    try:
        async for page in check.store.mail_changes(run.account, cursor, watched):
            run.check_stop()
            check.names = check.names if page.names is None else page.names
            if page.placements or page.listed:
                await _record(check, page)
            elif page.cursor is not None and page.cursor != cursor:
                await run.ledger.write(units.set_cursor, run.fence, page.cursor, run.clock.now_ms())
    except CursorExpired:
        run.note(
            "the mail system no longer knows what happened since the last check: the labels are listed", "!"
        )
        await _list(check, run.clock.now_ms() - LOOK_BACK_MS)


async def _list(check: Check, since_ms: int | None) -> None:
    """What lies under the drop labels now; the cursor is taken before, so that nothing falls between.

    ``since_ms``: also mails that arrived since then, for conversations and auto-filing; None the first time.
    """
    run = check.run
    cursor = await check.store.mail_start(run.account)
    places = await _places(check)
    found = await check.store.mail_listed(run.account, places.watched)
    policy = run.policy.mail
    if since_ms is not None and (policy.follow or policy.inbox or policy.sent):
        dropped = {one.mail for one in found}
        arrived = await check.store.mail_listed(run.account, check.store.mail_inbox(), since_ms)
        found += [one for one in arrived if one.mail not in dropped]
    await _record(check, MailPage(tuple(found), cursor))


async def _places(check: Check) -> Places:
    """The drop labels of the mailbox, read once per check."""
    if check.places is None:
        run = check.run
        rows = await run.ledger.read(units.targets, check.mailbox_id)
        check.places = Places(
            {row.place: row for row in rows},
            _create_places(check),
            frozenset(row.mail for row in rows if row.mail),
        )
    return check.places


def _create_places(check: Check) -> dict[str, Module]:
    """Modules by the id of their "Create New" label."""
    run = check.run
    master = run.policy.labels.master
    named = {module: f"label:{master}/{CREATE_NEW_NAMES[module]}" for module in run.policy.labels.create_new}
    return {run.containers[name]: module for module, name in named.items() if run.containers.get(name)}


async def _record(check: Check, page: MailPage) -> None:
    """Record a page: mails dropped, labels taken off, mails of followed conversations, mails to be filed by themselves."""
    run = check.run
    places = await _places(check)
    lying = await _lying(check, page)
    left = _left(page, lying)
    seen: list[Seen] = []
    arrived: list[Placement] = []
    for one in page.placements:
        if one.gone or one.mail in places.ours:
            continue
        # A list of a folder tells also what we have seen there before.
        dropped = [row for row in _dropped(one, places) if (row.mail, row.place) not in lying]
        seen += dropped
        if one.arrived and not dropped:
            arrived.append(one)
    if arrived and check.store.mail_capability.layout is Layout.FOLDERS:
        # A mail that was put back into the inbox, by us or by a person, has not arrived.
        known = await run.ledger.read(
            units.known,
            check.mailbox_id,
            [one.mail for one in arrived],
            [one.message for one in arrived if one.message],
        )
        arrived = [one for one in arrived if not known & {one.mail, one.message}]
    if arrived and run.policy.mail.follow:
        threads = await run.ledger.read(
            units.conversations, check.mailbox_id, sorted({one.thread for one in arrived})
        )
        followed = {
            Seen(one.mail, one.thread, "", "followed", row.module, row.target, row.record, row.name)
            for one in arrived
            for row in threads.get(one.thread, ())
        }
        seen += sorted(followed, key=lambda row: (row.mail, row.target))
        taken = {row.mail for row in followed}
        arrived = [one for one in arrived if one.mail not in taken]
    seen += await _by_themselves(check, arrived)
    outcome = await run.ledger.write(
        units.record_page,
        run.fence,
        page.cursor,
        seen,
        left,
        [one.mail for one in page.placements if one.gone],
        run.policy.mail.unfile,
        run.clock.now_ms(),
    )
    for row in outcome.left:
        if row.state == "waiting":
            check.begin()
            run.note("a drop label was taken off a mail before it was filed: it is not filed")


async def _lying(check: Check, page: MailPage) -> set[tuple[str, str]]:
    """Which mails lay in the folders of a page as far as we know, with the folder; labels are told by their changes."""
    if check.store.mail_capability.layout is not Layout.FOLDERS:
        return set()
    told = {*page.listed, *(place for one in page.placements for place in one.added)}
    return set(await check.run.ledger.read(units.lying, check.mailbox_id, sorted(told))) if told else set()


def _left(page: MailPage, lying: Collection[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Places that mails have left, by mail: as the page says, or by their absence from places that it lists as a whole."""
    left = {one.mail: one.left for one in page.placements if one.left}
    here = {(one.mail, place) for one in page.placements for place in one.places}
    for mail, place in lying:
        if place in page.listed and (mail, place) not in here:
            left[mail] = (*left.get(mail, ()), place)
    return left


def _dropped(one: Placement, places: Places) -> list[Seen]:
    """What a mail was dropped on."""
    found = []
    for place in one.added:
        if place in places.targets:
            target = places.targets[place]
            found.append(
                Seen(
                    one.mail,
                    one.thread,
                    place,
                    "dropped",
                    target.module,
                    target.record,
                    target.record,
                    target.name,
                )
            )
        elif place in places.create:
            module = places.create[place]
            found.append(Seen(one.mail, one.thread, place, "created", module.value, "new"))
    return found


async def _by_themselves(check: Check, arrived: Sequence[Placement]) -> list[Seen]:
    """Mails from or to people of the CRM, where the policy files them by themselves. No body is read for it."""
    policy = check.run.policy.mail
    inbox, sent = check.store.mail_inbox()
    wanted = {place for place, on in ((inbox, policy.inbox), (sent, policy.sent)) if on}
    candidates = [one.mail for one in arrived if wanted & set(one.places)]
    if not candidates:
        return []
    hidden = hidden_of(check.run.policy)
    heads: list[MailHead] = []
    step = check.store.mail_capability.heads
    for start in range(0, len(candidates), step):
        heads += await check.store.mail_heads(check.run.account, candidates[start : start + step])
    others: dict[str, tuple[MailHead, list[Address]]] = {}
    for head in heads:
        if head.gone or head.draft or check.store.mail_is_ours(head):
            continue
        if not policy.private and sensitivity(head.headers) is not Sensitivity.NORMAL:
            continue
        those = participants(head.headers)
        if hidden.hit(those):
            continue
        own = check.run.account.email.casefold()
        # Of a mail that arrived, its sender alone counts: whom else it was sent to says nothing of us.
        outgoing = head.sent or bool(those and those[0].address.casefold() == own)
        chosen = those[1:] if outgoing else those[:1]
        others[head.mail] = (head, [one for one in chosen if one.address.casefold() != own])
    addresses = sorted({one.address for _, those in others.values() for one in those})
    people = await check.archive.mail_people(addresses) if addresses else {}
    seen = []
    for head, recipients in others.values():
        known = [people[one.address.casefold()] for one in recipients if one.address.casefold() in people]
        outside = [person for person in known if person.kind != "user"]
        if outside:
            first = outside[0]
            seen.append(
                Seen(
                    head.mail,
                    head.thread,
                    "",
                    "sent" if head.sent else "inbox",
                    first.kind,
                    "people",
                    first.id,
                    first.name,
                )
            )
    return seen
