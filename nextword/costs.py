"""What a model costs: time by kind, bytes in training and use, energy.

Home: chapter 23, notebooks/23_efficiency.ipynb. All tensors have 4 bytes a
number unless a function says otherwise. Left out: what a system needs for
itself, such as buffers of kernels. `nextword.scaling` counts operations.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from nextword.blocks import TransformerConfig

# Beginnings of the names that PyTorch gives to operations.
KINDS = {
    "products of matrices": ("aten::addmm", "aten::mm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product",),
    "activation": ("aten::gelu",),
    "norms": ("aten::native_layer_norm",),
    "softmax and loss": ("aten::_log_softmax", "aten::gather"),
    "optimizer": ("aten::_fused_adamw",),
}


def operation_seconds(work: Callable[[], Any]) -> dict[str, float]:
    """The seconds of each operation in a call, by PyTorch's profiler.

    The time of an operation is without that of those it calls. Messages of the
    profiler itself, which some builds write as errors, are thrown away.
    """
    errors, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            work()
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        os.close(nowhere)
    events = profiled.key_averages()
    return {e.key: e.self_cpu_time_total / 1e6 for e in events}


def kind_of_operation(operation: str) -> str:
    """The key of KINDS for an operation; "all else" if there is none."""
    for kind, beginnings in KINDS.items():
        if operation.startswith(beginnings):
            return kind
    return "all else"


def shares_by_kind(seconds: Mapping[str, float]) -> dict[str, float]:
    """From the time of each operation to shares of the sum, largest first.

    Raises ValueError if no time was spent.
    """
    total = sum(seconds.values())
    if not total > 0:
        raise ValueError("No time was spent. Profile a step that does work.")
    shares = dict.fromkeys([*KINDS, "all else"], 0.0)
    for operation, spent in seconds.items():
        shares[kind_of_operation(operation)] += spent / total
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """The bytes of all tensors; a block that two of them share counts once."""
    blocks = {
        x.untyped_storage().data_ptr(): x.untyped_storage().nbytes()
        for x in tensors
    }
    return sum(blocks.values())


def held_bytes(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, int]:
    """Bytes that stay from step to step: weights, gradients, optimizer.

    Call it after a step, when all of them exist. The counters of steps, one
    number for each parameter, are left out.
    """
    parameters = list(model.parameters())
    state = [
        x
        for parameter, entries in optimizer.state.items()
        for x in entries.values()
        if isinstance(x, Tensor) and x.shape == parameter.shape
    ]
    gradients = [p.grad for p in parameters if p.grad is not None]
    return {
        "parameters": bytes_of(parameters),
        "gradients": bytes_of(gradients),
        "optimizer": bytes_of(state),
    }


class SavedForBackward(saved_tensors_hooks):
    """Inside it, counts the bytes that autograd saves for the way back.

    A block of memory counts once, and those of ``known``, such as parameters,
    never. Read ``bytes`` while the result of the forward pass still exists.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        self.known = {x.untyped_storage().data_ptr() for x in known}
        self.blocks: dict[int, int] = {}
        super().__init__(self._see, lambda x: x)

    def __enter__(self) -> "SavedForBackward":
        super().__enter__()
        return self

    def _see(self, x: Tensor) -> Tensor:
        block = x.untyped_storage()
        if block.data_ptr() not in self.known:
            self.blocks[block.data_ptr()] = block.nbytes()
        return x

    @property
    def bytes(self) -> int:
        """So far."""
        return sum(self.blocks.values())


def activation_numbers(config: TransformerConfig) -> int:
    """Numbers that a GPT saves for the way back, for one token.

    With fused attention, no dropout, pre-norm, and its loss. Ids, masks and
    the angles of positions are left out: a few numbers.
    """
    C, H = config.d_model, config.n_heads
    norm = C + 2  # its input, mean and deviation
    merged = C if config.positions == "rotary" else 0  # else it is a view
    attention = C + 3 * C + H + C + merged  # input; q, k, v; sums; output
    feed_forward = C + 2 * config.d_ff  # input, before and after activation
    layer = 2 * norm + attention + feed_forward
    return config.n_layers * layer + norm + C + config.vocab_size


def kv_bytes(
    layers: int, groups: int, D: int, tokens: int, number: int = 4
) -> int:
    """Keys and values of so many tokens, ``number`` bytes each (6.7)."""
    return 2 * layers * groups * D * tokens * number


def energy_kwh(
    watts: float, hours: float, chips: int = 1, pue: float = 1.0
) -> float:
    """Energy of a run: power of a chip and its share of the rest, times time.

    ``pue`` is the power of the whole building over that of its computers.
    Raises ValueError for a PUE below 1 and for negative numbers.
    """
    if min(watts, hours, chips) < 0 or not pue >= 1:
        raise ValueError(
            f"{watts} W, {hours} h, {chips} chips, PUE {pue}: pass numbers of "
            "0 or more, and a PUE of 1 or more."
        )
    return watts * hours * chips * pue / 1000


def co2_kg(kwh: float, kg_per_kwh: float) -> float:
    """CO2, in kg, of this energy, at the emissions of its electricity."""
    return kwh * kg_per_kwh
