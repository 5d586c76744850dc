"""Checkpoints: exact round trips, whole files or none, and refusals."""

import json
import math
import random
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import save_file

from nextword import storage
from nextword.blocks import TransformerConfig
from nextword.checkpoints import (
    check_checkpoint,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from nextword.optim import parameter_groups
from nextword.transformer import GPT


@dataclass(frozen=True)
class Settings:
    lr: float = 0.1 + 0.2  # whose decimal digits are many
    steps: int = 10
    precision: str = "float32"


@dataclass
class Curve:
    losses: list[float] = field(default_factory=list)


def gpt(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"vocab_size": 11, "context_length": 6} | changes
    return GPT(TransformerConfig(**sizes, d_model=8, n_heads=2, n_layers=1))


def trained(seed=0, steps=3, make=torch.optim.AdamW, **changes):
    """A model and its optimizer after a few steps on noise."""
    model = gpt(seed, **changes)
    optimizer = make(parameter_groups(model, 0.1), lr=0.01)
    for _ in range(steps):
        model(torch.randint(11, (2, 5))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def content(model, optimizer):
    """Everything in a model, its optimizer and the random numbers, copied."""
    parts = {n: p.detach().clone() for n, p in model.named_parameters()}
    for i, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            parts[f"{i}.{key}"] = torch.as_tensor(value).clone()
    return parts | {"random numbers": torch.get_rng_state()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert torch.equal(a[name], b[name]), name


@pytest.fixture
def saved(tmp_path):
    """A checkpoint, and what it holds."""
    path = tmp_path / "a.safetensors"
    model, optimizer = trained()
    save_checkpoint(path, model, optimizer, Settings(), Curve([1.5, 1 / 3]))
    return path, content(model, optimizer)


def momentum(groups, lr):
    return torch.optim.SGD(groups, lr, momentum=0.9)


@pytest.mark.parametrize(
    "make", [torch.optim.AdamW, torch.optim.SGD, momentum, torch.optim.Adagrad]
)
def test_everything_comes_back_bit_for_bit(tmp_path, make):
    path = tmp_path / "a.safetensors"
    model, optimizer = trained(make=make)
    curve = Curve([1 / 3, 1e-300, 2.0])
    save_checkpoint(path, model, optimizer, Settings(), curve)
    before = content(model, optimizer)
    model, optimizer = trained(seed=1, steps=0, make=make)
    torch.manual_seed(77)
    history = load_checkpoint(path, model, optimizer, Settings())
    assert_same(content(model, optimizer), before)
    assert Curve(**history) == curve


def test_what_was_loaded_trains_on_like_what_was_saved(saved):
    path, _ = saved
    ends = []
    for seed, steps in ((0, 3), (1, 0)):
        model, optimizer = trained(seed, steps)
        load_checkpoint(path, model, optimizer, Settings())
        for _ in range(3):
            model(torch.randint(11, (2, 5))).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        ends.append(content(model, optimizer))
    assert_same(*ends)


def test_the_random_numbers_go_on(tmp_path):
    path = tmp_path / "a.safetensors"
    model, optimizer = trained()
    save_checkpoint(path, model, optimizer, Settings(), Curve())
    expected = torch.rand(5)
    torch.manual_seed(5)
    load_checkpoint(path, model, optimizer, Settings())
    assert torch.equal(torch.rand(5), expected)


def test_training_on_changes_no_checkpoint_and_needs_none(saved):
    """The tensors in memory are copies: the file may be replaced or deleted."""
    path, before = saved
    model, optimizer = trained(seed=1, steps=0)
    load_checkpoint(path, model, optimizer, Settings())
    stored = path.read_bytes()
    for state in optimizer.state.values():
        for value in state.values():
            value.add_(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert path.read_bytes() == stored
    load_checkpoint(path, model, optimizer, Settings())
    path.write_bytes(b"\xff" * len(stored))  # in place: who still looks there?
    assert_same(content(model, optimizer), before)


def test_a_tied_weight_is_stored_once_and_stays_tied(saved):
    path, _ = saved
    tensors, _ = read_checkpoint(path)
    names = [name for name in tensors if name.startswith("model.")]
    assert sorted(names) == sorted(
        f"model.{name}" for name, _ in gpt().named_parameters()
    )
    assert not any("lm_head" in name for name in names)
    model, optimizer = trained(seed=1, steps=0)
    load_checkpoint(path, model, optimizer, Settings())
    assert model.lm_head.weight is model.embedding.tokens.weight


def test_another_program_can_read_the_file(saved):
    """Eight bytes of length, JSON, numbers: as safetensors describes it."""
    path, before = saved
    stored = path.read_bytes()
    length = int.from_bytes(stored[:8], "little")
    head = json.loads(stored[8 : 8 + length])
    assert json.loads(head["__metadata__"]["history"]) == {
        "losses": [1.5, 1 / 3]
    }
    assert json.loads(head["__metadata__"]["config"])["lr"] == 0.1 + 0.2
    place = head["model.decoder.norm.weight"]
    first, last = (8 + length + at for at in place["data_offsets"])
    numbers = torch.frombuffer(bytearray(stored[first:last]), dtype=torch.float)
    assert torch.equal(numbers, before["decoder.norm.weight"])


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


class DiskFull(OSError):
    pass


def fail(*_, **__):
    raise DiskFull("no space left on device")


@pytest.mark.parametrize("error", [DiskFull, KeyboardInterrupt])
@pytest.mark.parametrize("place", ["fdopen", "write", "chmod", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    saved, monkeypatch, place, error
):
    path, _ = saved
    before = files(path.parent)
    real = storage.os.fdopen

    def stop(*_, **__):
        raise error("stopped half-way")

    def half(handle, mode):
        file = real(handle, mode)
        file.write(b"half a file")
        file.flush()
        file.close()
        stop()

    model, optimizer = trained(seed=4)
    with monkeypatch.context() as patch:
        if place in ("fdopen", "write"):
            patch.setattr(
                storage.os, "fdopen", stop if place == "fdopen" else half
            )
        else:
            patch.setattr(storage.Path, place, stop)
        with pytest.raises(error, match="half-way"):
            save_checkpoint(path, model, optimizer, Settings(), Curve())
    assert files(path.parent) == before
    save_checkpoint(path, model, optimizer, Settings(), Curve())
    assert files(path.parent).keys() == before.keys()
    assert files(path.parent) != before


def test_bytes_are_written_as_they_are_into_new_folders(tmp_path):
    path = tmp_path / "one" / "two" / "file"
    for written in (b"", b"\r\n\x00\xff", b"shorter"):
        storage.write_bytes(path, written)
        assert files(path.parent) == {"file": written}
    storage.write_text(path, "猫\n")
    assert path.read_bytes() == "猫\n".encode()


@pytest.mark.skipif("os.name == 'nt'", reason="Windows has no such modes")
def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    storage.write_bytes(path, b"1")
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    storage.write_bytes(path, b"2")
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.binary(max_size=200), st.binary(max_size=200), st.data())
def test_a_seal_shows_every_change(before, after, data):
    before += b'"'  # as in JSON, which holds the digest between quotes
    assume(storage.BLANK.encode() not in before)
    sealed = storage.seal(before + storage.BLANK.encode() + after)
    digest = sealed[len(before) : len(before) + 64].decode()
    assert len(sealed) == len(before) + 64 + len(after)
    storage.check_seal(sealed, digest)
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="altered"):
        storage.check_seal(bytes(changed), digest)
    with pytest.raises(ValueError, match="altered"):
        storage.check_seal(sealed[:-1], digest)


def assert_refused(path, message, model=None, optimizer=None, config=None):
    """It names the file, and nothing in memory is changed."""
    if model is None:
        model, optimizer = trained(seed=2, steps=2)
    before = content(model, optimizer)
    with pytest.raises(ValueError, match=message) as refusal:
        load_checkpoint(path, model, optimizer, config or Settings())
    assert str(path) in str(refusal.value)
    assert_same(content(model, optimizer), before)


DAMAGED = "is not an intact checkpoint: (?s:.)*Delete it, or choose another"


@pytest.mark.parametrize("share", [0, 1e-9, 0.01, 0.3, 0.7, 0.999, 1 - 1e-9])
def test_a_truncated_file_is_refused(saved, share):
    path, _ = saved
    stored = path.read_bytes()
    path.write_bytes(stored[: math.ceil(share * len(stored)) - (share > 0.9)])
    assert_refused(path, DAMAGED)


def test_a_file_that_was_altered_anywhere_is_refused(saved):
    path, _ = saved
    stored = path.read_bytes()
    length = 8 + int.from_bytes(stored[:8], "little")
    rng = random.Random(0)
    places = [0, 3, 7, 8, 9, length - 1, length, len(stored) - 1]
    places += rng.sample(range(8, length), 60)
    places += rng.sample(range(length, len(stored)), 60)
    model, optimizer = trained(seed=2, steps=2)
    for place in places:
        changed = bytearray(stored)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        assert_refused(path, DAMAGED, model, optimizer)
    path.write_bytes(stored + b"\n")
    assert_refused(path, DAMAGED, model, optimizer)
    path.write_bytes(stored)
    load_checkpoint(path, model, optimizer, Settings())


@pytest.mark.parametrize(
    "other",
    [b"", b"\n", b"Dear diary, today I trained a model.\n" * 9, b"\0" * 100],
)
def test_another_kind_of_file_is_refused(tmp_path, other):
    path = tmp_path / "a.safetensors"
    path.write_bytes(other)
    assert_refused(path, DAMAGED)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"config": "{}", "history": "{}"}]
)
def test_weights_that_are_no_checkpoint_are_refused(tmp_path, metadata):
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata)
    assert_refused(path, DAMAGED)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    model, optimizer = trained()
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none", model, optimizer, Settings())


@pytest.mark.parametrize(
    "changes",
    [{"vocab_size": 12}, {"context_length": 7}, {"positions": "rotary"}],
)
def test_another_model_is_refused(saved, changes):
    path, _ = saved
    message = "holds another model.* Build the model with the sizes"
    assert_refused(path, message, *trained(2, steps=2, **changes))


def test_a_model_of_another_precision_is_refused(saved):
    """To round its numbers would be to train another model."""
    path, _ = saved
    model = gpt().double()
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), lr=0.01)
    assert_refused(path, "holds another model", model, optimizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.3}, r"lr = 0.30000000000000004, not 0.3. Use the same"),
        ({"steps": 11}, "steps = 10, not 11. .* or another path"),
        ({"precision": "bfloat16"}, "precision = float32, not bfloat16"),
    ],
)
def test_another_config_is_refused(saved, changes, message):
    path, _ = saved
    assert_refused(path, message, config=replace(Settings(), **changes))


def test_a_config_with_other_fields_is_refused(saved):
    @dataclass(frozen=True)
    class Fewer:
        lr: float = 0.1 + 0.2

    @dataclass(frozen=True)
    class More(Settings):
        warmup: int = 3

    path, _ = saved
    assert_refused(path, "steps = 10, not None", config=Fewer())
    assert_refused(path, "warmup = None, not 3", config=More())


def test_another_optimizer_is_refused(saved):
    path, _ = saved
    model, optimizer = trained(seed=2, steps=2, make=momentum)
    assert_refused(path, "optimizer = AdamW, not SGD", model, optimizer)


def test_what_fits_passes_the_check(saved):
    path, _ = saved
    tensors, stored = read_checkpoint(path)
    assert stored.keys() == {"config", "history"}
    check_checkpoint(path, tensors, stored["config"], gpt(), stored["config"])
