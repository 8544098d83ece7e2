"""What a calm day looks like, to compare the wild ones with."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.acceptance.engine_process import start
from tests.acceptance.town import assert_idle, portrait, town

Portraits = dict[str, Counter[str]]


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Portraits:
    """The mailboxes of the small company of two after a first sync that nobody disturbed."""
    folder = tmp_path_factory.mktemp("calm")
    with town(folder) as place:
        (folder / "demo.toml").write_text(place.config(policy="enabled = true"), encoding="utf-8")
        process = start(folder)
        process.join(timeout=60)
        assert process.exitcode == 0
        assert_idle(json.loads((folder / "report.json").read_text(encoding="utf-8")))
        return {user: portrait(place, user) for user in place.users}
