"""Model 1 against a search of all alignments, links against the town's own."""

import itertools
import math

import pytest
import torch

from nextword import alignment
from nextword.alignment import (
    NULL,
    Memory,
    best_links,
    dictionary,
    model1,
    model1_round,
    repaired,
    right_links,
    source_attention,
    town_links,
    word_by_word,
)
from nextword.translation import (
    new_translator,
    sentence_pairs,
    town_pairs,
    word_tokenizer,
)

TOY = [
    ("the house", "das Haus"),
    ("the book", "das Buch"),
    ("a book", "ein Buch"),
]


@pytest.fixture(scope="module")
def town():
    """Pairs of sentences, and their table."""
    pairs = sentence_pairs(town_pairs("training", 300))
    return pairs, model1(pairs, rounds=5)


def split(pairs):
    return [([NULL, *s.split()], t.split(), 1) for s, t in pairs]


def log_likelihood(table, pairs):
    """Log-likelihood of the targets, by (18.5) without its constant factors."""
    return sum(
        math.log(sum(table[e].get(f, 0.0) for e in source) / len(source))
        for source, target, _ in split(pairs)
        for f in target
    )


def by_all_alignments(table, pairs):
    """One round of EM the long way: every alignment of every pair."""
    counts = {e: dict.fromkeys(row, 0.0) for e, row in table.items()}
    for source, target, _ in split(pairs):
        every = list(itertools.product(source, repeat=len(target)))
        weights = [
            math.prod(table[e][f] for e, f in zip(links, target, strict=True))
            for links in every
        ]
        for links, weight in zip(every, weights, strict=True):
            for e, f in zip(links, target, strict=True):
                counts[e][f] += weight / sum(weights)
    return {
        e: {f: n / sum(row.values()) for f, n in row.items()}
        for e, row in counts.items()
    }


def test_a_round_counts_all_alignments():
    """The sum over (S + 1)^T alignments is a product of T short sums."""
    table = model1(TOY, rounds=2)
    expected = by_all_alignments(table, TOY)
    found = model1_round(table, split(TOY))
    for e, row in expected.items():
        assert found[e] == pytest.approx(row)


def test_each_round_makes_the_pairs_likelier():
    values = [log_likelihood(model1(TOY, rounds), TOY) for rounds in range(12)]
    assert all(a < b for a, b in itertools.pairwise(values))


def test_the_toy_is_sorted_out():
    table = model1(TOY, rounds=60)
    for e, f in {
        "the": "das",
        "house": "Haus",
        "a": "ein",
        "book": "Buch",
    }.items():
        assert max(table[e], key=table[e].get) == f


def test_rows_of_the_table_sum_to_one(town):
    _, table = town
    for row in table.values():
        assert sum(row.values()) == pytest.approx(1)


def test_equal_pairs_are_counted_as_often_as_they_come():
    again = model1([*TOY, TOY[0]], rounds=4)
    counted = split(TOY)
    counted[0] = (*counted[0][:2], 2)
    table = model1(TOY, rounds=0)
    for _ in range(4):
        table = model1_round(table, counted)
    for e, row in table.items():
        assert again[e] == pytest.approx(row)


def test_links_are_the_likeliest_source_words():
    table = {"a": {"x": 0.9, "y": 0.1}, "b": {"y": 0.5}, NULL: {"z": 0.7}}
    assert best_links(table, ["a", "b"], ["y", "x", "z"], 0.0) == [1, 0, None]
    assert best_links(table, ["c"], ["x"]) == [None]


def test_of_equal_words_the_one_on_the_diagonal_wins():
    table = {"a": {"x": 1.0}, "b": {"y": 1.0}}
    source, target = ["a", "b", "a"], ["x", "y", "x"]
    assert best_links(table, source, target) == [0, 1, 2]
    assert best_links(table, source, target, 0.0) == [0, 1, 0]


def test_the_town_links_every_name_place_and_thing():
    source = "Ben gave Anna the book . She was at the pond ."
    target = "本 把 那 本 书 给 了 安娜 。 她 在 池塘 。"
    known = town_links(source, target)
    words, parts = source.split(), target.split()
    found = [(parts[j], words[i]) for j, i in sorted(known.items())]
    assert found == [
        ("本", "Ben"),
        ("书", "book"),
        ("安娜", "Anna"),
        ("她", "She"),
        ("池塘", "pond"),
    ]
    assert known[0] == 0 and known[9] == 6


def test_all_texts_of_the_town_have_all_their_links(town):
    pairs, _ = town
    names = {"She", "He"} | alignment.PEOPLE.keys()
    names |= alignment.PLACES.keys() | alignment.THINGS.keys()
    for source, target in pairs:
        wanted = [i for i, word in enumerate(source.split()) if word in names]
        assert sorted(town_links(source, target).values()) == wanted


def test_model_1_finds_the_links_of_sentences(town):
    _, table = town
    shares = [
        right_links(best_links(table, s.split(), t.split()), known)
        for s, t in sentence_pairs(town_pairs("new", 20))
        if (known := town_links(s, t))
    ]
    assert sum(shares) / len(shares) > 0.98


def test_right_links_is_a_share():
    assert right_links([2, None, 0], {0: 2, 1: 1, 2: 0}) == pytest.approx(2 / 3)


def test_the_dictionary_has_the_measure_word_with_its_noun(town):
    pairs, table = town
    words = dictionary(table, pairs)
    assert words["lamp"] == "盏 灯" and words["cup"] == "个 杯子"
    assert words["Anna"] == "安娜"


def test_word_by_word_keeps_the_order_of_the_source():
    words = {"a": "甲", "b": "", "c": "丙 丁"}
    assert word_by_word(words, "c b a unknown") == "丙 丁 甲"


def test_a_repair_changes_what_differs_and_nothing_else():
    words = {"lamp": "盏 灯", "Ben": "本"}
    old, target = (
        ["Anna", "wanted", "cup"],
        ["安娜", "想要", "那", "个", "杯子"],
    )
    links = [0, 1, None, 2, 2]
    new = ["Ben", "wanted", "lamp"]
    assert repaired(old, target, links, old, words) == " ".join(target)
    assert repaired(old, target, links, new, words) == "本 想要 那 盏 灯"
    gone = ["Ben", "wanted", "unknown"]
    assert repaired(old, target, links, gone, words) == "本 想要 那"


def test_the_memory_knows_what_it_has_seen(town):
    pairs, table = town
    memory = Memory(pairs, table)
    known = dict(pairs)
    for source in list(known)[:100]:
        assert memory.translate(source) == known[source]


def test_the_memory_repairs_what_is_nearly_known(town):
    pairs, table = town
    known = {source for source, _ in pairs}
    memory = Memory(pairs, table)
    new = [
        (s, t)
        for s, t in sentence_pairs(town_pairs("new", 150))
        if s not in known
    ]
    right = sum(memory.translate(s) == t for s, t in new)
    words = sum(word_by_word(memory.words, s) == t for s, t in new)
    assert len(new) > 100 and right > 0.8 * len(new) > words


def test_without_a_sentence_of_this_length_it_goes_word_by_word(town):
    pairs, table = town
    memory = Memory(pairs, table)
    text = "Anna and Ben and Clara and David and Emma and Felix"
    said = "安娜 本 克拉拉 大卫 艾玛 费利克斯"
    assert memory.translate(text) == said


def test_cross_attention_is_what_the_model_uses():
    """Its weights, times the values, give what the layer gave."""
    pairs = town_pairs("new", 2)
    translator = new_translator(word_tokenizer(pairs), d_model=32, dropout=0.5)
    source, target = pairs[0]
    A = source_attention(translator, source, target)
    S, T = len(source.split()), len(target.split()) + 1
    assert A.shape == (2, 4, T, S)
    torch.testing.assert_close(A.sum(-1), torch.ones(2, 4, T))
    assert translator.model.training, "the mode is as it was"

    module = translator.model.decoder.layers[1].cross_attention
    caught = []
    hook = module.register_forward_hook(lambda *x: caught.append(x[1:]))
    batch = translator.batch([pairs[0]])
    with torch.no_grad():
        translator.model.eval()(batch.source, batch.target_in)
    hook.remove()
    (_, memory, *_), out = caught[0]
    with torch.no_grad():
        v = module.v_proj(memory).view(S, 4, 8).transpose(0, 1)  # (H, S, D)
        mixed = (A[1] @ v).transpose(0, 1).reshape(T, 32)
        torch.testing.assert_close(module.out_proj(mixed), out[0])
