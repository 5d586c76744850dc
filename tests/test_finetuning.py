"""Fine-tuning: batches with labels, heads, probes, groups, and the loop."""

import copy

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from nextword.blocks import TransformerConfig
from nextword.finetuning import (
    Classifier,
    LabelledBatches,
    accuracy,
    features,
    fine_tune,
    fit_probe,
    label_loss,
    labelled_batch,
    layer_groups,
    renew_rows,
)
from nextword.training import TrainConfig
from nextword.transformer import BERT

PAD = 0
ROWS = [([1, 5, 6], [0, 0, 1], 2), ([1, 7], [0, 0], 0), ([1, 8], [0, 1], 1)]


def body(dropout=0.0, n_layers=2):
    torch.manual_seed(0)
    return BERT(TransformerConfig(12, 8, 16, 2, n_layers, dropout=dropout))


def classifier(classes=3, **options):
    torch.manual_seed(1)
    model = Classifier(body(), classes, **options)
    nn.init.normal_(model.head.weight)
    return model.double()


def test_a_batch_pads_on_the_right_and_says_what_is_real():
    batch = labelled_batch(ROWS, PAD)
    assert batch.ids.tolist() == [[1, 5, 6], [1, 7, 0], [1, 8, 0]]
    assert batch.segments.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert batch.real.sum(1).tolist() == [3, 2, 2]
    assert batch.labels.tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="or none at all"):
        labelled_batch([], PAD)


def test_each_epoch_reads_each_row_once_in_a_new_order():
    rows = [([1, n], [0, 0], n) for n in range(7)]
    batches = LabelledBatches(rows, 3, PAD, seed=4)
    sizes, orders = [], []
    for epoch in range(2):
        parts = [batches(3 * epoch + n).labels.tolist() for n in range(3)]
        sizes += [len(part) for part in parts]
        orders.append([n for part in parts for n in part])
    assert sizes == [3, 3, 1] * 2
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(7))
    assert orders[0] != orders[1]
    again = LabelledBatches(rows, 3, PAD, seed=4)
    assert torch.equal(again(4).labels, batches(4).labels)


@pytest.mark.parametrize(("rows", "size"), [([], 2), (ROWS, 0)])
def test_batches_of_nothing_are_refused(rows, size):
    with pytest.raises(ValueError, match="Pass 1 or more of each"):
        LabelledBatches(rows, size, PAD)


@pytest.mark.parametrize("mean", [False, True])
def test_padding_changes_nothing(mean):
    model = classifier(mean=mean).eval()
    together = labelled_batch(ROWS, PAD)
    whole = model(*together[:3])
    for n, row in enumerate(ROWS):
        alone = model(*labelled_batch([row], PAD)[:3])
        torch.testing.assert_close(whole[n : n + 1], alone)
    assert whole.shape == (3, 3)


def test_the_head_reads_the_first_token_or_the_mean_of_the_real_ones():
    batch = labelled_batch(ROWS, PAD)
    for mean in (False, True):
        model = classifier(mean=mean).eval()
        hidden = model.body.encode(batch.ids, batch.real, batch.segments)
        if mean:
            expected = [
                hidden[n, : len(r[0])].mean(0) for n, r in enumerate(ROWS)
            ]
            expected = torch.stack(expected)
        else:
            expected = hidden[:, 0]
        torch.testing.assert_close(features(model, batch), expected)


def test_the_loss_is_pytorchs_with_the_same_gradients():
    batch = labelled_batch(ROWS, PAD)
    model = classifier().eval()
    loss, number = label_loss(model, batch)
    loss.backward()
    ours = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    expected = nn.functional.cross_entropy(
        model(*batch[:3]), batch.labels, reduction="sum"
    )
    expected.backward()
    theirs = [p.grad for p in model.parameters() if p.grad is not None]
    assert number == 3
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_accuracy_counts_the_largest_logit_in_parts():
    rows = [([1, 5 + n % 7], [0, 0], n % 3) for n in range(150)]
    batch = labelled_batch(rows, PAD)
    model = classifier().eval()
    with torch.no_grad():
        said = model(*batch[:3]).argmax(-1)
    share = (said == batch.labels).double().mean().item()
    assert accuracy(model, batch) == pytest.approx(share)
    assert 0 < share < 1
    model.train()
    accuracy(model, batch)
    assert model.training  # as it was


@pytest.mark.parametrize(("classes", "penalty"), [(2, 1.0), (4, 0.1), (3, 9.0)])
def test_a_probe_is_scikit_learns_logistic_regression(classes, penalty):
    generator = torch.Generator().manual_seed(classes)
    labels = torch.arange(90) % classes
    x = torch.randn(90, 6, generator=generator) + labels[:, None] * 0.7
    x = x * torch.tensor([1.0, 10.0, 0.1, 1.0, 3.0, 0.5]) + 5
    probe = fit_probe(x, labels, classes, penalty)
    z = (x.double() - x.double().mean(0)) / x.double().std(0, correction=0)
    # scikit-learn gives two classes one column. Ours have one each, of which the
    # penalty sees half the difference twice: half as much.
    strength = (2 if classes == 2 else 1) / penalty
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
    theirs.fit(z.numpy(), labels.numpy())
    expected = torch.from_numpy(theirs.predict_proba(z.numpy()))
    ours = probe.logits(x).softmax(-1)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


def test_the_probe_of_a_constant_column_is_finite():
    x = torch.cat([torch.randn(20, 2), torch.ones(20, 1)], dim=1)
    probe = fit_probe(x, torch.arange(20) % 2, 2)
    assert probe.logits(x).isfinite().all()
    assert float(probe.weight[2].abs().max()) == pytest.approx(0, abs=1e-9)


def test_renewed_rows_look_like_the_others_and_these_stay():
    table = nn.Embedding(400, 3)
    with torch.no_grad():
        table.weight.mul_(torch.tensor([1.0, 0.1, 5.0])).add_(2.0)
    before = table.weight.detach().clone()
    rows = list(range(100, 300))
    renew_rows(table, rows, seed=3)
    now = table.weight.detach()
    kept = [n for n in range(400) if n not in set(rows)]
    assert torch.equal(now[kept], before[kept])
    assert not torch.equal(now[rows], before[rows])
    torch.testing.assert_close(
        now[rows].std(0), before[kept].std(0), rtol=0.2, atol=0
    )
    with torch.no_grad():
        table.weight.copy_(before)
    renew_rows(table, rows, seed=3)
    assert torch.equal(table.weight.detach(), now)
    with pytest.raises(ValueError, match="Keep one or more"):
        renew_rows(table, range(400))


def test_the_rate_falls_from_the_head_to_the_embeddings():
    model = Classifier(body(n_layers=3), 2)
    groups = layer_groups(model, 1.0, 0.5)
    rates = {}
    names = {id(p): name for name, p in model.named_parameters()}
    for group in groups:
        for p in group["params"]:
            rates[names[id(p)]] = group["lr"]
    assert set(rates) == set(names.values())
    assert rates["head.weight"] == 1.0
    for n in range(3):
        start = f"body.encoder.layers.{n}."
        found = {r for name, r in rates.items() if name.startswith(start)}
        assert found == {0.5 ** (3 - n)}
    tables = {r for name, r in rates.items() if "embedding" in name}
    assert tables == {0.5**4}


def test_frozen_parameters_are_in_no_group():
    model = Classifier(body(), 2)
    model.body.requires_grad_(False)
    groups = layer_groups(model, 1.0, 0.5)
    assert [g["lr"] for g in groups] == [1.0]
    assert {id(p) for p in groups[0]["params"]} == {
        id(p) for p in model.head.parameters()
    }


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.1])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match="above 0, at most 1"):
        layer_groups(Classifier(body(), 2), 1.0, decay)


def easy():
    """The label is the second token: one of three."""
    return [([1, 5 + n % 3], [0, 0], n % 3) for n in range(24)]


def test_fine_tuning_learns_and_the_same_seed_gives_the_same_curve():
    batches = LabelledBatches(easy(), 8, PAD)
    config = TrainConfig(120, 3e-3, warmup=5, seed=2)
    curves, models = [], []
    for _ in range(2):
        torch.manual_seed(9)
        models.append(Classifier(body(dropout=0.1), 3))
        curves.append(fine_tune(models[-1], batches, config))
    assert curves[0] == curves[1] and len(curves[0]) == 120
    assert curves[0][0] > 0.8 and curves[0][-1] < 0.3
    assert accuracy(models[0], labelled_batch(easy(), PAD)) == 1.0


def test_what_is_frozen_does_not_move():
    model = Classifier(body(), 3)
    model.body.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    batches = LabelledBatches(easy(), 8, PAD)
    fine_tune(model, batches, TrainConfig(5, 1e-2, warmup=1))
    for name, tensor in model.state_dict().items():
        same = torch.equal(tensor, before[name])
        assert same == name.startswith("body."), name


def test_groups_keep_the_ratio_of_their_rates():
    model = Classifier(body(), 3)
    head = list(model.head.parameters())
    groups = [
        {"params": head, "lr": 1e-2},
        {"params": list(model.body.parameters()), "lr": 0.0},
    ]
    before = copy.deepcopy(model.state_dict())
    batches = LabelledBatches(easy(), 8, PAD)
    fine_tune(model, batches, TrainConfig(5, 1.0, warmup=1), groups)
    moved = {
        name.split(".")[0]
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"head"}
