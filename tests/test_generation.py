"""Generation against Hugging Face's rules, and against slow, plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nextword.blocks import TransformerConfig
from nextword.cache import KVCache, caches, check_capacity
from nextword.generation import (
    GREEDY,
    Sampling,
    check_room,
    choose,
    evaluating,
    find_stop,
    generate,
    left_pad,
    min_p,
    penalise_repetition,
    probabilities,
    take,
    top_k,
    top_p,
    translate,
)
from nextword.transformer import GPT, Transformer

KINDS = ["learned", "sinusoidal", "rotary"]
PROMPTS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5]]


def numbers(*shape, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return scale * values


def lively(model):
    """The same model with weights that make it say many things."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            torch.nn.init.normal_(parameter, std=0.5)
    head = torch.randn_like(model.lm_head.weight)  # tied, it would stutter
    model.lm_head.weight = torch.nn.Parameter(head)
    return model.double()


def gpt(positions="rotary", dropout=0.0, V=20, context=24):
    config = TransformerConfig(
        V, context, 16, 4, 2, positions=positions, dropout=dropout
    )
    return lively(GPT(config))


@torch.no_grad()
def say_slowly(model, prompt, n):
    """Greedy, without a cache, one prompt at a time."""
    ids = list(prompt)
    for _ in range(n):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


# The rules, beside Hugging Face's


@pytest.fixture(scope="module")
def peers():
    return pytest.importorskip("transformers.generation.logits_process")


@pytest.mark.parametrize("k", [1, 2, 7, 30, 99])
def test_top_k_is_hugging_faces(peers, k):
    logits = numbers(4, 30)
    theirs = peers.TopKLogitsWarper(k)(None, logits.clone())
    assert torch.equal(top_k(logits, k), theirs)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9, 0.99])
def test_top_p_is_hugging_faces(peers, p):
    logits = numbers(40, 30)
    theirs = peers.TopPLogitsWarper(p)(None, logits.clone())
    assert torch.equal(top_p(logits, p), theirs)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 1.0])
def test_min_p_is_hugging_faces(peers, p):
    logits = numbers(40, 30)
    theirs = peers.MinPLogitsWarper(p)(None, logits.clone())
    assert torch.equal(min_p(logits, p), theirs)


@pytest.mark.parametrize("penalty", [0.8, 1.0, 1.2, 2.0])
def test_the_penalty_is_hugging_faces(peers, penalty):
    logits = numbers(4, 30)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(30, (4, 12), generator=generator)
    rule = peers.RepetitionPenaltyLogitsProcessor(penalty)
    theirs = rule(ids, logits.clone())
    assert torch.equal(penalise_repetition(logits, ids, penalty), theirs)


def test_all_rules_together_are_hugging_faces_in_its_order(peers):
    logits = numbers(8, 30)
    ids = torch.arange(8 * 5).view(8, 5) % 30
    z = logits.clone()
    for rule in (
        peers.RepetitionPenaltyLogitsProcessor(1.3),
        peers.TemperatureLogitsWarper(1.7),
        peers.TopKLogitsWarper(12),
        peers.TopPLogitsWarper(0.8),
        peers.MinPLogitsWarper(0.2),
    ):
        z = rule(ids, z)
    ours = probabilities(logits, ids, Sampling(1.7, 12, 0.8, 0.2, 1.3))
    torch.testing.assert_close(ours, z.softmax(-1), rtol=0, atol=1e-12)


# The rules, their properties


@st.composite
def rows(draw):
    V = draw(st.integers(2, 12))
    values = st.floats(-8, 8, width=32)
    row = draw(st.lists(values, min_size=V, max_size=V, unique=True))
    return torch.tensor([row], dtype=torch.float64)


@settings(deadline=None, max_examples=150)
@given(rows(), st.floats(0.01, 0.999))
def test_the_nucleus_is_the_smallest_set_that_reaches_p(logits, p):
    before = logits.softmax(-1)[0]
    kept = top_p(logits, p)[0].isfinite()
    mass = before[kept].sum().item()
    assert mass >= p - 1e-9
    assert mass - before[kept].min().item() < p + 1e-9  # none too many
    if not kept.all():
        assert before[kept].min() >= before[~kept].max()


@settings(deadline=None, max_examples=150)
@given(rows(), st.floats(0.0, 1.0))
def test_min_p_keeps_what_is_near_the_best(logits, p):
    before = logits.softmax(-1)[0]
    kept = min_p(logits, p)[0].isfinite()
    assert kept[before.argmax()]
    assert torch.equal(kept, before >= p * before.max())


@settings(deadline=None, max_examples=150)
@given(rows(), st.integers(1, 15))
def test_top_k_keeps_k_if_there_is_no_tie(logits, k):
    kept = top_k(logits, k)[0].isfinite()
    assert kept.sum() == min(k, logits.shape[-1])
    if not kept.all():
        assert logits[0][kept].min() > logits[0][~kept].max()


def test_top_k_keeps_all_that_share_the_last_place():
    tie = torch.tensor([[1.0, 2.0, 2.0, 0.0]])
    assert top_k(tie, 1).isfinite().tolist() == [[False, True, True, False]]


@settings(deadline=None, max_examples=150)
@given(
    rows(),
    st.floats(0, 5),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(0.01, 1),
    st.none() | st.floats(0, 1),
    st.floats(0.5, 2),
)
def test_probabilities_sum_to_one(logits, tau, k, p, least, repetition):
    tau = tau if tau > 1e-2 else 0.0
    sampling = Sampling(tau, k, p, least, repetition)
    result = probabilities(logits, torch.zeros(1, 1).long(), sampling)
    assert (result >= 0).all()
    torch.testing.assert_close(result.sum(-1), torch.ones(1).double())


def test_temperature_is_a_power_of_the_probabilities():
    p = numbers(3, 9).softmax(-1)
    powers = p ** (1 / 0.6)
    ours = probabilities(p.log(), torch.zeros(3, 1).long(), Sampling(0.6))
    expected = powers / powers.sum(-1, keepdim=True)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_no_rule_changes_its_argument():
    logits, ids = numbers(2, 9), torch.tensor([[1, 2], [3, 3]])
    before = logits.clone()
    probabilities(logits, ids, Sampling(0.7, 5, 0.8, 0.1, 1.4))
    assert torch.equal(logits, before)


def test_the_penalty_counts_a_token_once_and_lowers_both_signs():
    logits = torch.tensor([[2.0, -3.0, 1.0]])
    lower = penalise_repetition(logits, torch.tensor([[0, 1, 0]]), 2.0)
    assert lower.tolist() == [[1.0, -6.0, 1.0]]


def test_draws_have_the_frequencies_of_the_rule():
    rule, n = Sampling(0.8, top_k=4, top_p=0.95), 40_000
    z = numbers(1, 7)
    generator = torch.Generator().manual_seed(0)
    draws = choose(z.expand(n, 7), torch.zeros(n, 1).long(), rule, generator)
    p = probabilities(z, torch.zeros(1, 1).long(), rule)[0]
    assert draws.shape == (n, 1)
    share = draws.flatten().bincount(minlength=7) / n
    assert (share - p).abs().max() < 4 * (0.25 / n) ** 0.5
    assert (share[p == 0] == 0).all()


def test_greedy_and_a_temperature_of_zero_take_the_largest_logit():
    z, ids = numbers(5, 9), torch.zeros(5, 1).long()
    largest = z.argmax(-1, keepdim=True)
    assert torch.equal(choose(z, ids, GREEDY), largest)
    assert torch.equal(choose(z, ids, Sampling(0.0, top_k=3)), largest)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"top_k": 0},
        {"top_k": 1.5},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition": 0.0},
        {"temperature": float("nan")},
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


# The cache


def test_a_cache_gives_what_cat_gives():
    cache, parts = KVCache(9), []
    for T, seed in ((4, 0), (1, 1), (3, 2)):
        k, v = (
            numbers(2, 3, T, 5, seed=seed),
            numbers(2, 3, T, 5, seed=seed + 9),
        )
        parts.append((k, v))
        all_k, all_v = cache.extend(k, v)
        assert torch.equal(all_k, torch.cat([k for k, _ in parts], dim=2))
        assert torch.equal(all_v, torch.cat([v for _, v in parts], dim=2))
    assert len(cache) == 8


def test_after_a_cut_the_next_tokens_take_the_place_of_what_was_cut():
    k = numbers(1, 2, 6, 4)
    cache = KVCache(6)
    cache.extend(k[:, :, :5], k[:, :, :5])
    cache.cut(9)
    assert len(cache) == 5
    cache.cut(2)
    assert len(cache) == 2
    new = numbers(1, 2, 3, 4, seed=5)
    out, _ = cache.extend(new, new)
    assert torch.equal(out, torch.cat([k[:, :, :2], new], dim=2))


def test_an_empty_cut_lets_another_batch_in():
    cache = KVCache(4)
    cache.extend(numbers(1, 2, 3, 4), numbers(1, 2, 3, 4))
    cache.cut(0)
    k, _ = cache.extend(numbers(5, 2, 1, 4), numbers(5, 2, 1, 4))
    assert k.shape == (5, 2, 1, 4)


def test_a_full_cache_says_so_and_stays_as_it_was():
    cache = KVCache(4)
    first = numbers(1, 2, 3, 4)
    cache.extend(first, first)
    with pytest.raises(
        ValueError, match="5 tokens do not fit in a cache for 4"
    ):
        cache.extend(first[:, :, :2], first[:, :, :2])
    assert len(cache) == 3
    k, _ = cache.extend(first[:, :, :1], first[:, :, :1])
    assert torch.equal(k[:, :, :3], first)


def test_capacity_and_number_of_caches():
    check_capacity(4, 4)
    with pytest.raises(ValueError, match="capacity of the longest text"):
        check_capacity(5, 4)
    made = caches(3, 7)
    assert len({id(cache) for cache in made}) == 3
    assert [cache.capacity for cache in made] == [7, 7, 7]


@pytest.mark.parametrize("positions", KINDS)
def test_cached_logits_are_the_uncached_ones(positions):
    model = gpt(positions).eval()
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])
    cache = caches(2, 8)
    with torch.no_grad():
        parts = [
            model(ids[:, :3], None, cache),
            model(ids[:, 3:5], None, cache),
        ]
        parts += [model(ids[:, t : t + 1], None, cache) for t in (5, 6, 7)]
        whole = model(ids)
    torch.testing.assert_close(
        torch.cat(parts, dim=1), whole, rtol=0, atol=1e-10
    )


# Whole texts


@pytest.mark.parametrize("positions", KINDS)
def test_generate_says_what_the_uncached_loop_says(positions):
    model = gpt(positions).eval()
    for prompt in PROMPTS:
        slow = say_slowly(model, prompt, 12)
        assert generate(model, [prompt], 12) == [slow]
        assert len(set(slow)) > 2, "a model that says one thing proves little"


@pytest.mark.parametrize("prompt", [[20], [-1], [1.5], [3, 20]])
def test_ids_outside_the_vocabulary_are_refused(prompt):
    with pytest.raises(ValueError, match=r"The ids go|Pass whole numbers"):
        generate(gpt(V=20), [prompt], 3)


@pytest.mark.parametrize("positions", KINDS)
def test_a_batch_says_what_each_prompt_says_alone(positions):
    model = gpt(positions)
    alone = [generate(model, [prompt], 12)[0] for prompt in PROMPTS]
    assert generate(model, PROMPTS, 12) == alone


def test_a_batch_with_a_penalty_says_what_each_prompt_says_alone():
    model, rule = gpt(), Sampling(0.0, repetition=1.5)
    alone = [generate(model, [prompt], 12, rule)[0] for prompt in PROMPTS]
    assert generate(model, PROMPTS, 12, rule) == alone


def test_the_same_seed_gives_the_same_text():
    model, texts = gpt(), []
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        texts.append(generate(model, PROMPTS, 12, Sampling(), (), generator))
    assert texts[0] == texts[1] != texts[2]


def test_sampled_texts_have_the_models_distribution():
    model = gpt(V=5).eval()
    n, generator = 4000, torch.Generator().manual_seed(0)
    texts = generate(model, [[1, 2]] * n, 2, Sampling(), (), generator)
    with torch.no_grad():
        p = model(torch.tensor([[1, 2]]))[0, -1].softmax(-1)
        after = model(torch.tensor([[1, 2, w] for w in range(5)]))[:, -1]
        joint = p[:, None] * after.softmax(-1)
    seen = torch.zeros(5, 5, dtype=torch.float64)
    for first, second in texts:
        seen[first, second] += 1 / n
    assert (seen - joint).abs().max() < 4 * (0.25 / n) ** 0.5


def test_a_text_ends_before_a_stop_sequence():
    model = gpt()
    full = generate(model, PROMPTS, 12)
    for ending in ([full[0][4]], full[1][3:6]):
        expected = []
        for text in full:
            ends = [
                i
                for i in range(len(text))
                if text[i : i + len(ending)] == ending
            ]
            expected.append(text[: ends[0]] if ends else text)
        assert generate(model, PROMPTS, 12, stop=[ending]) == expected
        assert expected != full


def test_generation_ends_as_soon_as_all_texts_have_ended():
    model = gpt()
    steps = []
    model.register_forward_hook(lambda *args: steps.append(1))
    first = generate(model, PROMPTS[:1], 1)[0]
    steps.clear()
    assert generate(model, PROMPTS[:1], 12, stop=[first]) == [[]]
    assert len(steps) == 1


def test_no_new_token_is_possible():
    assert generate(gpt(), PROMPTS, 0) == [[], [], []]


def test_prompt_and_text_must_fit_the_context():
    model = gpt(context=10)
    assert len(generate(model, [[1, 2, 3]], 7)[0]) == 7
    with pytest.raises(
        ValueError, match="11 together, but the context holds 10"
    ):
        generate(model, [[1, 2, 3]], 8)
    check_room(10, 10)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_restored_and_dropout_is_off(training):
    model = gpt(dropout=0.5).train(training)
    assert generate(model, PROMPTS, 8) == generate(model, PROMPTS, 8)
    assert model.training is training
    with pytest.raises(RuntimeError), evaluating(model):
        assert not model.training
        raise RuntimeError
    assert model.training is training


def test_evaluating_gives_the_device_and_stops_gradients():
    model = gpt()
    with evaluating(model) as device:
        assert device == torch.device("cpu")
        assert not model(torch.tensor([[1]])).requires_grad


def test_left_padding_keeps_the_last_tokens_in_one_column():
    ids, real = left_pad([[7, 8, 9], [5, 6]])
    assert ids.tolist() == [[7, 8, 9], [5, 5, 6]]
    assert real.tolist() == [[True] * 3, [False, True, True]]
    ids, real = left_pad([[7, 8], [5, 6]])
    assert ids.tolist() == [[7, 8], [5, 6]] and real is None


@pytest.mark.parametrize("wrong", [[], [[1], []]])
def test_an_empty_prompt_is_refused(wrong):
    with pytest.raises(ValueError, match="A prompt is empty"):
        left_pad(wrong)


def test_a_stop_sequence_is_found_only_at_the_end():
    assert find_stop([1, 2, 3], [[9], [2, 3]]) == 1
    assert find_stop([1, 2, 3], [[1, 2]]) is None
    assert find_stop([2], [[1, 2]]) is None
    assert find_stop([1, 2], [[]]) is None
    assert find_stop([1, 2], ()) is None


def test_take_leaves_texts_alone_that_have_ended():
    texts, running = [[1], [5], [3]], {0, 2}
    take(texts, running, [4, 4, 9], [[3, 9]])
    assert texts == [[1, 4], [5], []]
    assert running == {0}


# Translation


def transformer(positions="rotary"):
    config = TransformerConfig(20, 12, 16, 4, 2, positions=positions)
    return lively(Transformer(config)).eval()


@torch.no_grad()
def translate_slowly(model, source, start, end, n):
    target = [start]
    for _ in range(n):
        logits = model(torch.tensor([source]), torch.tensor([target]))
        target.append(int(logits[0, -1].argmax()))
        if target[-1] == end:
            return target[1:-1]
    return target[1:]


@pytest.mark.parametrize("positions", KINDS)
def test_translate_says_what_the_uncached_loop_says(positions):
    model = transformer(positions)
    for end in (-1, translate(model, PROMPTS[:1], 0, -1, 5)[0][3]):
        slow = [translate_slowly(model, s, 0, end, 9) for s in PROMPTS]
        assert translate(model, PROMPTS, 0, end, 9) == slow
        for source, text in zip(PROMPTS, slow, strict=True):
            assert translate(model, [source], 0, end, 9) == [text]


def test_translate_needs_room_and_restores_the_mode():
    model = transformer().train()
    with pytest.raises(
        ValueError, match="13 together, but the context holds 12"
    ):
        translate(model, PROMPTS, 0, 1, 12)
    assert len(translate(model, PROMPTS, 0, -1, 11)[0]) == 11
    assert model.training


def test_the_keys_of_a_source_are_computed_once():
    model, seen = transformer(), []
    for layer in model.decoder.layers:
        layer.cross_attention.k_proj.register_forward_hook(
            lambda layer, inputs, output: seen.append(inputs[0].shape[1])
        )
    translate(model, PROMPTS, 0, -1, 4)
    assert seen == [5, 5, *[0] * 6]
