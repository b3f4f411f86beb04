"""A local base, with or without an adapter, as a ``Model``.

In: conversations. Out: greedy answers; log-probabilities of options and of given answers.

Covers: batches sorted by length; the beginning that all prompts of a call share, computed once; options that share
beginnings (trie.py); logits at the positions that are read and at no others.
Does not cover: sampling, several GPUs; a server does that (openai_api.py).

Rows are padded on the left, so that the newest token of every row stands in the same column. Padding never
changes what a row computes: positions count from the row's first token, and masks hide the padding. What is
left is rounding, which a test bounds.

Logits are fp32 also where the model is bf16: at a logit of 20, bf16 has steps of 0.125, which is more than
separates two labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residency.errors import PromptTooLong
from residency.models import chat
from residency.models.base import Base
from residency.models.catalogue import template
from residency.models.model import Conversation, Generation, Likelihood
from residency.models.trie import ROOT, Trie, tries_of

if TYPE_CHECKING:
    import torch

    from residency.models.kv import RoomyCache

# Chosen by us on two cores and on the embedded base, November 2026: larger batches are no faster there.
ROWS = 16  # most rows of a batch
TOKENS = 8192  # most padded prompt tokens of a batch
LOGITS = 2**26  # most fp32 logits held at a time (256 MiB)
BLOCK = 8  # rows of logits that are normalized at a time
NODES = 512  # most trie nodes of one pass
SHARED = 16  # a shared beginning shorter than this is not worth a pass of its own


@dataclass(slots=True)
class Answer:
    """An answer that is being written."""

    place: int  # position in the caller's list
    ids: list[int] = field(default_factory=list)
    nats: float = 0.0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Prompted:
    """A batch whose prompts are computed: the cache holds them, ``logits`` say what comes next."""

    cache: RoomyCache
    logits: torch.Tensor  # (B, kept, V), fp32, right-aligned
    seen: torch.Tensor  # (B, L) bool: False where padded
    lengths: torch.Tensor  # (B,) true tokens of each row


class TransformerModel:
    """A ``Model`` in this process. ``merge=False`` saves memory and costs speed (attach.py)."""

    def __init__(self, base: Base, adapter: Path | None = None, *, name: str = "", merge: bool = True) -> None:
        from residency.models.attach import attach
        from residency.models.head import widen_head

        self.name = name or base.entry.name + (f"+{adapter.name}" if adapter else "")
        self.tokenizer = base.tokenizer
        self.template = base.template
        self.context = base.entry.shape.context
        self.layers = base.entry.shape.layers
        self.device = base.device
        self.module: Any = widen_head(attach(base, adapter, merge=merge) if adapter else base.fork())
        control = [chat.token_id_or_none(base.tokenizer, token) for token in template(base.template).control_tokens]
        self.end = chat.token_id(base.tokenizer, chat.end_of_turn(base.template))
        self.stops = frozenset(token for token in control if token is not None)

    def generate(self, conversations: Sequence[Conversation], *, max_tokens: int) -> list[Generation]:
        """Greedy answers. Any control token ends one; it counts as a token, and max_tokens includes it."""
        prompts = self._prompts(conversations, room=max_tokens)
        answers = [Answer(place) for place in range(len(prompts))]
        for batch, prefix in self._batches(prompts, kept=1):
            self._write([prompts[i] for i in batch], [answers[i] for i in batch], prefix, max_tokens)
        return [self._generation(answer) for answer in answers]

    def choose(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probability of every option with its end of turn, for each conversation: (len, options).

        A prompt is computed once, then all options in one pass over their trie.
        """
        if not options:
            return [() for _ in conversations]
        choices = [chat.answer_ids(self.tokenizer, option, self.template) for option in options]
        prompts = self._prompts(conversations, room=max(map(len, choices)))
        tries = list(tries_of(choices, most_nodes=NODES))
        widest = max(len(trie.tokens) for trie in tries)
        chosen: list[tuple[float, ...]] = [()] * len(prompts)
        for batch, prefix in self._batches(prompts, kept=widest + 1):
            rows = self._choose_batch([prompts[i] for i in batch], prefix, tries, len(options))
            for place, row in zip(batch, rows, strict=True):
                chosen[place] = tuple(row)
        return chosen

    def score(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> list[Likelihood]:
        """Likelihood of one answer, with its end of turn, for each conversation."""
        targets = [chat.answer_ids(self.tokenizer, answer, self.template) for answer in answers]
        prompts = self._prompts(conversations, room=max(map(len, targets), default=0))
        # The last token of an answer is read, never fed.
        rows = [prompt + target[:-1] for prompt, target in zip(prompts, targets, strict=True)]
        nats = [0.0] * len(rows)
        for batch, prefix in self._batches(rows, kept=max(map(len, targets), default=0), unshared=targets):
            wanted = [targets[i] for i in batch]
            for place, value in zip(batch, self._score_batch([rows[i] for i in batch], prefix, wanted), strict=True):
                nats[place] = value
        return [Likelihood(value, len(target)) for value, target in zip(nats, targets, strict=True)]

    # -- batches -------------------------------------------------------------------------------------------------

    def _prompts(self, conversations: Sequence[Conversation], *, room: int) -> list[list[int]]:
        prompts = [chat.prompt_ids(self.tokenizer, messages, self.template) for messages in conversations]
        for number, prompt in enumerate(prompts, 1):
            if len(prompt) + room > self.context:
                raise PromptTooLong(
                    f"Conversation {number}: {len(prompt)} tokens and {room} for the answer do not fit into the "
                    f"{self.context} tokens that {self.name} can read.",
                    fix="Shorten the text or the prompt, or use a base with a longer context.",
                )
        return prompts

    def _batches(
        self, rows: Sequence[Sequence[int]], *, kept: int, unshared: Sequence[Sequence[int]] | None = None
    ) -> Iterator[tuple[list[int], RoomyCache | None]]:
        """Positions of ``rows`` batch by batch, longest first, with the cache of what all rows share.

        ``kept`` is the number of columns whose logits are held; they come after the shared beginning, and
        so do the ends of the rows given in ``unshared``.
        """
        spare = [len(end) for end in unshared] if unshared else [1] * len(rows)
        shared = _shared_length(rows, [len(row) - ends for row, ends in zip(rows, spare, strict=True)])
        prefix = self._prefix(rows[0][:shared]) if shared else None
        by_logits = max(1, LOGITS // (kept * self.module.config.vocab_size)) if kept else ROWS
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        while order:
            size = min(ROWS, by_logits, max(1, TOKENS // len(rows[order[0]])))
            yield order[:size], prefix
            order = order[size:]

    def _prefix(self, ids: Sequence[int]) -> RoomyCache:
        from residency.models.kv import RoomyCache

        cache = RoomyCache(self.layers, len(ids))
        self._prompt([ids], None, cache=cache, kept=1)
        return cache

    # -- passes --------------------------------------------------------------------------------------------------

    def _start(self, rows: Sequence[Sequence[int]], prefix: RoomyCache | None, *, room: int, kept: int) -> Prompted:
        """Compute the rows, with room in the cache for ``room`` more tokens."""
        from residency.models.kv import RoomyCache

        capacity = max(map(len, rows)) + room
        cache = RoomyCache.after(prefix, layers=self.layers, rows=len(rows), capacity=capacity)
        return self._prompt(rows, prefix, cache=cache, kept=kept)

    def _prompt(
        self, rows: Sequence[Sequence[int]], prefix: RoomyCache | None, *, cache: RoomyCache, kept: int
    ) -> Prompted:
        import torch

        shared = prefix.get_seq_length() if prefix is not None else 0
        width = max(map(len, rows)) - shared
        lengths = torch.tensor([len(row) for row in rows])  # (B,)
        padding = width - (lengths - shared)  # (B,)
        ids = torch.tensor([[self.end] * int(pad) + list(row[shared:]) for pad, row in zip(padding, rows, strict=True)])
        column = torch.arange(width)
        real = column >= padding[:, None]  # (B, width)
        positions = (shared + column - padding[:, None]).clamp(min=0)  # (B, width)
        seen = torch.cat([torch.ones(len(rows), shared, dtype=torch.bool), real], dim=1)  # (B, shared + width)
        mask = None
        if shared or not bool(real.all()):
            among = torch.ones(width, width, dtype=torch.bool).tril()
            # A padded query sees itself: a softmax over nothing is not a number.
            among = (among & real[:, None, :]) | torch.eye(width, dtype=torch.bool)  # (B, width, width)
            mask = torch.cat([torch.ones(len(rows), width, shared, dtype=torch.bool), among], dim=2)[:, None]
        logits = self._forward(ids, positions, mask, cache, kept=kept)
        return Prompted(cache, logits, seen, lengths)

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None, cache: RoomyCache, *, kept: int
    ) -> torch.Tensor:
        """Logits of the last ``kept`` columns: (B, kept, V), fp32."""
        import torch

        with torch.inference_mode():
            output = self.module(
                input_ids=ids.to(self.device),
                position_ids=positions.to(self.device),
                attention_mask=None if mask is None else mask.to(self.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=kept,
            )
        return output.logits.float()

    # -- the three verbs on one batch ----------------------------------------------------------------------------

    def _write(
        self, prompts: list[list[int]], answers: list[Answer], prefix: RoomyCache | None, max_tokens: int
    ) -> None:
        import torch

        state = self._start(prompts, prefix, room=max_tokens, kept=1)
        logits, seen, lengths = state.logits, state.seen, state.lengths
        for step in range(1, max_tokens + 1):
            nats, tokens = _greedy(logits[:, -1])
            for answer, token, cost in zip(answers, tokens, nats, strict=True):
                if not answer.stopped:
                    answer.ids.append(token)
                    answer.nats += cost
                    answer.stopped = token in self.stops
            alive = [row for row, answer in enumerate(answers) if not answer.stopped]
            if not alive or step == max_tokens:
                return
            if len(alive) <= len(answers) * 3 // 4:  # dropping rows copies the cache, so not for every single one
                rows = torch.tensor(alive)
                state.cache.keep(rows.to(self.device))
                seen, lengths = seen[rows], lengths[rows]
                answers, tokens = [answers[row] for row in alive], [tokens[row] for row in alive]
            seen = torch.cat([seen, torch.ones(len(answers), 1, dtype=torch.bool)], dim=1)
            mask = None if bool(seen.all()) else seen[:, None, None, :]
            logits = self._forward(torch.tensor(tokens)[:, None], lengths[:, None], mask, state.cache, kept=1)
            lengths = lengths + 1

    def _choose_batch(
        self, prompts: list[list[int]], prefix: RoomyCache | None, tries: Sequence[Trie], options: int
    ) -> list[list[float]]:
        state = self._start(prompts, prefix, room=max(len(trie.tokens) for trie in tries), kept=1)
        chosen = [[0.0] * options for _ in prompts]
        for trie in tries:
            for row, values in enumerate(self._trie_pass(state, trie)):
                for option, value in zip(trie.options, values, strict=True):
                    chosen[row][option] = value
        return chosen

    def _trie_pass(self, state: Prompted, trie: Trie) -> list[list[float]]:
        """Log-probability of each of the trie's options, for each row."""
        import torch

        steps = [step for path in trie.paths for step in path]
        after = torch.tensor([step.node for step in steps])
        token = torch.tensor([step.token for step in steps])
        owner = torch.tensor([number for number, path in enumerate(trie.paths) for _ in path])
        first = after == ROOT
        nodes = self._trie_logits(state, trie) if trie.tokens else None
        result = []
        for row in range(len(state.lengths)):
            factors = torch.zeros(len(steps), dtype=torch.float64)
            factors[first] = _logprobs(state.logits[row, -1:], torch.zeros_like(after[first]), token[first])
            if nodes is not None:
                factors[~first] = _logprobs(nodes[row], after[~first], token[~first])
            sums = torch.zeros(len(trie.paths), dtype=torch.float64).index_add_(0, owner, factors)
            result.append(sums.tolist())
        return result

    def _trie_logits(self, state: Prompted, trie: Trie) -> torch.Tensor:
        """Logits after every node: (B, nodes, V). A node sees the prompt, its ancestors and itself."""
        import torch

        rows, nodes = len(state.lengths), len(trie.tokens)
        ids = torch.tensor(trie.tokens).expand(rows, nodes)
        positions = state.lengths[:, None] + torch.tensor(trie.depths)
        prompt = state.seen[:, None, :].expand(rows, nodes, -1)
        above = torch.tensor(trie.ancestors()).expand(rows, nodes, nodes)
        mask = torch.cat([prompt, above], dim=2)[:, None]  # (B, 1, nodes, L + nodes)
        before = state.cache.get_seq_length()
        logits = self._forward(ids, positions, mask, state.cache, kept=nodes)
        state.cache.rewind(before)
        return logits

    def _score_batch(
        self, rows: list[list[int]], prefix: RoomyCache | None, targets: Sequence[Sequence[int]]
    ) -> list[float]:
        import torch

        state = self._start(rows, prefix, room=0, kept=max(map(len, targets)))
        nats = []
        for logits, target in zip(state.logits, targets, strict=True):
            factors = _logprobs(logits[-len(target) :], torch.arange(len(target)), torch.tensor(target))
            nats.append(-float(factors.sum()))
        return nats

    def _generation(self, answer: Answer) -> Generation:
        ids = answer.ids[:-1] if answer.stopped else answer.ids
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Generation(text, answer.nats, len(answer.ids), finished=answer.stopped)


def _greedy(logits: torch.Tensor) -> tuple[list[float], list[int]]:
    """The likeliest token of each row and minus its log-probability. ``logits``: (B, V)."""
    import torch

    best, tokens = torch.log_softmax(logits, dim=-1).max(dim=-1)
    return (-best).tolist(), tokens.tolist()


def _logprobs(logits: torch.Tensor, rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probability of ``tokens[i]`` at ``logits[rows[i]]``: (picks,), fp64, on the CPU. ``logits``: (T, V).

    Normalized a few rows at a time, which stay in the processor's cache: three times faster than all at once.
    """
    import torch

    totals = torch.cat([block.logsumexp(dim=-1) for block in torch.split(logits, BLOCK)])  # (T,)
    rows, tokens = rows.to(logits.device), tokens.to(logits.device)
    return (logits[rows, tokens].double() - totals[rows].double()).cpu()


def _shared_length(rows: Sequence[Sequence[int]], limits: Sequence[int]) -> int:
    """How many tokens all rows begin with, at most the smallest of ``limits``; 0 where sharing does not pay."""
    if len(rows) < 2:
        return 0
    first, last = min(map(tuple, rows)), max(map(tuple, rows))  # in this order, all others lie between
    most = min(limits)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), most)
    length = min(length, most)
    return length if length >= SHARED else 0
