"""The connection of an admin is lost in the middle of a first sync: the sync goes on, and is found where it is.

``python -m benchmarks.attached`` does the same with 500 mailboxes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.acceptance.town import assert_no_doubles, town
from tests.serve.engine import Engine, syncline
from tests.serve.test_ssh import Console, made_key, trusting
from tui import exits

#: Items that are synchronised while nobody is there.
ALONE = 10

STARTED, FINISHED = "first sync started", "first sync finished"


@contextmanager
def followed(engine: Engine) -> Iterator[IO[str]]:
    """What happens in the mailboxes, line by line as it happens."""
    words = syncline("events", "--follow", "--json", "--data-dir", str(engine.folder))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=engine.env) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.terminate()


def test_the_sync_goes_on_and_is_found_where_it_is(tmp_path: Path) -> None:
    key = made_key(tmp_path, "alice")
    with ExitStack() as stack:
        place = stack.enter_context(town(tmp_path / "town", users=3))
        engine = stack.enter_context(trusting(tmp_path, key))
        alice = Console(engine, key, (140, 40))
        stack.callback(alice.close)
        alice.until(b"No policy yet")
        lines = stack.enter_context(followed(engine))
        applied = engine.run("apply", "-", given=place.config(policy="enabled = true"))
        assert applied.returncode == exits.OK, applied.stderr

        told = Counter[str]()

        def until(items: int, finished: int = 0) -> None:
            """Read on until so many items and mailboxes more have been told."""
            items += told["item"]
            while told["item"] < items or told[FINISHED] < finished:
                one = json.loads(next(lines))
                told[one["level"]] += 1
                told.update(text for text in (STARTED, FINISHED) if text in one["text"])

        until(items=1)
        os.kill(alice.pid, signal.SIGKILL)
        assert alice.ended() == -signal.SIGKILL
        until(items=ALONE, finished=1)

        again = Console(engine, key, (140, 40))
        stack.callback(again.close)
        again.until(b"Demo")
        again.type(b"2")
        again.until("✓ idle".encode())  # who has finished meanwhile
        until(items=0, finished=len(place.users))
        again.until(f"✓ idle {len(place.users)}".encode())
        assert told[STARTED] == told[FINISHED] == len(place.users)  # nobody's began anew
        assert_no_doubles(place)
        verified = engine.run("verify")
        assert verified.returncode == exits.OK, verified.stdout
