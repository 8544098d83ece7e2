"""``syncline mail``: mails that were filed to the CRM, that wait, or that were refused; a check now, and trying again."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from datetime import tzinfo

from engine.service import FiledRow, RetryFiling, Service
from tui import exits
from tui.exits import Trouble
from tui.out import Out
from tui.printing import plain, table, when
from tui.run import running


async def mail(service: Service, given: Namespace, out: Out) -> int:
    """List filed mails, look at the drop labels, or have some tried again.

    Raises:
        Trouble: nothing of it could be done.
    """
    if given.policy and not given.check:
        raise Trouble(exits.USAGE, "--policy needs --check; --mailbox lists one mailbox")
    if given.retry:
        answer = await service.do(RetryFiling(tuple(given.retry)), out.by)
        if not answer.ok:
            raise Trouble(exits.USAGE, answer.text, answer.details)
        out.print(answer.text)
        return exits.OK
    faults = []
    if given.check:
        async with running(service, schedule=False):
            runs = await service.check_labels(given.policy, out.by)
        faults = [f"{run.job}: {run.note}" for run in runs if run.result != "ok"]
        for run in runs:
            out.warn(f"{run.job}: {run.note}")
    rows = await service.filed(given.mailbox, words=given.words, states=given.state, most=max(given.limit, 1))
    if given.json:
        out.show({"rows": [dataclasses.asdict(row) for row in rows], "faults": faults})
    else:
        out.print(mail_text(rows, out.zone))
    return exits.FAULTS if faults else exits.OK


def mail_text(rows: Sequence[FiledRow], zone: tzinfo | None) -> str:
    """The mails as a table."""
    if not rows:
        return "no mail was put under a drop label, as far as these words go"
    lines = [
        [
            str(row.id),
            row.email,
            row.state,
            plain(row.subject or "(not read yet)", 50),
            plain(f"{row.module} {row.name}".strip(), 40),
            when(row.at_ms, zone),
            plain(row.reason, 200),
        ]
        for row in rows
    ]
    return "\n\n".join(
        [
            table(["id", "mailbox", "state", "mail", "record", "seen", "why"], lines),
            "mail --retry ID... tries refused ones again; why mail#ID explains one",
        ]
    )
