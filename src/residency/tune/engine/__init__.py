"""The fast training step: loss and gradient of an adapter, on the plain transformers model.

In: a PEFT model and samples. Out: the loss, and its gradient in the adapter's parameters (step.py).

Covers: every causal language model of transformers. What is saved against the usual trainer: padding (layout.py),
beginnings that several questions share (layout.py), logits where nothing is learned, everything below the first
adapted block (hidden.py), attention's slow backward pass on CPUs (attention.py), casts and copies around each adapter
(linear.py, dora.py), intermediate results of norms, rotations and gates (norm.py, rotary.py, gate.py).
Does not cover: the run around the step (../training.py).

Rejected: a decoder of our own with a hand-written backward pass. It was as fast, and fitted one architecture.

Key of letters: T tokens of a packed sequence, S supervised rows, H hidden, N query heads, K key/value heads, G = N / K,
D width of a head, C queries of a chunk, L keys of a chunk, R rank, V vocabulary.
"""
