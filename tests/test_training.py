"""Training: the step, the loop, and that no interruption changes the curve."""

import hashlib
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from nextword import training
from nextword.batches import PairBatches, TokenBatch, TokenBatches, pair_batch
from nextword.blocks import TransformerConfig
from nextword.checkpoints import read_checkpoint
from nextword.losses import IGNORE
from nextword.optim import warmup_cosine
from nextword.training import (
    History,
    StopOnCtrlC,
    TrainConfig,
    adamw,
    check_loss,
    fit,
    language_loss,
    mixed_precision,
    pair_loss,
    set_learning_rate,
    training_step,
)
from nextword.transformer import GPT, Transformer

ROOT = Path(__file__).parent.parent
V = 13
CONFIG = TrainConfig(steps=12, lr=0.01, warmup=3, accumulate=2, save_every=4)
LONG = replace(CONFIG, steps=120, warmup=10, save_every=3)  # to be killed in
PAIRS = [  # targets of 2, 6, 3, ... tokens, so that no two batches weigh alike
    (
        [3 + i % 9, 4, 5][: 1 + i % 3],
        [3 + (i + k) % 9 for k in range(i * 5 % 7)],
    )
    for i in range(1, 11)
]


def gpt(dropout=0.0, seed=1, **changes):
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 1, **changes}
    return GPT(TransformerConfig(V, 8, dropout=dropout, **sizes))


def translator():
    torch.manual_seed(1)
    config = TransformerConfig(V, 8, d_model=16, n_heads=2, n_layers=1)
    return Transformer(config).double()


def windows(batch_size=4):
    return TokenBatches(torch.arange(200) ** 2 % V, batch_size, 8, seed=3)


def parameters(model):
    return [p.detach().clone() for p in model.parameters()]


def assert_same(model, other):
    """Bit for bit."""
    for a, b in zip(parameters(model), parameters(other), strict=True):
        assert torch.equal(a, b)


class Stop(Exception):
    """Something went wrong in the middle."""


def stopping(batches, at, action):
    """The same batches; before number ``at``, once, something happens."""
    pending = [at]

    def batch(number):
        if [number] == pending:
            pending.clear()
            action()
        return batches(number)

    return batch


def give_up():
    raise Stop


# The losses of a model.


def test_the_loss_of_a_gpt_is_pytorchs_sum():
    model = gpt().double()
    ids = torch.randint(V, (3, 8))
    targets = torch.randint(V, (3, 8)).masked_fill(ids < 4, IGNORE)
    total, count = language_loss(model, TokenBatch(ids, targets))
    expected = F.cross_entropy(
        model(ids).flatten(0, 1), targets.flatten(), reduction="sum"
    )
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=0)
    assert count == int((ids >= 4).sum()) and type(count) is int


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_pairs_is_the_sum_of_their_own_losses(smoothing):
    """So padding changes nothing, in the source or in the target."""
    model = translator()
    total, count = pair_loss(model, pair_batch(PAIRS, 1, 2, 0), smoothing)
    alone = 0
    for source, target in PAIRS:
        logits = model(torch.tensor([source]), torch.tensor([[1, *target]]))
        said = torch.tensor([*target, 2])
        alone += F.cross_entropy(
            logits[0], said, reduction="sum", label_smoothing=smoothing
        )
    torch.testing.assert_close(total, alone, rtol=1e-12, atol=0)
    assert count == sum(len(target) + 1 for _, target in PAIRS)


# One step.


def gradients_and_result(batches, clip=math.inf):
    model = translator()
    config = TrainConfig(steps=1, clip=clip)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    before = parameters(model)
    result = training_step(model, pair_loss, batches, optimizer, config)
    after = parameters(model)
    return [a - b for a, b in zip(before, after, strict=True)], result


@pytest.mark.parametrize("cuts", [(5,), (1, 9), (2, 3, 4, 7)])
@pytest.mark.parametrize("clip", [math.inf, 0.5])
def test_accumulation_equals_the_large_batch(cuts, clip):
    whole = pair_batch(PAIRS, 1, 2, 0)
    edges = zip((0, *cuts), (*cuts, len(PAIRS)), strict=True)
    parts = [pair_batch(PAIRS[a:b], 1, 2, 0) for a, b in edges]
    counts = {int((part.target_out != IGNORE).sum()) for part in parts}
    assert len(counts) > 1  # a mean of the means would be another number
    expected, (loss, norm, count) = gradients_and_result([whole], clip)
    found, result = gradients_and_result(parts, clip)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert result == pytest.approx((loss, norm, count), rel=1e-12)
    length = torch.cat([g.flatten() for g in found]).norm()
    assert float(length) == pytest.approx(min(norm, clip), rel=1e-9)


def test_a_step_forgets_the_gradients_before_it():
    batch = pair_batch(PAIRS, 1, 2, 0)
    ends = []
    for stale in (False, True):
        model = translator()
        if stale:
            pair_loss(model, batch)[0].backward()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        training_step(model, pair_loss, [batch], optimizer, CONFIG)
        ends.append(model)
    assert_same(*ends)


NOTHING = TokenBatch(torch.zeros(2, 8).long(), torch.full((2, 8), IGNORE))


def test_a_step_without_any_target_is_refused_and_changes_nothing():
    model = gpt()
    before = gpt()
    with pytest.raises(ValueError, match=r"all are padding\. Leave empty"):
        training_step(
            model, language_loss, [NOTHING], adamw(model, CONFIG), CONFIG
        )
    assert_same(model, before)


def test_a_batch_without_targets_adds_nothing_to_a_step():
    ends = []
    for parts in ([windows()(0)], [NOTHING, windows()(0), NOTHING]):
        model = gpt()
        step = training_step(
            model, language_loss, parts, adamw(model, CONFIG), CONFIG
        )
        ends.append((model, step))
    assert ends[0][1] == ends[1][1]
    assert_same(ends[0][0], ends[1][0])


def finite_with_endless_slope(model, batch):
    total, count = language_loss(model, batch)
    return total + (0 * total).sqrt(), count  # the root is steep at 0


def test_a_gradient_that_is_not_finite_is_refused_and_changes_nothing():
    """The loss is fine, but the step would make every parameter NaN."""
    model, before = gpt(), gpt()
    with pytest.raises(ValueError, match=r"norm of the gradient is nan.*lower"):
        training_step(
            model,
            finite_with_endless_slope,
            [windows()(0)],
            adamw(model, CONFIG),
            CONFIG,
        )
    assert_same(model, before)


@pytest.mark.parametrize("total", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_refused(total):
    check_loss(1.0, 3)
    with pytest.raises(ValueError, match=f"loss is {total}.*as it was. Try a"):
        check_loss(total, 3)


# The loop.


def test_the_loop_is_one_written_out_with_pytorchs_parts(monkeypatch):
    """In float64, with another AdamW, schedule, loss and clipping."""
    config = replace(CONFIG, clip=0.3, weight_decay=0.2, lr=0.02)
    model = gpt().double()
    history = fit(model, language_loss, windows(), config)
    again = gpt().double()
    decaying = [p for p in again.parameters() if p.dim() > 1]
    others = [p for p in again.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": others, "weight_decay": 0.0},
            {"params": decaying, "weight_decay": 0.2},
        ],
        betas=(0.9, 0.95),
        foreach=False,
    )
    losses, norms = [], []
    for step in range(12):
        parts = [windows()(2 * step), windows()(2 * step + 1)]
        ids, targets = (torch.cat(both) for both in zip(*parts, strict=True))
        loss = F.cross_entropy(again(ids).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        flat = torch.cat([p.grad.flatten() for p in again.parameters()])
        for parameter in again.parameters():
            parameter.grad *= min(1, 0.3 / float(flat.norm()))
        fall = 0.55 + 0.45 * math.cos(math.pi * (step - 3) / 8)
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * ((step + 1) / 4 if step < 3 else fall)
        optimizer.step()
        losses.append(float(loss.detach()))
        norms.append(float(flat.norm()))
    assert history.losses == pytest.approx(losses, rel=1e-9)
    assert history.gradient_norms == pytest.approx(norms, rel=1e-8)
    assert max(norms) > 0.3  # some gradients were clipped
    assert history.targets == [2 * 4 * 8] * 12
    for a, b in zip(parameters(model), parameters(again), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_the_learning_rates_are_those_of_the_schedule():
    model = gpt()
    optimizer, used = adamw(model, CONFIG), []

    def spy(model, batch):
        used.append({group["lr"] for group in optimizer.param_groups})
        return language_loss(model, batch)

    history = fit(model, spy, windows(), CONFIG, optimizer=optimizer)
    rates = [0.01 * warmup_cosine(i, 12, 3, 0.1) for i in range(12)]
    assert history.learning_rates == rates
    assert used[::2] == used[1::2] == [{rate} for rate in rates]
    assert set_learning_rate(optimizer, CONFIG, 1) == rates[1]


def test_training_is_in_training_mode():
    model = gpt(dropout=0.5).eval()
    fit(model, lambda m, b: language_loss(m, b), windows(), CONFIG)
    assert model.training


def test_the_same_seed_gives_the_same_curve_bit_for_bit():
    runs = []
    for chance in (1, 2):
        model = gpt(dropout=0.3)
        torch.manual_seed(chance)  # what came before plays no part
        runs.append((fit(model, language_loss, windows(), CONFIG), model))
    assert runs[0][0] == runs[1][0]
    assert_same(runs[0][1], runs[1][1])
    other = replace(CONFIG, seed=1)  # of dropout
    assert fit(gpt(0.3), language_loss, windows(), other) != runs[0][0]


def test_a_small_model_learns_one_batch_by_heart():
    batch = TokenBatches(torch.arange(200) ** 3 % 11, 4, 8)(0)
    config = TrainConfig(steps=150, lr=0.01, warmup=10, weight_decay=0)
    history = fit(gpt(d_model=32), language_loss, lambda _: batch, config)
    assert history.losses[0] > 2
    assert history.losses[-1] < 0.05


def test_an_encoder_decoder_learns_pairs_by_heart():
    batches = PairBatches(PAIRS, 10, 1, 2, 0)
    config = TrainConfig(steps=150, lr=0.01, warmup=10, weight_decay=0)
    history = fit(translator(), pair_loss, batches, config)
    assert history.losses[-1] < 0.05


def test_bfloat16_stays_close_to_float32():
    seen = []

    def spy(model, batch):
        seen.append(model(batch.ids).dtype)
        return language_loss(model, batch)

    ends = []
    for precision in ("float32", "bfloat16"):
        model = gpt()
        config = replace(CONFIG, precision=precision)
        ends.append((fit(model, spy, windows(), config), model))
    (exact, _), (rough, model) = ends
    assert set(seen[:24]) == {torch.float32}
    assert set(seen[24:]) == {torch.bfloat16}
    assert exact.losses != rough.losses
    assert rough.losses == pytest.approx(exact.losses, abs=0.03)
    for parameter in model.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32


def test_precision_ends_with_its_context():
    a = torch.ones(2, 2)
    with mixed_precision(a.device, "bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
    with mixed_precision(a.device, "float32"):
        assert (a @ a).dtype == torch.float32
    assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0. Choose a whole number above 0"),
        ({"steps": 1e3}, "steps is 1000.0. Choose a whole number above 0"),
        ({"accumulate": -1}, "accumulate is -1"),
        ({"save_every": 0}, "save_every is 0"),
        ({"lr": 0.0}, "lr is 0.0. Choose a finite number above 0"),
        ({"lr": float("inf")}, "lr is inf. Choose a finite number above 0"),
        ({"lr": "fast"}, "lr is 'fast'. Choose a finite number above 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0.*of 0 or more"),
        ({"weight_decay": float("nan")}, "weight_decay is nan"),
        ({"warmup": 2.5}, "warmup is 2.5. Choose a whole number of 0 or more"),
        ({"seed": "a"}, "seed is 'a'. Choose a whole number of 0 or more"),
        ({"lr": math.nan}, "lr is nan"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"clip": math.nan}, "clip is nan"),
        ({"precision": "float16"}, "'float16'. Choose float32 or bfloat16"),
        ({"warmup": 12}, "12 steps does not fit in 12"),
        ({"warmup": -1}, "warmup is -1. Choose a whole number of 0 or more"),
        ({"final": -0.5}, "final is -0.5"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def test_no_limit_is_a_limit_too():
    assert replace(CONFIG, clip=math.inf, lr=1).clip == math.inf


# Interruptions. The whole curve is known; whatever happens, it comes out.


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted run, with dropout."""
    model = gpt(dropout=0.2)
    return fit(model, language_loss, windows(), CONFIG), model


def resume(path, config=CONFIG):
    """Go on with a new model, whose parameters are other ones."""
    model = gpt(dropout=0.2, seed=99)
    numbers = []

    def batches(number):
        numbers.append(number)
        return windows()(number)

    history = fit(model, language_loss, batches, config, path)
    return history, model, numbers


def test_without_a_checkpoint_nothing_is_written(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    model = gpt(dropout=0.2)
    assert fit(model, language_loss, windows(), CONFIG) == whole[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", random.Random(7).sample(range(24), 5))
def test_after_an_error_anywhere_the_curve_is_the_same(tmp_path, whole, at):
    path = tmp_path / "a.safetensors"
    model = gpt(dropout=0.2)
    batches = stopping(windows(), at, give_up)
    with pytest.raises(Stop):
        fit(model, language_loss, batches, CONFIG, path)
    history, model, numbers = resume(path) if at >= 8 else (None, model, [])
    if at < 8:  # step 4 was not done: no checkpoint, so from the beginning
        assert not path.exists()
        model = gpt(dropout=0.2)
        history = fit(model, language_loss, batches, CONFIG, path)
    else:
        assert numbers == list(range(at // 8 * 8, 24))
    assert history == whole[0]
    assert_same(model, whole[1])


def test_a_finished_run_is_not_trained_on(tmp_path, whole):
    path = tmp_path / "a.safetensors"
    fit(gpt(dropout=0.2), language_loss, windows(), CONFIG, path)
    stored = path.read_bytes()
    history, model, numbers = resume(path)
    assert (history, numbers) == (whole[0], [])
    assert_same(model, whole[1])
    assert path.read_bytes() == stored


@pytest.mark.parametrize("save_every", [1, 5, 12, 100])
def test_checkpoints_come_when_promised_and_at_the_end(
    tmp_path, monkeypatch, save_every
):
    steps = []
    monkeypatch.setattr(
        training, "save_checkpoint", lambda *a: steps.append(len(a[4].losses))
    )
    config = replace(CONFIG, save_every=save_every)
    fit(gpt(), language_loss, windows(), config, tmp_path / "a")
    assert steps == [*range(save_every, 12, save_every), 12]


def test_a_loss_that_is_nan_leaves_the_last_checkpoint(tmp_path, whole):
    path = tmp_path / "a.safetensors"
    calls = []

    def breaks(model, batch):
        calls.append(path.exists() and path.read_bytes())
        total, count = language_loss(model, batch)
        return (total * math.nan if len(calls) == 15 else total), count

    with pytest.raises(ValueError, match=r"The loss is nan\. The last check"):
        fit(gpt(dropout=0.2), breaks, windows(), CONFIG, path)
    assert path.read_bytes() == calls[8]  # that of step 4, which goes on
    history, model, _ = resume(path)
    assert history == whole[0]
    assert_same(model, whole[1])


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}]
)
def test_another_optimizer_trains_and_resumes(tmp_path, settings):
    path = tmp_path / "a.safetensors"

    def run(batches, path=None):
        model = gpt(dropout=0.2)
        optimizer = torch.optim.SGD(model.parameters(), lr=9.0, **settings)
        history = fit(model, language_loss, batches, CONFIG, path, optimizer)
        return history, model

    expected, end = run(windows())
    with pytest.raises(Stop):
        run(stopping(windows(), 18, give_up), path)
    history, model = run(windows(), path)
    assert history == expected
    assert_same(model, end)
    by_hand = gpt(dropout=0.2)
    with pytest.raises(ValueError, match="optimizer = SGD, not AdamW"):
        fit(by_hand, language_loss, windows(), CONFIG, path)
    assert_same(by_hand, gpt(dropout=0.2))


def test_another_config_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    fit(gpt(), language_loss, windows(), CONFIG, path)
    with pytest.raises(ValueError, match="steps = 12, not 24"):
        fit(gpt(), language_loss, windows(), replace(CONFIG, steps=24), path)


# Ctrl-C, in this process.


def press():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_ends_after_the_step_with_a_checkpoint(tmp_path, whole):
    path = tmp_path / "a.safetensors"
    before = signal.getsignal(signal.SIGINT)
    batches = stopping(windows(), 11, press)  # the second half of step 6
    history = fit(gpt(dropout=0.2), language_loss, batches, CONFIG, path)
    assert signal.getsignal(signal.SIGINT) is before
    assert history.losses == whole[0].losses[:6]
    history, model, numbers = resume(path)
    assert numbers == list(range(12, 24))
    assert history == whole[0]
    assert_same(model, whole[1])


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def impatient():
        press()
        press()

    path = tmp_path / "a.safetensors"
    batches = stopping(windows(), 11, impatient)
    with pytest.raises(KeyboardInterrupt):
        fit(gpt(), language_loss, batches, CONFIG, path)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(read_checkpoint(path)[1]["history"]["losses"]) == 4


def test_after_an_error_ctrl_c_is_what_it_was():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stop), StopOnCtrlC() as stop:
        assert signal.getsignal(signal.SIGINT) is not before
        press()
        assert stop.requested
        raise Stop
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_trains_without_signals(whole):
    before = signal.getsignal(signal.SIGINT)
    results = []

    def train():
        model = gpt(dropout=0.2)
        results.append(fit(model, language_loss, windows(), CONFIG))

    thread = threading.Thread(target=train)
    thread.start()
    while thread.is_alive():
        assert signal.getsignal(signal.SIGINT) is before
        time.sleep(0.001)
    thread.join()
    assert results == [whole[0]]


# Other processes: really killed, really interrupted.


def train_here(path, pause):
    """What a process of its own runs; its result is printed as JSON."""
    model = gpt(dropout=0.2)
    calls = []

    def batches(number):
        calls.append(number)
        time.sleep(float(pause))
        return windows()(number)

    history = fit(model, language_loss, batches, LONG, path)
    digest = hashlib.sha256()
    for parameter in parameters(model):
        digest.update(parameter.numpy().tobytes())
    result = {"history": vars(history), "parameters": digest.hexdigest()}
    print(json.dumps(result | {"first": min(calls)}))


def start(path, pause=0.0, bar=False):
    """Train in a new process; ``pause`` seconds before each batch."""
    code = "import sys; from tests.test_training import train_here as t; "
    env = {k: x for k, x in os.environ.items() if not k.startswith("TQDM_")}
    return subprocess.Popen(
        [sys.executable, "-c", f"{code}t(*sys.argv[1:])", path, str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=env if bar else env | {"TQDM_DISABLE": "1"},
    )


def finish(process):
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return json.loads(out), error


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """An uninterrupted process: its result, and what its bar showed."""
    folder = tmp_path_factory.mktemp("alone")
    return finish(start(folder / "a.safetensors", bar=True))


def wait_for_checkpoints(process, path, number):
    """Until the file has been written ``number`` times."""
    seen, deadline = set(), time.monotonic() + 60
    while len(seen) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        if path.exists():
            found = path.stat()
            seen.add((found.st_ino, found.st_mtime_ns))
        time.sleep(0.001)


def test_a_killed_process_goes_on_as_if_nothing_had_happened(tmp_path, alone):
    path = tmp_path / "a.safetensors"
    rng = random.Random()  # another moment each time
    process = start(path, pause=0.01)
    try:
        wait_for_checkpoints(process, path, rng.randint(1, 8))
        time.sleep(rng.uniform(0, 0.1))
    finally:
        process.kill()
        process.communicate()
    assert process.returncode != 0
    resumed, error = finish(start(path))
    first = resumed.pop("first")
    assert 0 < first < LONG.steps * LONG.accumulate
    assert alone[0] == resumed | {"first": 0}
    assert len(resumed["history"]["losses"]) == LONG.steps
    assert error == ""  # with TQDM_DISABLE=1 there is no bar


@pytest.mark.skipif("os.name == 'nt'", reason="Windows has no SIGINT to send")
def test_ctrl_c_ends_a_process_cleanly(tmp_path, alone):
    path = tmp_path / "a.safetensors"
    process = start(path, pause=0.01)
    try:
        wait_for_checkpoints(process, path, 2)
        process.send_signal(signal.SIGINT)
        stopped, error = finish(process)
    finally:
        process.kill()
    assert error == ""
    done = len(stopped["history"]["losses"])
    assert 6 <= done < LONG.steps
    assert read_checkpoint(path)[1]["history"] == stopped["history"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    resumed, error = finish(start(path))
    assert error == ""
    assert resumed == alone[0] | {"first": LONG.accumulate * done}


def test_the_bar_shows_loss_speed_and_time_left(alone):
    result, error = alone
    assert re.search(r"/120 \[\d\d:\d\d<\d\d:\d\d", error), error
    shown = re.findall(r", loss (\d+\.\d{3}), [\d,]+ tokens/s\]", error)
    assert shown
    losses = {f"{loss:.3f}" for loss in result["history"]["losses"]}
    assert set(shown) <= losses


def test_the_history_begins_empty():
    assert vars(History()) == {
        "losses": [],
        "learning_rates": [],
        "gradient_norms": [],
        "targets": [],
    }
