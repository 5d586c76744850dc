"""What Hugging Face calls the parameters of GPT-2 and BERT, and how it keeps them.

Home: chapter 21, notebooks/21_ecosystem.ipynb.
A `Layout` is a table of names. Left out: BERT's pooler and its head for the next
sentence, which our BERT does not have.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]  # parameters by name


class Layout(NamedTuple):
    """What Hugging Face calls our layers, and what is special in its files."""

    names: dict[str, str]  # ours: theirs; # is the number of a layer
    prefix: str  # missing where a file holds the body of a model alone
    turned: tuple[str, ...]  # ends of layers whose matrices are transposed
    tied: dict[str, str]  # second name of a tensor: its first name
    unused: str  # pattern of names that we have no use for


GPT2 = Layout(
    {
        "embedding.tokens": "transformer.wte",
        "embedding.positions": "transformer.wpe",
        "decoder.layers.#.residual1.norm": "transformer.h.#.ln_1",
        "decoder.layers.#.attention.q_proj": "transformer.h.#.attn.c_attn",
        "decoder.layers.#.attention.k_proj": "transformer.h.#.attn.c_attn",
        "decoder.layers.#.attention.v_proj": "transformer.h.#.attn.c_attn",
        "decoder.layers.#.attention.out_proj": "transformer.h.#.attn.c_proj",
        "decoder.layers.#.residual2.norm": "transformer.h.#.ln_2",
        "decoder.layers.#.feed_forward.linear1": "transformer.h.#.mlp.c_fc",
        "decoder.layers.#.feed_forward.linear2": "transformer.h.#.mlp.c_proj",
        "decoder.norm": "transformer.ln_f",
    },
    "transformer.",
    ("c_attn", "c_proj", "c_fc"),
    {"lm_head.weight": "transformer.wte.weight"},
    r"\.attn\.(masked_)?bias$",  # causal masks
)

BODY = Layout(  # a BERT without its output
    {
        "embedding.tokens": "bert.embeddings.word_embeddings",
        "embedding.positions": "bert.embeddings.position_embeddings",
        "segment_embedding": "bert.embeddings.token_type_embeddings",
        "norm": "bert.embeddings.LayerNorm",
        **{
            f"encoder.layers.#.{ours}": f"bert.encoder.layer.#.{theirs}"
            for ours, theirs in {
                "attention.q_proj": "attention.self.query",
                "attention.k_proj": "attention.self.key",
                "attention.v_proj": "attention.self.value",
                "attention.out_proj": "attention.output.dense",
                "residual1.norm": "attention.output.LayerNorm",
                "feed_forward.linear1": "intermediate.dense",
                "feed_forward.linear2": "output.dense",
                "residual2.norm": "output.LayerNorm",
            }.items()
        },
    },
    "bert.",
    (),
    {},
    r"^bert\.pooler\.|^cls\.seq_relationship\.|\.position_ids$",
)

MASKED = BODY._replace(  # a BERT that fills gaps
    names={
        **BODY.names,
        "head.linear": "cls.predictions.transform.dense",
        "head.norm": "cls.predictions.transform.LayerNorm",
        "head.lm_head": "cls.predictions",  # its bias; the weights are tied
    },
    tied={
        "cls.predictions.decoder.weight": (
            "bert.embeddings.word_embeddings.weight"
        ),
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
)


def their_name(ours: str, layout: Layout) -> str:
    """What Hugging Face calls the parameter that has this name in our model.

    Raises ValueError for a parameter that the plain model does not have.
    """
    layer, _, kind = ours.rpartition(".")  # kind: weight or bias
    name = layout.names.get(re.sub(r"\.\d+\.", ".#.", layer))
    if name is None:
        raise ValueError(
            f"Hugging Face has no name for {ours}. Convert the plain model, "
            "without layers that were added to it."
        )
    if number := re.search(r"\.(\d+)\.", layer):
        name = name.replace("#", number[1])
    return f"{name}.{kind}"


def as_stored(tensor: Tensor, theirs: str, layout: Layout) -> Tensor:
    """A matrix, transposed where they store it so; others as they are."""
    stored_so = theirs.removesuffix(".weight").endswith(layout.turned)
    return tensor.T if stored_so else tensor


def to_theirs(ours: Mapping[str, Tensor], layout: Layout) -> State:
    """Our tensors under their names, in their layout; all are new ones."""
    parts = defaultdict(list)
    for name, tensor in ours.items():
        theirs = their_name(name, layout)
        parts[theirs].append(as_stored(tensor, theirs, layout))
    state = {name: torch.cat(part, dim=-1) for name, part in parts.items()}
    return state | {copy: state[name] for copy, name in layout.tied.items()}


def to_ours(
    state: Mapping[str, Tensor], names: list[str], layout: Layout
) -> State:
    """The opposite of `to_theirs`, for our parameters of these names."""
    together = defaultdict(list)  # their name: ours, one or three
    for name in names:
        together[their_name(name, layout)].append(name)
    ours = {}
    for theirs, group in together.items():
        parts = state[theirs].chunk(len(group), dim=-1)
        for name, part in zip(group, parts, strict=True):
            ours[name] = as_stored(part, theirs, layout)
    return ours


# Checks


def tidy(state: Mapping[str, Tensor], layout: Layout) -> State:
    """A checkpoint with full names, each tensor once, and nothing unused.

    Raises ValueError if a tensor with two names has two values.
    """
    bare = not any(name.startswith(layout.prefix) for name in state)
    tensors = {}
    for name, tensor in state.items():
        if bare and name not in layout.tied:
            name = layout.prefix + name
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        if not re.search(layout.unused, name):
            tensors[name] = tensor
    for copy, name in layout.tied.items():
        second = tensors.pop(copy, None)
        if second is None:
            continue
        if not torch.equal(second, tensors.setdefault(name, second)):
            raise ValueError(
                f"{copy} and {name} differ, but in our model they are one "
                "tensor. Only a checkpoint with tied embeddings fits."
            )
    return tensors


def some(faults: list[str]) -> str:
    """The first three, and how many more there are."""
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return ", ".join(faults[:3]) + more


def check_state(state: State, expected: State) -> None:
    """Raise ValueError unless these are the tensors that a model needs."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    needed = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    faults = {
        "Missing": sorted(needed.keys() - shapes.keys()),
        "Unknown": sorted(shapes.keys() - needed.keys()),
        "Of another shape": [
            f"{name} {shapes[name]} instead of {needed[name]}"
            for name in sorted(needed.keys() & shapes.keys())
            if shapes[name] != needed[name]
        ],
    }
    if any(faults.values()):
        found = [f"{what}: {some(f)}." for what, f in faults.items() if f]
        raise ValueError(
            f"The weights do not fit the model. {' '.join(found)} Pass weights "
            "of its kind, and the sizes that their config.json describes."
        )
