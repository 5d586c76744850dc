"""Exercises of chapter 12, "Pretraining a GPT"."""

import math

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("12.1", "A packed stream")
def packed(answer, rng):
    """Windows side by side of a stream with a border after each story."""
    cases = [([[5, 6], [7]], 1, 2)]
    for T in (2, 3, rng.randint(4, 6)):
        lengths = [rng.randint(2, 7) for _ in range(rng.randint(3, 6))]
        missing = -sum(n + 1 for n in lengths) % T  # so that no id is left
        lengths[-1] += missing
        ids = iter(rng.sample(range(10, 99), sum(lengths)))
        stories = [[next(ids) for _ in range(n)] for n in lengths]
        cases.append((stories, rng.randint(0, 9), T))
        cases.append(([*stories, [100]], 0, 3))  # one id more, or two

    def made(
        first=True, between=True, last=True, shift=1, stride=None, rest=False
    ):
        def cut(stories, end_id, T):
            stream = [end_id] if first else []
            for number, story in enumerate(stories, 1):
                stream += story
                if last if number == len(stories) else between:
                    stream.append(end_id)
            before = stream[:-1]
            after = stream[shift:] if shift else before
            end = len(before) if rest else len(before) - T + 1
            starts = range(0, end, stride or T)
            return (
                [before[s : s + T] for s in starts],
                [after[s : s + T] for s in starts],
            )

        return cut

    def longer_stride(stories, end_id, T):
        stream = [end_id]
        for story in stories:
            stream += [*story, end_id]
        starts = range(0, len(stream) - T, T + 1)
        rows = [stream[s : s + T + 1] for s in starts]
        return [row[:-1] for row in rows], [row[1:] for row in rows]

    def paired(*case):
        return list(zip(*made()(*case), strict=True))

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(first=False, between=False, last=False),
                "The border is missing: the model cannot see where one story "
                "ends and the next begins. Put end_id before the first story "
                "and after each one.",
            ),
            (
                made(first=False, last=False),
                "You put the border between the stories only. It also stands "
                "before the first one and after the last one.",
            ),
            (
                made(first=False),
                "The border before the first story is missing: its first id "
                "is never a target.",
            ),
            (
                made(last=False),
                "The border after the last story is missing: the model is not "
                "asked where that story ends.",
            ),
            (
                made(shift=0),
                "The targets are the ids themselves. They must be one later: "
                "the model would only learn to copy.",
            ),
            (
                made(shift=2),
                "The targets are two later than the ids. One is enough.",
            ),
            (
                longer_stride,
                "Your windows have T + 1 ids and the next one begins behind "
                "them: between two windows a target is lost. The next window "
                "begins T places later.",
            ),
            (
                made(stride=1),
                "Your windows overlap: each begins one place after the one "
                "before. Side by side means T places.",
            ),
            (
                made(rest=True),
                "You keep a last window that is not full. Leave it out.",
            ),
            (
                paired,
                "You return pairs of a window and its targets. Return two "
                "lists: all windows, and all targets.",
            ),
        ),
    )


@exercise("12.2", "Who holds the excess")
def excess_shares(answer, rng):
    """For each question, its share of the whole excess."""
    cases = [
        (["who", "fixed", "who"], [1.0, 0.5, 2.0], [0.5, 0.25, 1.0]),
    ]
    for _ in range(4):
        n = rng.randint(6, 12)
        names = rng.sample(["who", "what", "where", "mood", "fixed"], 3)
        questions = names + [rng.choice(names[:2]) for _ in range(n)]
        floors = [rng.uniform(0.2, 1.5) for _ in questions]
        losses = [f + rng.uniform(0.1, 0.6) for f in floors]
        losses[-1] = floors[-1] - rng.uniform(0.02, 0.08)
        cases.append((questions, losses, floors))

    def made(value, mean=False, share=True):
        def shares(questions, losses, floors):
            sums, counts = {}, {}
            for q, a, b in zip(questions, losses, floors, strict=True):
                sums[q] = sums.get(q, 0.0) + value(a, b)
                counts[q] = counts.get(q, 0) + 1
            if mean:
                sums = {q: s / counts[q] for q, s in sums.items()}
            whole = sum(sums.values()) if share else 1.0
            return {q: s / whole for q, s in sums.items()}

        return shares

    def of_its_loss(questions, losses, floors):
        excess = made(lambda a, b: a - b, share=False)
        loss = made(lambda a, b: a, share=False)
        own = loss(questions, losses, floors)
        parts = excess(questions, losses, floors)
        return {q: part / own[q] for q, part in parts.items()}

    compare(
        answer,
        made(lambda a, b: a - b),
        cases,
        _mistakes(
            (
                made(lambda a, b: a),
                "You share out the loss. A question that is hard for the town "
                "itself has a high loss, and no model can help it: subtract "
                "the floor of each place first.",
            ),
            (
                made(lambda a, b: a - b, mean=True),
                "You take the mean of each question, so a rare question counts "
                "as much as a frequent one. Take sums.",
            ),
            (
                made(lambda a, b: a - b, mean=True, share=False),
                "This is the mean excess of each question. Sum over its places "
                "and divide by the whole excess.",
            ),
            (
                made(lambda a, b: a - b, share=False),
                "These are the sums of the excess in nats. Divide them by the "
                "sum of all.",
            ),
            (
                made(lambda a, b: 1.0),
                "This is each question's share of the places. How much excess "
                "do they hold?",
            ),
            (
                made(lambda a, b: max(a - b, 0.0)),
                "You set negative differences to 0. At a single place a model "
                "can be luckier than the town; only with these places is the "
                "sum right.",
            ),
            (
                made(lambda a, b: abs(a - b)),
                "You take absolute values. At a single place a model can be "
                "luckier than the town, and this must be subtracted.",
            ),
            (
                of_its_loss,
                "You divide by the loss of the question itself. Divide by the "
                "whole excess, which is the same for all questions.",
            ),
        ),
    )


@exercise("12.3", "Impossible, or wrongly weighted")
def two_parts(answer, rng):
    """The two parts of equation (12.7)."""
    cases = [({"slept": 1.0}, {"slept": 0.75, "ran": 0.25})]
    for possible, impossible in ((2, 1), (3, 2), (4, 3), (3, 0)):
        names = rng.sample("abcdefghijk", possible + impossible)
        raw = [rng.uniform(1, 5) for _ in names]
        q = {t: x / sum(raw) for t, x in zip(names, raw, strict=True)}
        raw = [rng.uniform(1, 5) for _ in range(possible)]
        p = {
            t: x / sum(raw) for t, x in zip(names[:possible], raw, strict=True)
        }
        cases.append((p, q))

    def epsilon(p, q):
        return sum(x for t, x in q.items() if t not in p)

    def whole(p, q, log=math.log):
        return sum(x * log(x / q[t]) for t, x in p.items())

    def right(p, q, log=math.log):
        first = -log(1 - epsilon(p, q))
        return first, whole(p, q, log) - first

    def swapped(p, q):
        e = epsilon(p, q)
        rest = sum(
            q[t] / (1 - e) * math.log(q[t] / (1 - e) / x) for t, x in p.items()
        )
        return -math.log(1 - e), rest

    def unweighted(p, q):
        e = epsilon(p, q)
        rest = sum(math.log(x * (1 - e) / q[t]) for t, x in p.items())
        return -math.log(1 - e), rest

    def cross(p, q):
        e = epsilon(p, q)
        rest = -sum(x * math.log(q[t] / (1 - e)) for t, x in p.items())
        return -math.log(1 - e), rest

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                lambda p, q: (right(p, q)[0], whole(p, q)),
                "Your second part is the whole divergence. Compare p with the "
                "model restricted to the possible tokens: divide q by 1 − ε.",
            ),
            (
                lambda p, q: (epsilon(p, q), right(p, q)[1]),
                "The first part is ε itself. It is −ln(1 − ε), in nats.",
            ),
            (
                lambda p, q: (epsilon(p, q), whole(p, q) - epsilon(p, q)),
                "You subtract ε from the divergence. The first part is "
                "−ln(1 − ε), in nats.",
            ),
            (
                lambda p, q: (
                    -math.log(epsilon(p, q)) if epsilon(p, q) else 0.0,
                    right(p, q)[1],
                ),
                "You take −ln ε. A small ε must give a small part: take "
                "−ln(1 − ε).",
            ),
            (
                lambda p, q: (-right(p, q)[0], right(p, q)[1]),
                "The sign of the first part is wrong: ln(1 − ε) is below 0.",
            ),
            (
                swapped,
                "The direction is swapped: you weigh with the model. The "
                "texts come from the source, so weigh with p.",
            ),
            (
                unweighted,
                "You sum the logarithms without weights. Each counts as often "
                "as its token comes: multiply by p.",
            ),
            (
                cross,
                "Your second part is a cross-entropy. Subtract the entropy of "
                "p: what the source itself pays is no excess.",
            ),
            (
                lambda p, q: right(p, q, math.log2),
                "These are bits. Take the natural logarithm.",
            ),
            (
                lambda p, q: right(p, q)[::-1],
                "The two parts are exchanged: first the impossible one.",
            ),
        ),
    )


@exercise("12.4", "What nobody says")
def without_theme(answer, rng):
    """The next token when the theme is hidden."""
    cases = [([0.0, math.log(1 / 3)], [{"a": 1.0}, {"a": 0.5, "b": 0.5}])]
    for start in (-5.0, -40.0, -1000.0):
        themes = rng.randint(2, 4)
        log_p = [start - rng.uniform(0.3, 2.0) for _ in range(themes)]
        following = []
        for _ in range(themes):
            names = rng.sample("abcd", 3)
            raw = [rng.uniform(1, 5) for _ in names]
            following.append(
                {t: x / sum(raw) for t, x in zip(names, raw, strict=True)}
            )
        cases.append((log_p, following))

    def mix(weights, following):
        mixed = {}
        for weight, tokens in zip(weights, following, strict=True):
            for token, p in tokens.items():
                mixed[token] = mixed.get(token, 0.0) + weight * p
        return mixed

    def posterior(log_p):
        raw = [math.exp(x - max(log_p)) for x in log_p]
        return [x / sum(raw) for x in raw]

    def underflow(log_p, following):
        raw = [math.exp(x) for x in log_p]
        return mix([x / sum(raw) for x in raw], following)

    def by_logs(log_p, following):
        return mix([x / sum(log_p) for x in log_p], following)

    def best(log_p, following):
        return dict(following[log_p.index(max(log_p))])

    def best_with_zeros(log_p, following):
        mixed = dict.fromkeys([t for row in following for t in row], 0.0)
        return {**mixed, **best(log_p, following)}

    def shifted(log_p, following):
        return mix([math.exp(x - max(log_p)) for x in log_p], following)

    compare(
        answer,
        lambda log_p, following: mix(posterior(log_p), following),
        cases,
        _mistakes(
            (
                lambda log_p, following: mix(
                    [1 / len(log_p)] * len(log_p), following
                ),
                "All themes have the same weight in your mean. That is right "
                "before the first word only: weigh them by how well they "
                "explain the words so far.",
            ),
            (
                lambda log_p, following: mix(
                    [math.exp(x) for x in log_p], following
                ),
                "The weights do not sum to 1: divide by their sum. This is "
                "the denominator of Bayes' rule.",
            ),
            (
                shifted,
                "The weights do not sum to 1: subtracting the largest log_p "
                "is right, but then divide by the sum.",
            ),
            (
                underflow,
                "For long texts your weights are all 0: math.exp(-1000) is "
                "too small for a float. Subtract the largest log_p first.",
            ),
            (
                by_logs,
                "You weigh with the logarithms themselves. The least likely "
                "theme gets the largest weight. Take exponentials.",
            ),
            (
                best,
                "You take the likeliest theme for the true one. The others "
                "are less likely, not impossible: take the mean.",
            ),
            (
                best_with_zeros,
                "You take the likeliest theme for the true one. The others "
                "are less likely, not impossible: take the mean.",
            ),
        ),
    )


def _follow(events, slip=None):
    """The first impossible event; ``slip`` names one mistake to make."""
    at, holder = {}, {}
    for number, (action, who, *what) in enumerate(events):
        possible = True
        thing = what[0]
        if action in ("person", "thing"):
            at[who] = thing
        elif action == "goes":
            possible = at[who] != thing or slip == "goes"
            at[who] = thing
        elif action == "takes":
            free = thing not in holder or slip == "held"
            near = at[thing] == at[who] or slip == "takes far"
            possible = free and near
            holder[thing] = who
        elif action == "puts":
            possible = holder.get(thing) == who or slip == "puts"
            if slip != "stays held":
                holder.pop(thing, None)
            if slip != "left behind":
                at[thing] = at[who]
        else:
            near = at[what[1]] == at[who] or slip == "gives far"
            possible = near and (holder.get(thing) == who or slip == "gives")
            if slip != "keeps":
                holder[thing] = what[1]
        if not possible:
            return number
    return None


def _stories(rng):
    """Stories that each rule decides, with names drawn afresh."""
    a, b = rng.sample(["Anna", "Ben", "Kate", "Leo", "Iris"], 2)
    t, u = rng.sample(["cup", "net", "map", "egg", "key"], 2)
    x, y, z = rng.sample(["hall", "pier", "barn", "gym", "pond"], 3)
    start = [("person", a, x), ("person", b, x)]
    start += [("thing", t, x), ("thing", u, y)]
    carried = [("takes", a, t), ("goes", a, y), ("puts", a, t)]
    stories = [
        [("goes", a, y), ("goes", a, y)],  # already there
        [("takes", a, u)],  # far away
        [("takes", a, t), ("takes", b, t)],  # held by another
        [("puts", a, t)],  # not held
        [("takes", a, t), ("puts", b, t)],  # held by another
        [("gives", a, t, b)],  # not held
        [("takes", a, t), ("goes", b, z), ("gives", a, t, b)],  # far away
        [*carried, ("goes", b, y), ("takes", b, t)],  # possible
        [*carried, ("takes", b, t)],  # it lies at y now
        [("takes", a, t), ("gives", a, t, b), ("puts", a, t)],
        [("takes", a, t), ("gives", a, t, b), ("puts", b, t)],  # possible
        [("takes", a, t), ("puts", a, t), ("takes", b, t)],  # possible
        [("takes", a, t), ("goes", a, y), ("takes", a, u), ("puts", a, u)],
    ]
    return [
        [
            ("person", "Ben", "hall"),
            ("thing", "cup", "pier"),
            ("takes", "Ben", "cup"),
        ],
        *([*start, *events] for events in stories),
    ]


@exercise("12.5", "Keep the state")
def first_impossible(answer, rng):
    """The first event that the rules of the town forbid."""
    cases = [(story,) for story in _stories(rng)]

    def slip(name):
        return lambda events: _follow(events, name)

    def one_more(events):
        number = _follow(events)
        return None if number is None else number + 1

    def length(events):
        number = _follow(events)
        return len(events) if number is None else number

    compare(
        answer,
        _follow,
        cases,
        _mistakes(
            (
                slip("left behind"),
                "Things stay where they were taken. Who walks takes along "
                "what they hold: when a thing is put down, it lies where its "
                "holder is now.",
            ),
            (
                slip("held"),
                "Your people take what another one holds. A thing can be "
                "taken only if nobody has it.",
            ),
            (
                slip("takes far"),
                "Your people take things that lie elsewhere. A thing can be "
                "taken only at the place of the person.",
            ),
            (
                slip("gives"),
                "Your people give what they do not hold.",
            ),
            (
                slip("gives far"),
                "Your people give to someone who is elsewhere. Both must be "
                "at the same place.",
            ),
            (
                slip("goes"),
                "Your people go where they are already. That is not possible.",
            ),
            (
                slip("puts"),
                "Your people put down what they do not hold.",
            ),
            (
                slip("keeps"),
                "After a gift the giver still holds the thing. Change the "
                "holder.",
            ),
            (
                slip("stays held"),
                "What was put down is still held, so nobody can take it "
                "again. Remove its holder.",
            ),
            (
                one_more,
                "Your numbers are one too large. Count the events from 0.",
            ),
            (
                length,
                "For a story that is possible, return None, not its length.",
            ),
            (
                lambda events: _follow(events) is None,
                "You say whether the story is possible. Return the number of "
                "the first event that is not, or None.",
            ),
        ),
    )
