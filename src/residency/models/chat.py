"""From messages to the text and the tokens that a model reads.

In: messages and the name of a pinned chat template. Out: the prompt as text or token ids, answers as token ids.

Covers: rendering in jinja2's sandbox; the end-of-turn token; texts that contain control tokens.
Does not cover: prompts of a task (they are already in the messages).

Templates are files of this package, never taken from a downloaded tokenizer: a template is code that decides what
a model is told, so it is reviewed like code. No template adds a system prompt of its own; what is sent is what
the messages say, today and after an upstream change. SmolLM2's published template inserts "You are a helpful AI
assistant named SmolLM, ..." where a conversation has no system turn; a specialist on medical text is better off
without it, and training and serving see the same text.

Prompt and answer are tokenized apart, in training, scoring and generation alike, so that a model is asked for
exactly the tokens it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from residency.errors import ModelError
from residency.models.catalogue import catalogue, template
from residency.records import Message

if TYPE_CHECKING:
    import jinja2

ROLES = ("system", "user", "assistant")


def render(messages: Sequence[Message], template_name: str, *, generation: bool) -> str:
    """The conversation as the model's text; ``generation`` opens the assistant's next turn.

    A control token inside a message is broken by a space, so that no report can end its own turn or open
    another one. ModelError for an unknown role or an unusable template.
    """
    _check_roles(messages)
    control = template(template_name).control_tokens
    turns = [{"role": message.role, "content": disarm(message.content, control)} for message in messages]
    return render_source(_source(template_name), turns, generation=generation)


def end_of_turn(template_name: str) -> str:
    """The token that ends every turn."""
    return template(template_name).end_of_turn


def control_tokens(template_name: str) -> tuple[str, ...]:
    """The tokens that no message may contain."""
    return template(template_name).control_tokens


def all_control_tokens() -> tuple[str, ...]:
    """Those of every template, for a model whose template is not known."""
    return tuple(dict.fromkeys(token for one in catalogue().templates for token in one.control_tokens))


def prompt_ids(tokenizer: Any, messages: Sequence[Message], template_name: str) -> list[int]:
    """Token ids of the conversation up to and including the opening of the assistant's turn."""
    return encode(tokenizer, render(messages, template_name, generation=True))


def answer_ids(tokenizer: Any, answer: str, template_name: str) -> list[int]:
    """Token ids of an assistant's turn, its end-of-turn token included. Disarmed as messages are."""
    chosen = template(template_name)
    text = disarm(answer, chosen.control_tokens)
    return [*encode(tokenizer, text), token_id(tokenizer, chosen.end_of_turn)]


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of ``text`` and nothing else: templates write their own control tokens."""
    return list(tokenizer.encode(text, add_special_tokens=False))


def token_id(tokenizer: Any, token: str) -> int:
    """The id of one control token; ModelError where the tokenizer does not know it as one token."""
    found = token_id_or_none(tokenizer, token)
    if found is None:
        raise ModelError(
            f"The tokenizer does not know the control token {token!r}.",
            fix="Name the chat template that belongs to this base.",
        )
    return found


def token_id_or_none(tokenizer: Any, token: str) -> int | None:
    """The id of one control token, None where the tokenizer has no such token."""
    found = tokenizer.convert_tokens_to_ids(token)
    return int(found) if found is not None and tokenizer.convert_ids_to_tokens(found) == token else None


def disarm(text: str, control_tokens: Sequence[str]) -> str:
    """``text`` with every control token broken by a space after its first character."""
    for token in control_tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def render_source(source: str, turns: Sequence[dict[str, str]], *, generation: bool) -> str:
    """Render a template's source in the sandbox; ModelError where it fails or tries to leave it."""
    import jinja2

    try:
        return _sandbox().from_string(source).render(messages=turns, generation=generation)
    except jinja2.TemplateError as error:
        # SecurityError is one of them. The message of a jinja2 error never holds a value.
        raise ModelError(
            f"A chat template cannot be used ({type(error).__name__}).", fix="Use a template of the catalogue."
        ) from None


@cache
def _sandbox() -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # The loader that loads nothing: a template that asks for another file finds none.
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, loader=jinja2.BaseLoader())


@cache
def _source(template_name: str) -> str:
    folder = files(__package__).joinpath("templates")
    return folder.joinpath(template(template_name).file).read_text(encoding="utf-8").rstrip("\n")


def _check_roles(messages: Sequence[Message]) -> None:
    for number, message in enumerate(messages, 1):
        if message.role not in ROLES:
            raise ModelError(
                f"Message {number}: the role is {message.role!r}, not one of {', '.join(ROLES)}.",
                fix="Correct the role.",
            )
