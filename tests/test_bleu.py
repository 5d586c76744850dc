"""BLEU and chrF against sums by hand, and against sacreBLEU's own command."""

import math
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextword.bleu import bleu, chrf

CHINESE = ["安娜把那个杯子给了本。", "本在厨房。", "他去了花园。"]
SAID = ["安娜给了本那个杯子。", "本在厨房。", "她走到了花园。"]

texts = st.text("安娜本把那个", min_size=1, max_size=9)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=4)


def ngrams(items, n):
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def counts(predictions, references, n):
    """N-grams said, wanted, and right."""
    said = wanted = right = 0
    for prediction, reference in zip(predictions, references, strict=True):
        a, b = ngrams(prediction, n), ngrams(reference, n)
        said, wanted = said + a.total(), wanted + b.total()
        right += (a & b).total()
    return said, wanted, right


def bleu_by_hand(predictions, references):
    """Characters as words; as sacreBLEU, a precision of 0 becomes 1/2, 1/4, …"""
    logs, smooth = 0.0, 1
    for n in range(1, 5):
        said, _, right = counts(predictions, references, n)
        if n == 1 and not right:
            return 0.0
        if not said:
            return 0.0
        if not right:
            smooth *= 2
        logs += math.log((right or 1 / smooth) / said) / 4
    lengths = [sum(map(len, side)) for side in (predictions, references)]
    penalty = min(0.0, 1 - lengths[1] / lengths[0])
    return 100 * math.exp(logs + penalty)


def chrf_by_hand(predictions, references):
    """N-grams that a reference is too short for do not count as said."""
    precisions, recalls = [], []
    for n in range(1, 7):
        rows = zip(predictions, references, strict=True)
        rows = [(p, r) for p, r in rows if len(r) >= n]
        if not rows:
            continue
        said, wanted, right = counts(*zip(*rows, strict=True), n)
        if said and wanted:
            precisions.append(right / said)
            recalls.append(right / wanted)
    p = sum(precisions) / len(precisions)
    r = sum(recalls) / len(recalls)
    return 500 * p * r / (4 * p + r) if p + r else 0.0


def test_bleu_of_one_pair_by_hand():
    """10 characters of 11: 10, 6, 3 and 1 n-grams are right."""
    said, reference = SAID[:1], CHINESE[:1]
    right = [counts(said, reference, n)[2] for n in (1, 2, 3, 4)]
    assert right == [10, 6, 3, 1]
    precisions = 10 / 10, 6 / 9, 3 / 8, 1 / 7
    expected = 100 * math.exp(1 - 11 / 10) * math.prod(precisions) ** 0.25
    assert bleu(said, reference, "zh").value == pytest.approx(expected)


@settings(deadline=None)
@given(pairs)
def test_bleu_is_the_one_by_hand(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    expected = bleu_by_hand(predictions, references)
    if expected:  # sacreBLEU leaves orders out that no text is long enough for
        assert bleu(predictions, references, "zh").value == pytest.approx(
            expected
        )


@settings(deadline=None)
@given(pairs)
def test_chrf_is_the_one_by_hand(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    expected = chrf_by_hand(predictions, references)
    assert chrf(predictions, references).value == pytest.approx(expected)


def test_a_perfect_translation_has_100():
    assert bleu(CHINESE, CHINESE, "zh").value == pytest.approx(100)
    assert chrf(CHINESE, CHINESE).value == pytest.approx(100)


def test_the_signature_names_the_tokenizer_and_the_version():
    import sacrebleu

    by_character = bleu(SAID, CHINESE, "zh")
    by_word = bleu(SAID, CHINESE)
    assert "tok:zh" in by_character.signature
    assert "tok:13a" in by_word.signature
    assert by_character.value > 20 + by_word.value
    for score in (by_word, chrf(SAID, CHINESE)):
        assert score.signature.endswith(f"version:{sacrebleu.__version__}")
    assert chrf(SAID, CHINESE).signature.startswith(
        "nrefs:1|case:mixed|eff:yes"
    )


def test_the_command_of_sacrebleu_says_the_same(tmp_path):
    reference, said = tmp_path / "reference", tmp_path / "said"
    reference.write_text("\n".join(CHINESE) + "\n", encoding="utf-8")
    said.write_text("\n".join(SAID) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", reference, "-i", said]
    command += ["-tok", "zh", "-m", "bleu", "chrf", "-b", "-w", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = [
        float(x)
        for x in done.stdout.replace(",", " ").split()
        if x[0].isdigit()
    ]
    ours = [bleu(SAID, CHINESE, "zh").value, chrf(SAID, CHINESE).value]
    assert printed == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize("score", [bleu, chrf])
@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([], [], "0 predictions and 0 references"),
        (["a"], ["a", "b"], "1 predictions and 2 references"),
        ("abc", "abc", "Put it into brackets"),
    ],
)
def test_texts_must_pair_up(score, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        score(predictions, references)


def test_an_unknown_tokenizer_is_refused():
    with pytest.raises(ValueError, match="no tokenizer 'chinese'"):
        bleu(SAID, CHINESE, "chinese")
