"""Each of the twenty-five has a story of its number, or a reason why it cannot happen on today's providers."""

from __future__ import annotations

import re
from pathlib import Path

#: The cases, in the words of the list, and those providers of today on which they can happen.
CASES = {
    1: ("created, and the reply lost", "Google, Salesforce, Exchange"),
    2: ("repeated after a server error: two events, two invitations", "Google, Salesforce, Exchange"),
    3: ("closed in the middle of a sync; the next run deletes everything", "Google, Salesforce, Exchange"),
    4: ("a list that returns nothing", "Google, Salesforce, Exchange"),
    5: ("a source that vanishes and comes back", "Google, Salesforce, Exchange"),
    6: ("hundreds deleted after days away", "Google, Salesforce, Exchange"),
    7: ("a cursor that is gone, with deletes in the gap", "Google, Salesforce, Exchange"),
    8: ("lost history, endless reading", "Gmail"),
    9: ("a cursor that dies between two pages", "Google, Salesforce, Exchange"),
    10: ("a version that moves between read and write", "Google People, Exchange"),
    11: ("a stale base sent with a fresh version", "Google, Salesforce, Exchange"),
    12: ("moved away and back: deleted, and never heard of again", "Exchange"),
    15: ("this and following", "Google Calendar, Salesforce, Exchange"),
    16: ("deleted occurrences come back", "Google Calendar, Salesforce, Exchange"),
    17: ("an edit of a series loses its exceptions", "Google Calendar, Salesforce, Exchange"),
    18: ("an exception an hour off after a clock change", "Google Calendar, Salesforce, Exchange"),
    19: ("a whole day one day off", "Google Calendar, Salesforce, Exchange"),
    20: ("items at the edge of the window", "Google Calendar, Salesforce, Exchange"),
    21: ("values that are written back and forth", "Google, Salesforce, Exchange"),
    22: ("fields that are wiped", "Google People, Salesforce, Exchange"),
    23: ("a quota taken for a bad credential", "Google, Salesforce, Exchange"),
    24: ("guests who are mailed by a sync", "Google Calendar, Exchange"),
    25: ("poison, short lists, twins, taken ids, copied marks", "Google, Salesforce, Exchange"),
}

#: What no feed of Google, Exchange or Salesforce can show; these stories come with the providers that can.
ELSEWHERE = {
    13: "Microsoft Graph: a windowed delta that reports what is outside its window as removed",
    14: "Microsoft Graph: a calendar view of bare occurrences without their series",
}

STORY = re.compile(r"^(?:async )?def test_(\d\d)_\w+", re.MULTILINE)


def test_every_case_has_a_story_or_a_reason() -> None:
    assert sorted(CASES | ELSEWHERE) == list(range(1, 26))
    assert not CASES.keys() & ELSEWHERE.keys()
    told: set[int] = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        told |= {int(number) for number in STORY.findall(file.read_text(encoding="utf-8"))}
    assert told == set(CASES)
