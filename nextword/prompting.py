"""Hidden mappings in a prompt: examples, a question, and the exact answer.

Home: chapter 20, notebooks/20_prompting.ipynb. A mapping gives each of N letters
a digit of its own. A prompt shows letters with their digits; the task is the
next digit. Left out: the model that reads the prompts.
"""

import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from nextword.batches import TokenBatch, pad
from nextword.losses import IGNORE

N = 8  # letters, and as many digits


def shift(a: int) -> tuple[int, ...]:
    """The mapping x + a: the digit of each letter x, counted round."""
    return tuple((x + a) % N for x in range(N))


def mirror(a: int) -> tuple[int, ...]:
    """The mapping a - x: the digit of each letter x, counted round."""
    return tuple((a - x) % N for x in range(N))


# The rules that training shows, and two that it leaves out.
RULES = {
    "old rule": tuple(
        [shift(a) for a in range(N) if a != 3]
        + [mirror(a) for a in range(N) if a != 6]
    ),
    "new rule": (shift(3), mirror(6)),
}


def draw_mapping(kind: str, rng: random.Random) -> tuple[int, ...]:
    """A mapping that is "old rule", "new rule", "old free" or "new free".

    A free one is any order of the digits that is no rule; one of five is new,
    by a hash. Raises ValueError for another kind.
    """
    if kind in RULES:
        return rng.choice(RULES[kind])
    if kind not in ("old free", "new free"):
        raise ValueError(
            f"{kind!r} is no kind of mapping. Choose old or new, and rule or "
            "free, such as 'old free'."
        )
    while True:
        mapping = tuple(rng.sample(range(N), N))
        new = zlib.crc32(bytes(mapping)) % 5 == 0
        if new == (kind == "new free") and mapping not in sum(
            RULES.values(), ()
        ):
            return mapping


def prompt_ids(mapping: Sequence[int], letters: Sequence[int]) -> list[int]:
    """A letter, its digit, a letter, its digit, ...; digits begin at id N."""
    return [id for x in letters for id in (x, N + mapping[x])]


def prompt_batch(prompts: Sequence[Sequence[int]]) -> TokenBatch:
    """Prompts as ids and targets (B, 2 T - 1); only the digits are targets."""
    ids = pad([row[:-1] for row in prompts], 0)
    after = pad([row[1:] for row in prompts], IGNORE)
    return TokenBatch(ids, after.masked_fill(after < N, IGNORE))


@dataclass(frozen=True)
class PromptBatches:
    """Batch number ``step`` of prompts: half with old rules, half free ones.

    Each prompt has a mapping of its own. ValueError for sizes below 1.
    """

    batch_size: int
    examples: int  # pairs in a prompt
    seed: int = 0
    number: int = 0  # of different free mappings; 0: no limit

    def __post_init__(self):
        if min(self.batch_size, self.examples, self.number + 1) < 1:
            raise ValueError("Choose sizes of 1 or more.")

    def mapping(self, rng: random.Random) -> tuple[int, ...]:
        kind = "old rule" if rng.random() < 0.5 else "old free"
        if kind == "old free" and self.number:
            rng = random.Random(f"{self.seed} {rng.randrange(self.number)}")
        return draw_mapping(kind, rng)

    def __call__(self, step: int) -> TokenBatch:
        rng = random.Random(f"prompts {self.seed} {step}")
        rows = []
        for _ in range(self.batch_size):
            letters = rng.choices(range(N), k=self.examples)
            rows.append(prompt_ids(self.mapping(rng), letters))
        return prompt_batch(rows)


def bayes(
    pairs: Sequence[tuple[int, int]],
    letter: int,
    rules: Sequence[Sequence[int]] = RULES["old rule"],
    share: float = 0.5,
) -> list[float]:
    """The exact probability of each digit, after these pairs.

    A priori a mapping is one of the rules, with ``share`` in all, or free: any
    order of the digits. Raises ValueError for pairs that no mapping has.
    """
    seen = dict(pairs)
    if len(set(pairs)) != len(seen) or len(set(seen.values())) != len(seen):
        raise ValueError(
            "No mapping has these pairs. Give each letter a digit."
        )
    left = N - len(seen)  # letters without a digit yet
    free = (1 - share) * math.factorial(left) / math.factorial(N)
    weights = [0.0] * N  # P(pairs, digit)
    for rule in rules:
        if all(rule[x] == y for x, y in seen.items()):
            weights[rule[letter]] += share / len(rules)
    for y in range(N):
        if letter in seen:
            weights[y] += free * (y == seen[letter])
        elif y not in seen.values():
            weights[y] += free / left
    return [w / sum(weights) for w in weights]


def copied(pairs: Sequence[tuple[int, int]], letter: int) -> list[float]:
    """Who only copies: the digit that stood behind this letter, or a guess."""
    seen = dict(pairs)
    if letter in seen:
        return [float(y == seen[letter]) for y in range(N)]
    return [1 / N] * N


def hit(answer: Sequence[float], digit: int) -> float:
    """How often the likeliest digit is right, if ties are decided by a coin."""
    best = max(answer)
    likeliest = [y for y, p in enumerate(answer) if p > best - 1e-12]
    return (digit in likeliest) / len(likeliest)


def few_shot(
    examples: Sequence[tuple[str, str]], question: str, border: str = "."
) -> list[str]:
    """The words of a prompt: question, answer, border, ..., question."""
    shown = [w for q, a in examples for w in f"{q} {a} {border}".split()]
    return [*shown, *question.split()]
