"""The reference page and the example file are what the program does."""

from __future__ import annotations

from pathlib import Path

from engine.model.config import parse
from engine.model.config_doc import page
from engine.model.modules import Direction, Module

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_page_is_up_to_date() -> None:
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == page(), (
        "run: python -m engine.model.config_doc > docs/configuration.md"
    )


def test_the_example_can_be_applied() -> None:
    configuration = parse((DOCS / "example.toml").read_text(encoding="utf-8"), "example.toml")
    (policy,) = configuration.policies
    assert configuration.enabled == {"Acme Sales": None}
    assert policy.settings(Module.TASK).direction is Direction.TO_MAILBOX
    assert not policy.on(Module.CASE)
    assert len(configuration.users) == 2
