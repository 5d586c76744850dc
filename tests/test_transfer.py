"""The experiment of chapter 15: its parts, its runs, its record."""

import json
import math
from collections import Counter

import pytest
import torch

from benchmarks import finetuning as benchmark
from benchmarks import record
from nextword import transfer
from nextword.filling import fill_score
from nextword.finetuning import features, fit_probe, label_accuracy
from nextword.gaps import WITH_RECAPS, held_out_gaps
from nextword.lora import LoRALinear
from nextword.pretrained import load_pretrained
from nextword.records import read_record
from nextword.stories import SHORT
from nextword.town import make_story, questions
from nextword.town_tasks import TASKS, Example, held_out_examples
from nextword.transfer import (
    UNSEEN,
    Run,
    bag_of_words,
    batch_of,
    majority,
    measure,
    probe,
    recipe,
    start_run,
    train_run,
)
from nextword.words import SPECIAL, town_tokenizer

WORDS = town_tokenizer()


@pytest.fixture(scope="module")
def encoder():
    return load_pretrained("town-bert").model


def same(a, b, leave_out=()):
    """Whether two modules have equal parameters, but for some names."""
    theirs = dict(b.named_parameters())
    return all(
        torch.equal(p, theirs[n])
        for n, p in a.named_parameters()
        if n not in leave_out
    )


# What is unseen


def test_unseen_words_are_those_that_no_story_has():
    seen = set()
    for seed in range(1_500):
        seen.update(make_story(seed, WITH_RECAPS).tokens)
    words = set(WORDS.words) - set(SPECIAL) - {"and"}  # it is in no text
    assert words - seen == set(UNSEEN) - set(SPECIAL)


def test_unseen_words_are_those_that_questions_need():
    asked = set()
    for seed in range(300):
        for question in questions(make_story(seed, SHORT)):
            asked.update([*question.text.split(), question.answer])
    assert set(UNSEEN) - set(SPECIAL) <= asked


# The baselines


def examples(*labels):
    return [Example([f"w{n}"], [], n) for n in labels]


def test_the_majority_is_that_of_the_known_labels():
    known, tested = examples(1, 1, 0), examples(0, 0, 0, 1)
    assert majority(known, tested) == 1 / 4
    assert majority(tested, known) == 1 / 3


def test_a_bag_of_words_learns_a_word_and_not_an_order():
    """One word decides: right. The order of two words decides: a guess."""
    one = [Example(["b", "a" if n % 2 else "c"], [], n % 2) for n in range(40)]
    two = [
        Example(["a", "b"] if n % 2 else ["b", "a"], [], n % 2)
        for n in range(40)
    ]
    assert bag_of_words(one, one) == 1.0
    assert bag_of_words(two, two) == 0.5


def test_words_of_the_question_count_apart():
    data = [Example(["a", "b"], ["ab"[n % 2]], n % 2) for n in range(40)]
    assert bag_of_words(data, data) == 1.0


def test_a_bag_of_words_meets_new_words_without_an_error():
    assert bag_of_words(examples(0, 1, 0, 1), examples(0, 1, 0, 1)) == 1.0
    assert bag_of_words(examples(0, 1), [Example(["new"], [], 0)]) in (0, 1)


# The start of a run


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["scratch", "full", "LoRA"])
def test_a_run_begins_with_a_head_for_the_labels_of_its_task(task, method):
    model = start_run(Run(task, method, 20, 3))
    assert model.head.weight.shape == (len(TASKS[task].labels), 128)
    assert not model.mean
    again = start_run(Run(task, method, 50, 3))
    assert same(model, again), "the start depends on the seed alone"
    assert not same(model, start_run(Run(task, method, 20, 4)))


def test_from_scratch_means_the_same_sizes_and_other_numbers(encoder):
    model = start_run(Run("she", "scratch", 20, 0))
    assert model.body.config == encoder.config
    layer = model.body.encoder.layers[0]
    weight = layer.feed_forward.linear1.weight.detach()
    assert float(weight.std()) == pytest.approx(0.5 / math.sqrt(128), rel=0.05)
    old = encoder.encoder.layers[0].feed_forward.linear1.weight
    assert not torch.allclose(weight, old, atol=0.01)


def test_the_pretrained_body_has_new_rows_for_unseen_words_alone(encoder):
    body = start_run(Run("where", "full", 20, 0)).body
    renewed = ("embedding.tokens.weight", "segment_embedding.weight")
    assert same(body, encoder, renewed)
    changed = body.embedding.tokens.weight != encoder.embedding.tokens.weight
    rows = changed.any(1).nonzero().flatten().tolist()
    assert {WORDS.words[n] for n in rows} == set(UNSEEN)
    segments = body.segment_embedding.weight
    assert torch.equal(segments[0], encoder.segment_embedding.weight[0])
    assert torch.equal(segments[1], segments[0])
    assert body.head.lm_head.weight is body.embedding.tokens.weight


def test_rows_can_be_kept(encoder):
    assert same(start_run(Run("where", "full, rows kept", 20, 0)).body, encoder)


def test_lora_begins_as_the_pretrained_body():
    plain = start_run(Run("where", "full", 20, 2))
    lora = start_run(Run("where", "LoRA", 20, 2))
    assert sum(isinstance(p, LoRALinear) for p in lora.modules()) == 8
    trained = [n for n, p in lora.named_parameters() if p.requires_grad]
    assert all(n.endswith((".A", ".B")) or n[:5] == "head." for n in trained)
    batch = batch_of(held_out_examples("where", 3))
    assert torch.equal(features(lora, batch), features(plain, batch))


# A run


def test_recipes():
    config = recipe(Run("she", "full, by layer", 200, 1))
    assert (config.steps, config.warmup, config.lr) == (80, 8, 1e-3)
    assert recipe(Run("she", "scratch", 20, 1)).steps == 62


@pytest.fixture
def short(monkeypatch):
    """A few steps are enough to see what happens in them."""

    def few(run):
        config = recipe(run)
        return type(config)(4, config.lr, 1, weight_decay=config.weight_decay)

    monkeypatch.setattr(transfer, "recipe", few)
    monkeypatch.setattr(transfer, "TESTED", 12)


@pytest.mark.parametrize("method", ["scratch", "full", "LoRA"])
def test_a_row_says_what_was_measured(short, method):
    run = Run("she", method, 20, 0)
    row = measure(run)
    model, losses = train_run(run)
    tested = batch_of(held_out_examples("she", 12))
    assert row["accuracy"] == label_accuracy(model, tested)
    assert row["last_loss"] == pytest.approx(sum(losses) / 5, abs=1e-4)
    hidden = fill_score(model.body, held_out_gaps(100)).loss
    assert row["hidden"] == pytest.approx(hidden, abs=1e-3)
    head, body = 2 * 129, load_pretrained("town-bert").model
    unused = sum(
        p.numel()
        for n, p in body.named_parameters()
        if n.startswith("head.") and not n.endswith("lm_head.weight")
    )
    whole = sum(p.numel() for p in body.parameters()) - unused + head
    lora = 4 * 2 * 8 * (128 + 128) + head
    assert row["trained"] == (lora if method == "LoRA" else whole)


def test_the_variant_by_layer_moves_low_layers_less(short):
    def moved(method):
        run = Run("she", method, 20, 0)
        before, after = start_run(run), train_run(run)[0]
        name = "body.encoder.layers.0.feed_forward.linear1.weight"
        change = after.get_parameter(name) - before.get_parameter(name)
        return float(change.detach().norm())

    assert moved("full, by layer") < 0.7 * moved("full")


@pytest.mark.parametrize("method", ["majority", "bag of words"])
def test_a_row_of_a_baseline(short, method):
    row = measure(Run("she", method, 30, 1))
    assert row.keys() == {"accuracy", "seconds"}
    assert 0.2 <= row["accuracy"] <= 0.9


@pytest.mark.parametrize("method", ["probe", "probe, mean"])
def test_a_probe_reads_the_encoder_as_it_is(short, encoder, method):
    known = batch_of(transfer.training_examples("she", 40, 1))
    tested = batch_of(held_out_examples("she", 12))
    with torch.no_grad():
        x, y = (
            encoder.encode(b.ids, b.real, b.segments) for b in (known, tested)
        )
    if method == "probe":
        x, y = x[:, 0], y[:, 0]
    else:
        x, y = (
            torch.stack([v[keep].mean(0) for v, keep in pairs])
            for pairs in (
                zip(x, known.real, strict=True),
                zip(y, tested.real, strict=True),
            )
        )
    fitted = fit_probe(x, known.labels, 2)
    said = fitted.logits(y).argmax(-1) == tested.labels
    expected = float(said.double().mean())
    assert probe(Run("she", method, 40, 1)) == pytest.approx(expected, abs=0.09)


# The record


def test_the_record_is_the_one_that_the_benchmark_wrote():
    written = record.RESULTS / "finetuning.json"
    content = json.loads(written.read_text(encoding="utf-8"))
    assert read_record("finetuning") == content
    assert content["command"] == "python -m benchmarks.finetuning"
    packages = content["machine"]["packages"]
    assert packages.keys() == {"torch", "scikit-learn"}


def test_the_record_is_whole():
    grid, rows = benchmark.grid(), read_record("finetuning")["rows"]
    runs = [Run(*(row[name] for name in Run._fields)) for row in rows]
    assert runs == grid, "every run once, in order"
    cells = Counter(run[:3] for run in runs)
    assert set(cells.values()) == {5}, "five seeds"
    for row in rows:
        assert 0 <= row["accuracy"] <= 1
        assert (row["accuracy"] * transfer.TESTED) == pytest.approx(
            round(row["accuracy"] * transfer.TESTED)
        )


def test_a_part_of_the_record_comes_out_again():
    """Counts of words do not depend on the machine."""
    rows = read_record("finetuning")["rows"]
    chosen = [
        row
        for row in rows
        if row["method"] in ("majority", "bag of words") and row["labels"] < 100
    ][::7]
    assert len(chosen) >= 5
    for row in chosen:
        again = measure(Run(*(row[name] for name in Run._fields)))
        assert again["accuracy"] == pytest.approx(row["accuracy"], abs=0.006)
