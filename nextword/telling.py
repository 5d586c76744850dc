"""Choices with known weights: made at random, or read off a given text.

A program that tells a story asks a teller at each choice. `Teller` draws,
`Reader` follows a text. Both keep the exact log-probability of every token. Left
out: what the stories are about.
"""

import math
import random
from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Option(NamedTuple):
    """One way to go on. No option's text may begin another's."""

    weight: float
    value: Hashable
    text: str  # tokens, separated by spaces


class IllegalStory(Exception):
    """A text that cannot be told; ``place`` is its first wrong token."""

    def __init__(self, place: int):
        super().__init__(f"token {place} cannot stand there")
        self.place = place


class Frontier(Exception):
    """A text ended within a choice; ``next`` has each token's probability."""

    def __init__(self, next: dict[str, float]):
        super().__init__()
        self.next = next


def next_tokens(
    options: Sequence[tuple[float, list[str]]], begun: list[str]
) -> dict[str, float]:
    """The probability of each token after the tokens ``begun`` of a choice."""
    n, masses = len(begun), {}
    for weight, tokens in options:
        if tokens[:n] == begun and len(tokens) > n:
            masses[tokens[n]] = masses.get(tokens[n], 0.0) + weight
    total = sum(masses.values())
    return {token: mass / total for token, mass in masses.items()}


class Teller:
    """Draws every choice; ``tokens`` and ``log_p`` grow together."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.tokens: list[str] = []
        self.log_p: list[float] = []

    def choose(self, options: Sequence[Option]) -> Hashable:
        """Take one option, say its text, and return its value."""
        options = [option for option in options if option.weight > 0]
        split = [(option.weight, option.text.split()) for option in options]
        number = self.pick(split)
        for n, token in enumerate(split[number][1]):
            masses = next_tokens(split, split[number][1][:n])
            self.tokens.append(token)
            self.log_p.append(math.log(masses[token]))
        return options[number].value

    def say(self, text: str) -> None:
        """Words that come for certain."""
        self.choose([Option(1.0, None, text)])

    def pick(self, options: list[tuple[float, list[str]]]) -> int:
        """The number of the option that is taken."""
        weights = [weight for weight, _ in options]
        return self.rng.choices(range(len(options)), weights)[0]


class Reader(Teller):
    """Follows a text; raises `IllegalStory` or, at its end, `Frontier`."""

    def __init__(self, text: Sequence[str]):
        super().__init__(random.Random(0))
        self.text = list(text)

    def pick(self, options: list[tuple[float, list[str]]]) -> int:
        """The option whose tokens come next in the text."""
        start = len(self.tokens)
        rest = self.text[start:]
        for number, (_, tokens) in enumerate(options):
            if rest[: len(tokens)] == tokens:
                return number
        for n, token in enumerate(rest):
            allowed = next_tokens(options, rest[:n])
            if token not in allowed:
                raise IllegalStory(start + n)
            self.log_p.append(math.log(allowed[token]))
        raise Frontier(next_tokens(options, rest))
