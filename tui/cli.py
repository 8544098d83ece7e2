"""``syncline``: the app, and commands for scripts. What each does is in ``tui.run`` and ``tui.demo``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from tui import ask, entry, exits, filing_options, list_options, order_options, places
from tui.exits import Busy, Trouble

#: A command waits so long, in seconds, for an engine that starts or stops, or for another command.
_BETWEEN = 3.0

#: Kinds of items of the demo company, as the sandbox names them.
KINDS = ("contacts", "leads", "appointments", "calls", "service-calls", "tasks", "opportunities", "cases")

#: What can be done about an item that waits (``engine.service.Settle``).
WAYS = {
    "approve": "let held deletes through, or let the guests of held changes be mailed",
    "quiet": "let held changes of meetings go out without a mail to their guests",
    "discard": "give up held deletes or changes: the items stay until something changes about them",
    "restore": "give up held deletes, and make the items again where they were deleted",
    "retry": "look at held twins or quarantined items again",
    "both": "create held items beside what is there",
    "adopt": "use the item that the mailbox has as the twin, and merge both",
    "keep": "leave held items where they are, until they change",
    "dismiss": "give up quarantined items until they change on either side",
}

#: Modules, as ``engine.service.Module`` names them.
MODULES = (
    "contact",
    "lead",
    "appointment",
    "call",
    "service_call",
    "task",
    "opportunity",
    "case",
)

#: Kinds of rows of a preview that can be applied.
PREVIEW_KINDS = ("create", "update", "delete", "merge")

MOST_USERS = 5_000
MOST_ITEMS = 5_000_000


class _Parser(argparse.ArgumentParser):
    """argparse with one clear message for an error."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave."""
        self.exit(exits.USAGE, f"{self.prog}: {message}\n{self.prog} --help tells more\n")


def _whole(low: int, high: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number from {low} to {high} is")
    return value


def _users(text: str) -> int:
    return _whole(1, MOST_USERS, text)


def _items(text: str) -> int:
    return _whole(0, MOST_ITEMS, text)


def _seed(text: str) -> int:
    return _whole(0, 2**63, text)


def _id(text: str) -> int:
    return _whole(1, 2**62, text)


def _common() -> _Parser:
    """Options that every command takes, before or after its name."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--data-dir", type=Path, metavar="DIR", help="where the engine keeps its ledger")
    common.add_argument("--ascii", action="store_true", help="no signs beyond ASCII")
    common.add_argument("--theme", choices=("dark", "light", "plain"), help="colours of the app")
    return common


def _shapes(command: argparse.ArgumentParser, csv: str = "as CSV, times in UTC") -> None:
    """How a command that lists something prints it."""
    shape = command.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="as one JSON object")
    shape.add_argument("--csv", action="store_true", help=csv)


def parser() -> _Parser:
    """The whole command line."""
    common = _common()
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exits.MEANING.items())
    top = _Parser(
        prog="syncline",
        allow_abbrev=False,
        description="Keeps a CRM and the mailboxes of Google Workspace and Exchange in step. Without a command: the app.",
        epilog=f"exit codes:\n{codes}\n\ndefault data directory: {places.data_dir()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    top.add_argument("--version", action="version", version=f"syncline {version('syncline')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, text: str) -> _Parser:
        return commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)

    demo = command("demo", "the app on a generated company, over loopback servers")
    demo.add_argument("--headless", action="store_true", help="no app: run one sync, verify, report")
    demo.add_argument("--json", action="store_true", help="with --headless: one JSON object")
    demo.add_argument("--fresh", action="store_true", help="forget the last demo first")
    demo.add_argument("--users", type=_users, metavar="N", help="mailboxes of a new company (default 5)")
    demo.add_argument("--seed", type=_seed, metavar="S", help="another seed is another company")
    for kind in KINDS:
        demo.add_argument(
            f"--{kind}", type=_items, metavar="N", help=f"{kind.replace('-', ' ')} of a new company"
        )

    serve = command("serve", "the engine without a terminal, until SIGTERM; syncline attaches to it")
    serve.add_argument("--socket", metavar="PATH", help="listen here instead of in the runtime directory")
    serve.add_argument(
        "--ssh",
        metavar="[HOST:]PORT",
        default="",
        help="listen for admins over SSH as well (extra: syncline[ssh])",
    )
    serve.add_argument("--ready-fd", type=int, metavar="N", help=argparse.SUPPRESS)
    serve.add_argument("--demo", action="store_true", help=argparse.SUPPRESS)
    attach = command("attach", "a console of a running engine; syncline without a word starts one if need be")
    attach.add_argument("--socket", metavar="PATH", help="the engine listens here")

    apply = command("apply", "store connections, policies and users from a file, all or nothing")
    apply.add_argument("file", metavar="FILE.toml", help="see docs/configuration.md; - is standard input")
    command("export", "print the stored configuration as a file that apply takes")
    sync = command("sync", "run the cycles without the app, until SIGTERM")
    sync.add_argument("--once", action="store_true", help="one full sync cycle now, then leave")
    sync.add_argument("--policy", metavar="NAME", help="with --once: this policy alone")
    sync.add_argument("--json", action="store_true", help="report as one JSON object")
    status = command("status", "policies, users and jobs as they stand")
    _shapes(status, "the policies as CSV, times in UTC")
    verify = command("verify", "read back from the mailboxes what was synced, and tick it")
    verify.add_argument("--policy", metavar="NAME", help="this policy alone")
    _shapes(verify)
    held = command("held", "what waits for you: held deletes and twins, quarantine; list it or settle it")
    held.add_argument("--policy", metavar="NAME", help="this policy alone")
    held.add_argument("--mailbox", metavar="ADDRESS", help="this mailbox alone")
    _shapes(held)
    held.add_argument("--all-deletes", action="store_true", help="instead of IDs: all deletes of --mailbox")
    ways = held.add_mutually_exclusive_group()
    for way, text in WAYS.items():
        ways.add_argument(f"--{way}", nargs="*", type=_id, metavar="ID", help=text)
    conflicts = command("conflicts", "fields that both sides changed and that wait for you; list or decide")
    conflicts.add_argument(
        "words",
        nargs="*",
        metavar="MAILBOX | decide ID",
        help="this mailbox alone; or the fields to decide about",
    )
    conflicts.add_argument("--policy", metavar="NAME", help="this policy alone")
    chosen = conflicts.add_mutually_exclusive_group()
    chosen.add_argument("--keep", choices=("crm", "mailbox"), help="decide: whose value both sides get")
    chosen.add_argument("--value", metavar="TEXT", help="decide: a value for both sides; '' clears the field")
    _shapes(conflicts)
    filing_options.options(
        command("mail", "mails that were filed to the CRM, that wait, or that were refused; check, retry")
    )
    preview = command(
        "preview",
        "show what the next cycle or the first sync would do, and write nothing; apply it in whole or in part, or drop it",
    )
    preview.add_argument("words", nargs="+", metavar="[apply | drop] POLICY", help="the policy; it may be off")
    preview.add_argument("--user", metavar="EMAIL", help="this mailbox alone")
    preview.add_argument("--last", action="store_true", help="show the last preview instead of making one")
    preview.add_argument("--details", action="store_true", help="every item with its fields before and after")
    preview.add_argument(
        "--ids", nargs="+", metavar="ID", help="with apply: these rows alone, as --details names them"
    )
    preview.add_argument("--module", nargs="+", choices=MODULES, help="with apply: these modules alone")
    preview.add_argument("--kind", nargs="+", choices=PREVIEW_KINDS, help="with apply: these kinds alone")
    preview.add_argument(
        "--json", action="store_true", help="as one JSON object; with --details one line per row"
    )
    check = command("checklist", "what must be right before the first sync of a policy, and what puts it right")
    check.add_argument("policy", metavar="POLICY", help="the policy; it is off")
    check.add_argument(
        "--last", action="store_true", help="go by the last test of the connections instead of making one"
    )
    check.add_argument("--json", action="store_true", help="as one JSON object")
    why = command("why", "why an item, a mailbox or a job stands as it does, and what comes next")
    why.add_argument(
        "query",
        nargs="+",
        metavar="QUERY",
        help="a mailbox of a policy, a job, or an item: #LINK, its id at a provider, an e-mail address, words of its name",
    )
    why.add_argument("--user", metavar="EMAIL", help="look for an item in this mailbox alone")
    why.add_argument(
        "--filtered", action="store_true", help="with a mailbox: list what does not cross over, and why"
    )
    why.add_argument("--json", action="store_true", help="as one JSON object")
    audit = command("audit", "who asked for what, from where, how it stood before and after; youngest first")
    audit.add_argument("words", nargs="*", metavar="WORD", help="entries with all these words")
    audit.add_argument("--limit", type=_items, default=200, metavar="N", help="at most so many (default 200)")
    _shapes(audit)
    for name, text in list_options.LISTS.items():
        list_options.add_arguments(name, command(name, text))
    for name, text in order_options.ORDERS.items():
        order_options.add_arguments(name, command(name, text))
    roll = command("rollout", "how far a policy's roll-out is; admit the next wave, all, or nobody else")
    roll.add_argument("policy", metavar="POLICY")
    roll.add_argument("move", nargs="?", choices=("next", "all", "stop"), help="without it: show the waves")
    roll.add_argument("--json", action="store_true", help="as one JSON object")
    support = command(
        "support", "a file for somebody who helps: configuration, state, logs; no secrets, no items"
    )
    support.add_argument("file", metavar="FILE.zip")
    support.add_argument(
        "--anonymise",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace addresses, and names that messages quote (on unless --no-anonymise)",
    )
    doctor = command("doctor", "test every connection and tell what to do")
    _shapes(doctor)
    incident = command("incidents", "what is wrong, since when, and what became of its mails")
    incident.add_argument("--all", action="store_true", help="those that are over as well")
    _shapes(incident)
    about = incident.add_mutually_exclusive_group()
    about.add_argument("--ack", nargs="+", type=_id, metavar="ID", help="somebody has seen them")
    about.add_argument(
        "--drop-mails",
        metavar="ADDRESS",
        help="give up the failure mails to an address that cannot be delivered",
    )
    about.add_argument("--retry-mails", action="store_true", help="try the failure mails that wait once more")
    commands.add_parser("sandbox", help="loopback servers that speak the providers' APIs (sandbox --help)")
    return top


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line with its defaults filled in. Leaves the process with 2 on wrong usage."""
    top = parser()
    given = top.parse_args(words)
    for name, default in (("data_dir", None), ("ascii", False), ("theme", "dark")):
        if not hasattr(given, name):
            setattr(given, name, default)
    if given.command == "sandbox":
        top.error("sandbox takes its own options only: syncline sandbox --help")
    if given.command == "demo" and given.json and not given.headless:
        top.error("demo --json needs --headless")
    if given.command == "preview":
        action = given.words[0] if len(given.words) > 1 else ""
        if len(given.words) > 2 or action not in {"", "apply", "drop"}:
            top.error(
                "preview takes a policy, or apply POLICY, or drop POLICY; a name with blanks needs quotes"
            )
        if action != "apply" and (given.ids or given.module or given.kind):
            top.error("preview --ids, --module and --kind need apply")
        if action and (given.last or given.details):
            top.error(f"preview {action} takes neither --last nor --details")
    if given.command == "held":
        way = next((each for each in WAYS if getattr(given, each) is not None), None)
        if given.all_deletes and (way not in {"approve", "discard", "restore"} or not given.mailbox):
            top.error("held --all-deletes needs --approve, --discard or --restore, and --mailbox")
        if way is not None and bool(getattr(given, way)) is given.all_deletes:
            top.error(
                f"held --{way} needs the IDs that held lists" + (", or --all-deletes" * given.all_deletes)
            )
    if given.command == "conflicts":
        given.mailbox, given.ids = _about_conflicts(given, top)
    wrong = order_options.usage(given) if given.command in order_options.ORDERS else None
    if given.command in list_options.LISTS:
        wrong = list_options.usage(given)
    if wrong is not None:
        top.error(wrong)
    if given.data_dir is None:
        home = Path(places.data_dir())
        given.data_dir = home / "demo" if given.command == "demo" else home
    given.data_dir = given.data_dir.expanduser().absolute()
    return given


def _about_conflicts(given: argparse.Namespace, top: _Parser) -> tuple[str | None, list[int]]:
    """The mailbox to list, or the conflicts to decide about."""
    deciding, words = given.words[:1] == ["decide"], given.words[1:]
    chosen = given.keep is not None or given.value is not None
    if not deciding:
        if chosen:
            top.error("--keep and --value need: conflicts decide ID...")
        if words:
            top.error("conflicts takes one mailbox at most")
        return (given.words or [None])[0], []
    wrong = [word for word in words if not word.isdecimal() or not 0 < int(word) < 2**62]
    if wrong:
        top.error(f"conflicts decide: {wrong[0]!r} is no ID that conflicts lists")
    if not words:
        top.error("conflicts decide needs the IDs that conflicts lists")
    if not chosen:
        top.error("conflicts decide needs --keep crm, --keep mailbox or --value TEXT")
    return None, [int(word) for word in words]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the return value is the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Ledger, logs and files of the demo are for this user alone.
    os.umask(0o077)
    if words[:1] == ["sandbox"]:
        os.execv(sys.executable, [sys.executable, "-m", "engine.sandbox", *words[1:]])  # noqa: S606
    given = parse(words)
    try:
        code = _run(given, words)
        sys.stdout.flush()
        if code == exits.INTERRUPTED:
            _tell("syncline: interrupted; the next run goes on from there")
        return code
    except Trouble as trouble:
        for line in (f"syncline: {trouble}", *trouble.details):
            _tell(line)
        return trouble.code
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Who read our output has seen enough; Python must not complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exits.OK
    except Exception as error:
        return _internal(given.data_dir, error)


def _tell(line: str) -> None:
    """A line for people, if there still is a terminal."""
    with suppress(OSError):
        print(line, file=sys.stderr)


def _run(given: argparse.Namespace, words: Sequence[str]) -> int:
    # Imported late: --help, wrong usage and what a running engine does need not wait for the engine.
    if given.command == "serve":
        from tui.serve.surroundings import cleanse

        cleanse()
        from tui.serve.engine import serve

        return serve(given)
    if given.command == "demo":
        from tui.demo import demo

        return demo(given)
    if given.command in {None, "attach"}:
        socket = getattr(given, "socket", None) or ""
        return entry.console(
            entry.Wanted(
                str(given.data_dir), socket, given.theme, given.ascii, only_attach=given.command == "attach"
            )
        )
    until = time.monotonic() + _BETWEEN
    while True:
        try:
            engine = ask.connect(str(given.data_dir))
        except PermissionError:
            raise Trouble(
                exits.UNUSABLE, f"an engine works on {given.data_dir}, and this user may not connect to it"
            ) from None
        if engine is not None:
            return ask.ask(engine, words)
        from tui.commands import PATIENT, here

        # An engine that starts or stops has the data directory, and does not listen. Nothing was begun or read yet.
        once = given.command in PATIENT or getattr(given, "file", None) == "-"
        try:
            return asyncio.run(here(given))
        except Busy:
            if once or time.monotonic() >= until:
                raise
        time.sleep(0.1)


def _internal(data_dir: Path, error: Exception) -> int:
    """A fault of ours: one line here, the traceback (without values) in a file."""
    where = data_dir / "fault.log"
    told = ""
    with suppress(OSError), where.open("a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
        told = f"; details in {where}"
    _tell(f"syncline: internal error ({type(error).__name__}), nothing was lost{told}")
    return exits.UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
