"""One sandbox per test, with three mailboxes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.exchange.office import Office, office


@pytest.fixture
def exchange() -> Iterator[Office]:
    with office() as running:
        yield running
