"""A fast GPT in which every change since the plain one is a field.

Home: chapter 23, notebooks/23_efficiency.ipynb. All matrices of one shape lie in one
tensor, so that few calls cast and move them. Left out: biases, dropout, generation,
and the training, which is in `nextword.speedrun`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.positions import rotary_angles


@dataclass(frozen=True)
class Recipe:
    """What to train and how. The defaults are those of a plain GPT."""

    n_layers: int = 4
    n_heads: int = 4
    d_model: int = 128
    context_length: int = 64
    batch_size: int = 12
    steps: int = 2000
    lr: float = 1e-3  # of AdamW
    muon: float = 0.0  # learning rate of Muon for the matrices; 0: AdamW
    decay: float = 0.1  # weight decay of the matrices
    warmup: int = 100  # steps
    linear: bool = False  # to zero on a line, not to a tenth on a cosine
    rotary: float = 0.0  # the base of rotary positions; 0: learned positions
    qk_norm: bool = False  # queries and keys of one length
    plain_norm: bool = False  # norms without a gain to learn
    relu2: bool = False  # the square of ReLU, not GELU
    untied: bool = False  # the head has a matrix of its own
    spread: float = 0.02  # standard deviation of the matrices at the start
    zero: bool = False  # every branch, and an untied head, begin at zero
    cover: bool = False  # windows side by side, not from anywhere
    head_lr: float = 1.0  # learning rate of the head, as a part of ``lr``
    shift: int = 0  # how many positions before its own each branch sees
    bf16: bool = False  # the network in bfloat16, with `short_attention`
    seed: int = 0


def start_values(recipe: Recipe, vocab_size: int) -> nn.ParameterDict:
    """Parameters: matrices from N(0, spread^2), gains 1, or zero as wanted.

    Raises ValueError unless the heads divide d_model into even sizes.
    """
    L, C, H = recipe.n_layers, recipe.d_model, recipe.n_heads
    if C % (2 * H):
        raise ValueError(f"Choose a multiple of {2 * H} as d_model, not {C}.")
    shapes = {"tokens": (vocab_size, C)}
    shapes |= {} if recipe.rotary else {"places": (recipe.context_length, C)}
    shapes |= {"head": (vocab_size, C)} if recipe.untied else {}
    shapes["square"] = (L, 4, C, C)  # of queries, keys, values, output
    shapes["wide"] = (L, 2, 4 * C, C)  # of the feed-forward network
    generator = torch.Generator().manual_seed(recipe.seed)
    values = {
        name: recipe.spread * torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }
    small = 0.0 if recipe.zero else (2 * L) ** -0.5
    values["square"][:, 3] *= small
    values["wide"][:, 1] *= small
    if recipe.untied and recipe.zero:
        values["head"].zero_()
    if recipe.shift:
        values["shares"] = torch.zeros(2 * L, recipe.shift, C)
    if not recipe.plain_norm:
        values["gains"] = torch.ones(2 * L + 1, C)
    return nn.ParameterDict(values)


def rotary_turns(recipe: Recipe, T: int, dtype: torch.dtype) -> Tensor:
    """The numbers cos + i sin of the angles of positions, (T, 1, D / 2)."""
    D = recipe.d_model // recipe.n_heads
    angles = rotary_angles(torch.arange(T, dtype=dtype), D, recipe.rotary)
    return torch.polar(torch.ones_like(angles), angles)[:, None]


def short_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, written out: q, k, v (B, H, T, D) to (B, H, T, D).

    For short texts: it stores the weights, T^2 numbers for each head.
    """
    q, k, values = (x.flatten(0, 1) for x in (q, k, v))  # (B H, T, D)
    T, D = q.shape[1:]
    hidden = torch.full((T, T), -torch.inf, dtype=q.dtype).triu(1)
    scores = torch.baddbmm(hidden, q, k.mT, alpha=D**-0.5)  # (B H, T, T)
    return (scores.softmax(-1) @ values).view_as(v)


def speed_attention(
    x: Tensor, square: Tensor, turns: Tensor | None, recipe: Recipe
) -> Tensor:
    """Causal attention of all heads with its output, (B, T, C)."""
    (B, T, C), H = x.shape, recipe.n_heads
    qkv = F.linear(x, square[:3].flatten(0, 1))  # (B, T, 3 C)
    qk, v = qkv.view(B, T, 3 * H, C // H).split([2 * H, H], dim=2)
    qk = qk.float() if recipe.bf16 else qk
    if recipe.qk_norm:
        qk = F.layer_norm(qk, qk.shape[-1:])
    if turns is not None:  # two neighbours as one complex number
        pairs = torch.view_as_complex(qk.unflatten(-1, (-1, 2)))
        qk = torch.view_as_real(pairs * turns).flatten(-2)
    q, k = qk.to(x.dtype).transpose(1, 2).chunk(2, dim=1)  # (B, H, T, D) each
    v = v.transpose(1, 2)
    if recipe.bf16:
        out = short_attention(q, k, v)
    else:
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return F.linear(out.transpose(1, 2).reshape(B, T, C), square[3])


def speed_feed_forward(x: Tensor, wide: Tensor, recipe: Recipe) -> Tensor:
    """Two matrices with GELU, or the square of ReLU (So et al., 2021)."""
    h = F.linear(x, wide[0])  # (B, T, 4 C)
    return (F.relu(h).square() if recipe.relu2 else F.gelu(h)) @ wide[1]


def speed_norm(x: Tensor, values: Mapping[str, Tensor], number: int) -> Tensor:
    """Norm ``number`` of x (B, T, C), and, with shares, a look back.

    Before each branch, shares (C,) of the normed positions before are added.
    """
    gains, shares = values.get("gains"), values.get("shares")
    gain = None if gains is None else gains[number].to(x.dtype)
    x = F.layer_norm(x, x.shape[-1:], gain)
    if shares is None or number == len(shares):  # no branch after the last
        return x
    seen = x
    for back, share in enumerate(shares[number].to(x.dtype), 1):
        before = F.pad(x, (0, 0, back, 0))[:, : x.shape[1]]  # zeros come first
        seen = torch.addcmul(seen, before, share)
    return seen


class SpeedGPT(nn.Module):
    """A GPT without biases: ids (B, T) give logits (B, T, V)."""

    def __init__(self, recipe: Recipe, vocab_size: int):
        super().__init__()
        self.recipe, self.values = recipe, start_values(recipe, vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        recipe, T, values = self.recipe, ids.shape[1], dict(self.values)
        x = F.embedding(ids, values["tokens"])  # (B, T, C)
        exact, L = x.dtype, recipe.n_layers
        dtype = torch.bfloat16 if recipe.bf16 else exact
        turns = rotary_turns(recipe, T, exact) if recipe.rotary else None
        x = x if recipe.rotary else x + values["places"][:T]
        x = F.layer_norm(x, x.shape[-1:]) if recipe.plain_norm else x
        parts = x, values["square"], values["wide"]
        x, square, wide = (part.to(dtype) for part in parts)
        for i in range(L):
            h = speed_norm(x, values, 2 * i)
            x = x + speed_attention(h, square[i], turns, recipe)
            h = speed_norm(x, values, 2 * i + 1)
            x = x + speed_feed_forward(h, wide[i], recipe)
        head = values["head" if recipe.untied else "tokens"].to(dtype)
        return F.linear(speed_norm(x, values, 2 * L), head).to(exact)
