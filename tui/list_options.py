"""The options of the lists: ``queue``, ``users``, ``jobs``, ``runs`` and ``events``; what they print is in ``tui.lists``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from tui.job_options import VERBS as JOB_VERBS
from tui.job_options import usage as job_usage

LISTS = {
    "queue": "everybody in the order of the Queue: what each does, and what it waits for",
    "users": "everybody by policy: whose mailbox, items, what waits; import adds and changes users in bulk, export writes them",
    "jobs": "every job: when it runs, when it ran, and how that ended; switch, run, stop, edit or trace one",
    "runs": "past and present runs of the jobs, youngest first",
    "events": "what happens in the mailboxes, line by line; --follow goes on with what comes",
}

MOST = 100_000

_METAVAR = {
    "users": "import FILE.csv | export [FILE.csv] | FILTER",
    "jobs": "enable|disable|run|stop|reset NAME | edit NAME SETTING=VALUE ... | trace NAME on|off | FILTER",
}


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST:
        raise ArgumentTypeError(f"{text!r} is not allowed; a whole number from 0 to {MOST} is")
    return int(text)


def add_arguments(name: str, command: ArgumentParser) -> None:
    """The options of one list."""
    command.add_argument(
        "filter",
        nargs="*",
        metavar=_METAVAR.get(name, "FILTER"),
        help="as in the app: state:failed policy:emea text; put -- before it when a word begins with -",
    )
    if name == "users":
        command.add_argument(
            "--map",
            action="append",
            metavar="FIELD=COLUMN",
            help="import: the column of a field (email, policy, crm_user, zone, calendar_sync, exchange_email); others are guessed",
        )
        command.add_argument("--policy", metavar="NAME", help="import: of rows that name none")
        command.add_argument(
            "--dry-run", action="store_true", help="import: show what would be done, and store nothing"
        )
    shape = command.add_mutually_exclusive_group()
    document = "one JSON object a line" if name == "events" else "as one JSON object"
    shape.add_argument("--json", action="store_true", help=document)
    shape.add_argument("--csv", action="store_true", help="as CSV, times in UTC")
    if name == "events":
        command.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl+C")
    if name in {"runs", "events"}:
        command.add_argument(
            "--limit", type=_limit, default=50, metavar="N", help="at most so many (default 50)"
        )


def usage(given: Namespace) -> str | None:
    """What is wrong with a combination of options. ``users`` gets its ``action`` and ``file``."""
    if given.command == "events" and given.follow and given.csv:
        return "events --follow prints lines or --json, not --csv"
    if given.command == "jobs" and given.filter and given.filter[0] in JOB_VERBS:
        return job_usage(given.filter)
    if given.command != "users":
        return None
    words = given.filter
    given.action = words[0] if words and words[0] in {"import", "export"} else None
    given.file = words[1] if given.action and len(words) > 1 else None
    if given.action and len(words) > 2:
        return f"users {given.action} takes one file"
    if given.action and given.csv:
        return f"users {given.action} takes no --csv: its file is CSV"
    if given.action == "import" and given.file is None:
        return "users import needs a FILE.csv, or - for standard input"
    if given.action != "import" and (given.map or given.policy or given.dry_run):
        return "users --map, --policy and --dry-run need import"
    return None
