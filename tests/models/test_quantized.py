"""Narrow layers compute about what the wide ones do, and have their gradient in the input."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.models.base import BaseWeights
from residency.models.quantized import BLOCK, LEVELS, MOST, QuantizedLinear

QUANTIZED = [BaseWeights.INT8, BaseWeights.NF4]


def layer(out: int, width: int, *, dtype: torch.dtype = torch.float32, bias: bool = True, seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Linear(width, out, bias=bias).to(dtype).requires_grad_(False)


@settings(deadline=None, max_examples=30)
@given(out=st.integers(1, 9), width=st.integers(1, 150), seed=st.integers(0, 99), zeros=st.booleans())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_number_is_further_off_than_half_a_step(dtype, out, width, seed, zeros) -> None:
    wide = layer(out, width, dtype=dtype, seed=seed)
    if zeros:
        wide.weight[0] = 0
    weight, eps = wide.weight.float(), 2 * torch.finfo(dtype).eps
    largest = weight.abs().amax(1, keepdim=True)
    found = QuantizedLinear(wide, BaseWeights.INT8).weight
    assert found.dtype == dtype and found.shape == weight.shape
    assert bool(((found.float() - weight).abs() <= largest * (0.5 / MOST + eps) + 1e-30).all())

    found = QuantizedLinear(wide, BaseWeights.NF4).weight
    assert found.dtype == dtype and found.shape == weight.shape
    step = max(b - a for a, b in pairwise(LEVELS)) / 2
    off, flat = (found.float() - weight).abs().flatten(), weight.abs().flatten()
    for start in range(0, len(flat), BLOCK):
        block = slice(start, start + BLOCK)
        assert bool((off[block] <= flat[block].max() * (step + eps) + 1e-30).all())


@pytest.mark.parametrize("weights", QUANTIZED)
def test_numbers_that_a_code_stands_for_come_back_exactly(weights) -> None:
    wide = layer(4, BLOCK)
    levels = torch.arange(-MOST, MOST + 1) / MOST if weights is BaseWeights.INT8 else torch.tensor(LEVELS)
    drawn = torch.randint(len(levels), (4, BLOCK), generator=torch.Generator().manual_seed(1))
    drawn[:, 0] = len(levels) - 1  # the largest number of every row and block
    wide.weight.copy_(levels[drawn])
    torch.testing.assert_close(QuantizedLinear(wide, weights).weight, wide.weight, atol=1e-6, rtol=0)


@pytest.mark.parametrize("weights", QUANTIZED)
@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradient_are_those_of_the_widened_layer(weights, bias) -> None:
    narrow = QuantizedLinear(layer(24, 40, bias=bias), weights)
    plain = narrow.widened()
    assert type(plain) is torch.nn.Linear and torch.equal(plain.weight, narrow.weight)
    results = []
    for one in (narrow, plain):
        x = torch.randn(2, 5, 40, generator=torch.Generator().manual_seed(3)).requires_grad_()
        y = one(x)
        y.square().sum().backward()
        results.append((y.detach(), x.grad))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("weights", QUANTIZED)
def test_four_bits_take_half_of_eight(weights) -> None:
    narrow = QuantizedLinear(layer(128, 256, dtype=torch.bfloat16), weights)
    assert not list(narrow.parameters()) or [*narrow.parameters()] == [narrow.bias]
    assert narrow.codes.nbytes == 128 * 256 // (1 if weights is BaseWeights.INT8 else 2)
    assert narrow.scale.nbytes < narrow.codes.nbytes // 10


@pytest.mark.slow
@pytest.mark.parametrize("weights", QUANTIZED)
def test_the_embedded_base_loads_narrow_and_is_the_same_base(weights) -> None:
    from residency.models.base import load_base
    from residency.models.quantized import count_parameters

    wide, narrow = load_base("embedded"), load_base("embedded", weights=weights)
    assert (narrow.weights, narrow.sha256) == (weights, wide.sha256)
    assert count_parameters(narrow.model) == count_parameters(wide.model)
    ids = torch.arange(100, 140)[None]
    apart = (narrow.model(input_ids=ids).logits - wide.model(input_ids=ids).logits).float().norm()
    assert 0 < apart / wide.model(input_ids=ids).logits.float().norm() < 0.2
