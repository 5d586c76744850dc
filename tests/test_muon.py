"""Muon: against the singular value decomposition, PyTorch's Muon and AdamW."""

import copy
import math

import pytest
import torch

from nextword.blocks import TransformerConfig
from nextword.checkpoints import load_checkpoint, save_checkpoint
from nextword.muon import Muon, orthogonalise
from nextword.training import History, TrainConfig
from nextword.transformer import BERT, GPT


def model(kind=GPT, seed=0):
    torch.manual_seed(seed)
    return kind(TransformerConfig(13, 8, 16, 2, 2, positions="rotary"))


def give_gradients(model, step):
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def is_matrix(name, parameter):
    return parameter.dim() == 2 and "embedding" not in name


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (1, 5)])
@pytest.mark.parametrize("steps", [1, 5])
def test_only_the_singular_values_change(shape, steps):
    """The polynomial, applied to each singular value of the decomposition."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.norm()
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = left * values @ right
    torch.testing.assert_close(
        orthogonalise(matrix[None], steps)[0],
        expected,
        rtol=1e-10,
        atol=1e-10,
    )


def test_after_five_steps_all_directions_are_alike():
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(32, 64, generator=generator)
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(orthogonalise(matrix[None])[0])
    assert before[0] / before[-1] > 4
    assert 0.6 < after.min() < after.max() < 1.3


def test_a_gradient_of_zero_gives_no_nan():
    zeros = torch.zeros(1, 3, 4)
    assert torch.equal(orthogonalise(zeros), zeros)


@pytest.mark.parametrize("kind", [GPT, BERT])
def test_matrices_move_as_in_pytorchs_muon(kind):
    """PyTorch's works in bfloat16, so the two agree as far as it reaches."""
    ours = model(kind)
    theirs = copy.deepcopy(ours)
    optimizer = Muon(ours, lr=0.02, weight_decay=0.1)
    matrices = [p for n, p in theirs.named_parameters() if is_matrix(n, p)]
    peer = torch.optim.Muon(
        matrices,
        lr=0.02,
        weight_decay=0.1,
        momentum=0.95,
        adjust_lr_fn="match_rms_adamw",
    )
    start = copy.deepcopy(ours)
    for step in range(6):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        optimizer.step()
        peer.step()
    triples = zip(
        start.named_parameters(),
        ours.parameters(),
        theirs.parameters(),
        strict=True,
    )
    seen = 0
    for (name, before), a, b in triples:
        if is_matrix(name, before):
            moved = (b - before).norm()
            assert (a - b).norm() < 0.02 * moved, name
            seen += 1
    assert seen == len(matrices) >= 12


def test_everything_else_moves_as_in_pytorchs_adamw():
    ours = model()
    theirs = copy.deepcopy(ours)
    optimizer = Muon(ours, lr=0.01)
    rest = [p for n, p in theirs.named_parameters() if not is_matrix(n, p)]
    peer = torch.optim.AdamW(rest, 0.01, (0.9, 0.95), weight_decay=0.0)
    for step in range(5):
        give_gradients(ours, step)
        give_gradients(theirs, step)
        optimizer.step()
        peer.step()
    for (name, a), b in zip(
        ours.named_parameters(), theirs.parameters(), strict=True
    ):
        if not is_matrix(name, a):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_step_has_the_size_of_adamws():
    """The root mean square of a step of AdamW is near 0.2 to 0.4 lr."""
    ours = model()
    before = copy.deepcopy(ours)
    optimizer = Muon(ours, lr=0.01, weight_decay=0.0)
    give_gradients(ours, 0)
    optimizer.step()
    for (name, a), b in zip(
        ours.named_parameters(), before.parameters(), strict=True
    ):
        if is_matrix(name, a):
            step = (a - b).detach().square().mean().sqrt()
            assert math.isclose(step, 0.2 * 0.01, rel_tol=0.35), name


def test_what_has_no_gradient_stays():
    ours = model()
    before = copy.deepcopy(ours)
    optimizer = Muon(ours, lr=0.1)
    optimizer.step()
    for a, b in zip(ours.parameters(), before.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_keeps_its_state_bit_for_bit(tmp_path):
    config, path = TrainConfig(9), tmp_path / "x.safetensors"
    whole, part = model(), model()
    one, other = Muon(whole, 0.01), Muon(part, 0.01)
    for step in range(4):
        give_gradients(whole, step)
        one.step()
    for step in range(2):
        give_gradients(part, step)
        other.step()
    save_checkpoint(path, part, other, config, History())
    new = model(seed=5)
    optimizer = Muon(new, 0.01)
    load_checkpoint(path, new, optimizer, config)
    for step in range(2, 4):
        give_gradients(new, step)
        optimizer.step()
    for a, b in zip(whole.parameters(), new.parameters(), strict=True):
        assert torch.equal(a, b)
