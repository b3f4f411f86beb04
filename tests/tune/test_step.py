"""The hand-written step computes what transformers and PEFT compute."""

from __future__ import annotations

import pytest
import torch

from residency.tune.engine import step_for
from residency.tune.fused import FusedStep
from residency.tune.lora import Recipe, attach, trainable
from residency.tune.plain import PlainStep
from residency.tune.render import Sample


def some_samples() -> list[Sample]:
    draw = torch.Generator().manual_seed(3)
    lengths = ((30, 24, 1.0), (12, 4, 2.0), (41, 40, 0.5))
    return [
        Sample("e", "t", tuple(torch.randint(0, 259, (n,), generator=draw).tolist()), first, weight)
        for n, first, weight in lengths
    ]


def adapted(base, **settings):
    """An adapter whose B is not zero, so that every gradient is exercised."""
    model = attach(base, Recipe(rank=4, alpha=8, **settings))
    draw = torch.Generator().manual_seed(5)
    for name, parameter in trainable(model).items():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1, generator=draw)
    return model


def loss_of_transformers(model, samples: list[Sample]) -> torch.Tensor:
    """The plain way: all logits of one sequence, then cross-entropy where something is learned."""
    total = torch.zeros(())
    for sample in samples:
        ids = torch.tensor(sample.ids)
        logits = model(input_ids=ids[None]).logits[0, sample.first - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(logits, ids[sample.first :], reduction="sum") * sample.weight
    return total


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_layers": 1},
        {"targets": ("q_proj", "v_proj")},
        {"targets": ("down_proj",)},
        {"targets": ("gate_proj", "o_proj")},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [FusedStep, PlainStep])
def test_loss_and_gradient_equal_those_of_transformers_with_peft(tiny, kind, settings) -> None:
    model, samples = adapted(tiny.tiny_base(), **settings), some_samples()
    expected = loss_of_transformers(model, samples)
    (expected * 0.25).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in trainable(model).items()}
    model.zero_grad(set_to_none=True)

    step = kind(model)
    step.refresh()
    found = step.learn(samples, 0.25, None)

    assert found == pytest.approx(float(expected.detach()), abs=1e-4)
    for name, parameter in trainable(model).items():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-3, msg=name)


def test_measuring_is_the_loss_of_each_sample(tiny) -> None:
    model, samples = adapted(tiny.tiny_base()), some_samples()
    fused, plain = FusedStep(model), PlainStep(model)
    fused.refresh()
    alone = [float(loss_of_transformers(model.eval(), [s]).detach()) / s.weight for s in samples]
    assert fused.measure(samples) == pytest.approx(alone, abs=1e-4)
    assert plain.measure(samples) == pytest.approx(alone, abs=1e-4)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(tiny) -> None:
    model, samples = adapted(tiny.tiny_base()), some_samples()
    step = FusedStep(model)
    step.refresh()
    whole = step.learn(samples, 1.0, None)
    expected = {name: parameter.grad.clone() for name, parameter in trainable(model).items()}
    model.zero_grad(set_to_none=True)
    parts = sum(step.learn([sample], 1.0, None) for sample in samples)
    assert parts == pytest.approx(whole, rel=1e-5)
    for name, parameter in trainable(model).items():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-4, rtol=1e-3)


def test_dropout_is_a_function_of_its_generator_and_changes_the_loss(tiny) -> None:
    model, samples = adapted(tiny.tiny_base(), dropout=0.5), some_samples()
    for step in (FusedStep(model), PlainStep(model)):
        step.refresh()
        first, again, other = (step.learn(samples, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert first == again != other
        assert first != step.learn(samples, 1.0, None)


def test_dropout_gradient_is_the_slope_of_the_loss(tiny) -> None:
    model, samples = adapted(tiny.tiny_base(), dropout=0.5), some_samples()
    step = FusedStep(model)
    parameter = next(p for name, p in trainable(model).items() if "layers.1.self_attn.v_proj.lora_A" in name)
    direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))

    def loss() -> float:
        step.refresh()
        return step.learn(samples, 1.0, torch.Generator().manual_seed(9))

    loss()
    slope = float((parameter.grad * direction).sum())
    start, width = parameter.detach().clone(), 1e-2
    with torch.no_grad():
        parameter.copy_(start + width * direction)
        above = loss()
        parameter.copy_(start - width * direction)
        below = loss()
    assert (above - below) / (2 * width) == pytest.approx(slope, rel=0.02, abs=1e-3)


def test_an_architecture_with_biases_takes_the_plain_step(tiny) -> None:
    assert isinstance(step_for(adapted(tiny.tiny_base())), FusedStep)
    assert isinstance(step_for(adapted(tiny.tiny_base("Qwen2"))), PlainStep)


def test_an_adapter_on_the_head_takes_the_plain_step(tiny) -> None:
    assert isinstance(step_for(adapted(tiny.tiny_base(), targets=("q_proj", "lm_head"))), PlainStep)
