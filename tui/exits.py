"""Exit codes of the command line, and the one kind of error that it ends with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the engine takes half a second to import, which --help need not wait for
    from engine.service import VerifyRow

OK = 0
FAULTS = 1
USAGE = 2
UNUSABLE = 3
REFUSED = 4
DIFFERS = 5
INTERRUPTED = 130

#: For --help and docs/cli.md.
MEANING: Mapping[int, str] = {
    OK: "all went well",
    FAULTS: "finished, but items or mailboxes failed",
    USAGE: "wrong usage or bad input; nothing was changed",
    UNUSABLE: "no engine: the data directory is in use, damaged or cannot be written, the sandbox does not start, or an internal error",
    REFUSED: "a connection cannot be used: credential refused, permission missing or server out of reach",
    DIFFERS: "verify found differences",
    INTERRUPTED: "interrupted by a signal; what was done is stored and the next run goes on from there",
}


#: Check of a mailbox that could not be read at all.
UNREADABLE = "access"

#: States of a mailbox whose cycle did not end well.
_FAILED = frozenset({"failed", "quarantined", "backoff"})


class Trouble(Exception):
    """The command ends here.

    Attributes:
        code: exit code.
        details: further lines for people.
    """

    def __init__(self, code: int, text: str, details: Iterable[str] = ()) -> None:
        super().__init__(text)
        self.code = code
        self.details = tuple(details)


class Busy(Trouble):
    """Another process holds the data directory: an engine that starts, works or stops, or a command."""

    def __init__(self, text: str) -> None:
        super().__init__(UNUSABLE, text)


def of_report(report: Mapping[str, Any], faults: Iterable[str]) -> int:
    """Exit code of a sync.

    Args:
        report: what ``Service.sync`` returned.
        faults: faults of the policies that wait for a person.
    """
    users = report["users"]
    failed = [user for user in users if user["state"] in _FAILED]
    if any(faults) or (users and len(failed) == len(users)):
        return REFUSED
    items = any(counts["failed"] for user in users for counts in user["modules"].values())
    results = any(policy["result"] != "ok" for policy in report.get("policies", ()))
    return FAULTS if failed or items or results else OK


def of_verify(rows: Iterable[VerifyRow]) -> int:
    """Exit code of a verification; where nothing could be read there is nothing that differs."""
    failed = [row.check for row in rows if not row.ok]
    if not failed:
        return OK
    return REFUSED if all(check == UNREADABLE for check in failed) else DIFFERS
