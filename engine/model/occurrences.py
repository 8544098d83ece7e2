"""One occurrence of a series: how its series makes it, and whether somebody has changed it before we do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from engine.model import canonical
from engine.model.canonical import EVENT_FIELDS, FIELDS, Fields, diff
from engine.model.modules import Module
from engine.model.port import Write

#: A connector's word to people about an occurrence that somebody has changed before we could.
OCCUPIED = "somebody has changed or cancelled this occurrence already"


def occupied(write: Write, shown: Fields) -> bool:
    """Whether a create would overwrite what stands in an occurrence that is not as its series makes it.

    A repeat may meet what the attempt before it has made: there only what is asked for counts, since a provider fills in
    fields by itself. An occurrence that is cancelled is cancelled, whatever else is told of it.

    Args:
        write: the create.
        shown: canonical fields of the occurrence.
    """
    if write.fields.get("cancelled") and shown.get("cancelled"):
        return False
    names = set(write.fields) if write.attempt else {*write.fields, *shown}
    return bool(diff(write.module, shown, write.fields, sorted(names & FIELDS[write.module].keys() - {"rule"})))


def is_plain(module: Module, shown: Fields, series: Fields, occurrence: str) -> bool:
    """Whether an occurrence is as its series makes it: nobody has changed or cancelled it."""
    names = [name for name in EVENT_FIELDS if name != "rule"]
    return not diff(module, shown, plain(series, occurrence), names)


def plain(series: Fields, occurrence: str) -> dict[str, Any]:
    """An occurrence that differs from its series in nothing: the series' values at its own time.

    Args:
        series: canonical fields of the master.
        occurrence: original start (ISO date or UTC date-time with Z).
    """
    fields = {name: value for name, value in series.items() if name != "rule"}
    start, end = fields.get("start"), fields.get("end")
    if start is not None:
        shift = _moment(occurrence) - canonical.instant(start)
        for name, value in (("start", start), ("end", end)):
            if value is not None:
                fields[name] = _shifted(value, shift)
    return fields


def _moment(occurrence: str) -> datetime:
    return canonical.instant({"date": occurrence} if len(occurrence) == 10 else {"utc": occurrence})


def _shifted(value: Fields, shift: timedelta) -> dict[str, Any]:
    at = canonical.instant(value) + shift
    if "date" in value:
        return {"date": at.date().isoformat()}
    return dict(canonical.moment(at, value.get("zone")))
