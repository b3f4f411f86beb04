"""Where the file-to-file commands read and write: what cannot be is said before the work, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from residency.cli import app
from residency.curate.deidentify import Deidentify
from residency.errors import ProjectError, RecordError, ResidencyError, StoreError
from residency.file_to_file import Options, deidentify_file
from residency.run.progress import Silent
from residency.store.files import whole_file, writable_file, write_text

NOTE = {"id": 1, "text": "Dr. Brennan saw her on 3 May 2019. No ataxia.", "phi": [], "findings": []}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESIDENCY_KEY", "ab" * 32)
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(NOTE) + "\n", encoding="utf-8")
    return path


def refusal(*arguments: object) -> ResidencyError:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, ResidencyError), result.exception
    return result.exception


class Untouched(Silent):
    """Fails where the work begins."""

    def begin(self, stage: str, total: int | None = None, unit: str = "") -> None:
        raise AssertionError("the work began")


def names(tmp_path: Path) -> dict[str, tuple[str, str]]:
    """Targets that cannot be written, by what is said of them."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    return {
        "null": ("/dev/null", "device"),
        "pipe": (str(tmp_path / "pipe"), "pipe"),
        "here": (".", "a folder"),
        "empty": ("", "a folder"),
        "loop": (str(tmp_path / "loop"), "back to itself"),
        "long": (str(tmp_path / ("x" * 300)), "longer than"),
        "below a file": (str(tmp_path / "file" / "out"), "is a file, not a folder"),
        "proc": ("/proc/nowhere/out.jsonl", "cannot be written"),
    }


@pytest.mark.parametrize("name", ["null", "pipe", "here", "empty", "loop", "long", "below a file", "proc"])
def test_a_target_that_cannot_be_written_is_refused_before_the_work(source: Path, tmp_path: Path, name: str) -> None:
    target, problem = names(tmp_path)[name]
    with pytest.raises(StoreError, match=problem):
        deidentify_file(source, Path(target), Deidentify(), Options(pack="neurology", workers=1), Untouched())
    assert problem in refusal("deidentify", "--evaluate", source, "-o", target).message
    assert problem in refusal("extract", source, "-o", target).message


@pytest.mark.parametrize("name", ["null", "pipe", "here", "loop", "long", "below a file"])
def test_a_source_that_is_no_file_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    path, problem = names(tmp_path)[name]
    for command in (["extract", path, "-o", tmp_path / "out"], ["deidentify", "--evaluate", path]):
        error = refusal(*command)
        assert isinstance(error, RecordError) and problem in error.message


def test_a_device_is_still_a_device_afterwards(source: Path) -> None:
    refusal("extract", source, "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


def test_behind_a_link_the_file_is_replaced_and_the_link_stays(source: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, dangling = tmp_path / "link.jsonl", tmp_path / "dangling.jsonl"
    link.symlink_to("real/out.jsonl")
    dangling.symlink_to("real/new.jsonl")
    (tmp_path / "real" / "out.jsonl").write_text("old")
    for place, behind in ((link, "out.jsonl"), (dangling, "new.jsonl")):
        assert CliRunner().invoke(app, ["extract", str(source), "-o", str(place)]).exit_code == 0
        assert place.is_symlink() and '"findings"' in (tmp_path / "real" / behind).read_text()


@pytest.mark.parametrize("kind", ["same", "symbolic", "hard"])
def test_the_known_answers_are_never_overwritten(source: Path, tmp_path: Path, kind: str) -> None:
    target = source if kind == "same" else tmp_path / "other.jsonl"
    if kind == "symbolic":
        target.symlink_to(source)
    if kind == "hard":
        target.hardlink_to(source)
    before = source.read_bytes()
    for command in ("deidentify", "extract"):
        error = refusal(command, "--evaluate", source, "-o", target)
        assert isinstance(error, ProjectError) and "would replace the input" in error.message
    assert source.read_bytes() == target.read_bytes() == before


def test_a_name_as_long_as_the_disk_allows_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new"


def test_a_file_on_standard_input_can_be_read_by_several_processes(source: Path, tmp_path: Path) -> None:
    source.write_text("".join(json.dumps({**NOTE, "id": n}) + "\n" for n in range(100)))
    command = [sys.executable, "-c", "from residency.cli import main; main()", "extract", "/dev/stdin"]
    with source.open() as stdin:
        subprocess.run([*command, "-o", tmp_path / "out", "--workers", "2"], stdin=stdin, check=True)
    assert len((tmp_path / "out").read_text().splitlines()) == 100


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    stale, users = tmp_path / ".out.abcd_123.part", [tmp_path / ".out.abcd_123", tmp_path / ".out2.abcd_123.part"]
    for path in (stale, *users):
        path.write_text("x")
    with whole_file(tmp_path / "out") as mine:
        assert not stale.exists()
        write_text(tmp_path / "out", "another process")
        assert mine.exists()  # at work, so not stale
        mine.write_text("new")
    assert (tmp_path / "out").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["out", *(path.name for path in users)])


def test_looking_whether_a_file_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    assert writable_file(tmp_path / "a" / "b" / "out") == tmp_path / "a" / "b" / "out"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["deidentify", "IN", "--evaluate", "GOLD"],
        ["deidentify", "IN", "-o", "OUT", "--project", "x"],
        ["deidentify", "-o", "OUT"],
        ["deidentify", "--mode", "tag"],
        ["deidentify", "--no-organizations"],
        ["deidentify", "--evaluate", "GOLD", "--mode", "tag"],
        ["deidentify", "--evaluate", "GOLD", "--policy", "safe_harbor"],
        ["extract", "IN", "--evaluate", "GOLD"],
        ["review", "--release", "--doubtful", "--who", "Pat"],
    ],
)
def test_options_that_would_change_nothing_are_refused(arguments: list[str]) -> None:
    error = refusal(*arguments)
    assert isinstance(error, ProjectError)
    assert any(word in error.message for word in ("--", "one at a time")) and "no such file" not in error.message
