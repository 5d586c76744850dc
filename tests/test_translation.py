"""Pairs that hold out what they promise, and a model that learns from them."""

import itertools
import json
import random
import re

import pytest
import torch

from benchmarks import record
from benchmarks import translation as benchmark
from nextword import translation
from nextword.alignment import town_links
from nextword.batches import PairBatches
from nextword.losses import IGNORE
from nextword.records import read_record
from nextword.stories import SHORT
from nextword.tokenizer import train_tokenizer
from nextword.town import Event, make_story
from nextword.town_chinese import chinese
from nextword.town_words import PEOPLE, THINGS
from nextword.translation import (
    RELATIONS,
    SPLITS,
    UNUSED,
    USING,
    beam_translations,
    by_sentence,
    nested_pair,
    nested_pairs,
    new_translator,
    novelty,
    read_pairs,
    right_sentences,
    sentence_pairs,
    sentences,
    town_pairs,
    train_translator,
    translations,
    without_spaces,
    word_tokenizer,
)

NUMBER = 60


@pytest.fixture(scope="module")
def splits():
    return {split: town_pairs(split, NUMBER) for split in SPLITS}


@pytest.fixture(scope="module")
def learned():
    """A model that has learned a few sentences by heart, and its pairs."""
    pairs = sorted(set(sentence_pairs(town_pairs("training", 3))))
    translator = new_translator(word_tokenizer(pairs), d_model=32)
    train_translator(translator, pairs, 150, batch_size=len(pairs))
    return translator, pairs


def uses(text):
    """Person or pronoun, verb and thing where somebody uses a thing.

    Read off the English text, without the simulator.
    """
    names, verbs = "|".join(PEOPLE), "|".join(USING)
    who = rf"(?P<who>{names}|She|He) (?P<verb>{verbs})"
    pattern = rf"^{who}.* the (?P<thing>{'|'.join(THINGS)})\b"
    return [
        m.group("who", "verb", "thing")
        for m in re.finditer(pattern, cut(text), re.M)
    ]


def cut(text):
    return text.replace(" . ", " .\n")


def test_a_pair_is_one_story_in_two_languages(splits):
    known = {" ".join(make_story(n, SHORT).tokens): n for n in range(200)}
    for english, other in splits["new"]:
        story = make_story(known[english], SHORT)
        assert other == " ".join(chinese(story))


def test_training_never_uses_the_unused_things(splits):
    for split, pairs in splits.items():
        used = {thing for english, _ in pairs for *_, thing in uses(english)}
        assert bool(used & set(UNUSED)) == (split == "role")


def test_the_unused_things_are_seen_in_training(splits):
    text = " ".join(english for english, _ in splits["training"])
    assert all(f"a {thing} at" in text for thing in UNUSED)


def held_out_by_hand(who, verb, thing):
    """The two rules in other words."""
    people, things = list(PEOPLE), list(THINGS)
    if things.index(thing) % 4 == -USING.index(verb) % 4:
        return "pair"
    if who not in PEOPLE:
        return ""
    number = people.index(who) + USING.index(verb) + things.index(thing)
    return "triple" if number in range(0, 40, 5) else ""


def test_each_split_has_its_own_novelty_and_no_other(splits):
    for split, pairs in splits.items():
        for english, _ in pairs:
            found = {
                "role" if u[2] in UNUSED else held_out_by_hand(*u)
                for u in uses(english)
            }
            assert found - {""} == {split} & {"triple", "pair", "role"}


def test_what_is_held_out_is_known_in_its_parts():
    """Each verb has most things, each person most verbs and things."""
    used = set(THINGS) - set(UNUSED)
    known = [
        (who, verb, thing)
        for who, verb, thing in itertools.product(PEOPLE, USING, used)
        if not novelty(Event(verb, who, True, thing))
    ]
    for verb in USING:
        assert 9 <= len({t for _, v, t in known if v == verb}) < len(used)
    for who in PEOPLE:
        assert {v for w, v, _ in known if w == who} == set(USING)
        assert {t for w, _, t in known if w == who} == used
    triples = [
        novelty(Event(verb, who, True, thing))
        for who, verb, thing in itertools.product(PEOPLE, USING, used)
    ]
    share = triples.count("triple") / (len(triples) - triples.count("pair"))
    assert 0.15 < share < 0.25


def test_a_pronoun_makes_no_triple():
    events = [
        Event("took", who, False, thing)
        for who, thing in itertools.product(PEOPLE, THINGS)
    ]
    assert {novelty(event) for event in events} == {"", "pair", "role"}


def test_only_the_longer_stories_are_longer(splits):
    lengths = {
        split: {len(sentences(english)) for english, _ in pairs}
        for split, pairs in splits.items()
    }
    assert min(lengths.pop("longer")) == 4 + 8 + 1
    assert all(n <= 4 + 6 + 1 for found in lengths.values() for n in found)


def test_pairs_are_always_the_same_and_splits_share_none(splits):
    assert town_pairs("pair", 5) == splits["pair"][:5]
    assert town_pairs("training", 5, seed=1) != splits["training"][:5]
    for a, b in itertools.combinations(splits.values(), 2):
        assert not set(a) & set(b)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="There is no split 'test'"):
        town_pairs("test", 1)


def test_sentences_are_cut_at_full_stops():
    assert sentences("a b . c .") == ["a b .", "c ."]
    assert sentences("甲 。 乙 丙 。") == ["甲 。", "乙 丙 。"]
    assert sentences("no stop") == ["no stop"]
    assert sentences("") == []


def test_sentences_of_a_story_pair_up(splits):
    for split, pairs in splits.items():
        cut = sentence_pairs(pairs)
        assert " ".join(s for s, _ in cut) == " ".join(s for s, _ in pairs)
        assert " ".join(t for _, t in cut) == " ".join(t for _, t in pairs)
        assert len(cut) >= 7 * NUMBER, split


def test_sentences_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match=r"2 sentences face 1: 'a \. b \.'"):
        sentence_pairs([("a . b .", "甲 。")])


def test_by_sentence_joins_what_it_cut():
    asked = []

    def shout(texts):
        asked.extend(texts)
        return [text.upper() for text in texts]

    assert by_sentence(shout, ["a . b .", "b . c ."]) == ["A . B .", "B . C ."]
    assert asked == ["a .", "b .", "c ."], "each sentence once"


def test_right_sentences_stand_at_their_place():
    said = ["甲 。 乙 。 丙 。", "甲 。", "乙 。 甲 。 丁 。"]
    wanted = ["甲 。 丁 。 丙 。", "甲 。 乙 。", "甲 。 乙 。"]
    assert right_sentences(said, wanted) == pytest.approx(3 / 7)
    assert right_sentences(wanted, wanted) == 1.0


def test_chinese_is_written_without_spaces():
    assert without_spaces(["本 在 厨房 。", "甲"]) == ["本在厨房。", "甲"]


@pytest.mark.parametrize("depth", range(4))
def test_a_nested_pair_turns_the_order_round(depth):
    english, other = nested_pair(random.Random(depth), depth)
    words = english.split(" of ")
    assert len(words) == depth + 2
    inner = [word.removeprefix("the ") for word in words[1:-1]]
    parts = other.removesuffix(" 。").split(" 有 ")[1].split(" 的 ")
    assert [RELATIONS[word] for word in inner] == parts[1:-1][::-1]
    assert parts[0] == PEOPLE[words[-1].removesuffix(" .")].chinese
    thing = english.split(" has the ")[1].split()[0]
    assert parts[-1] == THINGS[thing].chinese


def test_nested_pairs_have_the_depths_asked_for():
    pairs = nested_pairs([1, 3], 200, seed=4)
    depths = [english.count(" of ") - 1 for english, _ in pairs]
    assert set(depths) == {1, 3} and 60 < depths.count(1) < 140
    assert nested_pairs([1, 3], 200, seed=4) == pairs
    assert nested_pairs([1, 3], 200, seed=5) != pairs


def test_the_three_signs_are_no_words(learned):
    translator, pairs = learned
    V = translator.tokenizer.vocab_size
    assert sorted(translator.signs.values()) == [V, V + 1, V + 2]
    assert translator.model.config.vocab_size == V + 3
    batch = translator.batch(pairs[:2])
    assert batch.target_in[:, 0].tolist() == [V + 1] * 2
    assert (batch.target_out == V + 2).sum() == 2
    assert set(batch.target_out[batch.target_out >= V].tolist()) == {V + 2}
    assert int((batch.target_out == IGNORE).sum()) == abs(
        len(pairs[0][1].split()) - len(pairs[1][1].split())
    )
    assert (
        translator.decode([V, V + 1, 0, V + 2]) == translator.tokenizer.words[0]
    )


def test_a_small_model_learns_pairs_by_heart(learned):
    translator, pairs = learned
    sources, targets = zip(*pairs, strict=True)
    assert translations(translator, sources) == list(targets)


def test_a_text_alone_is_translated_as_in_a_batch(learned):
    translator, pairs = learned
    # Text that the model was not trained on, of different lengths: it may say
    # anything, but the same, however the texts are put together.
    texts = [" ".join(text.split()[n:]) for text, _ in pairs for n in (1, 2)]
    texts += [f"{a} {b}" for (a, _), (b, _) in itertools.pairwise(pairs)]
    alone = [translations(translator, [text])[0] for text in texts]
    assert translations(translator, texts, rows=7) == alone
    assert len(set(alone)) > 10


def test_a_beam_of_one_is_greedy(learned):
    translator, pairs = learned
    texts = [f"{a} {b}" for (a, _), (b, _) in itertools.pairwise(pairs[:9])]
    greedy = translations(translator, texts)
    for text, said in zip(texts, greedy, strict=True):
        [(found, hypothesis)] = beam_translations(translator, text, 1, 0.0)
        assert found == said
        assert hypothesis.log_p <= 0


def test_the_log_probability_of_a_beam_is_the_models(learned):
    translator, pairs = learned
    text = f"{pairs[0][0]} {pairs[1][0]}"
    end = translator.signs["end_id"]
    found = beam_translations(translator, text, 3)
    ended = [(said, h) for said, h in found if h.ids[-1] == end]
    assert len(found) == 3 and ended
    for said, hypothesis in ended:
        batch = translator.batch([(text, said)])
        with torch.no_grad():
            logits = translator.model(batch.source, batch.target_in, batch.real)
        log_p = logits.log_softmax(-1)[0]
        own = log_p[range(len(log_p)), batch.target_out[0]].sum().item()
        assert hypothesis.log_p == pytest.approx(own, abs=1e-3)


def test_the_same_seed_trains_the_same_model():
    pairs = nested_pairs([0, 1], 40)
    runs = [
        train_translator(
            new_translator(word_tokenizer(pairs), seed, d_model=16),
            pairs,
            steps=5,
            batch_size=8,
            seed=seed,
        ).losses
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_training_reads_every_pair_once_an_epoch():
    pairs = nested_pairs([1], 30, seed=2)
    translator = new_translator(word_tokenizer(pairs), d_model=16)
    history = train_translator(translator, pairs, steps=3, batch_size=10)
    targets = sum(len(target.split()) + 1 for _, target in pairs)
    assert sum(history.targets) == targets


def test_a_file_of_pairs_trains_the_same_way(tmp_path):
    """Real text: any characters, a byte-level tokenizer, uneven lengths."""
    lines = ["Hi!\t你好！\tCC-BY 2.0", "I'm cold.\t我冷。", "Où ça?\t在哪兒？"]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = read_pairs(path)
    assert pairs[0] == ("Hi!", "你好！") and len(pairs) == 3
    text = "\n".join(side for pair in pairs for side in pair)
    translator = new_translator(train_tokenizer(text, 270), d_model=32)
    train_translator(translator, pairs, steps=120, batch_size=3)
    sources, targets = zip(*pairs, strict=True)
    assert translations(translator, sources) == list(targets)


@pytest.mark.parametrize("line", ["no tab", "\t你好", "Hi\t", ""])
def test_a_line_that_is_no_pair_is_named(tmp_path, line):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"Hi\t你好\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 2 of .*pairs\.tsv is no pair"):
        read_pairs(path)


def test_no_translation_is_longer_than_its_source_allows():
    pairs = nested_pairs([0], 20)
    translator = new_translator(word_tokenizer(pairs), context_length=24)
    with torch.no_grad():  # a model that never ends
        translator.model.lm_head.weight[translator.signs["end_id"]] = 0
        translator.model.decoder.norm.bias.fill_(1.0)
        translator.model.lm_head.weight[0] = 5.0
    source = translator.tokenizer.encode(pairs[0][0])
    assert translation.longest_answer(translator, source) == 23
    assert translation.longest_answer(translator, source[:3]) == 16
    said = translations(translator, [pairs[0][0], "Anna has the"])
    assert [len(text.split()) for text in said] == [23, 16]


def test_word_tokenizer_has_the_words_of_both_sides():
    tokenizer = word_tokenizer([("a b", "甲 乙"), ("b c", "乙")])
    assert set(tokenizer.words) == {"a", "b", "c", "甲", "乙"}


def test_batches_hold_ids_of_the_tokenizer():
    pairs = nested_pairs([1], 5)
    translator = new_translator(word_tokenizer(pairs))
    batches = PairBatches(translator.encode(pairs), 5, **translator.signs)
    assert int(batches(0).source.max()) <= translator.signs["pad_id"]


def rows(task, **wanted):
    """The rows of the record of one task, with these values."""
    return [
        row
        for row in read_record("translation")["rows"]
        if row["task"] == task
        and all(row[key] == value for key, value in wanted.items())
    ]


def test_the_record_is_the_one_that_the_benchmark_wrote():
    written = record.RESULTS / "translation.json"
    content = json.loads(written.read_text(encoding="utf-8"))
    assert read_record("translation") == content
    assert content["command"] == "python -m benchmarks.translation"
    packages = content["machine"]["packages"]
    assert packages.keys() == {"torch", "sacrebleu"} and content["notes"]


def test_the_record_has_every_part_and_five_seeds():
    found = read_record("translation")["rows"]
    cells = [(row["seed"], row["part"]) for row in found]
    grid = [(seed, part) for seed in range(5) for part in benchmark.PARTS]
    assert list(dict.fromkeys(cells)) == grid, "in order, and none is missing"
    for split in SPLITS[1:]:
        methods = [row["method"] for row in rows("town", split=split)]
        assert sorted(methods) == sorted(
            5 * ["dictionary", "memory", "whole stories", "sentences"]
        )
    for name in ("Model 1", "Model 1, diagonal", "layer 1", "layer 2"):
        for unit in ("sentences", "stories"):
            assert len(rows("alignment", method=name, unit=unit)) == 5
    for row in found:
        if row["task"] == "alignment":
            assert 0 < row["right"] <= 1 and row["links"] > 3_000
        else:
            assert 0 <= row["exact"] <= 1
            assert 0 <= row["bleu"] <= 100 and 0 <= row["chrf"] <= 100


def test_the_texts_of_the_record_are_those_of_today():
    """The memory needs no training: its rows can be made again."""
    pairs = sentence_pairs(town_pairs("training", benchmark.STORIES, seed=0))
    known, _ = benchmark.memory(pairs)
    sources, references = zip(*town_pairs("pair", 200), strict=True)
    said = by_sentence(benchmark.by_memory(known), sources)
    [row] = rows("town", seed=0, method="memory", split="pair")
    assert benchmark.scores(said, references).items() <= row.items()


def test_an_interrupted_benchmark_goes_on(tmp_path, monkeypatch):
    made = []

    def part(seed):
        made.append(seed)
        if len(made) == 3:
            raise KeyboardInterrupt
        return [{"task": "town", "exact": 0.5}, {"task": "town", "exact": 1.0}]

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "COPIES", tmp_path / "copies")
    monkeypatch.setattr(benchmark, "PARTS", {"one": part})
    with pytest.raises(KeyboardInterrupt):
        benchmark.main()
    benchmark.main()
    assert made == [0, 1, 2, 2, 3, 4]
    copy = (tmp_path / "copies" / "translation.json").read_text(
        encoding="utf-8"
    )
    assert copy == (tmp_path / "translation.json").read_text(encoding="utf-8")
    seeds = [row["seed"] for row in json.loads(copy)["rows"]]
    assert seeds == [seed for seed in range(5) for _ in range(2)]


def test_the_benchmark_links_words_as_the_library_does():
    """A model that looks at the right places gets them all."""
    pairs = sentence_pairs(town_pairs("new", 3))

    def links(source, target):
        known = town_links(source, target)
        return [known.get(j) for j in range(len(target.split()))]

    row = benchmark.aligned("truth", "sentences", links, pairs)
    assert row["right"] == 1.0
    assert row["links"] == sum(len(town_links(s, t)) for s, t in pairs)
    nothing = benchmark.aligned(
        "none", "sentences", lambda s, t: [None] * 99, pairs
    )
    assert nothing["right"] == 0.0
