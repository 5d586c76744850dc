"""Exercises of chapter 7, "Feed-forward, residuals and normalisation"."""

import itertools
import random
from collections.abc import Callable

import torch

from nextword.exercises.engine import Mistake, compare, exercise


def _tensor(
    rng: random.Random, *shape: int, scale: float = 1.0
) -> torch.Tensor:
    """Random 64-bit numbers, drawn afresh in each check."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def _numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def _mean(x, axis=-1):
    return x.mean(dim=axis, keepdim=True)


def _variance(x, axis=-1):
    return _mean((x - _mean(x, axis)) ** 2, axis)


def _unbiased(x):
    return x.var(dim=-1, keepdim=True)


def _mistakes(table):
    """From messages, each with code that makes the mistake."""
    return [Mistake(wrong, message) for message, wrong in table.items()]


_FORGOTTEN_GAIN = "The gain is forgotten: multiply the normalised x by it."
_OUTSIDE = (
    "eps stands outside the root. It is added to the variance, inside the "
    "root; outside, it is added to a standard deviation."
)


@exercise("7.1", "Normalise each token")
def normalise(answer, rng):
    """(x - mean) / sqrt(variance + eps) * gain + bias."""
    cases = [
        (
            _numbers(0, 6, 6, 8).view(1, 1, 4),
            torch.ones(4).double(),
            torch.zeros(4).double(),
            0.0,
        )
    ]
    for (B, T, C), eps in (((2, 3, 4), 1e-5), ((3, 2, 5), 0.1)):
        x = _tensor(rng, B, T, C, scale=2.0) + 1.0
        cases.append((x, _tensor(rng, C), _tensor(rng, C), eps))

    def by(rule):
        return lambda x, gain, bias, eps: rule(x, eps) * gain + bias

    def over(axis):
        return by(
            lambda x, eps: (
                (x - _mean(x, axis)) / (_variance(x, axis) + eps).sqrt()
            )
        )

    def x_hat(x, eps):
        return (x - _mean(x)) / (_variance(x) + eps).sqrt()

    unbiased = (
        "Your variance divides by C - 1, the unbiased estimate, which is the "
        "default of `torch.var` and `torch.std`. Layer normalisation divides "
        "by C: see (7.8)."
    )
    compare(
        answer,
        by(x_hat),
        cases,
        _mistakes(
            {
                (unbiased): by(
                    lambda x, eps: (x - _mean(x)) / (_unbiased(x) + eps).sqrt()
                ),
                (_OUTSIDE): by(
                    lambda x, eps: (x - _mean(x)) / (_variance(x).sqrt() + eps)
                ),
                (
                    "Two faults: the standard deviation divides by C - 1, the "
                    "default of `torch.std`, and eps stands outside the root. "
                    "Compare your line with (7.8)."
                ): by(
                    lambda x, eps: (x - _mean(x)) / (_unbiased(x).sqrt() + eps)
                ),
                (
                    "You normalise over the tokens of a sequence (axis 1). Each "
                    "token is normalised alone, over its own C numbers."
                ): over(1),
                (
                    "You normalise over the batch (axis 0). Each token is "
                    "normalised alone, over its own C numbers."
                ): over(0),
                (
                    "You normalise each feature over all tokens: this is batch "
                    "normalisation. Take the means over the last axis."
                ): over((0, 1)),
                (
                    "You take one mean for a whole sequence. Each token has its "
                    "own: the last axis alone."
                ): over((1, 2)),
                (
                    "You take one mean for the whole batch: `mean()` without an "
                    "axis. Each token has its own mean and variance."
                ): over((0, 1, 2)),
                (_FORGOTTEN_GAIN): lambda x, gain, bias, eps: (
                    x_hat(x, eps) + bias
                ),
                (
                    "The bias is forgotten: add it at the end."
                ): lambda x, gain, bias, eps: x_hat(x, eps) * gain,
                (
                    "This is the normalised x. Gain and bias are both forgotten: "
                    "see (7.9)."
                ): lambda x, gain, bias, eps: x_hat(x, eps),
                (
                    "You add the bias before you multiply by the gain. The gain "
                    "comes first: see (7.9)."
                ): lambda x, gain, bias, eps: (x_hat(x, eps) + bias) * gain,
                (
                    "The mean is not removed: the numerator of (7.9) is x minus "
                    "its mean."
                ): by(lambda x, eps: x / (_variance(x) + eps).sqrt()),
                (
                    "This is RMSNorm. Layer normalisation removes the mean first, "
                    "in the numerator and in the variance."
                ): by(lambda x, eps: x / (_mean(x**2) + eps).sqrt()),
                ("You divide by the variance. The root is missing."): by(
                    lambda x, eps: (x - _mean(x)) / (_variance(x) + eps)
                ),
                (
                    "eps is not used: a vector of equal numbers would give 0 / 0."
                ): by(lambda x, eps: (x - _mean(x)) / _variance(x).sqrt()),
            }
        ),
    )


@exercise("7.2", "Without the mean")
def normalise_size(answer, rng):
    """The reference: x / sqrt(mean(x^2) + eps) * gain."""
    cases = [(_numbers(1, 3, 3, 9).view(1, 1, 4), torch.ones(4).double(), 0.0)]
    for (B, T, C), eps in (((2, 3, 4), 1e-6), ((3, 2, 5), 0.1)):
        x = _tensor(rng, B, T, C, scale=2.0) + 1.0
        cases.append((x, _tensor(rng, C), eps))

    def by(rule):
        return lambda x, gain, eps: x / rule(x, eps) * gain

    def over(axis):
        return by(lambda x, eps: (_mean(x**2, axis) + eps).sqrt())

    compare(
        answer,
        over(-1),
        cases,
        _mistakes(
            {
                (
                    "This is layer normalisation: you remove the mean. RMSNorm "
                    "subtracts nothing."
                ): lambda x, gain, eps: (
                    (x - _mean(x)) / (_variance(x) + eps).sqrt() * gain
                ),
                (
                    "You divide by the standard deviation, which measures from "
                    "the mean. RMSNorm takes the squares of x itself."
                ): by(lambda x, eps: (_variance(x) + eps).sqrt()),
                (
                    "You divide by the standard deviation of `torch.std` or "
                    "`torch.var`. RMSNorm takes the squares of x itself, and "
                    "divides their sum by C."
                ): by(lambda x, eps: (_unbiased(x) + eps).sqrt()),
                (
                    "You subtract the mean in the numerator. RMSNorm divides x "
                    "itself."
                ): lambda x, gain, eps: (
                    (x - _mean(x)) / (_mean(x**2) + eps).sqrt() * gain
                ),
                (
                    "eps stands outside the root. In (7.14) it is added to the "
                    "mean square, before the root is taken."
                ): by(lambda x, eps: _mean(x**2).sqrt() + eps),
                (
                    "You divide by the length of x: the root of the sum of the "
                    "squares. Take their mean, so that the size does not depend "
                    "on C."
                ): by(
                    lambda x, eps: (x**2).sum(-1, keepdim=True).add(eps).sqrt()
                ),
                ("You divide by the mean square. The root is missing."): by(
                    lambda x, eps: _mean(x**2) + eps
                ),
                (
                    "You take the mean of the absolute values. Square, mean, "
                    "root: these are the three steps."
                ): by(lambda x, eps: _mean(x.abs()) + eps),
                ("eps is not used: a vector of zeros would give 0 / 0."): by(
                    lambda x, eps: _mean(x**2).sqrt()
                ),
                (_FORGOTTEN_GAIN): lambda x, gain, eps: (
                    x / (_mean(x**2) + eps).sqrt()
                ),
                (
                    "You take the mean over the tokens of a sequence (axis 1). "
                    "Each token has its own size: the last axis."
                ): over(1),
                (
                    "You take one mean for the whole batch. Each token has its "
                    "own size: give the mean the last axis."
                ): over((0, 1, 2)),
            }
        ),
    )


@exercise("7.3", "Parameters of a layer")
def layer_parameters(answer, rng):
    """Four maps, two maps, two norms, all biases."""
    cases = [(2, 3)] + [
        (rng.randrange(4, 100), rng.randrange(401, 900)) for _ in range(3)
    ]

    def right(C, d_ff):
        return 4 * C * C + 2 * C * d_ff + 9 * C + d_ff

    biases = (
        "The bias of a linear map has one number for each output: d_ff for the "
        "first map of the feed-forward network, C for the second. "
    )
    missing = {
        "These are the matrices alone. The biases of the linear maps and the "
        "two norms are missing.": lambda C, F: 9 * C + F,
        "The biases of the linear maps are missing: one number for each "
        "output.": lambda C, F: 5 * C + F,
        "4C are missing: either the two norms, each with a gain and a bias, or "
        "the four biases of attention.": lambda C, F: 4 * C,
        "2C are missing, the parameters of one LayerNorm. Either you count one "
        "norm, or you count the two without their biases.": (
            lambda C, F: 2 * C
        ),
        "Attention is missing: four maps of C numbers to C numbers.": (
            lambda C, F: 4 * C * C + 4 * C
        ),
        "One map of attention is missing: there are those for queries, keys "
        "and values, and the one after the heads.": lambda C, F: C * C + C,
        "The two biases of the feed-forward network are missing: d_ff numbers "
        "for the first map and C for the second.": lambda C, F: C + F,
        "One of the two matrices of the feed-forward network is missing: to "
        "d_ff numbers, and back to C.": lambda C, F: C * F,
        "The first map of the feed-forward network is missing.": (
            lambda C, F: C * F + F
        ),
        "The second map of the feed-forward network is missing.": (
            lambda C, F: C * F + C
        ),
        biases + "You count d_ff for both.": lambda C, F: C - F,
        biases + "You count C for both.": lambda C, F: F - C,
        "You count three matrices in the feed-forward network, as in SwiGLU. "
        "This one has two.": lambda C, F: -C * F,
    }

    def without(rest):
        return lambda C, F: right(C, F) - rest(C, F)

    table = {message: without(rest) for message, rest in missing.items()}
    table["12 C² + 13 C holds for d_ff = 4C only. Use d_ff."] = lambda C, F: (
        12 * C * C + 13 * C
    )
    table[
        "12 C² is the rough number, for d_ff = 4C. Use d_ff, and count biases "
        "and norms too."
    ] = lambda C, F: 12 * C * C
    compare(answer, right, cases, _mistakes(table))


@exercise("7.4", "Dropout from a mask")
def drop(answer, rng):
    """In training x * keep / (1 - p), else x."""
    example = (_numbers(2, 2), torch.tensor([True, False]), 0.5)
    cases = [(*example, True), (*example, False)]
    for shape, p in (((3, 4), 0.1), ((2, 3, 5), 0.3)):
        x = _tensor(rng, *shape)
        keep = torch.ones(x.numel(), dtype=torch.bool)
        keep[rng.sample(range(x.numel()), x.numel() // 2)] = False
        cases += [(x, keep.view(shape), p, on) for on in (True, False)]

    def rule(on, off=lambda x, keep, p: x):
        return lambda x, keep, p, training: (on if training else off)(
            x, keep, p
        )

    def right(x, keep, p):
        return x * keep / (1 - p)

    def unscaled(x, keep, p):
        return x * keep

    compare(
        answer,
        rule(right),
        cases,
        _mistakes(
            {
                (
                    "What is kept is not scaled, so the mean falls to 1 - p of "
                    "what it was. See the divisor in (7.15)."
                ): rule(unscaled),
                (
                    "You drop numbers in evaluation too. There, dropout does "
                    "nothing: use `training`."
                ): rule(right, right),
                (
                    "Two faults: what is kept is not scaled, and numbers are "
                    "dropped in evaluation too."
                ): rule(unscaled, unscaled),
                (
                    "This is the first form of dropout: it scales in evaluation. "
                    "The mean agrees, but (7.15) scales in training, so that "
                    "evaluation is x itself."
                ): rule(unscaled, lambda x, keep, p: x * (1 - p)),
                (
                    "You scale in training and again in evaluation. Evaluation is "
                    "x itself."
                ): rule(right, lambda x, keep, p: x * (1 - p)),
                (
                    "You scale in evaluation, where nothing is dropped. Evaluation "
                    "is x itself."
                ): rule(right, lambda x, keep, p: x / (1 - p)),
                (
                    "Training and evaluation are exchanged: numbers are dropped in "
                    "training."
                ): rule(lambda x, keep, p: x, right),
                (
                    "Your mask is inverted: `keep` is true where a number stays."
                ): rule(lambda x, keep, p: x * ~keep / (1 - p)),
                (
                    "Your mask is inverted: `keep` is true where a number stays. "
                    "And what stays must be scaled."
                ): rule(lambda x, keep, p: x * ~keep),
                (
                    "You multiply by 1 - p. What is kept must become larger, to "
                    "make up for what is lost."
                ): rule(lambda x, keep, p: x * keep * (1 - p)),
                (
                    "You divide by p, the probability to drop. Divide by the "
                    "probability to keep."
                ): rule(lambda x, keep, p: x * keep / p),
                (
                    "You divide by the share that this mask keeps. It is random; "
                    "divide by its probability, 1 - p."
                ): rule(lambda x, keep, p: x * keep / keep.double().mean()),
                ("You scale, but nothing is dropped. Use `keep`."): rule(
                    lambda x, keep, p: x / (1 - p)
                ),
            }
        ),
    )


class _Named:
    """A function with a short name, for the message of a failed check."""

    def __init__(self, name: str, function: Callable):
        self.name, self.function = name, function

    def __call__(self, x):
        return self.function(x)

    def __repr__(self) -> str:
        return self.name

    def __deepcopy__(self, memo):
        return self


_POST = {
    None: lambda x, f, norm: norm(x + f(x)),
    "is pre-norm": lambda x, f, norm: x + f(norm(x)),
    "loses the residual: f has replaced x": lambda x, f, norm: norm(f(x)),
    "adds f(x) to itself: x was overwritten before the sum, keep it under a "
    "name of its own": lambda x, f, norm: norm(2 * f(x)),
    "normalises f(x) alone; the sum must be normalised": lambda x, f, norm: (
        x + norm(f(x))
    ),
    "normalises the short cut alone; the sum must be normalised": (
        lambda x, f, norm: norm(x) + f(x)
    ),
    "has no norm": lambda x, f, norm: x + f(x),
    "normalises the input of f as well": lambda x, f, norm: norm(
        x + f(norm(x))
    ),
}
_PRE = {
    None: lambda x, f, norm: x + f(norm(x)),
    "is post-norm": lambda x, f, norm: norm(x + f(x)),
    "carries the norm of x on the short cut; it must carry x itself": (
        lambda x, f, norm: norm(x) + f(norm(x))
    ),
    "loses the residual: only f(norm(x)) is left": lambda x, f, norm: f(
        norm(x)
    ),
    "adds f to itself: x was overwritten before the sum, keep it under a name "
    "of its own": lambda x, f, norm: 2 * f(norm(x)),
    "normalises the output of f; its input must be normalised": (
        lambda x, f, norm: x + norm(f(x))
    ),
    "has no norm": lambda x, f, norm: x + f(x),
    "normalises the sum as well": lambda x, f, norm: norm(x + f(norm(x))),
}


def _both(post, pre):
    """What is wrong with the two forms, in one message."""
    if post == "is pre-norm" and pre == "is post-norm":
        return "Post-norm and pre-norm are exchanged. Compare with (7.18)."
    faults = [
        f"Your {form} {fault}."
        for form, fault in (("post-norm", post), ("pre-norm", pre))
        if fault
    ]
    return " ".join(faults)


@exercise("7.5", "The residual connection, both ways")
def connect(answer, rng):
    """norm(x + f(x)) or x + f(norm(x))."""
    double, tenth = (
        _Named("2 * x", lambda x: 2 * x),
        _Named("x / 10", lambda x: x / 10),
    )
    cases = [(_numbers(10).view(1, 1), double, tenth, on) for on in (0, 1)]
    W = _tensor(rng, 4, 4)
    f = _Named("tanh(x @ W) + 1", lambda x: torch.tanh(x @ W) + 1)
    norm = _Named(
        "layer norm", lambda x: (x - _mean(x)) / (_variance(x) + 0.1).sqrt()
    )
    x = 2 * _tensor(rng, 3, 4) + 1
    cases += [(x, f, norm, on) for on in (0, 1)]
    cases = [(*case[:3], bool(case[3])) for case in cases]

    def rule(post, pre):
        return lambda x, f, norm, norm_first: (pre if norm_first else post)(
            x, f, norm
        )

    pairs = itertools.product(_POST.items(), _PRE.items())
    compare(
        answer,
        rule(_POST[None], _PRE[None]),
        cases,
        [
            Mistake(rule(post, pre), _both(about_post, about_pre))
            for (about_post, post), (about_pre, pre) in pairs
            if about_post or about_pre
        ],
    )


def _sum(x):
    return x.sum(dim=(0, 1))


_DX = {
    "The mean of g is not subtracted: the second term of (7.12) is missing.": (
        lambda g, x_hat, sigma: g - x_hat * _mean(g * x_hat)
    ),
    "The term with the mean of g * x_hat is missing: the third of (7.12).": (
        lambda g, x_hat, sigma: g - _mean(g)
    ),
    "Both means are missing: you treat mean and sigma as constants, but they "
    "depend on x.": lambda g, x_hat, sigma: g,
    "In the third term of (7.12), the mean must be multiplied by x_hat.": (
        lambda g, x_hat, sigma: g - _mean(g) - _mean(g * x_hat)
    ),
    "In the third term of (7.12), the mean is that of the product g * x_hat, "
    "not of g alone.": lambda g, x_hat, sigma: g - _mean(g) - x_hat * _mean(g),
    "The two terms of (7.12) are subtracted, not added.": (
        lambda g, x_hat, sigma: g + _mean(g) + x_hat * _mean(g * x_hat)
    ),
    "You take sums where (7.12) has means: divide by C.": (
        lambda g, x_hat, sigma: (
            g
            - g.sum(-1, keepdim=True)
            - x_hat * (g * x_hat).sum(-1, keepdim=True)
        )
    ),
    "Your means run over the tokens (axis 1). Each token is normalised alone, "
    "so they run over the last axis.": lambda g, x_hat, sigma: (
        g - _mean(g, 1) - x_hat * _mean(g * x_hat, 1)
    ),
    "Your means run over the whole batch. Each token is normalised alone: "
    "give them the last axis.": lambda g, x_hat, sigma: (
        g - g.mean() - x_hat * (g * x_hat).mean()
    ),
}


@exercise("7.6", "Back through the norm")
def norm_backward(answer, rng):
    """(g - mean(g) - x_hat mean(g x_hat)) / sigma, and two sums."""
    cases = [
        (
            _numbers(1, 0).view(1, 1, 2),
            _numbers(1, -1).view(1, 1, 2),
            torch.ones(1, 1, 1).double(),
            torch.ones(2).double(),
        )
    ]
    for (B, T, C), eps in (((1, 3, 4), 0.0), ((3, 2, 5), 0.1)):
        x = _tensor(rng, B, T, C, scale=2.0)
        sigma = (_variance(x) + eps).sqrt()
        x_hat = (x - _mean(x)) / sigma
        cases.append((_tensor(rng, B, T, C), x_hat, sigma, _tensor(rng, C)))

    def true_dx(g, x_hat, sigma):
        return g - _mean(g) - x_hat * _mean(g * x_hat)

    def rule(dx=true_dx, scale=lambda d, s: d / s, g=lambda dy, w: dy * w):
        return lambda dy, x_hat, sigma, gain: (
            scale(dx(g(dy, gain), x_hat, sigma), sigma),
            _sum(dy * x_hat),
            _sum(dy),
        )

    def sums(dgain, dbias):
        return lambda dy, x_hat, sigma, gain: (
            rule()(dy, x_hat, sigma, gain)[0],
            dgain(dy, x_hat, gain),
            dbias(dy, x_hat, gain),
        )

    def good_gain(dy, x_hat, gain):
        return _sum(dy * x_hat)

    def good_bias(dy, x_hat, gain):
        return _sum(dy)

    compare(
        answer,
        rule(),
        cases,
        [Mistake(rule(dx), message) for message, dx in _DX.items()]
        + _mistakes(
            {
                (
                    "The gain is forgotten in dx: the norm sees g = dy * gain."
                ): rule(g=lambda dy, gain: dy),
                ("The division by sigma is missing in dx."): rule(
                    scale=lambda dx, sigma: dx
                ),
                (
                    "You multiply dx by sigma. Divide by it: a large x receives a "
                    "small gradient."
                ): rule(scale=lambda dx, sigma: dx * sigma),
                ("You divide dx by the variance. Divide by sigma once."): rule(
                    scale=lambda dx, sigma: dx / sigma**2
                ),
                ("dbias is the sum of dy. The gain has no part in it."): sums(
                    good_gain, lambda dy, x_hat, gain: _sum(dy * gain)
                ),
                (
                    "dgain is the sum of dy * x_hat, without the gain: the output "
                    "is linear in it."
                ): sums(
                    lambda dy, x_hat, gain: _sum(dy * gain * x_hat), good_bias
                ),
                (
                    "You use g in dgain and dbias. Both start from dy: gain and "
                    "bias act after the norm."
                ): sums(
                    lambda dy, x_hat, gain: _sum(dy * gain * x_hat),
                    lambda dy, x_hat, gain: _sum(dy * gain),
                ),
                (
                    "dgain and dbias have one number for each feature. All tokens "
                    "share them, so sum over B and T."
                ): sums(
                    lambda dy, x_hat, gain: dy * x_hat,
                    lambda dy, x_hat, gain: dy,
                ),
                (
                    "dgain and dbias are summed over the batch alone. Sum over the "
                    "positions too."
                ): sums(
                    lambda dy, x_hat, gain: (dy * x_hat).sum(0),
                    lambda dy, x_hat, gain: dy.sum(0),
                ),
                (
                    "You take the mean of dgain and dbias over the tokens. Every "
                    "use of a parameter adds to its gradient: take the sum."
                ): sums(
                    lambda dy, x_hat, gain: (dy * x_hat).mean((0, 1)),
                    lambda dy, x_hat, gain: dy.mean((0, 1)),
                ),
                ("dgain and dbias are exchanged."): sums(good_bias, good_gain),
            }
        ),
    )
