"""The fast GPT against a plain formulation; its optimizer, windows and loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nextword.attention import attention, causal_mask
from nextword.muon import orthogonalise
from nextword.positions import rotary_angles
from nextword.records import read_record
from nextword.speed_gpt import (
    Recipe,
    SpeedGPT,
    rotary_turns,
    short_attention,
    speed_norm,
)
from nextword.speedrun import (
    SpeedOptimizer,
    share_of,
    speed_loss,
    speed_train,
    speed_windows,
)

TINY = Recipe(2, 2, 16, 12, 4, 6)
FAST = replace(
    TINY,
    rotary=1000.0,
    plain_norm=True,
    qk_norm=True,
    relu2=True,
    untied=True,
    linear=True,
    cover=True,
    warmup=0,
    lr=0.01,
    muon=0.05,
    decay=0.0,
)
SHIFT = replace(FAST, shift=2)


def random_gpt(recipe):
    """A model in float64, no parameter of which is zero or one."""
    torch.manual_seed(0)
    model = SpeedGPT(recipe, 11).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def norm(x, gain=None):
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return x if gain is None else x * gain


def turn(x, base):
    """Each pair of neighbours of (T, D) turned by its angle, one by one."""
    out = torch.empty_like(x)
    angles = rotary_angles(torch.arange(len(x)).double(), x.shape[1], base)
    a, b, cos, sin = x[:, ::2], x[:, 1::2], angles.cos(), angles.sin()
    out[:, ::2], out[:, 1::2] = a * cos - b * sin, a * sin + b * cos
    return out


def written_out(model, ids):
    """Logits (T, V) of one text (T,), head by head with `attention`."""
    recipe, p = model.recipe, dict(model.values)
    D, T = recipe.d_model // recipe.n_heads, len(ids)
    gains = p.get("gains", [None] * (2 * recipe.n_layers + 1))
    x = p["tokens"][ids]
    x = x if recipe.rotary else x + p["places"][:T]
    x = norm(x) if recipe.plain_norm else x

    def branch(x, number):
        h = norm(x, gains[number])
        seen = h.clone()
        for t in range(T):
            for back in range(1, min(recipe.shift, t) + 1):
                seen[t] = seen[t] + h[t - back] * p["shares"][number, back - 1]
        return seen

    for i in range(recipe.n_layers):
        h, heads = branch(x, 2 * i), []
        q, k, v = (h @ p["square"][i, j].T for j in range(3))
        for start in range(0, recipe.d_model, D):
            part = slice(start, start + D)
            qh, kh = q[:, part], k[:, part]
            if recipe.qk_norm:
                qh, kh = norm(qh), norm(kh)
            if recipe.rotary:
                qh, kh = turn(qh, recipe.rotary), turn(kh, recipe.rotary)
            heads.append(attention(qh, kh, v[:, part], causal_mask(T)))
        x = x + torch.cat(heads, -1) @ p["square"][i, 3].T
        h = branch(x, 2 * i + 1) @ p["wide"][i, 0].T
        h = h.clamp(min=0) ** 2 if recipe.relu2 else F.gelu(h)
        x = x + h @ p["wide"][i, 1]
    return norm(x, gains[-1]) @ p["head" if recipe.untied else "tokens"].T


@pytest.mark.parametrize(
    "recipe", [TINY, FAST, SHIFT, replace(FAST, qk_norm=False)]
)
def test_it_is_the_plain_formulation_values_and_gradients(recipe):
    model, ids = random_gpt(recipe), torch.randint(11, (2, 12))
    expected = torch.stack([written_out(model, text) for text in ids])
    logits = model(ids)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    weights, p = torch.randn_like(logits), list(model.parameters())
    ours = torch.autograd.grad((logits * weights).sum(), p)
    theirs = torch.autograd.grad((expected * weights).sum(), p)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-8)


@pytest.mark.parametrize("recipe", [TINY, FAST, replace(SHIFT, bf16=True)])
@torch.no_grad()
def test_it_looks_only_back(recipe):
    model, ids = random_gpt(recipe).float(), torch.randint(11, (1, 12))
    before, changed = model(ids), ids.clone()
    changed[0, 7] = (ids[0, 7] + 1) % 11
    after = model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


@torch.no_grad()
def test_rotary_scores_depend_on_the_distance_alone():
    turns = rotary_turns(FAST, 12, torch.float64)[:, 0]  # (T, D / 2)
    q, k = torch.randn(2, 4, dtype=torch.complex128)
    scores = ((q * turns)[:, None] * (k * turns).conj()).real.sum(-1)
    for distance in range(-3, 4):
        row = scores.diagonal(distance)
        torch.testing.assert_close(row, row[:1].expand_as(row))


def test_zero_start_gives_every_token_the_same_chance():
    model = SpeedGPT(replace(FAST, zero=True), 11)
    assert not model(torch.randint(11, (2, 12))).any()
    assert model.values["tokens"].any()


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of 6"):
        SpeedGPT(replace(TINY, n_heads=3), 11)
    with pytest.raises(ValueError, match="Use more text"):
        next(speed_windows(torch.arange(30), TINY))


def test_plain_training_is_pytorchs_adamw_with_clipping():
    ids = torch.randint(11, (200,), generator=torch.Generator().manual_seed(1))
    recipe = replace(TINY, warmup=2)
    ours, seconds = speed_train(ids, 11, recipe)
    model, batches = SpeedGPT(recipe, 11), speed_windows(ids, recipe)
    decayed = [model.values["square"], model.values["wide"]]
    rest = [p for n, p in model.values.items() if n not in ("square", "wide")]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0)
    for step in range(recipe.steps):
        x, y = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model(x).transpose(1, 2), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * share_of(recipe, step)
        optimizer.step()
    for a, b in zip(ours.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert seconds > 0


def test_a_step_of_muon_is_the_orthogonalised_momentum():
    model = SpeedGPT(FAST, 11)
    optimizer = SpeedOptimizer(model)
    p = model.values["wide"]
    before, gradients = p.detach().clone(), [torch.randn_like(p) for _ in "ab"]
    for g in gradients:
        for q in model.parameters():
            q.grad = torch.randn_like(q)
        p.grad = g.clone()
        optimizer.step(0.5)
    a, b = gradients
    first = 0.15 * a
    second = 0.85 * first + 0.15 * b
    moves = [0.15 * a + 0.85 * first, 0.15 * b + 0.85 * second]
    update = sum(
        orthogonalise(m.flatten(0, 1).bfloat16()).float().view_as(p)
        for m in moves
    )
    expected = before - 0.5 * FAST.muon * 2 * update
    torch.testing.assert_close(p.detach(), expected, rtol=0, atol=2e-3)
    assert p.grad is None and model.values["tokens"].grad is None


def test_schedules():
    cosine = [share_of(replace(TINY, steps=100, warmup=10), s) for s in (0, 50)]
    assert cosine == [0.1, pytest.approx(0.55)]
    end = share_of(replace(TINY, steps=100, warmup=0), 100)
    assert end == pytest.approx(0.1)
    line = replace(TINY, steps=100, warmup=0, linear=True)
    assert [share_of(line, s) for s in (0, 25, 100)] == [1.0, 0.75, 0.0]


def test_windows_side_by_side_come_once_each_epoch():
    ids, recipe = torch.arange(500), replace(TINY, cover=True)
    batches = speed_windows(ids, recipe)
    seen = []
    for _ in range(10):  # an epoch has 41 windows or 40
        x, y = next(batches)
        assert torch.equal(y, x + 1) and x.shape == (4, 12)
        seen += x.flatten().tolist()
    assert len(set(seen)) == len(seen) == 480
    again = next(speed_windows(ids, recipe))[0]
    assert torch.equal(again, next(speed_windows(ids, recipe))[0])
    other = next(speed_windows(ids, replace(recipe, seed=1)))[0]
    assert not torch.equal(again, other)
    anywhere = next(speed_windows(ids, TINY))[0]
    assert torch.equal(
        anywhere - anywhere[:, :1], torch.arange(12).expand(4, 12)
    )


@pytest.mark.parametrize("length", [5, 12, 13, 300, 846])
@pytest.mark.parametrize("seen", [0, 1, 6, 11])
def test_the_whole_loss_counts_every_token_but_the_first(length, seen):
    model, ids = random_gpt(FAST), torch.randint(11, (length,))
    losses = {}
    for start in range(0, length - 1, 12 - seen):
        part = ids[start : start + 13]
        logits = model(part[None, :-1])[0]
        found = F.cross_entropy(logits, part[1:], reduction="none").tolist()
        for place, loss in enumerate(found, start + 1):
            losses.setdefault(place, loss)  # the first time is what counts
    assert list(losses) == list(range(1, length))
    mean = sum(losses.values()) / (length - 1)
    assert speed_loss(model, ids, seen) == pytest.approx(mean)


@pytest.mark.parametrize("seen", [-1, 12])
def test_a_window_that_predicts_nothing_is_refused(seen):
    with pytest.raises(ValueError, match="from 0 to 11"):
        speed_loss(random_gpt(FAST), torch.randint(11, (30,)), seen)


@pytest.mark.parametrize("bf16", [False, True])
def test_it_learns_a_text(bf16):
    ids = torch.arange(11).repeat(40)
    model, _ = speed_train(
        ids, 11, replace(FAST, steps=60, bf16=bf16, zero=True)
    )
    assert speed_loss(model, ids) < 0.7


def test_the_record_says_twenty_five_times_sooner_and_1_47():
    rows, parts = read_record("speedrun")["rows"], {}
    for row in rows:
        parts.setdefault((row["part"], row["name"]), []).append(row)
    plain, fast = parts["plain", "plain"], parts["fast", "fast"]
    for key, found in parts.items():
        assert len(found) == (1 if key[0] == "counting" else 3), key

    def values(part, field):
        return [row[field] for row in part]

    assert np.mean(values(fast, "loss")) <= np.mean(values(plain, "loss"))
    plain_seconds = np.median(values(plain, "seconds"))
    assert plain_seconds > 25 * np.median(values(fast, "seconds"))
    longest = parts["longer", "3 layers, 1,250 steps"]
    assert np.mean(values(longest, "loss_with_context")) <= 1.47
    assert max(values(longest, "seconds")) < plain_seconds


def test_short_attention_is_fused_attention():
    """Outputs and gradients, in float64."""
    torch.manual_seed(0)
    ours = [torch.randn(2, 3, 7, 4).double().requires_grad_() for _ in range(3)]
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    out = short_attention(*ours)
    expected = F.scaled_dot_product_attention(*theirs, is_causal=True)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)


def test_a_norm_adds_shares_of_the_positions_before():
    x = torch.tensor([[[2.0, 1.0], [1.0, 2.0], [5.0, 4.0]]])  # normed: +-1
    shares = {"shares": torch.tensor([[[0.5, -1.0], [0.25, 2.0]]])}
    seen = speed_norm(x, shares, 0)
    expected = torch.tensor([[[1.0, -1.0], [-0.5, 2.0], [0.75, -4.0]]])
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-4)
    last = torch.tensor([[[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]])
    torch.testing.assert_close(
        speed_norm(x, shares, 1), last, rtol=0, atol=1e-4
    )


def test_a_text_may_be_shorter_than_the_look_back():
    model = random_gpt(SHIFT)
    assert model(torch.randint(11, (2, 1))).shape == (2, 1, 11)


def test_the_head_learns_at_its_own_rate():
    model = SpeedGPT(replace(FAST, head_lr=0.25), 11)
    before = {n: p.detach().clone() for n, p in model.values.items()}
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    SpeedOptimizer(model).step(0.5)
    moves = {n: p.detach() - before[n] for n, p in model.values.items()}
    for name, part in (("tokens", 1.0), ("head", 0.25)):  # AdamW's first step
        expected = torch.full_like(moves[name], -0.5 * FAST.lr * part)
        torch.testing.assert_close(moves[name], expected, rtol=0, atol=1e-6)
