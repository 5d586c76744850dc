"""Filling gaps: a BERT's score and its likeliest words, by plain loops and by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nextword.blocks import TransformerConfig
from nextword.filling import FillScore, check_length, fill_score, likely_words
from nextword.gaps import held_out_gaps
from nextword.losses import IGNORE
from nextword.masking import MaskedBatch
from nextword.transformer import BERT, initialise
from nextword.words import CLS, MASK, PAD, SEP, town_tokenizer

WORDS = town_tokenizer()
V = WORDS.vocab_size


def small(vocab_size=V, context_length=160):
    """A BERT in float64 that is far from uniform and would drop out."""
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size, context_length, 16, 2, 2, dropout=0.3
    )
    model = BERT(config).double()
    initialise(model, 0.4)
    return model


@pytest.fixture(scope="module")
def bert():
    return small()


class Stub(nn.Module):
    """Logits by a rule; so much of a BERT that it can be asked."""

    def __init__(self, rule=None, context_length=160):
        super().__init__()
        self.rule = rule
        self.nothing = nn.Parameter(torch.zeros(1))
        self.config = TransformerConfig(V, context_length, 2, 1, 1)

    def forward(self, ids, real=None, segments=None):
        return self.rule(ids)


class Knowing(Stub):
    """Fills the first ``known`` gaps it meets rightly, all others wrongly."""

    def __init__(self, batch, known):
        super().__init__()
        self.targets, self.known, self.row = batch.targets, known, 0

    def forward(self, ids, real=None, segments=None):
        targets = self.targets[self.row : self.row + len(ids)]
        self.row += len(ids)
        gaps = targets != IGNORE
        order = gaps.flatten().cumsum(0).view_as(gaps)
        said = torch.where(gaps & (order <= self.known), targets, 0)
        self.known = max(0, self.known - int(gaps.sum()))
        return 30.0 * F.one_hot(said, V).double()


# The score


@pytest.mark.parametrize("rows", [1, 4, 9, 64])
def test_a_fill_score_is_that_of_a_plain_loop(bert, rows):
    batch = held_out_gaps(9)
    bert.eval()
    nats, right, number = 0.0, 0, 0
    for ids, real, segments, targets in zip(*batch, strict=True):
        n = int(real.sum())
        with torch.no_grad():
            logits = bert(ids[None, :n], None, segments[None, :n])[0]
        for place in range(n):
            target = int(targets[place])
            if target != IGNORE:
                nats -= float(logits[place].log_softmax(-1)[target])
                right += int(logits[place].argmax()) == target
                number += 1
    score = fill_score(bert, batch, rows)
    assert type(score) is FillScore
    assert number > 80
    assert math.isclose(score.loss, nats / number, rel_tol=1e-10)
    assert score.accuracy == right / number
    assert type(score.loss) is type(score.accuracy) is float


@pytest.mark.parametrize("known", [0, 7, 40, None])
def test_the_accuracy_counts_gaps_alone(known):
    batch = held_out_gaps(12)
    number = int((batch.targets != IGNORE).sum())
    known = number if known is None else known
    score = fill_score(Knowing(batch, known), batch, rows=5)
    assert score.accuracy == known / number
    assert math.isclose(score.loss, 30 * (1 - known / number), abs_tol=1e-6)


def test_who_knows_nothing_fills_gaps_at_ln_v():
    model = Stub(lambda ids: torch.zeros(*ids.shape, V, dtype=torch.float64))
    score = fill_score(model, held_out_gaps(70))
    assert math.isclose(score.loss, math.log(V), rel_tol=1e-12)
    assert score.accuracy == 0  # id 0 is padding, and never a word


def test_a_score_by_hand():
    """Three gaps with p = 1/2, 1/4 and 1/4: 1, 2 and 2 bits, one of them right."""
    a, b, c = (WORDS.ids[word] for word in ("cup", "book", "key"))
    logits = torch.full((V,), -torch.inf, dtype=torch.float64)
    logits[a], logits[b], logits[c] = map(math.log, (0.5, 0.25, 0.25))
    model = Stub(lambda ids: logits.expand(*ids.shape, V))
    mask = WORDS.ids[MASK]
    ids = torch.tensor([[a, mask, b], [mask, mask, a]])
    targets = torch.tensor([[IGNORE, a, IGNORE], [b, c, IGNORE]])
    segments = torch.zeros_like(ids)
    score = fill_score(model, MaskedBatch(ids, ids > 0, segments, targets))
    assert math.isclose(score.loss, 5 / 3 * math.log(2))
    assert score.accuracy == 1 / 3


# The likeliest words


def plain_answer(model, text, place):
    """P of every word at a place of a text, by a plain forward pass."""
    ids = torch.tensor([WORDS.encode(f"{CLS} {text} {SEP}")])
    with torch.no_grad():
        return model.eval()(ids)[0, place + 1].softmax(-1).tolist()


@pytest.mark.parametrize("number", [1, 2, 5, V])
def test_likely_words_are_those_of_a_plain_loop(bert, number):
    text = f"Anna was at the {MASK} . {MASK} was at the barn ."
    answers = likely_words(bert, WORDS, text, number)
    assert len(answers) == 2
    for answer, place in zip(answers, (4, 6), strict=True):
        p = plain_answer(bert, text, place)
        order = sorted(range(V), key=lambda i: -p[i])[:number]
        assert list(answer) == [WORDS.words[i] for i in order]
        for word, share in answer.items():
            assert type(share) is float
            assert math.isclose(share, p[WORDS.ids[word]], rel_tol=1e-9)
    if number == V:
        assert all(math.isclose(sum(a.values()), 1) for a in answers)


def test_likely_words_by_hand():
    """Behind each mask stands the word that the model reads one place later."""

    def rule(ids):
        after = ids.roll(-1, dims=1)
        return math.log(9) * F.one_hot(after, V).double()

    text = f"{MASK} cup {MASK} {MASK} book"
    answers = likely_words(Stub(rule), WORDS, text, 1)
    share = 9 / (9 + V - 1)
    expected = ["cup", MASK, "book"]
    assert [list(answer) for answer in answers] == [[w] for w in expected]
    for answer in answers:
        assert math.isclose(next(iter(answer.values())), share)


def test_five_words_unless_asked_otherwise(bert):
    (answer,) = likely_words(bert, WORDS, f"Anna was {MASK} .")
    assert len(answer) == 5
    shares = list(answer.values())
    assert shares == sorted(shares, reverse=True) and sum(shares) < 1


def test_all_masks_are_seen_together(bert):
    """A second mask changes the answer at the first: it hides a word there."""
    one = likely_words(bert, WORDS, f"Anna took the {MASK} .", V)[0]
    two = likely_words(bert, WORDS, f"Anna took {MASK} {MASK} .", V)[1]
    assert one != two


@pytest.mark.parametrize("text", ["", "Anna was at the barn .", f"{PAD} ."])
def test_a_text_without_a_gap_is_refused(bert, text):
    with pytest.raises(ValueError, match=r"write \[MASK\] where a word is mis"):
        likely_words(bert, WORDS, text)


def test_an_unknown_word_is_refused(bert):
    with pytest.raises(ValueError, match="'office' is not one of the 92 words"):
        likely_words(bert, WORDS, f"Anna was at the office {MASK}")


@pytest.mark.parametrize("words", [5, 6, 20])
def test_a_text_that_is_too_long_is_refused(words):
    model = small(context_length=7)
    text = " ".join([MASK] + ["cup"] * (words - 1))
    if words == 5:
        assert len(likely_words(model, WORDS, text)) == 1
        return
    message = rf"has {words + 2} tokens with \[CLS\] and \[SEP\], but at most 7"
    with pytest.raises(ValueError, match=message):
        likely_words(model, WORDS, text)


def test_lengths_by_hand():
    check_length(0, 1)
    check_length(160, 160)
    with pytest.raises(ValueError, match=r"161 tokens .* Shorten it"):
        check_length(161, 160)


# Modes


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: fill_score(model, held_out_gaps(3)),
        lambda model: likely_words(model, WORDS, f"Anna was {MASK} ."),
    ],
)
def test_a_model_in_training_is_asked_without_dropout_and_goes_on(ask):
    model = small()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    results = []
    for training in (True, False, True):
        model.train(training)
        results.append(ask(model))
        assert all(part.training == training for part in model.modules())
    assert results[0] == results[1] == results[2]
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_the_mode_is_restored_after_an_error():
    few = small(vocab_size=30).train()
    with pytest.raises(ValueError, match="the vocabulary has only 0 to 29"):
        fill_score(few, held_out_gaps(2))
    assert few.training and not torch.is_inference_mode_enabled()
    with pytest.raises(ValueError, match="the vocabulary has only 0 to 29"):
        likely_words(few, WORDS, f"yawned {MASK}")
    assert few.training and not torch.is_inference_mode_enabled()


def test_a_batch_is_left_as_it_was(bert):
    batch = held_out_gaps(3)
    before = MaskedBatch(*(part.clone() for part in batch))
    fill_score(bert, batch)
    assert all(map(torch.equal, batch, before))
