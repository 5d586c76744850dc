"""Time byte-pair encoding: ours, by recounting, and Hugging Face's.

    python -m benchmarks.tokenizer

It trains and encodes on 1 MB of text and writes what it measured to
``benchmarks/results/tokenizer.json``. The text is Tiny Shakespeare if the folder
that ``NEXTWORD_DATA`` names holds it, else Python's manual and then the source
of Python's library. Every method runs in one thread, one after the other, and
its merges are checked to be the same. The whole takes about six minutes, most
of it for recounting, which is the algorithm as it is defined: after each merge
it counts all pairs again.
"""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from benchmarks import record
from nextword.tokenizer import (
    Pair,
    Tokenizer,
    byte_ids,
    count_pairs,
    count_words,
    merge_pair,
    split_text,
    train_bpe,
)

COMMAND = "python -m benchmarks.tokenizer"
SIZE = 1_000_000  # bytes of text


def corpus() -> tuple[str, str]:
    """A name and 1 MB of text, without a download."""
    path = Path(os.environ.get("NEXTWORD_DATA", "")) / "tinyshakespeare.txt"
    if path.is_file():
        return "Tiny Shakespeare", cut(path.read_text(encoding="utf-8"))
    texts = [topics[name] for name in sorted(topics)]
    for source in sorted(Path(os.__file__).parent.glob("*.py")):
        texts.append(source.read_text(encoding="utf-8"))
    return "Python's manual and library", cut("\n\n".join(texts))


def cut(text: str) -> str:
    """The first `SIZE` bytes, without half a character at the end."""
    return text.encode("utf-8")[:SIZE].decode("utf-8", errors="ignore")


def best(counts: Counter) -> Pair:
    """The most frequent pair, of equals the one with smaller ids."""
    return min(counts, key=lambda pair: (-counts[pair], pair))


def recount_text(text: str, n_merges: int) -> list[Pair]:
    """The definition: count every pair of the whole text after each merge."""
    pieces = [byte_ids(piece) for piece in split_text(text)]
    merges: list[Pair] = []
    for new_id in range(256, 256 + n_merges):
        counts = Counter(pair for ids in pieces for pair in pairwise(ids))
        merges.append(best(counts))
        pieces = [merge_pair(ids, merges[-1], new_id) for ids in pieces]
    return merges


def recount_words(text: str, n_merges: int) -> list[Pair]:
    """The same on each different piece once, with its count."""
    words = count_words(text)
    merges: list[Pair] = []
    for new_id in range(256, 256 + n_merges):
        merges.append(best(count_pairs(words)))
        words = {
            merge_pair(ids, merges[-1], new_id): count
            for ids, count in words.items()
        }
    return merges


def update_counts(text: str, n_merges: int) -> list[Pair]:
    """Ours: counts kept up to date."""
    return train_bpe(count_words(text), n_merges)


def hugging_face(text: str, n_merges: int) -> tokenizers.Tokenizer:
    """The peer, written in Rust."""
    peer = tokenizers.Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    peer.train_from_iterator([text], trainer)
    return peer


def peer_merges(peer: tokenizers.Tokenizer) -> list[Pair]:
    """Its merges as pairs of ids."""
    ids = peer.get_vocab()
    merges = json.loads(peer.to_str())["model"]["merges"]
    return [(ids[left], ids[right]) for left, right in merges]


def timed(task: Callable, runs: int) -> tuple[list[float], object]:
    """The seconds of every run, and the last result."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = task()
        seconds.append(round(time.perf_counter() - start, 4))
    return seconds, result


def row(task: str, method: str, merges: int, seconds: list[float]) -> dict:
    """One row of the record; it is printed too."""
    made = {
        "task": task,
        "method": method,
        "merges": merges,
        "seconds": statistics.median(seconds),
        "runs": seconds,
    }
    print(
        f"{task:8} {method:32} {merges:5} {made['seconds']:9.3f} s", flush=True
    )
    return made


def main() -> None:
    name, text = corpus()
    plan = [  # method, function, number of merges -> number of runs
        ("counts kept up to date", update_counts, {64: 5, 512: 5, 4096: 5}),
        ("hugging face", hugging_face, {64: 5, 512: 5, 4096: 5}),
        (
            "recounting, each piece once",
            recount_words,
            {64: 3, 512: 3, 4096: 1},
        ),
        ("recounting, whole text", recount_text, {64: 1}),
    ]
    rows, made = [], {}
    for method, train, sizes in plan:
        for merges, runs in sizes.items():
            seconds, result = timed(lambda t=train, m=merges: t(text, m), runs)
            rows.append(row("train", method, merges, seconds))
            if isinstance(result, tokenizers.Tokenizer):
                peer, result = result, peer_merges(result)
            assert made.setdefault(merges, result) == result, (method, merges)
    ours = Tokenizer(made[4096])
    seconds, ids = timed(lambda: Tokenizer(made[4096]).encode(text), 5)
    rows.append(row("encode", "ours, cache empty", 4096, seconds))
    ours.encode(text)
    seconds, again = timed(lambda: ours.encode(text), 5)
    rows.append(row("encode", "ours, cache filled", 4096, seconds))
    seconds, theirs = timed(lambda: peer.encode(text).ids, 5)
    rows.append(row("encode", "hugging face", 4096, seconds))
    assert ids == again == theirs
    notes = [
        f"Text: {name}, {len(text.encode('utf-8')):,} bytes, "
        f"{len(count_words(text)):,} different pieces.",
        "Seconds are the median of the runs. One thread; the machine was shared.",
        "All methods made the same merges and the same ids.",
    ]
    packages = ["tokenizers", "regex"]
    record.write("tokenizer", rows, COMMAND, packages=packages, notes=notes)


if __name__ == "__main__":
    main()
