"""Beam search against a search of everything."""

import itertools
import math

import pytest
import torch

from nextword.blocks import TransformerConfig
from nextword.generation import generate
from nextword.search import (
    Hypothesis,
    beam_search,
    check_search,
    grow,
    is_over,
)
from nextword.transformer import GPT

START = torch.zeros(1, 1, dtype=torch.long)
END = 2
ALPHAS = [0.0, 0.6, 1.0]


def table_model(seed, V=3, longest=4):
    """Logits that depend on all tokens so far, at random."""
    generator = torch.Generator().manual_seed(seed)
    rows = {
        body: torch.randn(V, generator=generator, dtype=torch.float64)
        for n in range(longest)
        for body in itertools.product(range(V), repeat=n)
    }

    def next_logits(ids):
        return torch.stack([rows[tuple(row[1:])] for row in ids.tolist()])

    return next_logits


def log_p(next_logits, ids):
    """The ln P of one text, one token after the other."""
    total = 0.0
    for t, w in enumerate(ids):
        row = torch.tensor([[0, *ids[:t]]])
        total += next_logits(row).log_softmax(-1)[0, w].item()
    return total


def every_text(next_logits, V=3, longest=4):
    """All texts that end with END or have full length, with their ln P."""
    texts = {}
    for n in range(1, longest + 1):
        for ids in itertools.product(range(V), repeat=n):
            over = ids[-1] == END or n == longest
            if over and END not in ids[:-1]:
                texts[ids] = log_p(next_logits, ids)
    return texts


def score(texts, ids, alpha):
    return texts[ids] / len(ids) ** alpha


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_is_a_search_of_everything(seed, alpha):
    model = table_model(seed)
    texts = every_text(model)
    assert math.isclose(sum(map(math.exp, texts.values())), 1.0)
    found = beam_search(model, START, 200, 4, END, alpha)
    best = sorted(texts, key=lambda ids: -score(texts, ids, alpha))
    assert [text.ids for text in found] == best
    for text in found:
        assert math.isclose(text.log_p, texts[text.ids], rel_tol=1e-12)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_what_is_found_is_true_sorted_and_different(width, alpha):
    for seed in range(6):
        model = table_model(seed)
        texts = every_text(model)
        found = beam_search(model, START, width, 4, END, alpha)
        assert 1 <= len(found) <= width
        assert len({text.ids for text in found}) == len(found)
        scores = [text.score(alpha) for text in found]
        assert scores == sorted(scores, reverse=True)
        assert math.isclose(found[0].log_p, texts[found[0].ids])


def test_a_width_of_one_is_greedy_search():
    for seed in range(40):
        model, ids = table_model(seed), []
        while len(ids) < 4 and (not ids or ids[-1] != END):
            ids.append(int(model(torch.tensor([[0, *ids]])).argmax()))
        assert beam_search(model, START, 1, 4, END)[0].ids == tuple(ids)


def test_a_wider_beam_finds_what_greedy_misses():
    first = torch.tensor([0.5, 0.4, 0.1])
    second = torch.tensor([[0.4, 0.3, 0.3], [0.9, 0.05, 0.05], [0.2, 0.4, 0.4]])

    def model(ids):
        return (first[None] if ids.shape[1] == 1 else second[ids[:, -1]]).log()

    narrow, wide = (beam_search(model, START, w, 2, 9)[0] for w in (1, 2))
    assert narrow.ids == (0, 0) and wide.ids == (1, 0)
    assert math.isclose(math.exp(wide.log_p), 0.36, rel_tol=1e-5)


def test_it_stops_early_only_when_nothing_can_change():
    """The full search, without early stop, gives the same first text."""
    for seed, alpha in itertools.product(range(30), ALPHAS):
        model, steps = table_model(seed), []

        def counted(ids, model=model, steps=steps):
            steps.append(len(ids))
            return model(ids)

        found = beam_search(counted, START, 3, 4, END, alpha)
        beams, finished = [Hypothesis((), 0.0)], []
        for _ in range(4):
            longer = grow(model, START, beams, 6)
            finished += [b for b in longer[:3] if b.ids[-1] == END]
            beams = [b for b in longer if b.ids[-1] != END][:3]
        best = max(b.score(alpha) for b in [*finished, *beams])
        assert math.isclose(found[0].score(alpha), best)
        assert len(steps) <= 4


def test_it_does_stop_early():
    steps = []

    def model(ids):
        steps.append(1)
        return torch.tensor([[0.1, 0.1, 0.8]]).log().expand(len(ids), -1)

    assert beam_search(model, START, 1, 50, END)[0].ids == (END,)
    assert len(steps) == 1


def test_a_prompt_of_a_gpt_gives_its_greedy_text():
    torch.manual_seed(0)
    model = GPT(TransformerConfig(11, 16, 16, 2, 1)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    prompt = [3, 1, 4]
    best = beam_search(
        lambda ids: model(ids)[:, -1], torch.tensor([prompt]), 1, 9, end_id=-1
    )[0]
    assert [list(best.ids)] == generate(model, [prompt], 9)


def test_growing_compares_the_extensions_of_all_beams():
    def model(ids):
        return torch.tensor([[0.6, 0.4], [0.9, 0.1]], dtype=torch.float64).log()

    beams = [Hypothesis((0,), math.log(0.5)), Hypothesis((1,), math.log(0.4))]
    longer = grow(model, START, beams, 3)
    assert [text.ids for text in longer] == [(1, 0), (0, 0), (0, 1)]
    values = [math.exp(text.log_p) for text in longer]
    assert values == pytest.approx([0.36, 0.30, 0.20], rel=1e-12)
    assert len(grow(model, START, beams, 99)) == 4


def test_the_score_divides_by_a_power_of_the_length():
    text = Hypothesis((1, 2, 3, 4), -6.0)
    assert text.score(0.0) == -6.0
    assert text.score(0.5) == -3.0
    assert text.score(1.0) == -1.5


def test_when_it_is_over():
    good, bad = Hypothesis((END,), -1.0), Hypothesis((0,), -2.0)
    assert is_over([], [], 1, 5, 0.0)
    assert not is_over([bad], [], 1, 5, 0.0)
    assert is_over([bad], [good], 1, 5, 0.0)
    assert not is_over([bad], [good], 2, 5, 0.0)  # one text is missing
    assert not is_over([bad], [good], 1, 5, 1.0)  # -2 / 5 may beat -1 / 1
    assert not is_over([Hypothesis((0,), -0.5)], [good], 1, 5, 0.0)


@pytest.mark.parametrize(("width", "length"), [(0, 4), (2, 0), (-1, 1)])
def test_an_empty_search_is_refused(width, length):
    with pytest.raises(ValueError, match="Both must be 1 or more"):
        beam_search(table_model(0), START, width, length, END)
    with pytest.raises(ValueError, match=f"width is {width}"):
        check_search(width, length)
