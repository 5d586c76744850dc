"""What each command of ``nextword`` does with its options.

Left out: which options there are, and how errors are shown.
"""

import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import torch

from nextword import (
    downloads,
    evaluation,
    pretraining,
    storage,
    tasks,
)
from nextword import recipes as cookbook
from nextword.filling import fill_score, likely_words
from nextword.gaps import held_out_gaps
from nextword.generation import Sampling
from nextword.generation import generate as go_on
from nextword.pretrained import Pretrained, load_pretrained
from nextword.recipes import listing
from nextword.stories import held_out
from nextword.tasks import Settings, Task
from nextword.town import TownConfig
from nextword.words import END, WordTokenizer

INTERRUPTED = 130  # the exit status of what Ctrl-C has stopped


def choose_device(name: str) -> torch.device:
    """The device of that name; ValueError if this computer has none."""
    try:
        device = torch.device(name)
        if device.type == "cuda" and "LOCAL_RANK" in os.environ:
            return device  # torchrun: each process opens its own GPU later
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"This computer has no device {name!r} that PyTorch can use. "
            "Leave --device out, or name another: cpu, cuda, cuda:1, mps."
        ) from error
    return device


def read_text(path: str | None) -> str:
    """The text of a file; ValueError, with a remedy, if there is none."""
    if path is None:
        raise ValueError("Name a file with a text in UTF-8.")
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(
            f"There is no file {path}. Check the name and the folder."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a text in UTF-8: {error}. Convert it first."
        ) from error
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {error.strerror}. Name a file with a text "
            "in UTF-8."
        ) from error


def settings(options: Namespace, base: Settings) -> Settings:
    """The settings of a task, with what the command line asks for."""
    names = [name for name in vars(base) if hasattr(options, name)]
    asked = {name: getattr(options, name) for name in names}
    asked["precision"] = options.dtype
    return replace(base, **{n: x for n, x in asked.items() if x is not None})


def find_task(options: Namespace) -> Task:
    """The task that the command line names."""
    if options.task != "text" and options.file is not None:
        raise ValueError(f"{options.task} takes no file; `text FILE` does.")
    if options.task.startswith("town") and options.vocab_size is not None:
        raise ValueError(
            "The town has its own words. Leave --vocab-size out; `text FILE` "
            "takes it."
        )
    if options.task == "text":
        text = read_text(options.file)
        name = Path(options.file).name
    elif options.task == "shakespeare":
        text = read_text(str(downloads.find(downloads.SHAKESPEARE)))
        name = "Tiny Shakespeare"
    elif options.task == "town-gpt":
        return tasks.town_gpt(settings(options, tasks.TOWN_GPT))
    else:
        return tasks.town_bert(settings(options, tasks.TOWN_BERT))
    asked = settings(options, tasks.TEXT)
    return tasks.text_gpt(text, name, asked, options.vocab_size)


def pretrain(options: Namespace) -> int:
    """Train, and say how it went and what to do next."""
    folder = Path(options.out or f"runs/{options.task}")
    device = choose_device(options.device)
    task = find_task(options)
    history = pretraining.pretrain(
        task, folder, options.line, device, options.compile, options.mode
    )
    if history is None:
        return 0  # another process of torchrun says it
    done, steps = len(history.losses), task.training.steps
    if done < steps:
        print(
            f"Stopped after {done} of {steps} steps. The same command goes on."
        )
        return INTERRUPTED
    print(f"{steps} steps, loss {history.losses[-1]:.4f}. See {folder}.")
    if task.kind == "gpt":
        pretrained = load_pretrained(folder, device)
        text = "\n\n".join(say(pretrained, "", 120, 3))
        storage.write_text(folder / "samples.txt", text + "\n")
        print(text)
    return 0


def say(
    pretrained: Pretrained,
    prompt: str,
    tokens: int,
    samples: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> list[str]:
    """Texts that begin with the prompt and that a GPT goes on with.

    Without a prompt the model sees END, or a line break, or if it knows none
    the first of its characters. That is not printed.
    """
    model, tokenizer, _ = pretrained
    ids, stop = tokenizer.encode(prompt), []
    if isinstance(tokenizer, WordTokenizer):
        end = tokenizer.ids[END]
        ids, stop = [end, *ids], [[end]]
    elif not ids:
        of_text = getattr(tokenizer, "characters", "\n")
        ids = tokenizer.encode("\n" if "\n" in of_text else of_text[0])
    room = model.config.context_length - len(ids)
    check_prompt(len(ids), model.config.context_length - 1)
    generator = torch.Generator().manual_seed(seed)
    texts = go_on(
        model,
        [ids] * samples,
        min(tokens, room),
        sampling or Sampling(),
        stop,
        generator,
    )
    space = " " if isinstance(tokenizer, WordTokenizer) and prompt else ""
    return [prompt + space + tokenizer.decode(text) for text in texts]


def check_prompt(tokens: int, most: int) -> None:
    """Raise ValueError for a prompt that leaves no room."""
    if tokens > most:
        raise ValueError(
            f"The prompt has {tokens} tokens, but at most {most} fit into the "
            "context. Shorten it."
        )


def fill(pretrained: Pretrained, prompt: str) -> list[str]:
    """The likeliest words for each mask of a prompt, one line a mask."""
    model, tokenizer, _ = pretrained
    return [
        ", ".join(f"{word} {p:.2f}" for word, p in words.items())
        for words in likely_words(model, tokenizer, prompt)
    ]


def generate(options: Namespace) -> int:
    """Print what a GPT says, or what a BERT fills in."""
    tasks.check_seed(options.seed)
    device = choose_device(options.device)
    pretrained = load_pretrained(options.checkpoint, device)
    if pretrained.card.kind == "bert":
        print("\n".join(fill(pretrained, options.prompt)))
        return 0
    if min(options.tokens, options.samples) < 1:
        raise ValueError("Choose --tokens and --samples of 1 or more.")
    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    texts = say(
        pretrained,
        options.prompt,
        options.tokens,
        options.samples,
        sampling,
        options.seed,
    )
    print("\n\n".join(texts))
    return 0


def evaluate_town(
    pretrained: Pretrained, stories: int, samples: int
) -> dict[str, float]:
    """What a model of the town reaches, on stories like those it read."""
    model, config = (
        pretrained.model,
        TownConfig(**pretrained.card.data["config"]),
    )
    if pretrained.card.kind == "bert":
        score = fill_score(model, held_out_gaps(stories, config))
        return {
            "stories": stories,
            "loss": score.loss,
            "accuracy": score.accuracy,
        }
    batch, floor = held_out(stories, config)
    loss = evaluation.mean_loss(model, batch)
    told = evaluation.sample_stories(model, samples)
    return {
        "stories": stories,
        "loss": loss,
        "floor": floor,
        "loss / floor": loss / floor,
        "legal share of samples": evaluation.legal_share(told, config),
    }


def evaluate(options: Namespace) -> int:
    """Print what a model reaches on texts that it was not trained on."""
    device = choose_device(options.device)
    pretrained = load_pretrained(options.checkpoint, device)
    of_town = isinstance(pretrained.tokenizer, WordTokenizer)
    if of_town and options.file is not None:
        raise ValueError(
            f"{options.checkpoint} knows the town alone. Leave the file out."
        )
    if min(options.stories, options.samples) < 1:
        raise ValueError("Choose --stories and --samples of 1 or more.")
    if not of_town:
        text = tasks.validation(read_text(options.file))
        model, tokenizer, _ = pretrained
        found = evaluation.text_score(model, tokenizer, text)
    else:
        found = evaluate_town(pretrained, options.stories, options.samples)
    for name, value in found.items():
        form = ",d" if isinstance(value, int) else ".4f"
        print(f"{name}: {value:{form}}")
    return 0


def recipes(options: Namespace) -> int:
    """List the recipes, show one, or run one and keep its record."""
    if options.action == "list":
        print(listing.table())
        return 0
    recipe = listing.find_recipe(options.name)
    if options.action == "show":
        print(listing.describe(recipe, options.language))
        return 0
    tasks.check_seed(options.seed)
    content = cookbook.run(
        recipe.name,
        options.line,
        seed=options.seed,
        device=choose_device(options.device),
        steps=options.steps,
        full=options.full,
        language=options.language,
        own=options.file,
        say=lambda line: print(line, flush=True),
    )
    path = Path(options.out or f"runs/recipes/{recipe.name}.json")
    cookbook.write(content, path)
    print("\n".join(cookbook.report(content)))
    print(f"See {path}.")
    return 0
