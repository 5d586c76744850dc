"""Distillation: the loss by hand, its gradient, and students that learn."""

import math

import pytest
import torch

from benchmarks import efficiency, record
from nextword import distillation
from nextword.batches import TokenBatch
from nextword.blocks import TransformerConfig
from nextword.distillation import (
    METHODS,
    Run,
    distilled,
    measure,
    recipe,
    soft_losses,
    student,
    train_student,
)
from nextword.losses import IGNORE
from nextword.training import language_loss
from nextword.transformer import GPT


def logits(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def tiny(seed):
    torch.manual_seed(seed)
    return GPT(TransformerConfig(7, 5, 8, 2, 1)).double().eval()


BATCH = TokenBatch(
    torch.tensor([[0, 1, 2, 3], [0, 4, 0, 0]]),
    torch.tensor([[1, 2, 3, 0], [4, 0, IGNORE, IGNORE]]),
)


def test_by_hand():
    """With p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2."""
    teacher = torch.tensor([math.log(3.0), 0.0])
    loss = soft_losses(torch.zeros(2), teacher, 1.0)
    wanted = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(loss) == pytest.approx(wanted)


@pytest.mark.parametrize("T", [0.5, 1.0, 3.0])
def test_as_pytorchs_divergence_times_the_square(T):
    z, v = logits(2, 3, 7), logits(2, 3, 7, seed=1)
    theirs = torch.nn.functional.kl_div(
        (z / T).log_softmax(-1),
        (v / T).log_softmax(-1),
        reduction="none",
        log_target=True,
    )
    torch.testing.assert_close(soft_losses(z, v, T), T**2 * theirs.sum(-1))


@pytest.mark.parametrize("T", [1.0, 4.0])
def test_the_gradient_is_the_difference_of_probabilities(T):
    z, v = logits(5).requires_grad_(), logits(5, seed=1).requires_grad_()
    soft_losses(z, v, T).backward()
    wanted = T * ((z / T).softmax(-1) - (v / T).softmax(-1))
    torch.testing.assert_close(z.grad, wanted.detach())
    assert v.grad is None


def test_equal_logits_cost_nothing():
    assert float(soft_losses(logits(4), logits(4) + 3, 2.0)) < 1e-12


def test_other_shapes_and_temperatures_are_refused():
    for z, v, T in ((logits(3), logits(4), 1.0), (logits(3), logits(3), 0.0)):
        with pytest.raises(ValueError, match="temperature above 0"):
            soft_losses(z, v, T)


def test_padding_is_left_out():
    teacher, model = tiny(0), tiny(1)
    soft = soft_losses(model(BATCH.ids), teacher(BATCH.ids), 2.0)
    total, count = distilled(teacher, 2.0)(model, BATCH)
    torch.testing.assert_close(total, soft[0].sum() + soft[1, :2].sum())
    assert count == language_loss(model, BATCH)[1] == 6


def test_the_teacher_gets_no_gradient():
    teacher, model = tiny(0), tiny(1)
    distilled(teacher)(model, BATCH)[0].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in model.parameters())


def test_a_student_follows_from_its_seed():
    first, same, other = student(0), student(0), student(1)
    pairs = list(zip(first.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_recipes_differ_where_the_method_says_so():
    plain = recipe(Run("new", "no teacher", 0))
    assert recipe(Run("new", "teacher, T = 1", 0)) == plain
    long = recipe(Run("new", "no teacher, long", 0))
    assert long.steps == distillation.LONG * plain.steps
    assert recipe(Run("new", "bfloat16 products", 0)).precision == "bfloat16"
    few = recipe(Run("few", "no teacher", 0))
    assert few.lr < plain.lr < recipe(Run("few", "teacher, T = 1", 0)).lr


@pytest.mark.parametrize("wrong", [("new", "magic"), ("old", "no teacher")])
def test_unknown_runs_are_refused(wrong):
    with pytest.raises(ValueError, match="Stories are 'new' or 'few'"):
        train_student(Run(*wrong, 0))


@pytest.mark.parametrize("method", ["bfloat16 weights", "teacher, T = 2"])
def test_a_short_run_learns_and_repeats(monkeypatch, method):
    monkeypatch.setattr(distillation, "STEPS", 12)
    first, again = (measure(Run("few", method, 0)) for _ in range(2))
    assert first["loss"] == again["loss"]
    assert first["floor"] < first["loss"] < math.log(92)
    assert first["steps"] == 12


def test_the_record_is_written_run_by_run(monkeypatch, tmp_path):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")
    runs = efficiency.grid()
    assert len(set(runs)) == len(runs) == 40
    assert {run.method for run in runs} == METHODS.keys()
    monkeypatch.setattr(efficiency, "grid", lambda: runs[:2])
    monkeypatch.setattr(efficiency, "measure", lambda run: {"loss": run.seed})
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    efficiency.main()
    text = (tmp_path / "copies" / "efficiency.json").read_text("utf-8")
    assert text.count('"loss"') == 2
