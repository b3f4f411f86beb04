"""A run: its curve, its end, its resumption."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from residency.errors import TrainingError
from residency.models.attach import attach as attach_folder
from residency.records import Split
from residency.tune.adapter import load_adapter
from residency.tune.lora import ChosenBy, Depth, Recipe, Schedule, adapted_layers, attach, trainable
from residency.tune.render import Sample
from residency.tune.training import Tick, learning_rate, runaway, train

PROGRAM = Path(__file__).with_name("tiny.py")


def run(tiny, folder: Path, *, training=None, recipe: Recipe | None = None, **settings):
    return train(
        tiny.examples(18) if training is None else training,
        tiny.examples(6, Split.VALIDATION),
        tiny.tiny_base(),
        recipe or tiny.RECIPE,
        folder,
        labels=tiny.LABELS,
        **settings,
    )


def test_training_lowers_the_loss_and_the_adapter_carries_it(tiny, tmp_path) -> None:
    recipe = tiny.RECIPE.model_copy(update={"epochs": 12, "dropout": 0.0})
    adapter = run(tiny, tmp_path / "a", recipe=recipe)
    curve = adapter.card.curve
    assert [point.step for point in curve] == [5 * epoch for epoch in range(1, 13)]
    assert curve[-1].validation < 0.5 * curve[0].validation
    assert adapter.card.best_step == min(curve, key=lambda point: point.validation).step
    assert adapter.card.tokens == 12 * sum(len(s.ids) for s in rendered(tiny))
    loaded = trainable_of(load_adapter(adapter.folder, tiny.tiny_base()))
    assert any(float(tensor.abs().sum()) > 0 for name, tensor in loaded.items() if "lora_B" in name)


def test_the_best_weights_are_kept_not_the_last(tiny, tmp_path) -> None:
    """A rate far too high late in the run must not spoil what was reached before."""
    recipe = tiny.RECIPE.model_copy(
        update={"epochs": 6, "learning_rate": 0.05, "schedule": Schedule.CONSTANT, "dropout": 0.0}
    )
    adapter = run(tiny, tmp_path / "a", recipe=recipe)
    best = min(adapter.card.curve, key=lambda point: point.validation)
    assert adapter.card.best_step == best.step


def test_patience_ends_a_run_that_gets_no_better(tiny, tmp_path) -> None:
    recipe = tiny.RECIPE.model_copy(update={"epochs": 30, "learning_rate": 0.05, "schedule": Schedule.CONSTANT})
    patient = recipe.model_copy(update={"patience": 2})
    adapter = run(tiny, tmp_path / "a", recipe=patient)
    steps = [point.step for point in adapter.card.curve]
    assert steps[-1] == adapter.card.best_step + 2 * 5 < 30 * 5
    assert adapter.card.best_step == min(adapter.card.curve, key=lambda point: point.validation).step


def test_the_metric_chooses_where_the_recipe_says_so(tiny, tmp_path) -> None:
    """The metric says the second epoch of six is the best, whatever the loss says."""
    recipe = tiny.RECIPE.model_copy(update={"epochs": 6, "choose_by": ChosenBy.METRIC, "patience": 3})

    def run_judged(folder: Path, progress=lambda tick: None):
        worth = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2])
        judged: list[Path] = []

        def judge(candidate: Path) -> float:
            assert load_adapter(candidate, tiny.tiny_base())
            judged.append(candidate)
            return next(worth)

        adapter = run(tiny, folder, recipe=recipe, judge=judge, progress=progress)
        assert not any(path.exists() for path in judged)
        return adapter

    whole = run_judged(tmp_path / "whole")
    assert whole.card.best_step == 10 and [p.metric for p in whole.card.curve] == [0.1, 0.9, 0.5, 0.4, 0.3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole"]
    with pytest.raises(TrainingError, match=r"recipe.choose_by"):
        run(tiny, tmp_path / "b", recipe=recipe)


def test_what_preflight_and_forecast_found_is_said_before_the_first_step(tiny, tmp_path) -> None:
    said: list[str] = []

    def progress(tick: Tick) -> None:
        assert len(said) == 2

    run(tiny, tmp_path / "a", say=said.append, progress=progress)
    assert said[0].startswith("18 samples, ") and said[0].endswith("base tiny, licence none")
    assert said[1].startswith("forecast: about 0:00:")


def test_a_run_that_memory_cannot_hold_ends_before_its_first_step(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("residency.tune.forecast.available_bytes", lambda device: 100)
    monkeypatch.setattr("residency.tune.forecast.growth", lambda work, device: work() or 10_000_000)
    steps: list[Tick] = []
    with pytest.raises(TrainingError, match="more memory") as caught:
        run(tiny, tmp_path / "a", progress=steps.append)
    assert not steps and "smaller base" in caught.value.fix and not (tmp_path / "a").exists()


def test_what_cannot_be_used_is_left_out_and_counted_in_the_card(tiny, tmp_path) -> None:
    recipe = tiny.RECIPE.model_copy(update={"most_unusable": 0.2})
    long = tiny.example(30, answer="ataxia")
    long = replace(long, messages=(*long.messages, replace(long.messages[0], role="assistant")))
    adapter = run(tiny, tmp_path / "a", training=[*tiny.examples(18), long], recipe=recipe)
    assert adapter.card.left_out == 1
    assert adapter.card.losses == run(tiny, tmp_path / "b", recipe=recipe).card.losses


def test_progress_counts_every_step(tiny, tmp_path) -> None:
    ticks: list[Tick] = []
    run(tiny, tmp_path / "a", progress=ticks.append)
    assert [tick.step for tick in ticks] == list(range(1, 16))
    assert {tick.steps for tick in ticks} == {15}
    assert ticks[-1].seconds_left == 0 and all(tick.tokens_per_second > 0 for tick in ticks)


def test_two_runs_are_equal_and_another_seed_is_not(tiny, tmp_path) -> None:
    first, second = run(tiny, tmp_path / "a"), run(tiny, tmp_path / "b")
    other = run(tiny, tmp_path / "c", recipe=tiny.RECIPE.model_copy(update={"seed": 2}))
    assert first.sha256 == second.sha256 != other.sha256


@pytest.mark.parametrize("depth", ["full", "fast"])
@pytest.mark.parametrize("killed_at", [3, 8])
def test_a_killed_run_goes_on_to_the_same_weights(tiny, tmp_path, killed_at, depth) -> None:
    recipe = tiny.RECIPE.model_copy(update={"depth": Depth(depth)})
    whole = run(tiny, tmp_path / "whole", recipe=recipe)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, str(PROGRAM), str(tmp_path / "killed")]
    first = subprocess.run(
        [*command, str(killed_at), f"depth={depth}"], env=environment, capture_output=True, timeout=120
    )
    assert first.returncode == -signal.SIGKILL
    assert (tmp_path / "killed.checkpoint").is_file() and not (tmp_path / "killed").exists()

    steps: list[int] = []
    resumed = run(tiny, tmp_path / "killed", recipe=recipe, progress=lambda tick: steps.append(tick.step))

    assert steps[0] == killed_at + 1
    assert resumed.sha256 == whole.sha256
    assert [p.validation for p in resumed.card.curve] == [p.validation for p in whole.card.curve]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@pytest.mark.parametrize("damage", ["torn", "other run"])
def test_a_checkpoint_that_does_not_belong_is_left_aside(tiny, tmp_path, damage) -> None:
    def stop(tick: Tick) -> None:
        if tick.step == 4:
            raise KeyboardInterrupt

    recipe = tiny.RECIPE.model_copy(update={"seed": 7}) if damage == "other run" else tiny.RECIPE
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path / "a", recipe=recipe, progress=stop)
    if damage == "torn":
        path = tmp_path / "a.checkpoint"
        path.write_bytes(path.read_bytes()[:-100])
    steps: list[int] = []
    adapter = run(tiny, tmp_path / "a", progress=lambda tick: steps.append(tick.step))
    assert steps[0] == 1
    assert adapter.sha256 == run(tiny, tmp_path / "b").sha256


def test_a_deck_is_dealt_anew_each_epoch(tiny, tmp_path) -> None:
    asked: list[int] = []

    def deck(epoch: int):
        asked.append(epoch)
        return [replace(e, messages=(replace(e.messages[0], content=f"{epoch}"),)) for e in tiny.examples(18)]

    fixed = run(tiny, tmp_path / "a", training=deck(0))
    dealt = run(tiny, tmp_path / "b", training=deck)
    assert set(asked) == {0, 1, 2} and fixed.sha256 != dealt.sha256
    with pytest.raises(TrainingError, match="deals 17 examples, and dealt 18"):
        run(tiny, tmp_path / "c", training=lambda epoch: tiny.examples(18 if epoch == 0 else 17))


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_the_best(tiny, tmp_path) -> None:
    base = tiny.tiny_base()

    def poison(tick: Tick) -> None:
        if tick.step == 7:
            base.model.model.embed_tokens.weight.data.fill_(math.nan)

    with pytest.raises(
        TrainingError, match=r"step 8 of 15: the loss is not a finite number. The weights of step 5"
    ) as caught:
        train(
            tiny.examples(18),
            tiny.examples(6, Split.VALIDATION),
            base,
            tiny.RECIPE,
            tmp_path / "a",
            labels=tiny.LABELS,
            progress=poison,
        )
    assert "learning_rate" in caught.value.fix
    assert json.loads((tmp_path / "a" / "card.json").read_text())["best_step"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize(
    ("losses", "lost"),
    [
        ([3.0] * 20, False),
        ([3.0] * 20 + [40.0] * 4, False),
        ([3.0] * 20 + [40.0] * 5, True),
        ([3.0] * 5 + [0.01] * 20 + [0.2] * 5, False),  # far above usual, still far better than untrained
        ([3.0] * 5 + [0.01] * 20 + [3.5] * 5, True),
        ([40.0] * 9, False),
    ],
)
def test_a_loss_runs_away_when_it_stays_above_usual_and_above_the_start(losses, lost) -> None:
    assert runaway(losses, 5.0) is lost


def test_the_learning_rate_rises_then_falls() -> None:
    recipe = Recipe(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == 1.0 and rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] < 0.001
    linear = recipe.model_copy(update={"schedule": Schedule.LINEAR})
    assert learning_rate(linear, 55, 100) == pytest.approx(0.5)
    assert learning_rate(recipe.model_copy(update={"schedule": Schedule.CONSTANT}), 99, 100) == 1.0


def rendered(tiny) -> list[Sample]:
    from residency.tune.render import render

    return render(tiny.examples(18), tiny.ByteTokenizer(), "chatml", max_tokens=64)


def trainable_of(model) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if "lora" in name}


def test_trainable_names_only_the_adapter(tiny) -> None:
    names = trainable(attach(tiny.tiny_base(), tiny.RECIPE))
    assert len(names) == 3 * 7 * 2 and all("lora_" in name for name in names)


def test_a_fast_run_adapts_as_many_of_the_last_blocks_as_the_catalogue_says(tiny, tmp_path) -> None:
    adapter = run(tiny, tmp_path / "a", recipe=tiny.RECIPE.model_copy(update={"depth": Depth.FAST}))
    assert adapter.card.layers == 1
    adapted = trainable_of(load_adapter(adapter.folder, tiny.tiny_base()))
    assert adapted and all("layers.2." in name for name in adapted)
    entry = tiny.tiny_base().entry
    assert adapted_layers(Recipe(depth=Depth.FAST), entry.model_copy(update={"fast": None})) == 1
    assert adapted_layers(Recipe(), entry) == 3


def test_an_adapter_of_experts_is_a_peft_folder_that_answers_like_the_trained_model(tiny, tmp_path) -> None:
    """The experts' matrices are parameters, not layers; the model that serves merges them."""
    base = tiny.tiny_base("Mixtral")
    recipe = tiny.RECIPE.model_copy(update={"dropout": 0.0, "depth": Depth.FAST})
    adapter = train(
        tiny.examples(18), tiny.examples(6, Split.VALIDATION), base, recipe, tmp_path / "a", labels=tiny.LABELS
    )
    config = json.loads((adapter.folder / "adapter_config.json").read_text())
    assert sorted(config["target_parameters"]) == [
        "model.layers.2.mlp.experts.down_proj",
        "model.layers.2.mlp.experts.gate_up_proj",
    ]
    ids = torch.arange(40)[None]
    apart = load_adapter(adapter.folder, base)(input_ids=ids).logits
    merged = attach_folder(base, adapter.folder, merge=True)(input_ids=ids).logits
    torch.testing.assert_close(apart, merged, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(apart, base.model(input_ids=ids).logits)


def test_dropout_of_experts_is_refused_before_the_first_step(tiny, tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"recipe\.dropout"):
        attach(tiny.tiny_base("Mixtral"), tiny.RECIPE)
