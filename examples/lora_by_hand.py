"""A LoRA adapter, trained by hand: what residency's engine does, in one file, with torch and transformers alone.

    python examples/lora_by_hand.py MODEL_FOLDER LESSONS.jsonl ADAPTER_FOLDER

In: the folder of a Llama-like model, and conversations, one a line:

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "the answer to learn"}]}

Out: a folder that PEFT, transformers and vLLM load as an adapter; the loss of every step on the terminal.

Covers: the ChatML template, the loss mask, LoRA itself, the optimizer and its schedule, the adapter's files.
Does not cover: everything that makes this fast or safe (bf16, packing, kept hidden states, checkpoints, validation,
preflight); for that there is the library. A test holds the losses and the adapters of both equal.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 16, 32
LEARNING_RATE, WARMUP, WEIGHT_DECAY, BETAS, LONGEST_GRADIENT = 2e-3, 0.05, 0.01, (0.9, 0.99), 1.0
BATCH, EPOCHS, SEED = 8, 2, 1


# --- the base: frozen ---------------------------------------------------------------------------------------------

model_folder, lessons_file, adapter_folder = map(Path, sys.argv[1:4])
tokenizer = AutoTokenizer.from_pretrained(model_folder, local_files_only=True)
model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, local_files_only=True)
model.requires_grad_(False)


# --- LoRA: beside every frozen matrix W a small one, B A. The layer computes W x + (alpha / rank) B A x ------------


class LoraLinear(torch.nn.Module):
    def __init__(self, frozen: torch.nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        self.lora_A = torch.nn.Linear(frozen.in_features, RANK, bias=False)
        self.lora_B = torch.nn.Linear(RANK, frozen.out_features, bias=False)
        torch.nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        torch.nn.init.zeros_(self.lora_B.weight)  # so that training begins at the base, exactly

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (..., in) -> (..., out)
        return self.frozen(x) + self.lora_B(self.lora_A(x)) * (ALPHA / RANK)


torch.manual_seed(SEED)
adapted = {}
for name, module in list(model.named_modules()):
    parent, _, last = name.rpartition(".")
    if last in TARGETS:
        adapted[name] = LoraLinear(module)
        setattr(model.get_submodule(parent), last, adapted[name])


# --- the lessons: what is read, and what of it is learned -----------------------------------------------------------

START, END = "<|im_start|>", "<|im_end|>"


def turn(role: str, content: str) -> str:
    return f"{START}{role}\n{content}{END}\n"


def encode(text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


lessons = []  # (token ids, number of the first learned one)
for line in lessons_file.read_text(encoding="utf-8").splitlines():
    *asked, answer = json.loads(line)["messages"]
    question = encode("".join(turn(m["role"], m["content"]) for m in asked) + f"{START}assistant\n")
    # Only the answer is learned, and the token that ends it: a model that never learned to stop goes on talking.
    learned = [*encode(answer["content"]), tokenizer.convert_tokens_to_ids(END)]
    lessons.append((question + learned, len(question)))
lessons.sort()  # so that the order of the lines in the file does not matter
lessons = [(torch.tensor(ids), first) for ids, first in lessons]


# --- the optimizer: AdamW; the rate rises at first, then falls along a cosine ---------------------------------------

parameters = [p for layer in adapted.values() for p in (layer.lora_A.weight, layer.lora_B.weight)]
optimizer = torch.optim.AdamW(parameters, betas=BETAS, weight_decay=WEIGHT_DECAY)
batches = []
for epoch in range(EPOCHS):
    order = np.random.default_rng([SEED, epoch]).permutation(len(lessons))
    batches += [[lessons[i] for i in order[start : start + BATCH]] for start in range(0, len(lessons), BATCH)]
warmup = math.ceil(WARMUP * len(batches))


def rate(step: int) -> float:
    if step < warmup:
        return LEARNING_RATE * (step + 1) / warmup
    done = (step - warmup) / max(len(batches) - warmup, 1)
    return LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * done))


# --- the steps ------------------------------------------------------------------------------------------------------

for step, batch in enumerate(batches):
    learned = sum(len(ids) - first for ids, first in batch)  # tokens; the loss is the mean over them
    loss = 0.0
    for ids, first in batch:  # one at a time: nothing is padded, and gradients add up
        logits = model(input_ids=ids[None, :-1]).logits[0, first - 1 :]  # (learned, V): row t predicts token t + 1
        part = F.cross_entropy(logits, ids[first:], reduction="sum") / learned
        part.backward()
        loss += part.item()
    torch.nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
    for group in optimizer.param_groups:
        group["lr"] = rate(step)
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step + 1} of {len(batches)}: loss {loss:.6f}")


# --- the adapter: the names and settings that PEFT gives them -------------------------------------------------------

weights = {}
for name, layer in adapted.items():
    weights[f"base_model.model.{name}.lora_A.weight"] = layer.lora_A.weight.detach()
    weights[f"base_model.model.{name}.lora_B.weight"] = layer.lora_B.weight.detach()
config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "target_modules": TARGETS}
adapter_folder.mkdir(parents=True, exist_ok=True)
save_file(weights, adapter_folder / "adapter_model.safetensors")
(adapter_folder / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
