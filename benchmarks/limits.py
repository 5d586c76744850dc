"""Skewed texts, stories unlike those of the training, and false sentences.

    python -m benchmarks.limits

Small GPTs are trained on texts with a known skew, and on short stories; the
shipped GPT of the town tells stories and names moods. It writes
``benchmarks/results/limits.json`` after each run, and the copy in
``nextword/data`` that chapter 24 draws. Stop it at any time: the same command
goes on with the runs that are missing.
"""

import dataclasses
import json
import math
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import record
from nextword import skew, unseen
from nextword.association import associations, effect_size, p_value
from nextword.blocks import TransformerConfig
from nextword.classification import calibration_error, reliability
from nextword.evaluation import story_losses
from nextword.generation import Sampling, evaluating, generate
from nextword.hallucination import claims, false_share
from nextword.muon import Muon
from nextword.ngram import END as NGRAM_END
from nextword.ngram import KneserNey
from nextword.pretrained import load_pretrained
from nextword.stories import FIRST, SHORT
from nextword.town import TownConfig, make_story
from nextword.town_words import MOODS, PEOPLE
from nextword.training import TrainConfig, fit, language_loss
from nextword.transformer import GPT, initialise
from nextword.words import END, town_tokenizer

COMMAND = "python -m benchmarks.limits"
SEEDS = range(5)
SKEWED = TrainConfig(150, 1e-2, warmup=10)
STORIES = TrainConfig(200, 1e-2, warmup=10)
BATCH = 64
MARKS = (10, 20, 30, 40, 60, 80, 100, 150)  # steps at which shares are taken
TEMPERATURES = (0.0, 0.5, 1.0, 1.5)
TOWNS = {
    "as trained": SHORT,
    "three things": TownConfig(2, 3, 3, 6),
    "three people": TownConfig(3, 2, 3, 6),
    "more events": TownConfig(2, 2, 7, 10),
}
COUNTED = 2_000  # stories that the counts of a seed have read
NOTES = [
    "skew: shares of the usual job that a small GPT gives to regular people, "
    "exceptions and strangers; nats: loss at the job in 500 skewed texts. "
    "weat: effect size and p-value of the names' embeddings.",
    "unseen: nats a token above the floor, and the probability of impossible "
    "words; a small GPT and a Kneser-Ney 5-gram of the same stories.",
    "facts: share of false sentences after a given opening, 100 stories a "
    "seed; first: in the first sentence after the opening. moods: 300 stories "
    "a seed, all but the last word given. Both: the shipped town-gpt, and "
    f"Kneser-Ney of {COUNTED:,} stories.",
    "Steps and learning rates were chosen on seed 50, which is not recorded.",
]


class Run(NamedTuple):
    """One part of the chapter, one way to do it, one seed."""

    part: str
    method: str
    seed: int


def grid() -> list[Run]:
    """Every run, seed by seed."""
    parts = {
        "skew": skew.MENDS,
        "unseen": ("gpt", "kneser-ney"),
        "facts": ("gpt", "kneser-ney"),
        "moods": ("gpt", "kneser-ney"),
    }
    return [
        Run(part, method, seed)
        for seed in SEEDS
        for part, methods in parts.items()
        for method in methods
    ]


def record_rows(path: Path | None = None) -> list[dict[str, Any]]:
    """The rows of this record, or of a copy of it."""
    path = path or record.RESULTS / "limits.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def small_gpt(vocab_size: int, context_length: int, seed: int) -> GPT:
    """Two layers of width 64, with start values of this seed."""
    torch.manual_seed(seed)
    sizes = TransformerConfig(
        vocab_size, context_length, 64, 4, 2, positions="rotary"
    )
    model = GPT(sizes)
    initialise(model, 0.5 / math.sqrt(sizes.d_model))
    return model


def train(model: GPT, batches: Callable, config: TrainConfig) -> None:
    """Train with Muon."""
    muon = Muon(model, config.lr, config.weight_decay)
    fit(model, language_loss, batches, config, None, muon)


def mean_share(shares: dict[str, float], names: Any) -> float:
    """The mean over some people, rounded."""
    return round(float(np.mean([shares[name] for name in names])), 4)


def three_shares(model: GPT, temperature: float = 1.0) -> dict[str, float]:
    """The mean shares of regular people, exceptions and strangers."""
    shares = skew.said_shares(model, list(PEOPLE), temperature)
    special = (*skew.EXCEPTIONS, *skew.STRANGERS)
    return {
        "regular": mean_share(shares, [n for n in PEOPLE if n not in special]),
        "exceptions": mean_share(shares, skew.EXCEPTIONS),
        "strangers": mean_share(shares, skew.STRANGERS),
    }


def measure_skew(run: Run) -> list[dict[str, Any]]:
    """Shares at each temperature, the curve of training, and WEAT."""
    tokenizer, curve = skew.job_tokenizer(), []
    model = small_gpt(tokenizer.vocab_size, 32, run.seed)
    batches = skew.JobBatches(BATCH, run.method, run.seed)

    def watched(step: int):
        if step in MARKS:
            curve.append({"step": step, **three_shares(model)})
        return batches(step)

    train(model, watched, SKEWED)
    curve.append({"step": SKEWED.steps, **three_shares(model)})
    shares = {str(t): three_shares(model, t) for t in (1.0, 0.5, 0.0)}
    test = skew.JobBatches(500, "as it is", 99)(0)
    jobs = torch.tensor([tokenizer.ids[job] for job in skew.JOBS.values()])
    nats = story_losses(model, test)[torch.isin(test.targets, jobs)]
    vectors = model.embedding.tokens.weight.detach().double().numpy()
    sets = [
        [n for n in skew.KNOWN if PEOPLE[n].pronoun == pronoun]
        for pronoun in skew.JOBS
    ]
    sets = [[n for n in names if n not in skew.EXCEPTIONS] for names in sets]
    sets += [[job] for job in skew.JOBS.values()]
    X, Y, A, B = (vectors[[tokenizer.ids[w] for w in s]] for s in sets)
    x, y = associations(X, A, B), associations(Y, A, B)
    return [
        {
            "shares": shares,
            "curve": curve,
            "nats": round(float(nats.double().mean()), 4),
            "weat": round(effect_size(x, y), 3),
            "p": round(p_value(x, y), 4),
        }
    ]


def kneser_ney(stories: list[list[str]]) -> KneserNey:
    """A 5-gram of stories, whose outcomes are the words of the town."""
    return KneserNey(stories, 5, town_tokenizer().words)


def end_of_ngram(model: KneserNey) -> Callable:
    """The same probabilities, with the town's END for the end of a text."""

    def p(token: str, context: Any) -> float:
        return model.probability(NGRAM_END if token == END else token, context)

    return p


def measure_unseen(run: Run) -> list[dict[str, Any]]:
    """Excess and impossible mass for each factor."""
    batches, rows = unseen.KnownBatches(BATCH, run.seed), []
    if run.method == "gpt":
        model = small_gpt(town_tokenizer().vocab_size, 96, run.seed)
        train(model, batches, STORIES)

        def predict(story):
            return unseen.gpt_predict(model, story)
    else:
        read = [s for n in range(STORIES.steps) for s in batches.stories(n)]
        p = end_of_ngram(kneser_ney(read))

        def predict(story):
            return p

    for factor in unseen.FACTORS:
        stories = unseen.unseen_stories(factor, 40, run.seed)
        found = unseen.gap(predict, stories, unseen.config_of(factor))
        rows.append(
            {"factor": factor}
            | {name: round(x, 4) for name, x in found._asdict().items()}
        )
    return rows


@lru_cache
def shipped() -> GPT:
    """The town's GPT, with room for longer stories."""
    model = load_pretrained("town-gpt").model
    longer = GPT(dataclasses.replace(model.config, context_length=192))
    longer.load_state_dict(model.state_dict())
    return longer.eval()


@lru_cache
def counted(seed: int) -> KneserNey:
    """Counts of short stories, of one seed."""
    first = FIRST + seed * 10**9
    return kneser_ney(
        [make_story(n, SHORT).tokens for n in range(first, first + COUNTED)]
    )


def story_numbers(seed: int, number: int) -> range:
    """Stories that nothing is trained on, a block for each seed."""
    return range(50_000 + seed * 1_000, 50_000 + seed * 1_000 + number)


def opening(tokens: list[str], config: TownConfig) -> list[str]:
    """The sentences that introduce people and things."""
    stops = [n for n, token in enumerate(tokens) if token == "."]
    return tokens[: stops[config.people + config.things - 1] + 1]


def go_on_counting(
    model: KneserNey, begun: list[str], rng: random.Random
) -> list[str]:
    """What counts say after the beginning of a story."""
    tokens, outcomes = list(begun), list(model.outcomes)
    while len(tokens) < 150:
        weights = [model.probability(w, tokens) for w in outcomes]
        token = rng.choices(outcomes, weights)[0]
        if token == NGRAM_END:
            break
        tokens.append(token)
    return tokens


def go_on(
    prompts: list[list[str]], temperature: float, seed: int
) -> list[list[str]]:
    """What the shipped GPT tells after each beginning, from there on."""
    words = town_tokenizer()
    ids = [words.encode(" ".join([END, *prompt])) for prompt in prompts]
    generator = torch.Generator().manual_seed(seed)
    end = words.ids[END]
    new = generate(
        shipped(), ids, 110, Sampling(temperature), [[end]], generator
    )
    told = [[words.words[id] for id in row] for row in new]
    return [p + t for p, t in zip(prompts, told, strict=True)]


def measure_facts(run: Run) -> list[dict[str, Any]]:
    """Shares of false sentences, by town and temperature."""
    rows, gpt = [], run.method == "gpt"
    for town in ("as trained", "three things"):
        config = TOWNS[town]
        prompts = [
            opening(make_story(n, config).tokens, config)
            for n in story_numbers(run.seed, 100 if gpt else 30)
        ]
        for temperature in TEMPERATURES if gpt else (1.0,):
            if gpt:
                told = go_on(prompts, temperature, run.seed)
            else:
                rng = random.Random(run.seed)
                model = counted(run.seed)
                told = [go_on_counting(model, p, rng) for p in prompts]
            known = config.people + config.things
            judged = [claims(tokens)[known:] for tokens in told]
            firsts, later = [c[:1] for c in judged], [c[1:] for c in judged]
            rows.append(
                {
                    "town": town,
                    "temperature": temperature,
                    "claims": sum(map(len, judged)),
                    "false": round(false_share(judged), 4),
                    "first": round(false_share(firsts), 4),
                    "later": round(false_share(later), 4),
                    "whole": round(
                        sum(all(c.true for c in j) for j in judged)
                        / len(judged),
                        4,
                    ),
                }
            )
    return rows


def mood_logits(run: Run, stories: list) -> np.ndarray:
    """What a model says after "At last NAME was", for each mood (N, 4)."""
    words, names, rows = town_tokenizer(), list(MOODS), []
    for story in stories:
        stop = (
            len(story.tokens)
            - 2
            - len(MOODS[story.mood][story.ending[2]][0].split())
        )
        prompt = [*story.tokens[: stop + 1], "was"]
        if run.method == "gpt":
            ids = words.encode(" ".join([END, *prompt]))
            with evaluating(shipped()):
                logits = shipped()(torch.tensor([ids]))[0, -1].double()
            rows.append([float(logits[words.ids[name]]) for name in names])
        else:
            model = counted(run.seed)
            rows.append(
                [math.log(model.probability(name, prompt)) for name in names]
            )
    return np.array(rows)


def measure_moods(run: Run) -> list[dict[str, Any]]:
    """Accuracy and confidence at the mood of the last sentence, by town."""
    rows = []
    for town, config in TOWNS.items():
        numbers = story_numbers(run.seed, 300)
        stories = [make_story(n, config) for n in numbers]
        labels = [list(MOODS).index(story.mood) for story in stories]
        logits = mood_logits(run, stories)
        bins = reliability(logits, labels)
        right = logits.argmax(1) == labels
        p = np.exp(logits - logits.max(1, keepdims=True))
        confidence = (p / p.sum(1, keepdims=True)).max(1)
        rows.append(
            {
                "town": town,
                "accuracy": round(float(right.mean()), 4),
                "confidence": round(float(confidence.mean()), 4),
                "when wrong": round(float(confidence[~right].mean()), 4)
                if not right.all()
                else None,
                "error": round(calibration_error(bins), 4),
            }
        )
    return rows


MEASURES = {
    "skew": measure_skew,
    "unseen": measure_unseen,
    "facts": measure_facts,
    "moods": measure_moods,
}


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "limits",
        grid(),
        lambda run: MEASURES[run.part](run),
        COMMAND,
        packages=["torch", "numpy"],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
