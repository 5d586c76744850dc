"""Evaluation: against plain loops, models that are known, and by hand."""

import math
from dataclasses import asdict
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nextword import commands, evaluation
from nextword.batches import TokenBatch
from nextword.blocks import TransformerConfig
from nextword.evaluation import (
    legal_share,
    mean_loss,
    sample_stories,
    story_losses,
    text_score,
    text_windows,
)
from nextword.filling import fill_score
from nextword.gaps import WITH_RECAPS, held_out_gaps
from nextword.losses import IGNORE
from nextword.pretrained import ModelCard, Pretrained
from nextword.stories import SHORT, held_out, story_batch
from nextword.tokenizer import CharacterTokenizer, Tokenizer, train_tokenizer
from nextword.town import TownConfig, make_story
from nextword.town_score import next_token
from nextword.transformer import BERT, GPT, initialise
from nextword.words import END, town_tokenizer

WORDS = town_tokenizer()
END_ID = WORDS.ids[END]


def small(kind, vocab_size=92, context_length=160, std=0.4):
    """A model in float64 that is far from uniform and would drop out."""
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size, context_length, 16, 2, 2, dropout=0.3
    )
    model = kind(config).double()
    initialise(model, std)
    return model


@pytest.fixture(scope="module")
def gpt():
    return small(GPT)


@pytest.fixture(scope="module")
def bert():
    return small(BERT)


class Stub(nn.Module):
    """Logits by a rule; so much of a GPT that it can be asked."""

    def __init__(self, rule, context_length=160):
        super().__init__()
        self.rule = rule
        self.nothing = nn.Parameter(torch.zeros(1))
        self.config = TransformerConfig(92, context_length, 2, 1, 1)

    def forward(self, ids, real=None, cache=None):
        return self.rule(ids)


def uniform(vocab_size, context_length=160):
    def rule(ids):
        return torch.zeros(*ids.shape, vocab_size, dtype=torch.float64)

    return Stub(rule, context_length)


def following(text, after):
    """A model that knows one next word for each word."""
    logits = torch.full((92, 92), -torch.inf)
    words = WORDS.encode(text)
    logits[:, WORDS.ids[after]] = 0.0
    for a, b in pairwise(words):
        logits[a] = -torch.inf
        logits[a, b] = 0.0
    return logits


def plain_losses(model, row):
    """The loss at each target of one story, by PyTorch."""
    ids = torch.tensor(WORDS.encode(f"{END} {' '.join(row)} {END}"))
    with torch.no_grad():
        logits = model.eval()(ids[None, :-1])[0]
    return F.cross_entropy(logits, ids[1:], reduction="none")


# The loss of a GPT


@pytest.mark.parametrize("rows", [1, 3, 11, 64])
def test_story_losses_are_those_of_a_plain_loop(gpt, rows):
    stories = [make_story(seed).tokens for seed in range(11)]
    batch = story_batch(stories)
    losses = story_losses(gpt, batch, rows)
    assert losses.shape == batch.targets.shape
    for story, row in zip(stories, losses, strict=True):
        n = len(story) + 1
        expected = plain_losses(gpt, story)
        torch.testing.assert_close(row[:n], expected, rtol=0, atol=1e-11)
        assert (row[n:] == 0).all()


def test_the_mean_loss_is_that_of_all_targets(gpt):
    """Long stories count for more than short ones."""
    short = TownConfig(people=1, things=1, min_events=0, max_events=1)
    stories = [make_story(seed).tokens for seed in range(70)]
    stories += [make_story(seed, short).tokens for seed in range(70)]
    expected = torch.cat([plain_losses(gpt, story) for story in stories])
    loss = mean_loss(gpt, story_batch(stories))
    assert type(loss) is float
    assert math.isclose(loss, expected.mean(), rel_tol=1e-12)


def test_losses_are_ordinary_tensors_without_gradients(gpt):
    gpt.zero_grad()
    losses = story_losses(gpt, held_out(3)[0])
    assert not losses.requires_grad
    weight = torch.ones((), dtype=losses.dtype, requires_grad=True)
    (weight * losses).sum().backward()  # they may be used in a graph
    assert all(p.grad is None for p in gpt.parameters())


def test_who_knows_nothing_loses_ln_v():
    batch, _ = held_out(70)
    loss = mean_loss(uniform(92), batch)
    assert math.isclose(loss, math.log(92), rel_tol=1e-12)


def test_who_knows_the_town_is_at_the_floor():
    """A model that answers with the exact probability of each next token."""

    def rule(ids):
        p = torch.zeros(*ids.shape, 92, dtype=torch.float64)
        for b, row in enumerate(ids.tolist()):
            words = WORDS.decode(row).split()
            for n in range(
                words.index(END, 1) if END in words[1:] else len(words)
            ):
                exact = next_token(words[1 : n + 1]) or {END: 1.0}
                for token, share in exact.items():
                    p[b, n, WORDS.ids[token]] = share
        return p.log().nan_to_num(neginf=-1e9)

    batch, floor = held_out(8)
    loss = mean_loss(Stub(rule), batch)
    assert math.isclose(loss, floor, rel_tol=1e-9)
    assert 0.5 < loss < 0.8


# Samples


def test_the_same_seed_samples_the_same_stories(gpt):
    told = sample_stories(gpt, 6, seed=3)
    torch.manual_seed(99)  # the global random numbers play no part
    state = torch.get_rng_state()
    assert sample_stories(gpt, 6, seed=3) == told
    assert torch.equal(torch.get_rng_state(), state)
    assert sample_stories(gpt, 6, seed=4) != told
    assert len({str(story) for story in told}) == 6


@pytest.mark.parametrize(("number", "temperature"), [(5, 1.0), (1, 0.7)])
def test_samples_are_those_of_a_plain_loop(gpt, number, temperature):
    """The whole text through the model for each word, without a cache."""
    generator = torch.Generator().manual_seed(8)
    ids = torch.full((number, 1), END_ID)
    gpt.eval()
    with torch.no_grad():
        for _ in range(159):
            p = (gpt(ids)[:, -1] / temperature).softmax(-1)
            new = torch.multinomial(p, 1, generator=generator)
            ids = torch.cat([ids, new], dim=1)
    expected = []
    for row in ids[:, 1:].tolist():
        row = row[: row.index(END_ID)] if END_ID in row else row
        expected.append([WORDS.words[id] for id in row])
    assert sample_stories(gpt, number, 8, temperature) == expected


def test_without_temperature_the_likeliest_story_is_told(gpt):
    told = sample_stories(gpt, 3, seed=0, temperature=0.0)
    assert told == 3 * sample_stories(gpt, 1, seed=5, temperature=0.0)


def test_a_story_ends_before_end():
    text = "Anna was at the kitchen ."
    logits = following(f"{END} {text} {END}", END)
    told = sample_stories(Stub(lambda ids: logits[ids]), 4)
    assert told == [text.split()] * 4
    logits = following(f"{END} {END}", END)
    assert sample_stories(Stub(lambda ids: logits[ids]), 2) == [[], []]


@pytest.mark.parametrize(("context", "length"), [(160, 159), (50, 49)])
def test_a_story_without_end_stops_where_the_room_does(context, length):
    logits = following(f"{END} Anna was was", "was")
    (told,) = sample_stories(Stub(lambda ids: logits[ids], context), 1)
    assert told == ["Anna", *["was"] * (length - 1)]


def test_samples_of_a_known_distribution_come_as_often_as_they_should():
    """One word, then END: Anna, Ben or Clara at 0.5, 0.3 and 0.2."""
    logits = following(f"Anna {END}", END)
    shares = {"Anna": 0.5, "Ben": 0.3, "Clara": 0.2}
    logits[END_ID] = -torch.inf
    for word, share in shares.items():
        logits[END_ID, WORDS.ids[word]] = math.log(share)
    told = sample_stories(Stub(lambda ids: logits[ids]), 3_000, seed=1)
    assert all(len(story) == 1 for story in told)
    statistic = 0.0
    for word, share in shares.items():
        often = sum(story == [word] for story in told)
        statistic += (often - 3_000 * share) ** 2 / (3_000 * share)
    assert statistic < 13.8  # 2 degrees of freedom: 1 time in 1,000


def test_the_legal_share_by_hand():
    right = [make_story(seed).tokens for seed in range(4)]
    recaps = make_story(0, WITH_RECAPS).tokens
    wrong = [right[0][:-1], [*right[1], "."], [], ["Anna"], [END], recaps]
    assert legal_share(right) == 1.0
    assert legal_share(wrong) == 0.0
    assert legal_share([*right, *wrong]) == 0.4
    assert legal_share([*wrong, recaps], WITH_RECAPS) == 2 / 7
    moved = list(right[2])
    place = moved.index("at")
    moved[place], moved[place + 1] = moved[place + 1], moved[place]
    assert legal_share([moved, right[3]]) == 0.5


# Whole evaluations


def pretrained(model, kind, config):
    data = {"config": asdict(config)}
    card = ModelCard(kind, {}, {}, data, "", {})
    return Pretrained(model, town_tokenizer(), card)


def test_what_is_said_of_a_town_gpt(gpt, monkeypatch):
    monkeypatch.setattr(evaluation, "sample_stories", lambda *asked: [asked])
    monkeypatch.setattr(evaluation, "legal_share", lambda *asked: asked)
    found = commands.evaluate_town(pretrained(gpt, "gpt", SHORT), 5, 3)
    batch, floor = held_out(5, SHORT)
    loss = mean_loss(gpt, batch)
    assert found == {
        "stories": 5,
        "loss": loss,
        "floor": floor,
        "loss / floor": loss / floor,
        "legal share of samples": ([(gpt, 3)], SHORT),
    }
    assert loss > floor


def test_an_untrained_gpt_tells_nothing_legal(gpt):
    found = commands.evaluate_town(pretrained(gpt, "gpt", SHORT), 2, 4)
    assert found["legal share of samples"] == 0.0
    assert found["loss / floor"] > 3


def test_what_is_said_of_a_town_bert(bert):
    loss, accuracy = fill_score(bert, held_out_gaps(6, SHORT))
    of_town = pretrained(bert, "bert", SHORT)
    assert commands.evaluate_town(of_town, 6, 1) == {
        "stories": 6,
        "loss": loss,
        "accuracy": accuracy,
    }


# Texts


def test_windows_by_hand():
    batch = text_windows([10, 11, 12, 13, 14, 15], 3)
    assert type(batch) is TokenBatch
    assert batch.ids.tolist() == [[10, 11, 12], [13, 14, 0]]
    assert batch.targets.tolist() == [[11, 12, 13], [14, 15, IGNORE]]
    batch = text_windows([10, 11, 12, 13, 14], 2)
    assert batch.ids.tolist() == [[10, 11], [12, 13]]
    assert batch.targets.tolist() == [[11, 12], [13, 14]]


@given(st.integers(1, 20), st.data())
def test_each_id_but_the_first_is_a_target_once(T, data):
    ids = data.draw(st.lists(st.integers(0, 99), min_size=T + 1, max_size=70))
    batch = text_windows(ids, T)
    predicted = batch.targets != IGNORE
    assert batch.targets[predicted].tolist() == ids[1:]
    assert batch.ids[predicted].tolist() == ids[:-1]
    assert (
        batch.ids.shape == batch.targets.shape == (-(-(len(ids) - 1) // T), T)
    )
    assert predicted[:-1].all()  # padding ends the last window alone
    assert (predicted[-1].int().diff() <= 0).all() and predicted[-1, 0]
    assert len(batch.ids) * T - (len(ids) - 1) == (~predicted).sum() < T


@pytest.mark.parametrize(("n", "T"), [(0, 1), (1, 1), (8, 8), (3, 100)])
def test_a_text_that_is_too_short_is_refused(n, T):
    message = f"The text gives {n} tokens, but one window needs {T + 1}"
    with pytest.raises(ValueError, match=message):
        text_windows(list(range(n)), T)
    assert text_windows(list(range(T + 1)), T).ids.shape == (1, T)
    if n:
        with pytest.raises(ValueError, match="Give a longer text"):
            text_score(uniform(2, T), CharacterTokenizer("ab"), "a" * n)


BYTES = Tokenizer(())  # one id for each byte


@pytest.mark.parametrize("T", [3, 4, 7])
@pytest.mark.parametrize(
    "text", ["to be or not", "今天的天气很好", "Straße, naß 🙂"]
)
def test_who_knows_nothing_needs_eight_bits_a_byte(text, T):
    found = text_score(uniform(256, T), BYTES, text)
    assert found["tokens"] == len(text.encode("utf-8")) - 1
    assert type(found["tokens"]) is int
    assert math.isclose(found["loss"], math.log(256), rel_tol=1e-12)
    assert math.isclose(found["perplexity"], 256, rel_tol=1e-12)
    assert math.isclose(found["bits per byte"], 8, rel_tol=1e-12)


def test_bits_a_byte_by_hand():
    """今天 今天 has 5 characters of 3 kinds, in 3 + 3 + 1 + 3 + 3 = 13 bytes.

    A character takes log2(3) bits, all five 7.92, and a byte 0.61.
    """
    tokenizer = CharacterTokenizer("今天 ")
    found = text_score(uniform(3, 2), tokenizer, "今天 今天")
    assert found["tokens"] == 4
    assert math.isclose(found["perplexity"], 3, rel_tol=1e-12)
    assert math.isclose(found["bits per byte"], 5 * math.log2(3) / 13)
    assert round(found["bits per byte"], 2) == 0.61


def test_a_loss_of_unequal_tokens_by_hand():
    """p(a) = 1/2, p(b) = 1/4, p(é) = 1/4: abéa after a costs 1, 2, 2, 1 bits."""
    tokenizer = CharacterTokenizer("abé")
    p = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    model = Stub(lambda ids: p.log().expand(*ids.shape, 3), 3)
    found = text_score(model, tokenizer, "aabéa")
    assert found["tokens"] == 4
    assert math.isclose(found["loss"], 1.5 * math.log(2))
    assert math.isclose(found["perplexity"], 2**1.5)
    # Five tokens of 1.5 bits in six bytes.
    assert math.isclose(found["bits per byte"], 7.5 / 6)


@pytest.mark.parametrize(
    "tokenizer", [BYTES, train_tokenizer("to be or not to be " * 9, 270)]
)
def test_a_text_score_is_that_of_a_plain_loop(tokenizer):
    text = "to be, or not to be: 今天 or naß\n" * 5
    model = small(GPT, tokenizer.vocab_size, context_length=16).eval()
    ids = tokenizer.encode(text)
    nats = []
    for start in range(0, len(ids) - 1, 16):
        window = torch.tensor(ids[start : start + 17])
        with torch.no_grad():
            log_p = model(window[None, :-1])[0].log_softmax(-1)
        nats += [-float(p[t]) for p, t in zip(log_p, window[1:], strict=True)]
    assert len(nats) == len(ids) - 1 and len(nats) % 16
    found = text_score(model, tokenizer, text)
    loss = sum(nats) / len(nats)
    bits = loss / math.log(2) * len(ids) / len(text.encode("utf-8"))
    assert found["tokens"] == len(nats)
    assert math.isclose(found["loss"], loss, rel_tol=1e-10)
    assert math.isclose(found["perplexity"], math.exp(loss), rel_tol=1e-10)
    assert math.isclose(found["bits per byte"], bits, rel_tol=1e-10)


def test_a_text_with_unknown_characters_is_refused():
    with pytest.raises(ValueError, match="'c' is not one of the 2 characters"):
        text_score(uniform(2, 2), CharacterTokenizer("ab"), "abc")


# Modes


ASKED = {
    "story_losses": (
        GPT,
        lambda model: story_losses(model, held_out(3)[0]).tolist(),
    ),
    "mean_loss": (GPT, lambda model: mean_loss(model, held_out(3)[0])),
    "sample_stories": (GPT, lambda model: sample_stories(model, 2)),
    "text_score": (
        GPT,
        lambda model: text_score(model, CharacterTokenizer("ab"), "ab" * 99),
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_model_in_training_is_measured_without_dropout_and_goes_on(name):
    kind, ask = ASKED[name]
    model = small(kind)
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
    short, batch = small(GPT, context_length=20).train(), held_out(2)[0]
    with pytest.raises(ValueError, match="do not fit in a context of 20"):
        story_losses(short, batch)
    assert short.training and not torch.is_inference_mode_enabled()
