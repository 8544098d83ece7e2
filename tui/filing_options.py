"""The words of ``syncline mail``, apart from what it does: the command line is read before the engine is loaded."""

from __future__ import annotations

from argparse import ArgumentParser

#: Rows printed unless told otherwise.
MOST = 200

#: States of a filed mail; ``engine.service.FILED_STATES``.
STATES = ("waiting", "sent", "unfiling", "filed", "refused", "unfiled", "left", "gone")


def options(mail: ArgumentParser) -> None:
    """The words of the command."""
    mail.add_argument("--mailbox", metavar="ADDRESS", help="this mailbox alone")
    mail.add_argument("--state", nargs="+", choices=STATES, default=[], help="mails in these states alone")
    mail.add_argument("--words", default="", metavar="TEXT", help="words in subject, sender, record or reason")
    mail.add_argument("--limit", type=int, default=MOST, metavar="N", help="how many at most, newest first")
    mail.add_argument("--json", action="store_true", help="as one JSON object")
    what = mail.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="look at the drop labels now, then list")
    what.add_argument(
        "--retry",
        nargs="+",
        type=int,
        metavar="ID",
        help="try these again with the next check, by ids that it lists",
    )
    mail.add_argument("--policy", metavar="NAME", help="with --check: this policy alone")
