"""Wrong answers to the exercises of chapter 16, and what each is told."""

import math
from collections import Counter, defaultdict


def _texts_with(texts):
    return Counter(word for text in texts for word in set(text.split()))


def idf_no_log(texts):
    N = len(texts)
    return {w: (1 + N) / (1 + n) + 1 for w, n in _texts_with(texts).items()}


def idf_fraction_alone(texts):
    N = len(texts)
    return {w: (N + 1) / (n + 1) for w, n in _texts_with(texts).items()}


def idf_occurrences(texts):
    counts = Counter()
    for text in texts:
        counts.update(text.split())
    N = len(texts)
    return {w: math.log((1 + N) / (1 + n)) + 1 for w, n in counts.items()}


def idf_upside_down(texts):
    N = len(texts)
    found = _texts_with(texts)
    return {w: 1 - math.log((1 + N) / (1 + n)) for w, n in found.items()}


def idf_no_one_behind(texts):
    N = len(texts)
    return {
        w: math.log((1 + N) / (1 + n)) for w, n in _texts_with(texts).items()
    }


def idf_not_smoothed(texts):
    N = len(texts)
    return {w: math.log(N / n) + 1 for w, n in _texts_with(texts).items()}


def idf_base_ten(texts):
    N = len(texts)
    found = _texts_with(texts)
    return {w: math.log10((1 + N) / (1 + n)) + 1 for w, n in found.items()}


def idf_base_two(texts):
    N = len(texts)
    found = _texts_with(texts)
    return {w: math.log((1 + N) / (1 + n), 2) + 1 for w, n in found.items()}


def idf_number_of_words(texts):
    N = len(" ".join(texts).split())
    found = _texts_with(texts)
    return {w: math.log((1 + N) / (1 + n)) + 1 for w, n in found.items()}


def idf_nothing(texts):
    dict.fromkeys(_texts_with(texts), 1.0)


def _rows(vocabulary, texts):
    return [[text.split().count(w) for w in vocabulary] for text in texts]


def _words(texts):
    return set(" ".join(texts).split())


def vectors_of_both(train, test):
    vocabulary = sorted(_words(train) | _words(test))
    return vocabulary, _rows(vocabulary, test)


def vectors_of_test(train, test):
    vocabulary = sorted(_words(test))
    return vocabulary, _rows(vocabulary, test)


def vectors_in_common(train, test):
    vocabulary = sorted(_words(train).intersection(_words(test)))
    return vocabulary, _rows(vocabulary, test)


def vectors_unsorted(train, test):
    vocabulary = []
    for text in train:
        for word in text.split():
            if word not in vocabulary:
                vocabulary.append(word)
    return vocabulary, _rows(vocabulary, test)


def vectors_binary(train, test):
    vocabulary = sorted(_words(train))
    rows = [[int(w in text.split()) for w in vocabulary] for text in test]
    return vocabulary, rows


def vectors_of_train(train, test):
    vocabulary = sorted(_words(train))
    return vocabulary, _rows(vocabulary, train)


def vectors_exchanged(train, test):
    vocabulary = sorted(_words(train))
    return _rows(vocabulary, test), vocabulary


def vectors_list(train, test):
    vocabulary = sorted(_words(train))
    return [vocabulary, _rows(vocabulary, test)]


def vectors_unknown_word(train, test):
    vocabulary = sorted(_words(train))
    rows = []
    for text in test:
        row = [0] * len(vocabulary)
        for word in text.split():
            row[vocabulary.index(word)] += 1
        rows.append(row)
    return vocabulary, rows


def _matrix(labels, said, classes):
    matrix = [[0] * classes for _ in range(classes)]
    for y, a in zip(labels, said, strict=True):
        matrix[y][a] += 1
    return matrix


def recall_transposed(labels, said, classes):
    matrix = _matrix(said, labels, classes)
    rows = [(row[k], sum(row)) for k, row in enumerate(matrix)]
    return [x / n if n else None for x, n in rows]


def recall_transposed_zero(labels, said, classes):
    matrix = _matrix(said, labels, classes)
    return [row[k] / max(1, sum(row)) for k, row in enumerate(matrix)]


def recall_zero(labels, said, classes):
    matrix = _matrix(labels, said, classes)
    return [row[k] / max(1, sum(row)) for k, row in enumerate(matrix)]


def recall_one(labels, said, classes):
    matrix = _matrix(labels, said, classes)
    return [
        row[k] / sum(row) if sum(row) else 1.0 for k, row in enumerate(matrix)
    ]


def recall_no_care(labels, said, classes):
    matrix = _matrix(labels, said, classes)
    return [row[k] / sum(row) for k, row in enumerate(matrix)]


def recall_of_all(labels, said, classes):
    matrix = _matrix(labels, said, classes)
    return [matrix[k][k] / len(labels) for k in range(classes)]


def recall_one_against_all(labels, said, classes):
    shares = []
    for k in range(classes):
        right = [
            (y == k) is (a == k) for y, a in zip(labels, said, strict=True)
        ]
        shares.append(sum(right) / len(right))
    return shares


def recall_accuracy(labels, said, classes):
    return sum(map(int.__eq__, labels, said)) / len(labels)


def _bins(confidences, right, bins):
    found = defaultdict(list)
    for p, r in zip(confidences, right, strict=True):
        found[min(bins - 1, int(bins * p))].append((p, r))
    return [
        (sum(p for p, _ in x) / len(x), sum(r for _, r in x) / len(x), len(x))
        for x in found.values()
    ]


def ece_equal_bins(confidences, right, bins):
    found = _bins(confidences, right, bins)
    return sum(abs(a - c) for c, a, _ in found) / len(found)


def ece_equal_bins_of_all(confidences, right, bins):
    return sum(abs(a - c) for c, a, _ in _bins(confidences, right, bins)) / bins


def ece_no_abs(confidences, right, bins):
    found = _bins(confidences, right, bins)
    return sum(n * (a - c) for c, a, n in found) / len(right)


def ece_no_abs_reversed(confidences, right, bins):
    found = _bins(confidences, right, bins)
    return sum(n * (c - a) for c, a, n in found) / len(right)


def ece_one_bin(confidences, right, bins):
    accuracy = sum(right) / len(right)
    return abs(accuracy - sum(confidences) / len(confidences))


def ece_each(confidences, right, bins):
    gaps = [abs(p - r) for p, r in zip(confidences, right, strict=True)]
    return sum(gaps) / len(gaps)


def ece_squared(confidences, right, bins):
    found = _bins(confidences, right, bins)
    return sum(n * (a - c) ** 2 for c, a, n in found) / len(right)


def ece_largest(confidences, right, bins):
    return max(abs(a - c) for c, a, _ in _bins(confidences, right, bins))


def ece_sum(confidences, right, bins):
    return sum(n * abs(a - c) for c, a, n in _bins(confidences, right, bins))


def ece_end_apart(confidences, right, bins):
    found = defaultdict(list)
    for p, r in zip(confidences, right, strict=True):
        found[int(bins * p)].append((p, r))
    gaps = [
        abs(sum(r for _, r in x) - sum(p for p, _ in x)) for x in found.values()
    ]
    return sum(gaps) / len(right)


def ece_percent(confidences, right, bins):
    found = _bins(confidences, right, bins)
    return 100 * sum(n * abs(a - c) for c, a, n in found) / len(right)


def _of_files(right, files):
    found = {}
    for r, name in zip(right, files, strict=True):
        found.setdefault(name, []).append(r)
    return found


def draw_once(right, files, draws):
    own = list(_of_files(right, files).values())
    means = []
    for draw in draws:
        flat = [r for n in set(draw) for r in own[n]]
        means.append(sum(flat) / len(flat))
    return means


def draw_mean_of_means(right, files, draws):
    own = [sum(x) / len(x) for x in _of_files(right, files).values()]
    return [sum(own[n] for n in draw) / len(draw) for draw in draws]


def draw_answers(right, files, draws):
    return [sum(right[n] for n in draw) / len(draw) for draw in draws]


def draw_fixed_size(right, files, draws):
    own = list(_of_files(right, files).values())
    return [sum(sum(own[n]) for n in draw) / len(right) for draw in draws]


def draw_sorted(right, files, draws):
    found = _of_files(right, files)
    names = sorted(found)
    means = []
    for draw in draws:
        flat = [r for n in draw for r in found[names[n]]]
        means.append(sum(flat) / len(flat))
    return means


def draw_average(right, files, draws):
    own = list(_of_files(right, files).values())
    flat = [[r for n in draw for r in own[n]] for draw in draws]
    return sum(sum(x) / len(x) for x in flat) / len(draws)


def draw_nothing(right, files, draws):
    return []


WRONG = {
    "16.1": [
        (idf_no_log, "The logarithm is missing. Without it"),
        (idf_fraction_alone, "and so is the 1 that is added"),
        (idf_occurrences, "Count the texts that hold it"),
        (idf_upside_down, "The fraction is upside down"),
        (idf_no_one_behind, "The 1 behind the logarithm is missing"),
        (idf_not_smoothed, "The ones inside the logarithm are missing"),
        (idf_base_ten, "the logarithm to base 10"),
        (idf_base_two, "the logarithm to base 2"),
        (idf_number_of_words, "you take the number of words"),
        (idf_nothing, "Is a `return` missing?"),
    ],
    "16.2": [
        (vectors_of_both, "holds words of the test texts"),
        (vectors_of_test, "This is the vocabulary of the test texts"),
        (vectors_in_common, "You keep only words that both sets hold"),
        (vectors_unsorted, "their order is not: sort them"),
        (vectors_binary, "You write whether a word is there"),
        (vectors_of_train, "You count the training texts"),
        (vectors_exchanged, "The two results are exchanged"),
        (vectors_list, "Return a tuple of the two"),
        (vectors_unknown_word, "raised ValueError: "),
    ],
    "16.3": [
        (recall_transposed, "Your table is transposed"),
        (recall_transposed_zero, "return None for a class without texts"),
        (recall_zero, "has no recall, and you return 0"),
        (recall_one, "has no recall, and you return 1"),
        (recall_no_care, "You divide by 0 for a class without texts"),
        (recall_of_all, "You divide by the number of all texts"),
        (recall_one_against_all, "You count texts of other classes as right"),
        (recall_accuracy, "should be a list, but it is a float"),
    ],
    "16.4": [
        (ece_equal_bins, "Your bins have equal weights"),
        (ece_equal_bins_of_all, "by the number of bins"),
        (ece_no_abs, "The absolute value is missing"),
        (ece_no_abs_reversed, "The absolute value is missing"),
        (ece_one_bin, "That is a single bin"),
        (ece_each, "only a group has an accuracy"),
        (ece_squared, "You square the gaps"),
        (ece_largest, "This is the largest gap"),
        (ece_sum, "This is the sum over the answers"),
        (ece_end_apart, "It belongs to the last bin"),
        (ece_percent, "expected 0.55"),
    ],
    "16.5": [
        (draw_once, "A file that is drawn twice counts once"),
        (draw_mean_of_means, "You take the mean of the files' means"),
        (draw_answers, "you take them as numbers of answers"),
        (draw_fixed_size, "You divide by the number of all answers"),
        (draw_sorted, "File 0 is the one that appears first"),
        (draw_average, "This is the mean of all draws"),
        (draw_nothing, ", got []."),
    ],
}
