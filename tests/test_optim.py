"""AdamW, clipping and the schedule, against PyTorch's and by hand."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nextword.blocks import TransformerConfig
from nextword.optim import (
    AdamW,
    adamw_step,
    clip_gradients,
    parameter_groups,
    warmup_cosine,
)
from nextword.transformer import BERT, GPT, Transformer

SIZES = [(4, 3), (5,), (2, 3, 2), ()]  # a matrix, a bias, an array, one number


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def parameters():
    return [nn.Parameter(draw(*s, seed=i)) for i, s in enumerate(SIZES)]


def set_gradients(tensors, step, without=()):
    """Fresh gradients; now and then one of them is large."""
    for i, p in enumerate(tensors):
        scale = 1000 if (step + i) % 11 == 0 else 1
        fresh = scale * draw(*p.shape, seed=100 * step + i)
        p.grad = None if i in without else fresh


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.9, 0.999), (0.0, 0.5)])
def test_adamw_is_pytorchs_step_for_step(betas, weight_decay):
    ours, theirs = parameters(), parameters()
    settings = {"betas": betas, "eps": 1e-6, "weight_decay": weight_decay}
    a = AdamW([{"params": ours}], lr=0.01, **settings)
    b = torch.optim.AdamW(theirs, lr=0.01, **settings)
    for step in range(40):
        for tensors, optimizer in ((ours, a), (theirs, b)):
            set_gradients(tensors, step)
            optimizer.step()
        assert_same(ours, theirs)


def test_the_groups_are_pytorchs_too():
    ours, theirs = parameters(), parameters()

    def groups(p):
        return [
            {"params": p[:2], "weight_decay": 0.3},
            {"params": iter(p[2:]), "weight_decay": 0.0},
        ]

    a = AdamW(groups(ours), lr=0.02, betas=(0.9, 0.95), eps=1e-8)
    b = torch.optim.AdamW(groups(theirs), lr=0.02, betas=(0.9, 0.95), eps=1e-8)
    for step in range(30):
        for tensors, optimizer in ((ours, a), (theirs, b)):
            set_gradients(tensors, step)
            optimizer.step()
    assert_same(ours, theirs)


def test_the_defaults_are_those_of_language_models():
    ours, theirs = parameters(), parameters()
    a = AdamW([{"params": ours}], lr=0.01)
    b = torch.optim.AdamW(theirs, 0.01, (0.9, 0.95), 1e-8, 0.1)
    for step in range(5):
        for tensors, optimizer in ((ours, a), (theirs, b)):
            set_gradients(tensors, step)
            optimizer.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize("pause", [range(30), range(3), range(7, 19)])
def test_a_parameter_without_a_gradient_stays_as_in_pytorch(pause):
    """It does not decay, and its bias correction waits for it."""
    ours, theirs = parameters(), parameters()
    before = ours[1].detach().clone()
    settings = {"betas": (0.9, 0.95), "weight_decay": 0.1}
    a = AdamW([{"params": ours}], lr=0.01, **settings)
    b = torch.optim.AdamW(theirs, lr=0.01, **settings)
    for step in range(30):
        for tensors, optimizer in ((ours, a), (theirs, b)):
            set_gradients(tensors, step, without={1} if step in pause else ())
            optimizer.step()
        assert_same(ours, theirs)
    assert torch.equal(ours[1], before) == (len(pause) == 30)


def test_the_schedule_reaches_a_hand_written_adamw():
    """As in `torch.optim`, the rate of a group may change at any step."""
    ours, theirs = parameters(), parameters()
    a = AdamW([{"params": ours}], lr=1.0)
    b = torch.optim.AdamW(theirs, 1.0, (0.9, 0.95), 1e-8, 0.1)
    for step in range(10):
        for tensors, optimizer in ((ours, a), (theirs, b)):
            set_gradients(tensors, step)
            for group in optimizer.param_groups:
                group["lr"] = 0.1 / (step + 1)
            optimizer.step()
    assert_same(ours, theirs)


def test_zero_grad_forgets_the_gradients():
    tensors = parameters()
    optimizer = AdamW([{"params": tensors}], lr=0.01)
    set_gradients(tensors, 0)
    optimizer.zero_grad()
    assert all(p.grad is None for p in tensors)


def test_the_first_step_by_hand():
    """So m = 0.1 g and v = 0.05 g^2; m_hat = g, v_hat = g^2: a step of lr."""
    parameter = torch.tensor([2.0, -3.0], dtype=torch.float64)
    m, v = torch.zeros_like(parameter), torch.zeros_like(parameter)
    gradient = torch.tensor([4.0, -0.5], dtype=torch.float64)
    adamw_step(parameter, gradient, m, v, t=1, lr=0.1, eps=0, weight_decay=0.5)
    assert m.tolist() == pytest.approx([0.4, -0.05], rel=1e-12)
    assert v.tolist() == pytest.approx([0.8, 0.0125], rel=1e-12)
    expected = [2.0 * 0.95 - 0.1, -3.0 * 0.95 + 0.1]
    assert parameter.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_second_step_by_hand():
    """Gradients 1, then 3, with both betas 1/2 and no decay."""
    parameter, m, v = (torch.zeros(1, dtype=torch.float64) for _ in range(3))
    for t, gradient in ((1, 1.0), (2, 3.0)):
        adamw_step(
            parameter,
            torch.tensor([gradient], dtype=torch.float64),
            m,
            v,
            t,
            lr=1.0,
            betas=(0.5, 0.5),
            eps=0.0,
            weight_decay=0.0,
        )
    assert float(m) == 1.75  # 1/4 of 1 and 1/2 of 3; the weights sum to 3/4
    assert float(v) == 4.75  # 1/4 of 1 and 1/2 of 9
    expected = -1 - (1.75 / 0.75) / math.sqrt(4.75 / 0.75)
    assert float(parameter) == pytest.approx(expected, rel=1e-12)


def gpt(**changes):
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2} | changes
    return GPT(TransformerConfig(vocab_size=11, context_length=8, **sizes))


@pytest.mark.parametrize("model", [GPT, BERT, Transformer])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_every_parameter_is_in_one_group_once(model, positions):
    config = TransformerConfig(
        11, 8, d_model=16, n_heads=2, n_layers=1, positions=positions
    )
    model = model(config)
    decaying, plain = parameter_groups(model, weight_decay=0.2)
    assert (decaying["weight_decay"], plain["weight_decay"]) == (0.2, 0.0)
    grouped = [*decaying["params"], *plain["params"]]
    assert len({id(p) for p in grouped}) == len(grouped)
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}


def test_matrices_decay_and_nothing_else_does():
    model = gpt()
    decaying, plain = parameter_groups(model, weight_decay=0.2)
    decay = {id(p) for p in decaying["params"]}
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            matrix = isinstance(module, nn.Linear | nn.Embedding)
            expected = matrix and name == "weight"
            assert (id(p) in decay) == expected, f"{module}, {name}"
    assert plain["params"] and decaying["params"]


def test_tied_weights_are_updated_once_a_step():
    model = gpt()
    assert model.lm_head.weight is model.embedding.tokens.weight
    groups = parameter_groups(model, weight_decay=0.2)
    tied = [p is model.lm_head.weight for g in groups for p in g["params"]]
    assert sum(tied) == 1
    torch.optim.AdamW(groups)  # which refuses a parameter that comes twice


def test_frozen_parameters_are_in_no_group():
    model = gpt()
    model.embedding.tokens.weight.requires_grad_(False)
    groups = parameter_groups(model, 0.1)
    grouped = {id(p) for group in groups for p in group["params"]}
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert grouped == trainable
    assert id(model.lm_head.weight) not in grouped


def schedule(steps, warmup, final=0.1):
    return [warmup_cosine(i, steps, warmup, final) for i in range(steps)]


def test_the_schedule_by_hand():
    """Thirds up to 1; then down to 0.2, half-way at 0.6."""
    shares = schedule(steps=7, warmup=2, final=0.2)
    root = math.sqrt(0.5)
    expected = [1 / 3, 2 / 3, 1, 0.6 + 0.4 * root, 0.6, 0.6 - 0.4 * root, 0.2]
    assert shares == pytest.approx(expected, rel=1e-12)


@given(st.data(), st.integers(2, 300), st.floats(0, 1))
def test_the_schedule_rises_to_one_then_falls_to_its_end(data, steps, final):
    warmup = data.draw(st.integers(0, steps - 2))
    shares = schedule(steps, warmup, final)
    assert shares[warmup] == max(shares) == 1.0
    assert shares[-1] == pytest.approx(final, abs=1e-12)
    rise, fall = shares[: warmup + 1], shares[warmup:]
    assert rise[0] > 0
    assert all(a < b for a, b in pairwise(rise))
    assert all(a >= b for a, b in pairwise(fall))


@given(st.data(), st.integers(2, 300), st.floats(0, 1))
def test_the_schedule_makes_no_jump(data, steps, final):
    warmup = data.draw(st.integers(0, steps - 2))
    shares = schedule(steps, warmup, final)
    steepest = (1 - final) * math.pi / 2 / (steps - 1 - warmup)
    largest = max(1 / (warmup + 1), steepest) + 1e-12
    pairs = pairwise(shares)
    assert all(abs(a - b) <= largest for a, b in pairs)


@given(st.data(), st.integers(2, 300))
def test_the_schedule_is_pytorchs(data, steps):
    """A linear and a cosine schedule of torch.optim, one after the other."""
    warmup = data.draw(st.integers(0, steps - 2))
    final = 0.05
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler
    fall = scheduler.CosineAnnealingLR(optimizer, steps - 1 - warmup, final)
    optimizer.param_groups[0]["lr"] = 1.0
    expected = [(i + 1) / (warmup + 1) for i in range(warmup)]
    for _ in range(steps - warmup):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        fall.step()
    assert schedule(steps, warmup, final) == pytest.approx(expected, abs=1e-9)


def test_a_single_step_is_taken_at_the_peak():
    assert schedule(steps=1, warmup=0) == [1.0]


def test_after_the_last_step_the_rate_stays():
    assert warmup_cosine(50, 10, 2, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warmup_that_does_not_fit_is_refused(warmup):
    with pytest.raises(ValueError, match=f"{warmup} steps does not fit in 10"):
        warmup_cosine(0, 10, warmup)


@pytest.mark.parametrize("final", [-0.1, 1.1, math.nan])
def test_an_end_that_is_no_share_is_refused(final):
    with pytest.raises(ValueError, match=f"final is {final}.*0 to 1"):
        warmup_cosine(0, 10, 2, final)


@pytest.mark.parametrize("largest", [1e-3, 1.0, 50.0])
def test_clipping_is_pytorchs(largest):
    """Which divides by the norm plus 1e-6, hence the tolerance."""
    ours, theirs = parameters(), parameters()
    for tensors in (ours, theirs):
        set_gradients(tensors, 0, without={2})
    norm = clip_gradients(iter(ours), largest)
    expected = nn.utils.clip_grad_norm_(theirs, largest)
    assert norm == pytest.approx(float(expected), rel=1e-12)
    assert ours[2].grad is None
    for a, b in zip(ours, theirs, strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=2e-6, atol=0)
    left = torch.cat([p.grad.flatten() for p in ours if p.grad is not None])
    after = float(left.norm())
    assert after == pytest.approx(min(norm, largest), rel=1e-12)


def test_clipping_by_hand():
    """A norm of 5, limited to 1: everything becomes a fifth."""
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    a.grad, b.grad = torch.tensor([3.0]), torch.tensor([0.0, -4.0])
    assert clip_gradients([a, b], 1.0) == 5.0
    assert a.grad.tolist() == pytest.approx([0.6])
    assert b.grad.tolist() == pytest.approx([0.0, -0.8])


def test_below_the_limit_nothing_changes():
    tensors = parameters()
    set_gradients(tensors, 1)
    before = [p.grad.clone() for p in tensors]
    norm = clip_gradients(tensors, math.inf)
    assert clip_gradients(tensors, norm) == norm
    assert all(
        torch.equal(p.grad, g) for p, g in zip(tensors, before, strict=True)
    )


def test_gradients_of_zero_stay_zero():
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.zeros(3)
    assert clip_gradients([parameter], 1.0) == 0.0
    assert parameter.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("tensors", [[], [nn.Parameter(torch.ones(3))]])
def test_without_gradients_the_norm_is_zero_as_in_pytorch(tensors):
    assert float(nn.utils.clip_grad_norm_(tensors, 1.0)) == 0.0
    assert clip_gradients(tensors, 1.0) == 0.0
