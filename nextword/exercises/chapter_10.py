"""Exercises of chapter 10, "Training it"."""

import math
import random

import torch

from nextword.exercises.engine import (
    Mistake,
    Unsolved,
    Wrong,
    compare,
    exercise,
    show,
)


def _tensor(rng: random.Random, *shape: int) -> torch.Tensor:
    """Random 64-bit numbers, drawn afresh in each check."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


def _filled(ids, length, value):
    return list(ids) + (length - len(ids)) * [value]


@exercise("10.1", "One late")
def teacher_forced(answer, rng):
    """What the decoder sees and what it must say."""
    cases = [([5, 6], 1, 2, 4)]
    for T in (1, 3, 4, rng.randrange(5, 9)):
        target = rng.sample(range(10, 60), T)
        start, end = rng.sample(range(60, 90), 2)
        cases.append((target, start, end, T + rng.randrange(2, 5)))
        cases.append((target, start, end, T + 1))

    def made(sees, says, fill=(0, -100)):
        def wrong(target, start, end, length):
            return (
                _filled(sees(target, start, end), length, fill[0]),
                _filled(says(target, start, end), length, fill[1]),
            )

        return wrong

    def late(target, start, end):
        return [start, *target]

    def out(target, start, end):
        return [*target, end]

    def both(target, start, end):
        return [start, *target, end]

    def plain(target, start, end):
        return target

    right = made(late, out)
    with_end = "The decoder sees `<end>` in your answer. It is the last thing "
    with_end += "that it says, and nothing is asked after it."
    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                made(out, out),
                "The target is not shifted: at each place, the decoder sees "
                "the very id that it must say. Its input must be one late.",
            ),
            (
                made(late, late),
                "The output is shifted too, so the decoder repeats what it "
                "sees. Only its input begins with the start.",
            ),
            (
                made(out, late),
                "You shift the wrong way: the decoder sees the id AFTER the one "
                "that it must say.",
            ),
            (
                made(late, plain),
                "The output has no `<end>`, so the model could never stop.",
            ),
            (
                made(plain, out),
                "The start is missing: nothing comes before the first id of "
                "the target, so the first place has no input.",
            ),
            (made(both, out), with_end),
            (
                lambda t, s, e, n: (
                    (
                        both(t, s, e)[:n] + [0] * (n - len(t) - 2),
                        *right(t, s, e, n)[1:],
                    )
                ),
                with_end,
            ),
            (
                made(late, out, (0, 0)),
                "The output is filled with 0, so padding would be counted in "
                "the loss. Fill it with −100.",
            ),
            (
                made(late, out, (-100, -100)),
                "The input is filled with −100, which is no id: a table of "
                "embeddings has no such row. Fill it with 0.",
            ),
            (
                lambda *case: right(*case)[::-1],
                "The two lists are exchanged: first what the decoder sees, "
                "then what it must say.",
            ),
        ),
    )


def _smoothed(logits, targets, epsilon, spread=None, dim=-1):
    """The loss at every place, 0 or not where the target is padding."""
    log_p = logits.log_softmax(dim)
    right = log_p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    rest = log_p.mean(-1) if spread is None else spread(log_p, right)
    return -(1 - epsilon) * right - epsilon * rest


@exercise("10.2", "A loss with padding and smoothing")
def smoothed_loss(answer, rng):
    """The mean of (10.4) over the targets that are not padding."""
    cases = [
        (_tensor(rng, 1, 1, 3), torch.tensor([[rng.randrange(3)]]), 0.0),
        (_tensor(rng, 1, 2, 3), torch.tensor([[1, -100]]), 0.3),
    ]
    for B, T, V in ((2, 3, 4), (3, 5, 6), (4, 4, 5)):
        targets = torch.tensor(
            [[rng.randrange(V) for _ in range(T)] for _ in range(B)]
        )
        for row in range(1, B):  # rows with different numbers of targets
            targets[row, T - 1 - (row - 1) % (T - 1) :] = -100
        cases.append((_tensor(rng, B, T, V), targets, rng.uniform(0.1, 0.4)))

    def real(targets):
        return targets != -100

    def mean(losses, targets):
        return losses[real(targets)].mean()

    def by(**how):
        return lambda z, y, e: mean(_smoothed(z, y, e, **how), y)

    def zeroed(z, y, e):
        return _smoothed(z, y, e).masked_fill(~real(y), 0.0)

    def half_masked(z, y, e):
        right = _smoothed(z, y, 0.0).masked_fill(~real(y), 0.0)
        losses = (1 - e) * right - e * z.log_softmax(-1).mean(-1)
        return losses.sum() / real(y).sum()

    compare(
        answer,
        by(),
        cases,
        _mistakes(
            (
                lambda z, y, e: _smoothed(z, y, e).mean(),
                "Padding is counted: places with the target −100 are scored as "
                "if the right id were 0. Leave them out.",
            ),
            (
                lambda z, y, e: zeroed(z, y, e).mean(),
                "The losses of padding are 0, but you still divide by all "
                "places. Divide by the number of real targets.",
            ),
            (
                half_masked,
                "The smoothing term of the padding is still in the sum. Leave "
                "out padding before both terms are added.",
            ),
            (
                lambda z, y, e: zeroed(z, y, e).sum(),
                "This is the sum of the losses. Divide it by the number of "
                "real targets.",
            ),
            (
                lambda z, y, e: (
                    zeroed(z, y, e).sum(1) / real(y).sum(1)
                ).mean(),
                "You take the mean of each sequence, and then the mean of "
                "those: a mean of means. Each target counts the same.",
            ),
            (
                by(
                    spread=lambda log_p, right: (
                        (log_p.sum(-1) - right) / (log_p.shape[-1] - 1)
                    )
                ),
                "You spread ε over the V − 1 wrong ids. In (10.3) the right id "
                "gets its share too.",
            ),
            (
                by(spread=lambda log_p, right: log_p.sum(-1)),
                "You multiply ε by the sum over the ids. Its share is ε / V "
                "each: use the mean.",
            ),
            (
                lambda z, y, e: mean(_smoothed(z, y, 0.0), y),
                "There is no smoothing in your loss. Where is ε?",
            ),
            (
                lambda z, y, e: mean(_smoothed(z, y, 1 - e), y),
                "The two weights are exchanged: the right id keeps 1 − ε.",
            ),
            (
                lambda z, y, e: mean(
                    _smoothed(z, y, e) + e * _smoothed(z, y, 0.0), y
                ),
                "The right id keeps all of its mass, and ε comes on top. The "
                "goal must sum to 1: take 1 − ε.",
            ),
            (
                lambda z, y, e: -mean(_smoothed(z, y, e), y),
                "The sign is wrong: a loss is never negative.",
            ),
            (
                by(dim=-2),
                "Your softmax runs over the places (axis −2). The ids stand on "
                "the last axis.",
            ),
            (
                by(dim=0),
                "Your softmax runs over the batch (axis 0). The ids stand on "
                "the last axis.",
            ),
        ),
    )


def _adamw(
    theta,
    gradients,
    lr,
    beta1,
    beta2,
    eps,
    decay,
    first=1,
    correct=(True, True),
    l2=False,
    inside=False,
    root=torch.sqrt,
    shrink=lambda lr, decay: 1 - lr * decay,
    late=False,
    sign=1,
    means=(True, True),
):
    """AdamW and its classic mistakes, one keyword each."""
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for t, g in enumerate(gradients, first):
        g = g + decay * theta if l2 else g
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t) if correct[0] else m
        v_hat = v / (1 - beta2**t) if correct[1] else v
        m_hat = m_hat if means[0] else g
        bottom = root(v_hat + eps) if inside else root(v_hat) + eps
        step = sign * lr * m_hat / (bottom if means[1] else 1)
        factor = 1 if l2 else shrink(lr, decay)
        theta = (theta - step) * factor if late else theta * factor - step
    return theta


@exercise("10.3", "AdamW on paper")
def adamw_by_hand(answer, rng):
    """The parameters after all steps."""
    one = torch.tensor([1.0], dtype=torch.float64)
    cases = [(one, 2 * one[None], 0.1, 0.9, 0.9, 0.0, 0.0)]
    for n, N in ((1, 2), (3, 4), (4, 6)):
        numbers = [rng.uniform(0.05, 0.2), rng.uniform(0.7, 0.8)]
        numbers += [rng.uniform(0.85, 0.95), rng.uniform(0.05, 0.1)]
        theta = 1 + _tensor(rng, n).abs()
        gradients = 0.5 + _tensor(rng, N, n).abs()
        cases.append((theta, gradients, *numbers, rng.uniform(0.3, 0.6)))

    def by(**how):
        return lambda *case: _adamw(*case, **how)

    compare(
        answer,
        by(),
        cases,
        _mistakes(
            (
                by(correct=(False, False)),
                "There is no bias correction: m and v began at 0, so they are "
                "too small at first. See (10.9).",
            ),
            (
                by(correct=(True, False)),
                "The bias of v is not corrected. Both means began at 0.",
            ),
            (
                by(correct=(False, True)),
                "The bias of m is not corrected. Both means began at 0.",
            ),
            (
                by(first=0),
                "You count the steps from 0. Then 1 − β^t is 0 in the first "
                "step, and 0 / 0 is NaN. The first step has t = 1.",
            ),
            (
                by(first=2),
                "Your t is one too large: the first step has t = 1.",
            ),
            (
                by(l2=True),
                "You add the decay to the gradient. This is L2, and it passes "
                "through the division by the root of v. In AdamW, the decay "
                "acts on the parameter alone: see (10.11).",
            ),
            (
                by(inside=True),
                "Your ε stands inside the root. In (10.10) it is added to the "
                "root.",
            ),
            (
                by(root=lambda v: v),
                "The root is missing: divide by the root of v, which has the "
                "unit of a gradient.",
            ),
            (
                by(shrink=lambda lr, decay: 1),
                "Nothing decays. Where does `decay` act in (10.11)?",
            ),
            (
                by(shrink=lambda lr, decay: 1 - decay),
                "The decay is not multiplied by the learning rate: in each "
                "step the factor is 1 − η λ.",
            ),
            (
                by(late=True),
                "You shrink the parameter after the step, so the step shrinks "
                "too. Only the old parameter decays.",
            ),
            (by(sign=-1), "You go uphill: the step must be subtracted."),
            (
                by(means=(False, True)),
                "You use the last gradient instead of its running mean m.",
            ),
            (
                by(means=(True, False)),
                "The division by the root of v is missing.",
            ),
            (
                lambda theta, g, lr, beta1, beta2, *rest: _adamw(
                    theta, g, lr, beta2, beta1, *rest
                ),
                "The two betas are exchanged: the first is that of m.",
            ),
        ),
    )


@exercise("10.4", "Warm-up and a straight line")
def warmup_line(answer, rng):
    """The learning rate at one step."""
    sizes = [(6, 1, 4.0), (9, 0, 1.0), (12, 4, 3.0)]
    warmup = rng.randrange(2, 6)
    sizes.append((warmup + rng.randrange(4, 9), warmup, rng.uniform(2, 5)))
    cases = [(step, *size) for size in sizes for step in range(size[0])]

    def rise(step, steps, warmup, peak):
        return peak * (step + 1) / (warmup + 1)

    def fall(step, steps, warmup, peak):
        return peak * (steps - 1 - step) / (steps - 1 - warmup)

    def by(rise=rise, fall=fall):
        return lambda *case: (rise if case[0] < case[2] else fall)(*case)

    def from_zero(step, steps, warmup, peak):
        return peak * step / warmup

    def too_long(step, steps, warmup, peak):
        return peak * (steps - step) / (steps - warmup)

    def whole(step, steps, warmup, peak):
        return peak * (steps - 1 - step) / (steps - 1)

    def cosine(step, steps, warmup, peak):
        share = (step - warmup) / (steps - 1 - warmup)
        return peak * (1 + math.cos(math.pi * share)) / 2

    zero = "Your warm-up begins with 0, so the first step changes nothing. At "
    zero += "step 0 the share is 1 / (warmup + 1)."
    compare(
        answer,
        by(),
        cases,
        _mistakes(
            (by(from_zero), zero),
            (by(from_zero, too_long), zero),
            (
                by(lambda step, _, warmup, peak: peak * (step + 1) / warmup),
                "Your warm-up is off by one: it reaches the peak at step "
                "warmup − 1, one step too early.",
            ),
            (
                by(fall=too_long),
                "Your line is off by one: it would reach 0 at step `steps`, "
                "but the last step is `steps` − 1.",
            ),
            (
                by(whole, whole),
                "There is no warm-up: the learning rate begins at its peak.",
            ),
            (
                by(fall=whole),
                "Your line begins to fall at step 0, so it jumps after the "
                "warm-up. It begins at the peak, at step `warmup`.",
            ),
            (
                by(fall=cosine),
                "This falls along half a cosine. Here it should be a straight "
                "line.",
            ),
            (
                by(fall=lambda step, steps, warmup, peak: peak),
                "The learning rate never falls after the warm-up.",
            ),
            (
                lambda *case: by()(*case) / case[3],
                "This is the share of the peak. Multiply it by `peak`.",
            ),
        ),
    )


def _weighted(means, counts, divisor=None):
    """For each parameter, the sum of mean times count, divided."""
    divisor = sum(counts) if divisor is None else divisor
    return [
        sum(g * n for g, n in zip(of, counts, strict=True)) / divisor
        for of in zip(*means, strict=True)
    ]


def _norm(gradients):
    return math.sqrt(sum((g**2).sum().item() for g in gradients))


def _clip(gradients, largest):
    factor = min(1.0, largest / _norm(gradients))
    return [g * factor for g in gradients]


@exercise("10.5", "The gradient of a step")
def step_gradient(answer, rng):
    """Batches joined by their counts, then one norm and one factor."""
    number = torch.tensor([1.0], dtype=torch.float64)
    cases = [([[3 * number, 4 * number]], [2], 1.0)]
    for shapes in ([(2,), (2, 3)], [(3,), (2, 2), (4,)]):
        for largest in (0.3, 1e6):
            counts = rng.sample(range(1, 30), 3)
            means = [[_tensor(rng, *s) for s in shapes] for _ in counts]
            cases.append((means, counts, largest))

    def equal(means, counts):
        return _weighted(means, [1] * len(counts))

    def by(join=_weighted, clip=_clip):
        return lambda means, counts, largest: clip(join(means, counts), largest)

    def scaled(norm):
        def clip(gradients, largest):
            return [
                g * min(1.0, largest / norm(g, gradients)) for g in gradients
            ]

        return clip

    def first_clipped(means, counts, largest):
        return _weighted([_clip(list(m), largest) for m in means], counts)

    alone = scaled(lambda g, gradients: g.norm().item())
    average = "You average the means of the batches, as if all had the same "
    average += "number of targets. Weight them by their counts."
    compare(
        answer,
        by(),
        cases,
        _mistakes(
            (by(equal), average),
            (by(equal, alone), average),
            (
                by(lambda means, counts: _weighted(means, counts, 1)),
                "You sum mean × count, but do not divide by the number of all "
                "targets.",
            ),
            (
                by(lambda m, counts: _weighted(m, counts, len(counts))),
                "You divide by the number of batches. The sum of mean × count "
                "must be divided by the number of targets.",
            ),
            (
                by(lambda m, counts: _weighted(m, [1] * len(counts), 1)),
                "You add the means of the batches. A sum of means is neither "
                "the sum nor the mean of all targets.",
            ),
            (
                by(clip=alone),
                "You clip each parameter alone, with a factor of its own. This "
                "changes the direction: there is one norm, over all of them.",
            ),
            (
                by(clip=lambda gs, c: [g.clamp(-c, c) for g in gs]),
                "You cut each number to the range from −largest to largest. "
                "This changes the direction: shorten all by one factor.",
            ),
            (
                by(clip=lambda gs, c: gs),
                "The gradient is not clipped: its norm is above `largest`.",
            ),
            (
                by(clip=lambda gs, c: [g * c / _norm(gs) for g in gs]),
                "You scale every gradient to the norm `largest`. A shorter one "
                "must stay as it is: the factor is at most 1.",
            ),
            (
                by(clip=scaled(lambda g, gs: _norm(gs) ** 2)),
                "You divide by the square of the norm. Take the root of the "
                "sum of squares.",
            ),
            (
                by(clip=scaled(lambda g, gs: sum(_norm([x]) for x in gs))),
                "You add the norms of the parameters. The norm of all is the "
                "root of the sum of their squares.",
            ),
            (
                first_clipped,
                "You clip each batch before they are joined. The step is what "
                "must not be too long: join first.",
            ),
        ),
    )


def _batch(answer, n, size, step, seed):
    """One answer, judged for itself; Wrong says what it is not."""
    call = f"numbers_of_batch({n}, {size}, {step}, {seed})"
    try:
        numbers = answer(n, size, step, seed)
    except Exception as error:
        raise Wrong(f"{call} raised {type(error).__name__}: {error}.") from None
    if numbers is None or numbers is ...:
        raise Unsolved
    if not isinstance(numbers, list) or any(
        type(i) is not int for i in numbers
    ):
        raise Wrong(f"{call} should be a list of int. It is {show(numbers)}.")
    return numbers


@exercise("10.6", "An order for each epoch")
def numbers_of_batch(answer, rng):
    """Judged by what holds for all batches of some epochs."""
    if answer is None or answer is ...:
        raise Unsolved
    if not callable(answer):
        raise Wrong("check needs the function itself, without parentheses.")
    size = rng.randrange(4, 8)
    n, seed = 5 * size + rng.randrange(1, size), rng.randrange(100)
    steps = range(4 * 6)  # four epochs of six batches, the last one smaller
    batches = {(s, seed): _batch(answer, n, size, s, seed) for s in steps}
    batches |= {
        (s, seed + 1): _batch(answer, n, size, s, seed + 1) for s in steps
    }
    again = rng.sample(list(batches), len(batches))
    if any(_batch(answer, n, size, *key) != batches[key] for key in again):
        raise Wrong(
            "The same arguments gave two different batches. Take a generator "
            "of your own, made anew from the seed and the epoch; a common one "
            "runs on with each call."
        )
    orders = {}
    for (step, s), numbers in batches.items():
        orders.setdefault((s, step // 6), []).extend(numbers)
        expected = n - 5 * size if step % 6 == 5 else size
        if len(numbers) != expected:
            raise Wrong(
                f"With n = {n} and batches of {size}, batch {step} should hold "
                f"{expected} numbers, but it holds {len(numbers)}. An epoch "
                "has 6 batches here, and its last one is smaller."
            )
    for (_, epoch), order in orders.items():
        if sorted(order) != list(range(n)):
            missing = sorted(set(range(n)) - set(order))
            raise Wrong(
                f"In epoch {epoch}, {len(missing)} of the {n} numbers never "
                "come, and others come twice. Shuffle all numbers once for an "
                "epoch, and cut the result into batches."
            )
    if orders[seed, 0] == list(range(n)):
        raise Wrong("The numbers come in order. Shuffle them.")
    if orders[seed, 0] == orders[seed, 1]:
        raise Wrong(
            "Every epoch has the same order. The epoch must change the seed of "
            "the generator."
        )
    if orders[seed, 0] == orders[seed + 1, 0]:
        raise Wrong("Another seed gives the same order. Use the seed.")
    if orders[seed, 1] == orders[seed + 1, 0]:
        raise Wrong(
            "Epoch 1 of one seed is epoch 0 of the next seed: you add the two. "
            "Combine seed and epoch so that no two pairs give the same."
        )
