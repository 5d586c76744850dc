"""Exercises of chapter 16, "Text classification"."""

import math
from collections import Counter

from nextword.exercises.engine import Mistake, compare, exercise

WORDS = [
    "sum",
    "axis",
    "node",
    "line",
    "fit",
    "edge",
    "mean",
    "plot",
    "loss",
    "rate",
]


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


def _text(rng, words=WORDS, longest=6):
    """A few words, one of them twice."""
    drawn = [rng.choice(words) for _ in range(rng.randint(2, longest))]
    return " ".join([*drawn, drawn[0]])


@exercise("16.1", "The weight of a word")
def idf_table(answer, rng):
    """ln((1 + N) / (1 + n)) + 1, over the texts that hold the word."""
    cases = [(["red stone", "red red lake", "red hill"],)]
    for number in (4, 5, 7):
        # No whole set of weights must be equal by chance.
        cases.append((["sum sum node", *(_text(rng) for _ in range(number))],))

    def made(weight, count=lambda text: set(text.split())):
        def table(texts):
            holds = Counter(word for text in texts for word in count(text))
            N = len(texts)
            return {word: weight(N, n) for word, n in holds.items()}

        return table

    def right(N, n):
        return math.log((1 + N) / (1 + n)) + 1

    def all_words(texts):
        N = sum(len(text.split()) for text in texts)
        holds = Counter(w for text in texts for w in set(text.split()))
        return {word: right(N, n) for word, n in holds.items()}

    compare(
        answer,
        made(right),
        cases,
        _mistakes(
            (
                made(lambda N, n: (1 + N) / (1 + n) + 1),
                "The logarithm is missing. Without it, a word of one text in "
                "a thousand would outweigh all others.",
            ),
            (
                made(lambda N, n: (1 + N) / (1 + n)),
                "The logarithm is missing, and so is the 1 that is added to "
                "it.",
            ),
            (
                made(right, count=str.split),
                "You count how often a word occurs. Count the texts that hold "
                "it: a word that is twice in a text counts once there.",
            ),
            (
                made(lambda N, n: math.log((1 + n) / (1 + N)) + 1),
                "The fraction is upside down: rare words would weigh least.",
            ),
            (
                made(lambda N, n: math.log((1 + N) / (1 + n))),
                "The 1 behind the logarithm is missing. A word of all texts "
                "would weigh nothing.",
            ),
            (
                made(lambda N, n: math.log(N / n) + 1),
                "The ones inside the logarithm are missing, above and below.",
            ),
            (
                made(lambda N, n: math.log10((1 + N) / (1 + n)) + 1),
                "This is the logarithm to base 10. Take the natural one.",
            ),
            (
                made(lambda N, n: math.log2((1 + N) / (1 + n)) + 1),
                "This is the logarithm to base 2. Take the natural one.",
            ),
            (
                all_words,
                "N is the number of texts, and you take the number of words.",
            ),
        ),
    )


@exercise("16.2", "Counts without a leak")
def count_vectors(answer, rng):
    """The vocabulary of the training texts, and test texts counted in it."""
    cases = [(["a red stone", "a lake"], ["a red red hill"])]
    for _ in range(4):
        train = [_text(rng, WORDS[:7]) for _ in range(4)] + ["plot edge"]
        test = [_text(rng, WORDS[2:]) for _ in range(3)]
        test += ["rate rate loss plot plot", "zeta loss"]
        cases.append((train, test))

    def words(texts):
        return [word for text in texts for word in text.split()]

    def made(of=lambda train, test: sorted(set(words(train))), cell=int):
        def vectors(train, test):
            vocabulary = of(train, test)
            rows = [text.split() for text in test]
            counted = [[cell(r.count(w)) for w in vocabulary] for r in rows]
            return vocabulary, counted

        return vectors

    def counted_train(train, test):
        return made()(train, train)

    def swapped(train, test):
        return made()(train, test)[::-1]

    def as_list(train, test):
        return list(made()(train, test))

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(lambda a, b: sorted(set(words(a + b)))),
                "Your vocabulary holds words of the test texts. A model that "
                "is given it has read a part of the exam: this is a leak.",
            ),
            (
                made(lambda a, b: sorted(set(words(b)))),
                "This is the vocabulary of the test texts. A model can only "
                "have weights for words of its training texts.",
            ),
            (
                made(lambda a, b: sorted(set(words(a)) & set(words(b)))),
                "You keep only words that both sets hold. So the test texts "
                "decide what the model may read: this is a leak too.",
            ),
            (
                made(lambda a, b: list(dict.fromkeys(words(a)))),
                "The words are right, their order is not: sort them.",
            ),
            (
                made(cell=lambda n: min(n, 1)),
                "You write whether a word is there. Count how often.",
            ),
            (
                counted_train,
                "You count the training texts. The rows are those of the test "
                "texts.",
            ),
            (
                swapped,
                "The two results are exchanged: first the vocabulary, then "
                "the rows.",
            ),
            (as_list, "Return a tuple of the two, not a list."),
        ),
    )


@exercise("16.3", "The recall of each class")
def class_recalls(answer, rng):
    """Right answers among the texts of a class; None for a class without."""
    cases = [([0, 0, 0, 1], [0, 1, 1, 1], 3)]
    for classes in (3, 4, 5):
        # Class 0 is said too often, and the last one has no text.
        labels = [
            k for k in range(classes - 1) for _ in range(rng.randint(2, 5))
        ]
        said = [y if rng.random() < 0.6 else 0 for y in labels]
        labels += [0, 0, 0, 1]
        said += [0, classes - 1, 1, 0]
        cases.append((labels, said, classes))

    def made(per=lambda labels, said: labels, empty=None, total=None):
        def recalls(labels, said, classes):
            right = Counter(
                y for y, a in zip(labels, said, strict=True) if y == a
            )
            there = Counter(per(labels, said))
            shares = []
            for k in range(classes):
                below = there[k] if total is None else total(labels)
                shares.append(right[k] / below if below else empty)
            return shares

        return recalls

    def one_against_all(labels, said, classes):
        pairs = list(zip(labels, said, strict=True))
        return [
            sum((y == k) == (a == k) for y, a in pairs) / len(pairs)
            for k in range(classes)
        ]

    def no_care(labels, said, classes):
        right = Counter(y for y, a in zip(labels, said, strict=True) if y == a)
        return [right[k] / labels.count(k) for k in range(classes)]

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(lambda labels, said: said),
                "This is the precision: you divide by how often the class was "
                "answered. Your table is transposed. Divide by the number of "
                "texts that the class has.",
            ),
            (
                made(lambda labels, said: said, empty=0.0),
                "This is the precision: you divide by how often the class was "
                "answered. Divide by the number of texts that it has, and "
                "return None for a class without texts.",
            ),
            (
                made(empty=0.0),
                "A class without texts has no recall, and you return 0. "
                "Return None for it.",
            ),
            (
                made(empty=1.0),
                "A class without texts has no recall, and you return 1. "
                "Return None for it.",
            ),
            (
                no_care,
                "You divide by 0 for a class without texts. Return None for "
                "it.",
            ),
            (
                made(total=len),
                "You divide by the number of all texts. Divide by the number "
                "of texts of the class.",
            ),
            (
                one_against_all,
                "You count texts of other classes as right if they did not "
                "get this class. Look at the texts of the class alone.",
            ),
        ),
    )


@exercise("16.4", "The calibration error")
def ece(answer, rng):
    """The mean of |accuracy - confidence|, weighted by the answers of a bin."""
    cases = [([0.95, 0.85, 0.85, 0.55], [1, 0, 0, 1], 10)]
    cases.append(([0.2, 0.3, 0.9], [1, 1, 0], 2))  # not sure enough
    cases.append(([0.96, 0.97, 1.0], [1, 1, 0], 5))  # the end of the scale
    for bins in (2, 5, 10):
        confidences = [rng.uniform(0.3, 0.99) for _ in range(12)]
        right = [int(rng.random() < 0.5) for _ in confidences]
        # Bins that are sure of too little and of too much, borders, the end.
        confidences += [0.21, 0.22, 0.71, 0.72, 0.8, 0.6, 0.95, 0.96, 1.0]
        right += [1, 1, 0, 0, 1, 0, 1, 1, 0]
        cases.append((confidences, right, bins))

    def groups(confidences, right, bins, place=None):
        place = place or (lambda p: min(int(p * bins), bins - 1))
        found = {}
        for p, r in zip(confidences, right, strict=True):
            found.setdefault(place(p), []).append((p, r))
        for pairs in found.values():
            n = len(pairs)
            gap = sum(r for _, r in pairs) / n - sum(p for p, _ in pairs) / n
            yield n, gap

    def made(gap=abs, of_all=False):
        def error(confidences, right, bins):
            found = list(groups(confidences, right, bins))
            whole = bins if of_all else len(confidences)
            return sum(n * gap(x) for n, x in found) / whole

        return error

    def equal(confidences, right, bins):
        found = [abs(x) for _, x in groups(confidences, right, bins)]
        return sum(found) / len(found)

    def equal_of_all(confidences, right, bins):
        found = [abs(x) for _, x in groups(confidences, right, bins)]
        return sum(found) / bins

    def largest(confidences, right, bins):
        return max(abs(x) for _, x in groups(confidences, right, bins))

    def sums(confidences, right, bins):
        return sum(n * abs(x) for n, x in groups(confidences, right, bins))

    def one_bin(confidences, right, bins):
        return abs(sum(right) - sum(confidences)) / len(right)

    def each(confidences, right, bins):
        pairs = zip(confidences, right, strict=True)
        return sum(abs(r - p) for p, r in pairs) / len(right)

    def own_bin_for_one(confidences, right, bins):
        found = groups(confidences, right, bins, lambda p: int(p * bins))
        return sum(n * abs(x) for n, x in found) / len(right)

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                equal,
                "Your bins have equal weights. A bin of one answer must not "
                "count like a bin of a hundred: weight each by its answers.",
            ),
            (
                equal_of_all,
                "You divide the sum of the gaps by the number of bins. Weight "
                "each gap by the answers of its bin instead.",
            ),
            (
                made(gap=lambda x: x),
                "The absolute value is missing: bins that are too sure and "
                "bins that are not sure enough cancel.",
            ),
            (
                made(gap=lambda x: -x),
                "The absolute value is missing: bins that are too sure and "
                "bins that are not sure enough cancel.",
            ),
            (
                one_bin,
                "You compare the mean confidence with the accuracy of all "
                "answers. That is a single bin.",
            ),
            (
                each,
                "You compare each answer with its own confidence. An answer "
                "is right or wrong; only a group has an accuracy.",
            ),
            (
                made(gap=lambda x: x * x),
                "You square the gaps. Take their absolute values.",
            ),
            (
                largest,
                "This is the largest gap. Take the mean over all answers.",
            ),
            (
                sums,
                "This is the sum over the answers. Divide by their number.",
            ),
            (
                own_bin_for_one,
                "A confidence of exactly 1 gets a bin of its own in your "
                "answer. It belongs to the last bin.",
            ),
        ),
    )


@exercise("16.5", "Draw whole files")
def means_by_file(answer, rng):
    """Means of resampled answers; the files are drawn, by given draws."""
    cases = [([1, 0, 0, 1], ["b", "a", "a", "c"], [[0, 0, 1], [2, 1, 2]])]
    for number in (3, 4, 6):
        files, right = [], []
        for k in range(number):
            size = rng.randint(1, 6) + (k == 0) * 4
            # The first file in order of appearance is never the first by name.
            files += [f"{'zyxwvu'[k]}.py"] * size
            right += [int(rng.random() < 0.3 + 0.5 * (k % 2))] * size
        order = list(range(1, len(files)))
        rng.shuffle(order)
        order = [0, *order]
        right, files = [right[n] for n in order], [files[n] for n in order]
        draws = [[0] * number, [0, 0, *range(1, number - 1)]]
        draws += [[rng.randrange(number) for _ in range(number)] for _ in "abc"]
        cases.append((right, files, draws))

    def answers(right, files, names=None):
        found = {name: [] for name in names or files}
        for r, name in zip(right, files, strict=True):
            found[name].append(r)
        return list(found.values())

    def pooled(parts):
        flat = [r for part in parts for r in part]
        return sum(flat) / len(flat)

    def made(draw=lambda drawn: drawn, mean=pooled, names=lambda files: files):
        def means(right, files, draws):
            own = answers(right, files, names(files))
            return [mean([own[n] for n in draw(drawn)]) for drawn in draws]

        return means

    def mean_of_means(parts):
        return sum(sum(part) / len(part) for part in parts) / len(parts)

    def values(right, files, draws):
        return [sum(right[n] for n in drawn) / len(drawn) for drawn in draws]

    def fixed_size(right, files, draws):
        own = answers(right, files)
        sums = [sum(sum(own[n]) for n in drawn) for drawn in draws]
        return [x / len(right) for x in sums]

    def average(right, files, draws):
        means = made()(right, files, draws)
        return sum(means) / len(means)

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(draw=lambda drawn: sorted(set(drawn))),
                "A file that is drawn twice counts once in your answer. The "
                "bootstrap draws with repetition: it must count twice.",
            ),
            (
                made(mean=mean_of_means),
                "You take the mean of the files' means, so a file of one "
                "answer counts like a file of a hundred. Put the answers of "
                "all drawn files together first.",
            ),
            (
                values,
                "The numbers in a draw are numbers of files, and you take "
                "them as numbers of answers.",
            ),
            (
                fixed_size,
                "You divide by the number of all answers. A draw has as many "
                "answers as its files have together.",
            ),
            (
                made(names=sorted),
                "File 0 is the one that appears first in the list, not the "
                "first one by name.",
            ),
            (
                average,
                "This is the mean of all draws. Return one mean for each "
                "draw: their spread is what we want.",
            ),
        ),
    )
