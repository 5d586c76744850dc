"""Reward loss and DPO: by hand, by finite differences, and by the closed form."""

import math

import pytest
import torch

from nextword.blocks import TransformerConfig
from nextword.instructions import answer_batch
from nextword.losses import IGNORE
from nextword.preferences import (
    Preference,
    PreferenceBatch,
    PreferenceBatches,
    RewardModel,
    best_policy,
    dpo_loss,
    dpo_pair_loss,
    log_probabilities,
    reward_loss,
    reward_pair_loss,
)
from nextword.transformer import GPT, initialise

ROWS = [([5, 6, 7], [8, 9, 1]), ([5], [6]), ([3, 4], [4, 4, 4, 1])]


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    model = GPT(TransformerConfig(12, 16, 16, 2, 2, positions="rotary"))
    initialise(model, 0.4)
    return model.double().eval()


# Log-probabilities


def test_log_probabilities_are_those_of_a_plain_loop(gpt):
    got = log_probabilities(gpt, *answer_batch(ROWS))
    for value, (prompt, answer) in zip(got.tolist(), ROWS, strict=True):
        text, total = list(prompt), 0.0
        for id in answer:
            log_p = gpt(torch.tensor([text]))[0, -1].log_softmax(-1)
            total += log_p[id].item()
            text.append(id)
        assert math.isclose(value, total, rel_tol=1e-10)


def test_padded_rows_score_as_single_ones(gpt):
    together = log_probabilities(gpt, *answer_batch(ROWS))
    alone = [log_probabilities(gpt, *answer_batch([row])) for row in ROWS]
    assert torch.allclose(together, torch.cat(alone), atol=1e-12)


# Rewards


def test_reward_loss_by_hand():
    got = reward_loss(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]))
    expected = [math.log(1 + math.exp(-1)), math.log(2)]
    assert torch.allclose(got, torch.tensor(expected))


def test_reward_loss_falls_with_the_margin_and_does_not_overflow():
    margins = torch.tensor([-1000.0, -5.0, 0.0, 1.0, 5.0, 1000.0])
    losses = reward_loss(margins, torch.zeros(6))
    assert (losses.diff() < 0).all() and losses.isfinite().all()
    assert losses[0] == 1000 and losses[-1] == 0


def test_only_the_difference_of_rewards_counts():
    r = torch.randn(2, 9, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(reward_loss(*(r + 7)), reward_loss(*r), atol=1e-12)


def test_a_reward_model_reads_the_last_token_before_the_end(gpt):
    model = RewardModel(gpt)
    torch.nn.init.normal_(model.head.weight.data)
    model = model.double()
    ids, targets = answer_batch(ROWS)
    together = model(ids, targets)
    for n, row in enumerate(ROWS):
        alone = model(*answer_batch([row]))
        assert torch.allclose(together[n], alone[0], atol=1e-12)
    later = ids.clone()
    later[1, 1:] = 11  # padding: no row may see it
    assert torch.allclose(model(later, targets), together, atol=1e-12)
    seen = ids.clone()
    seen[0, 4] = 11  # the last token that is read of the first text
    assert not torch.allclose(model(seen, targets)[0], together[0])


def test_a_new_reward_model_has_no_opinion(gpt):
    model = RewardModel(gpt).double()
    assert model(*answer_batch(ROWS)).tolist() == [0, 0, 0]


# DPO


def test_dpo_loss_by_hand():
    """Log-ratios 1 and -1, beta 1/2: -ln sigma(1)."""
    policy = torch.tensor([-2.0, -4.0])
    reference = torch.tensor([-3.0, -3.0])
    loss = dpo_loss(policy, reference, 0.5)
    assert math.isclose(loss.item(), math.log(1 + math.exp(-1)), rel_tol=1e-6)


def test_at_the_reference_the_loss_is_ln_2():
    x = torch.randn(8).double()
    assert torch.allclose(
        dpo_loss(x, x, 0.3), torch.tensor(math.log(2)).double()
    )


def test_gradient_of_dpo_is_that_of_the_paper_and_of_finite_differences():
    """Gradient: -beta sigma(-margin), for the chosen; the opposite otherwise."""
    generator = torch.Generator().manual_seed(1)
    policy = torch.randn(6, generator=generator).double().requires_grad_()
    reference = torch.randn(6, generator=generator).double()
    beta = 0.7
    dpo_loss(policy, reference, beta).sum().backward()
    ratio = (policy - reference).detach()
    margin = beta * (ratio[:3] - ratio[3:])
    expected = -beta * torch.sigmoid(-margin)
    assert torch.allclose(policy.grad[:3], expected, atol=1e-12)
    assert torch.allclose(policy.grad[3:], -expected, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda x: dpo_loss(x, reference, beta), policy
    )


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_a_beta_that_is_not_positive_is_refused(beta):
    with pytest.raises(ValueError, match="Choose one above 0"):
        dpo_loss(torch.zeros(2), torch.zeros(2), beta)


# The closed form


def test_best_policy_by_hand():
    reference = torch.tensor([0.5, 0.25, 0.25]).double().log()
    rewards = torch.tensor([0.0, 1.0, 0.0]).double() * math.log(2)
    got = best_policy(reference, rewards, 0.5)  # weights 2, 4, 1
    assert torch.allclose(got, torch.tensor([2, 4, 1]).double() / 7)


def test_no_policy_beats_the_best_one():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(5, generator=generator).double().log_softmax(-1)
    rewards = torch.randn(5, generator=generator).double()
    beta = 0.4

    def value(p):
        return (p * (rewards - beta * (p.log() - reference))).sum()

    best = best_policy(reference, rewards, beta)
    norm = (reference + rewards / beta).logsumexp(-1)
    assert torch.allclose(value(best), beta * norm)
    for _ in range(50):
        other = torch.randn(5, generator=generator).double().softmax(-1)
        near = 0.99 * best + 0.01 * other
        assert value(other) < value(best) and value(near) < value(best)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_dpo_on_all_pairs_finds_the_best_policy(beta):
    """Preferences drawn by Bradley-Terry, weighted by their probability."""
    generator = torch.Generator().manual_seed(2)
    reference = torch.randn(4, generator=generator).double().log_softmax(-1)
    rewards = torch.randn(4, generator=generator).double()
    z = reference.clone().requires_grad_()
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    w, v = torch.tensor(pairs).T
    weight = torch.sigmoid(rewards[w] - rewards[v])
    optimizer = torch.optim.LBFGS(
        [z], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def closure():
        optimizer.zero_grad()
        log_p = z.log_softmax(-1)
        policy = torch.cat([log_p[w], log_p[v]])
        before = torch.cat([reference[w], reference[v]])
        loss = (weight * dpo_loss(policy, before, beta)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    best = best_policy(reference, rewards, beta)
    assert torch.allclose(z.detach().softmax(-1), best, atol=1e-5)


# Batches


PAIRS = [Preference([5], [n, 1], [n, n, 1]) for n in range(2, 9)]


def test_pairs_become_chosen_rows_and_then_rejected_ones():
    order = PreferenceBatches(PAIRS[:2], torch.zeros(2, 2), 2)(0)
    ids, targets = order.ids, order.targets
    if ids[0, 1] == 3:  # the epoch's order
        ids, targets = ids[[1, 0, 3, 2]], targets[[1, 0, 3, 2]]
    assert ids.tolist() == [[5, 2, 0], [5, 3, 0], [5, 2, 2], [5, 3, 3]]
    assert targets[0].tolist() == [2, 1, IGNORE]
    assert targets[3].tolist() == [3, 3, 1]


def test_every_pair_keeps_its_reference():
    reference = torch.arange(14.0).view(2, 7)
    batches = PreferenceBatches(PAIRS, reference, 3, seed=1)
    seen = []
    for step in range(2):
        batch = batches(step)
        for row, value in enumerate(batch.reference.tolist()):
            n = int(batch.ids[row, 1]) - 2
            assert value == reference[row // 3, n]
            seen.append((row // 3, n))
    assert len(set(seen)) == 12
    assert not torch.equal(batches(0).ids, batches(2).ids)


@pytest.mark.parametrize("size", [0, 8])
def test_a_batch_that_cannot_be_filled_is_refused(size):
    with pytest.raises(ValueError, match="7 pairs do not fill batches of"):
        PreferenceBatches(PAIRS, torch.zeros(2, 7), size)


def test_losses_for_fit_are_sums_over_pairs(gpt):
    ids, targets, _ = PreferenceBatches(PAIRS, torch.zeros(2, 7), 7)(0)
    reference = log_probabilities(gpt, ids, targets).detach() - 0.5
    reference[7:] += 1
    batch = PreferenceBatch(ids, targets, reference)
    total, number = dpo_pair_loss(0.5)(gpt, batch)
    assert number == 7  # log-ratios 1/2 and -1/2
    expected = 7 * math.log(1 + math.exp(-0.5))
    assert math.isclose(total.item(), expected, rel_tol=1e-9)
    total, number = reward_pair_loss(RewardModel(gpt).double(), batch)
    assert number == 7
    assert math.isclose(total.item(), 7 * math.log(2), rel_tol=1e-9)
