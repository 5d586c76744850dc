"""Fine-tuning by the Trainer: the same steps as ours, on the same start."""

import json

import pytest
import torch
from transformers.models.esm import modeling_esm

from benchmarks import ecosystem, record
from nextword import hub_training
from nextword.finetuning import Classifier, LabelledBatches, fine_tune
from nextword.hub_training import (
    ToolRun,
    hub_accuracy,
    hub_classifier,
    measure_tool,
    named_batch,
    share_at,
    train_alike,
    train_by,
    train_their_way,
)
from nextword.positions import rotary_angles, rotate
from nextword.records import read_record
from nextword.town_tasks import held_out_examples, training_examples
from nextword.training import TrainConfig
from nextword.transfer import Run, batch_of, start_run

CONFIG = TrainConfig(6, 1e-3, 2, final=0.02, weight_decay=0.01)
ROWS = [e.row() for e in training_examples("she", 12)]


def start(labels=12):
    return start_run(Run("she", "full", labels, 0))


def our_rotation(q, k, cos, sin, unsqueeze_dim=1):
    """ESM's turns queries and keys in single precision always; ours does not."""
    angles = rotary_angles(torch.arange(q.shape[-2]), q.shape[-1])
    return rotate(q, angles), rotate(k, angles)


def test_the_classifier_is_the_same(monkeypatch):
    monkeypatch.setattr(modeling_esm, "apply_rotary_pos_emb", our_rotation)
    ours = start().double()
    theirs = hub_classifier(ours)
    batch = batch_of(held_out_examples("she", 5))
    with torch.no_grad():
        mine = ours(batch.ids, batch.real, batch.segments)
        out = theirs(**named_batch(batch))
    torch.testing.assert_close(out["logits"], mine, rtol=0, atol=1e-10)
    loss = torch.nn.functional.cross_entropy(mine, batch.labels)
    torch.testing.assert_close(out["loss"], loss, rtol=0, atol=1e-10)
    right = float((mine.argmax(-1) == batch.labels).double().mean())
    assert hub_accuracy(theirs, batch) == right


def test_a_mean_reader_is_refused():
    with pytest.raises(ValueError, match="mean=False"):
        hub_classifier(Classifier(start().body, 2, mean=True))


def test_with_our_batches_the_losses_are_ours():
    """ESM has no segment vector to train, so ours goes into the table."""
    ours = start()
    segments = ours.body.segment_embedding.weight.requires_grad_(False)
    with torch.no_grad():
        ours.body.embedding.tokens.weight += segments[0]
        segments.zero_()
    theirs = hub_classifier(ours)
    batches = LabelledBatches(ROWS, 5, 0)
    mine = fine_tune(ours, batches, CONFIG)
    found = train_alike(theirs, batches, CONFIG)
    assert len(found) == len(mine) == CONFIG.steps
    assert mine == pytest.approx(found, abs=1e-6)
    assert max(mine) - min(mine) > 0.01


def test_the_share_stays_after_the_last_step():
    assert share_at(0, CONFIG) == pytest.approx(1 / 3)
    assert share_at(5, CONFIG) == share_at(6, CONFIG) == pytest.approx(0.02)


def test_their_way_follows_its_seed():
    model = hub_classifier(start())
    losses = train_their_way(model, ROWS, 5, 0, CONFIG)
    again = train_their_way(hub_classifier(start()), ROWS, 5, 0, CONFIG)
    assert len(losses) == CONFIG.steps
    assert losses == pytest.approx(again, abs=1e-6)


def test_a_run_is_measured(monkeypatch):
    short = CONFIG.__class__(2, 1e-3, 1)
    monkeypatch.setattr(hub_training, "recipe", lambda run: short)
    monkeypatch.setattr(hub_training, "TESTED", 4)
    for tool in ecosystem.TOOLS:
        row = measure_tool(ToolRun("she", 8, 0, tool))
        assert row["accuracy"] in (0, 0.25, 0.5, 0.75, 1)
        assert row["first_loss"] > 0
    assert len(train_by(ToolRun("walk", 8, 1, "ours"))[1]) == 2


def test_the_benchmark_writes_its_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "COPIES", tmp_path / "data")
    monkeypatch.setattr(
        ecosystem, "measure_tool", lambda run: {"accuracy": 0.5}
    )
    ecosystem.main()
    rows = json.loads((tmp_path / "results/ecosystem.json").read_text())["rows"]
    assert len(rows) == 5 * len(ecosystem.TASKS) * len(ecosystem.TOOLS)


def test_the_record_is_whole():
    rows = read_record("ecosystem")["rows"]
    found = [ToolRun(*(row[f] for f in ToolRun._fields)) for row in rows]
    assert found == ecosystem.grid()


def test_quiet_turns_warnings_and_bars_off():
    logging = hub_training.need_transformers().logging
    logging.set_verbosity_info()
    logging.enable_progress_bar()
    hub_training.quiet()
    assert logging.get_verbosity() == logging.ERROR
    assert not logging.is_progress_bar_enabled()
