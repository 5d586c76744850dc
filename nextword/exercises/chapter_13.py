"""Exercises of chapter 13, "Pretraining a BERT"."""

import math

from nextword.exercises.engine import Mistake, compare, exercise

IGNORE = -100


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("13.1", "Hide by given draws")
def hide_words(answer, rng):
    """80 % mask, 10 % a random word, 10 % as it was."""
    cases = [
        ([1, 7, 8], [0.0, 0.1, 0.5], [0.5, 0.95, 0.5], [6, 9, 5], 4, 5),
        ([7, 8, 9], [0.1, 0.1, 0.1], [0.1, 0.85, 0.97], [5, 6, 8], 4, 5),
        ([1, 2, 7], [0.01, 0.02, 0.9], [0.2, 0.95, 0.1], [9, 8, 6], 4, 5),
    ]
    for T in (12, 60, 90):
        first_word = rng.randint(4, 8)
        mask_id = rng.randrange(2, first_word)
        top = first_word + 40
        words = [rng.randrange(first_word, top) for _ in range(2 * T)]
        ids = [
            rng.randrange(2 if n % 5 == 0 else first_word, top)
            for n in range(T)
        ]
        ids[0] = 1
        draws = [rng.random() * (0.3 if n % 2 else 1) for n in range(T)]
        draws[0] = 0.01
        ways = [rng.random() ** 0.3 for _ in range(T)]
        cases.append((ids, draws, ways, words[:T], mask_id, first_word))

    def made(
        special=True, target=None, swap=False, ways=(0.8, 0.9), every=False
    ):
        def hide(ids, draws, way, words, mask_id, first_word):
            read, targets = list(ids), [IGNORE] * len(ids)
            for n, id in enumerate(ids):
                if draws[n] >= 0.15 or (special and id < first_word):
                    continue
                if way[n] < ways[0]:
                    read[n] = words[n] if swap else mask_id
                elif way[n] >= ways[1]:
                    read[n] = mask_id if swap else words[n]
                if target is None or target(read[n], id, mask_id):
                    targets[n] = id
            if every:
                targets = list(ids)
            return read, targets

        return hide

    def of_changed(ids, *rest):
        read, targets = made()(ids, *rest)
        kept = zip(read, targets, strict=True)
        return read, [IGNORE if t == IGNORE else r for r, t in kept]

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(special=False),
                "Special signs are hidden too. An id below first_word is never "
                "chosen.",
            ),
            (
                made(every=True),
                "There is a target at every place. Only chosen places have "
                "one; all others have -100.",
            ),
            (
                made(target=lambda read, id, mask: read != id),
                "A chosen place that stays as it is has no target in your "
                "answer. The loss asks there too: that is why it was chosen.",
            ),
            (
                made(target=lambda read, id, mask: read == mask),
                "Only places with the mask have a target. The random words and "
                "the ones that stay are asked for as well.",
            ),
            (
                of_changed,
                "The target is what the model reads after the change. It "
                "should be the word that stood there before.",
            ),
            (
                made(ways=(0.8, 0.8)),
                "No chosen word stays as it is: from 0.8 on all become random. "
                "Random ones begin at 0.9.",
            ),
            (
                made(ways=(1.0, 1.0)),
                "Every chosen word becomes the mask. Where is the second draw, "
                "ways?",
            ),
            (
                made(ways=(0.9, 0.9)),
                "The mask ends at 0.8, but in your answer at 0.9.",
            ),
            (
                made(swap=True),
                "Mask and random word are exchanged: below 0.8 comes the mask.",
            ),
            (
                lambda *case: made()(*case)[::-1],
                "The two lists are exchanged: first what the model reads, then "
                "the targets.",
            ),
            (
                lambda *case: made()(*case)[0],
                "This is only what the model reads. Return the targets too, as "
                "a tuple of two lists.",
            ),
        ),
    )


def _nats(z, y):
    largest = max(z)
    return largest + math.log(sum(math.exp(x - largest) for x in z)) - z[y]


@exercise("13.2", "The loss at hidden places")
def masked_nats(answer, rng):
    """The sum of -ln P over the places that are asked, and their number."""
    cases = [
        ([[0.0, 0.0], [5.0, 1.0]], [1, IGNORE]),
        ([[0.0, 1.0], [2.0, 1.0]], [IGNORE, IGNORE]),
    ]
    for T, V, scale in ((5, 3, 2.0), (9, 120, 3.0), (6, 4, 1000.0)):
        logits = [
            [rng.uniform(-scale, scale) for _ in range(V)] for _ in range(T)
        ]
        if scale == 1000:
            logits[0][1] = 990.0
        targets = [rng.randrange(V) for _ in range(T)]
        for n in rng.sample(range(1, T), T // 2):
            targets[n] = IGNORE
        targets[0] = rng.randrange(V)
        cases.append((logits, targets))

    def right(logits, targets):
        asked = [
            _nats(z, y)
            for z, y in zip(logits, targets, strict=True)
            if y != IGNORE
        ]
        return sum(asked, 0.0), len(asked)

    def counted(logits, targets):
        return right(logits, targets)[0], len(targets)

    def mean(pair, guarded):
        def divide(logits, targets):
            total, number = right(logits, targets)
            mean = 0.0 if guarded and not number else total / number
            return (mean, number) if pair else mean

        return divide

    def overflowing(logits, targets):
        total, number = 0.0, 0
        for z, y in zip(logits, targets, strict=True):
            if y != IGNORE:
                total += math.log(sum(map(math.exp, z))) - z[y]
                number += 1
        return total, number

    def dividing(logits, targets):
        total, number = 0.0, 0
        for z, y in zip(logits, targets, strict=True):
            if y != IGNORE:
                shares = [math.exp(x) for x in z]
                total -= math.log(shares[y] / sum(shares))
                number += 1
        return total, number

    def unnormalised(logits, targets):
        asked = [
            -z[y] for z, y in zip(logits, targets, strict=True) if y != IGNORE
        ]
        return sum(asked, 0.0), len(asked)

    def as_zero(logits, targets):
        every = [0 if y == IGNORE else y for y in targets]
        return right(logits, every)

    def last(logits, targets):
        every = [_nats(z, y) for z, y in zip(logits, targets, strict=True)]
        return sum(every, 0.0), len(every)

    a_mean = (
        "You return the mean. Return the sum and the number, so that batches "
        "can be added up."
    )
    forms = [(p, g) for p in (True, False) for g in (True, False)]
    overflow = (
        "The exponential of a large logit overflows. Subtract the largest "
        "logit of the row before exp, and add it again after the logarithm."
    )
    compare(
        answer,
        right,
        cases,
        _mistakes(
            *((mean(*kind), a_mean) for kind in forms),
            (
                counted,
                "The sum is right, but you count all places. Count only those "
                "that are asked.",
            ),
            (overflowing, overflow),
            (dividing, overflow),
            (
                unnormalised,
                "You add up negative logits. They are no log-probabilities "
                "until ln of the sum of all exponentials is subtracted.",
            ),
            (
                as_zero,
                "You ask at every place: where the target is -100, your answer "
                "takes the id 0. Leave these places out.",
            ),
            (
                last,
                "You use -100 as an index. Python counts it from the end, or "
                "raises an IndexError. Leave these places out.",
            ),
            (
                lambda *case: (-right(*case)[0], right(*case)[1]),
                "The sign is wrong: -ln P is never negative.",
            ),
            (
                lambda *case: (right(*case)[0] / math.log(2), right(*case)[1]),
                "These are bits. Use the natural logarithm for nats.",
            ),
            (
                lambda *case: right(*case)[0],
                "The sum is right. Return the number of places too.",
            ),
        ),
    )


@exercise("13.3", "A pair that fits")
def pair_input(answer, rng):
    """Ids and segments of two texts, cut to a length."""
    cases = [
        ([7, 8, 9], [5], 1, 2, 6),
        ([7], [5], 1, 2, 9),
        ([7, 8], [5, 6], 1, 2, 6),
        ([7], [5, 6, 8], 1, 2, 6),
    ]
    for spare in (0, 1, 4, 7, 9):
        first = [rng.randint(5, 90) for _ in range(rng.randint(5, 14))]
        second = [rng.randint(5, 90) for _ in range(rng.randint(5, 14))]
        longest = len(first) + len(second) + 3 - spare
        cases.append((first, second, 1, 2, longest))

    def cut(first, second, longest):
        first, second = list(first), list(second)
        while len(first) + len(second) + 3 > longest:
            (first if len(first) > len(second) else second).pop()
        return first, second

    def cut_front(first, second, longest):
        first, second = list(first), list(second)
        while len(first) + len(second) + 3 > longest:
            (first if len(first) > len(second) else second).pop(0)
        return first, second

    def cut_second(first, second, longest):
        return list(first), list(second)[: max(0, longest - 3 - len(first))]

    def cut_tie(first, second, longest):
        first, second = list(first), list(second)
        while len(first) + len(second) + 3 > longest:
            (first if len(first) >= len(second) else second).pop()
        return first, second

    def cut_no_signs(first, second, longest):
        return cut(first, second, longest + 3)

    def cut_two_signs(first, second, longest):
        return cut(first, second, longest + 1)

    def made(cutting=cut, middle=0, segments=None, no_middle=False, end=True):
        def build(first, second, cls, sep, longest):
            a, b = cutting(first, second, longest)
            ids = [cls, *a, *([] if no_middle else [sep]), *b]
            ids += [sep] if end else []
            zeros = len(a) + 1 + (0 if no_middle else 1 - middle)
            return ids, [0] * zeros + [1] * (len(ids) - zeros)

        return build

    def cut_whole(first, second, cls, sep, longest):
        ids, segments = made(lambda a, b, n: (list(a), list(b)))(
            first, second, cls, sep, longest
        )
        return ids[:longest], segments[:longest]

    def with_cls(first, second, cls, sep, longest):
        ids, segments = made()(first, second, cls, sep, longest)
        return ids, [1 - s for s in segments]

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(middle=1),
                "The separator between the texts has segment 1 in your answer. "
                "It ends the first text, so its segment is 0.",
            ),
            (
                made(no_middle=True),
                "The [SEP] between the two texts is missing.",
            ),
            (made(end=False), "The [SEP] after the second text is missing."),
            (
                with_cls,
                "The segments are exchanged: 0 is the first text, 1 the "
                "second.",
            ),
            (
                cut_whole,
                "You cut the finished input at its end, so the last [SEP] is "
                "lost, and only the second text becomes shorter. Cut the texts "
                "before you join them.",
            ),
            (
                made(cut_second),
                "Only the second text is cut. Take tokens away from the text "
                "that is longer at that moment.",
            ),
            (
                made(cut_front),
                "You cut at the beginning of a text. Take tokens away at its "
                "end.",
            ),
            (
                made(cut_tie),
                "Where both texts are equally long, take the token from the "
                "second one.",
            ),
            (
                made(cut_no_signs),
                "The input is too long: the three signs need places too.",
            ),
            (
                made(cut_two_signs),
                "The input is too long by one. How many signs are there?",
            ),
            (
                made(lambda a, b, n: (list(a), list(b))),
                "Nothing is cut. The input must not have more than longest "
                "ids.",
            ),
        ),
    )


@exercise("13.4", "The exact answer")
def fill_exactly(answer, rng):
    """The distribution of one hidden word, others hidden or not."""
    toy = {("a", "b"): 0.5, ("a", "c"): 0.3, ("d", "c"): 0.2}
    cases = [
        (toy, ("a", None), 1),
        (toy, (None, "c"), 0),
        (toy, (None, None), 1),
        ({("b",): 0.4, ("c",): 0.5, ("b", "b"): 0.1}, (None,), 0),
    ]
    letters = "abcd"
    for T in (2, 3, 4):
        texts = {tuple(rng.choices(letters, k=T)) for _ in range(40)}
        texts |= {("a",) * (T + 1), ("b",) * (T + 1)}
        weights = {t: rng.uniform(0.5, 5) for t in sorted(texts)}
        language = {t: w / sum(weights.values()) for t, w in weights.items()}
        chosen = rng.choice(sorted(t for t in texts if len(t) == T))
        for gaps in {1, 2, max(1, T - 1)}:
            hidden = rng.sample(range(T), gaps)
            text = tuple(
                None if n in hidden else w for n, w in enumerate(chosen)
            )
            cases.append((language, text, hidden[0]))
    cases.append(({("a", "b"): 0.7, ("c", "b"): 0.3, ("d", "b"): 0.0},
                  (None, "b"), 0))  # fmt: skip

    def matching(language, text, upto=None, zero=False, length=True):
        return {
            other: p
            for other, p in language.items()
            if (len(other) == len(text) or not length)
            and (p > 0 or zero)
            and all(
                t is None or t == o
                for t, o in zip(text[:upto], other[:upto], strict=False)
            )
        }

    def shares(found, place, normalised=True, best=False):
        total = {}
        for other, p in found.items():
            word = other[place]
            before = total.get(word, 0.0)
            total[word] = max(before, p) if best else before + p
        norm = sum(total.values()) if normalised else 1.0
        return {word: p / norm for word, p in total.items()}

    def right(language, text, place):
        return shares(matching(language, text), place)

    def overwritten(language, text, place):
        found = matching(language, text)
        total = {other[place]: p for other, p in found.items()}
        return {w: p / sum(total.values()) for w, p in total.items()}

    def counting(language, text, place):
        found = matching(language, text)
        return shares(dict.fromkeys(found, 1.0), place)

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                lambda lang, text, n: shares(matching(lang, text), n, False),
                "The probabilities do not sum to 1: they are those of whole "
                "texts. Divide by their sum, the denominator of (13.2).",
            ),
            (
                lambda lang, text, n: shares(matching(lang, text, upto=n), n),
                "You use only the words to the left of the gap. The words on "
                "the right are visible too.",
            ),
            (
                lambda lang, text, n: shares(
                    matching(lang, text), n, best=True
                ),
                "For each word you take the best filling of the other gaps. "
                "Add up all fillings.",
            ),
            (
                overwritten,
                "Several texts have the same word in the gap, and you keep "
                "only the last of them. Add them up.",
            ),
            (
                counting,
                "You count texts. Each one has a probability, and that is its "
                "weight.",
            ),
            (
                lambda lang, text, n: shares(
                    matching(lang, text, zero=True), n
                ),
                "A word with probability 0 is in your answer. Leave it out.",
            ),
            (
                lambda lang, text, n: shares(
                    matching(lang, text, length=False), n
                ),
                "Texts of another length agree with the visible words as far "
                "as they go, but they are other texts. Compare the lengths.",
            ),
            (
                lambda lang, text, n: shares(
                    {t: p for t, p in lang.items() if len(t) == len(text)}, n
                ),
                "You do not use the visible words at all.",
            ),
        ),
    )


@exercise("13.5", "Span corruption")
def corrupt_spans(answer, rng):
    """What the encoder reads and what the decoder writes."""
    cases = [
        ([5, 6, 7, 8, 9], [(1, 3), (4, 5)], [90, 91, 92]),
        ([5, 6, 7, 8], [(1, 2)], [90, 91]),
        ([5, 6, 7, 8], [(0, 1), (1, 3)], [90, 91, 92]),
        ([5, 6, 7], [], [90, 91]),
    ]
    for T in (15, 25, 40):
        ids = [rng.randint(5, 80) for _ in range(T)]
        spans, start = [], rng.randint(1, 3)
        while start + 4 < T:
            end = start + rng.randint(1, 3)
            spans.append((start, end))
            start = end + rng.choice((0, 1, 2, 4))
        sentinels = [100 + 7 * n for n in range(len(spans) + 2)]
        cases.append((ids, spans, sentinels))

    def join(spans):
        joined = []
        for start, end in spans:
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        return joined

    def made(
        joining=join, closing=True, marked=True, one=False, first=0, drop=False
    ):
        def corrupt(ids, spans, sentinels):
            read, written, before = [], [], 0
            spans = joining(spans)
            for n, (start, end) in enumerate(spans):
                sign = sentinels[0 if one else n + first]
                read += ids[before:start] + ([] if drop else [sign])
                written += ([sign] if marked else []) + ids[start:end]
                before = end
            if closing:
                written.append(sentinels[len(spans) + first])
            return read + ids[before:], written

        return corrupt

    def no_rest(ids, spans, sentinels):
        read, written = made()(ids, spans, sentinels)
        last = spans[-1][1] if spans else 0
        return read[: len(read) - (len(ids) - last)], written

    def sign_each(ids, spans, sentinels):
        hidden = {n: k for k, (a, b) in enumerate(join(spans))
                  for n in range(a, b)}  # fmt: skip
        read = [
            sentinels[hidden[n]] if n in hidden else id
            for n, id in enumerate(ids)
        ]
        return read, made()(ids, spans, sentinels)[1]

    def inclusive(ids, spans, sentinels):
        wider = [(start, end + 1) for start, end in spans]
        return made()(ids, wider, sentinels)

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(closing=False),
                "The closing sentinel is missing at the end of what the "
                "decoder writes.",
            ),
            (
                made(joining=list),
                "Two spans that touch have a sentinel each. They are one span: "
                "join them first.",
            ),
            (
                made(joining=list, closing=False),
                "Two things: spans that touch must be joined, and the closing "
                "sentinel is missing.",
            ),
            (
                made(marked=False),
                "The decoder writes the spans without sentinels, so nobody "
                "knows where each of them belongs.",
            ),
            (
                made(drop=True),
                "The encoder does not see where something is missing: put the "
                "sentinel in the place of the span.",
            ),
            (
                made(one=True),
                "All spans have the same sentinel. Each needs its own, in "
                "order.",
            ),
            (
                no_rest,
                "What stands after the last span is missing in what the "
                "encoder reads.",
            ),
            (
                sign_each,
                "There is a sentinel for each hidden token. One sentinel "
                "stands for the whole span.",
            ),
            (
                inclusive,
                "Your spans are one token too long: ids[start:end] does not "
                "hold ids[end].",
            ),
            (
                lambda *case: made()(*case)[::-1],
                "The two lists are exchanged: first what the encoder reads.",
            ),
        ),
    )
