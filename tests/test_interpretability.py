"""The record of chapter 22: complete, and measured as it says."""

import json

import pytest
import torch

from benchmarks import interpretability, record
from benchmarks.interpretability import Run
from nextword.records import read_record


def test_the_record_holds_every_run_and_its_copy_is_the_same():
    rows = read_record("interpretability")["rows"]
    done = {Run(*(row[field] for field in Run._fields)) for row in rows}
    assert done == set(interpretability.grid())
    target = record.RESULTS / "interpretability.json"
    assert json.loads(target.read_text(encoding="utf-8"))["rows"] == rows


def test_a_run_of_few_steps_has_a_row_for_each_head(monkeypatch):
    monkeypatch.setattr(interpretability, "STEPS", 21)
    rows = interpretability.measure_induction(Run("induction", "2 layers", 3))
    assert [(r["layer"], r["head"]) for r in rows] == [
        (n, h) for n in range(2) for h in range(4)
    ]
    assert all(2 < r["loss"] < 6 for r in rows)


def test_a_probe_reads_what_is_written_in_plain_numbers():
    labels = torch.arange(200) % 3
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(200, 3, generator=generator)
    x = torch.eye(3)[labels] + noise
    hits = interpretability.right(x[:100], x[100:], labels[:100], labels[100:])
    assert hits.all()


def test_nothing_taken_out_predicts_nothing():
    """With a scale of 0 no word loses, so no prediction comes true by design."""
    _, _, x = interpretability.test_stream()
    directions = torch.eye(128)[:2]
    sizes = directions @ x.T
    assert interpretability.falls(directions, sizes, 0.0) == 0.0


@pytest.mark.parametrize("seed", [0, 4])
def test_moments_to_learn_from_are_none_of_the_test(seed, monkeypatch):
    monkeypatch.setattr(interpretability, "LEARN", 30)
    monkeypatch.setattr(interpretability, "TEST", 30)
    learn, test = interpretability.moments_of(seed)
    texts = {tuple(m.text) for m in test if len(m.text) > 35}
    assert texts and not texts & {tuple(m.text) for m in learn}
