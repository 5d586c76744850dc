"""Exercises of chapter 20, "Prompting and alignment"."""

import math

from nextword.exercises.engine import Mistake, compare, exercise

IGNORE = -100


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("20.1", "A prompt that fits")
def build_prompt(answer, rng):
    """Examples, borders and the question; the oldest examples go first."""
    words = [f"w{n}" for n in range(60)]

    def text(most=3):
        return rng.sample(words, rng.randint(1, most))

    cases = [
        ([(["a"], ["b"]), (["c"], ["d"])], ["e"], ".", 4),
        ([(["a"], ["b"])], ["e"], ".", 9),
        ([], ["e", "f"], ".", 3),
        ([(["a"], ["b"]), (["c"], ["d", "e"])], ["f"], ".", 4),
    ]
    for number in (3, 5, 8):
        examples = [(text(), text()) for _ in range(number)]
        question, border = text(2), rng.choice([".", "[SEP]", "|"])
        lengths = [len(q) + len(a) + 1 for q, a in examples]
        kept = rng.randint(1, number - 1)
        longest = len(question) + sum(lengths[-kept:])
        for extra in (0, lengths[-kept - 1] - 1, 200):
            cases.append((examples, question, border, longest + extra))

    def made(
        border="after", last=False, end=True, front=True, off=0, cut=False
    ):
        def build(examples, question, sign, longest):
            shown = []
            for q, a in examples:
                if border == "after":
                    shown.append([*q, *a, sign])
                elif border == "between":
                    shown.append([*q, sign, *a, sign])
                else:
                    shown.append([*q, *a])
            tail = [*question, sign] if last else list(question)
            tail = tail if end else []
            room = longest - len(tail) - off
            if cut:
                flat = [w for one in shown for w in one]
                return [*flat, *tail][-longest:]
            while shown and sum(map(len, shown)) > room:
                shown.pop(0 if front else -1)
            return [w for one in shown for w in one] + tail

        return build

    def greedy(examples, question, sign, longest):
        kept, room = [], longest - len(question)
        for q, a in reversed(examples):
            one = [*q, *a, sign]
            if len(one) <= room:
                kept.insert(0, one)
                room -= len(one)
        return [w for one in kept for w in one] + list(question)

    def question_first(*case):
        question = case[1]
        shown = made()(*case)
        return [*question, *shown[: len(shown) - len(question)]]

    def whole(examples, question, sign, longest):
        return made()(examples, question, sign, 10**9)

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(border="no"),
                "There is no border between the examples. Without it, nothing "
                "says where an answer ends.",
            ),
            (
                made(border="between"),
                "You put a border between question and answer too. It stands "
                "after each answer only.",
            ),
            (
                made(last=True),
                "The prompt ends with a border. The answer is to follow the "
                "question at once, as in the examples.",
            ),
            (made(end=False), "The question is missing at the end."),
            (
                question_first,
                "The question stands first. The model goes on where the "
                "prompt ends, so the question comes last.",
            ),
            (
                made(front=False),
                "You leave out the newest examples. Leave out the oldest: the "
                "first ones.",
            ),
            (
                made(cut=True),
                "You cut single words away, so the prompt begins inside an "
                "example. Leave out whole examples.",
            ),
            (
                made(off=1),
                "A prompt of exactly `longest` words fits. You leave out one "
                "example too many.",
            ),
            (
                made(off=-1),
                "The prompt is one word too long: the question counts too.",
            ),
            (
                greedy,
                "You skip a long example and keep older ones. The examples "
                "that stay are the last ones, without a gap.",
            ),
            (whole, "Nothing is left out, however long the prompt is."),
        ),
    )


@exercise("20.2", "Only the answer counts")
def answer_targets(answer, rng):
    """Ids and targets of a prompt and its answer."""
    cases = [([5, 6], [7, 8]), ([5], [7])]
    for _ in range(6):
        ids = rng.sample(range(2, 90), rng.randint(5, 20))
        border = rng.randint(2, len(ids) - 2)
        cases.append((ids[:border], ids[border:]))

    def made(first=0, shift=1, cut=True, swap=False):
        def build(prompt, reply):
            text = [*prompt, *reply]
            targets = text[shift:] + [IGNORE] * (0 if cut else shift)
            ids = text[:-1] if cut else text
            border = len(prompt) - shift + first
            for n in range(len(targets)):
                if (n < border) != swap:
                    targets[n] = IGNORE
            return ids, targets

        return build

    def unshifted(prompt, reply):
        text = [*prompt, *reply]
        return text, [*[IGNORE] * len(prompt), *reply]

    def unshifted_cut(prompt, reply):
        ids, targets = unshifted(prompt, reply)
        return ids[:-1], targets[:-1]

    def everything(prompt, reply):
        text = [*prompt, *reply]
        return text[:-1], text[1:]

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(first=1),
                "The first word of the answer is not asked for. It follows the "
                "last id of the prompt, so its target stands there.",
            ),
            (
                made(first=-1),
                "The last id of the prompt is a target. The first target is "
                "the first id of the answer.",
            ),
            (
                unshifted,
                "Ids and targets stand side by side, unshifted: the model "
                "reads each answer before it is asked for it.",
            ),
            (
                unshifted_cut,
                "The targets are not shifted: each stands where its own id is "
                "read. A target is the id that comes next.",
            ),
            (
                everything,
                "The prompt is a target too. Put -100 where the next id still "
                "belongs to the prompt.",
            ),
            (
                made(swap=True),
                "The mask is turned round: the prompt is asked for, and the "
                "answer is not.",
            ),
            (
                made(cut=False),
                "Nothing follows the last id of the answer, so it need not be "
                "read. Both lists have one entry fewer than the text.",
            ),
            (
                lambda *case: made()(*case)[::-1],
                "The two lists are exchanged: first the ids, then the targets.",
            ),
            (
                lambda *case: made()(*case)[1],
                "These are the targets. Return the ids too, as a tuple.",
            ),
        ),
    )


def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@exercise("20.3", "The loss of a preference")
def preference_loss(answer, rng):
    """The mean of -ln sigma(r_w - r_l), without overflow."""
    cases = [([1.0], [0.0]), ([0.0, 0.0], [0.0, 1.0])]
    for scale in (1.0, 3.0, 3.0, 1000.0):
        n = rng.randint(2, 6)
        chosen = [rng.uniform(-scale, scale) for _ in range(n)]
        rejected = [rng.uniform(-scale, scale) for _ in range(n)]
        if scale == 1000:
            chosen[0], rejected[0] = -800.0, 800.0
            chosen[1], rejected[1] = 800.0, -800.0
        cases.append((chosen, rejected))

    def mean(f):
        def over(chosen, rejected):
            values = [f(w, v) for w, v in zip(chosen, rejected, strict=True)]
            return sum(values) / len(values)

        return over

    def sigma(x):
        return math.exp(-_softplus(-x))

    def of_sums(chosen, rejected):
        n = len(chosen)
        return _softplus(sum(rejected) / n - sum(chosen) / n)

    overflow = (
        "The exponential of a large number overflows, or its inverse becomes "
        "0. Write -ln sigma(d) as ln(1 + e^-d), and for d < 0 as "
        "-d + ln(1 + e^d)."
    )
    naive = mean(lambda w, v: math.log(1 + math.exp(v - w)))
    log_of = mean(lambda w, v: -math.log(1 / (1 + math.exp(v - w))))
    two = mean(
        lambda w, v: -math.log(math.exp(w) / (math.exp(w) + math.exp(v)))
    )
    compare(
        answer,
        mean(lambda w, v: _softplus(v - w)),
        cases,
        _mistakes(
            (
                mean(lambda w, v: _softplus(w - v)),
                "Chosen and rejected are exchanged: the loss must fall when "
                "the reward of the chosen answer grows.",
            ),
            (
                mean(lambda w, v: -_softplus(v - w)),
                "The sign is wrong: -ln of a probability is never negative.",
            ),
            (
                mean(lambda w, v: 1 - sigma(w - v)),
                "This is the probability of the other preference. Take -ln of "
                "the probability of this one.",
            ),
            (
                mean(lambda w, v: sigma(w - v)),
                "This is the probability of the preference. The loss is its "
                "negative logarithm.",
            ),
            (
                lambda w, v: mean(lambda a, b: _softplus(b - a))(w, v) * len(w),
                "You return the sum. Divide by the number of pairs.",
            ),
            (
                of_sums,
                "You take the mean of the rewards first. Each pair has a loss "
                "of its own; the mean is taken over the losses.",
            ),
            (
                mean(lambda w, v: _softplus(-w)),
                "Only the chosen answer counts in yours. What counts is the "
                "difference of the two rewards.",
            ),
            (
                mean(lambda w, v: _softplus(v - w) / math.log(2)),
                "These are bits. Use the natural logarithm.",
            ),
            (naive, overflow),
            (log_of, overflow),
            (two, overflow),
        ),
    )


@exercise("20.4", "DPO for one pair")
def dpo_pair(answer, rng):
    """-ln sigma(beta (difference of log-ratios)), from token log-probs."""
    cases = [([-1.0], [-1.0], [-2.0], [-1.0], 0.5)]
    for beta in (0.1, 0.5, 2.0):
        for _ in range(2):
            n, m = rng.randint(2, 5), rng.randint(2, 5)
            m += n == m
            sizes = (n, m, n, m)
            rows = [[-rng.uniform(0.1, 3) for _ in range(k)] for k in sizes]
            cases.append((*rows, beta))

    def made(total=sum, ratio=None, loss=None):
        ratio = ratio or (lambda w, v, rw, rl: (w - rw) - (v - rl))
        loss = loss or (lambda d, beta: _softplus(-beta * d))

        def of(policy_w, policy_l, reference_w, reference_l, beta):
            rows = (policy_w, policy_l, reference_w, reference_l)
            return loss(ratio(*map(total, rows)), beta)

        return of

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(ratio=lambda w, v, rw, rl: (v - rl) - (w - rw)),
                "The pair is exchanged, or the sign of beta is wrong: the loss "
                "must fall when the chosen answer becomes likelier.",
            ),
            (
                made(ratio=lambda w, v, rw, rl: w - v),
                "The reference is missing: without it, the model is free to go "
                "anywhere.",
            ),
            (
                made(ratio=lambda w, v, rw, rl: (w - v) + (rw - rl)),
                "The reference has the wrong sign: ln of a ratio is a "
                "difference of logarithms.",
            ),
            (
                made(ratio=lambda w, v, rw, rl: w - rw),
                "The rejected answer does not count in yours.",
            ),
            (
                made(total=lambda row: sum(row) / len(row)),
                "You take the mean over the tokens. ln P of an answer is the "
                "sum.",
            ),
            (
                made(total=lambda row: sum(map(math.exp, row))),
                "You add up probabilities. The numbers are logarithms already; "
                "add them.",
            ),
            (
                made(loss=lambda d, beta: _softplus(-d)),
                "beta is missing.",
            ),
            (
                made(loss=lambda d, beta: beta * _softplus(-d)),
                "beta stands outside the sigma. It multiplies the log-ratios.",
            ),
            (
                made(loss=lambda d, beta: _softplus(-d / beta)),
                "You divide by beta. The reward is beta times the log-ratio.",
            ),
            (
                made(loss=lambda d, beta: -_softplus(-beta * d)),
                "The sign is wrong: -ln of a probability is never negative.",
            ),
            (
                made(loss=lambda d, beta: math.exp(-_softplus(-beta * d))),
                "This is the probability of the preference. The loss is its "
                "negative logarithm.",
            ),
        ),
    )


@exercise("20.5", "The best policy")
def best_shares(answer, rng):
    """The reference times e^(r / beta), normalised, as dicts."""
    cases = [
        ({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}, 1.0),
        ({"a": 0.2, "b": 0.8}, {"a": 1.0, "b": 0.0}, 0.5),
    ]
    for beta in (0.2, 0.7, 3.0):
        n = rng.randint(3, 6)
        names = [f"answer {k}" for k in range(n)]
        weights = [rng.random() + 0.1 for _ in names]
        if n > 3:
            weights[1] = 0.0
        p = {k: w / sum(weights) for k, w in zip(names, weights, strict=True)}
        cases.append((p, {k: rng.uniform(-2, 2) for k in names}, beta))

    def normal(weights):
        return {k: w / sum(weights.values()) for k, w in weights.items()}

    def tilted(weight, norm=True):
        def of(p, r, beta):
            weights = {k: weight(p[k], r[k], beta) for k in p}
            return normal(weights) if norm else weights

        return of

    def greedy(p, r, beta):
        best = max((k for k in p if p[k]), key=r.get)
        return {k: float(k == best) for k in p}

    compare(
        answer,
        tilted(lambda p, r, b: p * math.exp(r / b)),
        cases,
        _mistakes(
            (
                tilted(lambda p, r, b: p * math.exp(r / b), norm=False),
                "The shares do not sum to 1. Divide by their sum.",
            ),
            (
                tilted(lambda p, r, b: p * math.exp(r * b)),
                "You multiply by beta. A large beta means: stay near the "
                "reference. So divide the reward by it.",
            ),
            (
                tilted(lambda p, r, b: math.exp(r / b)),
                "The reference is missing: what it never says stays impossible.",
            ),
            (
                tilted(lambda p, r, b: p * math.exp(r)),
                "beta is missing.",
            ),
            (
                tilted(lambda p, r, b: p * math.exp(-r / b)),
                "The sign is wrong: a good reward makes an answer likelier.",
            ),
            (
                tilted(lambda p, r, b: math.exp(p + r / b)),
                "The reference is a probability, not a logarithm: multiply by "
                "it.",
            ),
            (
                greedy,
                "You take the best answer alone. That is the limit of a small "
                "beta only.",
            ),
        ),
    )
