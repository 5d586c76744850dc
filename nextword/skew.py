"""Short texts about jobs, with a skew that was put there on purpose.

Used by chapter 24. Each person has one of two jobs, and
how often the text says which is known exactly. Two ways to mend the data change
these shares to others that are known too. Left out: the model.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from nextword.batches import TokenBatch, pad
from nextword.generation import evaluating
from nextword.losses import IGNORE
from nextword.telling import Option, Teller
from nextword.town import evenly, familiar
from nextword.town_words import PEOPLE, PLACES, THEMES
from nextword.words import END, WordTokenizer, town_tokenizer

JOBS = {"she": "baker", "he": "sailor"}  # the usual job of each group
SHARE = 0.8  # how often the text gives a person the usual job of the group
EXCEPTIONS = ("Grace", "Hugo")  # with them it is the other way round
STRANGERS = ("Iris", "Jack")  # in no text
KNOWN = tuple(name for name in PEOPLE if name not in STRANGERS)
MENDS = ("as it is", "swapped", "by group")


def usual_share(name: str) -> float:
    """How often the text gives a person the usual job of the group."""
    return 1 - SHARE if name in EXCEPTIONS else SHARE


def group_share() -> float:
    """The mean of `usual_share` over the known people of a group."""
    return sum(map(usual_share, KNOWN)) / len(KNOWN)


def mended_share(name: str, mend: str) -> float:
    """The exact share of the usual job of a person in the mended text.

    Swapped: the mean of P and 1 - P. By group: texts with the usual job are
    kept with one probability, such that both jobs are equally frequent in
    the group. Raises ValueError for a mend that is not in MENDS.
    """
    p = usual_share(name)
    if mend not in MENDS:
        raise ValueError(f"{mend!r} is no mend. Choose one of {MENDS}.")
    if mend == "swapped":
        return (p + 1 - p) / 2
    if mend == "by group":
        kept = (1 - group_share()) / group_share()
        return p * kept / (p * kept + 1 - p)
    return p


def tell_job(teller: Teller, name: str) -> str:
    """One text about a person, drawn or followed by the teller; the job."""
    theme = teller.rng.choice(list(THEMES))
    likely = familiar(list(PLACES), THEMES[theme][0])
    pronoun = PEOPLE[name].pronoun
    teller.say(f"{name} was at the")
    place = teller.choose([Option(w, p, p) for p, w in likely.items()])
    teller.say(f". {pronoun.capitalize()} went to the")
    teller.choose(evenly([p for p in PLACES if p != place]))
    teller.say(f". {pronoun.capitalize()} was a")
    p, usual = usual_share(name), JOBS[pronoun]
    job = teller.choose(
        [
            Option(p if job == usual else 1 - p, job, job)
            for job in JOBS.values()
        ]
    )
    teller.say(".")
    return job


def swap(tokens: Sequence[str]) -> list[str]:
    """The counterpart of a text: names and pronouns of the other group.

    The first she becomes the first he, and so on. The job stays.
    """
    she, he = (
        [name for name in PEOPLE if PEOPLE[name].pronoun == pronoun]
        for pronoun in JOBS
    )
    pairs = dict(zip([*she, "She"], [*he, "He"], strict=True))
    other = pairs | {b: a for a, b in pairs.items()}
    return [other.get(token, token) for token in tokens]


def job_text(number: int, seed: int, mend: str = "as it is") -> list[str]:
    """The tokens of text ``number``; every other one is swapped, if wished."""
    base = number // 2 if mend == "swapped" else number
    rng = random.Random(f"jobs {seed} {base}")
    kept = (1 - group_share()) / group_share() if mend == "by group" else 1.0
    while True:
        teller, name = Teller(rng), rng.choice(KNOWN)
        job = tell_job(teller, name)
        if job != JOBS[PEOPLE[name].pronoun] or rng.random() < kept:
            break
    swapped = mend == "swapped" and number % 2
    return swap(teller.tokens) if swapped else teller.tokens


@cache
def job_tokenizer() -> WordTokenizer:
    """The words of the town, and the two jobs."""
    return WordTokenizer([*town_tokenizer().words, *JOBS.values()])


@dataclass(frozen=True)
class JobBatches:
    """Batch number ``step`` of texts about jobs, which no other batch has.

    Raises ValueError for a batch_size below 1 or a mend that is not in MENDS.
    """

    batch_size: int
    mend: str = "as it is"
    seed: int = 0

    def __post_init__(self):
        mended_share(KNOWN[0], self.mend)
        if self.batch_size < 1:
            raise ValueError("Choose a batch_size of 1 or more.")

    def __call__(self, step: int) -> TokenBatch:
        ids, first = job_tokenizer().ids, step * self.batch_size
        rows = [
            [ids[token] for token in job_text(n, self.seed, self.mend)]
            for n in range(first, first + self.batch_size)
        ]
        return TokenBatch(
            pad([[ids[END], *row] for row in rows], ids[END]),  # (B, T)
            pad([[*row, ids[END]] for row in rows], IGNORE),  # (B, T)
        )


def job_prompts(name: str) -> list[list[int]]:
    """The ids of 16 texts about a person, up to the job."""
    pronoun, places = PEOPLE[name].pronoun.capitalize(), list(PLACES)
    pairs = zip(places, places[5:] + places[:5], strict=True)
    texts = (
        f"{END} {name} was at the {a} . {pronoun} went to the {b} . "
        f"{pronoun} was a"
        for a, b in pairs
    )
    return [job_tokenizer().encode(text) for text in texts]


def said_shares(
    model: nn.Module, names: Sequence[str], temperature: float = 1.0
) -> dict[str, float]:
    """How often a GPT gives each person the usual job of the group.

    The probability of the usual job, as a share of both jobs', at this
    temperature; the mean over the prompts. 0 is greedy.
    """
    ids, shares = job_tokenizer().ids, {}
    for name in names:
        usual = JOBS[PEOPLE[name].pronoun]
        order = sorted(JOBS.values(), key=lambda job: job != usual)
        with evaluating(model) as device:
            logits = model(torch.tensor(job_prompts(name), device=device))
        two = logits[:, -1, [ids[job] for job in order]].double()  # (B, 2)
        gap = two[:, 0] - two[:, 1]
        p = (gap / temperature).sigmoid() if temperature else (gap > 0).double()
        shares[name] = float(p.mean())
    return shares
