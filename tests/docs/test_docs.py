"""The documentation cannot lie: its code runs, its commands and files exist, its words are the code's words."""

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

from residency import records
from residency.cli import app
from residency.story import STAGES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_code_of_the_pages_runs(block):
    exec(compile(block, "documentation", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_commands_that_a_page_names_exist(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:src|docs|tests|bench|scripts|examples)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`((?:curate|tune|evaluate|models|store|packs|run)/[\w./]*)`", text):
        assert (ROOT / "src" / "residency" / path).exists(), path
    commands = set(get_command(app).commands)
    for command in re.findall(r"(?:bin/|`)residency ([a-z]+)", text):
        assert command in commands, command
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, target


def test_the_glossary_knows_every_noun_and_every_stage():
    glossary = (ROOT / "GLOSSARY.md").read_text()
    classes = [kind for kind in vars(records).values() if inspect.isclass(kind)]
    nouns = [kind.__name__ for kind in classes if kind.__module__ == records.__name__]
    assert [noun for noun in nouns if not re.search(rf"\b{noun}\b", glossary)] == []
    assert [stage for stage in STAGES if stage not in glossary] == []


def test_every_module_opens_with_its_place_in_the_house():
    """In and Out, or Covers, in every module that is not a package marker or a fixed list of errors."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        opening = path.read_text().partition('"""')[2].partition('"""')[0]
        assert "Covers" in opening or path.name == "__init__.py", path
