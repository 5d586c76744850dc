"""The checked exercises of chapter 1, notebooks/01_next_word.ipynb."""

from collections import Counter
from itertools import pairwise

from nextword.exercises.engine import Mistake, compare, exercise

WORDS = ["cat", "dog", "sees", "the", "runs", "a", "cup", "."]


@exercise("1.1", "What comes after a word")
def next_distribution(answer, rng):
    """Followers of one word, as shares."""
    cases = [
        (["a", "b"], "a"),
        (["a", "b"], "b"),
        (["a", "b", "a", "c"], "a"),
        (["a", "b", "a", "b", "a", "c", "a"], "a"),
        (["b", "a", "a", "c", "b"], "a"),
    ]
    for _ in range(4):
        tokens = rng.choices(WORDS[:4], k=rng.randint(8, 20))
        cases.append((tokens, tokens[-1]))
    compare(
        answer,
        _next_distribution,
        cases,
        [
            Mistake(
                lambda tokens, word: dict(_followers(tokens, word)),
                "These are counts. A probability is a share: divide each count "
                "by the sum of the counts.",
            ),
            Mistake(
                lambda tokens, word: {
                    token: n / tokens.count(word)
                    for token, n in _followers(tokens, word).items()
                },
                "Your probabilities do not always sum to one. You divide by "
                "how often the word occurs. When it is the last token, nothing "
                "follows it there. Divide by the number of its followers.",
            ),
            Mistake(
                lambda tokens, word: {
                    token: n / (len(tokens) - 1)
                    for token, n in _followers(tokens, word).items()
                },
                "You divide by the number of all pairs. That is the "
                "probability of the pair. Divide by the number of pairs that "
                "begin with the word.",
            ),
            Mistake(
                lambda tokens, word: {
                    token: n / len(tokens)
                    for token, n in _followers(tokens, word).items()
                },
                "You divide by the number of all tokens. Divide by the number "
                "of tokens that follow the word.",
            ),
            Mistake(
                lambda tokens, word: _next_distribution(tokens[::-1], word),
                "You count the tokens that come before the word. Equation "
                "(1.3) needs those that come after it.",
            ),
        ],
    )


@exercise("1.2", "The probability of a text")
def text_probability(answer, rng):
    """A product along the text."""
    model = {"a": {"b": 0.5, "a": 0.5}, "b": {"a": 1.0}}
    cases = [
        (model, ["a"]),
        (model, ["a", "b"]),
        (model, ["a", "b", "a", "a"]),
        (model, ["b", "b", "a"]),
        (model, ["a", "z", "a"]),
        ({"a": {"b": 0.25, "c": 0.75}}, ["a", "c"]),
        ({"a": {"b": 0.25, "c": 0.75}}, ["a", "b", "c"]),
    ]
    for _ in range(4):
        model = _random_model(rng, WORDS[:4])
        cases.append((model, rng.choices(WORDS[:4], k=rng.randint(3, 6))))
    compare(
        answer,
        _text_probability,
        cases,
        [
            Mistake(
                lambda model, tokens: sum(_factors(model, tokens)),
                "You add the probabilities. Equation (1.2) is a product: start "
                "from 1.0 and multiply.",
            ),
            Mistake(
                lambda model, tokens: 0.0 * len(tokens),
                "Your result is always 0. A product has to start from 1.0, "
                "because everything times 0 is 0.",
            ),
            Mistake(
                lambda model, tokens: _product(
                    p for p in _factors(model, tokens) if p
                ),
                "You skip the pairs that the model does not contain. Such a "
                "pair has probability 0, and then the whole text has "
                "probability 0.",
            ),
            Mistake(
                lambda model, tokens: _text_probability(model, tokens[::-1]),
                "You look up the pairs in the wrong order. model[old][new] has "
                "the earlier token first.",
            ),
            Mistake(
                lambda model, tokens: _product(
                    model[old].get(new, 0.0) for old, new in pairwise(tokens)
                ),
                "Your function raises a KeyError for a token that has no row "
                "in the model. An empty row, {}, can stand for it.",
            ),
            Mistake(
                lambda model, tokens: _product(
                    model[old][new] for old, new in pairwise(tokens)
                ),
                "Your function raises a KeyError for a pair that the model "
                "does not contain. Such a pair has probability 0. The method "
                "`get` of a dictionary takes a second argument for this.",
            ),
        ],
    )


@exercise("1.3", "Draw a token")
def token_at(answer, rng):
    """The token that contains u. The shares are dyadic: their sums are exact."""
    cases = [
        ({"a": 1.0}, 0.5),
        ({"a": 0.5, "b": 0.25, "c": 0.25}, 0.3),
        ({"a": 0.5, "b": 0.25, "c": 0.25}, 0.7),
        ({"a": 0.5, "b": 0.25, "c": 0.25}, 0.9),
        ({"a": 0.5, "b": 0.25, "c": 0.25}, 0.5),
        ({"a": 0.25, "b": 0.75}, 0.0),
        ({"a": 0.0, "b": 0.5, "c": 0.5}, 0.0),
        ({"c": 0.25, "a": 0.25, "b": 0.5}, 0.125),
    ]
    for _ in range(6):
        names = rng.sample(WORDS, k=4)
        cuts = [0, *sorted(rng.sample(range(1, 64), k=3)), 64]
        sizes = [(b - a) / 64 for a, b in pairwise(cuts)]
        distribution = dict(zip(names, sizes, strict=True))
        cases.append((distribution, rng.randrange(64) / 64))
    compare(
        answer,
        _token_at,
        cases,
        [
            Mistake(
                lambda d, u: max(d, key=d.get),
                "You always take the most probable token and never use u. Lay "
                "the tokens on a line and find the one that contains u.",
            ),
            Mistake(
                lambda d, u: next(
                    (t for t, c in _cumulative(d) if u <= c), list(d)[-1]
                ),
                "Your answer is wrong where u lies exactly between two tokens. "
                "A piece contains its left end and not its right end. Look at "
                "your comparison.",
            ),
            Mistake(
                lambda d, u: next(
                    (t for t, p in d.items() if u < p), list(d)[-1]
                ),
                "You compare u with each single probability. Compare it with "
                "the sum of the probabilities so far.",
            ),
            Mistake(
                lambda d, u: next((t for t, p in d.items() if u < p), None),
                "You compare u with each single probability, and sometimes no "
                "token is large enough. Compare u with the sum of the "
                "probabilities so far.",
            ),
            Mistake(
                lambda d, u: next(
                    (t for t, c in _cumulative(d) if c - d[t] < u < c), None
                ),
                "Where u lies exactly between two tokens, or at the very "
                "beginning, you find no token. A piece contains its left end.",
            ),
            Mistake(
                lambda d, u: next(
                    (t for t, c in _cumulative(d) if u < c - d[t]), list(d)[-1]
                ),
                "Your answer is one token too far. Add the probability of a "
                "token first, and then compare u with the sum.",
            ),
            Mistake(
                lambda d, u: _token_at(
                    dict(sorted(d.items(), key=lambda item: -item[1])), u
                ),
                "You sort the tokens by their probability. Keep the order of "
                "the dictionary.",
            ),
            Mistake(
                lambda d, u: _token_at(dict(sorted(d.items())), u),
                "You sort the tokens by their names. Keep the order of the "
                "dictionary.",
            ),
        ],
    )


@exercise("1.4", "Always the most frequent")
def continue_greedily(answer, rng):
    """The greedy walk through a table of counts."""
    cases = [
        ({"a": {"b": 1}}, "a", 1),
        ({"a": {"b": 1}}, "a", 3),
        ({"a": {"b": 1}}, "c", 3),
        ({"a": {"b": 1}}, "a", 0),
        ({"a": {"n": 2, "b": 1, "m": 4, "z": 3}}, "a", 1),
        ({"a": {"z": 1, "b": 2}, "b": {"a": 1}}, "a", 3),
        ({"a": {"b": 2, "c": 2}, "b": {"a": 1}, "c": {"a": 1}}, "a", 2),
        ({"a": {"c": 2, "b": 2}, "b": {"a": 1}, "c": {"a": 1}}, "a", 2),
    ]
    for _ in range(4):
        names = WORDS[:5]
        counts = {
            old: {
                new: rng.randint(1, 5)
                for new in rng.sample(names, k=rng.randint(2, 4))
            }
            for old in names[:4]
        }
        cases.append((counts, rng.choice(names[:4]), rng.randint(3, 8)))
    compare(
        answer,
        _continue_greedily,
        cases,
        [
            Mistake(
                lambda counts, token, length: _walk(
                    counts, token, length, lambda row: max(row)
                ),
                "You take the token that comes last in the alphabet. max(d) "
                "looks at the keys of a dictionary. Give it a `key`.",
            ),
            Mistake(
                lambda counts, token, length: _walk(
                    counts, token, length, lambda row: min(row, key=row.get)
                ),
                "You take the least frequent follower. Take the most frequent.",
            ),
            Mistake(
                lambda counts, token, length: _walk(
                    counts, token, length, lambda row: next(iter(row))
                ),
                "You take the first follower of each token. Take the one with "
                "the largest count.",
            ),
            Mistake(
                lambda counts, token, length: _walk(
                    counts, token, length, _last_of_the_largest
                ),
                "If two followers are equally frequent, you take the later "
                "one. Take the one that comes first in the dictionary.",
            ),
            Mistake(
                lambda counts, token, length: [
                    token,
                    *_continue_greedily(counts, token, length),
                ],
                "Your list begins with the token that was given. It should "
                "hold the new tokens only.",
            ),
            Mistake(
                lambda counts, token, length: [
                    token,
                    *_continue_greedily(counts, token, length),
                ][:length],
                "Your list begins with the token that was given, and so it "
                "lacks one new token at its end.",
            ),
            Mistake(
                lambda counts, token, length: (
                    _continue_greedily(counts, token, 1) * length
                ),
                "You look up the same token again and again. After each step, "
                "the new token is the one to continue from.",
            ),
            Mistake(
                _repeating_where_stuck,
                "Where a token has no followers, your list goes on with the "
                "same token. There it should end early.",
            ),
            Mistake(
                _without_a_stop,
                "Your function raises a KeyError where a token has no "
                "followers. There the list should end early.",
            ),
        ],
    )


@exercise("1.5", "Days of training")
def training_days(answer, rng):
    """6 N D, divided by what the machines do in a day."""
    cases = [(1e9, 20e9, 8, 1e15, 0.4), (175e9, 300e9, 1000, 125e12, 0.5)]
    for _ in range(4):
        cases.append(
            (
                rng.uniform(1, 9) * 10 ** rng.randint(7, 11),
                rng.uniform(1, 9) * 10 ** rng.randint(9, 12),
                rng.randint(2, 4096),
                rng.uniform(1, 9) * 1e14,
                rng.uniform(0.2, 0.8),
            )
        )

    def scaled(factor):
        return lambda *arguments: factor * _training_days(*arguments)

    compare(
        answer,
        _training_days,
        cases,
        [
            Mistake(
                scaled(1 / 6),
                "Your result is six times too small. How many FLOPs does the "
                "rule (1.4) count for each parameter and each token?",
            ),
            Mistake(
                scaled(1 / 3),
                "You count 2 FLOPs per parameter and token. That is the price of "
                "using a model. Training also goes backward.",
            ),
            Mistake(
                scaled(86_400),
                "This is the number of seconds. Divide by the 86,400 seconds "
                "of a day.",
            ),
            Mistake(
                scaled(24),
                "This is the number of hours. Divide by 24 for days.",
            ),
            Mistake(
                lambda n, d, machines, peak, utilisation: _training_days(
                    n, d, machines, peak, 1.0
                ),
                "You do not use the utilisation. The machines do not reach "
                "their peak.",
            ),
            Mistake(
                lambda n, d, machines, peak, utilisation: (
                    _training_days(n, d, machines, peak, 1.0) * utilisation
                ),
                "With a low utilisation your training becomes shorter. It "
                "should become longer: the utilisation belongs to the speed.",
            ),
            Mistake(
                lambda n, d, machines, peak, utilisation: _training_days(
                    n, d, 1, peak, utilisation
                ),
                "This is the time of one machine. All machines work at once.",
            ),
            Mistake(
                lambda n, d, machines, peak, utilisation: (
                    6 * n * d / machines * peak * utilisation / 86_400
                ),
                "Python works from left to right: a / b * c is (a / b) * c. "
                "Put what you divide by in parentheses.",
            ),
        ],
    )


def _followers(tokens, word):
    return Counter(new for old, new in pairwise(tokens) if old == word)


def _next_distribution(tokens, word):
    counts = _followers(tokens, word)
    return {token: n / counts.total() for token, n in counts.items()}


def _random_model(rng, names):
    """Every row has some of the names only, so some pairs are missing."""
    model = {}
    for old in names[:-1]:
        row = {new: rng.randint(1, 9) for new in rng.sample(names, k=3)}
        total = sum(row.values())
        model[old] = {new: n / total for new, n in row.items()}
    return model


def _factors(model, tokens):
    return [model.get(old, {}).get(new, 0.0) for old, new in pairwise(tokens)]


def _product(factors):
    product = 1.0
    for factor in factors:
        product *= factor
    return product


def _text_probability(model, tokens):
    return _product(_factors(model, tokens))


def _cumulative(distribution):
    reached = 0.0
    for token, probability in distribution.items():
        reached += probability
        yield token, reached


def _token_at(distribution, u):
    return next(t for t, reached in _cumulative(distribution) if u < reached)


def _walk(counts, token, length, choose):
    line = []
    while len(line) < length and token in counts:
        token = choose(counts[token])
        line.append(token)
    return line


def _continue_greedily(counts, token, length):
    return _walk(counts, token, length, lambda row: max(row, key=row.get))


def _last_of_the_largest(row):
    return max(reversed(row), key=row.get)


def _without_a_stop(counts, token, length):
    line = []
    for _ in range(length):
        token = max(counts[token], key=counts[token].get)
        line.append(token)
    return line


def _repeating_where_stuck(counts, token, length):
    line = []
    for _ in range(length):
        if token in counts:
            token = max(counts[token], key=counts[token].get)
        line.append(token)
    return line


def _training_days(parameters, tokens, machines, peak, utilisation):
    flops = 6 * parameters * tokens
    return flops / (machines * peak * utilisation) / 86_400
