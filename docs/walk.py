"""``python docs/walk.py``: walks through the app for a minute and writes ``docs/walk.svg``, the moving picture of the README.

The app is the real one, over the fixed rows of the screen tests, so that the same code gives the same picture.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "walk.svg"

for _name in ("NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)
os.environ["TEXTUAL_ANIMATIONS"] = "none"
sys.path.insert(0, str(ROOT))

from engine.service import Actor, Role  # noqa: E402 - after the environment
from tests.screens import fake  # noqa: E402
from tui.app import SynclineApp  # noqa: E402

SIZE = (100, 28)
_BAR = 64


@dataclass(frozen=True)
class Scene:
    """One picture: what is told below it, what is pressed for it, and for how many seconds it stands."""

    told: str
    keys: Sequence[str] = ()
    seconds: float = 6
    rows: str = ""  # begins a new app over these rows; empty goes on where the last one was


SCENES = (
    Scene(
        "Every policy with its state: which CRM, which mailboxes, what waits, when it runs next", rows="running"
    ),
    Scene("j moves. A policy that is off, and what it would do, below the list", ["j"], 5),
    Scene("o opens the checklist of its first sync: what is right, and the key that mends the rest", ["o"], 7),
    Scene("2 is the Queue: who is in trouble, who works, who waits, and why", ["escape", "2"], 7),
    Scene("/ filters as you type: state:active policy:emea", ["slash", *"state:active policy:emea"], 5),
    Scene("3 shows each mailbox at work, line by line", ["enter", "escape", "3"], 7),
    Scene("Something fails: it is told on every screen, with whom and why", ["2"], 6, rows="error"),
    Scene(
        "! goes to the fault, Enter opens the mailbox: what failed, and what to do",
        ["exclamation_mark", "enter"],
        7,
    ),
    Scene("4 lists the jobs with their past and next runs", ["escape", "4"], 5),
    Scene("? tells the keys of where you are. q leaves: the sync goes on", ["question_mark"], 5),
)


async def pictures() -> list[str]:
    """The scenes as SVGs."""
    found: list[str] = []
    rest = list(SCENES)
    while rest:
        act = [rest.pop(0)]
        while rest and not rest[0].rows:
            act.append(rest.pop(0))
        service = fake.FakeService({"running": fake.running, "error": fake.error}[act[0].rows]())
        service.history = [run for job in service.store.jobs for run in fake.history(job)]
        app = SynclineApp(service, Actor("alice@ops-01", Role.ADMIN), zone=fake.ZONE, pull_seconds=None)
        async with app.run_test(size=SIZE) as pilot:
            for scene in act:
                await pilot.pause()
                await pilot.press(*scene.keys)
                await pilot.pause()
                found.append(app.export_screenshot(title="syncline"))
    return found


def joined(frames: Sequence[str]) -> str:
    """One SVG that shows its frames one after the other, for ever."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', frames[0])
    assert box is not None
    width, height = float(box[1]), float(box[2])
    whole = sum(scene.seconds for scene in SCENES)
    style, body, begun = [], [], 0.0
    for number, (frame, scene) in enumerate(zip(frames, SCENES, strict=True)):
        first, last = 100 * begun / whole, 100 * (begun + scene.seconds) / whole
        begun += scene.seconds
        steps = f"{first:.3f}% {{ visibility: visible }} {last:.3f}% {{ visibility: hidden }}"
        if number:
            steps = "0% { visibility: hidden } " + steps
        style.append(f"@keyframes f{number} {{ {steps} 100% {{ visibility: hidden }} }}")
        style.append(f".f{number} {{ visibility: hidden; animation: f{number} {whole:g}s step-end infinite }}")
        # The names of a frame's styles and clips are its own.
        inner = re.sub(r"\bterminal-", f"t{number}-", re.sub(r"<!--.*?-->", "", frame, flags=re.S))
        inner = re.sub(r"@font-face\s*{.*?}", "", inner, flags=re.S)
        inner = re.sub(r"(?m)^[ \t]+|[ \t]+$", "", inner)
        inner = inner.replace(' viewBox="', f' width="{width:g}" height="{height:g}" viewBox="', 1)
        bar = (
            f'<rect x="0" y="{height:g}" width="{width:g}" height="{_BAR}" fill="#1f2937"/>'
            f'<text x="24" y="{height + 40:g}" fill="#ffffff" font-family="sans-serif" font-size="24">'
            f"{escape(scene.told)}</text>"
        )
        body.append(f'<g class="f{number}">{inner}{bar}</g>')
    # Who wants no movement sees the first frame.
    style.append(
        "@media (prefers-reduced-motion: reduce) { g { animation: none !important } .f0 { visibility: visible } }"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height + _BAR:g}">\n'
        "<title>A minute with Syncline</title>\n<style>\n"
        + "\n".join(style)
        + "\n</style>\n"
        + "\n".join(body)
        + "\n</svg>\n"
    )


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(joined(asyncio.run(pictures())), encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {len(SCENES)} scenes, {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
