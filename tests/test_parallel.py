"""Several processes train what one would: the same curve, whatever happens.

The processes are real ones that torchrun starts, two on one CPU. Starting them
takes seconds, so one pair runs all of `in_two_processes` and writes down what
it saw; most tests read that. Killing and Ctrl-C have pairs of their own.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn

from nextword import parallel, storage, tasks
from nextword.batches import TokenBatch, TokenBatches
from nextword.blocks import TransformerConfig
from nextword.checkpoints import read_checkpoint
from nextword.muon import Muon
from nextword.pretraining import build, pretrain
from nextword.stories import StoryBatches
from nextword.training import TrainConfig, fit, language_loss
from nextword.transformer import GPT

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
MODES = ("ddp", "fsdp")
KINDS = ("gpt", "bert")
STEPS = 6
SMALL = {
    "steps": STEPS,
    "batch_size": 8,
    "d_model": 32,
    "n_layers": 2,
    "lr": 5e-3,
    "warmup": 2,
    "save_every": 3,
}
LONG = SMALL | {"steps": 24}  # to be killed in
EXACT = TrainConfig(  # in float64
    steps=3, lr=0.01, warmup=1, accumulate=2, clip=2.1
)
DROPOUT = TrainConfig(steps=6, lr=0.01, save_every=3)

torchrun_works = pytest.mark.skipif(
    os.name == "nt" or not dist.is_available() or not dist.is_gloo_available(),
    reason="torchrun with gloo is wanted, and was never tried on Windows",
)


# What one process does, or two in the same words.


@cache
def task(kind, **changes):
    """A small task; ``changes`` are those of its training."""
    if changes:
        its = task(kind)
        return its._replace(training=replace(its.training, **changes))
    if kind == "gpt":
        return tasks.town_gpt(replace(tasks.TOWN_GPT, **SMALL))
    return tasks.town_bert(replace(tasks.TOWN_BERT, **SMALL))


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


def begin(folder, mode):
    """A GPT's run that an error ends after 4 steps: step 3 was kept."""
    batches = stopping(task("gpt").batches, 4, give_up)
    try:
        pretrain(task("gpt")._replace(batches=batches), folder, mode=mode)
    except Stop:
        return
    raise AssertionError("it went on")


def train_exactly(kind, mode, path):
    """Train in float64, a GPT with Muon and a BERT with AdamW.

    The final weights go into a file.
    """
    its = task(kind)
    model = build(its).double()
    called = parallel.spread(model, mode)
    loss = parallel.loss_of_all(its.loss, called)
    muon = Muon(model, EXACT.lr) if kind == "gpt" else None
    batches = parallel.share(its.batches)
    history = fit(model, loss, batches, EXACT, optimizer=muon)
    weights = {n: parallel.whole(p) for n, p in model.named_parameters()}
    if parallel.rank() == 0:
        save_file({n: p.detach() for n, p in weights.items()}, path)
    return vars(history)


def train_with_dropout(folder, mode):
    """Twice: at once, and with an error and a restart between."""
    found = []
    for at in (None, 4):
        batches = TokenBatches(torch.arange(200) ** 2 % 13, 4, 8, seed=3)
        batches = stopping(parallel.share(batches), at, give_up)
        while True:
            torch.manual_seed(1)
            sizes = {"d_model": 16, "n_heads": 2, "n_layers": 1}
            model = GPT(TransformerConfig(13, 8, **sizes, dropout=0.3))
            called = parallel.spread(model, mode)
            loss = parallel.loss_of_all(language_loss, called)
            path = folder / f"dropout {mode} {at}"
            try:
                history = fit(model, loss, batches, DROPOUT, path)
            except Stop:
                continue
            break
        state = sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()
        found.append((vars(history), state))
    return found


# What two processes do. Each function gives what its process saw.


def curves(folder):
    seen = {}
    for mode in MODES:
        for name, its in (
            (f"gpt {mode}", task("gpt")),
            (f"bert {mode}", task("bert")),
            (f"gpt {mode} bfloat16", task("gpt", precision="bfloat16")),
        ):
            seen[name] = pretrain(its, folder / name, mode=mode)
    long = task("gpt", steps=LONG["steps"])
    seen["long"] = pretrain(long, folder / "long")
    return {name: history and vars(history) for name, history in seen.items()}


def exact_curves(folder):
    return {
        f"{kind} {mode}": train_exactly(kind, mode, folder / f"{kind} {mode} e")
        for kind in KINDS
        for mode in MODES
    }


def begin_runs(folder):
    for mode in MODES:
        begin(folder / f"begun {mode}", mode)


def finish_runs(folder):
    """What one process began before."""
    for mode in MODES:
        pretrain(task("gpt"), folder / f"begun by one, {mode}", mode=mode)


def dropout(folder):
    return {mode: train_with_dropout(folder, mode) for mode in MODES}


def ctrl_c_in_one(folder):
    """The second process is stopped, the first one learns of it."""

    def press():
        if parallel.rank() == 1:
            signal.raise_signal(signal.SIGINT)

    batches = stopping(task("gpt").batches, 2, press)
    its = task("gpt")._replace(batches=batches)
    model = build(its)
    called = parallel.spread(model, "ddp")
    loss = parallel.loss_of_all(its.loss, called)
    path = folder / "pressed"
    history = fit(model, loss, parallel.share(batches), its.training, path)
    return len(history.losses)


def refusal(folder):
    its = task("gpt")._replace(batches=StoryBatches(9))
    try:
        pretrain(its, folder / "refused")
    except ValueError as error:
        return str(error)


def sums(_):
    """Process 0 has the loss 3 w₀ of 1 target, process 1 has 5 w₁ of 2."""
    mine = parallel.rank()
    w = torch.tensor([10.0, 100.0], requires_grad=True)
    factor, count = [(3.0, 1), (5.0, 2)][mine]

    def loss(model, batch):
        assert (model, batch) == ("spread", "batch")
        return factor * w[mine], count

    value, number = parallel.loss_of_all(loss, "spread")("whole", "batch")
    value.backward()
    gradient = w.grad.clone()
    dist.all_reduce(gradient)
    gradient /= parallel.processes()  # as DDP and FSDP make it
    return value.item(), number, w.grad.tolist(), gradient.tolist()


def votes(_):
    first = parallel.rank() == 0
    answers = [first, not first, False, True]
    return [parallel.anyone(answer) for answer in answers]


def rows(_):
    batches = parallel.share(
        lambda n: TokenBatch(torch.arange(6)[:, None] + n, torch.zeros(6, 1))
    )
    batch = batches(10)
    return batch.ids.flatten().tolist(), list(batch.targets.shape)


def parts(_):
    """A model in parts, and as one again."""
    its = task("gpt")
    before = {n: p.detach().clone() for n, p in build(its).named_parameters()}
    model = build(its)
    parallel.spread(model, "fsdp")
    own = {n: p.to_local().numel() for n, p in model.named_parameters()}
    for name, p in model.named_parameters():
        assert torch.equal(parallel.whole(p), before[name]), name
        again = parallel.like(before[name], p)
        assert torch.equal(again.to_local(), p.to_local()), name
        number = torch.tensor(3.0)
        assert parallel.like(number, p) is number
    return sum(own.values()), sum(p.numel() for p in before.values())


TOGETHER = (
    curves,
    exact_curves,
    begin_runs,
    finish_runs,
    dropout,
    ctrl_c_in_one,
    refusal,
    sums,
    votes,
    rows,
    parts,
)


def in_two_processes(folder):
    """Run all of the above, and write down what this process saw."""
    written, write = [], storage.write_bytes

    def spy(path, content):
        written.append(Path(path).name)
        write(path, content)

    storage.write_bytes = spy
    seen = {}
    with parallel.together(CPU) as device:
        parallel.together = nullcontext  # which `pretrain` enters again
        for part in TOGETHER:
            seen[part.__name__] = part(folder)
        seen["joined"] = str(device), parallel.rank(), parallel.processes()
    seen["after"] = parallel.rank(), parallel.processes()
    seen["written"] = written
    text = json.dumps(seen)
    (folder / f"saw {os.environ['RANK']}").write_text(text, "utf-8")


# Starting them.


def start(log, *command, **variables):
    """``torchrun`` with two processes, each with one thread."""
    own = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", **variables}
    if sys.platform == "darwin":
        own["GLOO_SOCKET_IFNAME"] = "lo0"
    one = ["--standalone", "--local-addr", "127.0.0.1"]
    torchrun = ["-m", "torch.distributed.run", *one, "--nproc-per-node", "2"]
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(
            [sys.executable, *torchrun, *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=os.environ | own,
        )


def end(process, log, seconds=120):
    """Wait; give the exit status and what was printed."""
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        stop_all(process)
        pytest.fail(f"it hangs: {log.read_text('utf-8')}")
    return status, log.read_text("utf-8")


def stop_all(process):
    """Also the workers, which outlive a killed torchrun."""
    if process.poll() is None:
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for worker in workers:
            if worker.is_running():
                worker.kill()
        process.wait()


def options(settings):
    """What the command line says to ask for these settings."""
    return [
        text
        for name, value in settings.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def saw(folder):
    """What each of two processes saw.

    The thread of gloo inside torch 2.13 was seen to end with a segmentation
    fault, once in several runs. Then everything is begun again.
    """
    for _ in range(3):
        shutil.rmtree(folder)
        folder.mkdir()
        begin(folder / "begun by one, ddp", "ddp")
        shutil.copytree(
            folder / "begun by one, ddp", folder / "begun by one, fsdp"
        )
        log = folder / "log"
        process = start(log, "-m", "tests.test_parallel", str(folder))
        status, text = end(process, log, seconds=300)
        if "SIGSEGV" not in text:
            break
    assert status == 0, text
    assert "Warning" not in text
    return [
        json.loads((folder / f"saw {n}").read_text("utf-8")) for n in (0, 1)
    ]


@cache
def one(kind, **changes):
    """The same run by one process: its history, and its final weights."""
    with TemporaryDirectory() as name:
        history = pretrain(task(kind, **changes), name)
        return history, load_file(Path(name) / "model.safetensors")


def difference(found, expected):
    """The largest one, as a share of what is expected."""
    found, expected = (
        torch.tensor(x, dtype=torch.double) for x in (found, expected)
    )
    return float(((found - expected) / expected).abs().max())


def largest_difference(found, expected):
    assert found.keys() == expected.keys()
    return max(
        float((found[name] - expected[name]).abs().max()) for name in found
    )


# The same curve.


@torchrun_works
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_in_float64_two_processes_train_what_one_does(
    saw, folder, tmp_path, kind, mode
):
    """Two batches a step, gradients clipped in some steps and not in others.

    Only the order of sums differs. AdamW makes more of that in the weights.
    """
    expected = train_exactly(kind, mode, tmp_path / "one")
    for each in saw:
        found = each["exact_curves"][f"{kind} {mode}"]
        assert found["targets"] == expected["targets"]
        assert found["learning_rates"] == expected["learning_rates"]
        assert difference(found["losses"], expected["losses"]) < 1e-11
        norms = expected["gradient_norms"]
        assert difference(found["gradient_norms"], norms) < 1e-10
        assert min(norms) < EXACT.clip < max(norms)
    weights = load_file(folder / f"{kind} {mode} e")
    alone = load_file(tmp_path / "one")
    assert largest_difference(weights, alone) < 1e-9


def counts_and_norms(kind):
    """The targets in each half of a batch, and the norm of two gradients.

    The right one is of the mean over all targets, the other one is the mean of
    the halves' means.
    """
    its = task(kind)
    model = build(its).double()
    batch = its.batches(0)
    halves = [type(batch)(*(x[n::2] for x in batch)) for n in (0, 1)]
    found, counts = [], []
    for half in halves:
        total, count = its.loss(model, half)
        model.zero_grad()
        total.backward()
        found.append([p.grad.clone() for p in model.parameters()])
        counts.append(count)
    norms = []
    for weights in ([1 / sum(counts)] * 2, [1 / count / 2 for count in counts]):
        mean = [
            weights[0] * a + weights[1] * b for a, b in zip(*found, strict=True)
        ]
        norms.append(float(torch.cat([g.flatten() for g in mean]).norm()))
    return counts, norms


@pytest.mark.parametrize("kind", KINDS)
def test_a_mean_of_the_processes_means_would_be_noticed(kind):
    """It differs by far more than the test above lets pass."""
    counts, (right, wrong) = counts_and_norms(kind)
    assert counts[0] != counts[1]
    assert abs(wrong / right - 1) > 1e-5
    history, _ = one(kind)
    assert history.gradient_norms[0] == pytest.approx(right, rel=1e-5)


@torchrun_works
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_s_runs_are_those_of_one_process(saw, folder, kind, mode):
    """In float32: 1e-7 is its precision.

    AdamW divides by the size of the gradient. Where a gradient is almost 0, its
    rounding moves a weight by a share of the learning rate.
    """
    history, weights = one(kind)
    name = f"{kind} {mode}"
    assert saw[1]["curves"][name] is None
    found = saw[0]["curves"][name]
    assert found["targets"] == history.targets
    assert difference(found["losses"], history.losses) < 1e-6
    norms = history.gradient_norms
    assert difference(found["gradient_norms"], norms) < 2e-6
    assert max(norms) > task(kind).training.clip
    found = load_file(folder / name / "model.safetensors")
    assert largest_difference(found, weights) < 0.1 * SMALL["lr"]


@torchrun_works
@pytest.mark.parametrize("mode", MODES)
def test_bfloat16_stays_as_close_as_its_digits_allow(saw, mode):
    """Each product is rounded to 8 binary digits, 0.4 per cent."""
    rough, _ = one("gpt", precision="bfloat16")
    exact, _ = one("gpt")
    found = saw[0]["curves"][f"gpt {mode} bfloat16"]
    assert difference(found["losses"], rough.losses) < 1e-3
    norms = rough.gradient_norms
    assert difference(found["gradient_norms"], norms) < 5e-3
    assert found["losses"] != exact.losses


# One writes, all know.


@torchrun_works
def test_the_first_process_writes_and_the_other_writes_nothing(saw, folder):
    assert saw[1]["written"] == []
    kept = ["tokenizer.json", "model.json", "training.safetensors"]
    kept += ["training.safetensors", "history.json", "model.safetensors"]
    assert sorted(saw[0]["written"][:6]) == sorted(kept)
    assert sorted(p.name for p in (folder / "gpt ddp").iterdir()) == sorted(
        set(kept)
    )


@torchrun_works
def test_each_process_knows_its_number(saw):
    assert [each["joined"] for each in saw] == [["cpu", 0, 2], ["cpu", 1, 2]]
    assert [each["after"] for each in saw] == [[0, 1], [0, 1]]


@torchrun_works
def test_losses_are_summed_and_gradients_too(saw):
    """30 + 500 nats of 3 targets; the gradient of the sum is (3, 5)."""
    for each, own in zip(saw, ([6, 0], [0, 10]), strict=True):
        assert each["sums"] == [530, 3, own, [3, 5]]


@torchrun_works
def test_one_vote_is_enough(saw):
    for each in saw:
        assert each["votes"] == [True, True, False, True]


@torchrun_works
def test_every_row_is_one_process_s(saw):
    assert saw[0]["rows"] == [[10, 12, 14], [3, 1]]
    assert saw[1]["rows"] == [[11, 13, 15], [3, 1]]


@torchrun_works
def test_each_process_holds_half_of_a_model_in_parts(saw):
    (first, whole), (second, _) = (each["parts"] for each in saw)
    assert first + second == whole
    assert max(first, second) < 0.51 * whole


@torchrun_works
def test_a_batch_that_does_not_divide_is_refused_by_all(saw):
    for each in saw:
        assert each["refusal"] == (
            "A batch of 9 does not divide among 2 processes. Choose a batch "
            "size that is a multiple of 2."
        )


@torchrun_works
@pytest.mark.parametrize("mode", MODES)
def test_dropout_goes_on_as_if_nothing_had_happened(saw, mode):
    """Bit for bit. All processes draw the same random numbers, so that the
    state of the first one is that of all.
    """
    at_once, resumed = saw[0]["dropout"][mode]
    assert resumed == at_once
    assert saw[1]["dropout"][mode] == saw[0]["dropout"][mode]
    assert len(at_once[0]["losses"]) == DROPOUT.steps


# Checkpoints.


@torchrun_works
@pytest.mark.parametrize("mode", MODES)
def test_one_process_finishes_what_two_began(saw, folder, tmp_path, mode):
    run = tmp_path / "run"
    shutil.copytree(folder / f"begun {mode}", run)
    _, saved = read_checkpoint(run / "training.safetensors")
    assert len(saved["history"]["losses"]) == 3
    history = pretrain(task("gpt"), run)
    assert history.losses[:3] == saved["history"]["losses"]
    assert_finished(run, vars(history))


@torchrun_works
@pytest.mark.parametrize("mode", MODES)
def test_two_processes_finish_what_one_began(saw, folder, mode):
    run = folder / f"begun by one, {mode}"
    history = json.loads((run / "history.json").read_text("utf-8"))
    expected, _ = one("gpt")
    assert history["losses"][:3] == expected.losses[:3]
    assert_finished(run, history)


def assert_finished(run, history):
    expected, weights = one("gpt")
    assert len(history["losses"]) == STEPS
    assert difference(history["losses"], expected.losses) < 1e-6
    norms = expected.gradient_norms
    assert difference(history["gradient_norms"], norms) < 2e-6
    found = load_file(run / "model.safetensors")
    assert largest_difference(found, weights) < 0.1 * SMALL["lr"]


# Interruptions of the command itself.


def wait_for_checkpoint(process, log, run):
    deadline = time.monotonic() + 120
    while not (run / "training.safetensors").exists():
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.001)


# Python runs this first. The second time process 0 comes late: process 1 must not
# take the address of the dead one for it.
LATE = """
import os, time
if os.environ.get("TORCHELASTIC_RESTART_COUNT") == "1":
    time.sleep(3 if os.environ["RANK"] == "0" else 0)
"""


@torchrun_works
def test_a_killed_process_is_started_again_and_nothing_is_lost(saw, tmp_path):
    """And the curve is that of two processes that nobody killed, bit for bit."""
    log, run, rng = tmp_path / "log", tmp_path / "run", random.Random()
    (tmp_path / "sitecustomize.py").write_text(LATE, "utf-8")
    process = start(
        *(log, "--max-restarts", "1", "-m", "nextword", "pretrain"),
        *("town-gpt", *options(LONG), "--out", str(run)),
        PYTHONPATH=str(tmp_path),
    )
    seen = set()
    try:
        wait_for_checkpoint(process, log, run)
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        time.sleep(rng.uniform(0, 0.1))  # another moment each time
        rng.choice(workers).kill()
        while process.poll() is None:
            torchrun = psutil.Process(process.pid)
            seen |= {child.pid for child in torchrun.children()}
            time.sleep(0.05)
        status, text = end(process, log)
    finally:
        stop_all(process)
    assert status == 0, text
    assert len(seen | {w.pid for w in workers}) == 4
    history = json.loads((run / "history.json").read_text("utf-8"))
    assert history == saw[0]["curves"]["long"]
    assert len(history["losses"]) == LONG["steps"]


@torchrun_works
def test_ctrl_c_ends_all_processes_with_a_checkpoint(saw, tmp_path):
    """It comes to torchrun, which hands it on. One process can go on."""
    log, run = tmp_path / "log", tmp_path / "run"
    process = start(
        *(log, "-m", "nextword", "pretrain", "town-gpt", *options(LONG)),
        *("--mode", "fsdp", "--out", str(run)),
    )
    try:
        wait_for_checkpoint(process, log, run)
        process.send_signal(signal.SIGINT)
        status, text = end(process, log)
    finally:
        stop_all(process)
    assert status == 1  # as torchrun says of every signal
    done = re.search(r"^Stopped after (\d+) of 24 steps\.", text, re.M)
    assert done, text
    steps = int(done[1])
    _, saved = read_checkpoint(run / "training.safetensors")
    assert 3 <= len(saved["history"]["losses"]) == steps < LONG["steps"]
    assert not (run / "model.safetensors").exists()
    history = pretrain(task("gpt", steps=LONG["steps"]), run)
    assert history.losses[:steps] == saved["history"]["losses"]
    uninterrupted = saw[0]["curves"]["long"]["losses"]
    assert difference(history.losses, uninterrupted) < 1e-4


@torchrun_works
def test_ctrl_c_in_one_process_ends_all_after_the_same_step(saw, folder):
    assert [each["ctrl_c_in_one"] for each in saw] == [3, 3]
    _, saved = read_checkpoint(folder / "pressed")
    assert len(saved["history"]["losses"]) == 3


@torchrun_works
def test_an_error_in_one_process_ends_all(tmp_path):
    """Only the first one writes, and it cannot: nothing hangs."""
    (tmp_path / "file").touch()
    log = tmp_path / "log"
    process = start(
        *(log, "-m", "nextword", "pretrain", "town-gpt", *options(SMALL)),
        *("--out", str(tmp_path / "file" / "run")),
    )
    status, text = end(process, log)
    assert status == 1
    assert re.search(r"^nextword: .*Not a directory", text, re.M), text


# One process.


def test_a_single_process_does_nothing_of_all_this(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    model, tensor, other = nn.Linear(2, 2), torch.zeros(2), torch.ones(2)
    with parallel.together(CPU) as device:
        assert device is CPU
        assert not parallel.joined()
    assert (parallel.rank(), parallel.processes()) == (0, 1)
    assert parallel.share(give_up) is give_up
    for mode in parallel.MODES:
        assert parallel.spread(model, mode) is model
    assert parallel.whole(tensor) is tensor
    assert parallel.like(tensor, other) is tensor
    assert parallel.anyone(True) is True
    assert parallel.anyone(False) is False
    assert parallel.wait() is None
    result = tensor.sum(), 7

    def loss(called, batch):
        assert (called, batch) == ("compiled", "batch")
        return result

    assert parallel.loss_of_all(loss, "compiled")("model", "batch") is result


def test_another_mode_is_refused():
    with pytest.raises(ValueError, match="mode is 'dp'"):
        parallel.spread(nn.Linear(2, 2), "dp")


@pytest.fixture
def four_gpus(monkeypatch):
    """A machine with four GPUs, as far as `together` can see."""
    calls = []
    monkeypatch.setenv("WORLD_SIZE", "8")
    for name in ("TORCHELASTIC_RESTART_COUNT", "GROUP_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda d: calls.append(d))
    monkeypatch.setattr(dist, "rendezvous", lambda url: iter([(url, 7, 8)]))
    monkeypatch.setattr(dist, "PrefixStore", lambda *prefix_store: prefix_store)
    monkeypatch.setattr(
        dist, "init_process_group", lambda *a, **k: calls.append((a, k))
    )
    monkeypatch.setattr(
        dist, "destroy_process_group", lambda: calls.append("end")
    )
    return calls


@pytest.mark.skipif("not dist.is_available()", reason="nothing to join")
@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("asked", ["cuda", "cuda:1"])
def test_each_process_takes_the_gpu_of_its_number(
    monkeypatch, four_gpus, number, asked
):
    monkeypatch.setenv("LOCAL_RANK", str(number))
    gpu = torch.device("cuda", number)
    with pytest.raises(Stop), parallel.together(torch.device(asked)) as device:
        assert device == gpu
        set_device, (backend, settings) = four_gpus
        assert (set_device, backend) == (gpu, ("nccl",))
        assert settings == {
            "store": ("attempt 0", "env://"),
            "rank": 7,
            "world_size": 8,
            "device_id": gpu,
        }
        raise Stop
    assert four_gpus[2:] == ["end"]


@pytest.mark.skipif("not dist.is_available()", reason="nothing to join")
@pytest.mark.parametrize(
    ("machines", "store"), [("1", ("attempt 2", "env://")), ("2", "env://")]
)
def test_each_attempt_on_one_machine_has_names_of_its_own(
    monkeypatch, four_gpus, machines, store
):
    """Machines count their attempts each for itself, and may not agree."""
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    monkeypatch.setenv("GROUP_WORLD_SIZE", machines)
    with parallel.together(CPU) as device:
        assert device is CPU
    (backend, settings), _ = four_gpus
    assert backend == ("gloo",)
    assert (settings["store"], settings["device_id"]) == (store, None)


@pytest.mark.skipif("not dist.is_available()", reason="nothing to join")
def test_a_process_without_a_gpu_is_refused(monkeypatch, four_gpus):
    monkeypatch.setenv("LOCAL_RANK", "4")
    message = "are 4 here. Start torchrun with --nproc-per-node 4"
    with (
        pytest.raises(ValueError, match=message),
        parallel.together(torch.device("cuda")),
    ):
        pass
    assert four_gpus == []


WITHOUT = """
import sys, types
import torch, torch._dynamo  # which a build without it loads in its own way
stub = types.ModuleType("torch.distributed")
stub.is_available = lambda: False
torch.distributed = sys.modules["torch.distributed"] = stub
for name in ("fsdp", "tensor", "device_mesh"):
    sys.modules[f"torch.distributed.{name}"] = None

from nextword import parallel
from nextword.batches import TokenBatches
from nextword.blocks import TransformerConfig
from nextword.stories import StoryBatches
from nextword.training import TrainConfig, fit, language_loss
from nextword.transformer import GPT

model = parallel.spread(GPT(TransformerConfig(5, 8, 8, 2, 1)), "ddp")
batches = parallel.share(TokenBatches(torch.arange(99) % 5, 2, 8))
loss = parallel.loss_of_all(language_loss, model)
for steps in (2, 2):
    config = TrainConfig(steps, save_every=1)
    history = fit(model, loss, batches, config, sys.argv[1])
print(len(history.losses))
"""


def test_a_pytorch_without_torch_distributed_is_enough(tmp_path):
    """There are such builds. Training, and resuming, need none of it."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "checkpoint")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TQDM_DISABLE": "1"},
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_an_import_does_not_load_what_one_process_never_needs():
    code = (
        "import sys, nextword.training; "
        "print([n for n in ('fsdp', 'tensor') "
        "if f'torch.distributed.{n}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


if __name__ == "__main__":
    in_two_processes(Path(sys.argv[1]))
