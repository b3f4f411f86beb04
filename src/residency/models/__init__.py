"""The only door to any language model.

In: conversations. Out: text and likelihoods (model.py says the protocol).

Covers: which bases are known (catalogue.py, catalogue.json), how they are read (base.py, embedded.py), how a
conversation becomes text (chat.py, templates/), and three models: transformer.py, openai_api.py, scripted.py.
Does not cover: training (tune/) and judging (evaluate/).

Importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

from residency.models.model import Conversation, Generation, Likelihood, Model

__all__ = ["Conversation", "Generation", "Likelihood", "Model"]
