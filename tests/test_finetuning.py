"""Fine-tuning: against plain loops, PyTorch and scikit-learn; then what it learns."""

import copy

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from nextword.blocks import TransformerConfig
from nextword.finetuning import (
    Classifier,
    LabelledBatch,
    LabelledBatches,
    features,
    fine_tune,
    fit_probe,
    in_parts,
    label_accuracy,
    label_loss,
    labelled_batch,
    layer_groups,
    renew_rows,
)
from nextword.lora import add_lora
from nextword.training import TrainConfig, fit
from nextword.transformer import BERT, initialise

PAD, CLS, SEP, V, K = 0, 1, 2, 19, 3
EXACT = {"rtol": 1e-10, "atol": 1e-10}
MEAN = pytest.mark.parametrize("mean", [False, True])


def classifier(mean=False, dropout=0.0, n_layers=3, seed=0):
    torch.manual_seed(seed)
    config = TransformerConfig(V, 20, 16, 2, n_layers, dropout=dropout)
    body = BERT(config)
    initialise(body, 0.3)
    return Classifier(body, K, mean).double()


def rows(number=11, seed=0):
    """Texts of different lengths, some with a second one."""
    g = torch.Generator().manual_seed(seed)
    found = []
    for n in range(number):
        first, second = torch.randint(2, 8, (2,), generator=g).tolist()
        ids = torch.randint(3, V, (first + second,), generator=g).tolist()
        ids = [CLS, *ids[:first], SEP, *ids[first:], SEP]
        segments = [0] * (first + 2) + [1] * (second + 1)
        found.append((ids, segments, n % K))
    return found


def learnable(number, seed=0):
    """The label is the word behind CLS."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 3 + K, (number, 6), generator=g).tolist()
    return [([CLS, *row], [0] * 7, row[0] - 3) for row in ids]


# Batches


def test_a_batch_by_hand():
    batch = labelled_batch(
        [([CLS, 7, SEP], [0, 0, 0], 2), ([CLS, 8, SEP, 9, SEP], [0] * 5, 0)], 5
    )
    assert type(batch) is LabelledBatch
    assert batch.ids.tolist() == [[1, 7, 2, 5, 5], [1, 8, 2, 9, 2]]
    assert batch.segments.tolist() == [[0] * 5] * 2
    assert batch.real.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch.labels.tolist() == [2, 0]
    with pytest.raises(ValueError, match="or none at all"):
        labelled_batch([], PAD)


def test_what_is_real_follows_from_the_length_and_not_from_the_id():
    """A text may hold the id of padding, as a word of another tokenizer."""
    batch = labelled_batch([([1, 0, 2], [0] * 3, 0)], 0)
    assert batch.real.all()


@pytest.mark.parametrize("size", [1, 4, 11, 30])
def test_every_row_comes_once_an_epoch_and_in_a_new_order(size):
    data = [([CLS, 3 + n], [0, 0], n) for n in range(11)]
    batches = LabelledBatches(data, size, PAD, seed=4)
    per_epoch = -(-11 // size)
    epochs = []
    for epoch in range(3):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        labels = [batches(step).labels.tolist() for step in steps]
        assert all(len(part) <= size for part in labels)
        epochs.append([n for part in labels for n in part])
        assert sorted(epochs[-1]) == list(range(11))
    assert epochs[0] != epochs[1] != epochs[2]
    again = LabelledBatches(data, size, PAD, seed=4)
    assert torch.equal(again(5).ids, batches(5).ids)
    other = LabelledBatches(data, 11, PAD, seed=5)
    assert other(0).labels.tolist() != epochs[0]


@pytest.mark.parametrize(("data", "size"), [([], 4), (rows(3), 0)])
def test_batches_that_cannot_be_made_are_refused(data, size):
    message = f"{len(data)} rows do not make batches of {size}"
    with pytest.raises(ValueError, match=message):
        LabelledBatches(data, size, PAD)


# The classifier


@MEAN
def test_a_classifier_is_a_plain_loop_over_texts(mean):
    model, data = classifier(mean), rows()
    batch = labelled_batch(data, PAD)
    logits = model(*batch[:3])
    assert logits.shape == (11, K)
    for (ids, segments, _), said in zip(data, logits, strict=True):
        x = model.body.encode(
            torch.tensor([ids]), None, torch.tensor([segments])
        )[0]
        x = x.mean(0) if mean else x[0]
        expected = x @ model.head.weight.T + model.head.bias
        torch.testing.assert_close(said, expected, **EXACT)


@MEAN
def test_padding_changes_nothing(mean):
    model = classifier(mean)
    batch = labelled_batch(rows(4), PAD)
    wider = LabelledBatch(
        F.pad(batch.ids, (0, 3), value=7),
        F.pad(batch.real, (0, 3)),
        F.pad(batch.segments, (0, 3), value=1),
        batch.labels,
    )
    torch.testing.assert_close(model(*wider[:3]), model(*batch[:3]), **EXACT)


def test_the_head_is_new_and_the_body_is_the_one_that_was_given():
    torch.manual_seed(0)
    body = BERT(TransformerConfig(V, 20, 32, 2, 1))
    before = {n: p.clone() for n, p in body.named_parameters()}
    model = Classifier(body, 40)
    assert model.body is body
    assert all(torch.equal(p, before[n]) for n, p in body.named_parameters())
    weight, bias = model.head.weight.detach(), model.head.bias.detach()
    assert float(weight.std()) == pytest.approx(0.02, rel=0.1)
    assert not bias.any()


@MEAN
def test_the_loss_and_its_gradients_are_pytorchs(mean):
    ours, theirs = classifier(mean), classifier(mean)
    batch = labelled_batch(rows(), PAD)
    total, number = label_loss(ours, batch)
    expected = F.cross_entropy(
        theirs(*batch[:3]), batch.labels, reduction="sum"
    )
    torch.testing.assert_close(total, expected, **EXACT)
    assert number == 11 and type(number) is int
    total.backward()
    expected.backward()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    for a, b in pairs:
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, **EXACT)


@pytest.mark.parametrize("size", [1, 4, 11, 64])
def test_a_large_batch_goes_through_in_parts(size):
    model, batch = classifier(dropout=0.3), labelled_batch(rows(), PAD)
    whole = in_parts(model, model, batch, rows=11)
    torch.testing.assert_close(in_parts(model, model, batch, size), whole)
    assert model.training, "the mode is restored"


@MEAN
def test_features_are_what_the_head_reads(mean):
    model, batch = classifier(mean, dropout=0.3), labelled_batch(rows(), PAD)
    x = features(model, batch)
    assert x.shape == (11, 16) and not x.requires_grad
    torch.testing.assert_close(model.head(x), model.eval()(*batch[:3]), **EXACT)


@pytest.mark.parametrize("right", [0, 1, 7, 11])
def test_accuracy_counts_the_largest_logits(right):
    class Knowing(nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = nn.Parameter(torch.zeros(1))

        def forward(self, ids, real, segments):
            said = [n % K for n in range(11)]
            for n in range(right, 11):
                said[n] = (said[n] + 1) % K
            return F.one_hot(torch.tensor(said), K).double()

    assert label_accuracy(Knowing(), labelled_batch(rows(), PAD)) == right / 11


# The probe


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
def test_a_probe_is_the_logistic_regression_of_scikit_learn(classes, penalty):
    g = torch.Generator().manual_seed(classes)
    x = torch.randn(60, 5, generator=g).double()
    x = x * torch.tensor([1.0, 30.0, 0.1, 5.0, 1.0]) + 7.0
    labels = torch.randint(classes, (60,), generator=g)
    x[:, 0] += labels
    probe = fit_probe(x, labels, classes, penalty)
    # Two weights that differ by w cost half of what the one of theirs costs.
    C = 1 / penalty if classes > 2 else 2 / penalty
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=C, tol=1e-10, max_iter=5000)
    ).fit(x.numpy(), labels.numpy())
    said = probe.logits(x).softmax(-1)
    expected = torch.from_numpy(theirs.predict_proba(x.numpy()))
    torch.testing.assert_close(said, expected, rtol=1e-4, atol=1e-5)


def test_a_probe_is_at_the_bottom_of_its_loss():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=g).double()
    labels = torch.randint(K, (40,), generator=g)
    probe = fit_probe(x, labels, K, penalty=2.0)
    weight = probe.weight.clone().requires_grad_(True)
    bias = probe.bias.clone().requires_grad_(True)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    loss = F.cross_entropy(z @ weight + bias, labels, reduction="sum")
    (loss + weight.square().sum()).backward()
    assert float(weight.grad.abs().max()) < 1e-3
    assert float(bias.grad.abs().max()) < 1e-3


def test_a_probe_standardises_by_its_own_training_set():
    """Other texts, however different, are measured by the same scale."""
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = (x[:, 1] > 0).long()
    probe = fit_probe(x, labels, 2)
    torch.testing.assert_close(probe.mean, x.mean(0))
    torch.testing.assert_close(probe.std, x.std(0, correction=0))
    one = probe.logits(x[:1] + 100)
    many = probe.logits(x + 100)
    torch.testing.assert_close(one[0], many[0], **EXACT)


def test_a_feature_that_never_changes_tells_nothing():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()
    labels = (x[:, 1] > 0).long()
    with_constant = torch.cat([x, torch.full((30, 1), 5.0).double()], dim=1)
    a, b = fit_probe(x, labels, 2), fit_probe(with_constant, labels, 2)
    said = b.logits(with_constant)
    assert said.isfinite().all()
    torch.testing.assert_close(a.logits(x), said, rtol=1e-4, atol=1e-5)


# Rows of a table


def test_only_the_named_rows_are_drawn_anew():
    torch.manual_seed(0)
    table = nn.Embedding(200, 300)
    with torch.no_grad():
        table.weight.mul_(0.2).add_(torch.linspace(-1, 1, 300))
        table.weight[[3, 50]] = 40.0
    before = table.weight.detach().clone()
    renew_rows(table, [3, 50], seed=1)
    kept = [n for n in range(200) if n not in (3, 50)]
    assert torch.equal(table.weight[kept], before[kept])
    new = table.weight[[3, 50]].detach()
    mean = before[kept].mean(0)
    assert float((new - mean).std()) == pytest.approx(0.2, rel=0.1)
    assert float((new - mean).mean(1).abs().max()) < 0.05
    assert not torch.allclose(new[0], new[1])
    again, other = nn.Embedding(200, 300), nn.Embedding(200, 300)
    for same in (again, other):
        same.weight.data.copy_(before)
    renew_rows(again, [3, 50], seed=1)
    renew_rows(other, [3, 50], seed=2)
    assert torch.equal(again.weight, table.weight)
    assert not torch.equal(other.weight, table.weight)
    assert table.weight.requires_grad


def test_a_single_row_that_is_left_is_copied():
    table = nn.Embedding(2, 7)
    renew_rows(table, [1])
    assert torch.equal(table.weight[1], table.weight[0])


def test_one_row_must_be_left():
    with pytest.raises(ValueError, match="Keep one or more"):
        renew_rows(nn.Embedding(2, 7), [0, 1])


# Learning rates by layer


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_the_learning_rate_falls_from_the_head_to_the_embeddings(decay):
    model = classifier()
    groups = layer_groups(model, 0.1, decay)
    assert [g["lr"] for g in groups] == [0.1 * decay**n for n in range(5)]
    names = {id(p): n for n, p in model.named_parameters()}
    found = [{names[id(p)] for p in g["params"]} for g in groups]
    assert sum(map(len, found)) == len(names), "each parameter once"
    assert found[0] == {"head.weight", "head.bias"}
    for depth, layer in ((1, 2), (2, 1), (3, 0)):
        ours = f"body.encoder.layers.{layer}."
        assert {n for n in names.values() if n.startswith(ours)} <= found[depth]
    assert found[4] == {
        "body.embedding.tokens.weight",
        "body.embedding.positions.weight",
        "body.segment_embedding.weight",
        "body.norm.weight",
        "body.norm.bias",
    }
    assert {"body.encoder.norm.weight", "body.encoder.norm.bias"} <= found[1]


def test_what_is_frozen_is_in_no_group():
    model = classifier()
    new = add_lora(model.body, 2, 4.0)
    groups = layer_groups(model, 0.1, 0.5)
    chosen = {id(p) for g in groups for p in g["params"]}
    expected = {id(p) for p in (*new, *model.head.parameters())}
    assert chosen == expected
    assert [g["lr"] for g in groups] == [0.1, 0.05, 0.025, 0.0125]


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.1])
def test_a_decay_that_cannot_be_is_refused(decay):
    with pytest.raises(ValueError, match="Choose one above 0, at most 1"):
        layer_groups(classifier(), 0.1, decay)


# Training


def parameters(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def test_fine_tuning_is_a_plain_loop():
    """AdamW, clipped, warmed up: the same numbers as written out here."""
    model, plain = classifier(), classifier()
    batches = LabelledBatches(rows(), 4, PAD)
    config = TrainConfig(5, 0.01, warmup=2, final=0.5, weight_decay=0.2, clip=2)
    losses = fine_tune(model, batches, config)
    optimizer = torch.optim.AdamW(
        plain.parameters(), 0.01, betas=(0.9, 0.999), weight_decay=0.2
    )
    shares = [1 / 3, 2 / 3, 1.0, 0.75, 0.5]
    for step, share in enumerate(shares):
        batch = batches(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(plain(*batch[:3]), batch.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 2.0)
        optimizer.param_groups[0]["lr"] = 0.01 * share
        optimizer.step()
        assert losses[step] == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(
            model.get_parameter(name), parameter, rtol=1e-4, atol=1e-6
        )


def test_without_groups_it_is_the_loop_of_chapter_10():
    model, other = classifier(), classifier()
    batches = LabelledBatches(rows(), 4, PAD)
    config = TrainConfig(6, 0.01, warmup=2)
    losses = fine_tune(model, batches, config)
    optimizer = torch.optim.AdamW(other.parameters(), 0.01, weight_decay=0.1)
    history = fit(other, label_loss, batches, config, optimizer=optimizer)
    assert losses == pytest.approx(history.losses, rel=1e-9)


def test_each_group_keeps_its_share_of_the_learning_rate():
    """Steps of AdamW have the size of the rate: 10 times less for one group."""
    model = classifier()
    before = parameters(model)
    groups = [
        {"params": list(model.head.parameters()), "lr": 0.01},
        {"params": list(model.body.encoder.layers[0].parameters()), "lr": 1e-3},
    ]
    config = TrainConfig(1, 0.5, weight_decay=0.0)
    fine_tune(model, LabelledBatches(rows(), 11, PAD), config, groups)
    after = parameters(model)
    moved = {n: (p - before[n]).abs() for n, p in after.items()}
    assert float(moved["head.weight"].max()) == pytest.approx(0.01, rel=1e-3)
    first = moved["body.encoder.layers.0.feed_forward.linear1.weight"]
    assert float(first.max()) == pytest.approx(1e-3, rel=1e-3)
    for name, change in moved.items():
        if not name.startswith(("head.", "body.encoder.layers.0.")):
            assert float(change.max()) == 0, name


def test_what_is_frozen_stays():
    model = classifier()
    add_lora(model.body, 2, 4.0)
    before = parameters(model)
    fine_tune(
        model, LabelledBatches(rows(), 4, PAD), TrainConfig(3, 0.05, clip=9.0)
    )
    for name, parameter in model.named_parameters():
        same = torch.equal(parameter, before[name])
        trained = name.startswith("head.") or name.endswith((".A", ".B"))
        assert same != trained, name


@pytest.mark.parametrize("method", ["full", "LoRA"])
def test_a_task_is_learned(method):
    """After CLS stands the answer: 100 % on texts that were never seen."""
    torch.manual_seed(0)
    model = classifier().float()
    if method == "LoRA":
        add_lora(model.body, 4, 8.0)
    test = labelled_batch(learnable(200, seed=9), PAD)
    assert label_accuracy(model, test) < 0.6
    losses = fine_tune(
        model,
        LabelledBatches(learnable(120), 20, PAD),
        TrainConfig(60, 0.02, warmup=6, weight_decay=0.01),
    )
    assert losses[-1] < 0.1 < losses[0]
    assert label_accuracy(model, test) == 1.0


def test_the_same_seed_gives_the_same_run():
    runs = []
    for seed in (0, 0, 1):
        model = classifier(dropout=0.3)
        config = TrainConfig(4, 0.01, seed=seed)
        runs.append(fine_tune(model, LabelledBatches(rows(), 4, PAD), config))
    assert runs[0] == runs[1] != runs[2]


def test_a_copy_of_the_body_is_not_touched():
    model = classifier()
    body = copy.deepcopy(model.body)
    before = parameters(body)
    fine_tune(model, LabelledBatches(rows(), 4, PAD), TrainConfig(2, 0.05))
    assert all(torch.equal(p, before[n]) for n, p in body.named_parameters())
