"""Exercises of chapter 11, "Generation"."""

import math
import random
from collections.abc import Callable

import torch

from nextword.exercises.engine import Mistake, compare, exercise, same


def _tensor(
    rng: random.Random, *shape: int, scale: float = 1.0
) -> torch.Tensor:
    """Random 64-bit numbers, drawn afresh in each check."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def _double(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _telling(make: Callable, right: Callable, mistakes: list) -> list:
    """Cases on which no mistake gives what another gives, or what is right.

    ``make`` draws a list of cases; it is asked again until they differ.
    """
    while True:
        cases = make()
        functions = [right, *(mistake.wrong for mistake in mistakes)]
        results = [[f(*case) for case in cases] for f in functions]
        if not any(
            same(a, b) for i, a in enumerate(results) for b in results[i + 1 :]
        ):
            return cases


def _keep(logits, order):
    """-inf but for the columns that ``order`` (B, k) names."""
    removed = torch.ones_like(logits, dtype=torch.bool)
    return logits.masked_fill(removed.scatter(-1, order, False), -torch.inf)


def _largest(logits, k):
    order = logits.sort(dim=-1, descending=True, stable=True).indices
    return _keep(logits, order[:, :k])


@exercise("11.1", "Temperature and top-k")
def sharpen(answer, rng):
    """Temperature, then exactly k tokens; ties go to the smaller ids."""

    def ties(B, V):
        return torch.tensor(
            [rng.sample([2.0, 2.0, 2.0, 1.0, 0.5, -1.0][:V], V)] * B,
            dtype=torch.float64,
        )

    cases = [(_double([math.log(4), math.log(2), 0.0]), 0.5, 2)]
    cases += [(_tensor(rng, B, 6), rng.uniform(1.5, 3), 3) for B in (2, 3)]
    cases += [(ties(2, 6), 0.7, 2), (_tensor(rng, 2, 5), 0.4, 4)]

    def right(z, t, k):
        return _largest(z / t, k).softmax(-1)

    def zeros(z, t, k):
        p = (z / t).softmax(-1)
        return p.masked_fill(_largest(z, k).isinf(), 0.0)

    def tie_kept(z, t, k):
        limit = z.topk(k).values[:, -1:]
        return (z / t).masked_fill(z < limit, -torch.inf).softmax(-1)

    def late(z, t, k):
        order = z.sort(dim=-1, stable=True).indices.flip(-1)
        return _keep(z / t, order[:, :k]).softmax(-1)

    compare(
        answer,
        right,
        cases,
        [
            Mistake(
                lambda z, t, k: right(z, 1 / t, k),
                "You multiply the logits by the temperature. By (11.4) they "
                "are divided: a low temperature makes them larger.",
            ),
            Mistake(
                lambda z, t, k: _largest(z.softmax(-1) / t, k).softmax(-1),
                "The temperature acts on the probabilities, and then you take "
                "a softmax of them. Divide the logits, as in (11.4).",
            ),
            Mistake(
                lambda z, t, k: _largest(z, k).softmax(-1) / t,
                "You divide the probabilities by the temperature, so the rows "
                "do not sum to 1. Divide the logits, before the softmax.",
            ),
            Mistake(
                lambda z, t, k: right(z, 1.0, k),
                "The temperature is missing.",
            ),
            Mistake(
                lambda z, t, k: right(z, t, k + 1),
                "You keep k + 1 tokens. What must happen to the token that is "
                "in place k, counted from 0?",
            ),
            Mistake(
                lambda z, t, k: right(z, t, k - 1),
                "You keep k - 1 tokens: the k-th likeliest goes too. It stays.",
            ),
            Mistake(
                tie_kept,
                "Right without ties. If several tokens share the k-th place, "
                "you keep all of them, and more than k remain.",
            ),
            Mistake(
                late,
                "Right without ties. Of equal logits, you keep the ones with "
                "larger ids. A sort that is stable keeps them in their order.",
            ),
            Mistake(
                zeros,
                "You cut after the softmax, so the rows do not sum to 1. Write "
                "-inf into the logits, then take the softmax.",
            ),
            Mistake(
                lambda z, t, k: (
                    _largest(z / t, k).nan_to_num(neginf=0.0).softmax(-1)
                ),
                "You set the removed logits to 0. But 0 is a logit like any "
                "other, and receives probability. Which one receives none?",
            ),
            Mistake(
                lambda z, t, k: _largest(z / t, k),
                "These are logits. The softmax is missing.",
            ),
            Mistake(
                lambda z, t, k: _keep(
                    z / t, z.sort(dim=-1, stable=True).indices[:, :k]
                ).softmax(-1),
                "You keep the k smallest logits. Sort in descending order.",
            ),
            Mistake(
                lambda z, t, k: (z / t).softmax(-1),
                "All tokens keep a probability: top-k is missing.",
            ),
        ],
    )


@exercise("11.2", "The nucleus")
def nucleus(answer, rng):
    """True for the smallest set of likeliest tokens with enough probability."""

    def sort(p, descending=True):
        ordered, order = p.sort(dim=-1, descending=descending)
        return ordered, order, ordered.cumsum(-1)

    def back(order, inside):
        return torch.zeros_like(inside).scatter(-1, order, inside)

    def right(p, share):
        ordered, order, sums = sort(p)
        return back(order, sums - ordered < share)

    def no_crossing(p, share):
        _, order, sums = sort(p)
        return back(order, sums <= share)

    def not_back(p, share):
        ordered, _, sums = sort(p)
        return sums - ordered < share

    def gathered(p, share):
        ordered, order, sums = sort(p)
        return (sums - ordered < share).gather(-1, order)

    def ascending(p, share):
        ordered, order, sums = sort(p, descending=False)
        return back(order, sums - ordered < share)

    mistakes = [
        Mistake(
            no_crossing,
            "You leave out the token that crosses the share. The nucleus must "
            "reach it, so this token belongs to it; without it, a single "
            "likely token would leave nothing to choose from.",
        ),
        Mistake(
            not_back,
            "The right number of tokens, but in sorted order. Bring the answer "
            "back to the order of the ids: see `scatter` in `top_p`.",
        ),
        Mistake(
            gathered,
            "You bring the answer back with `gather`, which applies the sort a "
            "second time instead of undoing it. `scatter` undoes it.",
        ),
        Mistake(
            lambda p, share: p.cumsum(-1) - p < share,
            "You sum in the order of the ids. The likeliest tokens come first: "
            "sort before you sum.",
        ),
        Mistake(
            ascending,
            "You begin with the unlikeliest token. Sort in descending order.",
        ),
        Mistake(
            lambda p, share: ~right(p, share),
            "Your mask is inverted: it is true for what is removed.",
        ),
        Mistake(
            lambda p, share: p >= share,
            "You compare each probability with the share. Compare sums of "
            "probabilities with it.",
        ),
        Mistake(
            lambda p, share: p >= share * p.amax(-1, keepdim=True),
            "This is min-p: a comparison with the largest probability. The "
            "nucleus compares sums with the share.",
        ),
        Mistake(
            lambda p, share: right(p, share).double(),
            "The pattern is right, but these are floats. The result is bool.",
        ),
    ]

    def make():
        example = _double([0.2, 0.7, 0.1])
        drawn = [
            (_tensor(rng, 4, 6, scale=1.5).softmax(-1), rng.uniform(0.3, 0.9))
            for _ in range(3)
        ]
        return [(example, 0.8), (example, 0.5), *drawn]

    compare(answer, right, _telling(make, right, mistakes), mistakes)


def _penalised(z, ids, penalty, lower=None):
    lower = lower or (lambda x: x / penalty if x > 0 else x * penalty)
    z = z.clone()
    for id in ids:
        z[id] = lower(z[id])
    return z


@exercise("11.3", "Penalty, then min-p")
def allowed(answer, rng):
    """Lower what was used, once; then compare with the best."""

    def ratio(z, share):
        p = z.softmax(-1)
        return p >= share * p.max()

    def right(z, ids, penalty, share):
        return ratio(_penalised(z, set(ids), penalty), share)

    def by(lower):
        return lambda z, ids, penalty, share: ratio(
            _penalised(z, set(ids), penalty, lower(penalty)), share
        )

    def to_one(z, ids, penalty, share):
        return _penalised(z, set(ids), penalty).softmax(-1) >= share

    def old_maximum(z, ids, penalty, share):
        p = _penalised(z, set(ids), penalty).softmax(-1)
        return p >= share * z.softmax(-1).max()

    def in_logits(z, ids, penalty, share):
        z = _penalised(z, set(ids), penalty)
        return z >= share * z.max()

    mistakes = [
        Mistake(
            by(lambda penalty: lambda x: x / penalty),
            "You divide negative logits too. That moves them up, towards 0, "
            "and makes a used token likelier.",
        ),
        Mistake(
            by(lambda penalty: lambda x: x * penalty),
            "You multiply positive logits too. That makes a used token "
            "likelier.",
        ),
        Mistake(
            by(lambda penalty: lambda x: x * penalty if x > 0 else x / penalty),
            "The two signs are exchanged: positive logits are divided, "
            "negative ones multiplied.",
        ),
        Mistake(
            lambda z, ids, penalty, share: ratio(
                _penalised(z, ids, penalty), share
            ),
            "A token that occurs twice in ids is lowered twice. Each token is "
            "lowered once.",
        ),
        Mistake(
            to_one,
            "You compare with share itself, which is relative to 1. Min-p is "
            "relative to the largest probability.",
        ),
        Mistake(
            old_maximum,
            "You compare with the largest probability before the penalty. Take "
            "the maximum afterwards.",
        ),
        Mistake(
            in_logits,
            "You compare logits with a share of the largest logit. The share "
            "is one of probabilities: take the softmax first.",
        ),
        Mistake(
            lambda z, ids, penalty, share: ratio(z, share),
            "The penalty has no effect in your answer. It comes first.",
        ),
        Mistake(
            lambda *arguments: ~right(*arguments),
            "Your mask is inverted: it is true for what is removed.",
        ),
    ]

    def make():
        cases = [(_double(2.0, 1.0, -1.0, 0.0), [0, 0], 2.0, 0.3)]
        for V in (6, 8, 10):
            ids = [rng.randrange(V) for _ in range(3)]
            z = _tensor(rng, V, scale=1.5)
            penalty, share = rng.uniform(1.5, 2.5), rng.uniform(0.1, 0.3)
            cases.append((z, ids + ids[:1], penalty, share))
        return cases

    compare(answer, right, _telling(make, right, mistakes), mistakes)


def _places(ids, s):
    """Where the sequence s begins in ids."""
    return [i for i in range(len(ids)) if ids[i : i + len(s)] == s]


@exercise("11.4", "Where a text ends")
def cut_at_stop(answer, rng):
    """The text before the stop sequence that begins first."""

    def by(choose, added=lambda s: 0):
        def cut(ids, stop):
            found = [(i, s) for s in stop for i in _places(ids, s)]
            if not found:
                return ids
            i, s = choose(found)
            return ids[: i + added(s)]

        return cut

    def earliest(found):
        return min(found, key=lambda pair: pair[0])

    right = by(earliest)

    def at_the_end(ids, stop):
        for s in stop:
            if ids[-len(s) :] == s:
                return ids[: -len(s)]
        return ids

    def rest(ids, stop):
        found = [i for s in stop for i in _places(ids, s)]
        return ids[min(found) :] if found else ids

    mistakes = [
        Mistake(
            by(earliest, len),
            "The stop sequence is still part of your text. Cut where it "
            "begins, not where it ends.",
        ),
        Mistake(
            by(earliest, lambda s: 1),
            "The first id of the stop sequence is still part of your text.",
        ),
        Mistake(
            by(lambda found: found[0]),
            "You take the first sequence of the list `stop` that occurs. Take "
            "the one that begins earliest in the text.",
        ),
        Mistake(
            by(lambda found: max(found, key=lambda pair: pair[0])),
            "You cut at the last stop sequence. Cut at the first.",
        ),
        Mistake(
            at_the_end,
            "You look only at the end of the text. Nobody looked while it was "
            "written, so a stop sequence may stand anywhere.",
        ),
        Mistake(
            lambda ids, stop: right(ids, [s[:1] for s in stop]),
            "You compare only the first id of each stop sequence. All of its "
            "ids must follow each other.",
        ),
        Mistake(
            lambda ids, stop: right(ids, [[id] for s in stop for id in s]),
            "You stop at any id that occurs in a stop sequence. The whole "
            "sequence must stand there.",
        ),
        Mistake(
            lambda ids, stop: right(ids, stop[:1]),
            "You use only the first stop sequence.",
        ),
        Mistake(
            rest,
            "You return what comes from the stop sequence on. Return what "
            "comes before it.",
        ),
        Mistake(
            lambda ids, stop: (
                right(ids, stop) if rest(ids, stop) != ids else []
            ),
            "Without a stop sequence in it, the text comes back whole.",
        ),
    ]

    def make():
        cases = [([7, 3, 1, 2, 9], [[9], [1, 2]]), ([3, 4, 3], [[5], [3, 3]])]
        for length in (9, 12, 15):
            ids = [rng.randrange(4) for _ in range(length)]
            stop = [[rng.randrange(4) for _ in range(n)] for n in (3, 2, 2)]
            cases.append((ids, stop))
        return cases

    compare(answer, right, _telling(make, right, mistakes), mistakes)


@exercise("11.5", "One step with a cache")
def cached_step(answer, rng):
    """Position, keys and values of the newest token; attention; caches."""
    cases = []
    for n, C, D in ((0, 3, 2), (1, 4, 2), (3, 5, 4)):
        vectors = (C,), (n + 3, C), (n, D), (n, D)
        maps = [(C, D)] * 3
        cases.append(
            (
                *(_tensor(rng, *shape) for shape in vectors),
                # Small maps: a softmax of huge scores would look only at itself.
                *(0.4 * _tensor(rng, *shape) for shape in maps),
            )
        )

    def step(
        place=lambda n: n,
        root=lambda x, q: math.sqrt(len(q)),
        seen=lambda old, row: torch.cat([old, row]),
        kept=lambda K, V, k, v: (torch.cat([K, k]), torch.cat([V, v])),
    ):
        def function(x, P, K, V, W_Q, W_K, W_V):
            at = place(len(K))
            x = x if at is None else x + P[at]
            q, k, v = x @ W_Q, (x @ W_K)[None], (x @ W_V)[None]
            weights = (seen(K, k) @ q / root(x, q)).softmax(0)
            return weights @ seen(V, v), *kept(K, V, k, v)

        return function

    compare(
        answer,
        step(),
        cases,
        [
            Mistake(
                step(place=lambda n: 0),
                "The position restarts: every token gets position 0. How many "
                "tokens came before this one? The cache knows.",
            ),
            Mistake(
                step(place=lambda n: n - 1),
                "The position is off by one: the newest token gets that of the "
                "token before it. With n tokens before, it is n.",
            ),
            Mistake(
                step(place=lambda n: n + 1),
                "The position is off by one: positions begin at 0, so after n "
                "tokens comes position n.",
            ),
            Mistake(
                step(place=lambda n: None),
                "The position is missing: add a row of P to x.",
            ),
            Mistake(
                step(kept=lambda K, V, k, v: (K, V)),
                "The output is right, but the caches are not extended: the "
                "next step would not see this token.",
            ),
            Mistake(
                step(kept=lambda K, V, k, v: (torch.cat([K, k]), V)),
                "Only the keys are extended. Each key needs its value.",
            ),
            Mistake(
                step(kept=lambda K, V, k, v: (k, v)),
                "You return only the new key and value. The caches hold the "
                "old rows too.",
            ),
            Mistake(
                step(seen=lambda old, row: row),
                "The new token looks only at itself: your attention does not "
                "use the cache.",
            ),
            Mistake(
                step(seen=lambda old, row: old),
                "The new token does not look at itself. Extend the caches "
                "before the attention.",
            ),
            Mistake(
                step(
                    kept=lambda K, V, k, v: (
                        torch.cat([k, K]),
                        torch.cat([v, V]),
                    )
                ),
                "The new rows stand first in the caches. Append them.",
            ),
            Mistake(
                step(root=lambda x, q: 1.0),
                "The division by the root of D is missing: see (11.6).",
            ),
            Mistake(
                step(root=lambda x, q: math.sqrt(len(x))),
                "You divide by the root of C. A score is a sum of D products.",
            ),
            Mistake(
                lambda *arguments: step()(*arguments)[0],
                "This is the output alone. Return the extended caches too.",
            ),
        ],
    )


@exercise("11.6", "One step of a beam")
def beam_step(answer, rng):
    """The best extensions of all beams, as (beam, token)."""

    def best(total, width, V=None, largest=True):
        places = total.flatten().topk(width, largest=largest).indices.tolist()
        return [divmod(place, V or total.shape[1]) for place in places]

    def right(before, log_p, width):
        return best(before[:, None] + log_p, width)

    def each_best(before, log_p, width):
        value, token = (before[:, None] + log_p).max(dim=1)
        order = value.argsort(descending=True).tolist()[:width]
        return [(beam, int(token[beam])) for beam in order]

    mistakes = [
        Mistake(
            lambda b, log_p, width: best(b.exp()[:, None] + log_p.exp(), width),
            "You add probabilities. By (11.1) they are multiplied, so their "
            "logarithms are added.",
        ),
        Mistake(
            lambda b, log_p, width: best(log_p, width),
            "You compare only the last tokens. What came before counts too: "
            "use `before`.",
        ),
        Mistake(
            lambda b, log_p, width: best(-b[:, None] * log_p, width),
            "You multiply logarithms. Probabilities are multiplied, so their "
            "logarithms are added.",
        ),
        Mistake(
            lambda b, log_p, width: best(b[:, None] * log_p, width),
            "You multiply logarithms. Probabilities are multiplied, so their "
            "logarithms are added.",
        ),
        Mistake(
            each_best,
            "Each beam gets one child in your answer. All extensions compete "
            "in one list: a good beam may have several, a bad one none.",
        ),
        Mistake(
            lambda b, log_p, width: best(b[:, None] + log_p, width, len(b)),
            "You divide the place by the number of beams. In a flat (n, V) "
            "tensor, one row has V places.",
        ),
        Mistake(
            lambda *a: [(token, beam) for beam, token in right(*a)],
            "Your tuples are (token, beam). They should be (beam, token).",
        ),
        Mistake(
            lambda *a: right(*a)[::-1],
            "The right extensions, but the likeliest should come first.",
        ),
        Mistake(
            lambda b, log_p, width: best(
                b[:, None] + log_p, width, largest=False
            ),
            "These are the unlikeliest extensions. A larger logarithm is a "
            "larger probability, although all are negative.",
        ),
        Mistake(
            lambda b, log_p, width: right(b, log_p, width)[:1],
            "You return one extension. Return `width` of them.",
        ),
    ]

    def make():
        before = _double(0.5, 0.4).log()
        rows = _double([0.6, 0.4], [0.9, 0.1]).log()
        cases = [(before, rows, 2)]
        for n, V, width in ((2, 4, 3), (3, 5, 3), (4, 3, 4)):
            log_p = _tensor(rng, n, V, scale=1.5).log_softmax(-1)
            cases.append((-_tensor(rng, n).abs() - 0.2, log_p, width))
        return cases

    compare(answer, right, _telling(make, right, mistakes), mistakes)


@exercise("11.7", "What comes out of a guess")
def after_guess(answer, rng):
    """Accepted with min(1, p / q), or replaced from the residual."""

    def by(
        rate=lambda p, q: p / q,
        rest=lambda p, q: (p - q).clamp(min=0),
        normal=True,
        weigh=True,
        most=1.0,
    ):
        def function(x, p, q):
            a = rate(p[x], q[x]).clamp(max=most)
            r = rest(p, q)
            out = (r / r.sum() if normal else r) * ((1 - a) if weigh else 1.0)
            out[x] += a
            return out

        return function

    def make():
        cases = [(1, _double(0.5, 0.3, 0.2), _double(0.2, 0.6, 0.2))]
        for V in (4, 6):
            p, q = (_tensor(rng, V).softmax(-1) for _ in range(2))
            places = int((q / p).argmax()), int((p / q).argmax())
            cases += [(place, p, q) for place in places]
        return cases

    mistakes = [
        Mistake(
            by(rate=lambda p, q: q / p),
            "You accept with q / p. A token that the draft proposes too "
            "often, q > p, must be accepted less often: p / q.",
        ),
        Mistake(
            by(rest=lambda p, q: p),
            "After a rejection you draw from p. Then tokens that the draft "
            "likes come out too often: draw from the residual (11.10).",
        ),
        Mistake(
            by(normal=False),
            "The residual is not normalised, so your result does not sum "
            "to 1. Divide it by its sum.",
        ),
        Mistake(
            by(most=math.inf),
            "Your probability of acceptance can exceed 1. It is min(1, p / q).",
        ),
        Mistake(
            by(rest=lambda p, q: (p - q).abs()),
            "Your residual is |p - q|. Only tokens that the draft proposes "
            "too rarely belong to it: max(p - q, 0).",
        ),
        Mistake(
            by(rest=lambda p, q: (q - p).clamp(min=0)),
            "Your residual is max(q - p, 0): it holds what the draft "
            "proposes too often. Exchange p and q.",
        ),
        Mistake(
            by(rest=lambda p, q: q),
            "After a rejection you draw from q, the draft's distribution. "
            "Draw from the residual (11.10).",
        ),
        Mistake(
            by(rate=lambda p, q: p),
            "You accept with probability p(x). The draft proposes x only "
            "with probability q(x): divide by it.",
        ),
        Mistake(
            by(weigh=False),
            "The residual counts only after a rejection: multiply it by "
            "the probability of one.",
        ),
        Mistake(
            lambda x, p, q: by(rest=lambda p, q: 0 * p, normal=False)(x, p, q),
            "This is the way of acceptance alone. If the guess is "
            "rejected, the residual draws a token.",
        ),
        Mistake(
            lambda x, p, q: p,
            "This is p, the mean over all guesses. Here the guess x is "
            "known, so its result differs from p.",
        ),
    ]
    compare(answer, by(), _telling(make, by(), mistakes), mistakes)
