"""Language models that count: n-grams, from maximum likelihood to Kneser-Ney.

Home: chapter 2, notebooks/02_counting.ipynb. A token is anything hashable: a
word, a character, a number. A sequence is a list of tokens, such as the words
of one paragraph. Left out: pruning, and tables that do not fit in memory.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

START = "<s>"
END = "</s>"
UNKNOWN = "<unk>"


def words(text: str) -> list[str]:
    """The words and the punctuation marks of a text, in lower case."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def ngrams(tokens: Sequence, order: int) -> Iterator[tuple[tuple, Hashable]]:
    """Every token, and `END`, after its context of ``order - 1`` tokens.

    The context of the first tokens is filled up with `START`.
    Raises ValueError if the order is below 1.
    """
    if order < 1:
        raise ValueError(f"The order is {order}. Use 1 (no context) or more.")
    padded = [START] * (order - 1) + list(tokens) + [END]
    for i in range(order - 1, len(padded)):
        yield tuple(padded[i - order + 1 : i]), padded[i]


def count(sequences: Sequence[Sequence], order: int) -> dict[tuple, Counter]:
    """c(h, w): for every context h, how often each token w follows it.

    Raises ValueError if there is no sequence.
    """
    counts: dict[tuple, Counter] = {}
    for tokens in sequences:
        for context, token in ngrams(tokens, order):
            if context not in counts:
                counts[context] = Counter()
            counts[context][token] += 1
    if not counts:
        raise ValueError("There is nothing to count. Give a sequence or more.")
    return counts


def build_vocabulary(
    sequences: Sequence[Sequence], min_count: int = 2
) -> list[Hashable]:
    """`UNKNOWN`, and the tokens seen ``min_count`` times, frequent first."""
    seen = Counter(token for tokens in sequences for token in tokens)
    frequent = [t for t, c in seen.most_common() if c >= min_count]
    return list(dict.fromkeys([UNKNOWN, *frequent]))


def replace_unknown(
    sequences: Sequence[Sequence], vocabulary: Sequence
) -> list[list]:
    """The same sequences, with `UNKNOWN` for what the vocabulary lacks."""
    known = set(vocabulary)
    return [[t if t in known else UNKNOWN for t in s] for s in sequences]


class NgramModel:
    """What the models share: the order, and the outcomes, which may come next.

    The outcomes are the vocabulary and `END`. Models differ in ``probability``.
    Raises ValueError for an order below 1 or a token outside the vocabulary.
    """

    def __init__(self, sequences: Sequence, order: int, vocabulary: Sequence):
        if order < 1:
            raise ValueError(f"The order is {order}. Use 1 or more.")
        self.order = order
        self.outcomes = dict.fromkeys([*vocabulary, END])  # an ordered set
        for token in set().union(*sequences):
            self.check(token)

    def check(self, token: Hashable) -> None:
        """Refuse a token that is none of the outcomes."""
        if token not in self.outcomes:
            raise ValueError(
                f"{token!r} is not in the vocabulary. Pass the text through "
                "replace_unknown first."
            )

    def history(self, context: Sequence) -> tuple:
        """The last ``order - 1`` tokens of the context, filled with `START`."""
        missing = self.order - 1 - len(context)
        return (START,) * missing + tuple(context)[max(0, -missing) :]


class MaximumLikelihood(NgramModel):
    """c(h, w) / c(h); 0 for every token if the context h was never seen."""

    def __init__(self, sequences: Sequence, order: int, vocabulary: Sequence):
        super().__init__(sequences, order, vocabulary)
        self.counts = count(sequences, order)
        self.totals = {h: row.total() for h, row in self.counts.items()}

    def probability(self, token: Hashable, context: Sequence) -> float:
        """P(token | context)."""
        self.check(token)
        h = self.history(context)
        if h not in self.counts:
            return 0.0
        return self.counts[h][token] / self.totals[h]


class AddK(MaximumLikelihood):
    """(c(h, w) + k) / (c(h) + k V), where V is the number of outcomes.

    Raises ValueError if ``k`` is not above 0.
    """

    def __init__(
        self, sequences: Sequence, order: int, vocabulary: Sequence, k: float
    ):
        if k <= 0:
            raise ValueError(f"k is {k}. Use k > 0, or MaximumLikelihood.")
        super().__init__(sequences, order, vocabulary)
        self.k = k

    def probability(self, token: Hashable, context: Sequence) -> float:
        """P(token | context), never 0."""
        self.check(token)
        h = self.history(context)
        c_hw = self.counts[h][token] if h in self.counts else 0
        c_h = self.totals.get(h, 0)
        return (c_hw + self.k) / (c_h + self.k * len(self.outcomes))


class Interpolated(NgramModel):
    """Jelinek-Mercer: P_n = a_n c(h, w) / c(h) + (1 - a_n) P_{n-1}.

    ``weights`` holds a_1, a_2, ..., 1/2 at first; `fit_weights` sets them. P_0
    is uniform. Where h was never seen, P_n is P_{n-1}.
    """

    def __init__(self, sequences: Sequence, order: int, vocabulary: Sequence):
        super().__init__(sequences, order, vocabulary)
        orders = range(1, order + 1)
        self.models = [
            MaximumLikelihood(sequences, n, vocabulary) for n in orders
        ]
        self.weights = [0.5] * order

    def estimates(self, token: Hashable, context: Sequence) -> list[float]:
        """c(h, w) / c(h) of order 1, 2, ... as far as h was seen."""
        self.check(token)
        h = self.history(context)
        tails = [h[len(h) - n :] for n in range(self.order)]
        pairs = zip(self.models, tails, strict=True)
        return [m.probability(token, t) for m, t in pairs if t in m.counts]

    def probability(self, token: Hashable, context: Sequence) -> float:
        """P(token | context), above 0 if every weight is below 1."""
        p = 1 / len(self.outcomes)
        for n, estimate in enumerate(self.estimates(token, context)):
            p = self.weights[n] * estimate + (1 - self.weights[n]) * p
        return p


def fit_weights(
    model: Interpolated, held_out: Sequence[Sequence], rounds: int = 30
) -> None:
    """Set the weights of `Interpolated` by EM, so that held-out text is likely.

    Every round asks, for each token, which order it came from, and sets a_n to
    the share that order n takes of the tokens that reach it from above.
    """
    grams = [g for tokens in held_out for g in ngrams(tokens, model.order)]
    table = [model.estimates(token, context) for context, token in grams]
    for _ in range(rounds):
        reached, taken = [0.0] * model.order, [0.0] * model.order
        for estimates in table:
            p = [1 / len(model.outcomes)]
            for n, e in enumerate(estimates):
                p.append(model.weights[n] * e + (1 - model.weights[n]) * p[n])
            left = 1.0
            for n in reversed(range(len(estimates))):
                share = left * model.weights[n] * estimates[n] / p[n + 1]
                reached[n] += left
                taken[n] += share
                left -= share
        for n in range(model.order):
            if reached[n]:
                model.weights[n] = taken[n] / reached[n]


def continuation_counts(counts: dict[tuple, Counter]) -> dict[tuple, Counter]:
    """How many different tokens v precede h and w: the table one order lower.

    The entry of h and w is the number of different v for which c(v h, w) > 0.
    """
    shorter: dict[tuple, Counter] = {}
    for context, row in counts.items():
        shorter.setdefault(context[1:], Counter()).update(row.keys())
    return shorter


def estimate_discount(counts: dict[tuple, Counter]) -> float:
    """n_1 / (n_1 + 2 n_2), where n_r n-grams were seen r times (Ney, 1994).

    Where one of the two is 0 the formula says nothing useful; then it is 1/2.
    """
    seen = Counter(c for row in counts.values() for c in row.values())
    return seen[1] / (seen[1] + 2 * seen[2]) if seen[1] and seen[2] else 0.5


class KneserNey(NgramModel):
    """Interpolated Kneser-Ney, (max(c - delta, 0) + delta N P_{n-1}) / c(h).

    c and c(h) are from the table of order n, where N tokens follow h. P_0 is
    uniform. Where h was never seen, P_n is P_{n-1}.
    """

    def __init__(self, sequences: Sequence, order: int, vocabulary: Sequence):
        super().__init__(sequences, order, vocabulary)
        tables = [count(sequences, order)]
        while len(tables) < order:
            tables.insert(0, continuation_counts(tables[0]))
        self.tables = tables
        self.discounts = [estimate_discount(t) for t in tables]
        self.totals = [{h: r.total() for h, r in t.items()} for t in tables]

    def probability(self, token: Hashable, context: Sequence) -> float:
        """P(token | context), never 0."""
        self.check(token)
        h = self.history(context)
        p = 1 / len(self.outcomes)
        for n, table in enumerate(self.tables):
            tail = h[len(h) - n :]
            if tail not in table:
                return p
            row, delta = table[tail], self.discounts[n]
            kept = max(row[token] - delta, 0)
            p = (kept + delta * len(row) * p) / self.totals[n][tail]
        return p


def cross_entropy(model: NgramModel, sequences: Sequence[Sequence]) -> float:
    """The average of -ln P(token | context) in nats, every `END` counted.

    Infinite if a token has probability 0. Raises ValueError without a sequence.
    """
    total = tokens = 0
    for sequence in sequences:
        for context, token in ngrams(sequence, model.order):
            p = model.probability(token, context)
            total += -math.log(p) if p > 0 else math.inf
            tokens += 1
    if not tokens:
        raise ValueError(
            "There is no text to measure. Give a sequence or more."
        )
    return total / tokens


def sample(model: NgramModel, rng: random.Random, limit: int = 100) -> list:
    """Tokens drawn one by one until `END` comes or ``limit`` is reached."""
    outcomes = list(model.outcomes)
    tokens: list = []
    while len(tokens) < limit:
        weights = [model.probability(w, tokens) for w in outcomes]
        token = rng.choices(outcomes, weights)[0]
        if token == END:
            break
        tokens.append(token)
    return tokens
