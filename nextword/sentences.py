"""One vector for a sentence, from a BERT that was trained to give such.

Home: chapter 17, notebooks/17_sentiment.ipynb. Left out: how it was trained
(Reimers and Gurevych, 2019).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nextword.generation import evaluating
from nextword.transformer import BERT
from nextword.wordpiece import WordPieceTokenizer, text_batch


def mean_pool(hidden: Tensor, real: Tensor) -> Tensor:
    """The mean vector of the tokens that are ``real``, at length 1.

    hidden (B, T, C) and real (B, T), False on padding, give (B, C).
    """
    weights = real[..., None].to(hidden.dtype)  # (B, T, 1)
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)  # (B, C)
    return F.normalize(mean, dim=-1)


def sentence_vectors(
    model: BERT,
    tokenizer: WordPieceTokenizer,
    texts: Sequence[str],
    rows: int = 16,
    max_length: int = 256,
) -> Tensor:
    """A vector of length 1 for each text, (B, C): their products are cosines.

    ``rows`` texts go through the model at once. A text is cut at ``max_length``
    tokens; 256 is what all-MiniLM-L6-v2 is published with. Raises ValueError
    for no texts.
    """
    if not texts or isinstance(texts, str):
        raise ValueError("Pass a list of one or more texts.")
    parts = []
    # Texts of nearly the same length together need little padding.
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    with evaluating(model) as device:
        for first in range(0, len(order), rows):
            some = [texts[n] for n in order[first : first + rows]]
            batch = text_batch(tokenizer, some, None, max_length)
            ids, real, segments = (x.to(device) for x in batch)
            hidden = model.encode(ids, real, segments)  # (B, T, C)
            parts.append(mean_pool(hidden, real))
    place = torch.tensor(order, device=device).argsort()
    return torch.cat(parts)[place]  # (B, C), in the order of the texts
