"""WordPiece: ids, pairs, truncation and padding of Hugging Face's tokenizer."""

import string
import sys
import unicodedata

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer, decoders
from transformers import BertTokenizer

from nextword import downloads
from nextword.downloads import MINILM_VOCABULARY
from nextword.wordpiece import (
    LONGEST_WORD,
    SPECIAL,
    UNKNOWN,
    WordPieceTokenizer,
    clean,
    cut_word,
    frame,
    kept_lengths,
    plain_text,
    read_vocabulary,
    split_words,
    text_batch,
    write_vocabulary,
)

LETTERS = string.ascii_lowercase + string.digits
SIGNS = string.punctuation + "。、—…“”¿¡"
OTHER = "今天猫是一あßøæłжщя안\u1100\u1161αβγσħ"
WORDS = "the un ##aff ##able ##ing run ##ning play ##er aa aaa ##aaaa"
SMALL = WordPieceTokenizer(
    [
        *SPECIAL,
        *LETTERS,
        *(f"##{letter}" for letter in LETTERS),
        *SIGNS,
        *OTHER,
        *(f"##{letter}" for letter in OTHER),
        *WORDS.split(),
    ]
)

TRICKY = [
    "",
    " ",
    " \t\r\n\u00a0\u3000\u2028\u2029\u0085\u200b ",
    "The quick brown fox jumps over the lazy dog.",
    "UNAFFABLE Unaffable unaffableness runnings players",
    "don't can't it's 'quoted' \"double\" ``ticks''",
    "$3.50 + 4,000.00% = #1 @home ~x^2_y|z\\w/v {a}[b](c)<d>",
    "a-b--c---d – e — f … g",
    "Crème brûlée, naïve façade, Ångström, ÜBERGRÖSSE, Çedilla, žluťoučký kůň",
    "cafe\u0301 e\u0301\u0302\u0303 \u0301 a\u0301b",  # accents apart
    "Straße STRASSE ẞ ø æ œ ł đ ħ",
    "İstanbul ISTANBUL ısı ΌΔΥΣΣΕΎΣ ς Σ σας",
    "今天天气很好。我们去公园玩吧！",
    "中文and英文mixed一起 3个 㐀 \U00020000 \U0002a700 \U0002b740 豈 \U0002f800",
    "\U0002b820\U0002b91f\U0002b920 a\U0002b820b",  # the gap of the reference
    "ひらがな カタカナ 한국어 \u1112\u1161\u11ab ไทย العربية עברית हिन्दी",
    "emoji 😀 👩‍👩‍👧 🇬🇧 ❤️ \U0001f3fb",
    "\x00a\x01b\x7fc\x80d\x9fe\ufffdf\ufefeg\ufeffh\u200ei\u202ej",
    "soft\u00adhyphen zero\u200bwidth non\u2060joiner private\ue000use\U000f0000",
    "unassigned \u0378 \U000e0fff tag \U000e0041",
    "\u037e \u1fef \u0340 \u2126 \u212a \u212b \ufb01 ² ½ Ⅳ ª",
    "[CLS] a [SEP] b [MASK] [PAD] [UNK]",
    "[MASK][MASK] x[MASK]y [mask] [ MASK ] [[MASK]] [MASK [CLS",
    "##ing ## # #un ##",
    "a" * 99 + " " + "a" * 100 + " " + "a" * 101 + " " + "b" * 1000,
    "é" * 100 + " " + "e\u0301" * 101 + " " + "今" * 101,
    "x" * 60 + "." + "x" * 60,
    "http://www.example.com/a?b=c&d=e#f user@example.org 192.168.0.1",
    "1234567890 3.14159 1e-12 0x7F",
    "tab\there\nnewline\r\ncarriage\rreturn\x0bvertical\x0cform",
    "Mr. O'Neill-Smith’s “dog”—the ‘big’ one—ate ¿qué? ¡no!",
    "ﷺ Ǆ ǅ ǆ ŉ ǰ ΐ և ﬃ",
]


def is_young(character):
    """Whether Unicode gave it a sign's meaning after the reference's table.

    Four old ones have changed their kind since: \u166d, \u1734, \u1885, \u1886.
    """
    if character in "\u166d\u1734\u1885\u1886":
        return True
    kind = unicodedata.category(character)
    old = unicodedata.ucd_3_2_0.category(character)
    return old == "Cn" and (kind in ("Mn", "Cf") or kind.startswith("P"))


def by_reference(tokenizer):
    """The reference of ``tokenizers`` with our vocabulary."""
    return BertWordPieceTokenizer(dict(tokenizer.ids), lowercase=True)


@pytest.fixture(scope="module")
def minilm():
    """The tokenizer of all-MiniLM-L6-v2; tests that need it skip without."""
    path = downloads.at_hand(MINILM_VOCABULARY)
    if path is None:
        command = downloads.install(MINILM_VOCABULARY)
        pytest.skip(f"all-MiniLM-L6-v2 is not here: `{command}` brings it.")
    return read_vocabulary(path)


@pytest.fixture(scope="module")
def peers(minilm):
    """The two references with the vocabulary of all-MiniLM-L6-v2."""
    return by_reference(minilm), BertTokenizer(dict(minilm.ids))


REFERENCE = by_reference(SMALL)


# The same ids


@pytest.mark.parametrize("text", TRICKY, ids=range(len(TRICKY)))
def test_ids_of_tricky_texts_are_the_references(text):
    expected = REFERENCE.encode(text, add_special_tokens=False).ids
    assert SMALL.encode(text) == expected


@pytest.mark.parametrize("text", TRICKY, ids=range(len(TRICKY)))
def test_ids_of_minilm_are_the_references(minilm, peers, text):
    for peer in peers:
        expected = peer.encode(text, add_special_tokens=False)
        assert minilm.encode(text) == getattr(expected, "ids", expected)


CHARACTER = st.characters(exclude_categories=["Cs"]).filter(
    lambda character: not is_young(character)
)
ANY_TEXT = st.text(CHARACTER)
# Letters, signs, accents and spaces side by side, as chance seldom puts them.
NEAR = st.lists(
    st.sampled_from(
        [*"aeinrt AEI.'#-[]今", "\u0301", "é", "İ", *SPECIAL, "\t", "\u200b"]
    )
).map("".join)
KNOWN = st.lists(
    st.sampled_from(
        [*SMALL.pieces[5:], "The", "playing", "unaffable", *SPECIAL]
    ),
    max_size=12,
).flatmap(lambda parts: st.sampled_from(["", " "]).map(lambda s: s.join(parts)))
TEXT = ANY_TEXT | NEAR | KNOWN | st.sampled_from(TRICKY)
MANY = settings(max_examples=300, deadline=None)


@MANY
@given(TEXT)
def test_ids_of_any_text_are_the_references(text):
    expected = REFERENCE.encode(text, add_special_tokens=False).ids
    assert SMALL.encode(text) == expected


@MANY
@given(text=TEXT)
def test_ids_of_any_text_over_minilm_are_the_references(minilm, peers, text):
    expected = peers[0].encode(text, add_special_tokens=False).ids
    assert minilm.encode(text) == expected


@MANY
@given(data=st.data())
def test_words_of_minilm_in_any_order_are_cut_as_by_the_reference(
    minilm, peers, data
):
    parts = data.draw(
        st.lists(st.sampled_from(minilm.pieces), min_size=1, max_size=20)
    )
    glue = data.draw(st.sampled_from(["", " ", "-", "##"]))
    text = glue.join(parts).replace(
        "##", data.draw(st.sampled_from(["", "##"]))
    )
    expected = peers[0].encode(text, add_special_tokens=False).ids
    assert minilm.encode(text) == expected


def test_each_character_is_treated_as_by_the_reference():
    """All of Unicode but the inside of Han, Hangul and the private planes.

    Inside a word a wrong space, mark or punctuation sign gives other ids.
    """
    different, number = [], 0
    wide = [(0x3500, 0x4D00), (0x4F00, 0x9F00), (0xAD00, 0xD700)]
    wide += [(0xE100, 0xF800), (0x20100, 0x2A600), (0xF0100, 0x10FF00)]
    skipped = {n for low, high in wide for n in range(low, high) if n % 97}
    characters = [
        chr(n)
        for n in range(sys.maxunicode + 1)
        if n not in skipped
        and unicodedata.category(chr(n)) != "Cs"
        and (unicodedata.category(chr(n)) != "Cn" or n % 97 == 0)
    ]
    texts = [f"a{character}b {character}" for character in characters]
    encoded = REFERENCE.encode_batch(texts, add_special_tokens=False)
    for character, text, expected in zip(
        characters, texts, encoded, strict=True
    ):
        number += 1
        if SMALL.encode(text) != expected.ids:
            different.append(character)
    assert number > 60_000
    assert all(map(is_young, different)), different
    assert len(different) < number / 50


def test_decoding_is_the_references(minilm):
    decoder = decoders.WordPiece(cleanup=False)
    for tokenizer in (SMALL, minilm):
        for text in TRICKY[1:]:
            ids = tokenizer.encode(text)
            expected = decoder.decode([tokenizer.pieces[id] for id in ids])
            assert tokenizer.decode(ids) == expected


# By hand


def test_a_word_is_cut_into_the_longest_pieces():
    pieces = {"un", "una", "##aff", "##able", "##ffable", "##f", "u", "##n"}
    assert cut_word("unaffable", pieces) == ["una", "##ffable"]
    assert cut_word("unaffable", pieces - {"una"}) == ["un", "##aff", "##able"]
    assert cut_word("un", pieces) == ["un"]


def test_greedy_is_not_always_possible():
    """The longest piece first may leave a rest that nothing covers."""
    assert cut_word("abc", {"ab", "a", "##bc"}) == [UNKNOWN]
    assert cut_word("abc", {"a", "##bc"}) == ["a", "##bc"]


@pytest.mark.parametrize("length", [1, 2, 99, 100, 101, 250])
def test_a_word_of_more_than_a_hundred_characters_is_unknown(length):
    found = cut_word("a" * length, {"a", "##a"})
    known = ["a"] + ["##a"] * (length - 1)
    assert found == (known if length <= 100 else [UNKNOWN])
    assert LONGEST_WORD == 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("it's", ["it", "'", "s"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("今天 OK", ["今", "天", "ok"]),
        ("a今b", ["a", "今", "b"]),
        ("$5.00", ["$", "5", ".", "00"]),
        ("a\u00adb\u200bc", ["abc"]),
        ("a\tb\nc\u3000d", ["a", "b", "c", "d"]),
        ("---", ["-", "-", "-"]),
        ("Σας ΟΔΟΣ", ["σας", "οδοσ"]),
        ("", []),
    ],
)
def test_words_by_hand(text, expected):
    assert list(split_words(plain_text(text))) == expected


def test_clean_by_hand():
    signs = {"\t": " ", "\n": " ", "\u00a0": " ", "\x00": "", "\u200b": ""}
    signs |= {"\ufffd": "", "\ue000": "", "a": "a", "\u0301": "\u0301"}
    assert {sign: clean(sign) for sign in signs} == signs


def test_a_lone_surrogate_is_dropped():
    assert SMALL.encode("a\ud800b") == SMALL.encode("ab")


def test_names_of_special_pieces_count_as_such():
    cls, sep, mask = (SMALL.ids[s] for s in ("[CLS]", "[SEP]", "[MASK]"))
    a = SMALL.ids["a"]
    assert SMALL.encode("[CLS]a[MASK][SEP]") == [cls, a, mask, sep]
    assert mask not in SMALL.encode("[mask]")


def test_a_full_cache_changes_nothing():
    tokenizer = WordPieceTokenizer(SMALL.pieces)
    text = "playing unaffable runners"
    expected = tokenizer.encode(text)
    tokenizer.cache.update({f"word{n}": [] for n in range(2**16)})
    assert tokenizer.encode(text) == expected
    tokenizer.cache.update({f"word{n}": [] for n in range(2**16)})
    assert tokenizer.encode("aaab") == SMALL.encode("aaab")
    assert len(tokenizer.cache) == 1


def test_encoding_twice_gives_lists_of_their_own():
    ids = SMALL.encode("playing")
    ids.append(0)
    assert SMALL.encode("playing") == ids[:-1]


# Pairs, truncation, padding


PEER = BertTokenizer(dict(SMALL.ids))
SHORT = st.text(st.sampled_from("ab c. ")) | NEAR


def their_batch(peer, texts, seconds, max_length):
    return peer(
        texts,
        seconds,
        padding=True,
        truncation=True,
        max_length=max_length,
        return_tensors="pt",
    )


def same_batch(ours, theirs):
    assert torch.equal(ours.ids, theirs["input_ids"])
    assert torch.equal(ours.segments, theirs["token_type_ids"])
    assert ours.real.dtype == torch.bool
    assert torch.equal(ours.real, theirs["attention_mask"].bool())


@MANY
@given(
    pairs=st.lists(st.tuples(SHORT, SHORT), min_size=1, max_size=5),
    two=st.booleans(),
    max_length=st.integers(4, 24),
)
def test_batches_are_the_references(pairs, two, max_length):
    texts, seconds = map(list, zip(*pairs, strict=True))
    seconds = seconds if two else None
    same_batch(
        text_batch(SMALL, texts, seconds, max_length),
        their_batch(PEER, texts, seconds, max_length),
    )


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("max_length", [16, 256, 512])
def test_batches_of_minilm_are_the_references(minilm, peers, two, max_length):
    texts = [*TRICKY, "word " * 700, "one"]
    seconds = texts[::-1] if two else None
    ours = text_batch(minilm, texts, seconds, max_length)
    same_batch(ours, their_batch(peers[1], texts, seconds, max_length))
    assert ours.ids.shape[1] == max_length


@MANY
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 30))
@example(5, 5, 7)
@example(9, 2, 7)
def test_shares_are_the_references_and_fair(first, second, room):
    a, b = kept_lengths(first, second, room)
    assert 0 <= a <= first and 0 <= b <= second
    assert a + b == min(first + second, room)
    assert a == first or b == second or abs(a - b) <= 1
    ids, segments = frame(SMALL, "a " * first, "b " * second, room + 3)
    theirs = PEER(
        ["a " * first], ["b " * second], truncation=True, max_length=room + 3
    )
    assert [ids] == theirs["input_ids"]
    assert [segments] == theirs["token_type_ids"]


def test_a_frame_by_hand():
    pad, _, cls, sep, _ = range(5)
    a, b = SMALL.ids["a"], SMALL.ids["b"]
    assert SMALL.pieces[:5] == SPECIAL
    assert frame(SMALL, "a a") == ([cls, a, a, sep], [0, 0, 0, 0])
    ids, segments = frame(SMALL, "a a", "b")
    assert ids == [cls, a, a, sep, b, sep]
    assert segments == [0, 0, 0, 0, 1, 1]
    assert frame(SMALL, "a", "") == ([cls, a, sep, sep], [0, 0, 0, 1])
    ids, real, segments = text_batch(SMALL, ["a", "a a"], ["b b b", ""])
    assert ids.tolist() == [
        [cls, a, sep, b, b, b, sep],
        [cls, a, a, sep, sep, pad, pad],
    ]
    assert real.sum(1).tolist() == [7, 5]
    assert segments.tolist() == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0]]


def test_a_typed_pad_is_no_padding():
    """Real is what was read, not what its id is."""
    _, real, _ = text_batch(SMALL, ["[PAD] a", ""])
    assert real.tolist() == [[True] * 4, [True, True, False, False]]


# Bad input


@pytest.mark.parametrize("missing", SPECIAL)
def test_a_vocabulary_without_a_special_piece_is_refused(missing):
    pieces = [piece for piece in SMALL.pieces if piece != missing]
    with pytest.raises(ValueError, match="has no") as refusal:
        WordPieceTokenizer(pieces)
    assert f"has no {missing}." in str(refusal.value)


@pytest.mark.parametrize("wrong", ["", " ", "two words", "a\n", "a", "[CLS]"])
def test_a_piece_that_is_none_is_refused(wrong):
    pieces = [*SMALL.pieces, wrong]
    message = rf"Piece {pieces.index(wrong)} of the vocabulary, .* comes twice"
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer(pieces)


@pytest.mark.parametrize("text", [None, b"a", 3, ["a"]])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(TypeError, match="The text must be a str"):
        SMALL.encode(text)


def test_unknown_ids_are_refused():
    with pytest.raises(ValueError, match=f"Id {SMALL.vocab_size} is not in"):
        SMALL.decode([SMALL.vocab_size])


@pytest.mark.parametrize("second", [None, "b"])
def test_a_length_without_room_is_refused(second):
    least = 3 if second is None else 4
    assert len(frame(SMALL, "a a", second, least)[0]) == least
    for length in (least - 1, 0, -5):
        with pytest.raises(ValueError, match=f"max_length is {length}, which"):
            frame(SMALL, "a a", second, length)


def test_batches_that_make_no_sense_are_refused():
    with pytest.raises(TypeError, match="Pass a list of texts"):
        text_batch(SMALL, "a text")
    with pytest.raises(TypeError, match="Pass a list of texts"):
        text_batch(SMALL, ["a"], "a text")
    with pytest.raises(ValueError, match="2 first texts but 1 second"):
        text_batch(SMALL, ["a", "b"], ["c"])
    with pytest.raises(ValueError, match="none at all"):
        text_batch(SMALL, [])


# Files


def test_a_vocabulary_is_written_and_read(tmp_path):
    path = tmp_path / "new" / "vocab.txt"
    write_vocabulary(path, SMALL)
    assert read_vocabulary(path) == SMALL
    theirs = BertWordPieceTokenizer.from_file(str(path))
    assert theirs.get_vocab() == SMALL.ids
    SMALL.save(tmp_path / "tokenizer.json")
    assert WordPieceTokenizer.load(tmp_path / "tokenizer.json") == SMALL


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_line_ends_of_every_system_are_read(tmp_path, end):
    path = tmp_path / "vocab.txt"
    lines = "\n".join(SMALL.pieces).replace("\n", end or "\n") + end
    path.write_bytes(lines.encode())
    assert read_vocabulary(path) == SMALL


def test_the_published_vocabulary_comes_back_byte_for_byte(minilm, tmp_path):
    path = tmp_path / "vocab.txt"
    write_vocabulary(path, minilm)
    published = downloads.at_hand(MINILM_VOCABULARY)
    assert path.read_bytes() == published.read_bytes()
    assert minilm.vocab_size == 30_522
    special = {piece: minilm.ids[piece] for piece in SPECIAL}
    assert list(special.values()) == [0, 100, 101, 102, 103]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[PAD]\n\n[CLS]", b"the\nof"]
)
def test_a_file_that_is_no_vocabulary_is_refused_by_name(tmp_path, content):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no vocabulary of a BERT") as no:
        read_vocabulary(path)
    assert str(no.value).startswith(str(path))
