"""``python -m engine.sandbox``: start the servers, or edit their data by hand (``edit crm|mailbox|mail``)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from engine.sandbox.company import KINDS, MOST_USERS
from engine.sandbox.kit import edit, launch

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

#: More of one kind than a test of any size needs; a slip of a key must not fill a disk.
MOST_ITEMS = 5_000_000


class _Parser(argparse.ArgumentParser):
    """argparse without the usage lines before an error: one clear message, exit 2."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``low`` to ``high``; its error says what is allowed."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number from {low} to {high} is")
        return value

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; seconds from 0 to 86400 are")
    return value


def _services(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in launch.SERVICES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed; one or more of {', '.join(launch.SERVICES)} are, separated by commas"
        )
    return tuple(name for name in launch.SERVICES if name in names)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a date such as 2026-11-21 is") from None


def _start_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m engine.sandbox",
        description="Loopback servers that speak the Google Workspace, Salesforce and Exchange APIs, with a demo company in them.",
        epilog="'python -m engine.sandbox edit --help' tells how to edit the company's data.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ready-file", type=Path, metavar="F", help="write the addresses here once connections are accepted"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="D", required=True, help="folder of the state; kept between runs"
    )
    parser.add_argument(
        "--services",
        type=_services,
        default=launch.USUAL,
        metavar="LIST",
        help="google,salesforce (so unless told) and exchange",
    )
    parser.add_argument(
        "--users", type=whole(1, MOST_USERS), default=5, metavar="N", help="mailboxes of a new company"
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**63), default=1, metavar="S", help="another seed is another company"
    )
    parser.add_argument(
        "--today", type=_day, default=None, metavar="DATE", help="day around which appointments lie"
    )
    for kind in KINDS:
        parser.add_argument(
            f"--{kind.replace('_', '-')}",
            type=whole(0, MOST_ITEMS),
            default=None,
            metavar="N",
            help=f"{kind.replace('_', ' ')} of a new company",
        )
    for service in launch.SERVICES:
        parser.add_argument(
            f"--port-{service}", type=whole(0, 65_535), default=0, metavar="P", help="0: the last or a free one"
        )
    parser.add_argument(
        "--quota", choices=("real", "off"), default="real", help="whether the services enforce quotas"
    )
    parser.add_argument(
        "--latency-ms", type=whole(0, 60_000), default=0, metavar="N", help="wait before each answer"
    )
    parser.add_argument(
        "--people-lag", type=_seconds, default=0.0, metavar="SECONDS", help="delay of the contact feed"
    )
    parser.add_argument("--empty", action="store_true", help="users, but no items")
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop when the parent process has ended"
    )
    return parser


def _edit_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m engine.sandbox edit",
        description="Make edits as a person would, through the public APIs of a running sandbox.",
        allow_abbrev=False,
    )
    parser.add_argument("side", choices=("crm", "mailbox", "mail"))
    parser.add_argument(
        "--ready-file", type=Path, metavar="F", required=True, help="written by the running sandbox"
    )
    parser.add_argument(
        "--user", metavar="EMAIL", required=True, help="whose contacts to edit, or whose mails to drop"
    )
    parser.add_argument("--count", type=whole(1, 10_000), default=1, metavar="N")
    parser.add_argument(
        "--seed", type=whole(0, 2**63), default=None, metavar="S", help="the same seed makes the same choice"
    )
    return parser


def _start(arguments: Sequence[str]) -> int:
    parser = _start_parser()
    given = parser.parse_args(arguments)
    counts = {kind: value for kind in KINDS if (value := getattr(given, kind)) is not None}
    if given.empty and counts:
        parser.error(f"argument --empty: not allowed with --{next(iter(counts)).replace('_', '-')}")
    launch.run(
        launch.Options(
            data_dir=given.data_dir,
            ready_file=given.ready_file,
            services=given.services,
            users=given.users,
            seed=given.seed,
            counts=counts,
            today=given.today or date.today(),
            ports={service: getattr(given, f"port_{service}") for service in launch.SERVICES},
            quota=given.quota == "real",
            latency_ms=given.latency_ms,
            people_lag=given.people_lag,
            empty=given.empty,
            exit_with_parent=given.exit_with_parent,
        )
    )
    return 0


def _edit(arguments: Sequence[str]) -> int:
    given = _edit_parser().parse_args(arguments)
    for change in edit.run(given.side, given.ready_file, given.user, given.count, given.seed):
        print(json.dumps(change, ensure_ascii=False), flush=True)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 fine, 1 failed, 2 wrong arguments (raised by argparse)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _edit(words[1:]) if words[:1] == ["edit"] else _start(words)
    except (launch.LaunchError, edit.EditError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        # While loading; once it serves, the servers end by themselves. What is half loaded is begun again next time.
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
