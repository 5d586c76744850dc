"""Which parts of its input a model's answer rests on: integrated gradients.

Home: chapter 17, notebooks/17_sentiment.ipynb. Sundararajan, Taly and Yan, 2017.
Left out: every other method, and the choice of a baseline.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def path_points(x: Tensor, baseline: Tensor, steps: int) -> Tensor:
    """Points on the line from baseline to x: the middles of equal parts.

    x and baseline (...) give (steps, ...). Raises ValueError for other shapes,
    or fewer than one step.
    """
    if x.shape != baseline.shape or steps < 1:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, the baseline "
            f"{tuple(baseline.shape)}, and there are {steps} steps. Pass two "
            "tensors of one shape, and 1 step or more."
        )
    shares = (torch.arange(steps, dtype=x.dtype, device=x.device) + 0.5) / steps
    shares = shares.view(-1, *[1] * x.dim())  # (steps, 1, ...)
    return baseline + shares * (x - baseline)  # (steps, ...)


def integrated_gradients(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    baseline: Tensor,
    steps: int = 32,
) -> Tensor:
    """How much each number of x adds to f(x) - f(baseline).

    (x - baseline) times the mean gradient on the line between them
    (Sundararajan et al., 2017, equation 1). x (...) gives (...); f takes
    (steps, ...) and gives (steps,). Raises ValueError for any other f.
    """
    points = path_points(x, baseline, steps).detach().requires_grad_()
    values = f(points)
    if values.shape != (steps,):
        raise ValueError(
            f"f gave shape {tuple(values.shape)} for {steps} inputs. It should "
            "give one number for each."
        )
    (gradients,) = torch.autograd.grad(values.sum(), points)
    return (x - baseline).detach() * gradients.mean(dim=0)


@contextmanager
def reading(table: nn.Embedding, vectors: Tensor) -> Iterator[None]:
    """Inside, the table gives these vectors, whatever ids it is asked for.

    So a model can be asked about points between words. Raises ValueError if
    the vectors have another shape than those that it would give.
    """

    def replace(module: nn.Module, ids: tuple, found: Tensor) -> Tensor:
        if found.shape != vectors.shape:
            raise ValueError(
                f"The model asks for vectors of shape {tuple(found.shape)}, "
                f"but there are {tuple(vectors.shape)}. Pass one for each id."
            )
        return vectors

    handle = table.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
