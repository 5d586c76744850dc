"""Town questions as ids, starting models, and answers read off both kinds."""

import pytest
import torch

from benchmarks import questions as benchmark
from nextword.answering import (
    NEW_WORDS,
    answer_batch,
    prompt,
    rate,
    starting_model,
    write_answers,
)
from nextword.finetuning import LabelledBatches
from nextword.losses import IGNORE
from nextword.pretrained import load_pretrained
from nextword.records import over_seeds, read_record
from nextword.spans import SpanModel, span_batch, span_loss
from nextword.squad_metrics import exact_match
from nextword.town_questions import TownQuestion, training_questions
from nextword.town_spans import ask_spans, span_row
from nextword.training import fit, language_loss
from nextword.words import END, town_tokenizer

WORDS = town_tokenizer()


@pytest.fixture(scope="module")
def asked():
    return training_questions(24, 90)


def right(texts, questions):
    pairs = zip(texts, questions, strict=True)
    return sum(exact_match(t, q.answer) for t, q in pairs) / len(texts)


def test_the_span_of_a_row_is_the_answer(asked):
    for q in asked:
        row = span_row(q)
        first, last = row.span
        assert WORDS.decode(row.ids[first : last + 1]) == q.answer
        low, high = row.text
        assert WORDS.decode(row.ids[low : high + 1]).split() == q.story
        assert len(row.ids) == len(row.segments)
        assert row.segments.count(1) == len(q.question) + 1


def test_no_answer_is_the_first_token(asked):
    q = asked[0]._replace(span=None)
    assert span_row(q).span == (0, 0)


def test_only_answer_and_end_are_targets(asked):
    batch = answer_batch(asked, WORDS.ids[END])
    for ids, targets, q in zip(*batch, asked, strict=True):
        wanted = targets[targets != IGNORE].tolist()
        assert WORDS.decode(wanted) == f"{q.answer} {END}"
        first = int((targets != IGNORE).nonzero()[0])
        assert ids[: first + 1].tolist() == prompt(q)
        assert ids[first + 1] == targets[first]


def test_no_answer_is_written_as_an_end(asked):
    batch = answer_batch([asked[0]._replace(span=None)], WORDS.ids[END])
    assert batch.targets[0, -1] == WORDS.ids[END]
    assert (batch.targets != IGNORE).sum() == 1


def test_batches_hold_every_question_once(asked):
    batches = LabelledBatches(asked, 10, WORDS.ids[END], 1, answer_batch)
    assert [len(batches(n).ids) for n in range(3)] == [10, 10, 4]


def test_new_words_are_drawn_anew_and_nothing_else():
    before = load_pretrained("town-bert").model.state_dict()
    model = starting_model("town-bert", 0)
    ids = [WORDS.ids[w] for w in NEW_WORDS]
    others = [n for n in range(len(WORDS.words)) if n not in ids]
    for name, x in model.state_dict().items():
        if x.shape[:1] == (92,) and x.dim() == 2:
            assert (x[ids] != before[name][ids]).any(1).all()
            assert torch.equal(x[others], before[name][others])
        else:
            assert torch.equal(x, before[name])


def test_from_scratch_nothing_is_known():
    known = starting_model("town-bert", 0).embedding.tokens.weight
    first = starting_model("town-bert", 0, scratch=True).embedding.tokens.weight
    other = starting_model("town-bert", 1, scratch=True).embedding.tokens.weight
    assert not torch.equal(first, known) and not torch.equal(first, other)
    assert first.std() < 0.03


def test_both_kinds_learn_a_few_questions_by_heart(asked):
    few: list[TownQuestion] = asked[:8]
    model = SpanModel(starting_model("town-bert", 0))
    rows, pad_id = [span_row(q) for q in few], WORDS.ids["[PAD]"]
    batches = LabelledBatches(rows, 8, pad_id, collate=span_batch)
    fit(model, span_loss, batches, rate(40, 2e-3, 0))
    texts, margins = ask_spans(model, few)
    assert right(texts, few) > 0.8 and len(margins) == 8
    gpt = starting_model("town-gpt", 0)
    end = WORDS.ids[END]
    batches = LabelledBatches(few, 8, end, collate=answer_batch)
    fit(gpt, language_loss, batches, rate(40, 2e-3, 0))
    assert right(write_answers(gpt, few), few) > 0.8


def test_refusals_are_counted_by_sort():
    asked = training_questions(40, 91, unanswerable=0.5)
    with_answer = [q for q in asked if q.span]
    right = [q.answer for q in asked]
    every = benchmark.mixed_scores(right, asked)
    assert every.pop("refused_wrongly") == 0 and set(every.values()) == {1}
    never = benchmark.mixed_scores(["nonsense"] * len(asked), asked)
    assert set(never.values()) == {0}
    always = benchmark.mixed_scores([""] * len(asked), asked)
    share = 1 - len(with_answer) / len(asked)
    assert always["exact"] == pytest.approx(share, abs=1e-4)
    assert (always["answered"], always["refused_wrongly"]) == (0, 1)
    absent = ["" if q.absent else "nonsense" for q in asked]
    found = benchmark.mixed_scores(absent, asked)
    assert (found["refused_absent"], found["refused_untold"]) == (1, 0)
    assert 0 < found["refused"] < 1


def test_a_threshold_refuses_what_is_not_above_it(asked, monkeypatch):
    margins = [float(n % 4) for n in range(len(asked))]
    texts = [
        q.answer if m > 1 else "nonsense"
        for q, m in zip(asked, margins, strict=True)
    ]
    monkeypatch.setattr(benchmark, "ask_spans", lambda *_: (texts, margins))
    said = benchmark.above(None, asked, 1.0)
    assert [bool(t) for t in said] == [m > 1 for m in margins]
    some = [
        q if m > 1 else q._replace(span=None)
        for q, m in zip(asked, margins, strict=True)
    ]
    assert benchmark.best_threshold(None, some) == 1.0


def test_the_record_of_the_questions_holds_the_grid():
    rows = read_record("questions")["rows"]
    runs = [
        benchmark.Run(*(row[f] for f in benchmark.Run._fields)) for row in rows
    ]
    assert runs == benchmark.grid()

    def found(method, labels, unanswerable=0.0):
        wanted = (method, labels, unanswerable)
        keys = ("method", "labels", "unanswerable")
        return [r for r in rows if tuple(r[k] for k in keys) == wanted]

    for method in benchmark.RATES:
        for labels in (50, 200, 1_000):
            assert len(found(method, labels)) == 5
    for method in ("linear", "town-bert", "town-gpt"):
        again = found(method + benchmark.READ, 200)
        assert [row["seed"] for row in again] == list(range(5))
        for row, first in zip(again, found(method, 200), strict=True):
            assert row["where"] == pytest.approx(first["exact_where"], abs=1e-4)
    for method in ("town-bert", "town-gpt"):
        mixed = found(method, 1_000, 0.5)
        assert [row["seed"] for row in mixed] == list(range(5))
        mean, half = over_seeds([row["exact"] for row in mixed])
        assert 0.4 < mean < 1 and half < 0.2
        for row in mixed:  # 319 questions have an answer, 281 have none
            both = 319 * row["answered"] + 281 * row["refused"]
            assert row["exact"] == pytest.approx(both / 600, abs=2e-4)
