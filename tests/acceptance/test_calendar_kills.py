"""An engine that is killed in runs of CalendarSynchronization loses nothing, doubles nothing, and mails nobody."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance.calendar_kills import rampage

#: A few in every run; ``python -m tests.acceptance.calendar_kills`` as many as one likes, of as many mailboxes.
KILLS = int(os.environ.get("CALENDAR_KILLS", "5"))


def test_killed_runs_of_the_calendar_job_lose_and_double_nothing(tmp_path: Path) -> None:
    figures = rampage(tmp_path, 3, KILLS, 7)
    assert figures.kills.total() == KILLS
    assert figures.edits["cancelled in Outlook"]
    assert figures.edits["cancelled in the CRM"]
