"""Time our layers and our GPT, forward and backward, beside their peers.

    python -m benchmarks.layers

The peers are PyTorch's encoder and decoder layer and Hugging Face's GPT-2, of
the same sizes and with the same weights; the outputs are checked to be equal
first. Rounds of the two sides alternate, so that whatever else the machine does
meets both. It writes ``benchmarks/results/layers.json`` and takes about four
minutes.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from benchmarks import peers, record
from nextword.blocks import DecoderLayer, EncoderLayer, TransformerConfig
from nextword.losses import token_losses
from nextword.transformer import GPT

COMMAND = "python -m benchmarks.layers"
LAYERS = [  # B, T, C, H
    (12, 64, 128, 4),
    (8, 256, 256, 4),
    (4, 512, 512, 8),
]
MODELS = [  # B, T, C, H, layers, V
    (12, 64, 128, 4, 4, 65),
    (8, 128, 256, 8, 6, 2048),
]
SECONDS, ROUNDS = 8.0, 60  # for each pair, at least


def compare(
    name: str, sizes: dict, ours: Callable, theirs: Callable
) -> dict[str, object]:
    """One row: the median milliseconds of both sides, in turns."""
    times: dict[Callable, list[float]] = {ours: [], theirs: []}
    for task in (ours, theirs, ours, theirs):
        task()
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times[ours]) < ROUNDS:
        for task in (ours, theirs):
            start = time.perf_counter()
            task()
            times[task].append(1000 * (time.perf_counter() - start))
    pairs = zip(times[ours], times[theirs], strict=True)
    row = {
        "task": name,
        **sizes,
        "ours_ms": round(statistics.median(times[ours]), 3),
        "theirs_ms": round(statistics.median(times[theirs]), 3),
        "ratio": round(statistics.median(a / b for a, b in pairs), 3),
        "rounds": len(times[ours]),
    }
    print(row, flush=True)
    return row


def there_and_back(model: torch.nn.Module, run: Callable) -> Callable:
    """Forward, then backward from the output with a gradient of ones."""

    def task():
        model.zero_grad()
        out = run()
        out.backward(torch.ones_like(out))

    return task


def layer_rows(B: int, T: int, C: int, H: int) -> list[dict]:
    """The encoder layer and the decoder layer of one size."""
    config = TransformerConfig(10, T, C, H, activation="relu", norm_first=False)
    sizes = {"B": B, "T": T, "C": C, "H": H}
    x, memory = torch.randn(B, T, C), torch.randn(B, T, C)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(T)
    rows = []
    for name, kind in (("encoder", EncoderLayer), ("decoder", DecoderLayer)):
        ours = kind(config)
        theirs = peers.pytorch_layer(ours, config)
        if name == "encoder":
            run, peer = (lambda m=ours: m(x)), (lambda m=theirs: m(x))
        else:
            run = lambda m=ours: m(x, memory)  # noqa: E731
            peer = lambda m=theirs: m(  # noqa: E731
                x, memory, tgt_mask=causal, tgt_is_causal=True
            )
        torch.testing.assert_close(run(), peer(), rtol=1e-4, atol=1e-4)
        tasks = there_and_back(ours, run), there_and_back(theirs, peer)
        rows.append(compare(f"{name} layer", sizes, *tasks))
    return rows


def model_row(B: int, T: int, C: int, H: int, n_layers: int, V: int) -> dict:
    """GPT against GPT-2: logits, cross-entropy and all gradients."""
    config = TransformerConfig(V, T, C, H, n_layers, activation="gelu_tanh")
    ours = GPT(config)
    theirs = peers.hugging_face_gpt2(ours)
    ids, targets = torch.randint(V, (B, T)), torch.randint(V, (B, T))

    def our_loss():
        return token_losses(ours(ids), targets).mean()

    def their_loss():
        logits = theirs(ids, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    torch.testing.assert_close(our_loss(), their_loss(), rtol=1e-5, atol=1e-5)
    sizes = {"B": B, "T": T, "C": C, "H": H, "layers": n_layers, "V": V}
    tasks = there_and_back(ours, our_loss), there_and_back(theirs, their_loss)
    return compare("GPT step", sizes, *tasks)


def main() -> None:
    torch.manual_seed(0)
    rows = [row for sizes in LAYERS for row in layer_rows(*sizes)]
    rows += [model_row(*sizes) for sizes in MODELS]
    notes = [
        "Milliseconds for forward and backward, median over rounds in turns; "
        "ratio: median of ours / theirs, so below 1 ours is faster.",
        f"Threads: {torch.get_num_threads()}. float32, no dropout.",
        "Outputs were checked to be equal before.",
    ]
    packages = ["torch", "transformers"]
    record.write("layers", rows, COMMAND, packages=packages, notes=notes)


if __name__ == "__main__":
    main()
