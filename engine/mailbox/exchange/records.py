"""CRM records as folders with a quick connect mail in each, below the branch of their module.

A record's item in the mailbox is its folder: ``remote_id`` is the folder's id, and our key stands on the folder. The feed
carries no observations: records flow from the CRM to the mailbox only. The mail carries the record's fields in a property
that no program shows, so that they can be read back to the letter.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.mailbox.exchange import feed, folders, mail_watch, props
from engine.mailbox.exchange.calls import Item, failed, guarded
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.folders import Folder
from engine.mailbox.exchange.kinds import account_of
from engine.mailbox.exchange.search import any_of, equals, find, page
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import element, leaf
from engine.mailbox.google import quickconnect
from engine.mailbox.google.gmail_names import candidates, renames
from engine.model.canonical import RECORD_FIELDS, compact, text
from engine.model.modules import RECORD_MODULES, Module
from engine.model.port import (
    Account,
    Capability,
    CreateKey,
    Guard,
    Observation,
    Outcome,
    Page,
    Result,
    Scope,
    Write,
    WriteKind,
)

SCOPE_KEY = "mail"

#: Records of one round of calls.
BATCH = 50

#: The record's fields, packed.
RECORD = "CrmRecord"

#: PidTagMessageFlags: 1 is "read", and without "unsent" it is no draft.
_FLAGS = props.tagged("0x0E07", "Integer")

_MAIL_SHAPE = props.shape(("item:Subject",), (props.own(RECORD),), body=False)
_OURS = any_of([equals(props.KIND, module.value) for module in (Module.OPPORTUNITY, Module.CASE)])

#: The cursor of a feed that tells nothing.
_NOWHERE = "records"


def capability(module: Module) -> Capability | None:
    """What Exchange can do for a module; ``None`` for all but opportunities and cases."""
    if module not in RECORD_MODULES:
        return None
    return Capability(
        fields=frozenset(RECORD_FIELDS),
        writable=frozenset(RECORD_FIELDS),
        # Names are unique in their folder, and our key stands on each.
        create_key=CreateKey.PROBE,
        guard=Guard.NONE,
        batch=BATCH,
        parallel=1,
        tombstones=False,
    )


async def changes(client: ExchangeClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """One page without observations, and without a call. It is no snapshot: it says nothing about what is there."""
    yield Page((), cursor=_NOWHERE)


@dataclass(slots=True)
class _Draft:
    """One record on its way into the mailbox.

    Attributes:
        index, write: what was asked, and its place among the outcomes.
        branch: id of the folder of its module.
        names: names for its folder, best first; ``position`` is the one that is tried.
        folder, name: the folder once it stands.
        old: ids of mails that the next one replaces.
        mail: the mail once it stands.
    """

    index: int
    write: Write
    branch: str = ""
    names: tuple[str, ...] = ()
    position: int = 0
    folder: str = ""
    name: str = ""
    old: tuple[str, ...] = ()
    mail: str = ""
    taken: set[str] = field(default_factory=set)


async def apply(client: ExchangeClient, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
    """Make the changes: creates, updates, deletes, fifty at a time.

    Raises:
        ProviderError: nothing could be written at all.
    """
    account = account_of(scope)
    outcomes: dict[int, Outcome] = {}
    for kind, work in (
        (WriteKind.CREATE, _create),
        (WriteKind.UPDATE, _update),
        (WriteKind.DELETE, _delete),
    ):
        items = [(index, write) for index, write in enumerate(writes) if write.kind is kind]
        for start in range(0, len(items), BATCH):
            chunk = items[start : start + BATCH]
            await guarded(outcomes, chunk, work(client, account, chunk, outcomes))
    return [outcomes[index] for index in range(len(writes))]


def _branch(write: Write) -> str:
    """Id of the folder of the record's module; empty when the write does not tell it."""
    return next((one.removeprefix("label:") for one in write.containers if one.startswith("label:")), "")


def _names(write: Write) -> tuple[str, ...]:
    """Names for a record's folder: plain, with its number, with a part of our key."""
    full = candidates("", write.fields, write.key)
    return tuple(one.removeprefix("/")[: folders.NAME_MAX] for one in full)


# -- creates -----------------------------------------------------------------------------------------------


async def _create(
    client: ExchangeClient, account: Account, items: Sequence[Item], outcomes: dict[int, Outcome]
) -> None:
    drafts = []
    for index, write in items:
        branch = _branch(write)
        if not branch:
            outcomes[index] = Outcome(Result.REJECTED, reason="the write names no branch folder")
            continue
        drafts.append(_Draft(index, write, branch, _names(write)))
    by_branch: dict[str, list[_Draft]] = {}
    for draft in drafts:
        by_branch.setdefault(draft.branch, []).append(draft)
    for branch, group in by_branch.items():
        await _make_folders(client, account, branch, group, outcomes)
    await _write_mails(client, account, [one for one in drafts if one.index not in outcomes], outcomes)


async def _make_folders(
    client: ExchangeClient,
    account: Account,
    branch: str,
    drafts: Sequence[_Draft],
    outcomes: dict[int, Outcome],
) -> None:
    """Give each draft a folder: made, or adopted where it is ours or nobody's, under the first name that is free."""
    if any(draft.write.attempt > 0 for draft in drafts):
        present = await folders.inside(client, account, branch)
        by_key = {folder.key: folder for folder in present if folder.key}
        for draft in drafts:
            if draft.write.attempt > 0 and draft.write.key in by_key:
                draft.folder, draft.name = by_key[draft.write.key].id, by_key[draft.write.key].name
    taken = {draft.name.casefold() for draft in drafts if draft.folder}
    while pending := [one for one in drafts if not one.folder and one.index not in outcomes]:
        sent = []
        for draft in pending:
            # Two records of one name in one batch: the second must not take the folder of the first for its own.
            while draft.position < len(draft.names) and draft.names[draft.position].casefold() in taken:
                draft.position += 1
            if draft.position >= len(draft.names):
                reason = f"every name like {draft.names[0]!r} is taken in the mailbox"
                outcomes[draft.index] = Outcome(Result.REJECTED, reason=reason)
                continue
            taken.add(draft.names[draft.position].casefold())
            sent.append(draft)
        if not sent:
            continue
        wanted = [(draft.names[draft.position], draft.write.key) for draft in sent]
        messages = await folders.make(client, account, branch, wanted)
        refused = []
        for draft, message in zip(sent, messages, strict=True):
            if message.ok and message.items():
                draft.folder, draft.name = props.id_of(message.items()[0])[0], draft.names[draft.position]
            elif message.code == "ErrorFolderExists":
                refused.append(draft)
            else:
                outcomes[draft.index] = failed(message, draft.write)
        if refused:
            present = await folders.inside(client, account, branch)
            for draft in refused:
                _adopt(draft, present)


def _adopt(draft: _Draft, present: Sequence[Folder]) -> None:
    """Take over a folder of the wanted name, unless it is that of another record."""
    found = folders.named(present, draft.names[draft.position])
    stem = draft.write.key.rpartition(".")[0]
    if found is not None and (not found.key or found.key.rpartition(".")[0] == stem):
        draft.folder, draft.name = found.id, found.name
    else:
        draft.position += 1


async def _write_mails(
    client: ExchangeClient, account: Account, drafts: Sequence[_Draft], outcomes: dict[int, Outcome]
) -> None:
    """Put the quick connect mail into each folder, then throw away those that it replaces.

    A mail that already says what it should is kept: a repeat writes nothing twice.
    """
    if not drafts:
        return
    mails = await mails_in(client, account, [draft.folder for draft in drafts])
    waiting = []
    for draft in drafts:
        rows = mails[draft.folder]
        wanted = compact(draft.write.fields)
        same = next((row for row in rows if row.fields == wanted), None)
        draft.old = tuple(row.id for row in rows if row is not same)
        if same is None:
            waiting.append(draft)
        else:
            draft.mail = same.id
    for draft in waiting:
        # One call a mail: a CreateItem names one folder.
        await guarded(outcomes, [(draft.index, draft.write)], _write_mail(client, account, draft, outcomes))
    done = [draft for draft in drafts if draft.index not in outcomes]
    await _throw_away(client, account, [mail for draft in done for mail in draft.old])
    for draft in done:
        outcomes[draft.index] = Outcome(Result.DONE, _observation(draft))


async def _write_mail(
    client: ExchangeClient, account: Account, draft: _Draft, outcomes: dict[int, Outcome]
) -> None:
    write = draft.write
    root = quickconnect.root_of(write.key)
    raw = quickconnect.render(
        write.module,
        write.fields,
        to=account.email,
        at_ms=client.net.clock.now_ms(),
        identity=quickconnect.message_id(root, len(draft.old)),
        zone=account.zone,
    )
    mail = element(
        "t:Message",
        leaf("t:MimeContent", base64.b64encode(raw).decode(), CharacterSet="UTF-8")
        + props.marks(write.key, write.module.value)
        + props.extended(props.own(RECORD), quickconnect.pack(write.fields))
        + props.extended(_FLAGS, "1"),
    )
    body = element(
        "m:CreateItem",
        element("m:SavedItemFolderId", element("t:FolderId", Id=draft.folder)) + element("m:Items", mail),
        MessageDisposition="SaveOnly",
    )
    # Whoever repeats it looks first whether the mail is there.
    [message] = await client.call(account, "CreateItem", body, idempotent=False)
    if message.ok and message.items():
        draft.mail = props.id_of(message.items()[0])[0]
    elif folders.is_missing(message.code):
        outcomes[draft.index] = Outcome(
            Result.REFUSED, reason="the folder was deleted while its mail was written"
        )
    else:
        outcomes[draft.index] = failed(message, write)


async def _throw_away(client: ExchangeClient, account: Account, mails: Sequence[str]) -> None:
    """Our own mails, out of the person's way; what stays is found at the next update of the record."""
    for start in range(0, len(mails), folders.MANY):
        ids = [element("t:ItemId", Id=one) for one in mails[start : start + folders.MANY]]
        body = element("m:DeleteItem", element("m:ItemIds", "".join(ids)), DeleteType="SoftDelete")
        await client.call(account, "DeleteItem", body, idempotent=True)


def _observation(draft: _Draft) -> Observation:
    return Observation(
        draft.folder,
        draft.write.module,
        fields=compact(draft.write.fields),
        marker=draft.write.key,
        native={"name": _full_name(draft), "message": draft.mail},
    )


def _full_name(draft: _Draft) -> str:
    """The folder's full name as we gave it, by which a person's renaming or moving of it is recognised."""
    path = next((one.removeprefix("path:") for one in draft.write.containers if one.startswith("path:")), "")
    before = str((draft.write.native or {}).get("name") or "")
    if "/" in before and not draft.names:
        return before
    above = before.rpartition("/")[0] or path
    # The name as Exchange has it may hold a slash where a person has renamed the folder.
    own = draft.name.replace("/", "-")
    return f"{above}/{own}" if above else own


# -- updates and deletes -----------------------------------------------------------------------------------


async def _present(
    client: ExchangeClient, account: Account, ids: Sequence[str], branches: Iterable[str] = ()
) -> list[Folder | None]:
    """Record folders in order, in one call per hundred; ``None`` for one that is not there or was thrown away.

    A folder that a person has deleted stands in Deleted Items and would go on to take mails there, until these are emptied.
    """
    above = [one for one in dict.fromkeys(branches) if one]
    *found, bin_ = await folders.get(client, account, [*ids, *above, mail_watch.BIN])
    if bin_ is None:
        return found[: len(ids)]
    away = {bin_.id} | {one.id for one in found[len(ids) :] if one is not None and one.parent == bin_.id}
    return [None if one is None or one.parent in away else one for one in found[: len(ids)]]


async def _update(
    client: ExchangeClient, account: Account, items: Sequence[Item], outcomes: dict[int, Outcome]
) -> None:
    """Rename the folder where the record's name changed, and replace the mail."""
    branches = [_branch(write) for _, write in items]
    present = await _present(client, account, [write.remote_id for _, write in items], branches)
    drafts = []
    for (index, write), folder in zip(items, present, strict=True):
        if folder is None:
            outcomes[index] = Outcome(Result.GONE, reason="the folder is no longer there")
            continue
        draft = _Draft(index, write, folder.parent, folder=folder.id, name=folder.name)
        if renames(write):
            draft.names = _names(write)
        drafts.append(draft)
    while pending := [
        one for one in drafts if one.names and one.name != one.names[one.position] and one.index not in outcomes
    ]:
        messages = await folders.rename(
            client, account, {one.folder: one.names[one.position] for one in pending}
        )
        for draft in pending:
            _renamed(draft, messages[draft.folder], outcomes)
    await _write_mails(client, account, [one for one in drafts if one.index not in outcomes], outcomes)


def _renamed(draft: _Draft, message: Message, outcomes: dict[int, Outcome]) -> None:
    if message.ok:
        draft.name = draft.names[draft.position]
    elif message.code == "ErrorFolderExists" and draft.position + 1 < len(draft.names):
        draft.position += 1
    else:
        outcomes[draft.index] = failed(message, draft.write)


async def _delete(
    client: ExchangeClient, account: Account, items: Sequence[Item], outcomes: dict[int, Outcome]
) -> None:
    """Throw away the mail, then the folder; one in which the person filed something stays, with what is in it."""
    present = await _present(client, account, [write.remote_id for _, write in items])
    there = []
    for (index, _), folder in zip(items, present, strict=True):
        if folder is None:
            outcomes[index] = Outcome(Result.GONE, reason="the folder is no longer there")
        else:
            there.append((index, folder))
    mails = await mails_in(client, account, [folder.id for _, folder in there])
    await _throw_away(client, account, [row.id for rows in mails.values() for row in rows])
    empty = [
        (index, folder)
        for index, folder in there
        if folder.items <= len(mails[folder.id]) and not folder.children
    ]
    messages = await folders.delete(client, account, [folder.id for _, folder in empty])
    for (index, _), message in zip(empty, messages, strict=True):
        good = message.ok or folders.is_missing(message.code)
        outcomes[index] = Outcome(Result.DONE) if good else failed(message, dict(items)[index])
    for index, _ in there:
        outcomes.setdefault(index, Outcome(Result.DONE))


# -- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mail:
    """A quick connect mail: its id, the record's module and fields."""

    id: str
    module: Module | None
    fields: dict[str, Any]


async def mails_in(client: ExchangeClient, account: Account, ids: Sequence[str]) -> dict[str, list[Mail]]:
    """The quick connect mails in each of some folders; a folder that is gone has none.

    Raises:
        ProviderError: a read failed.
    """
    found: dict[str, list[str]] = {one: [] for one in ids}
    wanted = list(found)
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        messages = await find(client, account, [folders.reference(one) for one in part], _OURS)
        if len(messages) != len(part):
            raise feed.short("FindItem", len(part), len(messages))
        for folder, message in zip(part, messages, strict=True):
            if not folders.is_missing(message.code):
                found[folder] = [props.id_of(node)[0] for node in page(message)[0]]
    all_ids = [mail for mails in found.values() for mail in mails]
    nodes = await feed.get_items(
        client, account, _MAIL_SHAPE, [element("t:ItemId", Id=mail) for mail in all_ids]
    )
    read = {mail: _mail(mail, node) for mail, node in zip(all_ids, nodes, strict=True) if node is not None}
    return {folder: [read[mail] for mail in mails if mail in read] for folder, mails in found.items()}


def _mail(identity: str, node: Any) -> Mail:
    extended = props.extended_of(node)
    kind = extended.get(props.KIND, "")
    module = Module(kind) if kind in {one.value for one in RECORD_MODULES} else None
    return Mail(identity, module, quickconnect.unpack(extended.get(RECORD, "")) or {})


async def fetch(client: ExchangeClient, scope: Scope, ids: Sequence[str]) -> list[Observation]:
    """The records behind folder ids, as their quick connect mail tells them; a missing folder is deleted.

    A folder whose mail is gone shows the record's name only.

    Raises:
        ProviderError: a call failed.
    """
    account = account_of(scope)
    present = await _present(client, account, ids)
    known = [one for one in present if one is not None]
    mails = await mails_in(client, account, [one.id for one in known])
    full = await _full_names(client, account, known)
    observations = []
    for identity, folder in zip(ids, present, strict=True):
        if folder is None:
            observations.append(Observation(identity, scope.modules[0], deleted=True))
            continue
        seen = Observation(
            identity,
            scope.modules[0],
            fields=compact({"name": text(folder.name)}),
            marker=folder.key or None,
            native={"name": full[folder.id]},
        )
        for mail in mails[folder.id][:1]:
            native = {"name": full[folder.id], "message": mail.id}
            seen = replace(
                seen, module=mail.module or seen.module, fields=mail.fields or seen.fields, native=native
            )
        observations.append(seen)
    return observations


async def _full_names(client: ExchangeClient, account: Account, known: Sequence[Folder]) -> dict[str, str]:
    """Full names of some folders; the folders above them are read level by level."""
    chain = {one.id: one for one in known}
    waiting = {one.parent for one in known} - chain.keys()
    [top] = await folders.get(client, account, [folders.ROOT]) if waiting else [None]
    while waiting := waiting - ({top.id} if top else set()) - {""}:
        found = [one for one in await folders.get(client, account, sorted(waiting)) if one is not None]
        chain |= {one.id: one for one in found}
        waiting = {one.parent for one in found} - chain.keys()
    return folders.paths(list(chain.values()))


async def occupied(client: ExchangeClient, account: Account, ids: Sequence[str]) -> set[str]:
    """Those of the folders in which anything of the person's own stands.

    Raises:
        ProviderError: a read failed.
    """
    present = await _present(client, account, ids)
    there = {asked: folder for asked, folder in zip(ids, present, strict=True) if folder is not None}
    mails = await mails_in(client, account, [folder.id for folder in there.values()])
    return {asked for asked, folder in there.items() if folder.children or folder.items > len(mails[folder.id])}


async def count_mails(client: ExchangeClient, account: Account, tree: Iterable[Folder]) -> int:
    """How many record folders of a tree have their quick connect mail.

    Raises:
        ProviderError: a read failed.
    """
    records = [one.id for folder in tree for one in await folders.inside(client, account, folder.id) if one.key]
    mails = await mails_in(client, account, records)
    return sum(len(rows) for rows in mails.values())
