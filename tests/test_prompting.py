"""Hidden mappings: kinds that do not mix, and an exact answer found by counting."""

import itertools
import math
import random

import pytest

from nextword.losses import IGNORE
from nextword.prompting import (
    RULES,
    N,
    PromptBatches,
    bayes,
    copied,
    draw_mapping,
    few_shot,
    hit,
    mirror,
    prompt_batch,
    prompt_ids,
    shift,
)

OLD_RULES, NEW_RULES = RULES["old rule"], RULES["new rule"]
EVERY = (*OLD_RULES, *NEW_RULES)
KINDS = ("old rule", "new rule", "old free", "new free")


def test_rules_by_hand():
    assert shift(2) == (2, 3, 4, 5, 6, 7, 0, 1)
    assert mirror(2) == (2, 1, 0, 7, 6, 5, 4, 3)
    every = [way(a) for way in (shift, mirror) for a in range(N)]
    assert len(EVERY) == len(set(EVERY)) == 2 * N
    assert set(EVERY) == set(every) and len(NEW_RULES) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_mapping_is_what_it_says(kind):
    rng = random.Random(0)
    for _ in range(200):
        mapping = draw_mapping(kind, rng)
        assert sorted(mapping) == list(range(N))
        assert (mapping in EVERY) == kind.endswith("rule")
        if kind.endswith("rule"):
            assert (mapping in NEW_RULES) == kind.startswith("new")


def test_old_and_new_free_mappings_do_not_mix():
    rng = random.Random(1)
    old = {draw_mapping("old free", rng) for _ in range(4000)}
    new = {draw_mapping("new free", rng) for _ in range(4000)}
    assert len(old) > 3500 and len(new) > 2500 and not old & new


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'free' is no kind of mapping"):
        draw_mapping("free", random.Random(0))


def test_a_prompt_by_hand():
    assert prompt_ids(shift(1), [0, 7, 0]) == [0, 9, 7, 8, 0, 9]
    batch = prompt_batch([[0, 9, 7, 8], [3, 12, 3, 12]])
    assert batch.ids.tolist() == [[0, 9, 7], [3, 12, 3]]
    assert batch.targets.tolist() == [[9, IGNORE, 8], [12, IGNORE, 12]]


NEW_FREE = {draw_mapping("new free", random.Random(n)) for n in range(20_000)}


def test_training_shows_no_new_mapping():
    """Each row is read back: where all letters came, the mapping is known."""
    rows, rules = 0, 0
    for step in range(40):
        ids, targets = PromptBatches(16, 40, seed=3)(step)
        for row, answers in zip(ids.tolist(), targets.tolist(), strict=True):
            found = dict(zip(row[::2], answers[::2], strict=True))
            if len(found) == N:
                mapping = tuple(found[x] - N for x in range(N))
                assert mapping not in NEW_RULES
                assert mapping in OLD_RULES or mapping not in NEW_FREE
                rows += 1
                rules += mapping in OLD_RULES
    assert rows > 500 and 0.4 < rules / rows < 0.6


def test_batches_are_functions_of_seed_and_step():
    one, two = PromptBatches(4, 6, 1), PromptBatches(4, 6, 2)
    assert one(3).ids.equal(PromptBatches(4, 6, 1)(3).ids)
    assert not one(3).ids.equal(one(4).ids)
    assert not one(3).ids.equal(two(3).ids)


def test_few_mappings_come_again():
    batches = PromptBatches(8, 2, 0, number=3)
    rng = random.Random(0)
    free = [m for m in map(batches.mapping, [rng] * 300) if m not in OLD_RULES]
    assert len(set(free)) == 3


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, 3, 0, -1)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes of 1 or more"):
        PromptBatches(*sizes)


def counted(pairs, letter, rules, share):
    """The posterior by brute force over every single mapping."""
    weights = [0.0] * N
    free = (1 - share) / math.factorial(N)
    prior = [(m, free) for m in itertools.permutations(range(N))]
    prior += [(m, share / len(rules)) for m in rules]
    for mapping, p in prior:
        if all(mapping[x] == y for x, y in pairs):
            weights[mapping[letter]] += p
    return [w / sum(weights) for w in weights]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 9])
def test_bayes_is_a_count_over_all_mappings(number):
    rng = random.Random(number)
    kind = "old rule" if number % 2 else "old free"
    mapping = draw_mapping(kind, rng)
    letters = rng.choices(range(N), k=number + 1)
    pairs = [(x, mapping[x]) for x in letters[:-1]]
    for share in (0.5, 0.2):
        exact = bayes(pairs, letters[-1], OLD_RULES, share)
        brute = counted(pairs, letters[-1], OLD_RULES, share)
        assert all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
            for a, b in zip(exact, brute, strict=True)
        )


def test_bayes_without_rules_copies_and_excludes():
    answer = bayes([(0, 3), (1, 5)], 2, share=0.0)
    assert answer[3] == answer[5] == 0
    assert {round(p, 9) for y, p in enumerate(answer) if y not in (3, 5)} == {
        round(1 / 6, 9)
    }
    assert bayes([(0, 3), (1, 5)], 1, share=0.0)[5] == 1


@pytest.mark.parametrize("pairs", [[(0, 1), (0, 2)], [(0, 1), (2, 1)]])
def test_impossible_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match="No mapping has these pairs"):
        bayes(pairs, 3)


def test_copying_and_hits_by_hand():
    assert copied([(0, 3)], 0) == [0, 0, 0, 1, 0, 0, 0, 0]
    assert copied([(0, 3)], 1) == [1 / 8] * 8
    assert hit([0.5, 0.5, 0.0], 1) == 0.5
    assert hit([0.6, 0.4, 0.0], 1) == 0
    assert hit([0.1, 0.9, 0.0], 1) == 1


def test_a_few_shot_prompt_by_hand():
    pairs = [("Anna", "She"), ("Ben", "He")]
    assert few_shot(pairs, "Iris") == [
        *("Anna", "She", ".", "Ben", "He", ".", "Iris")
    ]
    assert few_shot([], "Who ?", "|") == ["Who", "?"]
