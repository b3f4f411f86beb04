"""The recipe told twice gives the same run: the flat script and the library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import write_tiny_model

from residency.models.attach import quiet_peft
from residency.models.base import Precision, load_base
from residency.records import Example, Message, Split, TaskKind
from residency.tune.adapter import WEIGHTS
from residency.tune.lora import Recipe
from residency.tune.training import train

SCRIPT = Path(__file__).parents[2] / "examples" / "lora_by_hand.py"
# What the script has as constants; all else are the library's defaults.
RECIPE = Recipe(learning_rate=2e-3, epochs=2)
WORDS = ("ataxia", "dysarthria", "seizure", "tremor", "Patient", "no", "finding")


def lesson(number: int, split: Split = Split.TRAIN) -> Example:
    question = f"{WORDS[number % 7]} {WORDS[number * 3 % 7]} {number}, which is present?"
    return Example(
        id=f"e-{split}-{number}",
        task="findings",
        kind=TaskKind.GENERATE,
        messages=(Message(role="system", content="Answer."), Message(role="user", content=question)),
        answer=" ".join(WORDS[number % 3 : number % 5 + 2]),
        gold="",
        patient=f"p-{split}-{number}",
        split=split,
    )


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("bases") / "tiny")


def test_the_flat_script_and_the_library_give_the_same_losses_and_weights(model_folder, tmp_path) -> None:
    base = load_base(str(model_folder), precision=Precision.FP32, template_name="chatml", device="cpu")
    lessons = [lesson(number) for number in range(21)]  # the last batch of an epoch is a short one
    validation = [lesson(number, Split.VALIDATION) for number in range(3)]
    with (tmp_path / "lessons.jsonl").open("w") as file:
        for one in lessons:
            said = [*one.messages, Message(role="assistant", content=one.answer)]
            file.write(json.dumps({"messages": [{"role": m.role, "content": m.content} for m in said]}) + "\n")

    arguments = (model_folder, tmp_path / "lessons.jsonl", tmp_path / "by-hand")
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120
    )
    by_hand = [float(loss) for loss in re.findall(r"^step \d+ of 6: loss (.*)$", ran.stdout, re.MULTILINE)]
    adapter = train(lessons, validation, base, RECIPE, tmp_path / "library", labels={})

    assert by_hand == pytest.approx(adapter.card.losses, abs=2e-5) and len(by_hand) == 6
    assert by_hand[-1] < by_hand[0] - 0.05  # something was learned, so the curves could have differed
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("by-hand", "library"))
    assert one.keys() == other.keys() and adapter.card.best_step == 6
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-4), name


def test_peft_loads_what_the_script_wrote(model_folder, tmp_path) -> None:
    from peft import PeftModel

    (tmp_path / "lessons.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}) + "\n"
    )
    command = [sys.executable, str(SCRIPT), str(model_folder), str(tmp_path / "lessons.jsonl"), str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    base = load_base(str(model_folder), precision=Precision.FP32, template_name="chatml", device="cpu")
    with quiet_peft():
        loaded = dict(PeftModel.from_pretrained(base.fork(), str(tmp_path / "out")).named_parameters())
    written = load_file(tmp_path / "out" / WEIGHTS)
    assert len(written) == 2 * 7 * base.entry.shape.layers
    for name, tensor in written.items():
        assert torch.equal(loaded[name.replace(".weight", ".default.weight")], tensor)
