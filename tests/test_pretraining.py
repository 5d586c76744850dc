"""Pretraining: tasks, folders, and runs that go on after any interruption."""

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nextword import cli, storage
from nextword.checkpoints import read_checkpoint
from nextword.gaps import WITH_RECAPS
from nextword.losses import IGNORE
from nextword.pretrained import ModelCard, load_pretrained
from nextword.pretraining import build, open_folder, pretrain
from nextword.stories import FIRST, SHORT, story_batch
from nextword.tasks import (
    TEXT,
    TOWN_BERT,
    TOWN_GPT,
    Settings,
    longest_story,
    text_gpt,
    town_bert,
    town_data,
    town_gpt,
    training_part,
    validation,
)
from nextword.tokenizer import CharacterTokenizer, Tokenizer
from nextword.town import TownConfig, make_story
from nextword.words import MASK, town_tokenizer

ROOT = Path(__file__).parent.parent
WORDS = "the cat saw a dog and it ran to her house 猫\n"
STORY = "".join(random.Random(4).choices(WORDS, k=3000))
TINY = Settings(
    12, 4, 16, 16, 2, 1, lr=0.01, warmup=3, precision="float32", save_every=4
)
TOWN = replace(TINY, context_length=140, steps=4, save_every=2)
TASKS = {
    "town-gpt": lambda: town_gpt(TOWN),
    "town-bert": lambda: town_bert(TOWN),
    "text": lambda: text_gpt(STORY, "story.txt", TINY),
    "pieces": lambda: text_gpt(STORY, "story.txt", TINY, 280),
}
FILES = [
    "history.json",
    "model.json",
    "model.safetensors",
    "tokenizer.json",
    "training.safetensors",
]


@pytest.fixture(scope="module", autouse=True)
def no_bar():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQDM_DISABLE", "1")
        yield


@pytest.fixture(scope="module")
def tasks():
    return {name: make() for name, make in TASKS.items()}


@pytest.fixture
def no_digest(monkeypatch):
    """A town without the digest of a thousand stories, which takes a while."""
    monkeypatch.setattr("nextword.tasks.town_data", lambda *_: {"name": "town"})


def files(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


class Stop(Exception):
    """Something went wrong in the middle."""


def stopping(task, at, action):
    """The same task; before batch number ``at``, something happens."""

    def batches(number):
        if number == at:
            action()
        return task.batches(number)

    return task._replace(batches=batches)


def give_up():
    raise Stop


def press():
    signal.raise_signal(signal.SIGINT)


# What a task is.


def test_the_parts_of_a_text_share_nothing_and_cover_it():
    rng = random.Random(0)
    for length in [0, 1, 9, 10, 11, 19, 20, *rng.sample(range(5000), 40)]:
        text = "".join(rng.choices(WORDS, k=length))
        first, last = training_part(text), validation(text)
        assert first + last == text
        assert len(last) == -(-length // 10)


def test_a_text_is_trained_on_without_its_last_tenth():
    text = "a" * 900 + "b" * 100
    task = text_gpt(text, "ab", TINY)
    assert task.tokenizer.characters == "ab"
    some = map(task.batches, range(50))
    ids, targets = (torch.cat(x) for x in zip(*some, strict=True))
    assert not ids.any() and not targets.any()  # no b, even as a target
    assert len(task.batches.ids) == 900


def test_pieces_are_made_from_the_training_part_alone():
    text = "ab " * 300 + "xy " * 33
    task = text_gpt(text, "ab", replace(TINY, context_length=2), 300)
    assert b" ab" in task.tokenizer.token_bytes
    assert not any(b"xy" in piece for piece in task.tokenizer.token_bytes)
    ids = task.batches.ids.tolist()
    assert task.tokenizer.decode(ids) == training_part(text)


@pytest.mark.parametrize(
    ("vocab_size", "kind"), [(None, CharacterTokenizer), (280, Tokenizer)]
)
def test_a_text_task_has_the_sizes_that_were_asked_for(vocab_size, kind):
    task = text_gpt(STORY, "story.txt", TINY, vocab_size)
    assert type(task.tokenizer) is kind
    assert task.sizes.vocab_size == task.tokenizer.vocab_size
    assert task.sizes.vocab_size == (vocab_size or len(set(STORY)))
    assert (task.sizes.d_model, task.sizes.n_heads) == (16, 2)
    batch = task.batches(3)
    assert batch.ids.shape == (4, 16)
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    assert (task.training.steps, task.training.lr) == (12, 0.01)
    assert (task.training.warmup, task.training.save_every) == (3, 4)


def test_a_warm_up_fits_into_a_short_run():
    assert text_gpt(STORY, "", replace(TINY, warmup=100)).training.warmup == 11


@pytest.mark.parametrize("vocab_size", [None, 280])
@pytest.mark.parametrize("text", ["", " \n\t ", "\n" * 5000])
def test_an_empty_text_is_refused(text, vocab_size):
    with pytest.raises(ValueError, match=r"is empty\. Give a file with text"):
        text_gpt(text, "empty", TINY, vocab_size)


def test_a_text_that_is_too_short_for_the_test_is_refused():
    with pytest.raises(ValueError, match=r"has 16 .*context of 16") as e:
        text_gpt(STORY[:160], "short", TINY)
    assert str(e.value).endswith(
        "Use a longer text or a shorter --context-length."
    )
    text_gpt(STORY[:161], "long enough", TINY)


def test_pieces_count_not_characters():
    """So that what can be trained can be tested afterwards."""
    text = "house " * 200  # 20 words of 6 characters in its last tenth
    text_gpt(text, "", TINY)
    text_gpt(text, "", TINY, 256)
    with pytest.raises(ValueError, match=r"has 2\d tokens"):
        text_gpt(text, "", replace(TINY, context_length=25), 300)


@pytest.mark.parametrize("vocab_size", [0, 255, -3])
def test_a_vocabulary_without_all_bytes_is_refused(vocab_size):
    with pytest.raises(ValueError, match=r"need 256\. Ask for that"):
        text_gpt(STORY, "story.txt", TINY, vocab_size)


def test_the_data_of_a_text_have_a_digest_that_changes_with_it():
    def data(text, name="a"):
        return text_gpt(text, name, TINY).data

    first = data(STORY)
    assert first == {
        "name": "a",
        "sha256": hashlib.sha256(STORY.encode()).hexdigest(),
        "characters": 3000,
    }
    for place in (0, 1500, 2999):
        other = STORY[:place] + "Q" + STORY[place + 1 :]
        assert data(other)["sha256"] != first["sha256"]


def test_the_data_of_the_town_are_its_settings_and_a_digest(tasks):
    stories = (make_story(FIRST + n, SHORT).tokens for n in range(1000))
    text = "\n".join(" ".join(story) for story in stories)
    digest = hashlib.sha256(text.encode()).hexdigest()
    gpt, bert = tasks["town-gpt"].data, tasks["town-bert"].data
    assert gpt["sha256 of 1000"] == digest != bert["sha256 of 1000"]
    assert gpt["config"] == asdict(SHORT)
    assert bert["config"] == asdict(WITH_RECAPS)
    assert gpt["name"] != bert["name"]
    assert (gpt, bert) == tuple(json.loads(json.dumps([gpt, bert])))


def test_another_seed_has_other_stories():
    first, second = (make_story(n).tokens for n in (1, 2))
    digests = {
        town_data("x", TownConfig(), story)["sha256 of 1000"]
        for story in (
            lambda n: first,
            lambda n: second,
            lambda n: second if n == 999 else first,
        )
    }
    assert len(digests) == 3


def test_a_town_gpt_sees_whole_stories(tasks):
    stories = [make_story(FIRST + n, SHORT).tokens for n in range(4, 8)]
    expected = story_batch(stories)
    for found, right in zip(
        tasks["town-gpt"].batches(1), expected, strict=True
    ):
        assert torch.equal(found, right)
    assert tasks["town-gpt"].kind == "gpt"
    assert tasks["town-gpt"].tokenizer == town_tokenizer()


def test_a_town_bert_sees_whole_stories_with_gaps(tasks):
    batch, ids = tasks["town-bert"].batches(1), town_tokenizer().ids
    story = make_story(FIRST + 4, WITH_RECAPS).tokens
    row = batch.ids[0].where(batch.targets[0] == IGNORE, batch.targets[0])
    words = [town_tokenizer().words[id] for id in row[batch.real[0]].tolist()]
    assert words == ["[CLS]", *story, "[SEP]"]
    hidden = (batch.targets != IGNORE).sum() / batch.real.sum()
    assert 0.05 < hidden < 0.3
    assert (batch.ids == ids[MASK]).any()
    assert tasks["town-bert"].kind == "bert"


@pytest.mark.parametrize(
    "config",
    [
        TownConfig(),
        WITH_RECAPS,
        TownConfig(people=1, things=1, min_events=0, max_events=1),
        TownConfig(people=2, things=1, min_events=1, max_events=1, recaps=1),
        TownConfig(people=5, things=6, min_events=12, max_events=15, recaps=4),
    ],
)
def test_no_story_is_longer_than_it_is_said_to_be(config):
    lengths = [len(make_story(n, config).tokens) for n in range(200)]
    assert max(lengths) <= longest_story(config)
    assert max(lengths) > 0.75 * longest_story(config)  # no wild guess


def test_the_longest_story_there_is_has_that_length():
    config = TownConfig(people=2, things=1, min_events=1, max_events=1)
    lengths = {len(make_story(n, config).tokens) for n in range(300)}
    assert max(lengths) == longest_story(config) - 1  # nobody has a thing yet
    assert longest_story(TownConfig()) == 118
    assert longest_story(SHORT) < longest_story(WITH_RECAPS) == 134


@pytest.mark.parametrize(("make", "needed"), [(town_gpt, 77), (town_bert, 136)])
def test_a_context_too_short_for_a_story_is_refused_at_once(
    make, needed, no_digest
):
    settings = replace(TOWN, context_length=needed - 1)
    with pytest.raises(ValueError, match=f"can need {needed}.*{needed} or mo"):
        make(settings)
    make(replace(TOWN, context_length=needed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0. Choose 1 or more"),
        ({"batch_size": -2}, "batch_size is -2"),
        ({"context_length": 1}, "context_length is 1. Choose 2 or more"),
        ({"context_length": -5}, "context_length is -5"),
        ({"seed": -1}, "seed is -1. Choose one from 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0. Choose a whole number above 0"),
        ({"steps": -1}, "steps is -1"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"warmup": -1}, "warmup is -1. Choose a whole number of 0 or more"),
        ({"save_every": 0}, "save_every is 0"),
        ({"precision": "float16"}, "Choose float32 or bfloat16"),
        ({"d_model": 30, "n_heads": 4}, "30.*4"),
        ({"d_model": 0}, "d_model is 0. Pass an int of 1 or more"),
        ({"n_heads": 0}, "n_heads is 0"),
        ({"n_layers": -1}, "n_layers is -1"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        text_gpt(STORY, "story.txt", replace(TINY, **changes))


def test_the_largest_seed_trains(tmp_path, no_digest):
    settings = replace(TINY, seed=2**32 - 1, steps=1)
    pretrain(text_gpt(STORY, "story.txt", settings), tmp_path)
    town = replace(TOWN, seed=2**32 - 1)
    town_gpt(town).batches(0)
    town_bert(town).batches(0)


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        (TOWN_GPT, longest_story(SHORT) + 1),
        (TOWN_BERT, longest_story(WITH_RECAPS) + 2),
        (TEXT, 1),
    ],
)
def test_the_settings_of_the_tasks_make_sense(settings, longest):
    text = STORY * 2
    sizes = text_gpt(text, "story.txt", settings).sizes
    assert sizes.d_model % sizes.n_heads == 0
    assert settings.context_length >= longest


def test_a_model_is_always_the_same_for_the_same_seed(tasks):
    task = tasks["text"]
    models = []
    for chance in (1, 2):
        torch.manual_seed(chance)
        models.append(dict(build(task).named_parameters()))
    assert all(torch.equal(models[0][n], models[1][n]) for n in models[0])
    other = task._replace(training=replace(task.training, seed=1))
    weight = dict(build(other).named_parameters())["embedding.tokens.weight"]
    assert not torch.equal(weight, models[0]["embedding.tokens.weight"])
    assert float(weight.detach().std()) == pytest.approx(0.125, rel=0.1)


# A run from its beginning to its end.


@pytest.fixture(scope="module")
def whole(tasks, tmp_path_factory):
    """An uninterrupted run of each task: its history and its folder."""
    runs = {}
    for name, task in tasks.items():
        folder = tmp_path_factory.mktemp(name) / "run"
        runs[name] = pretrain(task, folder, f"nextword {name}"), folder
    return runs


def assert_same_end(folder, other):
    """Bit for bit: history, weights, optimizer, random numbers."""
    for name in ("history.json", "tokenizer.json"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    tensors, saved = read_checkpoint(folder / "training.safetensors")
    expected, right = read_checkpoint(other / "training.safetensors")
    assert saved == right
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[n], expected[n]) for n in tensors)
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[n], tensors[f"model.{n}"]) for n in weights)


@pytest.mark.parametrize("name", TASKS)
def test_a_run_leaves_a_model_and_all_about_it(tasks, whole, name):
    (history, folder), task = whole[name], tasks[name]
    assert sorted(files(folder)) == FILES
    assert json.loads((folder / "history.json").read_text()) == asdict(history)
    assert len(history.losses) == task.training.steps
    model, tokenizer, card = load_pretrained(folder)
    assert tokenizer == task.tokenizer
    assert model.config == task.sizes
    assert card.kind == task.kind
    assert card.sizes == asdict(task.sizes)
    assert card.training == {**asdict(task.training), "batch_size": 4}
    assert (card.data, card.command) == (task.data, f"nextword {name}")
    assert card.versions["torch"] == torch.__version__
    tensors, _ = read_checkpoint(folder / "training.safetensors")
    for n, parameter in model.named_parameters():
        assert torch.equal(parameter, tensors[f"model.{n}"])


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_curve_bit_for_bit(
    tasks, whole, tmp_path, name
):
    torch.manual_seed(77)  # what came before plays no part
    random.seed(5)
    history = pretrain(tasks[name], tmp_path)
    assert history == whole[name][0]
    assert_same_end(tmp_path, whole[name][1])


def test_another_seed_gives_another_curve(whole, tmp_path):
    task = text_gpt(STORY, "story.txt", replace(TINY, seed=1))
    losses = pretrain(task, tmp_path).losses
    assert not set(losses) & set(whole["text"][0].losses)


@pytest.mark.parametrize("name", ["text", "town-bert"])
def test_bfloat16_trains_and_says_so(tasks, whole, tmp_path, name):
    training = replace(tasks[name].training, precision="bfloat16")
    history = pretrain(tasks[name]._replace(training=training), tmp_path)
    expected = whole[name][0].losses
    assert history.losses != expected
    assert history.losses == pytest.approx(expected, rel=0.02)
    card = load_pretrained(tmp_path).card
    assert card.training["precision"] == "bfloat16"


def test_training_learns(tmp_path):
    text = "abcdefgh" * 300
    settings = replace(TINY, steps=60, warmup=10)
    losses = pretrain(text_gpt(text, "abc", settings), tmp_path).losses
    assert losses[0] > 1.5
    assert losses[-1] < 0.3


# Interruptions in this process.


@pytest.mark.parametrize("name", TASKS)
def test_an_interrupted_run_goes_on_exactly(tasks, whole, tmp_path, name):
    task, at = tasks[name], {12: 7, 4: 3}[tasks[name].training.steps]
    with pytest.raises(Stop):
        pretrain(stopping(task, at, give_up), tmp_path, f"nextword {name}")
    assert sorted(files(tmp_path)) == [FILES[1], *FILES[3:]]
    with pytest.raises(ValueError, match=r"is not finished\. Run its"):
        load_pretrained(tmp_path)
    first = []
    counting = task._replace(
        batches=lambda n: (first.append(n), task.batches(n))[1]
    )
    assert pretrain(counting, tmp_path, "later") == whole[name][0]
    assert first[0] == at // task.training.save_every * task.training.save_every
    assert_same_end(tmp_path, whole[name][1])
    for file in ("model.json", "tokenizer.json"):  # the first command stays
        assert files(tmp_path)[file] == files(whole[name][1])[file]


def test_a_run_stopped_before_its_first_checkpoint_begins_again(
    tasks, whole, tmp_path
):
    with pytest.raises(Stop):
        pretrain(stopping(tasks["text"], 2, give_up), tmp_path)
    assert sorted(files(tmp_path)) == ["model.json", "tokenizer.json"]
    assert pretrain(tasks["text"], tmp_path) == whole["text"][0]
    assert_same_end(tmp_path, whole["text"][1])


def test_ctrl_c_leaves_a_folder_that_goes_on(tasks, whole, tmp_path):
    history = pretrain(stopping(tasks["text"], 6, press), tmp_path)
    assert history.losses == whole["text"][0].losses[:7]
    stored = json.loads((tmp_path / "history.json").read_text())
    assert stored == asdict(history)
    assert "model.safetensors" not in files(tmp_path)
    assert pretrain(tasks["text"], tmp_path) == whole["text"][0]
    assert_same_end(tmp_path, whole["text"][1])


def test_ctrl_c_in_the_last_step_finishes_the_run(tasks, whole, tmp_path):
    history = pretrain(stopping(tasks["text"], 11, press), tmp_path)
    assert history == whole["text"][0]
    assert_same_end(tmp_path, whole["text"][1])


@pytest.mark.parametrize("name", TASKS)
def test_a_finished_run_is_not_trained_again(tasks, whole, tmp_path, name):
    history, folder = whole[name]
    before = files(folder)
    task = tasks[name]._replace(batches=lambda number: give_up())
    assert pretrain(task, folder, "another command") == history
    after = files(folder)
    assert after.keys() == before.keys()
    for file in set(FILES) - {"model.safetensors"}:
        assert after[file] == before[file], file
    (tmp_path / "model.safetensors").write_bytes(before["model.safetensors"])
    a, b = (load_file(f / "model.safetensors") for f in (folder, tmp_path))
    assert all(torch.equal(a[n], b[n]) for n in a)
    load_pretrained(folder)


def test_a_run_killed_between_its_end_and_the_weights_is_finished_later(
    tasks, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("nextword.pretraining.save_weights", lambda *_: give_up())
        with pytest.raises(Stop):
            pretrain(tasks["text"], tmp_path)
    assert "model.safetensors" not in files(tmp_path)
    pretrain(tasks["text"], tmp_path)
    assert_same_end(tmp_path, whole["text"][1])


@pytest.mark.parametrize("at", range(1, 8))
def test_a_disk_that_is_full_at_any_write_only_stops_the_run(
    tasks, whole, tmp_path, monkeypatch, at
):
    """Tokenizer, card, three checkpoints, history, weights."""
    left, real = [at], storage.os.fdopen

    def full(handle, mode):
        file = real(handle, mode)
        left[0] -= 1
        if not left[0]:
            file.write(b"half a file")
            file.close()
            raise OSError(28, "No space left on device")
        return file

    folder, writes = tmp_path / "run", []
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fdopen", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*run"):
            pretrain(tasks["text"], folder)
    writes = sorted(files(folder))
    assert not any(name.endswith(".tmp") for name in writes)
    order = [FILES[3], FILES[1], FILES[4], FILES[4], FILES[4], FILES[0]]
    assert writes == sorted(set(order[: at - 1]))
    if "training.safetensors" in writes:
        _, saved = read_checkpoint(folder / "training.safetensors")
        assert len(saved["history"]["losses"]) == min(4 * (at - 3), 12)
    assert pretrain(tasks["text"], folder) == whole["text"][0]
    assert_same_end(folder, whole["text"][1])


# Another run in the same folder.


@pytest.mark.parametrize(
    ("task", "difference"),
    [
        (lambda: text_gpt(STORY, "other.txt", TINY), "name is story.txt, not"),
        (lambda: text_gpt(STORY[:-1], "story.txt", TINY), "sha256 is "),
        (lambda: text_gpt(STORY, "story.txt", TINY, 280), "vocab_size is "),
        (
            lambda: text_gpt(STORY, "story.txt", replace(TINY, steps=13)),
            "steps is 12, not 13",
        ),
        (
            lambda: text_gpt(STORY, "story.txt", replace(TINY, batch_size=5)),
            "batch_size is 4, not 5",
        ),
        (
            lambda: text_gpt(STORY, "story.txt", replace(TINY, d_model=20)),
            "d_model is 16, not 20",
        ),
        (
            lambda: text_gpt(STORY, "story.txt", replace(TINY, seed=1)),
            "seed is 0, not 1",
        ),
    ],
)
def test_another_run_is_refused_and_nothing_is_changed(whole, task, difference):
    assert_another_run(whole["text"][1], task(), difference)


def test_another_task_is_refused_and_nothing_is_changed(tasks, whole):
    bert, folder = tasks["town-bert"], whole["text"][1]
    assert_another_run(folder, bert, "kind is gpt, not bert")
    difference = "name is story.txt, not short stories"
    assert_another_run(folder, tasks["town-gpt"], difference)


def assert_another_run(folder, task, difference):
    before = files(folder)
    with pytest.raises(ValueError, match=f"another run: its {difference}") as e:
        pretrain(task, folder)
    assert str(e.value).startswith(str(folder))
    assert "Choose another --out, or delete that folder." in str(e.value)
    assert files(folder) == before


def test_a_run_with_another_kind_of_tokenizer_is_refused(tmp_path):
    """Even if text and sizes are the same: 300 characters, or 300 pieces."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 10
    pieces = text_gpt(text, "x", TINY, 300)
    assert pieces.sizes.vocab_size == 300
    open_folder(tmp_path, pieces, "")
    with pytest.raises(ValueError, match="its tokenizer is another one"):
        open_folder(tmp_path, text_gpt(text, "x", TINY), "")


def test_the_order_of_files_on_the_way_does_not_matter(tasks, tmp_path):
    """A new folder gets its tokenizer first: with a card, it is complete."""
    task = tasks["text"]
    task.tokenizer.save(tmp_path / "tokenizer.json")
    card = open_folder(tmp_path, task, "one")
    (tmp_path / "tokenizer.json").unlink()
    assert open_folder(tmp_path, task, "two") == card
    assert card.command == "one"
    assert sorted(files(tmp_path)) == ["model.json", "tokenizer.json"]


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("model.json", "Copy it again from where it came"),
        ("tokenizer.json", "delete this file and run the training's command"),
        ("training.safetensors", "Delete it, or choose another path"),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_is_changed(
    tasks, tmp_path, file, remedy
):
    with pytest.raises(Stop):
        pretrain(stopping(tasks["text"], 7, give_up), tmp_path)
    content = files(tmp_path)[file]
    (tmp_path / file).write_bytes(content[: len(content) // 2])
    before = files(tmp_path)
    with pytest.raises(ValueError, match=remedy) as refusal:
        pretrain(tasks["text"], tmp_path)
    assert str(tmp_path / file) in str(refusal.value)
    assert files(tmp_path) == before
    if file != "model.json":
        (tmp_path / file).unlink()  # the remedy
        pretrain(tasks["text"], tmp_path)
        load_pretrained(tmp_path)


def test_a_folder_that_is_a_file_is_refused(tasks, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OSError) as error:
        pretrain(tasks["text"], tmp_path / "run")
    assert str(tmp_path / "run") in str(error.value)
    assert files(tmp_path) == {"run": b"mine"}


# Other processes: really killed, really interrupted, on a disk really full.

LONG = (
    "--steps 100 --batch-size 2 --context-length 16 --d-model 16 --n-heads 2 "
    "--n-layers 1 --lr 0.01 --save-every 3"
)


def start(folder, code):
    """``nextword pretrain`` in a process that runs some code before."""
    (folder / "story.txt").write_text(STORY, encoding="utf-8")
    run = "import runpy; runpy.run_module('nextword', run_name='__main__')"
    arguments = ["pretrain", "text", "story.txt", *LONG.split()]
    return subprocess.Popen(
        [sys.executable, "-c", code + run, *arguments, "--out", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "TQDM_DISABLE": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
        },
    )


def finish(process, status=0):
    out, error = process.communicate(timeout=120)
    assert process.returncode == status, error
    return out, error


def begin(folder):
    """The same command in this process: its status and what it prints."""
    (folder / "story.txt").write_text(STORY, encoding="utf-8")
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    arguments = ["pretrain", "text", "story.txt", *LONG.split()]
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        status = cli.main([*arguments, "--out", "run"])
    printed.seek(0)
    return status, printed.read()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """An uninterrupted run: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("alone")
    status, out = begin(folder)
    assert status == 0
    return folder / "run", out


def wait_for_checkpoints(process, path, number):
    """Until the file has been written ``number`` times."""
    seen, deadline = set(), time.monotonic() + 60
    while len(seen) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        if path.exists():
            found = path.stat()
            seen.add((found.st_ino, found.st_mtime_ns))
        time.sleep(0.0005)


def test_a_command_says_how_the_training_went(alone):
    folder, out = alone
    losses = json.loads((folder / "history.json").read_text())["losses"]
    assert out.startswith(f"100 steps, loss {losses[-1]:.4f}. See run.\n")
    assert (folder / "samples.txt").read_text("utf-8") in out
    assert sorted(files(folder)) == sorted([*FILES, "samples.txt"])
    card = ModelCard.load(folder / "model.json")
    assert card.command == f"nextword pretrain text story.txt {LONG} --out run"


# A pause before each batch, so that there is time to be interrupted in.
SLOWLY = """
import time
from nextword.batches import TokenBatches
batch = TokenBatches.__call__
TokenBatches.__call__ = lambda self, n: (time.sleep(0.02), batch(self, n))[1]
"""


def test_a_killed_process_goes_on_as_if_nothing_had_happened(tmp_path, alone):
    path = tmp_path / "run" / "training.safetensors"
    rng = random.Random()  # another moment each time
    process = start(tmp_path, SLOWLY)
    try:
        wait_for_checkpoints(process, path, rng.randint(1, 6))
        time.sleep(rng.uniform(0, 0.1))
    finally:
        process.kill()
        process.communicate()
    assert process.returncode != 0
    done = len(read_checkpoint(path)[1]["history"]["losses"])
    assert 0 < done < 100 and done % 3 == 0
    assert "model.safetensors" not in files(tmp_path / "run")
    assert begin(tmp_path) == (0, alone[1])
    assert_same_end(tmp_path / "run", alone[0])


@pytest.mark.skipif("os.name == 'nt'", reason="Windows has no SIGINT to send")
def test_ctrl_c_ends_a_process_with_words_and_a_status(tmp_path, alone):
    path = tmp_path / "run" / "training.safetensors"
    process = start(tmp_path, SLOWLY)
    try:
        wait_for_checkpoints(process, path, 2)
        process.send_signal(signal.SIGINT)
        out, error = finish(process, status=130)
    finally:
        process.kill()
    assert error == ""
    done = len(read_checkpoint(path)[1]["history"]["losses"])
    assert 6 <= done < 100
    assert out == (
        f"Stopped after {done} of 100 steps. The same command goes on.\n"
    )
    assert sorted(files(tmp_path / "run")) == [FILES[0], FILES[1], *FILES[3:]]
    assert begin(tmp_path) == (0, alone[1])
    assert_same_end(tmp_path / "run", alone[0])


@contextlib.contextmanager
def full_disk(write):
    """The system refuses the second half of the write of that number."""
    import resource

    real, left = storage.write_bytes, [write]
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(path, content):
        left[0] -= 1
        if left[0]:
            return real(path, content)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, most))
        try:
            return real(path, content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "write_bytes", limited)
        yield


@pytest.mark.skipif("os.name == 'nt'", reason="Windows has no such limit")
def test_a_disk_that_is_full_in_the_middle_of_a_write(tmp_path, alone, capsys):
    with full_disk(write=6):  # tokenizer, card, and the fourth checkpoint
        assert begin(tmp_path) == (1, "")
    error, path = capsys.readouterr().err, Path("run") / "training.safetensors"
    assert error.count("\n") == 1
    assert error.startswith("nextword: ") and f"'{path}'" in error
    assert error.endswith(
        "What the file held before is still there. Free some space, then run "
        "the same command again.\n"
    )
    _, saved = read_checkpoint(tmp_path / path)  # the third one, intact
    assert len(saved["history"]["losses"]) == 9
    assert sorted(files(tmp_path / "run")) == [FILES[1], *FILES[3:]]
    assert begin(tmp_path) == (0, alone[1])
    assert_same_end(tmp_path / "run", alone[0])
