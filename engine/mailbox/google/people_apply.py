"""Contacts written in batches: 200 creates, 200 updates with one mask, 500 deletes a call; one mailbox, one call at a time.

A People batch succeeds or fails as a whole and the refusal does not say reliably whose fault it was. So after a
failed precondition the versions are read and compared, and after an invalid argument the batch is halved until the
contact at fault stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.mailbox.google import people_patch as patch
from engine.mailbox.google.applying import Item, Run, chunks, guarded
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure, outcome_of
from engine.mailbox.google.people_call import read_people
from engine.mailbox.google.people_read import (
    MARKER_KEY,
    PERSON_FIELDS,
    SOURCES,
    client_data,
    etag_of,
    observe,
)
from engine.mailbox.google.scopes import account_of
from engine.model.port import Observation, Outcome, Result, Scope, Write, WriteKind

CREATE_SIZE = 200
UPDATE_SIZE = 200
DELETE_SIZE = 500

#: Up to so many deletes go singly: a batch costs ten of the thirty deletes that a minute has, however small it is.
SINGLE_DELETES = 5

#: Halvings that one ``apply`` may spend on finding contacts at fault; what is left then waits for the next cycle. One bad
#: contact among 200 takes eight; without a limit a refused group would cost 400 calls.
MOST_SPLITS = 40

_CHANGED = "the contact was changed in Google since it was read"
_MISSING = "the contact is no longer there"


async def apply(client: GoogleClient, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
    """Make the changes: creates, then updates, then deletes.

    In the good case the calls are ceil(creates/200), per set of changed fields ceil(updates/200), and for deletes one
    read of the versions per 200 and ceil(deletes/500), or up to five single deletes. A lost reply to a batch of creates makes them all ``UNKNOWN``:
    the feed must be read for our markers before they are sent again.

    Raises:
        ProviderError: nothing could be written at all (token, permission, wrong address).
        ValueError: the scope names no mailbox.
    """
    run = Run(client, account_of(scope))
    by_kind: dict[WriteKind, list[Item]] = {kind: [] for kind in WriteKind}
    for item in enumerate(writes):
        by_kind[item[1].kind].append(item)
    for chunk in chunks(by_kind[WriteKind.CREATE], CREATE_SIZE):
        await guarded(run, chunk, _create(run, chunk))
    await _updates(run, by_kind[WriteKind.UPDATE])
    for chunk in chunks(by_kind[WriteKind.DELETE], DELETE_SIZE):
        await guarded(run, chunk, _delete(run, chunk))
    return [run.outcomes[index] for index in range(len(writes))]


def _precondition(error: HttpFailure) -> bool:
    """Whether a version did not match: 400 with failedPrecondition, not 409 or 412 (people.updateContact)."""
    return error.status == 400 and bool(
        {error.grpc, error.reason, error.info} & {"FAILED_PRECONDITION", "failedPrecondition"}
    )


def _halves(run: Run, items: Sequence[Item], error: HttpFailure) -> list[Sequence[Item]]:
    """Two halves to be sent on their own; none when the fault is found or the search is given up."""
    if len(items) == 1:
        run.settle(items[0][0], Result.REJECTED, error.detail)
        return []
    if run.splits >= MOST_SPLITS:
        for index, _ in items:
            run.outcomes[index] = Outcome(
                Result.REFUSED, reason=f"another contact of its batch was refused: {error.detail}"
            )
        return []
    run.splits += 1
    middle = len(items) // 2
    return [items[:middle], items[middle:]]


# -- creates -----------------------------------------------------------------------------------------------


async def _create(run: Run, items: Sequence[Item]) -> None:
    body = {
        "contacts": [{"contactPerson": patch.new_person(write)} for _, write in items],
        "readMask": PERSON_FIELDS,
        "sources": SOURCES,
    }
    request = run.client.people.people.batchCreateContacts(body=body)
    try:
        answer = await run.client.execute(request, run.account, idempotent=False)
    except HttpFailure as error:
        if error.status != 400 or _precondition(error):
            # A failed precondition of a create is the mailbox's: 25,000 contacts (MY_CONTACTS_OVERFLOW_COUNT).
            raise
        for half in _halves(run, items, error):
            await _create(run, half)
        return
    # Matched by our marker: that the answer keeps the order of the request is documented nowhere.
    created = {
        client_data(response["person"], MARKER_KEY): response["person"]
        for response in answer.get("createdPeople") or ()
        if response.get("person")
    }
    for index, write in items:
        person = created.get(write.key)
        if person is None:
            run.settle(index, Result.UNKNOWN, "the answer does not show the new contact")
        else:
            run.outcomes[index] = Outcome(Result.DONE, observe(person, run.region))


# -- updates -----------------------------------------------------------------------------------------------


async def _updates(run: Run, items: Sequence[Item]) -> None:
    """Group the updates by the fields they replace, since one mask serves a whole batch, and send them."""
    bare = [(index, write) for index, write in items if write.native is None or write.etag is None]
    loaded: dict[str, Mapping[str, Any]] = {}
    await guarded(run, bare, _load(run, bare, loaded))
    groups: dict[tuple[str, ...], list[tuple[int, Write, dict[str, Any]]]] = {}
    taken: set[str] = set()
    for index, write in items:
        if index in run.outcomes:
            continue
        native = write.native
        if write.remote_id in loaded:
            seen = observe(loaded[write.remote_id], run.region)
            native = seen.native
            write = replace(write, etag=seen.etag)  # noqa: PLW2901 - the same write on the version just read
        assert native is not None
        if write.remote_id in taken:
            run.settle(index, Result.CONFLICT, "two changes of one contact in one batch")
            continue
        taken.add(write.remote_id)
        changed = patch.changed_fields(write, native, run.region)
        if not changed:
            run.outcomes[index] = Outcome(Result.DONE, _unchanged(write, native, run.region))
            continue
        body = patch.update_body(write, native, changed)
        groups.setdefault(tuple(sorted(changed)), []).append((index, write, body))
    for mask, group in groups.items():
        for rows in chunks(group, UPDATE_SIZE):
            bodies = {index: body for index, _, body in rows}
            chunk = [(index, write) for index, write, _ in rows]
            await guarded(run, chunk, _update(run, chunk, bodies, ",".join(mask)))


def _unchanged(write: Write, native: Mapping[str, Any], region: str) -> Observation:
    """What the contact shows already, for an update that has nothing to do."""
    person: dict[str, Any] = {name: value for name, value in native.items() if name != "source"}
    source = {"type": "CONTACT", "etag": write.etag} | ({"id": native["source"]} if "source" in native else {})
    return observe({**person, "resourceName": write.remote_id, "metadata": {"sources": [source]}}, region)


async def _load(run: Run, items: Sequence[Item], loaded: dict[str, Mapping[str, Any]]) -> None:
    """Read contacts whose document or version the caller does not have; a known version must still be the present one."""
    names = [write.remote_id for _, write in items]
    people = await read_people(run.client, run.account, names, PERSON_FIELDS)
    for index, write in items:
        person = people.get(write.remote_id)
        if person is None:
            run.settle(index, Result.GONE, _MISSING)
        elif write.etag is not None and etag_of(person) != write.etag:
            run.settle(index, Result.CONFLICT, _CHANGED)
        else:
            loaded[write.remote_id] = person


async def _update(
    run: Run, items: Sequence[Item], bodies: Mapping[int, Any], mask: str, *, again: bool = False
) -> None:
    body = {
        "contacts": {write.remote_id: bodies[index] for index, write in items},
        "updateMask": mask,
        "readMask": PERSON_FIELDS,
        "sources": SOURCES,
    }
    request = run.client.people.people.batchUpdateContacts(body=body)
    try:
        # The version in each person makes a repeat harmless.
        answer = await run.client.execute(request, run.account, idempotent=True)
    except HttpFailure as error:
        if _precondition(error) or error.status == 404:
            left = await _compare(run, items)
            if left and again:
                for index, _ in left:
                    run.settle(index, Result.CONFLICT, _CHANGED)
            elif left:
                await _update(run, left, bodies, mask, again=True)
            return
        if error.status != 400:
            raise
        for half in _halves(run, items, error):
            await _update(run, half, bodies, mask, again=again)
        return
    results = answer.get("updateResult") or {}
    for index, write in items:
        response = results.get(write.remote_id) or {}
        if person := response.get("person"):
            seen = observe(person, run.region, remote_id=write.remote_id)
            run.outcomes[index] = Outcome(Result.DONE, seen)
        else:
            run.settle(index, Result.UNKNOWN, "the answer does not show the contact")


# -- deletes -----------------------------------------------------------------------------------------------


async def _delete(run: Run, items: Sequence[Item], *, again: bool = False) -> None:
    """Delete what has not changed since it was seen.

    ``batchDeleteContacts`` takes no version, so the versions are read just before: an edit that we have not seen
    must not disappear with the contact.
    """
    left = await _compare(run, items)
    if len(left) <= SINGLE_DELETES:
        for index, write in left:
            await _delete_one(run, index, write)
        return
    request = run.client.people.people.batchDeleteContacts(
        body={"resourceNames": [write.remote_id for _, write in left]}
    )
    try:
        await run.client.execute(request, run.account, idempotent=True)
    except HttpFailure as error:
        # One that has just been deleted by somebody else fails the batch.
        if error.status == 404 and not again:
            await _delete(run, left, again=True)
            return
        if error.status != 400:
            raise
        for half in _halves(run, left, error):
            await _delete(run, half, again=again)
        return
    for index, _ in left:
        run.outcomes[index] = Outcome(Result.DONE)


async def _delete_one(run: Run, index: int, write: Write) -> None:
    request = run.client.people.people.deleteContact(resourceName=write.remote_id)
    try:
        await run.client.execute(request, run.account, idempotent=True)
    except HttpFailure as error:
        if error.status not in {400, 404}:
            raise
        run.outcomes[index] = outcome_of(error)
    else:
        run.outcomes[index] = Outcome(Result.DONE)


async def _compare(run: Run, items: Sequence[Item]) -> list[Item]:
    """Settle what is gone or has another version than the write names; returns the rest."""
    people = await read_people(run.client, run.account, [write.remote_id for _, write in items], "metadata")
    left: list[Item] = []
    for index, write in items:
        person = people.get(write.remote_id)
        if person is None:
            run.settle(index, Result.GONE, _MISSING)
        elif write.etag is not None and etag_of(person) != write.etag:
            run.settle(index, Result.CONFLICT, _CHANGED)
        else:
            left.append((index, write))
    return left
