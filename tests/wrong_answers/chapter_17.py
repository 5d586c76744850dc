"""What learners write for the exercises of chapter 17, and what they are told."""

import math


def odds_reversed(positive, negative, word, k):
    V = len(set(positive) | set(negative))
    p = (positive.get(word, 0) + k) / (sum(positive.values()) + k * V)
    q = (negative.get(word, 0) + k) / (sum(negative.values()) + k * V)
    return math.log(q / p)


def odds_in_bits(positive, negative, word, k):
    return -odds_reversed(positive, negative, word, k) / math.log(2)


def odds_as_a_ratio(positive, negative, word, k):
    return math.exp(-odds_reversed(positive, negative, word, k))


def odds_sum_without_k(positive, negative, word, k):
    p = (positive.get(word, 0) + k) / sum(positive.values())
    q = (negative.get(word, 0) + k) / sum(negative.values())
    return math.log(p) - math.log(q)


def odds_k_once(positive, negative, word, k):
    p = (positive.get(word, 0) + k) / (sum(positive.values()) + k)
    q = (negative.get(word, 0) + k) / (sum(negative.values()) + k)
    return math.log(p) - math.log(q)


def odds_two_vocabularies(positive, negative, word, k):
    p = positive.get(word, 0) + k
    p /= sum(positive.values()) + k * len(positive)
    q = negative.get(word, 0) + k
    q /= sum(negative.values()) + k * len(negative)
    return math.log(p / q)


def odds_counted_twice(positive, negative, word, k):
    V = len(list(positive) + list(negative))
    p = (positive.get(word, 0) + k) / (sum(positive.values()) + k * V)
    q = (negative.get(word, 0) + k) / (sum(negative.values()) + k * V)
    return math.log(p / q)


def odds_unsmoothed(positive, negative, word, k):
    p = positive.get(word, 0) / sum(positive.values())
    q = negative.get(word, 0) / sum(negative.values())
    return math.log(p / q)


def pair_texts(pairs):
    right = [p > 0 for p, _ in pairs] + [n < 0 for _, n in pairs]
    return sum(right) / len(right)


def pair_ordered(pairs):
    return sum(p - n > 0 for p, n in pairs) / len(pairs)


def pair_either(pairs):
    return sum((p > 0) or (n < 0) for p, n in pairs) / len(pairs)


def pair_wrong_side(pairs):
    return sum(min(pair) > 0 for pair in pairs) / len(pairs)


def pair_zero_is_right(pairs):
    return sum(p >= 0 >= n for p, n in pairs) / len(pairs)


def pair_number(pairs):
    return len([1 for p, n in pairs if p > 0 > n])


def _mark(words, denials=("not", "no", "never"), endings=("n't",)):
    """The right answer, for those who only spoil a part of it."""
    marked, inside = [], False
    for word in words:
        if word in ".,:;!?":
            inside = False
            marked.append(word)
        elif word in denials or word.endswith(endings):
            inside = True
            marked.append(word)
        else:
            marked.append("NOT_" + word if inside else word)
    return marked


def mark_itself(words):
    marked, inside = [], False
    for word in words:
        if word in ".,:;!?":
            inside = False
        if word in ("not", "no", "never") or word.endswith("n't"):
            inside = True
        marked.append("NOT_" + word if inside else word)
    return marked


def mark_to_the_end(words):
    marked, inside = [], False
    for word in words:
        denial = word in ("not", "no", "never") or word.endswith("n't")
        plain = denial or word in ".,:;!?" or not inside
        marked.append(word if plain else "NOT_" + word)
        inside = inside or denial
    return marked


def mark_the_sign_too(words):
    marked, inside = [], False
    for word in words:
        denial = word in ("not", "no", "never") or word.endswith("n't")
        marked.append("NOT_" + word if inside and not denial else word)
        inside = (inside or denial) and word not in ".,:;!?"
    return marked


def mark_one_word(words):
    marked, before = [], ""
    for word in words:
        denied = before in ("not", "no", "never") or before.endswith("n't")
        denial = word in ("not", "no", "never") or word.endswith("n't")
        plain = denial or word in ".,:;!?" or not denied
        marked.append(word if plain else "NOT_" + word)
        before = word
    return marked


def mark_without_endings(words):
    return _mark(words, endings=())


def mark_after_not_alone(words):
    return _mark(words, denials=("not",), endings=())


def mark_in_place(words):
    words[:] = _mark(words)
    return words


def _mean_gradient(gradient, x, baseline, shares):
    rows = []
    for s in shares:
        point = [b + s * (v - b) for v, b in zip(x, baseline, strict=True)]
        rows.append(gradient(point))
    return [sum(row[i] for row in rows) / len(rows) for i in range(len(x))]


def _middles(n):
    return [(2 * i + 1) / (2 * n) for i in range(n)]


def attribute_gradient_alone(gradient, x, baseline, steps):
    return _mean_gradient(gradient, x, baseline, _middles(steps))


def attribute_times_x(gradient, x, baseline, steps):
    means = _mean_gradient(gradient, x, baseline, _middles(steps))
    return [v * m for v, m in zip(x, means, strict=True)]


def attribute_backwards(gradient, x, baseline, steps):
    means = _mean_gradient(gradient, x, baseline, _middles(steps))
    return [(b - v) * m for v, b, m in zip(x, baseline, means, strict=True)]


def attribute_at_x(gradient, x, baseline, steps):
    slope = gradient(x)
    return [(v - b) * g for v, b, g in zip(x, baseline, slope, strict=True)]


def attribute_from_the_left(gradient, x, baseline, steps):
    shares = [i / steps for i in range(steps)]
    means = _mean_gradient(gradient, x, baseline, shares)
    return [(v - b) * m for v, b, m in zip(x, baseline, means, strict=True)]


def attribute_from_the_right(gradient, x, baseline, steps):
    shares = [i / steps for i in range(1, steps + 1)]
    means = _mean_gradient(gradient, x, baseline, shares)
    return [(v - b) * m for v, b, m in zip(x, baseline, means, strict=True)]


def attribute_a_sum(gradient, x, baseline, steps):
    means = _mean_gradient(gradient, x, baseline, _middles(steps))
    three = zip(x, baseline, means, strict=True)
    return [(v - b) * m * steps for v, b, m in three]


def attribute_one_number(gradient, x, baseline, steps):
    means = _mean_gradient(gradient, x, baseline, _middles(steps))
    three = zip(x, baseline, means, strict=True)
    return sum((v - b) * m for v, b, m in three)


def bags_as_sets(pairs):
    return sum(set(a) == set(b) for a, b in pairs) / len(pairs)


def bags_in_order(pairs):
    return sum(a == b for a, b in pairs) / len(pairs)


def bags_of_letters(pairs):
    same = [sorted("".join(a)) == sorted("".join(b)) for a, b in pairs]
    return sum(same) / len(same)


def bags_contained(pairs):
    same = [all(word in b for word in a) for a, b in pairs]
    return sum(same) / len(same)


def bags_that_differ(pairs):
    return sum(sorted(a) != sorted(b) for a, b in pairs) / len(pairs)


def bags_counted(pairs):
    return sum(sorted(a) == sorted(b) for a, b in pairs)


WRONG = {
    "17.1": [
        (odds_reversed, "The sign is wrong"),
        (odds_in_bits, "This is log2"),
        (odds_as_a_ratio, "This is the ratio itself"),
        (odds_sum_without_k, "the sum grows by k * V"),
        (odds_k_once, "The sum grows by k in your answer"),
        (odds_two_vocabularies, "a vocabulary of its own"),
        (odds_counted_twice, "You count words of both labels twice"),
        (odds_unsmoothed, "raised ZeroDivisionError"),
    ],
    "17.2": [
        (pair_texts, "This is the share of right texts"),
        (pair_ordered, "You compare the two scores of a pair"),
        (pair_either, "One right text is enough"),
        (pair_wrong_side, "it is right when it is below 0"),
        (pair_zero_is_right, "A score of 0 decides nothing"),
        (pair_number, "This is the number of pairs"),
    ],
    "17.3": [
        (mark_itself, "The denial itself is marked"),
        (mark_to_the_end, "goes on to the end of the text"),
        (mark_the_sign_too, "is marked too"),
        (mark_one_word, "Only the next word is marked"),
        (mark_without_endings, "Words that end in n't"),
        (mark_after_not_alone, "Only 'not' is a denial"),
        (mark_in_place, "changes its argument"),
    ],
    "17.4": [
        (attribute_gradient_alone, "This is the mean gradient"),
        (attribute_times_x, "You multiply by x"),
        (attribute_backwards, "The sign is wrong"),
        (attribute_at_x, "the gradient at x alone"),
        (attribute_from_the_left, "the beginnings of the parts"),
        (attribute_from_the_right, "the ends of the parts"),
        (attribute_a_sum, "You add the gradients up"),
        (attribute_one_number, "the sum over all numbers of x"),
    ],
    "17.5": [
        (bags_as_sets, "You compare sets"),
        (bags_in_order, "A bag has no order"),
        (bags_of_letters, "You compare letters"),
        (bags_contained, "that the other lacks"),
        (bags_that_differ, "that a bag can tell apart"),
        (bags_counted, "This is the number of pairs"),
    ],
}
