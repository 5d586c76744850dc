"""The reviews: balanced, unlike each other, and their card tells the truth."""

import hashlib
import re
from collections import Counter
from itertools import combinations
from statistics import median

import numpy as np
import pytest

from nextword import reviews
from nextword.reviews import (
    LABELS,
    SPLITS,
    ContrastPair,
    Review,
    contrast_pairs,
    plain_reviews,
)
from tools import notebooks

DATA = notebooks.ROOT / "nextword" / "data"
CARD = (DATA / "reviews.md").read_text(encoding="utf-8")
TRAIN, TEST = plain_reviews("train"), plain_reviews("test")
PLAIN = TRAIN + TEST
PAIRS = contrast_pairs()
TWO = [review for pair in PAIRS for review in (pair.positive, pair.negative)]
KINDS = list(dict.fromkeys(pair.kind for pair in PAIRS))
SUBJECTS = list(dict.fromkeys(review.subject for review in PLAIN))


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


def length(review):
    return len(review.text.split())


# Counts, balance, splits


@pytest.mark.parametrize(("part", "number"), [(TRAIN, 640), (TEST, 240)])
def test_each_split_has_as_many_of_each_label_of_each_subject(part, number):
    assert len(part) == number
    counts = Counter((review.subject, review.label) for review in part)
    assert counts.keys() == {(s, n) for s in SUBJECTS for n in (0, 1)}
    assert set(counts.values()) == {number // 40}


def test_a_hash_of_the_id_decides_which_plain_reviews_are_tests():
    """Of each label of each subject, the six with the smallest SHA-256."""
    groups = {}
    for review in PLAIN:
        key = (review.subject, review.label)
        groups.setdefault(key, []).append(review)
    for group in groups.values():
        group.sort(key=lambda r: hashlib.sha256(r.id.encode()).hexdigest())
        assert [r.split for r in group] == ["test"] * 6 + ["train"] * 16


def test_there_are_fifteen_kinds_of_22_pairs_each():
    assert Counter(pair.kind for pair in PAIRS) == dict.fromkeys(KINDS, 22)
    assert len(KINDS) == 15


def test_the_kinds_are_about_every_subject():
    for kind in KINDS:
        found = {p.positive.subject for p in PAIRS if p.kind == kind}
        assert found == set(SUBJECTS), kind


def test_a_pair_has_both_labels_one_subject_and_one_name():
    for pair in PAIRS:
        one, two = pair.positive, pair.negative
        assert (LABELS[one.label], LABELS[two.label]) == (
            "positive",
            "negative",
        )
        assert one.subject == two.subject
        assert (one.id, two.id) == (pair.id + "a", pair.id + "b")
        assert one.split == two.split == "test"


def test_names_are_unique():
    assert len({review.id for review in PLAIN + TWO}) == len(PLAIN + TWO)
    assert len({pair.id for pair in PAIRS}) == len(PAIRS)


# The texts


def test_no_text_comes_twice():
    """Case, marks and spaces do not count as a difference."""
    texts = Counter(" ".join(words(r.text)) for r in PLAIN + TWO)
    assert [text for text, n in texts.items() if n > 1] == []


def test_texts_are_clean():
    for review in PLAIN + TWO:
        text = review.text
        assert text.isascii() and text.isprintable(), text
        assert text == " ".join(text.split())
        assert re.fullmatch(r'["A-Z].*[.!?]"?', text), text
        assert text.count('"') % 2 == 0, text
        assert not re.search(r" [.,;:!?]|[,;:][^ \"\d]|\.\.", text), text


AMERICAN = re.compile(
    r"\b(\w*(color|flavor|neighbor|favorite|humor|odor|jewelry|theater)\w*"
    r"|center|\w*meters?|gray|mold|plow|catalog|pajamas|tires?|gotten|spoiled"
    r"|learned|\w+(ization|izing|ized|izes?)|canceled|traveling|traveler"
    r"|movies?|apartments?|elevators?|cookies?|sidewalk|vacation|railroad)\b",
    re.I,
)


def test_spelling_is_british_throughout():
    allowed = {"size", "sizes", "prize", "prizes", "ended", "meter"}
    for review in PLAIN + TWO:
        found = {m.group(0).lower() for m in AMERICAN.finditer(review.text)}
        assert found <= allowed, review.text
    assert AMERICAN.search("The color of the apartment was apologized for")
    forms = Counter(word for r in PLAIN + TWO for word in words(r.text))
    for one, other in [
        ("learnt", "learned"),
        ("colour", "color"),
        ("favourite", "favorite"),
        ("neighbour", "neighbor"),
        ("photograph", "photo"),
        ("grey", "gray"),
    ]:
        assert forms[one] and not forms[other]


def test_lengths_vary():
    lengths = [length(review) for review in PLAIN]
    assert min(lengths) == 3 and max(lengths) == 40
    low, middle, high = np.quantile(lengths, [0.1, 0.5, 0.9])
    assert low <= 6 and 12 <= middle <= 16 and high >= 22
    assert len(set(lengths)) > 30
    lengths = [length(review) for review in TWO]
    assert min(lengths) >= 3 and max(lengths) <= 40
    assert np.quantile(lengths, 0.9) >= 2 * np.quantile(lengths, 0.1)


def test_the_length_does_not_give_the_label_away():
    for label in (0, 1):
        mean = np.mean([length(r) for r in PLAIN if r.label == label])
        assert mean == pytest.approx(15, abs=1)
    longer = [length(p.positive) - length(p.negative) for p in PAIRS]
    assert abs(sum(np.sign(longer))) < 0.05 * len(PAIRS)


# No template


def grams(text, n):
    row = words(text)
    return {tuple(row[i : i + n]) for i in range(len(row) - n + 1)}


def overlap(one, two):
    return len(one & two) / max(1, len(one | two))


def nearest(texts):
    """The two texts that share most word triples and most words, and how much."""
    triples, single = ([grams(t, n) for t in texts] for n in (3, 1))
    rows = [
        (overlap(triples[i], triples[j]), overlap(single[i], single[j]), i, j)
        for i, j in combinations(range(len(texts)), 2)
        if len(single[i] & single[j]) > 1
    ]
    return max(rows), max(rows, key=lambda row: row[1])


def test_the_measure_of_likeness_sees_a_template():
    frame = "The service was {} and the food was {}."
    one, two = frame.format("slow", "cold"), frame.format("kind", "fresh")
    triples, single = nearest([one, two])
    assert triples[0] > 0.1 and single[1] > 0.4
    (exchanged, shared, *_), _ = nearest(
        [
            "My new lamp came with three broken screws.",
            "My new desk came with three broken screws.",
        ]
    )
    assert exchanged > 0.3 and shared > 0.7


def test_no_review_is_a_variant_of_another():
    """Of two pairs as of two plain reviews: few triples, few words in common.

    A text with one noun of eight words exchanged shares a third of its triples
    and three quarters of its words. Unrelated texts of three to 40 words stay
    far below that.
    """
    texts = [r.text for r in PLAIN] + [p.positive.text for p in PAIRS]
    triples, single = nearest(texts)
    assert triples[0] < 0.2, [texts[i] for i in triples[2:]]
    assert single[1] < 0.45, [texts[i] for i in single[2:]]


def test_no_opening_comes_often():
    texts = [r.text for r in PLAIN] + [p.positive.text for p in PAIRS]
    for number, most in ((4, 2), (3, 4), (2, 15)):
        openings = Counter(tuple(words(text)[:number]) for text in texts)
        assert openings.most_common(1)[0][1] <= most, openings.most_common(3)


FUNCTION_WORDS = set(
    words("""a an the and or but so yet nor if than then that which who whom whose what
    when where while until since before after because as of in on at to for from
    with without by about into over under out off up down through between is am
    are was were be been being isn't wasn't aren't weren't do does did don't
    doesn't didn't have has had haven't hasn't hadn't can can't cannot could
    couldn't will would won't wouldn't should shouldn't may might must not no
    never none nobody nothing nowhere neither i you he she it we they me him her
    us them my your his its our their mine this these those there here i'm i've
    i'd i'll it's you'll you'd we'd we've they've they're he's that's there's one
    any some every all each both few little more most less least much many too
    very such only just still again even ever how why hardly barely""")
)


def skeletons(texts):
    """Function words in their order; other words in a row become one _."""

    def squeeze(text):
        row = [w if w in FUNCTION_WORDS else "_" for w in words(text)]
        return re.sub(r"_( _)+", "_", " ".join(row))

    return Counter(squeeze(text) for text in texts)


def test_no_kind_is_a_template():
    """No two pairs, of one kind or of two, have the same skeleton."""
    for side in ("positive", "negative"):
        found = skeletons(getattr(pair, side).text for pair in PAIRS)
        assert found.most_common(1)[0][1] == 1, found.most_common(3)
    same = [
        "The soup is not without salt.",
        "The old film is not without charm.",
    ]
    assert list(skeletons(same).values()) == [2]


def test_few_plain_reviews_share_a_skeleton():
    """Those without any function word, such as 'Heavy, slow, noisy.', aside."""
    found = skeletons(review.text for review in PLAIN)
    del found["_"]
    assert max(found.values()) <= 3
    assert sum(n for n in found.values() if n > 1) < 0.04 * len(PLAIN)


# What a bag of words can know


def difference(pair):
    """The number of words that are in one text only, repetitions counted."""
    one, two = (Counter(words(r.text)) for r in (pair.positive, pair.negative))
    return ((one - two) + (two - one)).total()


def test_the_two_of_a_pair_differ_in_little():
    found = [difference(pair) for pair in PAIRS]
    assert median(found) == 2
    assert max(found) <= 12
    for pair in PAIRS:
        same = len(grams(pair.positive.text, 1) & grams(pair.negative.text, 1))
        assert same >= 2, pair.id


def counts(texts, vocabulary):
    """How often each word of the vocabulary is in each text, (texts, words)."""
    found = np.zeros((len(texts), len(vocabulary)))
    for row, text in zip(found, texts, strict=True):
        for word in words(text):
            if word in vocabulary:
                row[vocabulary[word]] += 1
    return found


def naive_bayes(positive, negative):
    """The log odds of each word, with one added to every count."""
    odds = [np.log((n + 1) / (n + 1).sum()) for n in (positive, negative)]
    return odds[0] - odds[1]


def accuracy(scores, labels):
    """The share of texts on the right side; one on the line counts half."""
    right = (scores > 0) == (np.array(labels) == 1)
    return float(np.where(np.abs(scores) < 1e-9, 0.5, right).mean())


def learnt_from_plain():
    """Naive Bayes from the training split: accuracy on tests and contrasts."""
    known = sorted({word for r in TRAIN for word in words(r.text)})
    vocabulary = {word: n for n, word in enumerate(known)}
    labels = np.array([review.label for review in TRAIN])
    seen = counts([review.text for review in TRAIN], vocabulary)
    odds = naive_bayes(seen[labels == 1].sum(0), seen[labels == 0].sum(0))
    return [
        accuracy(
            counts([r.text for r in part], vocabulary) @ odds,
            [r.label for r in part],
        )
        for part in (TEST, TWO)
    ]


def learnt_from_other_pairs(pairs):
    """Naive Bayes from all pairs but the one it is asked about."""
    known = {w for p in pairs for r in p[2:] for w in words(r.text)}
    vocabulary = {word: n for n, word in enumerate(sorted(known))}
    one, two = (
        counts([p[side].text for p in pairs], vocabulary) for side in (2, 3)
    )
    scores, labels = [], []
    for x, y in zip(one, two, strict=True):
        odds = naive_bayes(one.sum(0) - x, two.sum(0) - y)
        odds[(one.sum(0) + two.sum(0) - x - y) == 0] = 0  # never seen
        scores += [x @ odds, y @ odds]
        labels += [1, 0]
    return accuracy(np.array(scores), labels)


def test_a_bag_of_words_learns_from_plain_reviews_and_fails_on_pairs():
    plain, contrast = learnt_from_plain()
    assert plain > 0.62
    assert 0.4 < contrast < 0.55


def test_a_bag_of_words_learns_next_to_nothing_from_other_pairs():
    assert 0.4 < learnt_from_other_pairs(PAIRS) < 0.56


def test_naive_bayes_would_find_a_word_that_gives_the_label_away():
    marked = [
        pair._replace(
            positive=pair.positive._replace(text=pair.positive.text + " Yes."),
            negative=pair.negative._replace(text=pair.negative.text + " No."),
        )
        for pair in PAIRS
    ]
    assert learnt_from_other_pairs(marked) > 0.9


def test_no_frequent_word_of_the_pairs_has_a_label():
    one, two = (
        Counter(w for p in PAIRS for w in grams(getattr(p, side).text, 1))
        for side in ("positive", "negative")
    )
    for word in one | two:
        total = one[word] + two[word]
        if total >= 20:
            assert abs(one[word] - two[word]) < 0.25 * total, word


NEGATION = re.compile(
    r"n't\b|\b(not|no|never|none|nobody|nothing|nowhere|neither|cannot|without"
    r"|hardly|barely)\b",
    re.I,
)


def test_the_number_of_negations_does_not_give_the_label_away():
    def more(pairs):
        both = ((p.positive.text, p.negative.text) for p in pairs)
        found = [[len(NEGATION.findall(t)) for t in two] for two in both]
        return sum(np.sign(one - two) for one, two in found)

    assert abs(more(PAIRS)) < 0.05 * len(PAIRS)
    for kind in KINDS:
        assert abs(more([p for p in PAIRS if p.kind == kind])) <= 5, kind


# The loader


def test_the_loader_gives_what_it_promises():
    assert {type(review) for review in PLAIN + TWO} == {Review}
    assert {type(pair) for pair in PAIRS} == {ContrastPair}
    assert {review.split for review in TRAIN} == {"train"}
    assert {review.split for review in TEST} == {"test"}
    assert plain_reviews("train") == TRAIN and contrast_pairs() == PAIRS
    assert not {r.text for r in PLAIN} & {r.text for r in TWO}


def test_one_line_by_hand():
    """Read in another way: the fields of a line as the file holds them."""
    lines = (DATA / "reviews.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[0] == "id\tset\tsplit\tlabel\tsubject\tkind\tpair\ttext"
    assert lines[-1] == "" and len(lines) == len(PLAIN + TWO) + 2
    (review,) = (r for r in PLAIN if r.text == "We left after forty minutes.")
    line = "{}\tplain\t{}\tnegative\tfilm\t-\t-\t{}"
    assert line.format(review.id, review.split, review.text) in lines
    assert (review.label, LABELS[review.label]) == (0, "negative")
    pair = next(p for p in PAIRS if p.positive.text == "Not bad at all!")
    assert (pair.kind, pair.negative.text) == ("negation", "Not good at all!")
    line = "{0}b\tcontrast\ttest\tnegative\tfilm\tnegation\t{0}\t{1}"
    assert line.format(pair.id, pair.negative.text) in lines


def test_a_quotation_mark_is_only_a_character():
    texts = [r.text for r in PLAIN if r.text.startswith('"')]
    assert '"You\'re crying," said my husband. So was he.' in texts


@pytest.mark.parametrize("wrong", ["validation", "", "contrast", None])
def test_another_split_is_refused(wrong):
    with pytest.raises(ValueError, match=r"no split .* one of: train, test"):
        plain_reviews(wrong)


@pytest.mark.parametrize("damage", ["label", "cut", "line ends", "empty"])
def test_an_altered_file_is_refused(tmp_path, monkeypatch, damage):
    content = reviews.FILE.read_bytes()
    content = {
        "label": content.replace(b"positive", b"negative", 1),
        "cut": content[:-1],
        "line ends": content.replace(b"\n", b"\r\n"),
        "empty": b"",
    }[damage]
    path = tmp_path / "reviews.tsv"
    path.write_bytes(content)
    monkeypatch.setattr(reviews, "FILE", path)
    for load in (contrast_pairs, lambda: plain_reviews("test")):
        with pytest.raises(ValueError, match=r"reviews\.tsv is not .* Install"):
            load()


# The card


def table_row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def test_the_card_counts_rightly():
    for name, part in (
        ("plain, train", TRAIN),
        ("plain, test", TEST),
        ("contrast", TWO),
    ):
        positive = sum(review.label for review in part)
        lengths = [length(review) for review in part]
        row = table_row(
            name,
            len(part),
            positive,
            len(part) - positive,
            f"{min(lengths)} to {max(lengths)}",
            f"{median(lengths):g}",
        )
        assert row in CARD, row
    size = sum(length(review) for review in PLAIN + TWO)
    assert f"{len(PLAIN + TWO):,} texts, {size:,} words" in CARD
    assert f"{len(PAIRS)} pairs" in CARD
    used = len({word for r in PLAIN + TWO for word in words(r.text)})
    assert f"{used:,} different words" in CARD


def test_the_card_names_kinds_subjects_and_fields():
    table = re.findall(r"^\| `(\w+)` \| .+ \| (\d+) \|$", CARD, re.M)
    assert table == [
        (kind, str(sum(p.kind == kind for p in PAIRS))) for kind in KINDS
    ]
    assert ", ".join(SUBJECTS) in " ".join(CARD.split())
    assert "the six plain reviews with the smallest" in " ".join(CARD.split())
    each = len(PLAIN) // len(SUBJECTS)
    text = f"{len(SUBJECTS)} subjects with {each} plain reviews each"
    assert text in " ".join(CARD.split())
    for field in reviews.read_rows()[0]:
        assert f"| `{field}` |" in CARD
    for split in SPLITS:
        assert f"`{split}`" in CARD


def test_the_card_says_how_sure_a_kind_can_be():
    text = " ".join(CARD.split())
    (number,) = {2 * sum(p.kind == kind for p in PAIRS) for kind in KINDS}
    error = (0.5 * 0.5 / number) ** 0.5
    assert f"{number // 2} pairs a kind are few" in text
    assert f"With {number} texts" in text
    assert f"standard error of {error:.2f}" in text


def test_the_examples_of_the_card_are_in_the_file():
    quoted = re.findall(r"\*([^*\n]+)\* / \*([^*\n]+)\*", CARD)
    assert len(quoted) == len(KINDS)
    for kind, (one, two) in zip(KINDS, quoted, strict=True):
        (pair,) = (p for p in PAIRS if p.positive.text == one)
        assert (pair.kind, pair.negative.text) == (kind, two)


def test_the_card_says_what_a_bag_of_words_reaches():
    plain, contrast = learnt_from_plain()
    among = learnt_from_other_pairs(PAIRS)
    for value, name in (
        (plain, "plain, train | plain, test"),
        (contrast, "plain, train | contrast"),
        (among, "all other pairs | contrast"),
    ):
        assert f"| {name} | {value:.2f} |" in CARD, (name, value)
    same = sum(difference(pair) == 0 for pair in PAIRS)
    near = sum(difference(pair) <= 2 for pair in PAIRS)
    text = " ".join(CARD.split())
    assert f"In {same} pairs both texts have the same words" in text
    assert f"in {near} pairs" in text
