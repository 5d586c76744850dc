"""One new token through a GPT as plain functions: the same numbers, sooner.

Home: chapter 11, notebooks/11_generation.ipynb. For a small model and a single
text, most of the time goes to calling modules. Here the weights are taken out of
their modules once, before the first token, and a token is one vector (C,). Left
out: batches, dropout and gradients.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.blocks import Embedding, EncoderLayer, rotary
from nextword.positions import rotate, sinusoidal
from nextword.transformer import GPT

Function = Callable[[Tensor], Tensor]


def flat_linear(*layers: nn.Linear) -> Function:
    """Linear layers as one function of a vector x; results end to end."""
    weight, bias = layers[0].weight, layers[0].bias
    if len(layers) > 1:
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
    return lambda x: torch.addmv(bias, weight, x)


def flat_norm(norm: nn.Module) -> Function:
    """A LayerNorm as a function; nn.Identity stays what it is."""
    if isinstance(norm, nn.Identity):
        return norm
    weight, bias, eps = norm.weight, norm.bias, norm.eps
    C = weight.shape
    return lambda x: F.layer_norm(x, C, weight, bias, eps)


def flat_layer(layer: EncoderLayer) -> Callable:
    """A layer of GPT for one token: x (C,), angles and a cache to (C,)."""
    attention, feed_forward = layer.attention, layer.feed_forward
    H, act = attention.n_heads, feed_forward.activation
    qkv = flat_linear(attention.q_proj, attention.k_proj, attention.v_proj)
    out = flat_linear(attention.out_proj)
    up, down = map(flat_linear, (feed_forward.linear1, feed_forward.linear2))
    norm1, norm2 = map(flat_norm, (layer.residual1.norm, layer.residual2.norm))
    first = layer.residual1.norm_first

    def attend(x, angles, past):
        q, k, v = qkv(x).view(3, 1, H, 1, -1)  # (1, H, 1, D) each
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        k, v = past.extend(k, v)  # (1, H, S, D)
        return out(F.scaled_dot_product_attention(q, k, v).view(-1))

    def step(x, angles, past):
        if first:
            x = x + attend(norm1(x), angles, past)
            return x + down(act(up(norm2(x))))
        x = norm1(x + attend(x, angles, past))
        return norm2(x + down(act(up(x))))

    return step


def flat_embedding(embedding: Embedding) -> Callable[[int, int], Tensor]:
    """The vector (C,) of token ``i`` at position ``t``, from two tables."""
    config, tokens = embedding.config, embedding.tokens.weight
    scale = embedding.scale
    t = torch.arange(config.context_length, device=tokens.device)
    if config.positions == "learned":
        places = embedding.positions.weight
    elif config.positions == "sinusoidal":
        places = sinusoidal(t, config.d_model).to(tokens.dtype)
    else:  # rotary positions come later
        return lambda i, t: tokens[i] * scale
    return lambda i, t: tokens[i] * scale + places[t]


def flat_gpt(model: GPT) -> Callable[[Tensor, Sequence], Tensor]:
    """`GPT` for one more token of one text: ids (1, 1) to logits (1, V)."""
    layers = [flat_layer(layer) for layer in model.decoder.layers]
    norm, head = flat_norm(model.decoder.norm), model.lm_head.weight
    embed = flat_embedding(model.embedding)
    t = torch.arange(model.config.context_length, device=head.device)
    angles = rotary(model.config, t)  # (context_length, 1, D / 2) or None

    def step(ids, cache):
        t = len(cache[0])
        x = embed(int(ids), t)  # (C,)
        turn = None if angles is None else angles[t]
        for layer, past in zip(layers, cache, strict=True):
            x = layer(x, turn, past)
        return torch.mv(head, norm(x))[None]  # (1, V)

    return step
