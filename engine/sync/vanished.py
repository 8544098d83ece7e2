"""A container of the mailbox that somebody deleted: told, made anew, and nothing is deleted elsewhere because of it.

What was in it went with it, which says nothing about a single item. If the policy keeps deletes in the mailbox out of the
CRM, the CRM is the authority and its items are made again in the new container. If it mirrors them, Delete Safety holds
the deletes: an admin lets them through, or lets the items be made again.
"""

from __future__ import annotations

from engine.ledger import gone
from engine.ledger.feeds import scopes_of
from engine.ledger.leave import MADE
from engine.model.policy import DeleteMode
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.context import Feed, Run
from engine.sync.filters import DAY_MS
from engine.sync.observe import read_mailbox
from engine.sync.structure import containers_structure, identity_of, made_ids

#: A container that is deleted again so soon after it was made anew is not wanted: it waits for a person.
NOT_WANTED_MS = 7 * DAY_MS


async def read_feed(run: Run, feed: Feed) -> Feed:
    """Read one feed of a mailbox; one whose container is gone gets a new container first.

    Returns:
        the feed as it is now.

    Raises:
        ProviderError: it could not be read; ``PERMISSION`` is remembered, and what the first reading afterwards tells
            of deletes is not believed without an admin.
    """
    try:
        await read_mailbox(run, feed)
    except ProviderError as error:
        if error.kind is ErrorKind.PERMISSION and feed.row.full_at is not None:
            await run.ledger.write(gone.deny, run.fence, feed.row.id, run.clock.now_ms())
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        feed = await _made_anew(run, feed, error)
        await read_mailbox(run, feed)
    return feed


async def _made_anew(run: Run, feed: Feed, error: ProviderError) -> Feed:
    """The same feed in a new container, if its container is really gone.

    Two ways of asking must agree: the feed is not found, and a look for the container does not find it either.
    """
    now = run.clock.now_ms()
    if feed.row.vanished_at is not None and now - feed.row.vanished_at < NOT_WANTED_MS:
        raise ProviderError(
            ErrorKind.NOT_FOUND,
            error.provider,
            f"{error.detail}. It was made anew {(now - feed.row.vanished_at) // DAY_MS} days ago and is gone again",
            advice="Ask the mailbox's owner; it is not made again within a week. Switch the module off, or take the "
            "user out of the policy, if it is not wanted",
            status=error.status,
        ) from error
    structure = containers_structure(run.policy)
    found = await run.base.mailbox.ensure(run.account, structure, run.containers)
    scope = next((one for one in found.scopes if one.key == feed.scope.key), None)
    if scope is None or scope.remote_id == feed.scope.remote_id:
        raise error
    again = run.policy.mailbox_deletes is DeleteMode.NEVER
    run.containers |= found.ids
    run.containers |= {f"{MADE}{name}": value for name, value in made_ids(structure, found).items()}
    run.feeds = [Feed(scope, one.row) if one.scope.key == scope.key else one for one in run.feeds]
    identity = identity_of(run.policy, scope)
    count = await run.ledger.write(
        gone.replace_container,
        run.fence,
        feed.row.id,
        identity,
        {
            "containers": run.containers,
            "scopes": [[one.scope.key, one.scope.remote_id, list(one.scope.modules)] for one in run.feeds],
        },
        again=again,
        now=now,
    )
    follows = (
        "they are made again, since the policy keeps deletes in the mailbox out of the CRM"
        if again
        else "whether the CRM loses them is for an admin to say"
    )
    run.note(
        f"the {scope.key.partition(':')[0]} of the CRM was deleted by somebody, with {count} items; "
        f"it was made anew, and {follows}",
        "!",
    )
    row = next(
        one for one in await run.ledger.read(scopes_of, run.policy.name, run.record.id) if one.key == scope.key
    )
    fresh = Feed(scope, row)
    run.feeds = [fresh if one.scope.key == scope.key else one for one in run.feeds]
    return fresh
