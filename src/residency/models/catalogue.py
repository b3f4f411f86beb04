"""Known bases and the chat templates that belong to them.

In: catalogue.json, which ships with the package. Out: ``CatalogueEntry`` and ``Template`` objects.

Covers: licence, origin, shape, chat template, recipe defaults; finding the entry of a folder by its name or
by its model type and shape. Does not cover: reading weights (base.py).

Left out on purpose: Gemma 2 (its sliding windows and soft-capped attention do not fit the packed scoring of
transformer.py) and the templates of Mistral (those published disagree about spaces, and a wrong space is a wrong
prompt): a project on Mixtral names the template that it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from residency.errors import ModelError
from residency.settings import Settings

# Our field -> the field of a transformers config.json.
CONFIG_FIELDS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
}
MIXTURE_FIELDS = {"experts": "num_local_experts", "experts_per_token": "num_experts_per_tok"}
TIED = "tie_word_embeddings"


class Shape(Settings):
    """Sizes of a decoder."""

    layers: int = Field(ge=1, description="decoder blocks, count")
    hidden: int = Field(ge=1, description="width of the residual stream, count")
    heads: int = Field(ge=1, description="query heads, count")
    kv_heads: int = Field(ge=1, description="key and value heads, count")
    intermediate: int = Field(ge=1, description="width of the feed-forward layer, count")
    vocabulary: int = Field(ge=2, description="rows of the embedding, count")
    context: int = Field(ge=1, description="longest sequence, tokens")
    experts: int = Field(default=0, ge=0, description="feed-forward layers to choose from, count; 0: no mixture")
    experts_per_token: int = Field(default=0, ge=0, description="experts that a token goes through, count")
    tied: bool = Field(default=False, description="the head has the embedding's weights")

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape that a config.json describes; a missing field is a KeyError."""
        values = {ours: config[theirs] for ours, theirs in CONFIG_FIELDS.items() if ours != "kv_heads"}
        mixture = {ours: config.get(theirs) or 0 for ours, theirs in MIXTURE_FIELDS.items()}
        kv_heads = config.get(CONFIG_FIELDS["kv_heads"]) or values["heads"]
        return cls(**values, **mixture, kv_heads=kv_heads, tied=bool(config.get(TIED)))

    def config(self) -> dict[str, Any]:
        """The fields of a config.json that say the same."""
        fields = CONFIG_FIELDS | (MIXTURE_FIELDS if self.experts else {}) | {"tied": TIED}
        return {theirs: getattr(self, ours) for ours, theirs in fields.items()}

    def fits(self, other: Shape) -> bool:
        """Same weights' shapes: the context is no part of them, and a config.json need not say what is tied."""
        whatever = {"context": 1, "tied": False}
        return self.model_copy(update=whatever) == other.model_copy(update=whatever)


class Template(Settings):
    """A pinned chat template."""

    name: str = Field(description="name that a project file may use")
    file: str = Field(description="file below models/templates")
    end_of_turn: str = Field(description="token that ends every turn")
    control_tokens: tuple[str, ...] = Field(description="tokens that no text of a message may contain")
    source: str = Field(description="where the layout comes from, and how it differs")


class RecipeDefault(Settings):
    """A training setting that fits a base better than the general default."""

    value: float | int | str | bool = Field(description="the setting's value")
    note: str = Field(description="where the value comes from: measured on what, when; or why it is a starting point")


class FastDepth(Settings):
    """How much of a base is adapted when training is to be fast."""

    layers: int = Field(ge=1, description="last decoder blocks that get an adapter, count")
    note: str = Field(description="what it costs and saves: measured on what, when")


class CatalogueEntry(Settings):
    """What is known of a base model."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", description="name of the base, lower case")
    licence: str = Field(description="licence of the weights")
    origin: str = Field(description="where the weights come from")
    model_type: str = Field(description="architecture, as config.json names it")
    shape: Shape = Field(description="sizes")
    template: str | None = Field(description="name of the chat template; null where a project has to name one")
    recipe: Mapping[str, RecipeDefault] = Field(default_factory=dict, description="training setting -> better default")
    fast: FastDepth | None = Field(default=None, description="how much is adapted where the recipe says fast")
    notes: str = Field(default="", description="what a user of this base should know")

    @property
    def chat_template(self) -> str:
        """Name of the chat template; ModelError where nobody named one."""
        if self.template is None:
            raise ModelError(f"{self.name}: no chat template is named.", fix="Name one: template in residency.yaml.")
        return self.template


class Catalogue(Settings):
    """catalogue.json."""

    templates: tuple[Template, ...]
    bases: tuple[CatalogueEntry, ...]


@cache
def catalogue() -> Catalogue:
    """The shipped catalogue."""
    return Catalogue.model_validate_json(files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8"))


def template(name: str) -> Template:
    """The pinned template called ``name``; ModelError where there is none."""
    known = {one.name: one for one in catalogue().templates}
    if name not in known:
        raise ModelError(f"There is no chat template called {name!r}.", fix=f"Use one of: {', '.join(known)}.")
    return known[name]


def entry_named(name: str) -> CatalogueEntry | None:
    """The base called ``name``, however it is capitalized."""
    return next((entry for entry in catalogue().bases if entry.name == name.casefold()), None)


def name_of_folder(folder: Path) -> str:
    """A base's name for a folder that the catalogue does not know, whatever it is called."""
    kept = (c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in folder.name.casefold())
    return "".join(kept).strip(".-") or "local"


def entry_of_folder(folder: Path, config: Mapping[str, Any]) -> CatalogueEntry | None:
    """The entry of the model in ``folder``: by the folder's name, else by model type and shape.

    A name counts only together with the shape: a folder can be called anything.
    """
    try:
        shape = Shape.of_config(config)
    except (KeyError, ValueError):
        return None
    fitting = [e for e in catalogue().bases if e.model_type == config.get("model_type") and e.shape.fits(shape)]
    named = [entry for entry in fitting if entry.name == folder.name.casefold()]
    return next(iter(named or fitting), None)
