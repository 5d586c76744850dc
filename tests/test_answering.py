"""Town questions as ids, starting models, and answers read off both kinds."""

import pytest
import torch

from nextword.answering import (
    NEW_WORDS,
    AnswerBatches,
    answer_batch,
    prompt,
    rate,
    starting_model,
    write_answers,
)
from nextword.losses import IGNORE
from nextword.pretrained import load_pretrained
from nextword.spans import SpanBatches, SpanModel, span_loss
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
    batch = answer_batch(asked)
    for ids, targets, q in zip(*batch, asked, strict=True):
        wanted = targets[targets != IGNORE].tolist()
        assert WORDS.decode(wanted) == f"{q.answer} {END}"
        first = int((targets != IGNORE).nonzero()[0])
        assert ids[: first + 1].tolist() == prompt(q)
        assert ids[first + 1] == targets[first]


def test_no_answer_is_written_as_an_end(asked):
    batch = answer_batch([asked[0]._replace(span=None)])
    assert batch.targets[0, -1] == WORDS.ids[END]
    assert (batch.targets != IGNORE).sum() == 1


def test_batches_hold_every_question_once(asked):
    batches = AnswerBatches(asked, 10, seed=1)
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
    batches = SpanBatches([span_row(q) for q in few], 8, WORDS.ids["[PAD]"])
    fit(model, span_loss, batches, rate(40, 2e-3, 0))
    texts, margins = ask_spans(model, few)
    assert right(texts, few) > 0.8 and len(margins) == 8
    gpt = starting_model("town-gpt", 0)
    fit(gpt, language_loss, AnswerBatches(few, 8), rate(40, 2e-3, 0))
    assert right(write_answers(gpt, few), few) > 0.8
