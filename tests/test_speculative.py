"""Speculative decoding: the large model's own distribution, by counting."""

import pytest
import torch

from nextword.blocks import TransformerConfig
from nextword.cache import caches
from nextword.generation import GREEDY, Sampling, generate, probabilities
from nextword.speculative import (
    accept,
    check_speculation,
    distributions,
    draw,
    guess,
    speculate,
)
from nextword.transformer import GPT


def gpt(layers, seed, V=12, context=40, positions="rotary", std=0.5):
    torch.manual_seed(seed)
    config = TransformerConfig(V, context, 16, 2, layers, positions=positions)
    model = GPT(config)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            torch.nn.init.normal_(parameter, std=std)
    head = std * torch.randn_like(model.lm_head.weight)
    model.lm_head.weight = torch.nn.Parameter(head)  # tied, it would stutter
    return model.double()


def p_value(ids, p):
    """Of the chi-square test that ids were drawn from p."""
    counts = torch.bincount(torch.tensor(ids), minlength=len(p)).double()
    assert not counts[p == 0].any(), "an impossible token"
    e = len(ids) * p[p > 0]
    assert e.min() > 4, "too few draws for this test"
    statistic = ((counts[p > 0] - e) ** 2 / e).sum()
    half = torch.tensor((len(e) - 1) / 2, dtype=torch.float64)
    return torch.special.gammaincc(half, statistic / 2).item()


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


PAIRS = {
    "different": (tensor(0.5, 0.3, 0.2), tensor(0.2, 0.7, 0.1)),
    "zeros": (tensor(0.4, 0.0, 0.5, 0.1), tensor(0.3, 0.5, 0.0, 0.2)),
    "equal": (tensor(0.6, 0.1, 0.3), tensor(0.6, 0.1, 0.3)),
    "nothing in common": (tensor(0.5, 0.5, 0.0), tensor(0.0, 0.0, 1.0)),
}


def rounds(rule, p, q, n=8000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    guesses = torch.multinomial(q, n, True, generator=generator).tolist()
    two = torch.stack([p, p])
    return [rule(two, q[None], [x], generator) for x in guesses]


@pytest.mark.parametrize("name", PAIRS)
def test_one_guess_leaves_the_distribution_of_the_large_model(name):
    p, q = PAIRS[name]
    results = rounds(accept, p, q)
    assert p_value([r[0] for r in results], p) > 0.001
    extra = [r[1] for r in results if len(r) == 2]
    wanted = torch.minimum(p, q).sum().item()
    assert abs(len(extra) / len(results) - wanted) < 0.025
    if len(extra) > 100:
        assert p_value(extra, p) > 0.001


def test_the_test_rejects_two_wrong_rules():
    p, q = PAIRS["different"]

    def from_p(p, q, guesses, generator):
        x = guesses[0]
        u = torch.rand((), generator=generator)
        return [x if u * q[0][x] < p[0][x] else draw(p[0], generator)]

    def turned(p, q, guesses, generator):
        return accept(q.expand_as(p), p[:1], guesses, generator)

    for rule in (from_p, turned):
        assert p_value([r[0] for r in rounds(rule, p, q)], p) < 1e-6


def test_several_guesses_have_the_joint_distribution():
    """Two tokens, with a large and a small model that are tables."""
    generator = torch.Generator().manual_seed(3)
    P, Q = torch.rand(2, 4, 3, generator=generator, dtype=torch.float64)
    P, Q = (x / x.sum(-1, keepdim=True) for x in (P, Q))  # row 3: the first
    pairs = []
    for _ in range(8000):
        x = [draw(Q[3], generator)]
        x.append(draw(Q[x[0]], generator))
        p = torch.stack([P[3], P[x[0]], P[x[1]]])
        tokens = accept(p, torch.stack([Q[3], Q[x[0]]]), x, generator)
        if len(tokens) == 1:
            tokens.append(draw(P[tokens[0]], generator))
        pairs.append(3 * tokens[0] + tokens[1])
    assert p_value(pairs, (P[3][:, None] * P[:3]).flatten()) > 0.001


def test_an_impossible_guess_is_never_accepted():
    p = torch.stack([tensor(0.0, 1.0), tensor(1.0, 0.0)])
    q = tensor(1.0, 0.0)[None]
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        assert accept(p, q, [0], generator) == [1]
    # not even by a u of exactly 0, which torch.rand may give
    zero = pytest.MonkeyPatch()
    with zero.context() as patch:
        patch.setattr(torch, "rand", lambda *a, **k: torch.tensor(0.0))
        assert accept(p, q, [0], generator) == [1]


def test_no_guess_is_one_draw_and_equal_models_accept_all():
    p = tensor(0.0, 0.0, 1.0)
    assert accept(p[None], [], []) == [2]
    p = tensor(0.2, 0.3, 0.5).expand(5, 3)
    for _ in range(20):
        assert accept(p, p[:4], [0, 1, 2, 1])[:4] == [0, 1, 2, 1]


@pytest.mark.parametrize("guesses", [1, 2, 4, 7])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_greedy_speculation_is_greedy_decoding(guesses, positions):
    model = gpt(2, 3, positions=positions)
    draft = gpt(1, 4, positions=positions)
    for prompt in ([3, 1, 4], [1]):
        result = speculate(model, draft, prompt, 25, guesses, GREEDY)
        assert [result.ids] == generate(model, [prompt], 25)
        assert len(set(result.ids)) > 2


def test_a_perfect_draft_has_all_guesses_accepted():
    model, steps = gpt(2, 0), []
    model.register_forward_hook(lambda *args: steps.append(1))
    result = speculate(model, model, [3, 1], 20, 4, GREEDY)
    assert result.guessed == result.accepted == 16
    assert len(result.ids) == 20
    assert len(steps) == 16 + 4  # drafting, and four rounds of judging


def test_counts_and_calls_of_the_large_model_agree():
    model, draft, calls = gpt(2, 0), gpt(1, 1), []
    model.register_forward_hook(lambda *args: calls.append(1))
    generator = torch.Generator().manual_seed(0)
    result = speculate(model, draft, [3], 30, 3, Sampling(), generator)
    assert len(result.ids) == 30
    assert 0 < result.accepted < result.guessed
    assert len(calls) == 30 - result.accepted


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7, top_k=3), Sampling(1.3, top_p=0.8)]
)
def test_the_first_two_tokens_have_the_exact_distribution(sampling):
    V, prompt = 4, [1, 2]
    model, draft = (gpt(n, n, V, 8, std=0.25) for n in (2, 1))

    @torch.no_grad()
    def exact(ids):
        ids = torch.tensor([ids])
        return probabilities(model(ids)[:, -1], ids, sampling)[0]

    joint = torch.stack(
        [exact(prompt)[w] * exact([*prompt, w]) for w in range(V)]
    ).flatten()
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(700):
        ids = speculate(model, draft, prompt, 2, 3, sampling, generator).ids
        pairs.append(V * ids[0] + ids[1])
    rare = joint * len(pairs) < 5  # put together, so that the test is valid
    group = torch.where(rare, 0, torch.arange(1, V * V + 1))
    p = torch.zeros(V * V + 1, dtype=torch.float64).scatter_add(0, group, joint)
    if 0 < p[0] * len(pairs) < 5:
        largest = int(p.argmax())
        group[rare], p[largest], p[0] = largest, p[largest] + p[0], 0.0
    assert not joint[pairs].eq(0).any()
    assert p_value(group[pairs].tolist(), p) > 0.001


def test_distributions_come_after_what_the_cache_lacks():
    model = gpt(2, 0).eval()
    cache = caches(2, 10)
    with torch.no_grad():
        first = distributions(model, [3, 1, 4], cache, Sampling())
        then = distributions(model, [3, 1, 4, 1, 5], cache, Sampling())
        whole = model(torch.tensor([[3, 1, 4, 1, 5]]))[0].softmax(-1)
    assert first.shape == (3, 12) and then.shape == (2, 12)
    torch.testing.assert_close(
        torch.cat([first, then]), whole, rtol=0, atol=1e-10
    )


def test_guesses_come_with_what_they_were_drawn_from():
    draft = gpt(1, 1).eval()
    with torch.no_grad():
        x, q = guess(draft, [3, 1], 3, caches(1, 9), GREEDY, None)
    assert [x] == generate(draft, [[3, 1]], 3)
    assert [int(row.argmax()) for row in q] == x
    assert all(row.sum() == 1 for row in q)


def test_the_modes_of_both_models_are_restored():
    model, draft = gpt(2, 0).train(), gpt(1, 1).eval()
    speculate(model, draft, [1], 5)
    assert model.training and not draft.training


def test_the_same_seed_gives_the_same_text():
    model, draft = gpt(2, 0), gpt(1, 1)
    texts = [
        speculate(
            model,
            draft,
            [1],
            15,
            3,
            Sampling(),
            torch.Generator().manual_seed(seed),
        ).ids
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_no_new_token_is_possible():
    assert speculate(gpt(1, 0), gpt(1, 1), [1], 0) == ([], 0, 0)


def test_both_contexts_must_hold_the_text():
    small = gpt(1, 1, context=8)
    for pair in ((gpt(2, 0), small), (small, gpt(1, 0))):
        with pytest.raises(
            ValueError, match="9 together, but the context holds"
        ):
            speculate(*pair, [1, 2], 7)
    assert len(speculate(gpt(2, 0), small, [1, 2], 6).ids) == 6


@pytest.mark.parametrize(
    ("prompt", "guesses", "sampling", "message"),
    [
        ([], 4, Sampling(), "The prompt is empty"),
        ([1], 0, Sampling(), "guesses is 0"),
        ([1], 4, Sampling(repetition=1.2), "Set repetition to 1"),
    ],
)
def test_what_cannot_be_speculated_on_is_refused(
    prompt, guesses, sampling, message
):
    with pytest.raises(ValueError, match=message):
        check_speculation(prompt, guesses, sampling)
    with pytest.raises(ValueError, match=message):
        speculate(gpt(1, 0), gpt(1, 1), prompt, 4, guesses, sampling)
