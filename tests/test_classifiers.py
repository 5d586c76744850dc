"""Six classifiers with one interface, and the record of what they reached."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks import classification as benchmark
from benchmarks import record
from nextword import classifiers
from nextword.blocks import TransformerConfig
from nextword.classification import (
    Bin,
    calibration_error,
    inverse_frequencies,
    log_softmax,
    tf_idf,
)
from nextword.classifiers import (
    BATCH,
    LONGEST,
    MASK_ID,
    PAD_ID,
    K,
    fine_tuned_minilm,
    gap_filler,
    logits_of,
    majority,
    minilm_probe,
    minilm_reader,
    plain_row,
    pretrained_bert,
    schedule,
    small_bert,
    small_body,
    some_of_each,
    word_regression,
)
from nextword.docstrings import (
    Docstring,
    read_docstrings,
    split_docstrings,
    without_copies,
)
from nextword.filling import fill_score
from nextword.finetuning import Classifier, labelled_batch
from nextword.masking import Masking, hide
from nextword.records import read_record
from nextword.tokenizer import BYTE_ORDER
from nextword.transformer import BERT
from nextword.wordpiece import SPECIAL, WordPieceTokenizer

TOPICS = [
    "axes colour",
    "graph node",
    "matrix root",
    "model fit",
    "tensor grad",
]
FILLERS = [
    "the",
    "a",
    "of",
    "and",
    "for",
    "given",
    "returns",
    "new",
    "one",
    "all",
]


def make_rows(number, seed=0):
    """Texts whose class two of their words tell."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(number):
        words = [*rng.choice(FILLERS, 6), *TOPICS[n % K].split()]
        text = " ".join(rng.permutation(words).tolist())
        rows.append(Docstring(text, text, n % K, f"{n}.py"))
    return rows


TRAIN, TEST = make_rows(150), make_rows(40, seed=1)
TEXTS = [row.text for row in TEST]


def right(predict):
    said = predict(TEXTS).argmax(1)
    return np.mean(said == [row.label for row in TEST])


@pytest.fixture
def small_minilm(monkeypatch):
    """A random BERT of 1 layer in the place of MiniLM, and its tokenizer."""
    words = sorted({w for row in TRAIN for w in row.text.split()})
    tokenizer = WordPieceTokenizer([*SPECIAL, *words])

    def minilm():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sizes = TransformerConfig(
                tokenizer.vocab_size, LONGEST, 32, 2, 1, norm_first=False
            )
            return BERT(sizes).eval(), tokenizer

    monkeypatch.setattr(classifiers, "minilm", minilm)
    minilm_reader.cache_clear()
    yield minilm
    minilm_reader.cache_clear()


def test_some_of_each_class():
    chosen = some_of_each(TRAIN, 7, seed=1)
    labels = [row.label for row in chosen]
    assert [labels.count(k) for k in range(K)] == [7] * K
    assert len({row.file for row in chosen}) == 7 * K
    assert set(chosen) <= set(TRAIN)
    assert some_of_each(TRAIN, 7, seed=1) == chosen
    assert some_of_each(TRAIN, 7, seed=2) != chosen
    assert sorted(some_of_each(TRAIN, 99)) == sorted(TRAIN)
    assert some_of_each(TRAIN, 0) == []


def test_a_smaller_draw_is_the_beginning_of_a_larger_one():
    assert set(some_of_each(TRAIN, 5)) < set(some_of_each(TRAIN, 6))


def test_the_majority_says_the_shares():
    rows = TRAIN[:4] + [TRAIN[1]] * 6
    logits = majority(rows)(["any", "text", ""])
    assert logits.shape == (3, K)
    shares = np.exp(log_softmax(logits))
    np.testing.assert_allclose(shares[0], [0.1, 0.7, 0.1, 0.1, 0], atol=1e-8)
    assert (shares == shares[0]).all()


def test_words_are_enough_for_words():
    assert right(word_regression(TRAIN)) == 1


def test_the_regression_is_at_the_minimum_of_its_loss():
    """The gradient of C times the summed loss plus half the squares is 0."""
    predict = word_regression(TRAIN)
    texts = [row.text for row in TRAIN]
    idf = inverse_frequencies(texts)
    x = np.array([[tf_idf(t, idf).get(w, 0.0) for w in idf] for t in texts])
    base = predict([""])  # the bias alone
    logits = predict(texts)
    weight = np.linalg.lstsq(x, logits - base, rcond=None)[0]  # (V, K)
    np.testing.assert_allclose(x @ weight, logits - base, atol=1e-8)
    hot = np.eye(K)[[row.label for row in TRAIN]]
    slope = np.exp(log_softmax(logits)) - hot  # (N, K)
    gradient = 3.0 * x.T @ slope + weight
    assert abs(gradient).max() < 0.02 < abs(weight).max()
    assert abs(slope.sum(0)).max() < 0.02


def test_unknown_words_change_nothing():
    predict = word_regression(TRAIN)
    np.testing.assert_allclose(predict(["graph zebra"]), predict(["graph"]))
    assert "zebra" not in TfidfVectorizer().fit(TEXTS).vocabulary_


def test_a_schedule_has_sixty_steps_at_least():
    config = schedule(5_000, 2, 1e-3, 7)
    assert (config.steps, config.warmup) == (10_000 // BATCH, 31)
    assert (config.lr, config.final, config.seed) == (1e-3, 0.0, 7)
    assert schedule(10, 2, 1e-3, 0).steps == 60


def test_plain_rows_have_a_token():
    assert plain_row([4, 5], 2) == ([4, 5], [0, 0], 2)
    assert plain_row([]) == ([0], [0], 0)


def test_logits_do_not_depend_on_the_neighbours():
    torch.manual_seed(0)
    sizes = TransformerConfig(128, LONGEST, 16, 2, 1, positions="rotary")
    model = Classifier(BERT(sizes), K, mean=True)
    predict = logits_of(model, lambda text: [ord(c) for c in text], 0)
    texts = ["a", "a longer text", "", "words"]
    together = predict(texts)
    assert together.shape == (4, K) and together.dtype == np.float64
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(predict([text])[0], row, atol=1e-6)


def test_a_small_bert_learns_words():
    predict = small_bert(TRAIN)
    assert right(predict) > 0.9
    long = predict([" ".join(TEXTS)])
    assert long.shape == (1, K) and np.isfinite(long).all()
    assert np.isfinite(predict([""])).all()


def test_padding_and_mask_are_in_no_text():
    assert bytes([BYTE_ORDER[PAD_ID], BYTE_ORDER[MASK_ID]]) == b"\0\1"
    encode = small_body(TEXTS, 0)[1]
    used = {
        id
        for row in without_copies(read_docstrings(most=100))
        for id in encode(row.text)
    }
    assert len(used) > 50 and not used & {PAD_ID, MASK_ID}


def test_hidden_words_are_found_better_than_before():
    texts = tuple(row.text for row in TRAIN)
    plain, encode = small_body(texts, 0, dropout=0.0)
    ids = labelled_batch([plain_row(encode(t)) for t in texts], PAD_ID).ids
    masking = Masking(MASK_ID, PAD_ID, 256, plain.config.vocab_size)
    batch = hide(ids, masking, torch.Generator().manual_seed(9))
    body = gap_filler(texts, 0, epochs=40)
    assert fill_score(body, batch).loss < fill_score(plain, batch).loss - 1


def test_a_pretrained_bert_learns_words_and_leaves_its_body_alone():
    texts = tuple(TEXTS + [row.text for row in TRAIN])
    body = gap_filler(texts, 1)
    before = [p.clone() for p in body.parameters()]
    predict = pretrained_bert(TRAIN, 1, unlabelled=list(texts))
    assert right(predict) > 0.9
    assert gap_filler(texts, 1) is body
    assert all(map(torch.equal, before, body.parameters()))


def test_what_was_read_before_changes_the_logits():
    few, more = TRAIN[:20], [row.text for row in TRAIN]
    alone = pretrained_bert(few, 0)(TEXTS[:4])
    helped = pretrained_bert(few, 0, unlabelled=more)(TEXTS[:4])
    scratch = small_bert(few, 0)(TEXTS[:4])
    assert not np.allclose(alone, helped) and not np.allclose(alone, scratch)


@pytest.mark.parametrize(
    "kind", [small_bert, fine_tuned_minilm, pretrained_bert]
)
def test_the_same_seed_gives_the_same_logits(kind, small_minilm):
    few = TRAIN[:20]
    first = kind(few, seed=3)(TEXTS[:4])
    assert np.array_equal(first, kind(few, seed=3)(TEXTS[:4]))
    assert not np.array_equal(first, kind(few, seed=4)(TEXTS[:4]))


def test_a_probe_and_fine_tuning_learn_words(small_minilm, monkeypatch):
    untouched = [p.clone() for p in small_minilm()[0].parameters()]
    assert right(minilm_probe(TRAIN)) > 0.4
    monkeypatch.setattr(  # random layers learn slowly
        classifiers,
        "schedule",
        lambda n, _, lr, seed: schedule(n, 8, 10 * lr, seed),
    )
    assert right(fine_tuned_minilm(TRAIN)) > 0.9
    after = small_minilm()[0].parameters()
    assert all(map(torch.equal, untouched, after))


def test_the_reader_reads_a_text_once(small_minilm, monkeypatch):
    asked = []
    plain = classifiers.sentence_vectors

    def counting(model, tokenizer, texts, *rest):
        asked.extend(texts)
        return plain(model, tokenizer, texts, *rest)

    monkeypatch.setattr(classifiers, "sentence_vectors", counting)
    read = minilm_reader()
    first = read(TEXTS[:3] + TEXTS[:1])
    assert asked == TEXTS[:3]
    second = read(TEXTS[1:4])
    assert asked == TEXTS[:4]
    assert torch.equal(first[1:3], second[:2])
    assert torch.equal(first[0], first[3])
    assert minilm_reader() is read


# The record


@pytest.fixture(scope="module")
def rows():
    return read_record("classification")["rows"]


def test_the_record_is_the_one_that_the_benchmark_wrote():
    written = record.RESULTS / "classification.json"
    content = json.loads(written.read_text(encoding="utf-8"))
    assert read_record("classification") == content
    assert content["command"] == benchmark.COMMAND
    assert content["notes"] == benchmark.NOTES
    assert set(content["machine"]["packages"]) == set(benchmark.PACKAGES)


def test_the_record_holds_the_grid(rows):
    grid = benchmark.grid()
    assert len(set(grid)) == len(grid) == 110
    found = [
        benchmark.Run(*(r[k] for k in benchmark.Run._fields)) for r in rows
    ]
    assert found == grid


def test_the_numbers_of_a_row_agree_with_each_other(rows):
    seen = 0
    for row in rows:
        assert 0 < row["accuracy"] < 1 and row["nats"] > 0
        assert row["test"] > 1_000 and row["train"] >= 5 * 19
        if row["per_class"]:
            assert row["train"] == K * row["per_class"]
        if "matrix" in row:
            matrix, bins = np.array(row["matrix"]), row["bins"]
            assert matrix.sum() == row["test"] == sum(b[2] for b in bins)
            share = matrix.trace() / matrix.sum()
            assert share == pytest.approx(row["accuracy"], abs=1e-4)
            ece = calibration_error([Bin(*b) for b in bins])
            assert ece == pytest.approx(row["ece"], abs=2e-4)
            seen += 1
    assert seen == len(benchmark.MODELS) * len(benchmark.SEEDS)


def test_seeds_share_their_split_and_nothing_else(rows):
    careful = [r for r in rows if "matrix" in r]
    for seed in benchmark.SEEDS:
        own = [r for r in careful if r["seed"] == seed]
        assert len({(r["train"], r["test"]) for r in own}) == 1
        there = {tuple(np.sum(r["matrix"], 1)) for r in own}
        assert len(there) == 1
    assert len({r["test"] for r in careful}) == len(benchmark.SEEDS)


def fake_run(monkeypatch, model="majority", **options):
    """A run on the texts of this file."""
    monkeypatch.setattr(benchmark, "texts", lambda copies, names: TRAIN)
    return benchmark.measure(benchmark.Run(model, 0, **options))


def test_a_row_by_hand(monkeypatch):
    row = fake_run(monkeypatch)
    labels = np.sum(row["matrix"], 1)
    said = np.flatnonzero(np.sum(row["matrix"], 0))
    assert len(said) == 1 and labels.sum() == row["test"] == np.sum(
        row["matrix"]
    )
    share = labels[said[0]] / labels.sum()
    assert row["accuracy"] == pytest.approx(share, abs=1e-4)
    assert row["cool_nats"] < math.log(K) + 0.1
    row = fake_run(monkeypatch, "TF-IDF", per_class=4, by_file=False)
    assert row["train"] == 4 * K
    assert not {"matrix", "bins"} & row.keys()


def test_pretraining_reads_the_whole_training_part(monkeypatch):
    asked = {}

    def spy(rows, seed, unlabelled):
        asked.update(rows=rows, unlabelled=unlabelled)
        return majority(rows)

    monkeypatch.setitem(benchmark.MODELS, "pretrained here", spy)
    row = fake_run(monkeypatch, "pretrained here", per_class=4)
    train = split_docstrings(TRAIN, 0).train
    assert asked["unlabelled"] == [one.text for one in train]
    assert len(asked["rows"]) == row["train"] == 4 * K


def test_names_and_copies_are_what_a_run_asks_for(monkeypatch):
    plain = [
        Docstring("NAME of one", "torch of one", 0, "a.py"),
        Docstring("NAME of one", "torch of one", 0, "b.py"),
    ]
    monkeypatch.setattr(benchmark, "read_docstrings", lambda: plain)
    benchmark.texts.cache_clear()
    try:
        assert benchmark.texts(False, False) == plain[:1]
        assert benchmark.texts(True, False) == plain
        assert [r.text for r in benchmark.texts(True, True)] == [
            "torch of one",
            "torch of one",
        ]
    finally:
        benchmark.texts.cache_clear()
