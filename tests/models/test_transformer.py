"""The fast way computes what the plain way computes: one conversation, one answer, one pass."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import write_tiny_model
from torch.utils._python_dispatch import TorchDispatchMode

from residency.errors import ModelError
from residency.models import chat, transformer
from residency.models.attach import attach
from residency.models.base import Base, Precision, load_base
from residency.models.transformer import TransformerModel
from residency.records import Message

from .conftest import plain_logprobs, write_adapter

OPTIONS = ["Ataxia", "Ataxia and dysarthria", "Seizure", "Seizure, tremor", "", "Ataxia"]
SHOTS = [
    Message(role="system", content="Which finding is present?"),
    Message(role="user", content="No seizure was seen."),
    Message(role="assistant", content="none"),
]
SHORT = [[Message(role="user", content=text)] for text in ("Ataxia.", "No tremor, no seizure.", "x" * 90, "Patient")]
SHARED = [[*SHOTS, Message(role="user", content=text)] for text in ("Ataxia.", "No tremor, no seizure.", "x" * 90, "P")]


@pytest.fixture(params=["base", "adapter", "merged"])
def module_and_model(request: pytest.FixtureRequest, tiny: Base, tiny_adapter: Path):  # type: ignore[no-untyped-def]
    if request.param == "base":
        return tiny.model, TransformerModel(tiny)
    return attach(tiny, tiny_adapter, merge=False), TransformerModel(
        tiny, tiny_adapter, merge=request.param == "merged"
    )


@pytest.mark.parametrize("conversations", [SHORT, SHARED], ids=["nothing shared", "shared beginning"])
@pytest.mark.parametrize("nodes", [512, 4], ids=["one trie", "many tries"])
def test_choosing_equals_one_pass_for_each_option(tiny, module_and_model, conversations, nodes, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(transformer, "NODES", nodes)
    module, model = module_and_model
    for conversation, row in zip(conversations, model.choose(conversations, OPTIONS), strict=True):
        prompt = chat.prompt_ids(tiny.tokenizer, conversation, "chatml")
        for option, value in zip(OPTIONS, row, strict=True):
            target = chat.answer_ids(tiny.tokenizer, option, "chatml")
            assert value == pytest.approx(sum(plain_logprobs(tiny, module, prompt, target)), abs=1e-4)


@pytest.mark.parametrize("conversations", [SHORT, SHARED], ids=["nothing shared", "shared beginning"])
@pytest.mark.parametrize("rows", [16, 2], ids=["one batch", "many batches"])
def test_scoring_equals_one_pass_for_each_answer(tiny, module_and_model, conversations, rows, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(transformer, "ROWS", rows)
    module, model = module_and_model
    answers = ["", "Ataxia and dysarthria, and more of it", "Seizure", "x" * 40]
    for conversation, answer, got in zip(conversations, answers, model.score(conversations, answers), strict=True):
        prompt = chat.prompt_ids(tiny.tokenizer, conversation, "chatml")
        target = chat.answer_ids(tiny.tokenizer, answer, "chatml")
        assert got.nats == pytest.approx(-sum(plain_logprobs(tiny, module, prompt, target)), abs=1e-4)
        assert got.tokens == len(target)


@pytest.mark.parametrize("conversations", [SHORT, SHARED], ids=["nothing shared", "shared beginning"])
def test_writing_equals_taking_the_likeliest_token_again_and_again(tiny, module_and_model, conversations) -> None:  # type: ignore[no-untyped-def]
    module, model = module_and_model
    for conversation, got in zip(conversations, model.generate(conversations, max_tokens=12), strict=True):
        ids = chat.prompt_ids(tiny.tokenizer, conversation, "chatml")
        new: list[int] = []
        nats = 0.0
        while len(new) < 12 and not (new and new[-1] in model.stops):
            with torch.inference_mode():
                values = module(input_ids=torch.tensor([ids + new])).logits[0, -1].log_softmax(-1)
            new.append(int(values.argmax()))
            nats -= float(values.max())
        assert got.tokens == len(new)
        assert got.finished == (new[-1] in model.stops)
        assert got.nats == pytest.approx(nats, abs=1e-3)
        assert got.text == tiny.tokenizer.decode(new, skip_special_tokens=True)


def test_equal_conversations_share_no_more_than_their_prompt(tiny: Base) -> None:
    model = TransformerModel(tiny)
    twice = [SHARED[0], SHARED[0]]
    assert model.score(twice, ["Ataxia"] * 2)[1].nats == pytest.approx(
        model.score(twice[:1], ["Ataxia"])[0].nats, abs=1e-4
    )
    assert model.choose(twice, OPTIONS)[1] == pytest.approx(model.choose(twice[:1], OPTIONS)[0], abs=1e-4)
    written = model.generate(twice, max_tokens=5)
    assert written[1].text == model.generate(twice[:1], max_tokens=5)[0].text


def test_an_adapter_changes_answers_and_leaves_the_base_alone(tiny: Base, tiny_adapter: Path) -> None:
    before = TransformerModel(tiny).choose(SHORT, OPTIONS)
    for merge in (False, True):
        changed = TransformerModel(tiny, tiny_adapter, merge=merge).choose(SHORT, OPTIONS)
        assert max(abs(a - b) for x, y in zip(before, changed, strict=True) for a, b in zip(x, y, strict=True)) > 0.1
    assert TransformerModel(tiny).choose(SHORT, OPTIONS) == before


def test_a_fork_shares_the_weights(tiny: Base) -> None:
    fork = tiny.fork()
    assert fork is not tiny.model
    assert [p.data_ptr() for p in fork.parameters()] == [p.data_ptr() for p in tiny.model.parameters()]


class Operations(TorchDispatchMode):
    """Names of the operations that torch does."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_the_last_positions_of_a_row_are_one_product_with_the_output_weights(
    tiny_folder: Path, precision: Precision
) -> None:
    base = load_base(str(tiny_folder), precision=precision, template_name="chatml", device="cpu")
    head = TransformerModel(base).module.get_output_embeddings()
    hidden = torch.zeros(1, 9, head.weight.shape[1], dtype=base.model.dtype)
    with torch.no_grad(), Operations() as done:  # inference mode would show a layer, not what it is made of
        head(hidden[:, -1:])
    assert "mm" in done.names
    assert "bmm" not in done.names  # a product for every row, each with a copy of the weights


def test_logits_of_a_bf16_model_are_not_rounded_to_bf16(tiny_folder: Path) -> None:
    base = load_base(str(tiny_folder), precision=Precision.BF16, template_name="chatml", device="cpu")
    narrow = base.model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False)
    wide = TransformerModel(base).module(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False)
    assert narrow.logits.dtype is torch.bfloat16
    assert wide.logits.dtype is torch.float32
    assert torch.equal(wide.logits.bfloat16(), wide.logits.bfloat16().float().bfloat16())
    assert not torch.equal(wide.logits, wide.logits.bfloat16().float())
    assert torch.allclose(wide.logits, narrow.logits.float(), rtol=2**-7, atol=0.05)


def test_a_bf16_model_gives_about_what_fp32_gives(tiny_folder: Path, tiny: Base) -> None:
    base = load_base(str(tiny_folder), precision=Precision.BF16, template_name="chatml", device="cpu")
    for row, exact in zip(
        TransformerModel(base).choose(SHARED, OPTIONS), TransformerModel(tiny).choose(SHARED, OPTIONS), strict=True
    ):
        assert row == pytest.approx(exact, rel=0.03, abs=0.5)


def test_what_does_not_fit_the_context_is_refused_and_not_cut(tiny: Base) -> None:
    long = [Message(role="user", content="secret " * 300)]
    with pytest.raises(ModelError, match=r"Conversation 2: \d+ tokens") as caught:
        TransformerModel(tiny).generate([SHORT[0], long], max_tokens=4)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("other", [{"hidden": 48}, {"layers": 3}, {"layers": 1}], ids=["wider", "deeper", "flatter"])
def test_an_adapter_of_another_base_is_refused(tiny: Base, tmp_path: Path, other: dict[str, int]) -> None:
    folder = write_tiny_model(tmp_path / "other", **other)
    stranger = load_base(str(folder), precision=Precision.FP32, template_name="chatml", device="cpu")
    adapter = write_adapter(stranger, tmp_path / "adapter")
    with pytest.raises(ModelError):
        TransformerModel(tiny, adapter)


def test_a_pickled_adapter_is_refused(tiny: Base, tiny_adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "pickled"))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickled"):
        TransformerModel(tiny, folder)


def test_a_torn_adapter_is_refused(tiny: Base, tiny_adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "torn"))
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(ModelError):
        TransformerModel(tiny, folder)
