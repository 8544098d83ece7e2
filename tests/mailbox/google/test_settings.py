"""A Google connection's settings as an admin types them."""

from __future__ import annotations

import pytest

from engine.mailbox.google.settings import Api
from engine.mailbox.google.settings_text import KEYS, SettingsError, parse_settings


def test_a_key_file_is_enough() -> None:
    settings = parse_settings({"credentials_file": "key.json"})
    assert settings.endpoint(Api.CALENDAR) == "https://www.googleapis.com/calendar/v3/"
    assert settings.batch_url(Api.CALENDAR) == "https://www.googleapis.com/batch/calendar/v3"
    assert settings.quotas.calendar_per_user == 600


def test_everything_can_be_named() -> None:
    settings = parse_settings(
        {
            "credentials_file": "key.json",
            "token_uri": "http://127.0.0.1:9/token",
            "calendar_url": "http://127.0.0.1:9/calendar/v3/",
            "calendar_batch_url": "http://127.0.0.1:9/batch/calendar/v3",
            "gmail_batch_url": "",
            "calendar_batch": "20",
            "event_labels": "yes",
            "tasks_batch": "False",
            "default_region": "de",
            "timeout": "12.5",
            "quota_calendar_per_user": "300",
        }
    )
    assert settings.endpoint(Api.CALENDAR) == "http://127.0.0.1:9/calendar/v3/"
    assert settings.endpoint(Api.TASKS) == "https://tasks.googleapis.com/"
    assert settings.batch_url(Api.GMAIL) == ""
    assert settings.batch_url(Api.TASKS) == "https://tasks.googleapis.com/batch"
    assert settings.batch_size(Api.CALENDAR) == 20
    assert (settings.event_labels, settings.tasks_batch, settings.default_region) == (True, False, "DE")
    assert (settings.timeout, settings.quotas.calendar_per_user) == (12.5, 300)


def test_all_faults_are_told_at_once() -> None:
    bad = {
        "calender_url": "x",
        "calendar_url": "ftp://host/",
        "people_url": "https://user:pass-word@host/",
        "tasks_url": "http://host:port/",
        "calendar_batch": "0",
        "gmail_batch": "12.5",
        "timeout": "nan",
        "event_labels": "perhaps",
        "default_region": "Germany",
        "quota_tasks_per_day": "lots",
    }
    with pytest.raises(SettingsError) as caught:
        parse_settings(bad)
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == len(bad) + 1
    assert "credentials_file: must be given" in problems
    assert "calendar_batch: '0' is not a whole number from 1 to 1000" in problems
    assert "calender_url: no such setting; allowed are credentials_file" in problems
    assert "pass-word" not in problems


def test_keys_are_listed_once() -> None:
    assert len(set(KEYS)) == len(KEYS)
