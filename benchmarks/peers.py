"""The same models in other libraries, with our weights copied into them.

So a benchmark can assert that two sides compute the same before it times them.
"""

import torch
import transformers
from torch import nn

from nextword.attention import MultiHeadAttention
from nextword.blocks import DecoderLayer, EncoderLayer, TransformerConfig
from nextword.transformer import GPT
from nextword.weights import gpt2_settings, to_gpt2

SUBLAYERS = {  # our norm of each residual connection, and PyTorch's
    nn.TransformerEncoderLayer: 2,
    nn.TransformerDecoderLayer: 3,
}


@torch.no_grad()
def copy(theirs: nn.Module, ours: nn.Module) -> None:
    """Copy the parameters of a layer whose names we share: weight, bias."""
    theirs.weight.copy_(ours.weight)
    theirs.bias.copy_(ours.bias)


@torch.no_grad()
def copy_attention(
    theirs: nn.MultiheadAttention, ours: MultiHeadAttention
) -> None:
    """PyTorch keeps the three projections in one matrix."""
    three = (ours.q_proj, ours.k_proj, ours.v_proj)
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in three]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in three]))
    copy(theirs.out_proj, ours.out_proj)


def pytorch_layer(
    ours: EncoderLayer, config: TransformerConfig
) -> nn.TransformerEncoderLayer | nn.TransformerDecoderLayer:
    """PyTorch's encoder or decoder layer with the weights of ours."""
    decoder = isinstance(ours, DecoderLayer)
    kind = nn.TransformerDecoderLayer if decoder else nn.TransformerEncoderLayer
    theirs = kind(
        config.d_model,
        config.n_heads,
        config.d_ff,
        config.dropout,
        config.activation,
        batch_first=True,
        norm_first=config.norm_first,
        dtype=ours.feed_forward.linear1.weight.dtype,
    )
    copy_attention(theirs.self_attn, ours.attention)
    if decoder:
        copy_attention(theirs.multihead_attn, ours.cross_attention)
    copy(theirs.linear1, ours.feed_forward.linear1)
    copy(theirs.linear2, ours.feed_forward.linear2)
    for number in range(1, SUBLAYERS[kind] + 1):
        norm = getattr(ours, f"residual{number}").norm
        copy(getattr(theirs, f"norm{number}"), norm)
    return theirs


def hugging_face_gpt2(ours: GPT) -> transformers.GPT2LMHeadModel:
    """Hugging Face's GPT-2 with the weights of our GPT.

    Ours must have learned positions and pre-norm.
    """
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **gpt2_settings(ours.config),
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="sdpa",
        )
    ).to(ours.lm_head.weight.dtype)
    theirs.load_state_dict(to_gpt2(ours))
    return theirs
