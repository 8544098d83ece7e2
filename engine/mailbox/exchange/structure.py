"""Builds what a policy needs in a mailbox, finds it, reads it back and takes it away.

Contact groups and colours are categories: a category is a name on an item, and needs no making but for the colour in which
Outlook shows it (``engine.mailbox.exchange.categories``). Calendars and drop labels
are folders. All ids are kept by the ledger, so that no later cycle asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.mailbox.exchange import categories, errors, folders, props, separate
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.folders import Folder
from engine.mailbox.exchange.kinds import EVENTS_IN_ORDER
from engine.mailbox.exchange.records import SCOPE_KEY, count_mails
from engine.mailbox.exchange.search import count
from engine.model.modules import Module
from engine.model.port import Account, CalendarMode, Containers, Finding, Scope, Structure
from engine.net.errors import ErrorKind

_MISSING = "Run a full sync: it makes or adopts it"


async def ensure(
    client: ExchangeClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> Containers:
    """Make what is missing, adopt what is there. One call when all is there.

    Raises:
        ProviderError: a call failed; what was made so far is found again by the next call.
    """
    own = await _own(client, account, structure)
    ids, scopes, wanted = _plain(structure, own, account)
    created: list[str] = []
    await categories.ensure(client, account, categories.wanted(structure))
    if structure.calendar_mode is CalendarMode.SEPARATE:
        found = await _separate(client, account, structure, own, known)
        if found is None:
            identity, made = await folders.child(
                client, account, own["calendar"].id, structure.calendar_name, "t:CalendarFolder"
            )
            created += [f"calendar {structure.calendar_name}"] if made else []
        else:
            identity = found.id
        ids["calendar"] = identity
        scopes.append(Scope(separate.SCOPE_KEY, identity, EVENTS_IN_ORDER, account))
    if structure.labels:
        present = await _labels(client, account, structure.labels, known)
        for path in structure.labels:
            folder = present.get(path)
            if folder is None:
                above, _, name = path.rpartition("/")
                parent = ids[label(above)] if above else folders.ROOT
                ids[label(path)], made = await folders.child(client, account, parent, name)
                created += [label(path)] if made else []
            else:
                ids[label(path)] = folder.id
        scopes.append(mail_scope(account))
    return Containers(ids={**ids, **wanted}, scopes=tuple(scopes), created=tuple(created))


async def survey(
    client: ExchangeClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> Containers:
    """What is there already, recognised as ``ensure`` recognises it; nothing is made.

    Raises:
        ProviderError: a read failed.
    """
    own = await _own(client, account, structure)
    ids, scopes, wanted = _plain(structure, own, account)
    lacking = await categories.missing(client, account, categories.wanted(structure))
    missing = [f"category {name}" for name in lacking]
    if structure.calendar_mode is CalendarMode.SEPARATE:
        found = await _separate(client, account, structure, own, known)
        if found is None:
            missing.append(f"calendar {structure.calendar_name}")
        else:
            ids["calendar"] = found.id
            scopes.append(Scope(separate.SCOPE_KEY, found.id, EVENTS_IN_ORDER, account))
    if structure.labels:
        present = await _labels(client, account, structure.labels, known)
        ids |= {label(path): folder.id for path, folder in present.items()}
        missing += [f"folder {path}" for path in structure.labels if path not in present]
        scopes.append(mail_scope(account))
    return Containers(ids={**ids, **wanted}, scopes=tuple(scopes), missing=tuple(missing))


def label(path: str) -> str:
    """The logical name of a folder of the tree, ``label:CRM/Opportunities``."""
    return f"label:{path}"


def mail_scope(account: Account) -> Scope:
    """The one scope of drop folders that a mailbox has."""
    return Scope(SCOPE_KEY, folders.ROOT, (Module.OPPORTUNITY, Module.CASE), account)


async def _own(client: ExchangeClient, account: Account, structure: Structure) -> dict[str, Folder]:
    """The mailbox's own folders that are needed, by their distinguished names, in one call."""
    names = []
    if structure.groups:
        names.append("contacts")
    if structure.calendar_mode is not None:
        names.append("calendar")
    if structure.tasks:
        names.append("tasks")
    found = await folders.get(client, account, names) if names else []
    own = {}
    for name, folder in zip(names, found, strict=True):
        if folder is None:
            raise errors.fault_of("ErrorFolderNotFound", f"the mailbox has no folder {name}", None)
        own[name] = folder
    return own


def _plain(
    structure: Structure, own: Mapping[str, Folder], account: Account
) -> tuple[dict[str, str], list[Scope], dict[str, str]]:
    """What needs no making: ids and scopes of the mailbox's own folders, and categories."""
    ids: dict[str, str] = {}
    scopes: list[Scope] = []
    wanted = {f"group:{module.value}": props.container(name) for module, name in structure.groups.items()}
    if structure.groups:
        scopes.append(Scope("contacts", own["contacts"].id, (Module.CONTACT, Module.LEAD), account))
    if structure.calendar_mode is CalendarMode.COLOUR:
        ids["calendar"] = own["calendar"].id
        wanted |= {
            f"colour:{module.value}": props.container(name) for module, (name, _) in structure.colours.items()
        }
        scopes.append(Scope("calendar", own["calendar"].id, EVENTS_IN_ORDER, account))
    if structure.tasks:
        ids["tasks"] = own["tasks"].id
        scopes.append(Scope("tasks", own["tasks"].id, (Module.TASK,), account))
    return ids, scopes, wanted


async def _separate(
    client: ExchangeClient,
    account: Account,
    structure: Structure,
    own: Mapping[str, Folder],
    known: Mapping[str, str],
) -> Folder | None:
    return await separate.find(
        client, account, own["calendar"].id, structure.calendar_name, known.get("calendar")
    )


async def _labels(
    client: ExchangeClient, account: Account, paths: Sequence[str], known: Mapping[str, str]
) -> dict[str, Folder]:
    """Folders of the tree that are there, by path: by id (somebody may have renamed one), else by name."""
    held = [path for path in paths if label(path) in known]
    got = await folders.get(client, account, [known[label(path)] for path in held]) if held else []
    # A folder that a person has thrown away still exists, below Deleted Items.
    away = await _thrown_away(client, account, [one for one in got if one is not None]) if held else set()
    found = {
        path: folder
        for path, folder in zip(held, got, strict=True)
        if folder is not None and folder.id not in away
    }
    children: dict[str, list[Folder]] = {}
    for path in paths:
        if path in found:
            continue
        above, _, name = path.rpartition("/")
        if above and above not in found:
            continue  # what its parent lacks is not there
        parent = found[above].id if above else folders.ROOT
        if parent not in children:
            children[parent] = await folders.inside(client, account, parent)
        folder = folders.named(children[parent], name)
        if folder is not None:
            found[path] = folder
    return found


async def _thrown_away(client: ExchangeClient, account: Account, present: Sequence[Folder]) -> set[str]:
    """Those of some folders that stand in Deleted Items, or in one that does."""
    if not present:
        return set()
    [bin_] = await folders.get(client, account, ["deleteditems"])
    if bin_ is None:
        return set()
    away: set[str] = set()
    while True:
        more = {one.id for one in present if one.parent == bin_.id or one.parent in away} - away
        if not more:
            return away
        away |= more


# -- reading back ------------------------------------------------------------------------------------------


async def verify(
    client: ExchangeClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> list[Finding]:
    """Read the structure back: one finding per group, calendar, colour, list and folder, with counts of our items.

    Raises:
        ProviderError: a read failed.
    """
    findings: list[Finding] = []
    own = await _own(client, account, structure)
    for module, name in structure.groups.items():
        number = await count(client, account, own["contacts"].id, props.KIND, module.value)
        findings.append(Finding(True, f"group {name}", f"{number} contact{'' if number == 1 else 's'}"))
    if structure.calendar_mode is not None:
        findings += await _verify_calendar(client, account, structure, known)
    findings += await categories.verify(client, account, structure)
    if structure.tasks:
        here = own["tasks"].id == known.get("tasks")
        number = await count(client, account, own["tasks"].id, props.KIND, Module.TASK.value) if here else 0
        detail = f"{own['tasks'].name}: {number} tasks of the CRM" if here else "another folder than was set up"
        findings.append(Finding(here, "tasks", detail, "" if here else _MISSING))
    if structure.labels:
        findings += await _verify_labels(client, account, structure, known)
    return findings


async def _verify_calendar(
    client: ExchangeClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> list[Finding]:
    identity = known.get("calendar", "calendar")
    if structure.calendar_mode is CalendarMode.SEPARATE:
        folder = await separate.held(client, account, identity)
    else:
        [folder] = await folders.get(client, account, [identity])
    if folder is None:
        return [Finding(False, "calendar", "the calendar is not there", _MISSING)]
    findings = [Finding(True, "calendar", f"{folder.name}: {folder.items} items")]
    for module, (name, _) in structure.colours.items():
        number = await count(client, account, folder.id, props.KIND, module.value)
        findings.append(Finding(True, f"colour {module.value}", f"{name}: {number} events"))
    return findings


async def _verify_labels(
    client: ExchangeClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> list[Finding]:
    present = await _labels(client, account, structure.labels, known)
    findings = []
    records = 0
    for path in structure.labels:
        folder = present.get(path)
        check = f"label {path}"
        if folder is None or folder.id != known.get(label(path)):
            detail = "missing" if folder is None else "there is a folder of that name, but not the one set up"
            findings.append(Finding(False, check, detail, _MISSING))
            continue
        below = [one for one in await folders.inside(client, account, folder.id) if one.key]
        records += len(below)
        detail = f"{len(below)} record folder{'' if len(below) == 1 else 's'} in it"
        if folder.name.casefold() != path.rpartition("/")[2].casefold():
            detail += f"; renamed to {folder.name!r} in the mailbox"
        findings.append(Finding(True, check, detail))
    mails = await count_mails(client, account, present.values())
    detail = f"{mails} mail{'' if mails == 1 else 's'} for {records} record folder{'' if records == 1 else 's'}"
    good = bool(mails or not records)
    advice = "" if good else "Run a full sync: it writes the mails of records that change"
    findings.append(Finding(good, "quick connect mails", detail, advice))
    return findings


# -- taking away -------------------------------------------------------------------------------------------


async def remove(client: ExchangeClient, account: Account, made: Mapping[str, str]) -> dict[str, str]:
    """Take away a separate calendar and the folder tree, as far as they are empty. Idempotent.

    Returns:
        by logical name: why it stays, empty when it is gone.

    Raises:
        ProviderError: a call failed; a repeat goes on where it was.
    """
    told = dict.fromkeys(made, "")
    named = [name for name in made if name == "calendar" or name.startswith("label:")]
    # From the leaves: a folder is empty once those in it are gone.
    for name in sorted(named, key=lambda one: one.count("/"), reverse=True):
        [folder] = await folders.get(client, account, [made[name]])
        if folder is None:
            continue
        what = "events" if name == "calendar" else "mails"
        if folder.items:
            told[name] = f"there are {what} of the person's own in it"
        elif folder.children:
            told[name] = "there are folders in it"
        else:
            [message] = await folders.delete(client, account, [folder.id])
            if not message.ok and not folders.is_missing(message.code):
                error = errors.fault_of(message.code, message.text, message.back_off)
                if error.kind in {ErrorKind.THROTTLED, ErrorKind.UNAVAILABLE}:
                    raise error
                told[name] = error.detail
    return told
