"""CRM records written into Gmail: a label below the branch of its module, and one quick connect mail in it.

Fifty records cost two calls: a batch of labels, a batch of mails. Only what is in the way costs more. A repeat after a
lost reply finds the label by its unique name and the mail by its Message-ID, so nothing is made twice.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from engine.mailbox.google import quickconnect
from engine.mailbox.google.applying import Item, Run, chunks, guarded
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.gmail_labels import list_labels, new_label
from engine.mailbox.google.gmail_mails import Mail, find_mails, mails_in, read_mails
from engine.mailbox.google.gmail_names import candidates, fold, renames
from engine.mailbox.google.scopes import account_of
from engine.mailbox.google.settings import Api
from engine.model.canonical import compact
from engine.model.port import Observation, Outcome, Result, Scope, Write, WriteKind
from engine.net.errors import ProviderError

#: Records of one round of batches.
BATCH = 50


@dataclass(slots=True)
class _Draft:
    """One record on its way into the mailbox.

    Attributes:
        index, write: what was asked, and its place among the outcomes.
        names: names for its label, best first; ``position`` is the one that is tried.
        label, name: the label once it stands, and its full name.
        root, generation: what the next mail's Message-ID is made of.
        old: ids of mails that the next one replaces.
        current: a mail that already says what it should; none is written then.
    """

    index: int
    write: Write
    names: tuple[str, ...] = ()
    position: int = 0
    label: str = ""
    name: str = ""
    root: str = ""
    generation: int = 0
    old: tuple[str, ...] = ()
    current: str = ""

    def adopt(self, label: str, name: str, mail: Mail | None, mails: Sequence[str]) -> None:
        """Take over a label that exists, with the newest quick connect mail in it."""
        self.label, self.name, self.old = label, name, tuple(mails)
        if mail is None:
            return
        self.root = mail.root or self.root
        if mail.fields == compact(self.write.fields) and "TRASH" not in mail.labels:
            self.current, self.generation = mail.id, mail.generation
            self.old = tuple(identity for identity in mails if identity != mail.id)
        else:
            self.generation = mail.generation + 1


async def apply(client: GoogleClient, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
    """Make the changes: creates, updates, deletes, fifty at a time.

    ``Write.containers`` of a create or a rename names the branch by its full path, ``path:CRM/Opportunities``.

    Raises:
        ProviderError: nothing could be written at all (token, permission, wrong address).
        ValueError: the scope names no mailbox.
    """
    run = Run(client, account_of(scope))
    for kind, work in (
        (WriteKind.CREATE, _create),
        (WriteKind.UPDATE, _update),
        (WriteKind.DELETE, _delete),
    ):
        items = [(index, write) for index, write in enumerate(writes) if write.kind is kind]
        for chunk in chunks(items, BATCH):
            await guarded(run, chunk, work(run, chunk))
    return [run.outcomes[index] for index in range(len(writes))]


def _path_of(write: Write) -> str:
    """Full name of the branch label; empty when neither the write nor the item tells it."""
    for container in write.containers:
        if container.startswith("path:"):
            return container.removeprefix("path:")
    return str((write.native or {}).get("name") or "").rpartition("/")[0]


def _open(run: Run, drafts: Sequence[_Draft]) -> list[_Draft]:
    return [draft for draft in drafts if draft.index not in run.outcomes]


# -- creates -----------------------------------------------------------------------------------------------


async def _create(run: Run, items: Sequence[Item]) -> None:
    drafts = []
    for index, write in items:
        path = _path_of(write)
        if not path:
            run.settle(index, Result.REJECTED, "the write names no branch label (path:...)")
            continue
        names = candidates(path, write.fields, write.key)
        drafts.append(_Draft(index, write, names, root=quickconnect.root_of(write.key)))
    await _probe(run, [draft for draft in drafts if draft.write.attempt > 0])
    await _make_labels(run, drafts)
    await _write_mails(run, _open(run, drafts))


async def _probe(run: Run, drafts: Sequence[_Draft]) -> None:
    """Find what an earlier attempt left, by the Message-ID of the first mail."""
    if not drafts:
        return
    identities = {quickconnect.message_id(draft.root, 0): draft for draft in drafts}
    found = await find_mails(run.client, run.account, list(identities))
    if not found:
        return
    mails = await read_mails(run.client, run.account, list(found.values()))
    labels = {str(row["id"]): str(row["name"]) for row in await list_labels(run.client, run.account)}
    for identity, message in found.items():
        draft, mail = identities[identity], mails.get(message)
        if mail is None:
            continue
        branch = fold(_path_of(draft.write)) + "/"
        home = next((row for row in mail.labels if fold(labels.get(row, "")).startswith(branch)), None)
        if home is not None:
            draft.adopt(home, labels[home], mail, [mail.id])
        else:
            # Its label was deleted: the mail is replaced by one in the new label.
            draft.old, draft.generation = (mail.id,), mail.generation + 1


async def _make_labels(run: Run, drafts: Sequence[_Draft]) -> None:
    """Give each draft a label: made, or adopted where it is ours or nobody's, under the first name that is free."""
    taken = {fold(draft.name) for draft in drafts if draft.label}
    while pending := [draft for draft in _open(run, drafts) if not draft.label]:
        sent = []
        for draft in pending:
            # Two records of one name in one batch: the second must not take the label of the first for its own.
            while draft.position < len(draft.names) and fold(draft.names[draft.position]) in taken:
                draft.position += 1
            if draft.position >= len(draft.names):
                run.settle(
                    draft.index, Result.REJECTED, f"every name like {draft.names[0]!r} is taken in Gmail"
                )
                continue
            taken.add(fold(draft.names[draft.position]))
            sent.append(draft)
        parts = await run.client.execute_batch(
            Api.GMAIL,
            [
                run.client.gmail.users.labels.create(userId="me", body=new_label(draft.names[draft.position]))
                for draft in sent
            ],
            run.account,
        )
        refused = []
        for draft, part in zip(sent, parts, strict=True):
            if part.ok:
                draft.label, draft.name = str(part.body["id"]), draft.names[draft.position]
            elif part.status == 409:
                refused.append(draft)
            elif part.error is not None:
                run.fail(draft.index, part.error)
        if refused:
            await _adopt(run, refused)


async def _adopt(run: Run, drafts: Sequence[_Draft]) -> None:
    """Take over labels that exist, unless the quick connect mail in one belongs to another record.

    It is the same record when the mail was made under the same key, or names the same record in the CRM: then our
    ledger was lost, and a second label for the record would be a duplicate.
    """
    present = {fold(str(row["name"])): row for row in await list_labels(run.client, run.account)}
    here = {
        draft.index: present[fold(draft.names[draft.position])]
        for draft in drafts
        if fold(draft.names[draft.position]) in present
    }
    mails = await mails_in(run.client, run.account, [str(row["id"]) for row in here.values()], trash=True)
    newest = await read_mails(run.client, run.account, [rows[0] for rows in mails.values() if rows])
    for draft in drafts:
        label = here.get(draft.index)
        if label is not None:
            rows = mails[str(label["id"])]
            mail = newest.get(rows[0]) if rows else None
            link = draft.write.fields.get("link")
            if mail is None or mail.root == draft.root or (link and mail.link == link):
                draft.adopt(str(label["id"]), str(label["name"]), mail, [*rows, *draft.old])
                continue
        draft.position += 1


# -- mails -------------------------------------------------------------------------------------------------


async def _write_mails(run: Run, drafts: Sequence[_Draft]) -> None:
    """Put the quick connect mail into each label, then throw away those that it replaces."""
    waiting = [draft for draft in drafts if not draft.current]
    parts = await run.client.execute_batch(Api.GMAIL, [_insert(run, draft) for draft in waiting], run.account)
    for draft, part in zip(waiting, parts, strict=True):
        if part.ok:
            draft.current = str(part.body["id"])
        elif part.error is not None:
            run.fail(draft.index, part.error)
            if run.outcomes[draft.index].result is Result.GONE:
                run.settle(draft.index, Result.REFUSED, "the label was deleted while its mail was written")
    done = _open(run, drafts)
    # What cannot be thrown away now is found by its sender at the next update of the record.
    old = [message for draft in done for message in draft.old if message != draft.current]
    requests = [
        run.client.gmail.users.messages.trash(userId="me", id=message) for message in dict.fromkeys(old)
    ]
    with suppress(ProviderError):
        await run.client.execute_batch(Api.GMAIL, requests, run.account)
    for draft in done:
        run.outcomes[draft.index] = Outcome(Result.DONE, _observation(draft))


def _insert(run: Run, draft: _Draft) -> Any:
    raw = quickconnect.render(
        draft.write.module,
        draft.write.fields,
        to=run.account.email,
        at_ms=run.client.net.clock.now_ms(),
        identity=quickconnect.message_id(draft.root, draft.generation),
        in_reply_to=quickconnect.message_id(draft.root, 0),
        zone=run.account.zone,
    )
    # Without UNREAD and INBOX: it is there to be found, not to be answered.
    body = {"raw": base64.urlsafe_b64encode(raw).decode(), "labelIds": [draft.label]}
    return run.client.gmail.users.messages.insert(userId="me", internalDateSource="dateHeader", body=body)


def _observation(draft: _Draft) -> Observation:
    write = draft.write
    return Observation(
        remote_id=draft.label,
        module=write.module,
        fields=compact(write.fields),
        marker=write.key if write.kind is WriteKind.CREATE else None,
        containers=write.containers,
        native={
            "name": draft.name,
            "message": draft.current,
            "root": draft.root,
            "generation": draft.generation,
        },
    )


# -- updates -----------------------------------------------------------------------------------------------


async def _update(run: Run, items: Sequence[Item]) -> None:
    """Rename the label where the record's name changed, and replace the mail.

    All quick connect mails of the label but the new one go to the trash, also those that a crash has left behind.
    """
    drafts = []
    for index, write in items:
        native = write.native or {}
        draft = _Draft(index, write, label=write.remote_id, name=str(native.get("name") or ""))
        draft.root = str(native.get("root") or quickconnect.root_of(write.key))
        draft.generation = int(native.get("generation", -1)) + 1
        draft.old = (str(native["message"]),) if native.get("message") else ()
        path = _path_of(write)
        if renames(write) and path:
            draft.names = candidates(path, write.fields, write.key)
        drafts.append(draft)
    while pending := [draft for draft in _open(run, drafts) if draft.position >= 0]:
        await _rename(run, pending)
    left = _open(run, drafts)
    mails = await mails_in(run.client, run.account, [draft.label for draft in left])
    for draft in left:
        draft.old = tuple(dict.fromkeys((*draft.old, *mails[draft.label])))
    await _write_mails(run, left)


async def _rename(run: Run, drafts: Sequence[_Draft]) -> None:
    """One round: rename to the name that is tried, or only look whether the label is there. Position -1 means settled."""
    labels = run.client.gmail.users.labels
    requests = [
        labels.patch(userId="me", id=draft.label, body={"name": draft.names[draft.position]})
        if draft.names
        else labels.get(userId="me", id=draft.label)
        for draft in drafts
    ]
    parts = await run.client.execute_batch(Api.GMAIL, requests, run.account)
    for draft, part in zip(drafts, parts, strict=True):
        if part.ok:
            draft.name, draft.position = str(part.body.get("name") or draft.name), -1
        elif part.status == 409 and draft.position + 1 < len(draft.names):
            draft.position += 1
        elif part.error is not None:
            run.fail(draft.index, part.error)


# -- deletes -----------------------------------------------------------------------------------------------


async def _delete(run: Run, items: Sequence[Item]) -> None:
    """Throw away the mail, then the label. What people filed under the label stays in their mailbox."""
    unknown = [write.remote_id for _, write in items if not (write.native or {}).get("message")]
    mails = await mails_in(run.client, run.account, unknown)
    for _, write in items:
        mails.setdefault(write.remote_id, [str((write.native or {}).get("message"))])
    # The mail first: with the label gone nobody would know where the mail is.
    trash = [(index, message) for index, write in items for message in mails[write.remote_id]]
    parts = await run.client.execute_batch(
        Api.GMAIL,
        [run.client.gmail.users.messages.trash(userId="me", id=message) for _, message in trash],
        run.account,
    )
    for (index, _), part in zip(trash, parts, strict=True):
        if part.error is not None and part.status != 404:
            run.fail(index, part.error)
    left = [(index, write) for index, write in items if index not in run.outcomes]
    parts = await run.client.execute_batch(
        Api.GMAIL,
        [run.client.gmail.users.labels.delete(userId="me", id=write.remote_id) for _, write in left],
        run.account,
    )
    for (index, _), part in zip(left, parts, strict=True):
        if part.error is None:
            run.settle(index, Result.DONE)
        else:
            run.fail(index, part.error)
