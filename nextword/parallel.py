"""One training run by several processes, with PyTorch's own DDP and FSDP2.

``torchrun`` starts the processes and says by environment variables which is
which. Every process has the same batches in view and takes its rows of each. In
a single process all of this does nothing. Left out: pipeline and tensor
parallelism.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

# DDP, FSDP and DTensor are imported where several processes need them: they
# take a second to load, and a PyTorch without torch.distributed lacks them.

MODES = ("ddp", "fsdp")


def joined() -> bool:
    """Whether this process is one of several, or one that torchrun started."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if joined() else 0


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if joined() else 1


@contextmanager
def together(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started; gives this one's device.

    A GPU each with NCCL, or the CPU with gloo. Without torchrun it gives
    ``device`` back. Raises ValueError if a process finds no GPU of its own.
    """
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = own_gpu(int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    store, number, n = next(dist.rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        # On one machine the store outlives a restart, and so do the addresses
        # of dead processes in it. Each attempt has names of its own.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=number,
        world_size=n,
        device_id=device if device.type == "cuda" else None,
    )
    try:
        yield device
    finally:
        dist.destroy_process_group()


def own_gpu(number: int) -> torch.device:
    """The GPU for process ``number`` of this machine."""
    there = torch.cuda.device_count()
    if number >= there:
        raise ValueError(
            f"Each process needs a GPU of its own, and there are {there} here. "
            f"Start torchrun with --nproc-per-node {there}."
        )
    return torch.device("cuda", number)


def share(batches: Callable[[int], tuple]) -> Callable[[int], tuple]:
    """The same batches, of which each process takes every n-th row.

    Raises ValueError for a batch that does not divide evenly.
    """
    n = processes()
    if n == 1:
        return batches

    def part(number):
        batch = batches(number)
        if len(batch[0]) % n:
            raise ValueError(
                f"A batch of {len(batch[0])} does not divide among {n} "
                f"processes. Choose a batch size that is a multiple of {n}."
            )
        return type(batch)(*(tensor[rank() :: n] for tensor in batch))

    return part


def spread(model: nn.Module, mode: str) -> nn.Module:
    """The model to call, so that gradients are means over the processes.

    "ddp" keeps the whole model in each process, "fsdp" a part of each matrix;
    then it changes ``model`` itself. Make the optimizer after this.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}. Choose one of {', '.join(MODES)}.")
    if processes() == 1:
        return model
    if mode == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # It warns of outputs that are changed in place: ours never are.
    warnings.filterwarnings("ignore", "FSDP2-wrapped .* returned a view")
    # Without a mesh, it takes a GPU where there is one.
    device = next(model.parameters()).device
    mesh = init_device_mesh(device.type, (processes(),))
    for stack in (
        getattr(model, "encoder", None),
        getattr(model, "decoder", None),
    ):
        for layer in stack.layers if stack is not None else ():
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def loss_of_all(
    loss: Callable[[nn.Module, tuple], tuple[Tensor, int]], spread: nn.Module
) -> Callable[[nn.Module, tuple], tuple[Tensor, int]]:
    """A loss whose value and count are sums over the processes' parts.

    `spread` makes the mean of the gradients; so each part's counts n times.
    """
    n = processes()
    if n == 1:
        return lambda model, batch: loss(spread, batch)

    def sum_of_all(model, batch):
        own, count = loss(spread, batch)
        sums = own.new_tensor([own.item(), count], dtype=torch.float64)
        dist.all_reduce(sums)
        everyone, number = sums.tolist()
        # The value is that of all, the gradient n times that of our part.
        return n * (own - own.detach()) + everyone, round(number)

    return sum_of_all


def whole(tensor: Tensor) -> Tensor:
    """A tensor as one, of which each process may hold a part."""
    in_parts = hasattr(tensor, "full_tensor")  # as DTensors have
    return tensor.full_tensor() if in_parts else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor in parts, if ``other`` is and has its shape.

    Every process has the same tensor, and takes its own part of it.
    """
    if not hasattr(other, "full_tensor") or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    tensor = tensor.to(other.device)
    return distribute_tensor(
        tensor, other.device_mesh, other.placements, src_data_rank=None
    )


def anyone(mine: bool) -> bool:
    """Whether it is true in any process. All get the same answer."""
    if processes() == 1:
        return mine
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    votes = torch.tensor(float(mine), device=device)
    dist.all_reduce(votes)
    return votes.item() > 0


def wait() -> None:
    """Go on when every process has come here."""
    if joined():
        dist.barrier()
