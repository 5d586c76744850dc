"""Examples in a prompt, instructions and preferences, over five seeds.

    python -m benchmarks.prompting

Small GPTs learn to read examples; the shipped GPT of the town is prompted, then
fine-tuned on instructions, then on preferences. It writes
``benchmarks/results/prompting.json`` after each run, and the copy in
``nextword/data`` that chapter 20 draws. Stop it at any time: the same command
goes on with the runs that are missing.
"""

import math
import random
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks import record
from nextword import instructions, preferences, prompting
from nextword.blocks import TransformerConfig
from nextword.evaluation import mean_loss, sample_stories
from nextword.finetuning import renew_rows
from nextword.generation import Sampling, evaluating, generate
from nextword.losses import IGNORE
from nextword.muon import Muon
from nextword.preferences import Preference
from nextword.pretrained import load_pretrained
from nextword.stories import FIRST, SHORT, held_out
from nextword.town import make_story
from nextword.town_score import is_legal
from nextword.town_words import PEOPLE, THINGS
from nextword.training import TrainConfig, fit, language_loss
from nextword.transformer import GPT, initialise
from nextword.words import END, town_tokenizer

COMMAND = "python -m benchmarks.prompting"
SEEDS = range(5)
EXAMPLES = 12  # pairs in a prompt
CONTEXT = TrainConfig(800, 1e-2, warmup=50)
TUNING = TrainConfig(240, 2e-3, warmup=20)
REWARD = TrainConfig(60, 3e-4, warmup=6)
DPO = TrainConfig(40, 3e-4, warmup=4)
BATCH = 16  # stories with an instruction, or pairs for a reward model
PAIRS = 8  # pairs for DPO
BETAS = (0.03, 0.1, 1.0)
KINDS = ("old rule", "old free", "new free", "new rule")
NOTES = [
    "context: accuracy by the number of pairs before the question, on 500 "
    "prompts of a kind; bayes and copied: two readers of the same prompts.",
    "town: the shipped town-gpt, prompted and not trained; share of 200 "
    "questions whose right word has the largest logit of the possible ones.",
    "instructions: shares of 300 stories for held-out wishes that obey, are "
    "legal, are both; excess: nats a target over the floor, plain stories.",
    "preferences: shares of 300 answers to held-out beginnings; kl: nats an "
    "answer from the reference; entropy: nats an answer of the model itself.",
    "length: of the policies legal 1.0. legal: as in preferences; plain: of 600 "
    "answers of the reference to other and the same held-out beginnings; "
    "matched: what these have at the policy's lengths, in groups of four words.",
    "Learning rates and numbers of steps were chosen on seeds from 50 on, "
    "which the record does not hold.",
]


class Run(NamedTuple):
    """One part of the chapter, one way to do it, one seed."""

    part: str
    method: str
    seed: int


def context_model(method: str, seed: int) -> GPT:
    """A small GPT that was trained on prompts."""
    torch.manual_seed(seed)
    sizes = TransformerConfig(
        2 * prompting.N, 2 * EXAMPLES, 64, 4, 2, positions="rotary"
    )
    model = GPT(sizes)
    initialise(model, 0.5 / math.sqrt(sizes.d_model))
    number = 0 if method == "fresh" else int(method)
    batches = prompting.PromptBatches(64, EXAMPLES, seed, number)
    muon = Muon(model, CONTEXT.lr, CONTEXT.weight_decay)
    fit(model, language_loss, batches, CONTEXT, None, muon)
    return model


def test_prompts(kind: str, number: int = 500) -> list[tuple]:
    """The same prompts of a kind for all models: mapping and letters."""
    rng = random.Random(f"test {kind}")
    return [
        (
            prompting.draw_mapping(kind, rng),
            rng.choices(range(prompting.N), k=EXAMPLES),
        )
        for _ in range(number)
    ]


@lru_cache
def readers(kind: str) -> dict[str, list[float]]:
    """Accuracy by the number of pairs of those who need no training."""
    every = sum(prompting.RULES.values(), ())
    ways = {
        "bayes": prompting.bayes,
        "copied": prompting.copied,
        "all rules": lambda pairs, x: prompting.bayes(pairs, x, every),
    }
    prompts, answers = test_prompts(kind), {}
    for name, way in ways.items():
        hits = [[0.0] * EXAMPLES for _ in prompts]
        for row, (mapping, letters) in zip(hits, prompts, strict=True):
            pairs = [(x, mapping[x]) for x in letters]
            for k, (x, y) in enumerate(pairs):
                row[k] = prompting.hit(way(pairs[:k], x), y)
        answers[name] = means(hits)
    return answers


def means(rows: list[list[float]]) -> list[float]:
    """The mean of each column."""
    return [round(sum(c) / len(c), 4) for c in zip(*rows, strict=True)]


def measure_context(run: Run) -> list[dict[str, Any]]:
    model, rows = context_model(run.method, run.seed), []
    for kind in KINDS:
        ids = [prompting.prompt_ids(*prompt) for prompt in test_prompts(kind)]
        batch = prompting.prompt_batch(ids)
        with evaluating(model):
            said = model(batch.ids)[:, ::2].argmax(-1)  # (B, T)
        right = (said == batch.targets[:, ::2]).double().mean(0)
        accuracy = [round(x, 4) for x in right.tolist()]
        loss = round(mean_loss(model, batch), 4)
        rows.append(
            {"kind": kind, "accuracy": accuracy, "loss": loss, **readers(kind)}
        )
    return rows


def measure_town(run: Run) -> list[dict[str, Any]]:
    """Questions with examples before them; the weights stay as they are."""
    model, tokenizer, _ = load_pretrained("town-gpt")
    rng = random.Random(f"town {run.method} {run.seed}")
    rows = []
    for shots in (0, 1, 2, 4, 8):
        right = 0
        for _ in range(200):
            examples, question, answer, choices = town_question(
                run.method, shots, rng
            )
            words = [END, *prompting.few_shot(examples, question)]
            with evaluating(model):
                ids = torch.tensor([tokenizer.encode(" ".join(words))])
                logits = model(ids)[0, -1]  # (V,)
            best = max(choices, key=lambda word: logits[tokenizer.ids[word]])
            right += best == answer
        rows.append({"shots": shots, "accuracy": right / 200})
    return rows


def town_question(method: str, shots: int, rng: random.Random) -> tuple:
    """Examples, question, answer, possible answers.

    "pronoun": the pronoun of a new person. "again": the thing of a person who
    was in the examples; with no example, of any.
    """
    people = rng.sample(sorted(PEOPLE), shots + 1)
    if method == "pronoun":
        pairs = [(p, PEOPLE[p].pronoun.capitalize()) for p in people]
        return pairs[:-1], *pairs[-1], ("She", "He")
    things = rng.sample(sorted(THINGS), shots + 1)
    pairs = list(zip(people, things, strict=True))
    examples = pairs[:-1]
    question, answer = rng.choice(examples or pairs)
    return examples, question, answer, sorted(THINGS)


def new_town_gpt(method: str, seed: int) -> GPT:
    """The shipped GPT with fresh rows for new words, or an untrained one."""
    model, tokenizer, _ = load_pretrained("town-gpt")
    if method == "scratch":
        torch.manual_seed(seed)
        initialise(model, 0.5 / math.sqrt(model.config.d_model))
        return model
    rows = [tokenizer.ids[word] for word in instructions.NEW_WORDS]
    renew_rows(model.embedding.tokens, rows, seed)
    return model


def answers(
    model: nn.Module, prompts: list[list[int]], seed: int, room: int = 66
) -> list[list[int]]:
    """One answer to each prompt, with the id of END where it ends in time."""
    generator = torch.Generator().manual_seed(seed)
    end, found = town_tokenizer().ids[END], []
    for first in range(0, len(prompts), 300):
        part = prompts[first : first + 300]
        made = generate(model, part, room, Sampling(), [[end]], generator)
        found += [a if len(a) == room else [*a, end] for a in made]
    return found


def words_of(ids) -> list[str]:
    """The words of ids, without signs."""
    tokenizer = town_tokenizer()
    end = tokenizer.ids[END]
    return [tokenizer.words[id] for id in ids if id != end]


@lru_cache
def plain() -> tuple:
    """Held-out stories without an instruction, and their floor."""
    return held_out(200, SHORT)


def excess(model: nn.Module) -> float:
    """Nats a target over the floor, on stories without an instruction."""
    batch, floor = plain()
    return round(mean_loss(model, batch) - floor, 5)


def share(values) -> float:
    """The share of the true ones."""
    values = list(values)
    return round(sum(values) / len(values), 4)


def held_out_wishes(number: int) -> list[dict[str, str]]:
    """Wishes that the stories 0 to number - 1 fulfil; no training has them."""
    return [
        instructions.draw_wish(
            make_story(n, SHORT).tokens, random.Random(f"held out {n}")
        )
        for n in range(number)
    ]


def measure_instructions(run: Run) -> list[dict[str, Any]]:
    model = new_town_gpt(run.method, run.seed)
    batches = instructions.InstructionBatches(
        BATCH, 100 + run.seed, run.method == "everything"
    )
    # From nothing, a larger rate was better.
    lr = 3e-3 if run.method == "scratch" else TUNING.lr
    config = TrainConfig(TUNING.steps, lr, warmup=TUNING.warmup)
    if run.method != "none":
        fit(model, language_loss, batches, config)
    wishes = held_out_wishes(300)
    ids = town_tokenizer().ids
    prompts = [[ids[w] for w in instructions.instruction(x)] for x in wishes]
    stories = [
        words_of(a) for a in answers(model, prompts, 1000 + run.seed, 80)
    ]
    pairs = list(zip(stories, wishes, strict=True))
    obey = [instructions.obeys(*pair) for pair in pairs]
    legal = [is_legal(story, SHORT) for story in stories]
    mood = [p for p in pairs if "mood" in p[1]]
    rows = {
        f"obeys {n}": share(
            o for o, w in zip(obey, wishes, strict=True) if len(w) == n
        )
        for n in (1, 2, 3)
    }
    return [
        {
            "obeys": share(obey),
            **rows,
            "mood": share(
                instructions.obeys(s, {"mood": w["mood"]}) for s, w in mood
            ),
            "legal": share(legal),
            "both": share(o and g for o, g in zip(obey, legal, strict=True)),
            "excess": excess(model),
        }
    ]


def measure_rejection(run: Run) -> list[dict[str, Any]]:
    """Told without wishes; the first of n stories that obeys is taken."""
    model, _, _ = load_pretrained("town-gpt")
    stories = sample_stories(model, 1000, 2000 + run.seed)
    legal = [is_legal(story, SHORT) for story in stories]
    wishes = held_out_wishes(300)
    rows = []
    for n in (1, 4, 16, 64, 256):
        rng, right, both = random.Random(f"tries {run.seed} {n}"), [], []
        for wish in wishes:
            tries = rng.sample(range(len(stories)), n)
            obey = [i for i in tries if instructions.obeys(stories[i], wish)]
            right.append(bool(obey))
            both.append(any(legal[i] for i in obey))
        rows.append({"tries": n, "obeys": share(right), "both": share(both)})
    return rows


def beginnings(first: int, number: int) -> list[list[int]]:
    """END and who and what is where, of stories from this number on."""
    ids, found = town_tokenizer().ids, []
    for n in range(first, first + number):
        story = make_story(n, SHORT)
        sentences = len(story.start)
        ends = [i for i, w in enumerate(story.tokens) if w == "."]
        words = [END, *story.tokens[: ends[sentences - 1] + 1]]
        found.append([ids[word] for word in words])
    return found


def whole(prompt: list[int], answer: list[int]) -> list[str] | None:
    """The words of a story that came to its end; None for one that did not."""
    end = town_tokenizer().ids[END]
    return words_of([*prompt, *answer]) if answer[-1] == end else None


def judge(goal: str, prompt: list[int], answer: list[int]) -> bool:
    """Whether an answer is legal, or ends happily."""
    story = whole(prompt, answer)
    if story is None:
        return False
    if goal == "happy":
        return instructions.facts(story)["mood"] == ["happy"]
    return is_legal(story, SHORT)


@lru_cache(maxsize=2)
def answer_pairs(seed: int, number: int = 1000) -> list[tuple]:
    """Two answers of the shipped GPT to each of many beginnings."""
    model, _, _ = load_pretrained("town-gpt")
    prompts = beginnings(FIRST + (200 + seed) * 10**9, number)
    made = answers(model, prompts + prompts, 3000 + seed)
    return list(zip(prompts, made[:number], made[number:], strict=True))


def preferences_of(goal: str, seed: int, number: int = 1000) -> list:
    """The pairs of which the judge prefers one."""
    pairs = []
    for prompt, one, two in answer_pairs(seed, number):
        first, second = judge(goal, prompt, one), judge(goal, prompt, two)
        if first != second:
            order = (one, two) if first else (two, one)
            pairs.append(Preference(prompt, *order))
    return pairs


def sums(model: nn.Module, rows: list) -> torch.Tensor:
    """The ln P of the answers of (prompt, answer) rows."""
    parts = []
    with evaluating(model):
        for first in range(0, len(rows), 100):
            batch = instructions.answer_batch(rows[first : first + 100])
            parts.append(preferences.log_probabilities(model, *batch))
    return torch.cat(parts)


def preference_batches(pairs: list, size: int, seed: int) -> Any:
    """Batches of pairs with what the shipped GPT gives to their answers."""
    model, _, _ = load_pretrained("town-gpt")
    reference = torch.stack(
        [
            sums(model, [(p.prompt, p.chosen) for p in pairs]),
            sums(model, [(p.prompt, p.rejected) for p in pairs]),
        ]
    )
    return preferences.PreferenceBatches(pairs, reference, size, seed)


def chosen_loss(model: nn.Module, batch: Any) -> tuple[torch.Tensor, int]:
    """The language loss of the chosen answers alone."""
    B = len(batch.ids) // 2
    losses = preferences.log_probabilities(
        model, batch.ids[:B], batch.targets[:B]
    )
    return -losses.sum(), int((batch.targets[:B] != IGNORE).sum())


def policy_of(run: Run) -> tuple[nn.Module, int]:
    """The shipped GPT after its preferences, and how many pairs it had."""
    model, _, _ = load_pretrained("town-gpt")
    goal, _, way = run.method.partition(" ")
    if way == "before":
        return model, 0
    pairs = preferences_of(goal, run.seed)
    loss = chosen_loss
    if way != "chosen":
        loss = preferences.dpo_pair_loss(float(way))
    fit(model, loss, preference_batches(pairs, PAIRS, run.seed), DPO)
    return model, len(pairs)


def told(model: nn.Module, number: int, seed: int) -> list[tuple[int, bool]]:
    """Length and legality of the answers to held-out beginnings."""
    prompts = beginnings(300, number)
    rows = zip(prompts, answers(model, prompts, seed), strict=True)
    return [(len(answer), judge("legal", x, answer)) for x, answer in rows]


def measure_length(run: Run) -> list[dict[str, Any]]:
    """How many more answers are legal, and what their length alone explains."""
    model, shipped = policy_of(run)[0], load_pretrained("town-gpt").model
    ours, theirs = (
        told(model, 300, 4000 + run.seed),
        told(shipped, 600, 4500 + run.seed),
    )
    groups: dict[int, list[bool]] = {}
    for length, legal in theirs:
        groups.setdefault(length // 4, []).append(legal)
    alike = [groups[n // 4] for n, _ in ours if n // 4 in groups]
    return [
        {
            "legal": share(legal for _, legal in ours),
            "plain": share(legal for _, legal in theirs),
            "matched": round(
                sum(sum(group) / len(group) for group in alike) / len(alike), 4
            ),
        }
    ]


def measure_preferences(run: Run) -> list[dict[str, Any]]:
    shipped, _, _ = load_pretrained("town-gpt")
    model, number = policy_of(run)
    prompts = beginnings(300, 300)
    made = answers(model, prompts, 4000 + run.seed)
    rows = list(zip(prompts, made, strict=True))
    ours, theirs = sums(model, rows), sums(shipped, rows)
    return [
        {
            "pairs": number,
            "legal": share(judge("legal", *row) for row in rows),
            "happy": share(judge("happy", *row) for row in rows),
            "kl": round(float((ours - theirs).mean()), 4),
            "entropy": round(float(-ours.mean()), 4),
            "length": round(sum(map(len, made)) / len(made), 3),
            "excess": excess(model),
        }
    ]


@lru_cache
def contest(number: int = 100, n: int = 16) -> tuple[list, list[bool]]:
    """Several answers to each of many held-out beginnings, and which are legal."""
    model, _, _ = load_pretrained("town-gpt")
    prompts = [p for p in beginnings(700, number) for _ in range(n)]
    rows = list(zip(prompts, answers(model, prompts, 5000), strict=True))
    return rows, [judge("legal", *row) for row in rows]


def measure_reward(run: Run) -> list[dict[str, Any]]:
    """A reward model learns what is legal; the best of n is told."""
    pairs = preferences_of("legal", run.seed)
    body, _, _ = load_pretrained("town-gpt")
    model = preferences.RewardModel(body)
    batches = preference_batches(pairs, BATCH, run.seed)
    fit(model, preferences.reward_pair_loss, batches, REWARD)
    rows, legal = contest()
    with evaluating(model):
        rewards = torch.cat(
            [
                model(*instructions.answer_batch(rows[i : i + 100]))
                for i in range(0, len(rows), 100)
            ]
        ).view(-1, 16)
    gold = torch.tensor(legal).view(-1, 16)
    good, bad = rewards[:, :, None], rewards[:, None, :]
    asked = gold[:, :, None] & ~gold[:, None, :]
    right = float((good > bad)[asked].double().mean())
    found = []
    for n in (1, 2, 4, 8, 16):
        best = rewards[:, :n].argmax(1, keepdim=True)
        found.append(
            {
                "tries": n,
                "reward": round(float(rewards.gather(1, best).mean()), 4),
                "legal": round(float(gold.gather(1, best).double().mean()), 4),
                "any": round(float(gold[:, :n].any(1).double().mean()), 4),
                "pairs_right": round(right, 4),
                "pairs": len(pairs),
            }
        )
    return found


MEASURES = {
    "context": measure_context,
    "town": measure_town,
    "instructions": measure_instructions,
    "rejection": measure_rejection,
    "preferences": measure_preferences,
    "reward": measure_reward,
    "length": measure_length,
}


def grid(seeds=SEEDS) -> list[Run]:
    """Every run, in an order in which each beginning is of use.

    Those of one seed of preferences stand together, for they share answers.
    """
    methods = [("context", "fresh"), ("instructions", "answer")]
    methods += [("instructions", "none"), ("rejection", "shipped")]
    methods += [("town", "again"), ("town", "pronoun")]
    runs = [Run(*method, seed) for method in methods for seed in seeds]
    ways = [f"legal {way}" for way in ("before", "chosen", *BETAS)]
    for seed in seeds:
        runs += [Run("preferences", w, seed) for w in (*ways, "happy 0.03")]
        runs.append(Run("reward", "legal", seed))
    more = [("instructions", "everything"), ("context", "4")]
    more += [("instructions", "scratch"), ("preferences", "happy 1.0")]
    more.append(("length", "legal 1.0"))
    return runs + [Run(*method, seed) for method in more for seed in seeds]


def main() -> None:
    torch.set_num_threads(1)
    record.run_grid(
        "prompting",
        grid(),
        lambda run: MEASURES[run.part](run),
        COMMAND,
        packages=["torch"],
        notes=NOTES,
    )


if __name__ == "__main__":
    sys.exit(main())
