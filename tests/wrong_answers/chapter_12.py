"""What learners write for the exercises of chapter 12, and what they are told."""

import math


def _windows(stream, T):
    before, after = stream[:-1], stream[1:]
    starts = range(0, len(before) - T + 1, T)
    return (
        [before[start : start + T] for start in starts],
        [after[start : start + T] for start in starts],
    )


def _stream(stories, end_id):
    stream = [end_id]
    for story in stories:
        stream.extend(story)
        stream.append(end_id)
    return stream


def pack_no_border(stories, end_id, T):
    return _windows([id for story in stories for id in story], T)


def pack_between(stories, end_id, T):
    return _windows(_stream(stories, end_id)[1:-1], T)


def pack_no_first(stories, end_id, T):
    stream = []
    for story in stories:
        stream += [*story, end_id]
    return _windows(stream, T)


def pack_no_last(stories, end_id, T):
    stream = []
    for story in stories:
        stream += [end_id, *story]
    return _windows(stream, T)


def pack_not_shifted(stories, end_id, T):
    rows, _ = _windows(_stream(stories, end_id), T)
    return rows, rows


def pack_two_late(stories, end_id, T):
    stream = _stream(stories, end_id)
    starts = range(0, len(stream) - T, T)
    return (
        [stream[start : start + T] for start in starts],
        [stream[start + 2 : start + T + 2] for start in starts],
    )


def pack_loses_targets(stories, end_id, T):
    stream, ids, targets = _stream(stories, end_id), [], []
    while len(stream) > T:
        ids.append(stream[:T])
        targets.append(stream[1 : T + 1])
        stream = stream[T + 1 :]
    return ids, targets


def pack_overlapping(stories, end_id, T):
    stream = _stream(stories, end_id)
    starts = range(len(stream) - T)
    return (
        [stream[start : start + T] for start in starts],
        [stream[start + 1 : start + T + 1] for start in starts],
    )


def pack_keeps_rest(stories, end_id, T):
    stream = _stream(stories, end_id)
    starts = range(0, len(stream) - 1, T)
    return (
        [stream[:-1][start : start + T] for start in starts],
        [stream[1:][start : start + T] for start in starts],
    )


def pack_pairs(stories, end_id, T):
    ids, targets = _windows(_stream(stories, end_id), T)
    return [(a, b) for a, b in zip(ids, targets, strict=True)]


def pack_list(stories, end_id, T):
    return list(_windows(_stream(stories, end_id), T))


def _shares(questions, values):
    sums = {}
    for question, value in zip(questions, values, strict=True):
        sums[question] = sums.get(question, 0) + value
    whole = sum(sums.values())
    return {question: value / whole for question, value in sums.items()}


def shares_of_loss(questions, losses, floors):
    return _shares(questions, losses)


def _sums(questions, losses, floors):
    sums = dict.fromkeys(questions, 0.0)
    for n, question in enumerate(questions):
        sums[question] += losses[n] - floors[n]
    return sums


def shares_of_means(questions, losses, floors):
    sums = _sums(questions, losses, floors)
    means = {q: x / questions.count(q) for q, x in sums.items()}
    return {q: x / sum(means.values()) for q, x in means.items()}


def shares_mean(questions, losses, floors):
    sums = _sums(questions, losses, floors)
    return {q: x / questions.count(q) for q, x in sums.items()}


def shares_of_places(questions, losses, floors):
    return {q: questions.count(q) / len(questions) for q in questions}


def shares_clipped(questions, losses, floors):
    excess = [
        a - b if a > b else 0.0 for a, b in zip(losses, floors, strict=True)
    ]
    return _shares(questions, excess)


def shares_absolute(questions, losses, floors):
    return _shares(
        questions, [abs(a - b) for a, b in zip(losses, floors, strict=True)]
    )


def shares_of_own_loss(questions, losses, floors):
    sums = _sums(questions, losses, floors)
    own = dict.fromkeys(questions, 0.0)
    for question, loss in zip(questions, losses, strict=True):
        own[question] += loss
    return {q: x / own[q] for q, x in sums.items()}


def shares_list(questions, losses, floors):
    sums = _sums(questions, losses, floors)
    return [x / sum(sums.values()) for x in sums.values()]


def _impossible(p, q):
    return 1 - sum(q[token] for token in p)


def _divergence(p, q):
    return sum(p[token] * math.log(p[token] / q[token]) for token in p)


def parts_whole(p, q):
    return -math.log(1 - _impossible(p, q)), _divergence(p, q)


def parts_epsilon(p, q):
    e = _impossible(p, q)
    return e, _divergence(p, q) + math.log(1 - e)


def parts_epsilon_subtracted(p, q):
    e = _impossible(p, q)
    return e, _divergence(p, q) - e


def parts_log_epsilon(p, q):
    e = sum(x for token, x in q.items() if token not in p)
    first = -math.log(e) if e > 0 else 0.0
    return first, _divergence(p, q) + math.log(1 - e)


def parts_sign(p, q):
    first = math.log(1 - _impossible(p, q))
    return first, _divergence(p, q) + first


def parts_swapped(p, q):
    kept = sum(q[token] for token in p)
    second = 0.0
    for token in p:
        own = q[token] / kept
        second += own * math.log(own / p[token])
    return -math.log(kept), second


def parts_unweighted(p, q):
    kept = sum(q[token] for token in p)
    second = sum(math.log(p[token] * kept / q[token]) for token in p)
    return -math.log(kept), second


def parts_cross_entropy(p, q):
    kept = sum(q[token] for token in p)
    second = -sum(p[token] * math.log(q[token] / kept) for token in p)
    return -math.log(kept), second


def parts_bits(p, q):
    first = -math.log2(1 - _impossible(p, q))
    return first, _divergence(p, q) / math.log(2) - first


def parts_exchanged(p, q):
    first = -math.log(1 - _impossible(p, q))
    return _divergence(p, q) - first, first


def parts_one_number(p, q):
    return _divergence(p, q)


def _mixed(weights, following):
    mixed = {}
    for weight, tokens in zip(weights, following, strict=True):
        for token in tokens:
            mixed[token] = mixed.get(token, 0) + weight * tokens[token]
    return mixed


def theme_equal(log_p, following):
    return _mixed([1 / len(following)] * len(following), following)


def theme_joint(log_p, following):
    return _mixed(map(math.exp, log_p), following)


def theme_shifted(log_p, following):
    top = max(log_p)
    return _mixed([math.exp(x - top) for x in log_p], following)


def theme_underflow(log_p, following):
    weights = [math.exp(x) for x in log_p]
    whole = sum(weights)
    return _mixed([weight / whole for weight in weights], following)


def theme_logs(log_p, following):
    return _mixed([x / sum(log_p) for x in log_p], following)


def theme_best(log_p, following):
    best = max(range(len(log_p)), key=lambda z: log_p[z])
    return following[best]


def theme_best_with_zeros(log_p, following):
    best = max(range(len(log_p)), key=lambda z: log_p[z])
    weights = [float(z == best) for z in range(len(log_p))]
    return _mixed(weights, following)


def theme_list(log_p, following):
    return list(theme_shifted(log_p, following).values())


def state_left_behind(events):
    at, holder = {}, {}
    for n, event in enumerate(events):
        if event[0] in ("person", "thing"):
            at[event[1]] = event[2]
        elif event[0] == "goes":
            if at[event[1]] == event[2]:
                return n
            at[event[1]] = event[2]
        elif event[0] == "takes":
            if event[2] in holder or at[event[2]] != at[event[1]]:
                return n
            holder[event[2]] = event[1]
        elif event[0] == "puts":
            if holder.get(event[2]) != event[1]:
                return n
            del holder[event[2]]
        elif event[0] == "gives":
            _, giver, thing, receiver = event
            if holder.get(thing) != giver or at[giver] != at[receiver]:
                return n
            holder[thing] = receiver
    return None


def _rules(events, **other):
    """The right rules, but for those that are given."""
    at, holder = {}, {}
    rules = {
        "goes": lambda who, place: at[who] != place,
        "takes": lambda who, t: t not in holder and at[t] == at[who],
        "puts": lambda who, t: holder.get(t) == who,
        "gives": lambda who, t, to: holder.get(t) == who and at[to] == at[who],
    }
    for n, (action, *rest) in enumerate(events):
        if action in ("person", "thing"):
            at[rest[0]] = rest[1]
            continue
        if action in other:
            possible = other[action](at, holder, *rest)
        else:
            possible = rules[action](*rest)
        if not possible:
            return n
        if action == "goes":
            at[rest[0]] = rest[1]
        elif action == "takes":
            holder[rest[1]] = rest[0]
        elif action == "puts":
            if not other.get("stays_held"):
                holder.pop(rest[1], None)
            at[rest[1]] = at[rest[0]]
        elif not other.get("keeps"):
            holder[rest[1]] = rest[2]
    return None


def state_take_held(events):
    return _rules(events, takes=lambda at, has, who, t: at[t] == at[who])


def state_take_far(events):
    return _rules(events, takes=lambda at, has, who, t: t not in has)


def state_give_unheld(events):
    return _rules(events, gives=lambda at, has, who, t, to: at[to] == at[who])


def state_give_far(events):
    return _rules(events, gives=lambda at, has, who, t, to: has.get(t) == who)


def state_stays(events):
    return _rules(events, goes=lambda at, has, who, place: True)


def state_put_unheld(events):
    return _rules(events, puts=lambda at, has, who, t: True)


def state_giver_keeps(events):
    return _rules(events, keeps=True)


def state_still_held(events):
    return _rules(events, stays_held=True)


def state_from_one(events):
    number = _rules(events)
    return number if number is None else number + 1


def state_length(events):
    number = _rules(events)
    return len(events) if number is None else number


def state_yes_or_no(events):
    return _rules(events) is None


def state_nothing(events):
    _rules(events)


WRONG = {
    "12.1": [
        (pack_no_border, "The border is missing"),
        (pack_between, "between the stories only"),
        (pack_no_first, "The border before the first story is missing"),
        (pack_no_last, "The border after the last story is missing"),
        (pack_not_shifted, "The targets are the ids themselves"),
        (pack_two_late, "two later than the ids"),
        (pack_loses_targets, "between two windows a target is lost"),
        (pack_overlapping, "Your windows overlap"),
        (pack_keeps_rest, "a last window that is not full"),
        (pack_pairs, "You return pairs of a window and its targets"),
        (pack_list, "should be a tuple, but it is a list"),
    ],
    "12.2": [
        (shares_of_loss, "You share out the loss"),
        (shares_of_means, "a rare question counts as much"),
        (shares_mean, "This is the mean excess of each question"),
        (_sums, "the sums of the excess in nats"),
        (shares_of_places, "each question's share of the places"),
        (shares_clipped, "You set negative differences to 0"),
        (shares_absolute, "You take absolute values"),
        (shares_of_own_loss, "the loss of the question itself"),
        (shares_list, "should be a dict"),
    ],
    "12.3": [
        (parts_whole, "Your second part is the whole divergence"),
        (parts_epsilon, "The first part is ε itself"),
        (parts_epsilon_subtracted, "You subtract ε from the divergence"),
        (parts_log_epsilon, "You take −ln ε"),
        (parts_sign, "The sign of the first part is wrong"),
        (parts_swapped, "The direction is swapped"),
        (parts_unweighted, "without weights"),
        (parts_cross_entropy, "Your second part is a cross-entropy"),
        (parts_bits, "These are bits"),
        (parts_exchanged, "The two parts are exchanged"),
        (parts_one_number, "should be a tuple"),
    ],
    "12.4": [
        (theme_equal, "All themes have the same weight"),
        (theme_joint, "The weights do not sum to 1"),
        (theme_shifted, "but then divide by the sum"),
        (theme_underflow, "math.exp(-1000)"),
        (theme_logs, "You weigh with the logarithms themselves"),
        (theme_best, "You take the likeliest theme for the true one"),
        (theme_best_with_zeros, "You take the likeliest theme"),
        (theme_list, "should be a dict"),
    ],
    "12.5": [
        (state_left_behind, "Things stay where they were taken"),
        (state_take_held, "take what another one holds"),
        (state_take_far, "take things that lie elsewhere"),
        (state_give_unheld, "give what they do not hold"),
        (state_give_far, "give to someone who is elsewhere"),
        (state_stays, "go where they are already"),
        (state_put_unheld, "put down what they do not hold"),
        (state_giver_keeps, "the giver still holds the thing"),
        (state_still_held, "What was put down is still held"),
        (state_from_one, "Count the events from 0"),
        (state_length, "return None, not its length"),
        (state_yes_or_no, "You say whether the story is possible"),
        (state_nothing, "Is a `return` missing?"),
    ],
}
