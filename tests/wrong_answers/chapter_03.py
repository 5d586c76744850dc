"""What learners write in chapter 3, and a piece of the message meant for it."""

import itertools
from collections import Counter, defaultdict

# 3.1


def one_long_string(word_counts):
    text = ""
    for word, n in word_counts.items():
        text += word * n
    counts = {}
    for i in range(len(text) - 1):
        pair = (text[i], text[i + 1])
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def one_long_string_without_numbers(word_counts):
    letters = [letter for word in word_counts for letter in word]
    counts = defaultdict(int)
    for a, b in itertools.pairwise(letters):
        counts[a, b] += 1
    return counts


def a_text_with_spaces(word_counts):
    all_words = []
    for word, n in word_counts.items():
        all_words.extend([word] * n)
    text = " ".join(all_words)
    return dict(Counter(itertools.pairwise(text)))


def counted_by_str_count(word_counts):
    counts = {}
    for word, n in word_counts.items():
        pairs = {(word[i], word[i + 1]) for i in range(len(word) - 1)}
        for a, b in pairs:
            counts[a, b] = counts.get((a, b), 0) + n * word.count(a + b)
    return counts


def every_second_letter(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for pair in zip(word[::2], word[1::2], strict=False):
            counts[pair] += n
    return counts


def word_numbers_ignored(word_counts):
    counts = {}
    for word in word_counts:
        for i in range(len(word) - 1):
            pair = word[i], word[i + 1]
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def set_instead_of_added(word_counts):
    counts = {}
    for word, n in word_counts.items():
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] = n
    return counts


def one_pair_too_few(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for i in range(len(word) - 2):
            counts[word[i], word[i + 1]] += n
    return counts


def keys_are_strings(word_counts):
    counts = {}
    for word, n in word_counts.items():
        for i in range(len(word) - 1):
            pair = word[i : i + 2]
            counts[pair] = counts.get(pair, 0) + n
    return counts


def list_of_the_pairs(word_counts):
    return [pair for word in word_counts for pair in itertools.pairwise(word)]


def one_index_too_far(word_counts):
    counts = Counter()
    for word, n in word_counts.items():
        for i in range(len(word)):
            counts[word[i], word[i + 1]] += n
    return counts


# 3.2


def second_one_kept(tokens, pair, new):
    out = []
    for i, token in enumerate(tokens):
        if i + 1 < len(tokens) and (token, tokens[i + 1]) == pair:
            out.append(new)
        else:
            out.append(token)
    return out


def three_steps(tokens, pair, new):
    out = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and (tokens[i], tokens[i + 1]) == pair:
            out.append(new)
            i += 3
        else:
            out.append(tokens[i])
            i += 1
    return out


def end_forgotten(tokens, pair, new):
    out = []
    i = 0
    while i + 1 < len(tokens):
        if tokens[i] == pair[0] and tokens[i + 1] == pair[1]:
            out += [new]
            i += 2
        else:
            out += [tokens[i]]
            i += 1
    return out


def returns_at_once(tokens, pair, new):
    tokens = list(tokens)
    for i in range(1, len(tokens)):
        if tokens[i - 1] == pair[0] and tokens[i] == pair[1]:
            tokens[i - 1 : i + 1] = [new]
            break
    return tokens


def right_to_left(tokens, pair, new):
    out = list(tokens)
    i = len(out) - 2
    while i >= 0:
        if (out[i], out[i + 1]) == pair:
            out[i : i + 2] = [new]
            i -= 1
        i -= 1
    return out


def through_a_string(tokens, pair, new):
    text = "".join(tokens)
    return [letter for letter in text.replace(pair[0] + pair[1], new)]  # noqa: C416


def in_any_order(tokens, pair, new):
    out, i = [], 0
    while i < len(tokens):
        if sorted(tokens[i : i + 2]) == sorted(pair):
            out.append(new)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out


def in_place(tokens, pair, new):
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) == pair:
            tokens[i : i + 2] = [new]
        i += 1
    return tokens


def index_runs_over(tokens, pair, new):
    out, i = [], 0
    while i < len(tokens):
        if (tokens[i], tokens[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out


def a_tuple(tokens, pair, new):
    out, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return tuple(out)


# 3.3


def no_continuation_mark(n):
    if n < 128:
        return bytes([n])
    if n < 2048:
        return bytes([0xC0 + n // 64, n % 64])
    if n < 65536:
        return bytes([0xE0 + n // 4096, n // 64 % 64, n % 64])
    return bytes([0xF0 + n // 262144, n // 4096 % 64, n // 64 % 64, n % 64])


def always_the_same_lead(n):
    if n < 128:
        return bytes([n])
    rest = []
    count = 1 if n < 2048 else 2 if n < 65536 else 3
    for _ in range(count):
        rest.insert(0, 0x80 + n % 64)
        n //= 64
    return bytes([0xC0 + n, *rest])


def no_mask(n):
    if n <= 127:
        return bytes([n])
    if n <= 2047:
        return bytes([0b11000000 | n >> 6, 0b10000000 | n])
    if n <= 65535:
        return bytes(
            [0b11100000 | n >> 12, 0b10000000 | n >> 6, 0b10000000 | n]
        )
    return bytes(
        [
            0b11110000 | n >> 18,
            0b10000000 | n >> 12,
            0b10000000 | n >> 6,
            0b10000000 | n,
        ]
    )


def with_borders(one, two, three):
    def encode(n):
        if n < one:
            return bytes([n])
        if n < two:
            return bytes([0xC0 | n >> 6, 0x80 | n & 63])
        if n < three:
            return bytes([0xE0 | n >> 12, 0x80 | n >> 6 & 63, 0x80 | n & 63])
        return bytes(
            [
                0xF0 | n >> 18,
                0x80 | n >> 12 & 63,
                0x80 | n >> 6 & 63,
                0x80 | n & 63,
            ]
        )

    return encode


def three_rows_only(n):
    if n < 128:
        return bytes([n])
    if n < 2048:
        return bytes([0xC0 | n >> 6, 0x80 | n & 63])
    return bytes([0xE0 | n >> 12, 0x80 | n >> 6 & 63, 0x80 | n & 63])


def low_bits_first(n):
    if n < 128:
        return bytes([n])
    if n < 2048:
        return bytes([0xC0 | n >> 6, 0x80 | n & 63])
    if n < 65536:
        return bytes([0xE0 | n >> 12, 0x80 | n & 63, 0x80 | n >> 6 & 63])
    return bytes(
        [0xF0 | n >> 18, 0x80 | n & 63, 0x80 | n >> 6 & 63, 0x80 | n >> 12 & 63]
    )


def plain_number(n):
    out = [n % 256]
    while n := n // 256:
        out.insert(0, n % 256)
    return bytes(out)


def list_of_numbers(n):
    return list(chr(n).encode())


def a_bytearray(n):
    return bytearray(chr(n), "utf-8")


def a_string_of_bits(n):
    return f"{n:08b}"


def needs_a_character(n):
    return bytes([ord(n)])


# 3.4


def greedy(word, merges):
    tokens = {a + b for a, b in merges}
    out, i = [], 0
    while i < len(word):
        end = len(word)
        while end > i + 1 and word[i:end] not in tokens:
            end -= 1
        out.append(word[i:end])
        i = end
    return out


def from_the_left(word, merges):
    out = list(word)
    i = 0
    while i < len(out) - 1:
        if (out[i], out[i + 1]) in merges:
            out[i] += out.pop(i + 1)
            i = 0
        else:
            i += 1
    return out


def everywhere(out, a, b):
    i, new = 0, []
    while i < len(out):
        if i + 1 < len(out) and out[i] == a and out[i + 1] == b:
            new.append(a + b)
            i += 2
        else:
            new.append(out[i])
            i += 1
    return new


def from_the_last_merge(word, merges):
    out = list(word)
    for a, b in reversed(merges):
        out = everywhere(out, a, b)
    return out


def one_place_only(word, merges):
    out = list(word)
    for a, b in merges:
        for i in range(len(out) - 1):
            if out[i] == a and out[i + 1] == b:
                out[i : i + 2] = [a + b]
                break
    return out


def one_merge_only(word, merges):
    out = list(word)
    for a, b in merges:
        new = everywhere(out, a, b)
        if new != out:
            return new
    return out


def joined_again(word, merges):
    out = list(word)
    for a, b in merges:
        out = everywhere(out, a, b)
    return "".join(out)


def calls_a_method_of_str(word, merges):
    for pair in merges:
        word = word.merge(pair)
    return word


# 3.5


def each_alone(ids, table):
    text = ""
    for id in ids:
        text += table[id].decode("utf-8", "replace")
    return text


def each_alone_without_the_rest(ids, table):
    return "".join([table[i].decode(errors="ignore") for i in ids])


def each_alone_strictly(ids, table):
    text = ""
    for id in ids:
        text += table[id].decode()
    return text


def strict(ids, table):
    joined = b""
    for id in ids:
        joined += table[id]
    return joined.decode()


def ignoring(ids, table):
    return bytes(b for id in ids for b in table[id]).decode(errors="ignore")


def a_character_a_byte(ids, table):
    return "".join(chr(byte) for id in ids for byte in table[id])


def what_python_prints(ids, table):
    text = ""
    for id in ids:
        text += repr(table[id])
    return text


def bytes_returned(ids, table):
    joined = b""
    for id in ids:
        joined += table[id]
    return joined


def joined_as_text(ids, table):
    return "".join(table[id] for id in ids)


# 3.6


def tally(word_counts, weighted=True):
    pairs, singles = {}, {}
    for word, n in word_counts.items():
        n = n if weighted else 1
        for i, letter in enumerate(word):
            singles[letter] = singles.get(letter, 0) + n
            if i:
                pair = (word[i - 1], letter)
                pairs[pair] = pairs.get(pair, 0) + n
    return pairs, singles


def most_frequent(word_counts):
    pairs, _ = tally(word_counts)
    return sorted(pairs, key=lambda p: (-pairs[p], p))[0]


def by_the_sum(word_counts):
    pairs, singles = tally(word_counts)
    score = {p: n / (singles[p[0]] + singles[p[1]]) for p, n in pairs.items()}
    return sorted(score, key=lambda p: (-score[p], p))[0]


def by_the_first(word_counts):
    pairs, singles = tally(word_counts)
    score = {p: n / singles[p[0]] for p, n in pairs.items()}
    return sorted(score, key=lambda p: (-score[p], p))[0]


def each_word_once(word_counts):
    pairs, singles = tally(word_counts, weighted=False)
    score = {p: n / (singles[p[0]] * singles[p[1]]) for p, n in pairs.items()}
    return sorted(score, key=lambda p: (-score[p], p))[0]


def no_parentheses(word_counts):
    pairs, singles = tally(word_counts)
    score = {p: n / singles[p[0]] * singles[p[1]] for p, n in pairs.items()}
    return sorted(score, key=lambda p: (-score[p], p))[0]


def letters_of_pairs(word_counts):
    pairs, _ = tally(word_counts)
    singles = Counter()
    for (a, b), n in pairs.items():
        singles[a] += n
        singles[b] += n
    score = {p: n / (singles[p[0]] * singles[p[1]]) for p, n in pairs.items()}
    return sorted(score, key=lambda p: (-score[p], p))[0]


def the_smallest(word_counts):
    pairs, singles = tally(word_counts)
    score = {p: n / (singles[p[0]] * singles[p[1]]) for p, n in pairs.items()}
    return sorted(score, key=lambda p: (score[p], p))[0]


def joined_pair(word_counts):
    pairs, singles = tally(word_counts)
    score = {p: n / (singles[p[0]] * singles[p[1]]) for p, n in pairs.items()}
    return "".join(max(score, key=score.get))


def pair_looked_up_as_token(word_counts):
    pairs, singles = tally(word_counts)
    return max(pairs, key=lambda p: pairs[p] / singles[p])


ALONE = "decodes each token alone"
BORDER = "a border of the table is not"
ACROSS = "the first letter of the next"
WRONG = {
    "3.1": [
        (one_long_string, ACROSS),
        (one_long_string_without_numbers, ACROSS),
        (a_text_with_spaces, "pairs with a space in them"),
        (counted_by_str_count, "Pairs may overlap"),
        (every_second_letter, "goes on by two letters"),
        (word_numbers_ignored, "counts every word once"),
        (set_instead_of_added, "keeps only its newest number"),
        (one_pair_too_few, "The last pair of each word is missing"),
        (keys_are_strings, "A pair is a tuple of two letters"),
        (list_of_the_pairs, "should be a dict, but it is a list"),
        (one_index_too_far, "raised IndexError"),
    ],
    "3.2": [
        (second_one_kept, "The second token of the pair is still there"),
        (three_steps, "loses one token"),
        (end_forgotten, "The last token is lost"),
        (returns_at_once, "Only the first occurrence"),
        (right_to_left, "works from right to left"),
        (through_a_string, "Compare tokens, not letters"),
        (in_any_order, "b·a is not the pair a·b"),
        (in_place, "changes its argument"),
        (index_runs_over, "raised IndexError"),
        (a_tuple, "should be a list, but it is a tuple"),
    ],
    "3.3": [
        (no_continuation_mark, "continuation bytes lack their mark"),
        (always_the_same_lead, "The first byte always begins with 110"),
        (no_mask, "holds six bits of the code point only"),
        (with_borders(127, 2047, 65535), BORDER),
        (with_borders(129, 2049, 65537), BORDER),
        (three_rows_only, "need the fourth row"),
        (low_bits_first, "stand in the wrong order"),
        (plain_number, "the code point as a plain number"),
        (list_of_numbers, "they stand in a list"),
        (a_bytearray, "this is a bytearray"),
        (a_string_of_bits, "expected b'A', got '01000001'"),
        (needs_a_character, "raised TypeError"),
    ],
    "3.4": [
        (greedy, "takes the longest known token"),
        (from_the_left, "merges the leftmost pair"),
        (from_the_last_merge, "begins with the last merge"),
        (one_place_only, "applied in one place only"),
        (one_merge_only, "stops after the first merge that fits"),
        (joined_again, "should be a list, but it is a str"),
        (calls_a_method_of_str, "raised AttributeError"),
    ],
    "3.5": [
        (each_alone, ALONE),
        (each_alone_without_the_rest, ALONE),
        (each_alone_strictly, ALONE),
        (strict, "Bytes that are no UTF-8 raise"),
        (ignoring, "Bytes that are no UTF-8 vanish"),
        (a_character_a_byte, "one character of every byte"),
        (what_python_prints, "what Python prints for them"),
        (bytes_returned, "they are still bytes"),
        (joined_as_text, "raised TypeError"),
    ],
    "3.6": [
        (most_frequent, "This is the most frequent pair"),
        (by_the_sum, "divides by the sum"),
        (by_the_first, "the count of the first token only"),
        (each_word_once, "counts every word once"),
        (no_parentheses, "Put the product in parentheses"),
        (letters_of_pairs, "counts single letters inside pairs"),
        (the_smallest, "the smallest score"),
        (joined_pair, "should be a tuple, but it is a str"),
        (pair_looked_up_as_token, "raised KeyError"),
    ],
}
