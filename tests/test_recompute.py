"""Recomputed layers: the gradients of the plain ones, for less memory."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nextword.blocks import TransformerConfig
from nextword.costs import SavedForBackward
from nextword.losses import cross_entropy
from nextword.recompute import Recompute, Recomputed, recompute_layers
from nextword.transformer import GPT


def gpt(dropout=0.0, positions="rotary"):
    torch.manual_seed(0)
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 3}
    config = TransformerConfig(
        11, 9, dropout=dropout, positions=positions, **sizes
    )
    return GPT(config).double()


def recomputed(model):
    model = copy.deepcopy(model)
    recompute_layers(model.decoder.layers)
    return model


def gradients(model, ids):
    torch.manual_seed(3)
    model.zero_grad()
    loss = cross_entropy(model(ids), ids)
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters())]


IDS = torch.randint(0, 11, (4, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_loss_and_gradients_equal_those_of_the_plain_model(dropout, positions):
    model = gpt(dropout, positions)
    plain, again = gradients(model, IDS), gradients(recomputed(model), IDS)
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_without_the_random_state_dropout_would_differ():
    model = gpt(0.3)
    torch.manual_seed(3)
    first = cross_entropy(model(IDS), IDS).item()
    assert first != cross_entropy(model(IDS), IDS).item()


def test_the_random_numbers_that_follow_are_the_same():
    layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    drawn = []
    for run in (layer, Recomputed(layer)):
        torch.manual_seed(0)
        run(torch.ones(2, 4, requires_grad=True)).sum().backward()
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_as_pytorchs_checkpoint():
    layer = gpt().decoder.layers[0]
    x = torch.randn(2, 5, 16, dtype=torch.float64, requires_grad=True)
    found = []
    for run in (
        lambda: Recompute.apply(layer, x),
        lambda: checkpoint(layer, x, use_reentrant=False),
    ):
        x.grad = None
        layer.zero_grad()
        run().square().sum().backward()
        found.append([x.grad.clone(), *(p.grad for p in layer.parameters())])
        layer.zero_grad(set_to_none=True)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_each_layer_keeps_its_input_alone():
    model = recomputed(gpt())
    x = torch.randn(4, 9, 16, dtype=torch.float64, requires_grad=True)
    with SavedForBackward([*model.parameters(), x]) as saved:
        y = x
        for layer in model.decoder.layers:
            y = layer(y)
    assert saved.bytes == 2 * x.nbytes  # the inputs of layers 2 and 3


def test_without_gradients_the_layer_runs_once():
    calls = []

    class Counted(nn.Linear):
        def forward(self, x):
            calls.append(1)
            return super().forward(x)

    layer = Recomputed(Counted(3, 3))
    with torch.no_grad():
        layer(torch.ones(2, 3))
    assert len(calls) == 1
    layer(torch.ones(2, 3, requires_grad=True)).sum().backward()
    assert len(calls) == 3


def test_an_input_without_gradient_is_refused():
    layer = Recomputed(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="requires_grad_"):
        layer(torch.ones(2, 3))
    layer.requires_grad_(False)
    assert not layer(torch.ones(2, 3)).requires_grad
