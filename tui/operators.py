"""``syncline users``: the users of all policies with what they are synchronised with; as a file, and from a file."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from engine.service import ImportUsers, Service, UserImport, shown_value
from tui import exits, lists
from tui.exits import Trouble
from tui.out import Out
from tui.printing import plain, table

#: Rows of a preview that are printed; --json has them all.
MOST_SHOWN = 50

_SIGN = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def mapping(words: list[str]) -> tuple[tuple[str, str], ...]:
    """``FIELD=COLUMN`` options.

    Raises:
        Trouble: one of them is none.
    """
    found = []
    for word in words:
        name, equals, column = word.partition("=")
        if not equals:
            raise Trouble(exits.USAGE, f"--map {word!r} is not FIELD=COLUMN")
        found.append((name.strip(), column.strip()))
    return tuple(found)


async def users(service: Service, given: Namespace, out: Out) -> int:
    """List users, write them to a file, or take them from one."""
    if given.action == "import":
        return await _import(service, given, out)
    if given.action == "export":
        text = await service.export_users()
        if given.file is None or given.file == "-":
            out.print(text, end="")
        else:
            # With a mark, so that spreadsheets take it for what it is.
            await out.write(given.file, text.encode("utf-8-sig"))
            out.print(f"{given.file}: {text.count(chr(10)) - 1:,} users written")
        return exits.OK
    return await lists.users(service, given, out)


async def _import(service: Service, given: Namespace, out: Out) -> int:
    """Show what a file would do, and do it unless a cell is not right or it is a dry run."""
    source = "standard input" if given.file == "-" else given.file
    command = ImportUsers(source, await out.read(given.file), mapping(given.map or []), given.policy or "")
    found = await service.preview_import(command)
    stored = False
    text = ""
    if not found.rejects and not given.dry_run:
        answer = await service.do(command, out.by)
        if not answer.ok:
            raise Trouble(exits.USAGE, answer.text, answer.details)
        stored, text = True, answer.text
    if given.json:
        out.show({**preview_json(found), "stored": stored})
    else:
        out.print(preview_text(found))
        out.print()
        if stored:
            out.print(text)
        elif found.rejects:
            out.warn(f"syncline: {source}: {len(found.rejects):,} cells are not right; nothing was changed")
        else:
            out.print("dry run: nothing was changed")
    return exits.USAGE if found.rejects else exits.OK


def preview_json(found: UserImport) -> dict[str, Any]:
    """A preview as one JSON object."""
    return {
        "encoding": found.encoding,
        "delimiter": found.delimiter,
        "columns": dict(found.columns),
        "ignored": list(found.ignored),
        "adds": [{"line": line, **asdict(user)} for line, user in found.adds],
        "changes": [
            {
                "line": change.line,
                "email": change.user.email,
                "fields": {name: {"before": a, "after": b} for name, (a, b) in change.fields.items()},
            }
            for change in found.changes
        ],
        "same": found.same,
        "rejects": [asdict(reject) for reject in found.rejects],
    }


def preview_text(found: UserImport) -> str:
    """A preview for people: how the file was read, then rejects, adds and changes."""
    columns = ", ".join(f"{name} from {heading!r}" for name, heading in found.columns.items())
    sign = _SIGN.get(found.delimiter, found.delimiter)
    parts = [f"read as {found.encoding}, cells parted by a {sign}: {columns}"]
    if found.ignored:
        parts.append(f"columns without a meaning: {', '.join(found.ignored)}; --map FIELD=COLUMN gives one")
    if found.rejects:
        rejected = [
            [str(one.line), one.field or "row", plain(one.value, 40) or "-", plain(one.reason, 160)]
            for one in found.rejects[:MOST_SHOWN]
        ]
        parts.append(table(["line", "field", "value", "why it cannot be used"], rejected))
    if found.adds:
        added = [
            [
                str(line),
                user.email,
                user.policy,
                "yes" if user.calendar_sync else "no",
                user.exchange_email or "-",
            ]
            for line, user in found.adds[:MOST_SHOWN]
        ]
        parts.append(table(["line", "new user", "policy", "calendar sync", "exchange e-mail"], added))
    if found.changes:
        changed = [
            [str(change.line), change.user.email, name, shown_value(before), shown_value(after)]
            for change in found.changes[:MOST_SHOWN]
            for name, (before, after) in change.fields.items()
        ]
        parts.append(table(["line", "user", "field", "before", "after"], changed))
    hidden = sum(max(len(each) - MOST_SHOWN, 0) for each in (found.rejects, found.adds, found.changes))
    if hidden:
        parts.append(f"and {hidden:,} more rows; --json has them all")
    parts.append(
        f"{len(found.adds):,} to add, {len(found.changes):,} to change, {found.same:,} as they are, "
        f"{len(found.rejects):,} rejected"
    )
    return "\n\n".join(parts)
