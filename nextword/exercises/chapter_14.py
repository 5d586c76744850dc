"""Exercises of chapter 14, "Scaling laws"."""

import math

import numpy as np

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("14.1", "The FLOPs of a step")
def step_flops(answer, rng):
    """Forward and backward of a GPT, all tokens of a batch."""
    sizes = [(2, 9), (11, 30), (31, 50), (2, 8), (51, 99)]  # B T C layers V
    cases = [(1, 1, 1, 1, 1)]
    cases += [tuple(rng.randint(*ends) for ends in sizes) for _ in range(5)]

    def made(weights=24, attention=4, head=2, way=3, tokens=None):
        def count(B, T, C, layers, V):
            one = layers * (weights * C * C + attention * T * C) + head * V * C
            return way * one * (B * T if tokens is None else tokens(B, T))

        return count

    def tables(B, T, C, layers, V):
        return made()(B, T, C, layers, V) + 6 * V * C * B * T

    def head_in_each_layer(B, T, C, layers, V):
        one = layers * (24 * C * C + 4 * T * C + 2 * V * C)
        return 3 * one * B * T

    def square(B, T, C, layers, V):
        one = layers * (24 * C * C + 4 * T * T * C) + 2 * V * C
        return 3 * one * B * T

    no_head = "The output layer is missing: 2 V C for each token, once."
    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(way=1),
                "This is the way forward alone. The way back computes two "
                "products for each one of the way forward.",
            ),
            (
                made(way=2),
                "You count the way back like the way forward. It computes two "
                "gradients, by the input and by the weights: see (14.1).",
            ),
            (
                made(12, 2, 1),
                "You count one FLOP for each weight. Each weight takes part in "
                "one multiplication and one addition.",
            ),
            (
                made(attention=0),
                "Attention itself is missing: the scores and the weighted "
                "mean have no weights, but they are products of matrices.",
            ),
            (
                made(attention=2),
                "You count only one of the two products of attention. There "
                "are the scores, and there is the weighted mean of the values.",
            ),
            (
                square,
                "You multiply by T twice too often: 4 T C is for one token, "
                "and you count all tokens at the end.",
            ),
            (made(head=0), no_head),
            (made(attention=0, head=0), f"Attention is missing too. {no_head}"),
            (
                head_in_each_layer,
                "You count the output layer once in each layer. There is one, "
                "after all layers.",
            ),
            (
                tables,
                "You count the table of tokens twice. Looking up a row is no "
                "product; only the output layer multiplies with it.",
            ),
            (
                made(tokens=lambda B, T: 1),
                "This is the count for one token. How many tokens does the "
                "step have?",
            ),
            (
                made(tokens=lambda B, T: B),
                "You multiply by the sequences and not by their tokens.",
            ),
            (
                made(tokens=lambda B, T: T),
                "This is the count for one sequence. There are B of them.",
            ),
            (
                made(weights=8),
                "The feed-forward net is missing: with its inner width 4 C it "
                "has 8 C² weights.",
            ),
            (
                made(weights=16),
                "The four matrices of attention are missing: they have 4 C² "
                "weights.",
            ),
        ),
    )


def _line(xs, ys, log=np.log):
    """Slope and start of the best straight line, on logarithmic scales."""
    return np.polyfit(log(np.array(xs)), log(np.array(ys)), 1)


@exercise("14.2", "A line on two logarithmic scales")
def power_law(answer, rng):
    """The factor and the exponent of a power law."""
    cases = [([1, 4], [6, 3])]
    for number in (2, 4, 7):
        factor, exponent = rng.uniform(2, 9), rng.uniform(0.2, 0.8)
        xs = [rng.uniform(2, 3) ** (k + 1) for k in range(number)]
        ys = [factor * x**-exponent * rng.uniform(0.9, 1.1) for x in xs]
        cases.append((xs, ys))

    def right(xs, ys):
        slope, start = _line(xs, ys)
        return math.exp(start), -slope

    def by_ends(xs, ys):
        exponent = -math.log(ys[-1] / ys[0]) / math.log(xs[-1] / xs[0])
        return ys[0] * xs[0] ** exponent, exponent

    def plain(xs, ys):
        slope, start = np.polyfit(xs, ys, 1)
        return start, -slope

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                lambda xs, ys: (right(xs, ys)[0], -right(xs, ys)[1]),
                "The sign of the exponent is wrong: the line falls, and the "
                "law has a minus in front of the exponent.",
            ),
            (
                lambda xs, ys: (_line(xs, ys)[1], right(xs, ys)[1]),
                "The factor is still a logarithm. Take the exponential of the "
                "value at 0.",
            ),
            (
                lambda xs, ys: right(xs, ys)[::-1],
                "The two numbers are exchanged: first the factor, then the "
                "exponent.",
            ),
            (
                lambda xs, ys: (
                    math.exp(_line(xs, ys, np.log10)[1]),
                    right(xs, ys)[1],
                ),
                "You take logarithms to base 10 and go back with e. The "
                "exponent is the same for every base, the factor is not.",
            ),
            (
                lambda ys, xs: right(xs, ys),
                "The axes are exchanged: you explain x by y. Among the "
                "arguments of polyfit, x comes first.",
            ),
            (
                plain,
                "This is a straight line through the plain numbers. Take the "
                "logarithms of both.",
            ),
            (
                by_ends,
                "You use the first and the last point only. Least squares uses "
                "all of them.",
            ),
        ),
    )


@exercise("14.3", "The best size")
def best_size(answer, rng):
    """Equation (14.7)."""
    cases = [(100.0, 0.5, 1000.0, 0.5, 6e12)]
    for _ in range(5):
        alpha, beta = rng.uniform(0.2, 0.4), rng.uniform(0.45, 0.7)
        A, B = rng.uniform(20, 90), rng.uniform(200, 900)
        cases.append((A, alpha, B, beta, 6 * 10 ** rng.uniform(10, 14)))

    def made(G=None, power=None, six=6.0, back=6.0):
        def best(A, alpha, B, beta, flops):
            g = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
            g = g if G is None else G(A, alpha, B, beta)
            p = beta if power is None else power(alpha, beta)
            parameters = g * (flops / six) ** (p / (alpha + beta))
            return parameters, flops / back / parameters

        return best

    def root(inside):
        return lambda A, a, B, b: inside(A, a, B, b) ** (1 / (a + b))

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(power=lambda a, b: a),
                "The exponents are exchanged. The budget goes to what falls "
                "slowly: N grows with the power β / (α + β).",
            ),
            (
                made(G=root(lambda A, a, B, b: b * B / (a * A))),
                "G is upside down. Test with (14.6): the larger A is, the more "
                "a large model pays.",
            ),
            (
                made(G=root(lambda A, a, B, b: A / B)),
                "In G, the exponents α and β are missing as factors. They come "
                "from the derivative.",
            ),
            (
                made(G=lambda A, a, B, b: a * A / (b * B)),
                "The root is missing in G: it has the exponent 1 / (α + β).",
            ),
            (
                made(six=1.0, back=1.0),
                "You use F = N D. Training costs 6 FLOPs for each parameter "
                "and token.",
            ),
            (
                made(back=1.0),
                "The number of parameters is right. Of the tokens, the 6 was "
                "forgotten: F = 6 N D.",
            ),
            (
                made(six=1.0),
                "In the number of parameters the 6 was forgotten: the power "
                "is that of F / 6.",
            ),
            (
                made(power=lambda a, b: (a + b) / 2),
                "You take the root of the budget. That is right only if α and "
                "β are equal.",
            ),
            (
                lambda *case: made()(*case)[::-1],
                "The two numbers are exchanged: first the parameters, then "
                "the tokens.",
            ),
        ),
    )


@exercise("14.4", "What a budget buys")
def affordable(answer, rng):
    """The size and the tokens for GPUs, days and a ratio."""
    cases = [(8, 10, 312e12, 0.4, 20)]
    for _ in range(4):
        machines, days = rng.randint(2, 99), rng.randint(2, 60)
        peak, share = rng.uniform(50e12, 900e12), rng.uniform(0.2, 0.6)
        cases.append((machines, days, peak, share, rng.randint(5, 90)))

    def made(seconds=86_400, six=6.0, share=lambda u: u, divide=lambda r: r):
        def buys(gpus, days, peak, utilisation, ratio):
            flops = gpus * days * seconds * peak * share(utilisation)
            parameters = math.sqrt(flops / (six * divide(ratio)))
            return parameters, ratio * parameters

        return buys

    def no_root(*case):
        flops = math.prod(case[:4]) * 86_400
        return flops / (6 * case[4]), flops / 6

    def split(*case):
        parameters = math.sqrt(math.prod(case[:4]) * 86_400 / 6)
        return parameters, case[4] * parameters

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(share=lambda u: 1.0),
                "You count with the peak. The GPUs reach a share of it, the "
                "utilisation.",
            ),
            (
                made(share=lambda u: 1 / u),
                "You divide by the utilisation. A low one means fewer "
                "operations, so multiply.",
            ),
            (
                made(seconds=24),
                "You count hours. The peak is in FLOP per second.",
            ),
            (
                made(seconds=1),
                "You multiply FLOP/s by days. A day has 86,400 seconds.",
            ),
            (
                made(seconds=3600),
                "You take a day as 3,600 seconds: that is an hour.",
            ),
            (
                made(six=1.0),
                "The 6 is missing: training costs 6 FLOPs for each parameter "
                "and token.",
            ),
            (
                made(six=2.0),
                "You count 2 FLOPs, the way forward alone. Training costs 6.",
            ),
            (
                no_root,
                "The root is missing: the budget holds the size twice, because "
                "the tokens grow with it.",
            ),
            (
                split,
                "The ratio is missing under the root. These tokens would cost "
                "more than the budget.",
            ),
            (
                lambda *case: made()(*case)[::-1],
                "The two numbers are exchanged: first the parameters, then "
                "the tokens.",
            ),
        ),
    )


@exercise("14.5", "A smaller model that reads more")
def tokens_needed(answer, rng):
    """The tokens for a loss, or infinity."""
    cases = [
        (0.5, 100.0, 0.5, 1000.0, 0.5, 2.5, 1e4),
        (0.5, 100.0, 0.5, 1000.0, 0.5, 1.5, 1e4),
    ]
    for k in range(6):
        E, alpha, beta = (
            rng.uniform(*x) for x in ((0.4, 0.8), (0.3, 0.5), (0.35, 0.6))
        )
        A, B = rng.uniform(20, 60), rng.uniform(200, 900)
        parameters = 10 ** rng.uniform(4, 6)
        above = rng.uniform(0.3, 0.9) * (-0.4 if k % 3 == 2 else 1)
        loss = E + A / parameters**alpha + above
        cases.append((E, A, alpha, B, beta, loss, parameters))

    def made(left=None, unreached=lambda left, B, b: math.inf, power=None):
        def needed(E, A, alpha, B, beta, loss, parameters):
            size = A / parameters**alpha
            rest = loss - E - size if left is None else left(loss, E, size)
            if rest <= 0:
                return unreached(rest, B, beta)
            return (B / rest) ** (1 / beta if power is None else power(beta))

        return needed

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(unreached=lambda left, B, b: (B / left) ** (1 / b)),
                "Where the size alone costs too much, you take a root of a "
                "number below 0, or divide by 0. No data is enough there: "
                "return math.inf.",
            ),
            (
                made(unreached=lambda left, B, b: None),
                "Where no data is enough, you return None. Return math.inf.",
            ),
            (
                made(unreached=lambda left, B, b: 0),
                "Where no data is enough, you return 0. That would say that "
                "no training is needed.",
            ),
            (
                made(unreached=lambda left, B, b: (B / -left) ** (1 / b)),
                "You take the absolute value of what is left. If less than "
                "nothing is left, no data is enough.",
            ),
            (
                made(left=lambda loss, E, size: loss - size),
                "E is missing: no amount of data takes it away.",
            ),
            (
                made(left=lambda loss, E, size: loss - E),
                "The term of the size is missing: this would be a model "
                "without a limit.",
            ),
            (
                made(left=lambda loss, E, size: loss),
                "You give the whole loss to the last term. Subtract E and the "
                "term of the size.",
            ),
            (
                made(power=lambda beta: beta),
                "You take the power β. To undo it, take the power 1 / β.",
            ),
            (
                made(power=lambda beta: -1 / beta),
                "The fraction is upside down: a smaller rest needs more "
                "tokens, not fewer.",
            ),
            (
                made(power=lambda beta: 1.0),
                "The root is missing: the last term holds the tokens to the "
                "power β.",
            ),
        ),
    )
