"""Stories as batches: the shift, padding, seeds apart, and the exact floor."""

import math
from collections import Counter
from itertools import chain, pairwise

import pytest
import torch

from nextword import gaps, stories
from nextword.batches import TokenBatch
from nextword.blocks import TransformerConfig
from nextword.gaps import (
    WITH_RECAPS,
    gap_ids,
    held_out_gaps,
    story_gaps,
    town_masking,
)
from nextword.losses import IGNORE, token_losses
from nextword.masking import MaskedBatch
from nextword.stories import (
    FIRST,
    SHORT,
    StoryBatches,
    held_out,
    story_batch,
)
from nextword.tasks import TOWN_BERT, TOWN_GPT, longest_story
from nextword.town import TownConfig, make_story
from nextword.town_score import DEFAULT, next_token, score
from nextword.transformer import GPT, initialise
from nextword.words import CLS, END, MASK, PAD, SEP, SPECIAL, town_tokenizer

WORDS = town_tokenizer()
TINY = TownConfig(people=1, things=1, min_events=0, max_events=2)


def ids(text):
    return WORDS.encode(text)


def told(row):
    """The words of one row, without padding."""
    return WORDS.decode(row[row != IGNORE])


def gpt(positions="learned"):
    """A small GPT in float64 that is far from uniform."""
    torch.manual_seed(0)
    config = TransformerConfig(92, 160, 16, 2, 2, positions=positions)
    model = GPT(config).double()
    initialise(model, 0.4)
    return model


@pytest.fixture
def seeds(monkeypatch):
    """The seeds of the stories that are made, in order; they are short."""
    made = []

    def record(seed, config=DEFAULT):
        made.append(seed)
        return make_story(seed, TINY)

    for module in (stories, gaps):
        monkeypatch.setattr(module, "make_story", record)
    return made


def equal(one, other):
    return type(one) is type(other) and all(map(torch.equal, one, other))


# One batch


def test_a_batch_by_hand():
    batch = story_batch([["Anna", "was", "."], ["Ben"], []])
    anna, was, stop, ben, end = ids(f"Anna was . Ben {END}")
    assert batch.ids.tolist() == [
        [end, anna, was, stop],
        [end, ben, end, end],
        [end, end, end, end],
    ]
    assert batch.targets.tolist() == [
        [anna, was, stop, end],
        [ben, end, IGNORE, IGNORE],
        [end, IGNORE, IGNORE, IGNORE],
    ]
    assert type(batch) is TokenBatch
    assert batch.ids.dtype == batch.targets.dtype == torch.int64


@pytest.mark.parametrize("config", [DEFAULT, WITH_RECAPS, TINY])
def test_targets_are_the_ids_one_place_later(config):
    rows = [make_story(seed, config).tokens for seed in range(60)]
    batch = story_batch(rows)
    predicted = batch.targets != IGNORE
    assert predicted.sum(1).tolist() == [len(row) + 1 for row in rows]
    assert batch.ids.shape == (60, max(map(len, rows)) + 1)
    going_on = predicted[:, 1:]
    assert torch.equal(
        batch.ids[:, 1:][going_on], batch.targets[:, :-1][going_on]
    )
    assert (batch.ids[:, 0] == WORDS.ids[END]).all()
    for row, targets in zip(rows, batch.targets, strict=True):
        assert told(targets) == " ".join([*row, END])
    # Nothing is to be predicted after END, and END comes once a story.
    assert (predicted.int().diff(dim=1) <= 0).all()
    assert (batch.targets == WORDS.ids[END]).sum(1).tolist() == [1] * 60


def test_no_stories_and_unknown_words_are_refused():
    with pytest.raises(ValueError, match="or none at all"):
        story_batch([])
    with pytest.raises(KeyError, match="Zeus"):
        story_batch([["Zeus"]])


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_the_losses_in_a_batch_are_those_of_each_story_alone(positions):
    model = gpt(positions)
    rows = [make_story(seed).tokens for seed in range(7)]
    batch = story_batch(rows)
    assert len({len(row) for row in rows}) > 3  # so there is padding
    together = token_losses(model(batch.ids), batch.targets)
    for row, losses in zip(rows, together, strict=True):
        alone = story_batch([row])
        expected = token_losses(model(alone.ids), alone.targets)[0]
        n = len(row) + 1
        torch.testing.assert_close(losses[:n], expected, rtol=0, atol=1e-11)
        assert (losses[n:] == 0).all()
        assert expected.min() > 0


def test_the_gradient_of_a_batch_is_the_sum_of_those_of_its_stories():
    model = gpt()
    rows = [make_story(seed).tokens for seed in range(5)]

    def gradients(rows):
        model.zero_grad()
        batch = story_batch(rows)
        token_losses(model(batch.ids), batch.targets).sum().backward()
        return [p.grad.clone() for p in model.parameters()]

    each = zip(*(gradients([row]) for row in rows), strict=True)
    for whole, parts in zip(gradients(rows), each, strict=True):
        torch.testing.assert_close(whole, sum(parts), rtol=1e-9, atol=1e-9)


def test_what_stands_on_padding_changes_no_loss():
    model, (inputs, targets) = gpt(), story_batch([["Anna"] * 9, ["Ben"] * 3])
    before = token_losses(model(inputs), targets)
    padding = targets == IGNORE
    assert padding.sum() == 6
    other = inputs.masked_fill(padding, WORDS.ids["kitchen"])
    assert not torch.equal(other, inputs)
    after = token_losses(model(other), targets)
    torch.testing.assert_close(before, after, rtol=0, atol=0)


# Batches without end


@pytest.mark.parametrize("number", [None, 5])
def test_a_batch_depends_on_its_number_alone(number):
    def make():
        return StoryBatches(4, WITH_RECAPS, seed=2, number=number)

    batches = make()
    inorder = [batches(step) for step in range(6)]
    torch.manual_seed(123)  # the global random numbers play no part
    state = torch.get_rng_state()
    for step in (5, 2, 0, 4, 2):
        assert equal(batches(step), inorder[step])
        assert equal(make()(step), inorder[step])
    assert torch.equal(torch.get_rng_state(), state)
    assert not equal(inorder[0], inorder[1])


def test_a_batch_holds_the_stories_that_its_docstring_promises():
    batches = StoryBatches(3, WITH_RECAPS, seed=7)
    for step in (0, 1, 50):
        numbers = [FIRST + 7 * 10**9 + 3 * step + i for i in range(3)]
        rows = [make_story(n, WITH_RECAPS).tokens for n in numbers]
        assert batches.stories(step) == rows
        assert equal(batches(step), story_batch(rows))
    assert [batches.story(n) for n in (3, 4, 5)] == batches.stories(1)
    assert all("Now" in row for row in batches.stories(0))
    assert all("Now" not in row for row in StoryBatches(3).stories(0))


def test_no_two_batches_share_a_seed_and_none_is_held_out(seeds):
    for seed in range(5):
        batches = StoryBatches(8, seed=seed)
        for step in (*range(60), 6_000, 10**6):
            batches(step)
    trained = seeds.copy()
    assert len(trained) == len(set(trained)) == 5 * 62 * 8
    assert min(trained) == FIRST == 1_000_000
    seeds.clear()
    held_out(300, TINY)
    held_out_gaps(300)
    assert sorted(seeds) == sorted([*range(300), *range(300)])


def test_no_story_comes_twice_in_training_or_held_out():
    """Of the texts themselves; a story is told about once in e^56 times."""
    texts = [
        " ".join(story)
        for seed in range(3)
        for step in range(40)
        for story in StoryBatches(8, seed=seed).stories(step)
    ]
    texts += [" ".join(make_story(seed).tokens) for seed in range(300)]
    assert len(texts) == len(set(texts)) == 3 * 40 * 8 + 300


@pytest.mark.parametrize(("number", "size"), [(1, 3), (5, 3), (6, 2), (7, 20)])
def test_so_many_stories_come_again_and_again(seeds, number, size):
    batches = StoryBatches(size, seed=1, number=number)
    for step in range(9):
        batches(step)
    start = FIRST + 10**9
    assert seeds == [start + n % number for n in range(9 * size)]


def test_a_few_stories_are_the_first_of_the_many():
    few, many = StoryBatches(4, number=12), StoryBatches(4)
    for step in range(3):
        assert equal(few(step), many(step))
        assert equal(few(step + 3), few(step))
    assert not equal(few(3), many(3))


@pytest.mark.parametrize(
    "sizes",
    [
        {"batch_size": 0},
        {"batch_size": -3},
        {"batch_size": 4, "number": 0},
        {"batch_size": 4, "number": -1},
    ],
)
def test_batches_of_nothing_are_refused(sizes):
    with pytest.raises(ValueError, match=r"batch_size and a number of 1 or"):
        StoryBatches(**sizes)


@pytest.mark.parametrize(
    ("config", "settings", "signs"),
    [(SHORT, TOWN_GPT, 1), (WITH_RECAPS, TOWN_BERT, 2)],
)
def test_every_story_fits_the_models_of_the_town(config, settings, signs):
    """With END before it, or with CLS and SEP around it."""
    lengths = [len(make_story(seed, config).tokens) for seed in range(800)]
    assert max(lengths) <= longest_story(config)
    assert max(lengths) > 0.85 * longest_story(config)
    assert longest_story(config) + signs <= settings.context_length


# For BERT


def test_gaps_are_stories_between_two_signs():
    rows = gap_ids([["Anna", "was", "."], ["Ben"]])
    assert rows.tolist() == [
        ids(f"{CLS} Anna was . {SEP}"),
        ids(f"{CLS} Ben {SEP} {PAD} {PAD}"),
    ]


def test_the_masking_of_the_town_is_berts():
    masking = town_masking()
    assert masking.mask_id == WORDS.ids[MASK]
    assert masking.pad_id == WORDS.ids[PAD]
    assert WORDS.words[: masking.first_word] == SPECIAL
    assert masking.vocab_size == WORDS.vocab_size
    assert (masking.rate, masking.masked, masking.random) == (0.15, 0.8, 0.1)


def uncovered(batch):
    """The ids before words were hidden."""
    return torch.where(batch.targets == IGNORE, batch.ids, batch.targets)


def test_the_same_stories_come_with_words_hidden():
    stories = StoryBatches(6, WITH_RECAPS, seed=3)
    gaps, again = story_gaps(stories), story_gaps(stories)
    for step in (4, 0, 1):
        batch = gaps(step)
        assert type(batch) is MaskedBatch
        assert torch.equal(uncovered(batch), gap_ids(stories.stories(step)))
        assert equal(batch, again(step))
    other = story_gaps(StoryBatches(6, WITH_RECAPS, seed=4))
    assert not torch.equal(uncovered(gaps(0)), uncovered(other(0)))


def test_stories_that_come_again_have_other_words_hidden():
    gaps = story_gaps(StoryBatches(8, number=8))
    one, other = gaps(0), gaps(1)
    assert torch.equal(uncovered(one), uncovered(other))
    assert not torch.equal(one.targets, other.targets)


def test_the_seed_hides_other_words_too(monkeypatch):
    monkeypatch.setattr(
        stories, "make_story", lambda seed, config: make_story(0, config)
    )
    one, other = (story_gaps(StoryBatches(8, seed=s))(0) for s in (0, 1))
    assert torch.equal(uncovered(one), uncovered(other))
    assert not torch.equal(one.targets, other.targets)


def test_held_out_gaps_are_always_the_same():
    batch = held_out_gaps(40)
    torch.manual_seed(5)
    assert equal(batch, held_out_gaps(40))
    rows = [make_story(seed, WITH_RECAPS).tokens for seed in range(40)]
    assert torch.equal(uncovered(batch), gap_ids(rows))
    number, words = (batch.targets != IGNORE).sum(), sum(map(len, rows))
    assert abs(number - 0.15 * words) < 4.5 * math.sqrt(0.15 * 0.85 * words)
    plain = held_out_gaps(5, DEFAULT)
    rows = [make_story(seed).tokens for seed in range(5)]
    assert torch.equal(uncovered(plain), gap_ids(rows))


# The floor


@pytest.mark.parametrize("config", [DEFAULT, WITH_RECAPS, TINY])
def test_the_floor_is_a_chain_of_next_tokens(config):
    batch, floor = held_out(5, config)
    nats = targets = 0
    for seed in range(5):
        tokens = make_story(seed, config).tokens
        for n, token in enumerate(tokens):
            nats -= math.log(next_token(tokens[:n], config)[token])
        assert next_token(tokens, config) == {}  # END is certain
        targets += len(tokens) + 1
    assert math.isclose(floor, nats / targets, rel_tol=1e-9)
    rows = [make_story(seed, config).tokens for seed in range(5)]
    assert equal(batch, story_batch(rows))
    assert int((batch.targets != IGNORE).sum()) == targets


def test_the_floor_is_above_that_of_who_knows_the_theme():
    """By at most ln 4 a story, for there are four themes."""
    rows = [make_story(seed) for seed in range(100)]
    targets = sum(len(story.tokens) + 1 for story in rows)
    known = -sum(sum(story.log_p) for story in rows) / targets
    _, floor = held_out(100)
    assert known < floor < known + 100 * math.log(4) / targets


def bigrams(rows):
    """How often each word follows another, with one more of each."""
    counts = torch.ones(92, 92, dtype=torch.float64)
    for row in rows:
        for a, b in pairwise([END, *row, END]):
            counts[WORDS.ids[a], WORDS.ids[b]] += 1
    return counts / counts.sum(1, keepdim=True)


def test_no_mixture_with_what_was_counted_passes_the_floor():
    """Gibbs' inequality, on 150 stories: only the town itself is at the floor."""
    batch, floor = held_out(150)
    exact = torch.tensor(
        [
            p
            for seed in range(150)
            for p in [*score(make_story(seed).tokens), 0.0]
        ]
    ).exp()
    predicted = batch.targets != IGNORE
    inputs, targets = batch.ids[predicted], batch.targets[predicted]
    assert math.isclose(-exact.log().mean(), floor, rel_tol=1e-5)
    rows = [s for step in range(50) for s in StoryBatches(12).stories(step)]
    often = Counter(chain(*map(WORDS.encode, map(" ".join, rows))))
    unigram = torch.tensor([often[id] + 1.0 for id in range(92)])
    guesses = {
        "bigram": bigrams(rows)[inputs, targets],
        "unigram": (unigram / unigram.sum())[targets],
        "uniform": torch.full_like(exact, 1 / 92),
    }
    for name, guess in guesses.items():
        last = floor
        for share in (0.02, 0.1, 0.3, 0.6, 1.0):
            p = (1 - share) * exact + share * guess
            loss = float(-p.log().mean())
            assert loss > last + 1e-3, (name, share)  # ever further above
            last = loss
        assert last > 1.5 * floor, name


def test_neither_more_nor_less_certainty_passes_the_floor():
    rows = [make_story(seed).tokens for seed in range(12)]
    _, floor = held_out(12)
    steps = [
        (list(next_token(row[:n]).items()), row[n])
        for row in rows
        for n in range(len(row))
    ]

    def loss(temperature):
        nats = 0.0
        for options, token in steps:
            weights = {t: p ** (1 / temperature) for t, p in options}
            nats -= math.log(weights[token] / sum(weights.values()))
        return nats / (len(steps) + len(rows))

    assert math.isclose(loss(1.0), floor, rel_tol=1e-9)
    for temperature in (0.5, 0.7, 1.6, 2.5):
        assert loss(temperature) > floor + 0.01
