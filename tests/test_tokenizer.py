"""The tokenizers: against Hugging Face, by their properties, on bad input."""

import itertools
import json
import multiprocessing
import pickle
import platform
import random
import statistics
import sys
import time
import unicodedata
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import tokenizers as hugging_face
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from benchmarks import record
from nextword import tokenizer as tk
from nextword.tokenizer import CharacterTokenizer, Tokenizer, train_tokenizer

MANUAL = "\n\n".join(topics[name] for name in sorted(topics))
MIXED = (
    "Die Straße ist naß – “schön”, nicht wahr? Ça coûte 12,50 €.\n"
    "今天的天气很好,我们去公园散步。数字是12345。\n"
    "Сегодня хорошая погода. هذا كتاب جديد\tשלום עולם\n\n"
    "🙂🙂👩‍👩‍👧 e\u0301 a\u0300 ½ ²³ Ⅷ ๑๒ हिन्दी  trailing   \n"
    "def f(x):\n    return x**2  # I'll, we've, DON'T\r\n\u3000\xa0\x85end"
) * 3
CORPORA = {"manual": MANUAL, "mixed": MIXED, "code": json.dumps(topics)[:50000]}
ANY_TEXT = st.text()  # no surrogates, but everything else
# Characters that this Python's Unicode tables know. A younger one may be a
# letter to `regex` already and nothing yet to Hugging Face.
ASSIGNED_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]))
FEW_LETTERS = st.text("ab ", max_size=60)


def peer(text, vocab_size, special=()):
    """Hugging Face's byte-level BPE, trained on the same text in GPT-2's way."""
    theirs = hugging_face.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([text], trainer)
    theirs.add_special_tokens(list(special))
    return theirs


def peer_merges(theirs):
    vocabulary = theirs.get_vocab()
    merges = json.loads(theirs.to_str())["model"]["merges"]
    return [(vocabulary[left], vocabulary[right]) for left, right in merges]


def train_by_recounting(words, n_merges):
    """The definition of BPE, without any cleverness."""
    merges = []
    while len(merges) < n_merges and (counts := tk.count_pairs(words)):
        pair = min(counts, key=lambda p: (-counts[p], p))
        new_id = 256 + len(merges)
        words = {tk.merge_pair(w, pair, new_id): n for w, n in words.items()}
        merges.append(pair)
    return merges


def encode_by_rounds(ids, ranks):
    """Look for the pair of lowest rank again and again."""
    while pairs := [p for p in itertools.pairwise(ids) if p in ranks]:
        pair = min(pairs, key=ranks.get)
        ids = tk.merge_pair(ids, pair, 256 + ranks[pair])
    return list(ids)


@pytest.fixture(scope="module")
def manual():
    return train_tokenizer(MANUAL, 1500, ("<|endoftext|>", "<|end|>"))


# Against Hugging Face


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("vocab_size", [256, 257, 400, 2000, 6000])
def test_merges_and_ids_are_hugging_faces(corpus, vocab_size):
    text = CORPORA[corpus]
    theirs = peer(text, vocab_size)
    ours = train_tokenizer(text, vocab_size)
    assert list(ours.merges) == peer_merges(theirs)
    assert ours.vocab_size == theirs.get_vocab_size()
    for other in (text[:100000], MIXED, "".join(reversed(MIXED))):
        ids = ours.encode(other)
        assert ids == theirs.encode(other).ids
        assert ours.decode(ids) == theirs.decode(ids) == other


@settings(max_examples=150, deadline=None)
@given(
    FEW_LETTERS | ASSIGNED_TEXT,
    st.integers(0, 40),
    FEW_LETTERS | ASSIGNED_TEXT,
)
def test_merges_and_ids_are_hugging_faces_on_any_text(text, extra, other):
    theirs = peer(text, 256 + extra)
    ours = train_tokenizer(text, 256 + extra)
    assert list(ours.merges) == peer_merges(theirs)
    for sample in (text, other, text + other):
        assert ours.encode(sample) == theirs.encode(sample).ids


def test_every_byte_has_the_id_that_hugging_face_gives_it():
    vocabulary = peer("", 256).get_vocab()
    by_byte = {"A": "A", " ": "Ġ", "\n": "Ċ", "\x00": "Ā", "\x7f": "ġ"}
    for character, sign in by_byte.items():
        assert tk.byte_ids(character) == (vocabulary[sign],)
    assert sorted(tk.BYTE_ORDER) == list(range(256))
    assert tk.byte_ids("!~") == (0, 93)


def test_special_tokens_are_hugging_faces(manual):
    theirs = peer(MANUAL, 1500, manual.special_tokens)
    text = "One.<|endoftext|><|end|>two <|endoftext|>\n<|endof<|end|>text|>"
    ids = manual.encode(text, manual.special_tokens)
    assert ids == theirs.encode(text).ids
    assert manual.vocab_size == theirs.get_vocab_size() == 1500
    assert manual.encode("<|endoftext|>", ("<|endoftext|>",)) == [1498]


def test_pieces_of_every_character_are_hugging_faces():
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) not in ("Cn", "Co", "Cs"):
            text = f"a{character}1"
            spans = [span for _, span in theirs.pre_tokenize_str(text)]
            pieces = [text[start:end] for start, end in spans]
            assert pieces == list(tk.split_text(text)), ascii(character)


# Properties


@given(ANY_TEXT)
def test_round_trip_of_any_text(text):
    assert "".join(tk.split_text(text)) == text
    tokenizer = round_tripper()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) <= len(text.encode("utf-8"))
    ids = tokenizer.encode(text, tokenizer.special_tokens)
    assert tokenizer.decode(ids) == text


def round_tripper(known=[]):  # noqa: B006
    if not known:
        known.append(train_tokenizer(MIXED, 400, ("<|end|>", "a")))
    return known[0]


@given(st.lists(st.integers(0, 399)))
def test_any_ids_decode_to_their_bytes(ids):
    tokenizer = round_tripper()
    text = b"".join(tokenizer.token_bytes[id] for id in ids)
    assert tokenizer.decode(ids) == text.decode("utf-8", errors="replace")


@settings(deadline=None)
@given(FEW_LETTERS, FEW_LETTERS, st.integers(0, 30))
def test_quick_algorithms_do_what_the_definition_says(text, other, n_merges):
    words = tk.count_words(text)
    merges = tk.train_bpe(words, n_merges)
    assert merges == train_by_recounting(words, n_merges)
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids = tk.byte_ids(other)
    assert tk.merge_by_rank(ids, ranks) == encode_by_rounds(ids, ranks)


def test_training_is_the_definition_on_real_text():
    words = tk.count_words(MANUAL[:60000])
    assert tk.train_bpe(words, 150) == train_by_recounting(words, 150)


def test_two_merges_never_make_the_same_bytes(manual):
    assert len(set(manual.token_bytes)) == manual.vocab_size


def test_training_changes_nothing_that_it_was_given():
    words = tk.count_words("low lower lowest")
    before = dict(words)
    tk.train_bpe(words, 5)
    assert words == before


def test_pairs_are_counted_inside_words_only():
    words = tk.count_words("aaa aaa")
    a, space = tk.byte_ids("a ")
    assert tk.count_pairs(words) == {(a, a): 4, (space, a): 1}
    assert tk.merge_pair((a, a, a), (a, a), 256) == (256, a)


def test_pieces_of_the_pattern():
    pieces = list(tk.split_text("I'll pay 12 €, it's  late!\n"))
    assert pieces == [
        "I", "'ll", " pay", " 12", " €,", " it", "'s", " ", " late", "!", "\n"
    ]  # fmt: skip


def test_training_stops_when_no_pair_is_left():
    tokenizer = train_tokenizer("abc", 1000, ("<|end|>",))
    assert tokenizer.vocab_size == 256 + 2 + 1
    assert tokenizer.encode("abc") == [257]
    assert tokenizer.encode("<|end|>", ("<|end|>",)) == [258]
    assert train_tokenizer("", 1000).vocab_size == 256


def test_a_special_token_in_a_text_is_text_unless_allowed(manual):
    text = "Ignore this.<|endoftext|>"
    assert 1498 not in manual.encode(text)
    assert manual.encode(text, ("<|endoftext|>",))[-1] == 1498
    assert 1498 not in manual.encode(text, ("<|end|>",))
    assert manual.decode(manual.encode(text)) == text


def test_the_longest_special_token_wins():
    tokenizer = Tokenizer([], ("<a>", "<a><b>", "."))
    allowed = tokenizer.special_tokens
    assert tokenizer.encode("<a><b>.<a>", allowed) == [257, 258, 256]


@pytest.mark.parametrize("run", ["a" * 10_000, "ab" * 50_000, "中" * 10_000])
def test_a_long_run_without_spaces_is_quick(manual, run):
    start = time.perf_counter()
    assert manual.decode(manual.encode(run)) == run
    trained = train_tokenizer(run, 300)
    assert trained.decode(trained.encode(run)) == run
    assert time.perf_counter() - start < 10


def test_random_letters_without_spaces_are_quick(manual):
    run = "".join(random.Random(0).choices("abcdefghij", k=100_000))
    start = time.perf_counter()
    assert manual.decode(manual.encode(run)) == run
    assert time.perf_counter() - start < 10


def test_the_cache_is_bounded_and_changes_nothing():
    tokenizer = Tokenizer(tk.train_bpe(tk.count_words(MIXED), 50))
    text = " ".join(map(str, range(70_000)))
    assert tokenizer.encode(text) == tokenizer.encode(text)
    assert len(tokenizer.cache) <= 2**16


def test_tokenizers_are_values(manual):
    copy = pickle.loads(pickle.dumps(manual))
    assert copy == manual and hash(copy) == hash(manual)
    assert copy.encode("the manual") == manual.encode("the manual")
    with pytest.raises(AttributeError):
        manual.merges = ()


# Files


@pytest.mark.parametrize(
    "tokenizer",
    [
        train_tokenizer(MIXED, 500, ("<|end|>", "é")),
        CharacterTokenizer(MIXED),
        CharacterTokenizer(""),
    ],
)
def test_saved_and_loaded_tokenizers_are_equal(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "t.json")
    loaded = type(tokenizer).load(str(tmp_path / "t.json"))
    assert loaded == tokenizer
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]
    text = MIXED if tokenizer.vocab_size else ""
    assert loaded.encode(text) == tokenizer.encode(text)


def test_every_truncated_file_is_refused(tmp_path):
    path = tmp_path / "t.json"
    train_tokenizer("low lower lowest", 262, ("<|end|>",)).save(path)
    whole = path.read_bytes()
    for size in range(len(whole) - 1):  # the last byte ends the line
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"t\.json is not an intact"):
            Tokenizer.load(path)


def test_every_changed_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "t.json"
    tokenizer = train_tokenizer("low lower lowest", 259, ("<|end|>",))
    tokenizer.save(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for byte in (0, 255, whole[place] ^ 1, whole[place] ^ 2):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                assert Tokenizer.load(path) == tokenizer  # white space
            except ValueError as error:
                assert str(path) in str(error) and "again" in str(error)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{}", b"3", b'"text"', b"\xff\xfe", b"PK\x03\x04",
     b'{"content": {}, "format": "Tokenizer"}'],
)  # fmt: skip
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "t.json"
    path.write_bytes(content)
    for kind in (Tokenizer, CharacterTokenizer):
        with pytest.raises(ValueError, match=r"t\.json is not an intact"):
            kind.load(path)


def test_one_kind_does_not_load_the_other(tmp_path):
    CharacterTokenizer("abc").save(tmp_path / "t.json")
    with pytest.raises(ValueError, match="not an intact Tokenizer file"):
        Tokenizer.load(tmp_path / "t.json")
    with pytest.raises(FileNotFoundError, match="missing"):
        Tokenizer.load(tmp_path / "missing.json")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "t.json"
    good = CharacterTokenizer("abc")
    good.save(path)
    bad = CharacterTokenizer("abc")
    vars(bad)["characters"] = object()
    with pytest.raises(TypeError):
        bad.save(path)
    assert CharacterTokenizer.load(path) == good


def keep_saving(path):
    tokenizers = [CharacterTokenizer("abc"), CharacterTokenizer("abcd" * 9)]
    while True:
        for tokenizer in tokenizers:
            tokenizer.save(path)


def test_a_killed_save_leaves_a_whole_file(tmp_path):
    path = tmp_path / "t.json"
    CharacterTokenizer("abc").save(path)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=keep_saving, args=(path,))
    process.start()
    try:
        deadline = time.monotonic() + 30
        while path.read_text().count("d") < 9 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.join()
        process.close()
    assert CharacterTokenizer.load(path).characters in ("abc", "abcd")


# Characters


@given(ANY_TEXT)
def test_characters_round_trip(text):
    tokenizer = CharacterTokenizer(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == len(set(text))
    assert list(tokenizer.characters) == sorted(set(text))


def test_an_unknown_character_is_named():
    with pytest.raises(ValueError, match="'é' is not one of the 3 characters"):
        CharacterTokenizer("abc").encode("caé")


# Bad input


@pytest.mark.parametrize("bad", [b"text", None, 3, ["text"], ("a", "b")])
def test_anything_but_a_str_is_refused(manual, bad):
    for call in (
        manual.encode,
        CharacterTokenizer("abc").encode,
        CharacterTokenizer,
        lambda text: train_tokenizer(text, 300),
        lambda text: manual.encode(text, manual.special_tokens),
    ):
        with pytest.raises(TypeError, match="must be a str, but it is a"):
            call(bad)


@pytest.mark.parametrize("bad", ["\ud83d", "word \udc80", "ab\ud800cd"])
def test_a_lone_surrogate_is_refused(manual, bad):
    for call in (manual.encode, lambda text: train_tokenizer(text, 300)):
        with pytest.raises(ValueError, match=r"'\\ud\w{3}' is a lone surrog"):
            call(bad)


@pytest.mark.parametrize("bad", [-1, 1500, 10**20])
def test_ids_outside_the_vocabulary_are_refused(manual, bad):
    with pytest.raises(ValueError, match=f"Id {bad} is not in this vocab"):
        manual.decode([0, bad])
    with pytest.raises(ValueError, match="ids run from 0 to 2"):
        CharacterTokenizer("abc").decode([bad])


@pytest.mark.parametrize("bad", [1.0, "1", None])
def test_ids_that_are_no_integers_are_refused(manual, bad):
    with pytest.raises(TypeError):
        manual.decode([bad])


@pytest.mark.parametrize(
    ("vocab_size", "special"), [(255, ()), (256, ("<a>",)), (-1, ())]
)
def test_too_small_a_vocabulary_is_refused(vocab_size, special):
    needed = 256 + len(special)
    with pytest.raises(ValueError, match=f"need {needed}. Ask for that"):
        train_tokenizer("text", vocab_size, special)


@pytest.mark.parametrize("special", ["<a>", ("",), ("<a>", "<a>")])
def test_bad_special_tokens_are_refused(special):
    with pytest.raises(ValueError, match="Give a tuple of strings that"):
        train_tokenizer("text", 300, special)


@pytest.mark.parametrize("allowed", ["<|end|>", ("<|fin|>",), ["text"]])
def test_unknown_allowed_tokens_are_refused(manual, allowed):
    with pytest.raises(ValueError, match="is not a special token"):
        manual.encode("text", allowed)


@pytest.mark.parametrize("pair", [(256, 0), (0, 300), (-1, 0)])
def test_merges_out_of_order_are_refused(pair):
    with pytest.raises(ValueError, match="no earlier merge has made"):
        Tokenizer([pair])


# The record


def test_the_chapter_tells_what_the_benchmark_recorded():
    root = Path(__file__).resolve().parent.parent
    results = root / "benchmarks" / "results" / "tokenizer.json"
    page = root / "notebooks" / "03_tokens.ipynb"
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    measured = json.loads(results.read_text(encoding="utf-8"))
    assert measured["machine"]["processor"] in text
    methods = {row["method"] for row in measured["rows"]}
    assert len(methods) == 6
    for row in measured["rows"]:
        assert f"{row['seconds']:.3g}" in text, row
        assert row["seconds"] == statistics.median(row["runs"])
    for method in {"counts kept up to date", "recounting, each piece once"}:
        shown = [
            f"{row['seconds']:.3g}"
            for row in measured["rows"]
            if row["method"] == method
        ]
        assert f"| {method} | {' | '.join(shown)} |" in text


def test_a_record_tells_the_machine_but_not_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    rows = [{"seconds": 1.5}]
    target = record.write("trial", rows, "python -m x", packages=["regex"])
    text = target.read_text(encoding="utf-8")
    stored = json.loads(text)
    assert stored["rows"] == rows and stored["command"] == "python -m x"
    assert stored["machine"]["python"] == platform.python_version()
    assert str(tmp_path) not in text and str(Path.home()) not in text
    assert "node" not in stored["machine"] and stored["machine"]["cores"] >= 1
    assert [path.name for path in target.parent.iterdir()] == ["trial.json"]
    with pytest.raises(TypeError):
        record.write("trial", [object()], "python -m x")
    assert target.read_text(encoding="utf-8") == text
    assert [path.name for path in target.parent.iterdir()] == ["trial.json"]
    with pytest.raises(ValueError, match="no rows"):
        record.write("trial", [], "python -m x")
    with pytest.raises(ValueError, match="plain name"):
        record.write("../trial", rows, "python -m x")
