"""Which original starts a series has: by them a cancellation is told from the echo of a moved series."""

from __future__ import annotations

import pytest

from engine.model.recurrence import in_series

BERLIN = {"utc": "2026-11-30T08:00:00Z", "zone": "Europe/Berlin"}
WEEKLY = ["RRULE:FREQ=WEEKLY;COUNT=8"]


@pytest.mark.parametrize(
    ("lines", "start", "occurrence", "listed"),
    [
        (WEEKLY, BERLIN, "2026-12-07T08:00:00Z", True),
        (WEEKLY, BERLIN, "2026-12-07T09:00:00Z", False),
        (WEEKLY, BERLIN, "2027-03-01T08:00:00Z", False),
        ([*WEEKLY, "EXDATE:20261207T090000"], BERLIN, "2026-12-07T08:00:00Z", True),
        # The same wall time on the other side of a clock change is another instant.
        (["RRULE:FREQ=WEEKLY"], BERLIN | {"utc": "2026-10-01T07:00:00Z"}, "2026-11-05T08:00:00Z", True),
        (["RRULE:FREQ=DAILY"], {"date": "2026-11-01"}, "2026-11-05", True),
        (["RRULE:FREQ=WEEKLY"], {"date": "2026-11-01"}, "2026-11-05", False),
        (["RRULE:FREQ=NEVER"], BERLIN, "2026-12-07T08:00:00Z", True),
    ],
)
def test_an_original_start_is_in_its_series_or_not(
    lines: list[str], start: dict[str, str], occurrence: str, listed: bool
) -> None:
    assert in_series(lines, start, occurrence) is listed
