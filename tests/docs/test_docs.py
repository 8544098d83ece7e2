"""The documentation points to what is there: pictures, pages, headings; and the moving picture tells its whole story."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def targets(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    found = re.findall(r"!?\[[^\]]*\]\(([^()\s]+)\)", text)
    return [one for one in found if not re.match(r"[a-z]+:", one)]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_page_that_is_pointed_to_is_there(page: Path) -> None:
    gone = []
    for target in targets(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            gone.append(target)
    assert not gone


def test_the_guide_has_pictures_of_the_screens() -> None:
    pictures = [one for one in targets(ROOT / "docs" / "guide.md") if one.endswith(".svg")]
    assert len(pictures) >= 6
    assert all("snapshots/" in one for one in pictures)


def test_the_walk_through_of_the_readme_is_that_of_its_script() -> None:
    spec = importlib.util.spec_from_file_location("walk", ROOT / "docs" / "walk.py")
    assert spec is not None
    assert spec.loader is not None
    walk = importlib.util.module_from_spec(spec)
    sys.modules["walk"] = walk
    try:
        spec.loader.exec_module(walk)
    finally:
        del sys.modules["walk"]
    told = (ROOT / "docs" / "walk.svg").read_text(encoding="utf-8")
    assert all(scene.told.replace("&", "&amp;") in told for scene in walk.SCENES)
    assert sum(scene.seconds for scene in walk.SCENES) == 60
    assert "docs/walk.svg" in targets(ROOT / "README.md")
    assert len(told) < 1_000_000
