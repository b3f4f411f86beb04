"""The engine computes what transformers and PEFT compute, for every family, packed, shared and from kept states."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.models.base import BaseWeights
from residency.tune.engine import attention, layout
from residency.tune.engine.hidden import HiddenStates
from residency.tune.engine.loss import nats
from residency.tune.engine.step import Engine
from residency.tune.lora import Depth, Method, Recipe, attach, held_as, trainable
from residency.tune.render import Sample

ALONE = ("Gemma2",)  # families whose attention the engine leaves to the model


def sample(length: int, first: int, weight: float = 1.0, *, seed: int, begin: tuple[int, ...] = ()) -> Sample:
    draw = torch.Generator().manual_seed(seed)
    ids = (*begin, *torch.randint(0, 259, (length,), generator=draw).tolist())
    return Sample("e", "t", ids[:length], first, weight)


def some_samples() -> list[Sample]:
    """Three that share a beginning (one of them its whole question), and three that do not."""
    begin = sample(80, 1, seed=9).ids
    return [
        sample(30, 24, seed=1),
        sample(12, 4, 2.0, seed=2),
        sample(41, 40, 0.5, seed=3),
        sample(100, 90, seed=4, begin=begin),
        sample(120, 85, 2.0, seed=5, begin=begin),
        sample(95, 81, seed=6, begin=begin),
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
    for one in samples:
        ids = torch.tensor(one.ids)
        logits = model(input_ids=ids[None]).logits[0, one.first - 1 : -1]
        total = total + torch.nn.functional.cross_entropy(logits, ids[one.first :], reduction="sum") * one.weight
    return total


def gradients(model) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in trainable(model).items()}
    model.zero_grad(set_to_none=True)
    return found


def assert_equal_to_transformers(
    base, samples: list[Sample], *, micro_tokens: int = 256, recompute: bool = False, **settings
) -> Engine:
    model = adapted(base, **settings).eval()
    expected = loss_of_transformers(model, samples)
    (expected * 0.25).backward()
    wanted = gradients(model)
    engine = Engine(model, micro_tokens=micro_tokens, recompute=recompute)
    found = engine.learn(samples, 0.25, None)
    assert found == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-4)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-4, rtol=1e-3, msg=name)
    return engine


@pytest.mark.parametrize("family", ["Llama", "Mixtral", "Qwen3", "Gemma"])
def test_a_model_that_is_trained_whole_has_the_gradient_of_transformers(tiny, family) -> None:
    model = tiny.tiny_base(family).model.requires_grad_(True)
    expected = loss_of_transformers(model, some_samples())
    (expected * 0.25).backward()
    wanted = gradients(model)
    engine = Engine(model, micro_tokens=256)
    assert engine.packs and engine.first == 0
    assert engine.learn(some_samples(), 0.25, None) == pytest.approx(float(expected.detach()), rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-4, rtol=1e-3, msg=name)


GPT2 = {"targets": ("c_attn", "c_fc")}


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize(
    "family", ["Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Gemma3", "GPT2"]
)
def test_loss_and_gradient_equal_those_of_transformers_with_peft(tiny, family, depth) -> None:
    chosen = GPT2 if family == "GPT2" else {}
    engine = assert_equal_to_transformers(tiny.tiny_base(family), some_samples(), depth=depth, **chosen)
    assert engine.packs is (family not in ALONE)
    assert engine.first == (2 if depth is Depth.FAST else 0)


@pytest.mark.parametrize(
    "targets", [("q_proj", "v_proj"), ("down_proj",), ("gate_proj", "o_proj"), ("q_proj", "lm_head")], ids=str
)
def test_any_choice_of_layers_can_be_adapted(tiny, targets) -> None:
    assert_equal_to_transformers(tiny.tiny_base(), some_samples(), targets=targets)


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("family", ["Llama", "Qwen2", "GPT2"])
@pytest.mark.parametrize("method", Method)
def test_every_method_has_the_loss_and_gradient_of_transformers_with_peft(tiny, method, family, depth) -> None:
    chosen = GPT2 if family == "GPT2" else {}
    engine = assert_equal_to_transformers(tiny.tiny_base(family), some_samples(), method=method, depth=depth, **chosen)
    assert engine.packs and bool(engine.others) is (family == "GPT2"), "only transposed layers are left to PEFT"


@pytest.mark.parametrize("targets", [("q_proj", "down_proj"), ("q_proj", "k_proj", "v_proj", "gate_proj")], ids=str)
@pytest.mark.parametrize("weights", [BaseWeights.INT8, BaseWeights.NF4])
@pytest.mark.parametrize("method", [Method.LORA, Method.RSLORA, Method.DORA])
def test_an_adapter_on_a_quantized_base_has_the_gradient_of_transformers(tiny, method, weights, targets) -> None:
    base = tiny.tiny_base().quantized(weights)
    for depth in Depth:
        engine = assert_equal_to_transformers(base, some_samples(), method=method, depth=depth, targets=targets)
        assert engine.packs and not engine.others


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("family", ["Llama", "Mistral", "Mixtral", "Gemma2", "GPT2"])
def test_blocks_that_compute_again_give_the_same_gradient(tiny, family, depth) -> None:
    chosen = GPT2 if family == "GPT2" else {}
    assert_equal_to_transformers(tiny.tiny_base(family), some_samples(), recompute=True, depth=depth, **chosen)


def test_blocks_that_compute_again_draw_the_same_dropout(tiny) -> None:
    samples, found = some_samples(), []
    for recompute in (False, True):
        model = adapted(tiny.tiny_base(), dropout=0.5)
        engine = Engine(model, micro_tokens=200, recompute=recompute)
        loss = engine.learn(samples, 1.0, torch.Generator().manual_seed(3))
        found.append((loss, gradients(model)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(gradient, found[1][1][name]) for name, gradient in found[0][1].items())


@pytest.mark.parametrize("family", ["Llama", "Mistral", "Gemma3"])
def test_long_samples_are_read_in_chunks(tiny, family) -> None:
    begin = sample(300, 1, seed=9).ids
    longer = [sample(400, 380, seed=1), *(sample(450, 430, seed=n, begin=begin) for n in (2, 3))]
    assert_equal_to_transformers(tiny.tiny_base(family), longer, micro_tokens=2000)


def test_modules_of_common_families_compute_faster_and_keep_their_names(tiny) -> None:
    for family in ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma"):
        model = adapted(tiny.tiny_base(family))
        names = list(model.state_dict())
        engine = Engine(model, micro_tokens=64)
        assert not engine.others, "an adapted layer is left to PEFT"
        exchanged = [name for name, module in model.named_modules() if "forward" in vars(module)]
        assert any("norm" in name for name in exchanged) and any(name.endswith("mlp") for name in exchanged)
        assert list(model.state_dict()) == names


@st.composite
def batches(draw) -> list[Sample]:
    """Samples over few tokens, so that beginnings are shared by chance."""
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        ids = tuple(draw(st.lists(st.integers(0, 1), min_size=2, max_size=12)))
        drawn.append(Sample("e", "t", ids, draw(st.integers(1, len(ids) - 1)), 1.0))
    return drawn


@given(samples=batches(), least=st.integers(1, 4))
def test_sharing_loses_no_sample_and_never_shares_what_is_learned(samples, least) -> None:
    units = layout.units_of(samples, least=least)
    assert sorted(s.ids for u in units for s in u.samples) == sorted(s.ids for s in samples)
    packed = layout.pack(units)
    assert packed.ids.shape == packed.positions.shape and packed.ids.shape[1] == sum(u.tokens for u in units)
    assert len(packed.rows) == len(packed.targets) == sum(s.supervised for s in samples)
    assert sum(u.tokens for u in units) <= sum(len(s.ids) - 1 for s in samples)
    for unit in units:
        assert all(
            s.ids[: unit.shared] == unit.samples[0].ids[: unit.shared] and s.first > unit.shared for s in unit.samples
        )
    tokens, places = packed.ids[0].tolist(), packed.rows.tolist()
    for one in packed.samples:
        mine, places = places[: one.supervised], places[one.supervised :]
        assert [tokens[row] for row in mine] == list(one.ids[one.first - 1 : -1])


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=4),
    window=st.sampled_from([None, 1, 7]),
)
def test_attention_by_span_is_attention_by_chunk(lengths, window) -> None:
    """The one is for GPUs, the other for processors. Spans: a shared beginning, and those that see it."""
    spans: list[layout.Span] = []
    rows = 0
    for beginning, length, count in lengths:
        first = rows
        spans.append(layout.Span(first, first + beginning))
        rows += beginning
        for _ in range(count):
            spans.append(layout.Span(rows, rows + length, first, beginning))
            rows += length
    if rows == 0:
        return
    draw = torch.Generator().manual_seed(rows)
    q, k, v = (torch.randn(1, heads, rows, 8, generator=draw, requires_grad=True) for heads in (4, 2, 2))
    read = attention.by_span(q, k, v, 0.3, attention.Spans(spans), window)
    weight = torch.randn(read.shape, generator=draw)
    found = [read, *torch.autograd.grad((read * weight).sum(), (q, k, v))]
    with attention.over(attention.Spans(spans)):
        expected, _ = attention.attend(torch.nn.Module(), q, k, v, scaling=0.3, sliding_window=window)
    wanted = [expected, *torch.autograd.grad((expected * weight).sum(), (q, k, v))]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(samples=batches())
def test_gradients_of_shared_beginnings_are_those_of_separate_sequences(tiny, samples) -> None:
    model = adapted(tiny.tiny_base())
    engine = Engine(model, micro_tokens=1000)
    apart = sum(engine.learn([one], 1.0, None) for one in samples)
    wanted = gradients(model)
    [unit, *others] = layout.units_of(samples, least=1)
    packed = layout.pack([unit, *others])
    loss = (nats(engine._scores(packed), packed.targets) * packed.weights).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(apart, rel=1e-4, abs=1e-4)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-4, rtol=1e-3)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(tiny) -> None:
    samples = some_samples()
    for micro_tokens in (16, 100, 10_000):
        assert_equal_to_transformers(tiny.tiny_base(), samples, micro_tokens=micro_tokens)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=9), st.integers(1, 60))
def test_parts_hold_at_most_so_many_tokens_and_nothing_is_lost(lengths, most) -> None:
    units = [layout.Unit((Sample(str(n), "t", tuple(range(n)), 1, 1.0),)) for n in lengths]
    found = list(layout.parts(units, most))
    assert sorted(u.tokens for part in found for u in part) == sorted(u.tokens for u in units)
    assert all(len(part) == 1 or sum(u.tokens for u in part) <= most for part in found)


def test_an_epoch_keeps_questions_about_one_text_together_and_depends_on_its_number() -> None:
    begins = [sample(70, 1, seed=n).ids for n in range(6)]
    samples = [sample(90, 80, seed=100 + 3 * n + k, begin=b) for n, b in enumerate(begins) for k in range(3)]
    first, again, other = (layout.deal(samples, 3, seed=1, epoch=e) for e in (0, 0, 1))
    assert first == again != other
    assert all(len({one.ids[:70] for one in batch}) == 1 for batch in first)
    assert sorted(s.ids for batch in other for s in batch) == sorted(s.ids for s in samples)


def test_measuring_is_the_loss_of_each_sample_in_their_order(tiny) -> None:
    model, samples = adapted(tiny.tiny_base()).eval(), some_samples()
    alone = [float(loss_of_transformers(model, [s]).detach()) / s.weight for s in samples]
    engine = Engine(model, micro_tokens=100)
    assert engine.measure(samples) == pytest.approx(alone, abs=1e-4)
    assert engine.measure(samples[::-1]) == pytest.approx(alone[::-1], abs=1e-4)


@pytest.mark.parametrize(
    ("family", "method", "weights"),
    [
        ("Llama", "lora", "loaded"),
        ("Mixtral", "lora", "loaded"),
        ("Gemma2", "lora", "loaded"),
        ("Llama", "rslora", "loaded"),
        ("Llama", "dora", "loaded"),
        ("Llama", "pissa", "loaded"),
        ("Llama", "lora", "int8"),
        ("Llama", "dora", "nf4"),
    ],
)
def test_kept_states_give_the_same_bits_as_computed_ones(tiny, states, family, method, weights) -> None:
    base = held_as(tiny.tiny_base(family), BaseWeights(weights))
    samples, found = some_samples(), []
    for kept in (None, states(), states(), states(limit=20_000)):
        model = adapted(base, depth="fast", method=method)
        engine = Engine(model, micro_tokens=200, kept=kept)
        losses = [engine.learn(samples, 1.0, None) for _ in range(2)]
        found.append((losses, gradients(model)))
    for losses, gradient in found[1:]:
        assert losses == found[0][0]
        assert all(torch.equal(gradient[name], found[0][1][name]) for name in gradient)


def test_lower_blocks_compute_once_for_each_text(tiny, states) -> None:
    model = adapted(tiny.tiny_base(), depth="fast")
    engine = Engine(model, micro_tokens=200, kept=states())
    calls: list[int] = []
    lowest = engine.layers[0].self_attn.register_forward_pre_hook(lambda *_: calls.append(1))
    engine.learn(some_samples(), 1.0, None)
    once = len(calls)
    engine.learn(some_samples(), 1.0, None)
    lowest.remove()
    assert once == len(layout.units_of(some_samples())) == len(calls)


@pytest.fixture
def states(tmp_path):
    """Opens the file of hidden states of a run; closed at the end of the test."""
    opened: list[HiddenStates] = []

    def open_states(*, run: str = "r", limit: int = 10**8) -> HiddenStates:
        opened.append(HiddenStates(tmp_path / "a.hidden", run, torch.float32, limit))
        return opened[-1]

    yield open_states
    for one in opened:
        one.close()


def test_states_survive_a_process_and_not_another_run_a_torn_end_or_a_changed_byte(states, tmp_path) -> None:
    first = states()
    values = {bytes([n]) * 32: torch.randn(3, n + 1) for n in range(3)}
    for key, value in values.items():
        first.put(key, value)
    first.close()
    again = states()
    assert all(torch.equal(again.get(key), value) for key, value in values.items())
    again.close()

    path = tmp_path / "a.hidden"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    torn = states()
    assert [torn.get(key) is not None for key in values] == [True, True, False]
    torn.put(bytes([2]) * 32, values[bytes([2]) * 32])
    torn.close()
    assert path.read_bytes() == whole

    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    changed = states()
    assert [changed.get(key) is not None for key in values] == [True, True, False]
    other = states(run="another")
    assert all(other.get(key) is None for key in values)


def test_states_stop_growing_at_their_limit(states, tmp_path) -> None:
    small = states(limit=1000)
    for n in range(20):
        small.put(bytes([n]) * 32, torch.zeros(10, 10))
    assert (tmp_path / "a.hidden").stat().st_size <= 1000
    assert small.get(bytes(32)) is not None and small.get(bytes([19]) * 32) is None


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
def test_dropout_is_a_function_of_its_generator_and_changes_the_loss(tiny, family) -> None:
    chosen = GPT2 if family == "GPT2" else {}
    engine = Engine(adapted(tiny.tiny_base(family), dropout=0.5, **chosen), micro_tokens=200)
    samples = some_samples()
    first, again, other = (engine.learn(samples, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first != engine.learn(samples, 1.0, None)


def test_dropout_gradient_is_the_slope_of_the_loss(tiny) -> None:
    model, samples = adapted(tiny.tiny_base(), dropout=0.5), some_samples()
    engine = Engine(model, micro_tokens=1000)
    parameter = next(p for name, p in trainable(model).items() if "layers.1.self_attn.v_proj.lora_A" in name)
    direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))

    @torch.enable_grad()
    def loss() -> float:
        return engine.learn(samples, 1.0, torch.Generator().manual_seed(9))

    loss()
    slope = float((parameter.grad * direction).sum())
    start, width = parameter.detach().clone(), 1e-2
    with torch.no_grad():
        parameter.copy_(start + width * direction)
        above = loss()
        parameter.copy_(start - width * direction)
        below = loss()
    assert (above - below) / (2 * width) == pytest.approx(slope, rel=0.02, abs=1e-2)
