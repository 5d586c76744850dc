"""Costs: formulas against what autograd, optimizers and caches really hold."""

import os

import pytest
import torch
from torch import nn

from nextword.blocks import TransformerConfig
from nextword.cache import caches
from nextword.costs import (
    KINDS,
    SavedForBackward,
    activation_numbers,
    bytes_of,
    co2_kg,
    energy_kwh,
    held_bytes,
    kind_of_operation,
    kv_bytes,
    operation_seconds,
    shares_by_kind,
)
from nextword.losses import cross_entropy
from nextword.transformer import GPT


def small(**changes):
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_heads": 4, "n_layers": 2} | changes
    return GPT(TransformerConfig(50, 64, **sizes))


def test_kinds_go_by_the_beginning_of_a_name():
    assert kind_of_operation("aten::mm") == "products of matrices"
    assert kind_of_operation("aten::native_layer_norm_backward") == "norms"
    flash = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert kind_of_operation(flash) == "attention"
    assert (
        kind_of_operation("aten::add") == kind_of_operation("mm") == "all else"
    )


def test_the_operations_of_a_call_are_timed(capfd):
    x = torch.randn(64, 64)
    times = operation_seconds(lambda: (x @ x).exp())
    assert {"aten::mm", "aten::exp"} <= times.keys()
    assert all(0 <= time < 5 for time in times.values())
    assert not capfd.readouterr().err


def test_after_an_error_messages_are_shown_again(capfd):
    with pytest.raises(ZeroDivisionError):
        operation_seconds(lambda: 1 / 0)
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_shares_add_up_to_one_and_the_largest_is_first():
    shares = shares_by_kind({"aten::mm": 1.0, "aten::add": 2.0, "x": 1.0})
    assert list(shares)[:2] == ["all else", "products of matrices"]
    assert shares["all else"] == 0.75 and sum(shares.values()) == 1
    assert shares.keys() == {*KINDS, "all else"}


def test_without_time_there_are_no_shares():
    with pytest.raises(ValueError, match="Profile a step"):
        shares_by_kind({"aten::mm": 0.0})


def test_a_block_that_is_shared_counts_once():
    x = torch.zeros(10)
    assert bytes_of([x, x[2:], x.view(2, 5)]) == 40
    assert bytes_of([x, torch.zeros(10)]) == 80
    assert bytes_of([]) == 0


def test_a_step_holds_sixteen_bytes_a_parameter():
    model = small()
    number = sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters())
    cross_entropy(
        model(torch.ones(1, 4).long()), torch.ones(1, 4).long()
    ).backward()
    optimizer.step()
    assert held_bytes(model, optimizer) == {
        "parameters": 4 * number,
        "gradients": 4 * number,
        "optimizer": 8 * number,
    }


def test_what_is_frozen_holds_its_weights_alone():
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    model[0].requires_grad_(False)
    optimizer = torch.optim.AdamW(model[1].parameters())
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    held = held_bytes(model, optimizer)
    assert held == {"parameters": 172, "gradients": 72, "optimizer": 144}


def test_saved_tensors_of_one_product():
    """X w needs both for its gradient; w is known, and not counted."""
    x, w = torch.randn(3, 4), torch.randn(4, 5, requires_grad=True)
    with SavedForBackward([w]) as saved:
        y = x @ w
    assert saved.bytes == 48 and y.requires_grad
    with SavedForBackward() as saved:
        y = (x.requires_grad_() @ w, x @ w)
    assert saved.bytes == 48 + 80  # each once


def test_outside_nothing_is_counted_and_gradients_are_right():
    x = torch.randn(3, requires_grad=True)
    with SavedForBackward() as saved:
        y = x.square().sum()
    x.exp().sum().backward()
    assert saved.bytes == 12
    x.grad = None
    y.backward()
    assert torch.equal(x.grad, 2 * x)


@pytest.mark.parametrize(
    "changes", [{}, {"d_ff": 48}, {"n_layers": 3}, {"positions": "rotary"}]
)
def test_the_formula_of_activations(changes):
    model = small(**changes)
    ids = torch.randint(0, 50, (8, 32))
    with SavedForBackward(model.parameters()) as saved:
        loss = cross_entropy(model(ids), ids)
    formula = 4 * activation_numbers(model.config) * ids.numel()
    assert formula <= saved.bytes < 1.05 * formula
    assert loss.requires_grad


def test_keys_and_values_are_what_a_cache_holds():
    model, past = small(), caches(2, 10)
    with torch.no_grad():
        model(torch.ones(3, 10).long(), None, past)
    held = bytes_of([x for c in past for x in (c.k, c.v)])
    assert held == 3 * kv_bytes(2, 4, 8, 10)
    assert kv_bytes(80, 8, 128, 1, number=2) == 320 * 2**10


def test_energy_by_hand():
    assert energy_kwh(100, 10) == 1
    assert energy_kwh(250, 8, chips=4, pue=1.5) == 12
    assert co2_kg(12, 0.5) == 6


@pytest.mark.parametrize(
    "wrong", [(100, 1, 1, 0.9), (-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1)]
)
def test_energy_refuses_what_cannot_be(wrong):
    with pytest.raises(ValueError, match="PUE of 1 or more"):
        energy_kwh(*wrong)
