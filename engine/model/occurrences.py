"""Occurrences of a series that somebody has changed before we make them: what connectors have in common there."""

from __future__ import annotations

from engine.model.canonical import FIELDS, Fields, diff
from engine.model.port import Write

#: A connector's word to people about such an occurrence.
OCCUPIED = "somebody has changed this occurrence already"


def occupied(write: Write, shown: Fields) -> bool:
    """Whether a create would overwrite what stands in a changed occurrence.

    A repeat may meet what the attempt before it has made: there only what is asked for counts, since a provider fills in
    fields by itself.

    Args:
        write: the create.
        shown: canonical fields of the occurrence, which differs from its series already.
    """
    names = set(write.fields) if write.attempt else {*write.fields, *shown}
    return bool(diff(write.module, shown, write.fields, sorted(names & FIELDS[write.module].keys() - {"rule"})))
