"""An independent client: Google Calendar Simple API (gcsa) works against the sandbox."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from gcsa.event import Event
from gcsa.google_calendar import GoogleCalendar
from gcsa.recurrence import DAILY, Recurrence
from google.oauth2 import service_account

from tests.sandbox.google.conftest import ANNA, SCOPES, Google

ZURICH = ZoneInfo("Europe/Zurich")


def test_gcsa_reads_and_writes(google: Google) -> None:
    credentials = service_account.Credentials.from_service_account_file(
        str(google.key), scopes=SCOPES["calendar"], subject=ANNA
    )
    calendar = GoogleCalendar(credentials=credentials)
    calendar.service._baseUrl = f"{google.url}/calendar/v3/"
    made = calendar.add_event(
        Event(
            "Stand-up",
            start=datetime(2026, 11, 23, 9, 0, tzinfo=ZURICH),
            end=datetime(2026, 11, 23, 9, 15, tzinfo=ZURICH),
            timezone="Europe/Zurich",
            recurrence=Recurrence.rule(freq=DAILY, count=3),
        )
    )
    calendar.add_event(Event("Holiday", start=date(2026, 12, 24), end=date(2026, 12, 25)))
    found = list(
        calendar.get_events(date(2026, 11, 1), date(2026, 12, 31), single_events=True, order_by="startTime")
    )
    assert [one.summary for one in found] == ["Stand-up"] * 3 + ["Holiday"]
    november = (datetime(2026, 11, 1, tzinfo=ZURICH), datetime(2026, 12, 1, tzinfo=ZURICH))  # else: from now on
    assert len(list(calendar.get_instances(made, *november))) == 3
    made.summary = "Daily"
    assert calendar.update_event(made).summary == "Daily"
    calendar.delete_event(made)
    assert [one.summary for one in calendar.get_events(date(2026, 11, 1), date(2026, 12, 31))] == ["Holiday"]
    assert [one.primary for one in calendar.get_calendar_list()] == [True]
    calendar.service.close()
