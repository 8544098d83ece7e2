"""The disk fails at some operations of the ledger: nothing is lost, doubled or sent without a note of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.port import CreateKey
from tests.sync.disk_faults import FAULTS, main, sweep

#: Runs of each kind of fault.
RUNS = 9


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_disk_fails_at_any_operation_and_nothing_is_lost_or_doubled(
    tmp_path: Path, fault: str
) -> None:
    first = list(FAULTS).index(fault)
    key = list(CreateKey)[first % len(CreateKey)]
    _, struck = await sweep(tmp_path, fault, key, runs=RUNS, first=7 * first)
    assert struck > RUNS // 2


def test_wrong_arguments_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--runs", "0"])
    assert "--runs must be at least 1" in capsys.readouterr().err
