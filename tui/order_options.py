"""The options of ``cycles``, ``undo``, ``reinit`` and ``leave``; what they do is in ``tui.orders``, which needs the engine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

#: Commands for orders of an admin.
ORDERS = {
    "cycles": "the cycles that did something, youngest first, with their numbers",
    "undo": "undo a cycle: tell what would be put back, or do it",
    "reinit": "let modules of mailboxes begin afresh: none, resync, full, clear",
    "leave": "remove what was made in the mailboxes of a policy that is off: tell, or do it",
}

#: Modules and modes as the engine names them (``engine.service.Module`` and ``Reinit``).
MODULES = ("contact", "lead", "appointment", "call", "service_call", "task", "opportunity", "case")
MODES = ("none", "resync", "full", "clear")

#: Cycles listed unless asked otherwise.
LIMIT = 50


def add_arguments(name: str, command: ArgumentParser) -> None:
    """The options of one of these commands."""
    if name == "cycles":
        command.add_argument("--csv", action="store_true", help="as CSV, times in UTC")
        command.add_argument("--user", metavar="EMAIL", help="of this mailbox alone")
        command.add_argument("--policy", metavar="NAME", help="of this policy alone")
        command.add_argument(
            "--drop", type=int, metavar="CYCLE", help="give up an undo or a leave that is not done yet"
        )
        command.add_argument(
            "--limit", type=int, default=LIMIT, metavar="N", help=f"at most N (default {LIMIT})"
        )
    elif name == "undo":
        command.add_argument("cycle", type=int, metavar="CYCLE", help="its number, as cycles lists it")
        command.add_argument("--user", metavar="EMAIL", default="", help="this mailbox's cycle of the same run")
        command.add_argument("--run", action="store_true", help="the cycles of all mailboxes of the same run")
        _confirm(command, "--yes", None)
    elif name == "reinit":
        command.add_argument(
            "words",
            nargs="+",
            metavar="[USER] MODE",
            help=f"a mailbox (or --policy), and one of {', '.join(MODES)}",
        )
        command.add_argument("--policy", metavar="NAME", help="all mailboxes of this policy")
        command.add_argument(
            "--module",
            action="append",
            choices=("all", *MODULES),
            metavar="M",
            help=f"all (default), or {', '.join(MODULES)}; may be given more than once",
        )
        command.add_argument(
            "--yes", type=int, metavar="COUNT", help="with clear: the number of items it removes"
        )
    else:
        command.add_argument("policy", metavar="POLICY", help="it must be off")
        command.add_argument("--user", metavar="EMAIL", help="this mailbox alone")
        command.add_argument(
            "--edited", action="store_true", help="remove also what the person has edited since"
        )
        _confirm(command, "--yes", "COUNT")
    command.add_argument("--json", action="store_true", help="as one JSON object")


def _confirm(command: ArgumentParser, yes: str, count: str | None) -> None:
    ways = command.add_mutually_exclusive_group()
    ways.add_argument("--preview", action="store_true", help="tell what would happen, and do nothing (default)")
    if count is None:
        ways.add_argument(yes, action="store_true", help="do it")
    else:
        ways.add_argument(
            yes, type=int, metavar=count, help="do it; the number of items that the preview tells"
        )


def usage(given: Namespace) -> str | None:
    """What is wrong with the words of a command, beyond what the parser sees; None when nothing is."""
    if given.command == "cycles" and given.json and given.csv:
        return "cycles --json and --csv do not go together"
    if given.command == "cycles" and given.limit < 1:
        return f"cycles --limit {given.limit} is not allowed; a whole number from 1 is"
    if given.command == "undo" and given.user and given.run:
        return "undo takes --user or --run, not both: --run means all mailboxes"
    if given.command != "reinit":
        return None
    *users, mode = given.words
    if mode not in MODES:
        return f"reinit: {mode!r} is not allowed; the last word is one of {', '.join(MODES)}"
    if len(users) > 1 or bool(users) == bool(given.policy):
        return "reinit needs one mailbox, or --policy: syncline reinit ann@acme.example resync"
    if given.yes is not None and mode != "clear":
        return "reinit --yes COUNT is for clear alone, which removes items"
    return None
