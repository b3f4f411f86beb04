"""A model behind an OpenAI-shaped server (vLLM, llama.cpp, SGLang, ...).

In: conversations. Out: answers from /v1/chat/completions; likelihoods from /v1/completions with echoed logprobs.

Covers: timeouts; retries with growing pauses on 429 and 5xx; servers on this machine without further ado, others only
where the caller says so, because prompts are private text.
Does not cover: starting a server. Does not follow redirects, which could carry a prompt somewhere else, and uses no
proxy from the environment for a server on this machine.

Errors name the address and the status, never the prompt and never the server's reply, which may quote it.
"""

from __future__ import annotations

import ipaddress
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from residency.errors import ModelError
from residency.models import chat
from residency.models.model import Conversation, Generation, Likelihood
from residency.records import Message

if TYPE_CHECKING:
    import httpx

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE = 30.0  # seconds
NO_LIKELIHOODS = (
    "Use a server that echoes prompts with logprobs on /v1/completions (vLLM does), "
    "or read the base from a local folder."
)


class OpenAIModel:
    """A ``Model`` on a server.

    ``url`` ends before /v1, e.g. http://127.0.0.1:8000. ``template`` names the pinned chat template of the served base:
    it is needed for ``choose`` and ``score``, whose prompts are rendered here. ``key_variable`` names the
    environment variable that holds the API key. ``allow_remote`` lets prompts leave this machine.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        template: str | None = None,
        allow_remote: bool = False,
        key_variable: str | None = None,
        timeout: float = 120.0,  # seconds for one request
        attempts: int = 4,
        pause: float = 0.5,  # seconds before the second attempt; doubled for each further one
        parallel: int = 8,  # requests under way at the same time
    ) -> None:
        import httpx

        local = is_loopback(url)
        if not (local or allow_remote):
            raise ModelError(
                f"{urlsplit(url).hostname or url!r} is not this machine, and prompts hold private text.",
                fix="Use a server on 127.0.0.1, or allow the remote server explicitly (allow_remote).",
            )
        self.name = model
        self.url = url.rstrip("/").removesuffix("/v1")
        self.template = template
        self.attempts, self.pause, self.parallel = attempts, pause, parallel
        headers = {"Authorization": f"Bearer {_key(key_variable)}"} if key_variable else {}
        self._client: httpx.Client = httpx.Client(
            timeout=timeout, headers=headers, follow_redirects=False, trust_env=not local
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Generation]:
        """Greedy answers. ``nats`` is not a number where the server sends no logprobs."""
        return self._each(lambda conversation: self._generate(conversation, max_tokens), conversations)

    def choose(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[tuple[float, ...]]:
        """Natural-log probability of every option, one request for each: (len, options)."""
        pairs = list(product(conversations, options))
        values = [-one.nats for one in self._each(lambda pair: self._score(*pair), pairs)]
        width = len(options)
        return [tuple(values[row * width : (row + 1) * width]) for row in range(len(conversations))]

    def score(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> list[Likelihood]:
        """Likelihood of one answer for each conversation."""
        return self._each(lambda pair: self._score(*pair), list(zip(conversations, answers, strict=True)))

    def _generate(self, conversation: Conversation, max_tokens: int) -> Generation:
        reply = self._post(
            "/v1/chat/completions",
            {
                "model": self.name,
                "messages": self._messages(conversation),
                "temperature": 0,
                "max_tokens": max_tokens,
                "logprobs": True,
            },
        )
        try:
            choice = reply["choices"][0]
            text = choice["message"]["content"] or ""
            logprobs = (choice.get("logprobs") or {}).get("content")
            nats = -sum(token["logprob"] for token in logprobs) if logprobs is not None else math.nan
            tokens = int(reply["usage"]["completion_tokens"])
            return Generation(text, nats, tokens, finished=choice["finish_reason"] == "stop")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise self._unreadable("/v1/chat/completions") from None

    def _messages(self, conversation: Conversation) -> list[dict[str, str]]:
        control = chat.control_tokens(self.template) if self.template else chat.all_control_tokens()
        return [{"role": turn.role, "content": chat.disarm(turn.content, control)} for turn in conversation]

    def _score(self, conversation: Sequence[Message], answer: str) -> Likelihood:
        """The echoed tokens that begin where the prompt ends are the answer's."""
        if self.template is None:
            raise ModelError(
                f"{self.url}: likelihoods need the served base's chat template.",
                fix="Name its template (template=...).",
            )
        prompt = chat.render(conversation, self.template, generation=True)
        ending = chat.disarm(answer, chat.control_tokens(self.template)) + chat.end_of_turn(self.template)
        reply = self._post(
            "/v1/completions",
            {
                "model": self.name,
                "prompt": prompt + ending,
                "max_tokens": 0,
                "temperature": 0,
                "echo": True,
                "logprobs": 1,
                "add_special_tokens": False,  # vLLM; the template writes its own
            },
            fix=NO_LIKELIHOODS,
        )
        try:
            logprobs = reply["choices"][0]["logprobs"]
            offsets, values = logprobs["text_offset"], logprobs["token_logprobs"]
        except (KeyError, IndexError, TypeError):
            raise ModelError(f"{self.url}: the server does not echo logprobs.", fix=NO_LIKELIHOODS) from None
        return self._tail(offsets, values, start=len(prompt), end=len(prompt) + len(ending))

    def _tail(self, offsets: Sequence[int], values: Sequence[float | None], *, start: int, end: int) -> Likelihood:
        """Sum over the tokens in [start, end) of the echoed text, in code points."""
        answer = [value for offset, value in zip(offsets, values, strict=True) if start <= offset < end]
        if start not in offsets or any(value is None for value in answer):
            # A token that begins in the prompt and ends in the answer cannot be shared out between them.
            raise ModelError(f"{self.url}: the server's tokens do not part prompt and answer.", fix=NO_LIKELIHOODS)
        return Likelihood(-math.fsum(value for value in answer if value is not None), len(answer))

    def _each(self, ask: Callable[[Any], Any], inputs: Sequence[Any]) -> list[Any]:
        """Several requests at a time, results in order."""
        if not inputs:
            return []
        with ThreadPoolExecutor(max_workers=min(self.parallel, len(inputs))) as pool:
            return list(pool.map(ask, inputs))

    def _post(self, path: str, body: dict[str, Any], *, fix: str = "Look at the server's own log.") -> Any:
        import httpx

        problem = ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(min(self.pause * 2 ** (attempt - 1), LONGEST_PAUSE))
            try:
                response = self._client.post(self.url + path, json=body)
            except httpx.TransportError as error:  # refused, timed out, cut off
                problem = type(error).__name__
                continue
            if response.status_code == 200:
                return self._json(response, path)
            problem = f"status {response.status_code}"
            if response.status_code not in RETRIED:
                raise ModelError(f"{self.url}{path}: the server refused ({problem}).", fix=fix)
        raise ModelError(
            f"{self.url}{path}: no answer after {self.attempts} attempts ({problem}).",
            fix="Check that the server runs at this address and is not overloaded.",
        )

    def _json(self, response: httpx.Response, path: str) -> Any:
        try:
            return response.json()
        except ValueError:
            raise self._unreadable(path) from None

    def _unreadable(self, path: str) -> ModelError:
        return ModelError(
            f"{self.url}{path}: the reply does not have OpenAI's shape.",
            fix="Check that the address is that of a model server.",
        )


def is_loopback(url: str) -> bool:
    """Whether the address can only be this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(variable: str) -> str:
    key = os.environ.get(variable, "")
    if not key:
        raise ModelError(
            f"The environment variable {variable} is not set.", fix=f"Run: export {variable}=... with the server's key."
        )
    return key
