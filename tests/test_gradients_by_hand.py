"""The gradients that the pages derive, against automatic differentiation."""

import math
import random

import pytest
import torch

from nextword.attention import (
    attention,
    attention_weights,
    causal_mask,
    padding_mask,
)
from nextword.exercises import chapter_05, chapter_07
from nextword.layers import layer_norm, rms_norm

IDS = torch.tensor([[3, 1, 4, 1, 0, 0], [2, 7, 1, 8, 2, 8]])
LEFT_PADDED = torch.tensor([[0, 0, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
MASKS = {
    "none": None,
    "causal": causal_mask(6),
    "padding": padding_mask(IDS, pad_id=0),
    "rows that may look nowhere": causal_mask(6) & padding_mask(LEFT_PADDED, 0),
}


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def automatic(function, d_out, *leaves):
    """The gradient by each leaf, for the gradient that arrives from above."""
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    return torch.autograd.grad(function(*leaves), leaves, d_out)


def assert_same(ours, theirs):
    torch.testing.assert_close(
        tuple(ours), tuple(theirs), rtol=1e-10, atol=1e-10
    )


def softmax_jacobian(z):
    """Equation (5.7): diag(a) - a^T a, where a is a row."""
    a = torch.softmax(z, dim=0)
    return torch.diag(a) - torch.outer(a, a)


def softmax_backward(A, dA):
    """Equation (5.10), and (5.8) for each row."""
    return A * (dA - (dA * A).sum(dim=-1, keepdim=True))


def attention_backward(q, k, v, dO, mask):
    """Equations (5.9) to (5.11): the gradients dQ, dK and dV."""
    root = math.sqrt(q.shape[-1])
    A = attention_weights(q, k, mask)  # (B, T, S)
    dV = A.transpose(-2, -1) @ dO  # (B, S, D)
    dA = dO @ v.transpose(-2, -1)  # (B, T, S)
    dZ = softmax_backward(A, dA)  # (B, T, S)
    return dZ @ k / root, dZ.transpose(-2, -1) @ q / root, dV


def layer_norm_backward(x, gain, dy, eps):
    """Equations (7.12) and (7.13): the gradients dx, dgain and dbias."""
    mean = x.mean(dim=-1, keepdim=True)  # (B, T, 1)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    sigma = torch.sqrt(variance + eps)  # (B, T, 1)
    x_hat, g = (x - mean) / sigma, dy * gain  # (B, T, C)
    along_one = g.mean(dim=-1, keepdim=True)
    along_x = x_hat * (g * x_hat).mean(dim=-1, keepdim=True)
    dx = (g - along_one - along_x) / sigma
    return dx, (dy * x_hat).sum(dim=(0, 1)), dy.sum(dim=(0, 1))


def rms_norm_backward(x, gain, dy, eps):
    """Section "RMSNorm" of chapter 7: dx without the term of the mean."""
    r = torch.sqrt((x**2).mean(dim=-1, keepdim=True) + eps)  # (B, T, 1)
    x_hat, g = x / r, dy * gain  # (B, T, C)
    return (g - x_hat * (g * x_hat).mean(dim=-1, keepdim=True)) / r


@pytest.mark.parametrize("size", [1.0, 4.0, 16.0])
def test_the_jacobian_of_the_softmax(size):
    z = size * draw(7)
    theirs = torch.autograd.functional.jacobian(lambda z: z.softmax(0), z)
    assert_same([softmax_jacobian(z)], [theirs])


def test_back_through_the_softmax_needs_no_matrix():
    z, da = draw(7, seed=1), draw(7, seed=2)
    a = torch.softmax(z, dim=0)
    assert_same([softmax_backward(a, da)], [da @ softmax_jacobian(z)])


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_the_gradients_of_attention(mask):
    q, k, v, dO = (draw(2, 6, 4, seed=seed) for seed in range(4))
    theirs = automatic(lambda *qkv: attention(*qkv, mask), dO, q, k, v)
    assert_same(attention_backward(q, k, v, dO, mask), theirs)


def test_a_row_that_may_look_nowhere_sends_back_no_gradient():
    q, k, v, dO = (draw(2, 6, 4, seed=seed) for seed in range(4))
    mask = MASKS["rows that may look nowhere"]
    empty = ~mask.any(dim=-1)  # (B, T)
    assert empty.tolist() == [[True, True] + 4 * [False], 6 * [False]]
    gradients = attention_backward(q, k, v, dO, mask)
    assert (gradients[0][empty] == 0).all()
    dO[empty] += 1.0
    assert_same(attention_backward(q, k, v, dO, mask), gradients)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_the_gradients_of_layer_norm(eps):
    x, dy = 3 * draw(2, 5, 8, seed=1) + 2, draw(2, 5, 8, seed=2)
    gain, bias = draw(8, seed=3), draw(8, seed=4)
    theirs = automatic(lambda *t: layer_norm(*t, eps), dy, x, gain, bias)
    assert_same(layer_norm_backward(x, gain, dy, eps), theirs)


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_the_gradient_of_rms_norm(eps):
    x, dy = 3 * draw(2, 5, 8, seed=1) + 2, draw(2, 5, 8, seed=2)
    gain = draw(8, seed=3)
    dx, _ = automatic(lambda *t: rms_norm(*t, eps), dy, x, gain)
    assert_same([rms_norm_backward(x, gain, dy, eps)], [dx])


def scores_gradient(A, dA):
    """Exercise 5.4 by automatic differentiation: ln A is one row of scores."""
    return automatic(lambda z: z.softmax(dim=-1), dA, A.log())[0]


def norm_backward(dy, x_hat, sigma, gain):
    """Exercise 7.6 by automatic differentiation, with x = sigma * x_hat.

    The mean of x is 0, and eps is what sigma^2 holds beside the variance.
    """
    x = sigma * x_hat
    eps = sigma**2 - (x**2).mean(dim=-1, keepdim=True)  # (B, T, 1)
    bias = torch.zeros_like(gain)
    return automatic(lambda *t: layer_norm(*t, eps), dy, x, gain, bias)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (chapter_05.scores_gradient, scores_gradient),
        (chapter_07.norm_backward, norm_backward),
    ],
    ids=["5.4", "7.6"],
)
def test_an_exercise_accepts_automatic_differentiation(exercise, answer):
    for seed in range(20):  # it raises Wrong for what its reference is not
        exercise.examine(answer, random.Random(seed))
