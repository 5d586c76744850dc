"""The exercises of chapter 3, Tokens."""

from collections import Counter
from itertools import pairwise

from nextword.exercises.engine import Mistake, compare, exercise


def _random_words(rng, letters="ab"):
    """A few short words and how often each occurs."""
    spellings = {
        "".join(rng.choices(letters, k=rng.randint(1, 6))) for _ in range(5)
    }
    return {word: rng.randint(1, 9) for word in sorted(spellings)}


# 3.1


def _letter_pairs(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for pair in pairwise(word):
            counts[pair] += n
    return dict(counts)


def _pairs_across_borders(word_counts):
    return dict(
        Counter(pairwise("".join(w * n for w, n in word_counts.items())))
    )


def _pairs_across_borders_once(word_counts):
    return dict(Counter(pairwise("".join(word_counts))))


def _pairs_with_spaces(word_counts):
    text = " ".join(" ".join([w] * n) for w, n in word_counts.items())
    return dict(Counter(pairwise(text)))


def _pairs_without_overlap(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for left, right in set(pairwise(word)):
            counts[left, right] += word.count(left + right) * n
    return dict(counts)


def _pairs_in_steps_of_two(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for i in range(0, len(word) - 1, 2):
            counts[word[i], word[i + 1]] += n
    return dict(counts)


def _pairs_without_the_counts(word_counts):
    return dict(
        Counter(pair for word in word_counts for pair in pairwise(word))
    )


def _pairs_overwritten(word_counts):
    return {
        pair: n for word, n in word_counts.items() for pair in pairwise(word)
    }


def _pairs_without_the_last(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for pair in pairwise(word[:-1]):
            counts[pair] += n
    return dict(counts)


def _pairs_as_strings(word_counts):
    return {"".join(p): n for p, n in _letter_pairs(word_counts).items()}


@exercise("3.1", "Pairs inside words")
def letter_pairs(answer, rng):
    """Pairs of neighbouring letters, weighted by the counts of the words."""
    fixed = [{"ab": 1}, {"aaa": 2}, {"abc": 3, "cab": 2}, {"aab": 2, "b": 5}]
    cases = [(c,) for c in [*fixed, *(_random_words(rng) for _ in range(4))]]
    across = (
        "Your function pairs the last letter of a word with the first letter of "
        "the next. Count inside each word only."
    )
    mistakes = [
        Mistake(_pairs_across_borders, across),
        Mistake(_pairs_across_borders_once, across),
        Mistake(
            _pairs_with_spaces,
            "Your function counts pairs with a space in them. The words do not "
            "stand in a text here: count inside each word only.",
        ),
        Mistake(
            _pairs_without_overlap,
            "Pairs may overlap: in 'aaa' the pair ('a', 'a') occurs twice. "
            "str.count does not see the second one.",
        ),
        Mistake(
            _pairs_in_steps_of_two,
            "Your function goes on by two letters after each pair. Every letter "
            "but the last one starts a pair.",
        ),
        Mistake(
            _pairs_without_the_counts,
            "Your function counts every word once. A word that occurs n times "
            "adds n to each of its pairs.",
        ),
        Mistake(
            _pairs_overwritten,
            "A pair that comes up again keeps only its newest number. Add to "
            "the count instead of setting it.",
        ),
        Mistake(
            _pairs_without_the_last,
            "The last pair of each word is missing. Look at where the loop ends.",
        ),
        Mistake(
            _pairs_as_strings,
            "The numbers are right, but the keys are strings. A pair is a tuple "
            "of two letters, such as ('a', 'b').",
        ),
    ]
    compare(answer, _letter_pairs, cases, mistakes)


# 3.2


def _replace_pair(tokens, pair, new):
    replaced, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            replaced.append(new)
            i += 2
        else:
            replaced.append(tokens[i])
            i += 1
    return replaced


def _second_token_stays(tokens, pair, new):
    return [
        new if tuple(tokens[i : i + 2]) == pair else tokens[i]
        for i in range(len(tokens))
    ]


def _skips_a_token(tokens, pair, new):
    replaced, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            replaced.append(new)
            i += 2
        else:
            replaced.append(tokens[i])
        i += 1
    return replaced


def _loses_the_last_token(tokens, pair, new):
    replaced, i = [], 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            replaced.append(new)
            i += 2
        else:
            replaced.append(tokens[i])
            i += 1
    return replaced


def _only_the_first(tokens, pair, new):
    for i in range(len(tokens) - 1):
        if (tokens[i], tokens[i + 1]) == pair:
            return [*tokens[:i], new, *tokens[i + 2 :]]
    return list(tokens)


def _from_the_right(tokens, pair, new):
    backwards = _replace_pair(tokens[::-1], pair[::-1], new)
    return backwards[::-1]


def _by_string(tokens, pair, new):
    return list("".join(tokens).replace("".join(pair), new))


def _both_orders(tokens, pair, new):
    replaced, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) in (pair, pair[::-1]):
            replaced.append(new)
            i += 2
        else:
            replaced.append(tokens[i])
            i += 1
    return replaced


@exercise("3.2", "Replace a pair")
def replace_pair(answer, rng):
    """Every occurrence of a pair becomes one token, from left to right."""
    cases = [
        (["a", "b"], ("a", "b"), "ab"),
        (["a", "b", "c"], ("a", "b"), "ab"),
        (["a", "a", "a"], ("a", "a"), "aa"),
        (["b", "a", "b", "a", "b", "a"], ("a", "b"), "ab"),
        (["a", "b", "a", "b", "b"], ("a", "b"), "ab"),
        (["c", "ab", "d"], ("b", "d"), "bd"),
        ([], ("a", "b"), "ab"),
    ]
    for _ in range(5):
        tokens = rng.choices(["a", "b", "ab"], k=rng.randint(1, 9))
        cases.append((tokens, ("a", "b"), "ab"))
    mistakes = [
        Mistake(
            _second_token_stays,
            "The second token of the pair is still there. After a pair, go on "
            "with the token behind it.",
        ),
        Mistake(
            _skips_a_token,
            "After each pair, your function loses one token. Go on by two after "
            "a pair, by one otherwise, never by three.",
        ),
        Mistake(
            _loses_the_last_token,
            "The last token is lost when it belongs to no pair. Look at where "
            "the loop ends.",
        ),
        Mistake(
            _only_the_first,
            "Only the first occurrence is replaced. Go on to the end.",
        ),
        Mistake(
            _from_the_right,
            "Your function works from right to left. In a·a·a the first two "
            "tokens are the pair, and the last one is left over.",
        ),
        Mistake(
            _by_string,
            "Your function joins the tokens into one string and forgets where "
            "their borders are. Compare tokens, not letters.",
        ),
        Mistake(
            _both_orders,
            "Your function also replaces the pair in the other order. b·a is "
            "not the pair a·b.",
        ),
    ]
    compare(answer, _replace_pair, cases, mistakes)


# 3.3


def _utf8(code_point):
    return chr(code_point).encode("utf-8")


def _utf8_by(limits, leads, mark=0b10000000, mask=0b111111):
    """A hand-made encoder with its constants as arguments, to get them wrong."""

    def encode(code_point):
        length = 1 + sum(code_point > limit for limit in limits)
        if length == 1:
            return bytes([code_point])
        first = leads[length - 2] | code_point >> 6 * (length - 1)
        rest = [
            mark | (code_point >> 6 * i & mask)
            for i in reversed(range(length - 1))
        ]
        return bytes([first, *rest])

    return encode


_LIMITS = (0x7F, 0x7FF, 0xFFFF)
_LEADS = (0b11000000, 0b11100000, 0b11110000)


def _utf8_low_bits_first(code_point):
    coded = _utf8(code_point)
    return coded[:1] + coded[:0:-1]


def _utf8_as_sixteen_bits(code_point):
    return code_point.to_bytes(2 if code_point < 65536 else 3, "big")


def _utf8_as_number(code_point):
    length = max(1, (code_point.bit_length() + 7) // 8)
    return code_point.to_bytes(length, "big")


@exercise("3.3", "UTF-8 by hand")
def utf8_by_hand(answer, rng):
    """One to four bytes with the right marks, without str.encode."""
    points = [0x41, 0xE9, 0x4E2D, 0x1F642, 0, 0x7F, 0x80, 0x7FF, 0x800]
    points += [0xFFFF, 0x10000, 0x10FFFF]
    for low, high in ((0x80, 0x7FF), (0x800, 0xD7FF), (0x10000, 0x10FFFF)):
        points += [rng.randint(low, high) for _ in range(3)]
    low_limit = tuple(limit - 1 for limit in _LIMITS)
    high_limit = tuple(limit + 1 for limit in _LIMITS)
    border = (
        "The inner part is right, but a border of the table is not. Try the "
        "first and the last code point of each row: 127 and 128, 2047 and 2048, "
        "65535 and 65536."
    )
    mistakes = [
        Mistake(
            _utf8_by(_LIMITS, _LEADS, mark=0),
            "The continuation bytes lack their mark. Each of them begins with "
            "the bits 10.",
        ),
        Mistake(
            _utf8_by(_LIMITS, (0b11000000,) * 3),
            "The first byte always begins with 110. It has to say how many bytes "
            "there are: 110, 1110 or 11110.",
        ),
        Mistake(
            _utf8_by(_LIMITS, _LEADS, mask=0xFFFFFF),
            "A continuation byte holds six bits of the code point only. Cut off "
            "the others with & 0b111111.",
        ),
        Mistake(_utf8_by(low_limit, _LEADS), border),
        Mistake(_utf8_by(high_limit, _LEADS), border),
        Mistake(
            _utf8_by(_LIMITS[:2], _LEADS),
            "Code points above 65535, such as that of 🙂, need the fourth row "
            "of the table.",
        ),
        Mistake(
            _utf8_low_bits_first,
            "The continuation bytes stand in the wrong order. The highest bits "
            "come first.",
        ),
        Mistake(
            lambda code_point: list(_utf8(code_point)),
            "The numbers are right, but they stand in a list. bytes(…) makes "
            "bytes of a list of numbers.",
        ),
        Mistake(
            lambda code_point: bytearray(_utf8(code_point)),
            "The numbers are right, but this is a bytearray. Return bytes(…) of "
            "it.",
        ),
        Mistake(
            _utf8_as_number,
            "These are the bytes of the code point as a plain number. UTF-8 "
            "spreads its bits over the patterns of the table.",
        ),
    ]
    compare(answer, _utf8, [(point,) for point in points], mistakes)


# 3.4


def _merge_in_order(word, merges):
    tokens = list(word)
    for pair in merges:
        tokens = _replace_pair(tokens, pair, "".join(pair))
    return tokens


def _longest_match(word, merges):
    known = {"".join(pair) for pair in merges}
    tokens = []
    while word:
        size = max(
            (n for n in range(1, len(word) + 1) if word[:n] in known), default=1
        )
        tokens.append(word[:size])
        word = word[size:]
    return tokens


def _leftmost_pair(word, merges):
    tokens = list(word)
    while True:
        for i, pair in enumerate(pairwise(tokens)):
            if pair in merges:
                tokens[i : i + 2] = ["".join(pair)]
                break
        else:
            return tokens


def _merges_backwards(word, merges):
    return _merge_in_order(word, merges[::-1])


def _one_place_a_merge(word, merges):
    tokens = list(word)
    for pair in merges:
        tokens = _only_the_first(tokens, pair, "".join(pair))
    return tokens


def _one_round(word, merges):
    tokens = list(word)
    for pair in merges:
        if pair in pairwise(tokens):
            return _replace_pair(tokens, pair, "".join(pair))
    return tokens


@exercise("3.4", "Merge in order")
def merge_in_order(answer, rng):
    """Merges are applied in the order in which they were learned."""
    fruit = [("a", "n"), ("an", "a"), ("b", "an")]
    letters = [("b", "c"), ("a", "bc"), ("a", "b")]
    cases = [
        ("xyz", fruit),
        ("an", fruit),
        ("abc", letters),
        ("abab", [("a", "b")]),
        ("nanana", fruit),
        ("banana", fruit),
        ("", fruit),
    ]
    for _ in range(4):
        known, merges = ["a", "b", "c"], []
        while len(merges) < 5:
            pair = (rng.choice(known), rng.choice(known))
            if "".join(pair) not in known:
                merges.append(pair)
                known.append("".join(pair))
        cases.append(("".join(rng.choices("abc", k=9)), merges))
    mistakes = [
        Mistake(
            _longest_match,
            "Your function takes the longest known token from the left. BPE "
            "applies the merges in their order, wherever they fit.",
        ),
        Mistake(
            _leftmost_pair,
            "Your function merges the leftmost pair that is in the list. The "
            "order of the list decides first, the place only after it.",
        ),
        Mistake(
            _merges_backwards,
            "Your function begins with the last merge. Later merges join what "
            "earlier ones have made.",
        ),
        Mistake(
            _one_place_a_merge,
            "Each merge is applied in one place only. Apply it everywhere "
            "before you go on to the next.",
        ),
        Mistake(
            _one_round,
            "Your function stops after the first merge that fits. The merges "
            "behind it have to be applied too.",
        ),
    ]
    compare(answer, _merge_in_order, cases, mistakes)


# 3.5


def _decode_whole(ids, table):
    return b"".join(table[id] for id in ids).decode("utf-8", errors="replace")


def _decode_each(ids, table):
    return "".join(table[id].decode("utf-8", errors="replace") for id in ids)


def _decode_each_ignoring(ids, table):
    return "".join(table[id].decode("utf-8", errors="ignore") for id in ids)


def _decode_each_strictly(ids, table):
    return "".join(table[id].decode("utf-8") for id in ids)


def _decode_strictly(ids, table):
    return b"".join(table[id] for id in ids).decode("utf-8")


def _decode_ignoring(ids, table):
    return b"".join(table[id] for id in ids).decode("utf-8", errors="ignore")


def _decode_as_latin_1(ids, table):
    return b"".join(table[id] for id in ids).decode("latin-1")


def _decode_as_repr(ids, table):
    return "".join(str(table[id]) for id in ids)


def _no_decoding(ids, table):
    return b"".join(table[id] for id in ids)


@exercise("3.5", "Decode the whole")
def decode_whole(answer, rng):
    """Bytes are joined first and decoded afterwards."""
    table = [b"a", b" b", b"\xc3", b"\xa9", b"\xe4\xb8", b"\xad", b"caf\xc3"]
    whole = [
        ([0, 1], table),
        ([2, 3], table),
        ([6, 3, 1], table),
        ([4, 5], table),
        ([0, 2], table),
        ([], table),
    ]
    drawn = [
        (rng.choices(range(len(table)), k=rng.randint(1, 8)), table)
        for _ in range(4)
    ]
    alone = (
        "Your function decodes each token alone. A character may be spread over "
        "two tokens: join the bytes first, then decode once."
    )
    mistakes = [
        Mistake(_decode_each, alone),
        Mistake(_decode_each_ignoring, alone),
        Mistake(_decode_each_strictly, alone),
        Mistake(
            _decode_strictly,
            "Bytes that are no UTF-8 raise an exception. A model may produce "
            "any ids: let errors='replace' put a sign in their place.",
        ),
        Mistake(
            _decode_ignoring,
            "Bytes that are no UTF-8 vanish. They should become the sign U+FFFD, "
            "so that the reader sees that something was there.",
        ),
        Mistake(
            _decode_as_latin_1,
            "Your function makes one character of every byte. In UTF-8 a "
            "character may have up to four bytes.",
        ),
        Mistake(
            _decode_as_repr,
            "str of bytes gives what Python prints for them, with b and quotes. "
            "Use .decode('utf-8', …).",
        ),
        Mistake(
            _no_decoding,
            "The bytes are right, but they are still bytes. Decode them to a str.",
        ),
    ]
    compare(answer, _decode_whole, [*whole, *drawn], mistakes)


# 3.6


def _scores(word_counts, score):
    pairs, tokens = Counter(), Counter()
    for word, n in word_counts.items():
        for token in word:
            tokens[token] += n
        for pair in pairwise(word):
            pairs[pair] += n
    return {
        pair: score(n, tokens[pair[0]], tokens[pair[1]])
        for pair, n in pairs.items()
    }


def _best(scores):
    return min(scores, key=lambda pair: (-scores[pair], pair))


def _best_by_score(word_counts):
    return _best(_scores(word_counts, lambda ab, a, b: ab / (a * b)))


def _best_by_count(word_counts):
    return _best(_scores(word_counts, lambda ab, a, b: ab))


def _best_by_sum(word_counts):
    return _best(_scores(word_counts, lambda ab, a, b: ab / (a + b)))


def _best_by_first(word_counts):
    return _best(_scores(word_counts, lambda ab, a, b: ab / a))


def _best_without_counts(word_counts):
    return _best_by_score(dict.fromkeys(word_counts, 1))


def _best_without_brackets(word_counts):
    return _best(_scores(word_counts, lambda ab, a, b: ab / a * b))


def _best_by_pairs_alone(word_counts):
    pairs = _scores(word_counts, lambda ab, a, b: ab)
    tokens = Counter()
    for pair, n in pairs.items():
        for token in pair:
            tokens[token] += n
    return _best(
        {p: n / (tokens[p[0]] * tokens[p[1]]) for p, n in pairs.items()}
    )


def _worst_by_score(word_counts):
    return _best(_scores(word_counts, lambda ab, a, b: -ab / (a * b)))


def _is_clear(word_counts):
    """Whether one pair is best by more than rounding."""
    scores = _scores(word_counts, lambda ab, a, b: ab / (a * b))
    ranked = sorted(scores.values(), reverse=True)
    return len(ranked) > 1 and ranked[0] > 1.001 * ranked[1]


@exercise("3.6", "Another score")
def best_by_score(answer, rng):
    """WordPiece's choice: how much more often than by chance."""
    cases = [
        {"ab": 9, "cd": 2, "a": 5, "b": 5},
        {"ab": 6, "ac": 3, "qu": 2, "q": 1, "u": 1},
        {"xy": 8, "x": 8, "zy": 1, "za": 2, "a": 2},
        {"ab": 90, "b": 1, "a": 1, "cd": 2, "d": 1},
        {"tha": 5, "then": 7, "to": 3, "no": 4, "a": 2},
    ]
    while len(cases) < 10:
        drawn = _random_words(rng, "abcd")
        if _is_clear(drawn):
            cases.append(drawn)
    mistakes = [
        Mistake(
            _best_by_count,
            "This is the most frequent pair, BPE's choice. Divide its count by "
            "the counts of both tokens.",
        ),
        Mistake(
            _best_by_sum,
            "Your function divides by the sum of the two counts. The score "
            "divides by their product.",
        ),
        Mistake(
            _best_by_first,
            "Your function divides by the count of the first token only. The "
            "second one belongs in the product too.",
        ),
        Mistake(
            _best_without_counts,
            "Your function counts every word once. A word that occurs n times "
            "adds n to its pairs and n to its tokens.",
        ),
        Mistake(
            _best_without_brackets,
            "Your function divides by the first count and then multiplies by the "
            "second. Put the product in parentheses.",
        ),
        Mistake(
            _best_by_pairs_alone,
            "Your function counts single letters inside pairs: a letter in the "
            "middle of a word counts twice, a word of one letter not at all. "
            "Count the letters of each word.",
        ),
        Mistake(
            _worst_by_score,
            "This is the pair with the smallest score. Take the largest.",
        ),
    ]
    compare(answer, _best_by_score, [(case,) for case in cases], mistakes)
