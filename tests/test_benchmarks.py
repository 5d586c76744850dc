"""The peers of the benchmarks compute what we compute, and what was recorded."""

import json
from typing import NamedTuple

import pytest
import torch

from benchmarks import generation, peers, record
from nextword.blocks import DecoderLayer, EncoderLayer, TransformerConfig
from nextword.generation import generate
from nextword.records import read_record
from nextword.transformer import GPT

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def read(name):
    path = record.RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def shaken(module):
    """The module in float64, with random numbers in every parameter."""
    module = module.double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            noise = torch.randn(p.shape, generator=generator)
            p.add_(0.1 * noise)
    return module


@pytest.mark.parametrize("kind", [EncoderLayer, DecoderLayer])
@pytest.mark.parametrize("norm_first", [True, False])
def test_pytorchs_layers_are_ours(kind, norm_first):
    config = TransformerConfig(
        9, 8, 16, 4, activation="relu", norm_first=norm_first
    )
    ours = shaken(kind(config))
    theirs = peers.pytorch_layer(ours, config)
    x, memory = torch.randn(2, 2, 6, 16, dtype=torch.float64)
    if kind is EncoderLayer:
        torch.testing.assert_close(theirs(x), ours(x), **EXACT)
    else:
        causal = torch.nn.Transformer.generate_square_subsequent_mask(
            6, dtype=torch.float64
        )
        out = theirs(x, memory, tgt_mask=causal, tgt_is_causal=True)
        torch.testing.assert_close(out, ours(x, memory), **EXACT)


@pytest.fixture(scope="module")
def pair():
    """A small GPT, and Hugging Face's GPT-2 with its weights."""
    config = TransformerConfig(31, 24, 16, 4, 3, activation="gelu_tanh")
    ours = shaken(GPT(config)).eval()
    return ours, peers.hugging_face_gpt2(ours).eval()


def test_hugging_faces_gpt2_is_ours_in_logits_and_gradients(pair):
    ours, theirs = pair
    ids = torch.randint(31, (2, 20), generator=torch.Generator().manual_seed(1))
    mine, peer = ours(ids), theirs(ids, use_cache=False).logits
    torch.testing.assert_close(peer, mine, **EXACT)
    weights = torch.cos(torch.arange(mine.numel())).view_as(mine).double()
    (mine * weights).sum().backward()
    (peer * weights).sum().backward()
    block, layer = theirs.transformer.h[1], ours.decoder.layers[1]
    for a, b in (
        (theirs.transformer.wte.weight, ours.embedding.tokens.weight),
        (theirs.transformer.wpe.weight, ours.embedding.positions.weight),
        (block.ln_2.weight, layer.residual2.norm.weight),
    ):
        torch.testing.assert_close(a.grad, b.grad, **EXACT)
    joined = block.attn.c_attn.weight.grad.T.split(16)
    for part, name in zip(joined, ("q_proj", "k_proj", "v_proj"), strict=True):
        own = getattr(layer.attention, name).weight.grad
        torch.testing.assert_close(part, own, **EXACT)


def test_hugging_face_generates_the_same_ids(pair):
    ours, theirs = pair
    ids = torch.tensor([[3, 1, 4]])
    out = theirs.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=15,
        min_new_tokens=15,
        do_sample=False,
        pad_token_id=0,
    )
    said = generate(ours, [[3, 1, 4]], 15)[0]
    assert (
        out[0, 3:].tolist() == said == generation.uncached(ours, [3, 1, 4], 15)
    )


def test_the_record_of_the_layers_says_not_slower():
    rows = read("layers")["rows"]
    assert {row["task"] for row in rows} == {
        "encoder layer",
        "decoder layer",
        "GPT step",
    }
    for row in rows:
        assert row["ratio"] <= 1.0 and row["ours_ms"] <= row["theirs_ms"], row
        assert row["rounds"] >= 60


def test_the_record_of_generation_says_three_times_as_fast():
    small = [row for row in read("generation")["rows"] if row["C"] == 128]
    rates = {row["method"]: row["tokens_per_second"] for row in small}
    assert rates["ours, cached"] >= 3 * rates["hugging face, cached"]
    assert rates["ours, cached"] > 10 * rates["ours, not cached"]


def test_the_record_of_pretraining_says_near_the_peak():
    rows = {row["task"]: row for row in read("pretraining")["rows"]}
    assert set(rows) == {"town-gpt", "nanoGPT on a CPU"}
    for row in rows.values():
        assert 0.25 < row["share_of_peak"] < 1
        share = row["gflops"] / row["peak_gflops"]
        assert abs(share - row["share_of_peak"]) < 0.01
    assert rows["nanoGPT on a CPU"]["validation_loss"] < 1.95


NAMES = sorted(path.stem for path in record.RESULTS.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_where_it_comes_from(name):
    content = read(name)
    assert content["command"] == f"python -m benchmarks.{name}"
    assert {"processor", "cores", "python"} <= content["machine"].keys()
    assert content["notes"] and content["date"] >= "2026-01-01"


@pytest.mark.parametrize(
    "path", sorted(record.COPIES.glob("*.json")), ids=lambda path: path.name
)
def test_a_copy_that_a_chapter_draws_is_the_record(path):
    if path.stem in NAMES:
        assert read_record(path.stem) == read(path.stem)
    else:
        assert path.stem == "landmarks"


class Run(NamedTuple):
    width: int
    seed: int


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Records go to a folder of their own, and their copies to another."""
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")
    return tmp_path / "results", tmp_path / "copies"


def test_an_interrupted_grid_goes_on_where_it_stopped(folders):
    grid = [Run(8, seed) for seed in range(3)]
    measured = []

    def measure(run):
        measured.append(run)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return [{"loss": 0.5}, {"loss": float(run.seed)}]

    def command():
        record.run_grid("trial", grid, measure, "command", notes=["a note"])

    with pytest.raises(KeyboardInterrupt):
        command()
    command()
    command()  # nothing is left to do
    assert measured == [grid[0], grid[1], grid[1], grid[2]]
    written, copy = (folder / "trial.json" for folder in folders)
    assert written.read_bytes() == copy.read_bytes()
    rows = json.loads(copy.read_text(encoding="utf-8"))["rows"]
    assert [(row["seed"], row["loss"]) for row in rows] == [
        *((0, 0.5), (0, 0.0)),
        *((1, 0.5), (1, 1.0)),
        *((2, 0.5), (2, 2.0)),
    ]


def test_runs_that_the_grid_has_no_longer_leave_the_record(folders):
    for seeds in (range(3), (2, 5)):
        record.run_grid(
            "trial", [Run(8, s) for s in seeds], lambda run: [{}], "command"
        )
    rows = json.loads((folders[0] / "trial.json").read_text("utf-8"))["rows"]
    assert rows == [{"width": 8, "seed": 2}, {"width": 8, "seed": 5}]
