"""Wrong answers to the exercises of chapter 20, and what must be said to each."""

import math


def _shown(examples, border):
    return [[*q, *a, border] for q, a in examples]


def _flat(shown, question):
    return [w for one in shown for w in one] + list(question)


def prompt_no_border(examples, question, border, longest):
    shown = [[*q, *a] for q, a in examples]
    while shown and sum(map(len, shown)) + len(question) > longest:
        shown = shown[1:]
    return _flat(shown, question)


def prompt_two_borders(examples, question, border, longest):
    shown = [[*q, border, *a, border] for q, a in examples]
    while shown and sum(map(len, shown)) + len(question) > longest:
        shown = shown[1:]
    return _flat(shown, question)


def prompt_border_last(examples, question, border, longest):
    shown = _shown(examples, border)
    while shown and sum(map(len, shown)) + len(question) + 1 > longest:
        shown = shown[1:]
    return [*_flat(shown, question), border]


def prompt_no_question(examples, question, border, longest):
    shown = _shown(examples, border)
    while shown and sum(map(len, shown)) > longest:
        shown = shown[1:]
    return _flat(shown, [])


def prompt_question_first(examples, question, border, longest):
    shown = _shown(examples, border)
    while shown and sum(map(len, shown)) + len(question) > longest:
        shown = shown[1:]
    return list(question) + _flat(shown, [])


def prompt_newest_out(examples, question, border, longest):
    shown = _shown(examples, border)
    while shown and sum(map(len, shown)) + len(question) > longest:
        shown = shown[:-1]
    return _flat(shown, question)


def prompt_cut_words(examples, question, border, longest):
    return _flat(_shown(examples, border), question)[-longest:]


def prompt_strictly(examples, question, border, longest):
    shown = _shown(examples, border)
    while shown and sum(map(len, shown)) + len(question) >= longest:
        shown = shown[1:]
    return _flat(shown, question)


def prompt_everything(examples, question, border, longest):
    return _flat(_shown(examples, border), question)


def prompt_with_gaps(examples, question, border, longest):
    room, kept = longest - len(question), []
    for one in reversed(_shown(examples, border)):
        if len(one) <= room:
            kept = [one, *kept]
            room -= len(one)
    return _flat(kept, question)


def targets_first_missing(prompt, answer):
    text = prompt + answer
    return text[:-1], [-100] * len(prompt) + answer[1:]


def targets_one_early(prompt, answer):
    text = prompt + answer
    n = max(len(prompt) - 2, 0)
    return text[:-1], [-100] * n + text[n + 1 :]


def targets_not_shifted(prompt, answer):
    return prompt + answer, [-100] * len(prompt) + answer


def targets_not_shifted_cut(prompt, answer):
    text = prompt + answer
    return text[:-1], ([-100] * len(prompt) + answer)[:-1]


def targets_everything(prompt, answer):
    text = prompt + answer
    return text[:-1], text[1:]


def targets_turned(prompt, answer):
    text = prompt + answer
    return text[:-1], prompt[1:] + [-100] * len(answer)


def targets_too_long(prompt, answer):
    return prompt + answer, [-100] * (len(prompt) - 1) + answer + [-100]


def targets_exchanged(prompt, answer):
    return [-100] * (len(prompt) - 1) + answer, (prompt + answer)[:-1]


def targets_alone(prompt, answer):
    return [-100] * (len(prompt) - 1) + answer


def _sigma(x):
    if x < -700:
        return 0.0
    return 1 / (1 + math.exp(-x))


def _nats(x):
    """-ln sigma(x)."""
    return math.log1p(math.exp(-x)) if x > 0 else -x + math.log1p(math.exp(x))


def _pairs(chosen, rejected):
    return list(zip(chosen, rejected, strict=True))


def bt_swapped(chosen, rejected):
    losses = [_nats(b - a) for a, b in _pairs(chosen, rejected)]
    return sum(losses) / len(losses)


def bt_sign(chosen, rejected):
    losses = [-_nats(a - b) for a, b in _pairs(chosen, rejected)]
    return sum(losses) / len(losses)


def bt_no_log(chosen, rejected):
    losses = [_sigma(b - a) for a, b in _pairs(chosen, rejected)]
    return sum(losses) / len(losses)


def bt_probability(chosen, rejected):
    losses = [_sigma(a - b) for a, b in _pairs(chosen, rejected)]
    return sum(losses) / len(losses)


def bt_sum(chosen, rejected):
    return sum(_nats(a - b) for a, b in _pairs(chosen, rejected))


def bt_mean_first(chosen, rejected):
    n = len(chosen)
    return _nats((sum(chosen) - sum(rejected)) / n)


def bt_chosen_only(chosen, rejected):
    return sum(_nats(a) for a in chosen) / len(chosen)


def bt_bits(chosen, rejected):
    losses = [_nats(a - b) / math.log(2) for a, b in _pairs(chosen, rejected)]
    return sum(losses) / len(losses)


def bt_overflow(chosen, rejected):
    losses = [
        math.log(1 + math.exp(b - a)) for a, b in _pairs(chosen, rejected)
    ]
    return sum(losses) / len(losses)


def bt_of_exponentials(chosen, rejected):
    losses = [
        -math.log(math.exp(a) / (math.exp(a) + math.exp(b)))
        for a, b in _pairs(chosen, rejected)
    ]
    return sum(losses) / len(losses)


def dpo_swapped(policy_w, policy_l, reference_w, reference_l, beta):
    d = sum(policy_l) - sum(reference_l) - sum(policy_w) + sum(reference_w)
    return _nats(beta * d)


def dpo_wrong_sign_of_beta(policy_w, policy_l, reference_w, reference_l, beta):
    d = sum(policy_w) - sum(reference_w) - sum(policy_l) + sum(reference_l)
    return _nats(-beta * d)


def dpo_no_reference(policy_w, policy_l, reference_w, reference_l, beta):
    return _nats(beta * (sum(policy_w) - sum(policy_l)))


def dpo_reference_added(policy_w, policy_l, reference_w, reference_l, beta):
    d = sum(policy_w) + sum(reference_w) - sum(policy_l) - sum(reference_l)
    return _nats(beta * d)


def dpo_chosen_only(policy_w, policy_l, reference_w, reference_l, beta):
    return _nats(beta * (sum(policy_w) - sum(reference_w)))


def dpo_means(policy_w, policy_l, reference_w, reference_l, beta):
    d = (sum(policy_w) - sum(reference_w)) / len(policy_w)
    d -= (sum(policy_l) - sum(reference_l)) / len(policy_l)
    return _nats(beta * d)


def dpo_probabilities(policy_w, policy_l, reference_w, reference_l, beta):
    def p(row):
        return sum(math.exp(x) for x in row)

    d = p(policy_w) - p(reference_w) - p(policy_l) + p(reference_l)
    return _nats(beta * d)


def _difference(policy_w, policy_l, reference_w, reference_l):
    chosen = sum(policy_w) - sum(reference_w)
    return chosen - (sum(policy_l) - sum(reference_l))


def dpo_no_beta(*case):
    return _nats(_difference(*case[:4]))


def dpo_beta_outside(*case):
    return case[4] * _nats(_difference(*case[:4]))


def dpo_divided(*case):
    return _nats(_difference(*case[:4]) / case[4])


def dpo_sign(*case):
    return -_nats(_difference(*case[:4]) * case[4])


def dpo_no_log(*case):
    return _sigma(_difference(*case[:4]) * case[4])


def _normal(weights):
    total = sum(weights.values())
    return {k: w / total for k, w in weights.items()}


def best_not_normal(reference, rewards, beta):
    return {k: p * math.exp(rewards[k] / beta) for k, p in reference.items()}


def best_multiplied(reference, rewards, beta):
    return _normal(
        {k: p * math.exp(rewards[k] * beta) for k, p in reference.items()}
    )


def best_no_reference(reference, rewards, beta):
    return _normal({k: math.exp(rewards[k] / beta) for k in reference})


def best_no_beta(reference, rewards, beta):
    return _normal({k: p * math.exp(rewards[k]) for k, p in reference.items()})


def best_sign(reference, rewards, beta):
    return _normal(
        {k: p * math.exp(-rewards[k] / beta) for k, p in reference.items()}
    )


def best_reference_in_exponent(reference, rewards, beta):
    return _normal(
        {k: math.exp(p + rewards[k] / beta) for k, p in reference.items()}
    )


def best_greedy(reference, rewards, beta):
    possible = [k for k, p in reference.items() if p > 0]
    winner = max(possible, key=lambda k: rewards[k])
    return {k: 1.0 if k == winner else 0.0 for k in reference}


WRONG = {
    "20.1": [
        (prompt_no_border, "There is no border between the examples"),
        (prompt_two_borders, "a border between question and answer too"),
        (prompt_border_last, "The prompt ends with a border"),
        (prompt_no_question, "The question is missing at the end"),
        (prompt_question_first, "The question stands first"),
        (prompt_newest_out, "You leave out the newest examples"),
        (prompt_cut_words, "You cut single words away"),
        (prompt_strictly, "You leave out one example too many"),
        (prompt_everything, "Nothing is left out"),
        (prompt_with_gaps, "You skip a long example and keep older ones"),
    ],
    "20.2": [
        (targets_first_missing, "The first word of the answer is not asked"),
        (targets_one_early, "The last id of the prompt is a target"),
        (targets_not_shifted, "Ids and targets stand side by side"),
        (targets_not_shifted_cut, "The targets are not shifted"),
        (targets_everything, "The prompt is a target too"),
        (targets_turned, "The mask is turned round"),
        (targets_too_long, "Nothing follows the last id of the answer"),
        (targets_exchanged, "The two lists are exchanged"),
        (targets_alone, "Return the ids too"),
    ],
    "20.3": [
        (bt_swapped, "Chosen and rejected are exchanged"),
        (bt_sign, "The sign is wrong"),
        (bt_no_log, "the probability of the other preference"),
        (bt_probability, "This is the probability of the preference"),
        (bt_sum, "You return the sum"),
        (bt_mean_first, "You take the mean of the rewards first"),
        (bt_chosen_only, "Only the chosen answer counts"),
        (bt_bits, "These are bits"),
        (bt_overflow, "The exponential of a large number overflows"),
        (bt_of_exponentials, "The exponential of a large number overflows"),
    ],
    "20.4": [
        (dpo_swapped, "The pair is exchanged, or the sign of beta"),
        (dpo_wrong_sign_of_beta, "The pair is exchanged, or the sign of beta"),
        (dpo_no_reference, "The reference is missing"),
        (dpo_reference_added, "The reference has the wrong sign"),
        (dpo_chosen_only, "The rejected answer does not count"),
        (dpo_means, "You take the mean over the tokens"),
        (dpo_probabilities, "You add up probabilities"),
        (dpo_no_beta, "beta is missing"),
        (dpo_beta_outside, "beta stands outside the sigma"),
        (dpo_divided, "You divide by beta"),
        (dpo_sign, "The sign is wrong"),
        (dpo_no_log, "This is the probability of the preference"),
    ],
    "20.5": [
        (best_not_normal, "The shares do not sum to 1"),
        (best_multiplied, "You multiply by beta"),
        (best_no_reference, "The reference is missing"),
        (best_no_beta, "beta is missing"),
        (best_sign, "The sign is wrong"),
        (best_reference_in_exponent, "a probability, not a logarithm"),
        (best_greedy, "You take the best answer alone"),
    ],
}
