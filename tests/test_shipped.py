"""The shipped models: intact, reproducible, and as good as their cards say."""

import json
import re

import pytest
import torch

from nextword import commands, pretraining, tasks
from nextword.muon import Muon
from nextword.pretrained import SHIPPED, find_folder, load_pretrained
from nextword.training import set_learning_rate, training_step
from tools import notebooks

TASKS = {"town-gpt": tasks.town_gpt, "town-bert": tasks.town_bert}
CHECKPOINTS = notebooks.ROOT / "nextword" / "data" / "checkpoints"


def test_the_shipped_models_are_all_that_is_there():
    folders = {p.name for p in CHECKPOINTS.iterdir() if p.is_dir()}
    assert folders == set(SHIPPED) == {find_folder(n).name for n in SHIPPED}
    files = [p for p in CHECKPOINTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 12e6
    assert {p.name for p in files} == {
        "README.md",
        "history.json",
        "model.json",
        "model.safetensors",
        "tokenizer.json",
        *(["samples.txt"] if "town-gpt" in SHIPPED else []),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_the_documented_command_asks_for_this_model(name):
    """Kind, sizes, training and the digest of the data are those of the task."""
    card = load_pretrained(name).card
    now = pretraining.model_card(TASKS[name](), card.command)
    assert card.command == f"nextword pretrain {name}"
    for field in ("kind", "sizes", "training", "data"):
        assert getattr(card, field) == getattr(now, field)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_short_run_follows_the_beginning_of_the_recorded_curve(name):
    path = CHECKPOINTS / name / "history.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    task = TASKS[name]()
    assert len(recorded["losses"]) == task.training.steps
    model = pretraining.build(task).train()
    optimizer = Muon(model, task.training.lr, task.training.weight_decay)
    for step in range(12):
        lr = set_learning_rate(optimizer, task.training, step)
        loss, norm, targets = training_step(
            model, task.loss, [task.batches(step)], optimizer, task.training
        )
        assert targets == recorded["targets"][step]
        assert lr == pytest.approx(recorded["learning_rates"][step])
        assert loss == pytest.approx(recorded["losses"][step], rel=2e-3)
        assert norm == pytest.approx(recorded["gradient_norms"][step], rel=0.05)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_says_what_is_measured(name):
    """The numbers of the card are those of ``nextword evaluate``."""
    text = (CHECKPOINTS / name / "README.md").read_text(encoding="utf-8")
    found = commands.evaluate_town(load_pretrained(name), 300, 100)
    said = dict(re.findall(r"^\| ([a-z /]+) \| ([\d.]+) \|$", text, re.M))
    assert said.keys() == found.keys() - {"stories"}
    for key, value in said.items():
        room = 0.04 if "share" in key else 2e-3
        assert float(value) == pytest.approx(found[key], abs=room), key
    assert f"nextword pretrain {name}" in text


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_deterministic_and_small(name):
    one, other = load_pretrained(name), load_pretrained(name)
    ids = torch.tensor([one.tokenizer.encode("Anna was at the beach .")])
    assert torch.equal(one.model(ids), other.model(ids))
    assert sum(p.numel() for p in one.model.parameters()) < 1_500_000
