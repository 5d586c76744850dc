"""What learners write for the exercises of chapter 23, and what they are told."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def memory_all_trained(total, trained, number):
    return total * (2 * number + 8)


def memory_all_gradients(total, trained, number):
    return 2 * total * number + 8 * trained


def memory_all_state(total, trained, number):
    return number * (total + trained) + 8 * total


def memory_one_moment(total, trained, number):
    return number * (total + trained) + 4 * trained


def memory_small_state(total, trained, number):
    return number * total + 3 * number * trained


def memory_no_gradient(total, trained, number):
    return number * total + 8 * trained


def memory_only_trained(total, trained, number):
    return (2 * number + 8) * trained


def memory_nothing(total, trained, number):
    return total


def _upper(bits):
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def bf16_cut(x):
    return _upper(x.view(np.uint32))


def bf16_away(x):
    return _upper(x.view(np.uint32) + np.uint32(0x8000))


def bf16_towards(x):
    return _upper(x.view(np.uint32) + np.uint32(0x7FFF))


def bf16_half(x):
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


def bf16_same(x):
    return x


def _rows(W):
    return np.abs(W).max(axis=1, keepdims=True)


def _whole(W, largest, most=127, whole=np.rint):
    s = largest / most
    s = np.where(s == 0, 1.0, s)
    return np.clip(whole(W / s), -128, 127).astype(np.int8), s


def int8_tensor(W):
    return _whole(W, np.abs(W).max() * np.ones((len(W), 1)))


def int8_columns(W):
    return _whole(W, np.abs(W).max(axis=0, keepdims=True))


def int8_signed(W):
    largest = W.max(axis=1, keepdims=True) / 127
    s = np.where(largest > 0, largest, 1.0)
    return np.clip(np.rint(W / s), -128, 127).astype(np.int8), s


def int8_128(W):
    return _whole(W, _rows(W), 128)


def int8_255(W):
    return _whole(W, _rows(W), 255)


def int8_cut(W):
    return _whole(W, _rows(W), whole=np.trunc)


def int8_zero_row(W):
    with np.errstate(all="ignore"):
        s = _rows(W) / 127
        return np.rint(W / s).astype(np.int8), s


def int8_exchanged(W):
    return _whole(W, _rows(W))[::-1]


def int8_list(W):
    return list(_whole(W, _rows(W)))


def _softmax(z):
    return np.exp(z) / np.exp(z).sum()


def _pull(z, v, T):
    return _softmax(z / T) - _softmax(v / T)


def pull_sign(z, v, T):
    return -T * _pull(z, v, T)


def pull_kl(z, v, T):
    return _pull(z, v, T) / T


def pull_squared(z, v, T):
    return T**2 * _pull(z, v, T)


def pull_no_factor(z, v, T):
    return _pull(z, v, T)


def pull_no_temperature(z, v, T):
    return T * (_softmax(z) - _softmax(v))


def pull_hot_student(z, v, T):
    return T * (_softmax(z / T) - _softmax(v))


def pull_logits(z, v, T):
    return z - v


def _fit(one, free, whole=math.floor):
    return max(0, whole(free / one))


def fit_keys(memory, weights, layers, groups, D, tokens, number):
    return _fit(layers * groups * D * tokens * number, memory - weights)


def fit_one_layer(memory, weights, layers, groups, D, tokens, number):
    return _fit(2 * groups * D * tokens * number, memory - weights)


def fit_numbers(memory, weights, layers, groups, D, tokens, number):
    return _fit(2 * layers * groups * D * tokens, memory - weights)


def fit_one_group(memory, weights, layers, groups, D, tokens, number):
    return _fit(2 * layers * D * tokens * number, memory - weights)


def fit_one_token(memory, weights, layers, groups, D, tokens, number):
    return _fit(2 * layers * groups * D * number, memory - weights)


def fit_no_weights(memory, weights, layers, groups, D, tokens, number):
    return _fit(2 * layers * groups * D * tokens * number, memory)


def fit_round_up(memory, weights, layers, groups, D, tokens, number):
    one = 2 * layers * groups * D * tokens * number
    return _fit(one, memory - weights, math.ceil)


def fit_below_zero(memory, weights, layers, groups, D, tokens, number):
    one = 2 * layers * groups * D * tokens * number
    return (memory - weights) // one


def energy_days(chips, watts, days, pue, intensity):
    kwh = chips * watts * days * pue / 1000
    return kwh, kwh * intensity


def energy_watt_hours(chips, watts, days, pue, intensity):
    wh = chips * watts * days * 24 * pue
    return wh, wh * intensity


def energy_no_pue(chips, watts, days, pue, intensity):
    kwh = chips * watts * days * 24 / 1000
    return kwh, kwh * intensity


def energy_divided(chips, watts, days, pue, intensity):
    kwh = chips * watts * days * 24 / pue / 1000
    return kwh, kwh * intensity


def energy_one_chip(chips, watts, days, pue, intensity):
    kwh = watts * days * 24 * pue / 1000
    return kwh, kwh * intensity


def energy_tons(chips, watts, days, pue, intensity):
    kwh = chips * watts * days * 24 * pue / 1000
    return kwh, kwh * intensity / 1000


def energy_inverse(chips, watts, days, pue, intensity):
    kwh = chips * watts * days * 24 * pue / 1000
    return kwh, kwh / intensity


def _qk_softmax(scores):
    T = scores.shape[-1]
    past = torch.ones(T, T, dtype=torch.bool).tril()
    return scores.masked_fill(~past, -math.inf).softmax(dim=-1)


def _rms(x, axis=-1):
    return x / (x**2).mean(dim=axis, keepdim=True) ** 0.5


def qk_plain(q, k):
    return _qk_softmax(q @ k.T / q.shape[-1] ** 0.5)


def qk_only_q(q, k):
    return _qk_softmax(_rms(q) @ k.T / q.shape[-1] ** 0.5)


def qk_only_k(q, k):
    return _qk_softmax(q @ _rms(k).T / q.shape[-1] ** 0.5)


def qk_length_one(q, k):
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    return _qk_softmax(q @ k.T / q.shape[-1] ** 0.5)


def qk_cosine(q, k):
    return _qk_softmax(F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T)


def qk_no_root(q, k):
    return _qk_softmax(_rms(q) @ _rms(k).T)


def qk_future(q, k):
    return (_rms(q) @ _rms(k).T / q.shape[-1] ** 0.5).softmax(dim=-1)


def qk_axis(q, k):
    return _qk_softmax(_rms(q, 0) @ _rms(k, 0).T / q.shape[-1] ** 0.5)


def qk_scores(q, k):
    return _rms(q) @ _rms(k).T / q.shape[-1] ** 0.5


WRONG = {
    "23.1": [
        (memory_all_trained, "no gradient and no state of the optimizer"),
        (memory_all_gradients, "Frozen parameters have no gradient."),
        (memory_all_state, "AdamW keeps nothing for frozen parameters"),
        (memory_one_moment, "AdamW keeps two numbers"),
        (memory_small_state, "AdamW's two numbers have 4 bytes each"),
        (memory_no_gradient, "The gradients are missing"),
        (memory_only_trained, "but they must be stored"),
        (memory_nothing, "expected 160, got 10"),
    ],
    "23.2": [
        (bf16_cut, "You cut the lower 16 bits off"),
        (bf16_away, "all rounded away from 0"),
        (bf16_towards, "all rounded towards 0"),
        (bf16_half, "This is float16"),
        (bf16_same, "expected"),
    ],
    "23.3": [
        (int8_tensor, "All rows share one scale"),
        (int8_columns, "a scale for each column"),
        (int8_signed, "not the largest absolute value"),
        (int8_128, "With 128, the largest weight does not fit"),
        (int8_255, "You divide by 255"),
        (int8_cut, "You cut the fraction off"),
        (int8_zero_row, "A row of zeros has the scale 0"),
        (int8_exchanged, "The two results are exchanged"),
        (int8_list, "should be a tuple"),
    ],
    "23.4": [
        (pull_sign, "The sign is wrong"),
        (pull_kl, "This is the gradient of KL alone"),
        (pull_squared, "one factor 1 / T"),
        (pull_no_factor, "A factor is missing"),
        (pull_no_temperature, "Both softmaxes are those of logits divided"),
        (pull_hot_student, "The teacher's logits are divided by T too"),
        (pull_logits, "expected"),
    ],
    "23.5": [
        (fit_keys, "the factor 2 is missing"),
        (fit_one_layer, "Each layer has a cache of its own"),
        (fit_numbers, "This counts numbers"),
        (fit_one_group, "Each group of heads has keys and values"),
        (fit_one_token, "This is the cache of one token"),
        (fit_no_weights, "The weights are in the same memory"),
        (fit_round_up, "You round up"),
        (fit_below_zero, "the number of texts is 0"),
    ],
    "23.6": [
        (energy_days, "Days are not hours"),
        (energy_watt_hours, "These are watt-hours"),
        (energy_no_pue, "The PUE is missing"),
        (energy_divided, "You divide by the PUE"),
        (energy_one_chip, "This is the energy of one chip"),
        (energy_tons, "The mass is in tons"),
        (energy_inverse, "You divide by the emissions"),
    ],
    "23.8": [
        (qk_plain, "nothing is normalised"),
        (qk_only_q, "A long key still"),
        (qk_only_k, "A long query still"),
        (qk_length_one, "Your vectors have length 1"),
        (qk_cosine, "These are cosines"),
        (qk_no_root, "division of the scores by √D is missing"),
        (qk_future, "A position sees the future"),
        (qk_axis, "You normalise over the positions"),
        (qk_scores, "qk_scores(tensor"),
    ],
}
