"""The command line: ``nextword pretrain · generate · evaluate · recipes``, ..."""

import argparse
import errno
import importlib
import shlex
import sys
from collections import defaultdict

from nextword import __version__
from nextword.exercises import all_exercises, progress

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status, 0 for success."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    options.line = shlex.join(["nextword", *arguments])
    # A console that has no ✓ shows a question mark instead of failing.
    sys.stdout.reconfigure(errors="replace")
    try:
        return run(options)
    except ValueError as error:
        status, text = 1, str(error)
    except OSError as error:
        status, text = 1, f"{error}. {remedy(error)}"
    except KeyboardInterrupt:
        status = 130
        text = (
            "Stopped at once. The same command goes on from the last "
            "checkpoint, or begins again."
        )
    print("nextword:", " ".join(text.splitlines()), file=sys.stderr)
    return status


def run(options: argparse.Namespace) -> int:
    """Run the command of these options; the exit status."""
    if options.command == "progress":
        print(progress_report())
        return 0
    # Not before now: to import PyTorch takes seconds.
    commands = importlib.import_module("nextword.commands")
    return getattr(commands, options.command)(options)


def remedy(error: OSError) -> str:
    """What to do where a file could not be read or written."""
    if error.errno in FULL:
        return (
            "What the file held before is still there. Free some space, then "
            "run the same command again."
        )
    return "Check this path and your rights to it, then run the command again."


def parser() -> argparse.ArgumentParser:
    """The commands and what each of them takes."""
    top = argparse.ArgumentParser(
        prog="nextword", description="Companion of the course Next Word."
    )
    top.add_argument("--version", action="version", version=__version__)
    every = top.add_subparsers(dest="command", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return every.add_parser(name, help=text, description=text)

    add_pretrain(add("pretrain", "train a model from nothing"))
    add_generate(add("generate", "let a model go on with a text"))
    add_evaluate(add("evaluate", "measure a model on new texts"))
    add_recipes(add("recipes", "train and measure on public data sets"))
    add("progress", "show which exercises you have solved")
    return top


def add_pretrain(new: argparse.ArgumentParser) -> None:
    """What ``pretrain`` takes."""
    tasks = ("town-gpt", "town-bert", "text", "shakespeare")
    new.add_argument("task", choices=tasks)
    new.add_argument("file", nargs="?", help="the text, in UTF-8, for `text`")
    new.add_argument("--out", help="the folder of the run [runs/TASK]")
    for name in (
        "steps",
        "batch-size",
        "context-length",
        "d-model",
        "n-heads",
        "n-layers",
        "warmup",
        "seed",
        "save-every",
    ):
        new.add_argument(f"--{name}", type=int)
    new.add_argument("--lr", type=float, help="the peak learning rate")
    new.add_argument("--dtype", choices=("float32", "bfloat16"))
    new.add_argument(
        "--vocab-size", type=int, help="BPE tokens instead of characters"
    )
    new.add_argument("--device", default="cpu", help="cpu, cuda, … [cpu]")
    new.add_argument("--compile", action="store_true", help="torch.compile")
    new.add_argument(
        "--mode", choices=("ddp", "fsdp"), default="ddp", help="under torchrun"
    )


def add_generate(new: argparse.ArgumentParser) -> None:
    """What ``generate`` takes."""
    new.add_argument("--checkpoint", required=True, help="folder or name")
    new.add_argument("--prompt", default="", help="what the text begins with")
    new.add_argument("--tokens", type=int, default=100, help="at most [100]")
    new.add_argument("--samples", type=int, default=1, help="how many [1]")
    new.add_argument("--temperature", type=float, default=1.0)
    new.add_argument("--top-k", type=int)
    new.add_argument("--top-p", type=float)
    new.add_argument("--seed", type=int, default=0)
    new.add_argument("--device", default="cpu")


def add_evaluate(new: argparse.ArgumentParser) -> None:
    """What ``evaluate`` takes."""
    new.add_argument("--checkpoint", required=True, help="folder or name")
    new.add_argument("file", nargs="?", help="a text, for a model of texts")
    new.add_argument("--stories", type=int, default=300, help="of the town")
    new.add_argument("--samples", type=int, default=100, help="to be legal")
    new.add_argument("--device", default="cpu")


def add_recipes(new: argparse.ArgumentParser) -> None:
    """What ``recipes`` takes."""
    new.add_argument("action", choices=("list", "show", "run"))
    new.add_argument("name", nargs="?", help="a recipe, for `show` and `run`")
    new.add_argument("--seed", type=int, default=0, help="of the run [0]")
    new.add_argument("--device", default="cpu", help="cpu, cuda, … [cpu]")
    new.add_argument("--steps", type=int, help="instead of the recipe's own")
    new.add_argument(
        "--full", action="store_true", help="the large size, for a GPU"
    )
    new.add_argument("--language", help="of multi30k: fr or de [fr]")
    new.add_argument("--file", help="your own data, for squad and tinystories")
    new.add_argument("--out", help="the record [runs/recipes/NAME.json]")


def progress_report() -> str:
    """One line a chapter, one mark an exercise: ✓ solved, ○ open."""
    solved = progress.solved()
    chapters = defaultdict(list)
    for exercise in all_exercises():
        chapters[exercise.chapter].append(exercise)
    lines = []
    for chapter, exercises in chapters.items():
        lines.append(f"Chapter {chapter}")
        for exercise in exercises:
            day = solved.get(exercise.id)
            mark, note = ("✓", f"  ({day})") if day else ("○", "")
            lines.append(f"  {mark} {exercise.id}  {exercise.title}{note}")
    known = [e.id for exercises in chapters.values() for e in exercises]
    done = sum(id in solved for id in known)
    lines.append(
        f"{done} of {len(known)} exercises solved. Kept in {progress.path()}"
    )
    return "\n".join(lines)
