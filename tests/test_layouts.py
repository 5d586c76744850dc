"""Names and layouts of Hugging Face's weights: there, back and checked."""

import pytest
import torch

from nextword.blocks import TransformerConfig
from nextword.layouts import GPT2, check_state, tidy, to_ours, to_theirs
from nextword.transformer import GPT


@pytest.fixture
def ours():
    torch.manual_seed(0)
    config = TransformerConfig(11, 8, 12, 3, 2, activation="gelu_tanh")
    return dict(GPT(config).named_parameters())


def test_to_ours_undoes_to_theirs(ours):
    state = to_theirs(ours, GPT2)
    back = to_ours(tidy(state, GPT2), list(ours), GPT2)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_tidy_keeps_each_tensor_once_and_refuses_two_values(ours):
    state = to_theirs(ours, GPT2)
    copy, name = next(iter(GPT2.tied.items()))
    assert copy not in tidy(state, GPT2)
    with pytest.raises(ValueError, match=f"{copy} and {name} differ"):
        tidy(state | {copy: state[copy] + 1}, GPT2)


def test_check_state_names_what_is_wrong():
    state = {"a": torch.zeros(2), "b": torch.zeros(1)}
    wanted = {"a": torch.zeros(3), "c": torch.zeros(1)}
    check_state(state, state)
    with pytest.raises(ValueError) as error:
        check_state(state, wanted)
    for part in ("Missing: c", "Unknown: b", "a (2,) instead of (3,)"):
        assert part in str(error.value)
