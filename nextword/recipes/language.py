"""Recipes that train a language model: Tiny Shakespeare and TinyStories."""

from collections.abc import Sequence
from typing import Any

import torch

from nextword import pretraining, tasks
from nextword.batches import TokenBatches
from nextword.evaluation import mean_loss, text_windows
from nextword.generation import Sampling, generate
from nextword.metrics import bits_per_byte
from nextword.muon import Muon
from nextword.public_forms import END_OF_STORY, read_stories
from nextword.recipes.base import FOR_BPE, Outcome, Request, finished, score
from nextword.tokenizer import CharacterTokenizer, train_tokenizer
from nextword.training import fit


def pair_loss(train: Sequence[int], test: Sequence[int], size: int) -> float:
    """The loss, in nats a token, of counted pairs of neighbours.

    p(b | a) = (count of a b + k p(b)) / (count of a + k), with k = 10 and p(b)
    from counts plus one (MacKay and Peto, 1995).
    """
    ids, k = torch.tensor(train), 10.0
    single = torch.bincount(ids, minlength=size).double() + 1
    single /= single.sum()
    pairs = torch.bincount(ids[:-1] * size + ids[1:], minlength=size**2)
    before = torch.bincount(ids[:-1], minlength=size).double()
    a, b = torch.tensor(test[:-1]), torch.tensor(test[1:])
    p = (pairs[a * size + b].double() + k * single[b]) / (before[a] + k)
    return float(-p.log().mean())


def language_model(
    request: Request,
    tokenizer: Any,
    train: list[int],
    test: list[int],
    byte_count: int,
) -> tuple[torch.nn.Module, list[dict]]:
    """A GPT trained on ids, and its scores beside those of counted pairs."""
    size = request.size
    settings = tasks.Settings(
        size.steps,
        size.batch_size,
        size.context_length,
        size.d_model,
        size.n_heads,
        size.n_layers,
        size.lr,
        seed=request.seed,
    )
    batches = TokenBatches(
        torch.tensor(train), size.batch_size, size.context_length, request.seed
    )
    windows = text_windows(test, size.context_length)  # refused before training
    task = tasks.make_task("gpt", tokenizer, settings, batches, {})
    model = pretraining.build(task).to(request.device)
    optimizer = Muon(model, size.lr, task.training.weight_decay)
    history = fit(model, task.loss, batches, task.training, None, optimizer)
    finished(history.losses, size.steps)
    losses = {
        "counted pairs": pair_loss(train, test, tokenizer.vocab_size),
        "GPT": mean_loss(model, windows),
    }
    unit = "nats a token"
    if isinstance(tokenizer, CharacterTokenizer):
        unit = "nats a character"
    scores = []
    for name, loss in losses.items():
        each = bits_per_byte(loss, len(test), byte_count)
        scores += [score(name, unit, loss), score(name, "bits a byte", each)]
    return model, scores


def sample(
    model: torch.nn.Module, first: list[int], seed: int, stop: list[list[int]]
) -> list[int]:
    """What a GPT says after some ids: up to 200, or to the end of its room."""
    room = min(200, model.config.context_length - len(first))
    generator = torch.Generator().manual_seed(seed)
    how = Sampling(0.8)
    return generate(model, [first], room, how, stop, generator)[0]


def shakespeare(request: Request) -> Outcome:
    """A GPT on the characters of Tiny Shakespeare."""
    text = request.paths["text"].read_text(encoding="utf-8")
    text = text[: request.size.train]
    tokenizer = CharacterTokenizer(text)
    train, test = tasks.training_part(text), tasks.validation(text)
    ids = [tokenizer.encode(part) for part in (train, test)]
    model, scores = language_model(
        request, tokenizer, *ids, len(test.encode("utf-8"))
    )
    first = tokenizer.encode("\n" if "\n" in train else train[0])
    told = tokenizer.decode(sample(model, first, request.seed, []))
    data = "the first nine tenths, tested on the last"
    return Outcome(data, len(train), len(test), scores, [told])


def tinystories(request: Request) -> Outcome:
    """A GPT on the stories of TinyStories, in pieces made by BPE."""
    size, own = request.size, request.own or request.paths.get("valid")
    if "train" in request.paths:
        train = read_stories(request.paths["train"], size.train)
        test = read_stories(request.paths["valid"], size.test)
        data = "the training file, tested on the validation file"
    else:
        stories = read_stories(own)
        cut = max(1, len(stories) * 9 // 10)
        train, test = stories[:cut][: size.train], stories[cut:][: size.test]
        data = f"nine tenths of {own.name}, tested on the rest"
    text = "\n".join(train)[:FOR_BPE]
    tokenizer = train_tokenizer(text, size.vocab_size, (END_OF_STORY,))
    end = tokenizer.special_ids[END_OF_STORY]
    ids = [
        [id for story in part for id in (*tokenizer.encode(story), end)]
        for part in (train, test)
    ]
    bytes_of_test = sum(len(story.encode("utf-8")) for story in test)
    model, scores = language_model(request, tokenizer, *ids, bytes_of_test)
    told = tokenizer.decode(sample(model, [end], request.seed, [[end]]))
    return Outcome(data, len(train), len(test), scores, [told])
