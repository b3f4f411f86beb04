"""A tiny random Llama, an adapter on it, and a real local server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import CONTROL, write_tiny_model

from residency.models import chat
from residency.models.attach import quiet_peft
from residency.models.base import Base, Precision, load_base
from residency.records import Message


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Base:
    return load_base(str(tiny_folder), precision=Precision.FP32, template_name="chatml", device="cpu")


@pytest.fixture(scope="session")
def tiny_adapter(tiny: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tiny, tmp_path_factory.mktemp("adapters") / "one")


def write_adapter(base: Base, folder: Path, *, seed: int = 1) -> Path:
    """A LoRA adapter with random weights on both sides, so that it changes every answer."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], task_type="CAUSAL_LM")
    with quiet_peft():
        model = get_peft_model(base.fork(), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    return folder


def plain_logprobs(base: Base, model: Any, prompt: list[int], target: list[int]) -> list[float]:
    """One conversation, one answer, one pass, no padding and no cache: the way to compare with."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + target])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    return [logprobs[len(prompt) - 1 + i, token].item() for i, token in enumerate(target)]


class Handler(BaseHTTPRequestHandler):
    """Chat completions and echoing completions of ``server.base``; ``server.script`` holds statuses to answer first."""

    server: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        status = self.server.script.pop(0) if self.server.script else 200
        if status != 200:
            return self.reply(status, {"error": {"message": f"cannot answer: {json.dumps(body)}"}})
        answer = self.chat if self.path == "/v1/chat/completions" else self.echo
        return self.reply(200, answer(body))

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        base = self.server.base
        messages = [Message(**message) for message in body["messages"]]
        ids = chat.prompt_ids(base.tokenizer, messages, "chatml")
        stops = {chat.token_id(base.tokenizer, token) for token in CONTROL}
        new, logprobs, stopped = [], [], False
        while len(new) < body["max_tokens"] and not stopped:
            with torch.inference_mode():
                values = base.model(input_ids=torch.tensor([ids + new])).logits[0, -1].log_softmax(-1)
            new.append(int(values.argmax()))
            logprobs.append(float(values.max()))
            stopped = new[-1] in stops
        text = base.tokenizer.decode(new[:-1] if stopped else new)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop" if stopped else "length"}
        choice["logprobs"] = {"content": [{"token": "", "logprob": value} for value in logprobs]}
        return {"choices": [choice], "usage": {"completion_tokens": len(new)}}

    def echo(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self.server.echoes:
            return {"choices": [{"text": ""}]}
        base, text = self.server.base, body["prompt"]
        encoded = base.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = encoded["input_ids"]
        with torch.inference_mode():
            values = base.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        logprobs = [None] + [float(values[i, token]) for i, token in enumerate(ids[1:])]
        offsets = [start for start, _ in encoded["offset_mapping"]]
        return {"choices": [{"text": text, "logprobs": {"text_offset": offsets, "token_logprobs": logprobs}}]}

    def reply(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/v1/elsewhere")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server(tiny: Base) -> Iterator[Any]:
    """On a free port; ``seen`` are its requests, ``script`` statuses to answer first, ``echoes`` its ability."""
    running: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.base, running.seen, running.script, running.echoes = tiny, [], [], True
    running.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()
