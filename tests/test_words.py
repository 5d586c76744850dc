"""Words as tokens: round trips, files, bad input; the town's whole vocabulary."""

import hashlib
import json
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextword.gaps import WITH_RECAPS
from nextword.tokenizer import CharacterTokenizer
from nextword.town import TownConfig, make_story, questions
from nextword.words import (
    CLS,
    END,
    MASK,
    PAD,
    SEP,
    SPECIAL,
    WordTokenizer,
    town_tokenizer,
)

SMALL = WordTokenizer(["[PAD]", "to", "be", "or", "not", "être", "今天", "."])
WORD = st.text(
    st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1
).filter(lambda word: len(word.split()) == 1)
UNSAID = {"and"}  # a word that the town has but never says


def test_ids_are_the_places_of_the_words():
    assert SMALL.vocab_size == 8
    assert SMALL.encode("to be or not to be .") == [1, 2, 3, 4, 1, 2, 7]
    assert SMALL.decode([5, 6, 0]) == "être 今天 [PAD]"


@given(st.lists(WORD, min_size=1, unique=True), st.data())
def test_decoding_gives_the_words_back(words, data):
    tokenizer = WordTokenizer(words)
    said = data.draw(st.lists(st.sampled_from(words)))
    ids = tokenizer.encode(" ".join(said))
    assert [words[id] for id in ids] == said
    assert tokenizer.decode(ids) == " ".join(said)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


@given(st.lists(st.integers(0, 7)))
def test_encoding_gives_the_ids_back(ids):
    assert SMALL.encode(SMALL.decode(ids)) == ids
    assert SMALL.decode(iter(ids)) == SMALL.decode(torch.tensor(ids).long())


def test_any_white_space_parts_words():
    assert SMALL.encode("  to\tbe\n\nor \r\n not ") == [1, 2, 3, 4]
    assert SMALL.encode(" \n") == SMALL.encode("") == []
    assert SMALL.decode([]) == ""


@pytest.mark.parametrize("word", ["To", "be.", "etre", "[pad]", "{0}", "%s"])
def test_an_unknown_word_is_named_with_a_remedy(word):
    with pytest.raises(ValueError, match="is not one of the 8 words") as error:
        SMALL.encode(f"to be or {word} not Zeus")
    assert repr(word) in str(error.value)
    assert "Zeus" not in str(error.value)  # the first one is enough
    assert "spaces around . and ?" in str(error.value)


@pytest.mark.parametrize("id", [8, 9, -1, -8, -100, 10**12])
def test_an_id_outside_the_vocabulary_is_refused(id):
    with pytest.raises(ValueError, match=f"Id {id} is not in this vocabulary"):
        SMALL.decode([1, id])


@pytest.mark.parametrize(
    "words",
    [[], (), [""], ["a", "a"], ["a b"], ["a", " "], ["a "], ["a", "b\n"]],
)
def test_words_that_cannot_be_told_apart_in_a_text_are_refused(words):
    with pytest.raises(ValueError, match=r"without spaces, each .* once"):
        WordTokenizer(words)


def test_tokenizers_are_values():
    copy = pickle.loads(pickle.dumps(SMALL))
    assert copy == SMALL and hash(copy) == hash(SMALL)
    assert copy.encode("to be") == [1, 2]
    assert WordTokenizer(("a", "b")) == WordTokenizer(["a", "b"])
    assert WordTokenizer(["a", "b"]) != WordTokenizer(["b", "a"])
    with pytest.raises(AttributeError):
        SMALL.words = ("to",)


def test_the_list_that_it_was_made_from_may_change():
    words = ["a", "b"]
    tokenizer = WordTokenizer(words)
    words.reverse()
    assert tokenizer.decode([0, 1]) == "a b"
    assert tokenizer.encode("a b") == [0, 1]
    with pytest.raises(TypeError):
        tokenizer.words[0] = "c"


# Files


@pytest.mark.parametrize("tokenizer", [SMALL, town_tokenizer()])
def test_saved_and_loaded_tokenizers_are_equal(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "t.json")
    loaded = WordTokenizer.load(str(tmp_path / "t.json"))
    assert loaded == tokenizer and hash(loaded) == hash(tokenizer)
    assert loaded.ids == tokenizer.ids
    assert loaded.vocab_size == tokenizer.vocab_size
    ids = list(range(tokenizer.vocab_size))
    assert loaded.encode(tokenizer.decode(ids)) == ids
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]
    before = (tmp_path / "t.json").read_bytes()
    loaded.save(tmp_path / "t.json")
    assert (tmp_path / "t.json").read_bytes() == before


def test_every_truncated_file_is_refused(tmp_path):
    path = tmp_path / "t.json"
    SMALL.save(path)
    whole = path.read_bytes()
    for size in range(len(whole) - 1):  # the last byte ends the line
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"t\.json is not an intact"):
            WordTokenizer.load(path)


def test_every_changed_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "t.json"
    SMALL.save(path)
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        for byte in (0, 255, whole[place] ^ 1, whole[place] ^ 2):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                assert WordTokenizer.load(path) == SMALL  # white space
            except ValueError as error:
                assert str(path) in str(error) and "again" in str(error)
                refused += 1
    assert refused > 0.9 * 4 * len(whole)


def test_words_in_another_order_are_an_altered_file(tmp_path):
    path = tmp_path / "t.json"
    SMALL.save(path)
    stored = json.loads(path.read_text("utf-8"))
    stored["content"]["words"].reverse()
    path.write_text(json.dumps(stored), "utf-8")
    with pytest.raises(ValueError, match="its content was altered"):
        WordTokenizer.load(path)


def test_one_kind_does_not_load_the_other(tmp_path):
    CharacterTokenizer("abc").save(tmp_path / "c.json")
    with pytest.raises(ValueError, match="it holds a CharacterTokenizer"):
        WordTokenizer.load(tmp_path / "c.json")
    SMALL.save(tmp_path / "w.json")
    with pytest.raises(ValueError, match="it holds a WordTokenizer"):
        CharacterTokenizer.load(tmp_path / "w.json")


# The town


def test_the_special_signs_come_first_then_the_words_in_order():
    tokenizer = town_tokenizer()
    assert SPECIAL == (PAD, END, CLS, SEP, MASK)
    assert tokenizer.words[:5] == SPECIAL
    assert list(tokenizer.words[5:]) == sorted(tokenizer.words[5:])
    assert not any(word.startswith("[") for word in tokenizer.words[5:])
    assert town_tokenizer() is tokenizer  # made once


def test_the_ids_that_trained_models_know_never_change():
    words = " ".join(town_tokenizer().words)
    assert town_tokenizer().vocab_size == 92
    assert hashlib.sha256(words.encode()).hexdigest().startswith("b87eb85330d2")


def test_the_town_says_every_word_of_its_vocabulary_and_no_other():
    """Stories, recaps, questions and answers of 4,000 seeds."""
    tokenizer = town_tokenizer()
    wide = TownConfig(people=5, things=5, max_events=12, recaps=6)
    said = set()
    for seed in range(4_000):
        story = make_story(seed, wide if seed % 8 == 0 else WITH_RECAPS)
        said.update(tokenizer.encode(" ".join(story.tokens)))
        for question in questions(story):
            said.update(tokenizer.encode(question.text))
            (answer,) = tokenizer.encode(question.answer)  # one word
            said.add(answer)
    unsaid = set(range(92)) - said
    assert {tokenizer.words[id] for id in unsaid} == {*SPECIAL} | UNSAID


def test_stories_are_words_as_the_tokenizer_cuts_them():
    tokenizer = town_tokenizer()
    for seed in range(200):
        tokens = make_story(seed, WITH_RECAPS).tokens
        ids = tokenizer.encode(" ".join(tokens))
        assert [tokenizer.words[id] for id in ids] == tokens
        assert tokenizer.decode(ids) == " ".join(tokens)
