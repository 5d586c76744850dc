"""A GPT as plain functions against the GPT itself, token by token."""

import pytest
import torch

from nextword.blocks import TransformerConfig
from nextword.cache import caches
from nextword.flat import flat_gpt, flat_linear, flat_norm
from nextword.generation import Sampling, generate
from nextword.transformer import GPT


def random_gpt(**settings):
    """A small GPT in float64 whose norms and biases are random too."""
    torch.manual_seed(0)
    config = TransformerConfig(19, 24, 16, 4, 3, **settings)
    model = GPT(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh"])
@torch.no_grad()
def test_every_step_gives_the_logits_of_the_model(
    positions, norm_first, activation
):
    model = random_gpt(
        positions=positions, norm_first=norm_first, activation=activation
    )
    ids = torch.randint(19, (1, 24))
    cache, step = caches(3, 24), flat_gpt(model)
    model(ids[:, :5], None, cache)
    expected = model(ids)
    for t in range(5, 24):
        logits = step(ids[:, t : t + 1], cache)
        assert logits.shape == (1, 19)
        torch.testing.assert_close(logits, expected[:, t], rtol=0, atol=1e-10)


def test_generate_uses_it_for_one_text_and_says_the_same():
    model = random_gpt(positions="rotary")
    alone = generate(model, [[1, 2, 3]], 20)
    twice = generate(model, [[1, 2, 3], [4]], 20)
    assert alone[0] == twice[0]
    sampled = [
        generate(
            model,
            [[1, 2]],
            15,
            Sampling(temperature=2.0),
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (1, 1, 2)
    ]
    assert sampled[0] == sampled[1] != sampled[2]


def test_generate_leaves_other_models_as_they_are():
    class Backwards(GPT):
        def forward(self, ids, real=None, cache=None):
            return -super().forward(ids, real, cache)

    model = random_gpt()
    other = Backwards(model.config).double()
    other.load_state_dict(model.state_dict())
    said = generate(other, [[1, 2]], 6)[0]
    ids = [1, 2]
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(other(torch.tensor([ids]))[0, -1].argmax()))
    assert said == ids[2:] != generate(model, [[1, 2]], 6)[0]


def test_linear_layers_side_by_side():
    a, b = (torch.nn.Linear(3, n) for n in (2, 4))
    x = torch.randn(3)
    out = flat_linear(a, b)(x)
    torch.testing.assert_close(out, torch.cat([a(x), b(x)]))


def test_an_identity_stays_what_it_is():
    x = torch.randn(3)
    assert flat_norm(torch.nn.Identity())(x) is x
