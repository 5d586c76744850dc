"""What learners write for the exercises of chapter 14, and what they are told."""

import math

import numpy as np


def step_forward_only(B, T, C, layers, V):
    return B * T * (layers * (24 * C**2 + 4 * T * C) + 2 * V * C)


def step_way_back_once(B, T, C, layers, V):
    return 2 * step_forward_only(B, T, C, layers, V)


def step_one_flop(B, T, C, layers, V):
    return 3 * B * T * (layers * (12 * C**2 + 2 * T * C) + V * C)


def step_no_attention(B, T, C, layers, V):
    return 6 * (12 * layers * C**2 + V * C) * B * T


def step_scores_only(B, T, C, layers, V):
    return 6 * B * T * (layers * (12 * C**2 + T * C) + V * C)


def step_t_squared(B, T, C, layers, V):
    attention = 4 * T * T * C
    return 3 * B * T * (layers * (24 * C**2 + attention) + 2 * V * C)


def step_no_head(B, T, C, layers, V):
    return 3 * B * T * layers * (24 * C**2 + 4 * T * C)


def step_rule_only(B, T, C, layers, V):
    return 6 * (12 * C * C * layers) * (B * T)


def step_head_in_loop(B, T, C, layers, V):
    total = 0
    for _ in range(layers):
        total += 24 * C**2 + 4 * T * C + 2 * V * C
    return 3 * total * B * T


def step_table_too(B, T, C, layers, V):
    parameters = 12 * layers * C**2 + 2 * V * C
    return 6 * parameters * B * T + 12 * layers * T * C * B * T


def step_one_token(B, T, C, layers, V):
    return 3 * (layers * (24 * C**2 + 4 * T * C) + 2 * V * C)


def step_sequences(B, T, C, layers, V):
    return step_one_token(B, T, C, layers, V) * B


def step_one_sequence(B, T, C, layers, V):
    return step_one_token(B, T, C, layers, V) * T


def step_no_feed_forward(B, T, C, layers, V):
    return 3 * B * T * (layers * (8 * C**2 + 4 * T * C) + 2 * V * C)


def step_no_projections(B, T, C, layers, V):
    return 3 * B * T * (layers * (16 * C**2 + 4 * T * C) + 2 * V * C)


def step_something_else(B, T, C, layers, V):
    return 7 * B * T * C * layers


def line_sign(xs, ys):
    slope, start = np.polyfit(np.log(xs), np.log(ys), 1)
    return math.exp(start), slope


def line_still_log(xs, ys):
    slope, start = np.polyfit(np.log(xs), np.log(ys), 1)
    return start, -slope


def line_exchanged(xs, ys):
    slope, start = np.polyfit(np.log(xs), np.log(ys), 1)
    return -slope, np.exp(start)


def line_base_ten(xs, ys):
    slope, start = np.polyfit(np.log10(xs), np.log10(ys), 1)
    return np.exp(start), -slope


def line_axes(xs, ys):
    slope, start = np.polyfit(np.log(ys), np.log(xs), 1)
    return math.exp(start), -slope


def line_plain(xs, ys):
    slope, start = np.polyfit(xs, ys, 1)
    return start, -slope


def line_two_points(xs, ys):
    rise = math.log(ys[-1]) - math.log(ys[0])
    exponent = -rise / (math.log(xs[-1]) - math.log(xs[0]))
    return ys[0] * xs[0] ** exponent, exponent


def line_list(xs, ys):
    slope, start = np.polyfit(np.log(xs), np.log(ys), 1)
    return [math.exp(start), -slope]


def _balance(A, alpha, B, beta):
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta))


def best_exchanged_exponents(A, alpha, B, beta, flops):
    share = alpha / (alpha + beta)
    parameters = _balance(A, alpha, B, beta) * (flops / 6) ** share
    return parameters, flops / (6 * parameters)


def best_upside_down(A, alpha, B, beta, flops):
    share = beta / (alpha + beta)
    parameters = (flops / 6) ** share / _balance(A, alpha, B, beta)
    return parameters, flops / (6 * parameters)


def best_no_factors(A, alpha, B, beta, flops):
    parameters = ((A / B) * (flops / 6) ** beta) ** (1 / (alpha + beta))
    return parameters, flops / (6 * parameters)


def best_no_root(A, alpha, B, beta, flops):
    G = alpha * A / (beta * B)
    parameters = G * (flops / 6) ** (beta / (alpha + beta))
    return parameters, flops / (6 * parameters)


def best_without_six(A, alpha, B, beta, flops):
    share = beta / (alpha + beta)
    parameters = _balance(A, alpha, B, beta) * flops**share
    return parameters, flops / parameters


def best_six_missing_behind(A, alpha, B, beta, flops):
    share = beta / (alpha + beta)
    parameters = _balance(A, alpha, B, beta) * (flops / 6) ** share
    return parameters, flops / parameters


def best_six_missing_before(A, alpha, B, beta, flops):
    share = beta / (alpha + beta)
    parameters = _balance(A, alpha, B, beta) * flops**share
    return parameters, flops / (6 * parameters)


def best_plain_root(A, alpha, B, beta, flops):
    parameters = _balance(A, alpha, B, beta) * math.sqrt(flops / 6)
    return parameters, flops / (6 * parameters)


def best_exchanged(A, alpha, B, beta, flops):
    share = beta / (alpha + beta)
    parameters = _balance(A, alpha, B, beta) * (flops / 6) ** share
    return flops / (6 * parameters), parameters


def best_one_number(A, alpha, B, beta, flops):
    return _balance(A, alpha, B, beta) * (flops / 6) ** 0.5


def _buys(flops, ratio):
    parameters = math.sqrt(flops / 6 / ratio)
    return parameters, ratio * parameters


def budget_peak(gpus, days, peak, utilisation, ratio):
    return _buys(gpus * days * 86_400 * peak, ratio)


def budget_divides(gpus, days, peak, utilisation, ratio):
    return _buys(gpus * days * 86_400 * peak / utilisation, ratio)


def budget_hours(gpus, days, peak, utilisation, ratio):
    return _buys(gpus * days * 24 * peak * utilisation, ratio)


def budget_days(gpus, days, peak, utilisation, ratio):
    return _buys(gpus * days * peak * utilisation, ratio)


def budget_hour_for_day(gpus, days, peak, utilisation, ratio):
    return _buys(gpus * days * 3600 * peak * utilisation, ratio)


def budget_without_six(gpus, days, peak, utilisation, ratio):
    return _buys(6 * gpus * days * 86_400 * peak * utilisation, ratio)


def budget_forward_only(gpus, days, peak, utilisation, ratio):
    return _buys(3 * gpus * days * 86_400 * peak * utilisation, ratio)


def budget_no_root(gpus, days, peak, utilisation, ratio):
    parameters = gpus * days * 86_400 * peak * utilisation / (6 * ratio)
    return parameters, ratio * parameters


def budget_no_ratio(gpus, days, peak, utilisation, ratio):
    flops = gpus * days * 86_400 * peak * utilisation
    parameters = math.sqrt(flops / 6)
    return parameters, ratio * parameters


def budget_exchanged(gpus, days, peak, utilisation, ratio):
    flops = gpus * days * 86_400 * peak * utilisation
    return _buys(flops, ratio)[::-1]


def budget_nothing(gpus, days, peak, utilisation, ratio):
    _buys(gpus * days * 86_400 * peak * utilisation, ratio)


def needed_no_wall(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    return (B / left) ** (1 / beta)


def needed_none(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    if left > 0:
        return (B / left) ** (1 / beta)


def needed_zero(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    return (B / left) ** (1 / beta) if left > 0 else 0


def needed_no_floor(E, A, alpha, B, beta, loss, parameters):
    left = loss - A / parameters**alpha
    return math.inf if left <= 0 else (B / left) ** (1 / beta)


def needed_no_size(E, A, alpha, B, beta, loss, parameters):
    left = loss - E
    return math.inf if left <= 0 else (B / left) ** (1 / beta)


def needed_whole_loss(E, A, alpha, B, beta, loss, parameters):
    return (B / loss) ** (1 / beta)


def needed_power(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    return math.inf if left <= 0 else (B / left) ** beta


def needed_upside_down(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    return math.inf if left <= 0 else (left / B) ** (1 / beta)


def needed_no_root(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    return math.inf if left <= 0 else B / left


def needed_text(E, A, alpha, B, beta, loss, parameters):
    left = loss - E - A / parameters**alpha
    return "never" if left <= 0 else (B / left) ** (1 / beta)


WRONG = {
    "14.1": [
        (step_forward_only, "This is the way forward alone"),
        (step_way_back_once, "You count the way back like the way forward"),
        (step_one_flop, "one FLOP for each weight"),
        (step_no_attention, "Attention itself is missing"),
        (step_scores_only, "only one of the two products of attention"),
        (step_t_squared, "You multiply by T"),
        (step_no_head, "The output layer is missing"),
        (step_rule_only, "Attention is missing too"),
        (step_head_in_loop, "once in each layer"),
        (step_table_too, "the table of tokens twice"),
        (step_one_token, "the count for one token"),
        (step_sequences, "and not by their tokens"),
        (step_one_sequence, "the count for one sequence"),
        (step_no_feed_forward, "The feed-forward net is missing"),
        (step_no_projections, "The four matrices of attention are missing"),
        (step_something_else, "expected 90, got 7"),
    ],
    "14.2": [
        (line_sign, "The sign of the exponent is wrong"),
        (line_still_log, "The factor is still a logarithm"),
        (line_exchanged, "The two numbers are exchanged"),
        (line_base_ten, "logarithms to base 10"),
        (line_axes, "The axes are exchanged"),
        (line_plain, "through the plain numbers"),
        (line_two_points, "the first and the last point only"),
        (line_list, "should be a tuple, but it is a list"),
    ],
    "14.3": [
        (best_exchanged_exponents, "The exponents are exchanged"),
        (best_upside_down, "G is upside down"),
        (best_no_factors, "are missing as factors"),
        (best_no_root, "The root is missing in G"),
        (best_without_six, "You use F = N D"),
        (best_six_missing_behind, "Of the tokens, the 6 was forgotten"),
        (best_six_missing_before, "In the number of parameters the 6"),
        (best_plain_root, "You take the root of the budget"),
        (best_exchanged, "The two numbers are exchanged"),
        (best_one_number, "should be a tuple"),
    ],
    "14.4": [
        (budget_peak, "You count with the peak"),
        (budget_divides, "You divide by the utilisation"),
        (budget_hours, "You count hours"),
        (budget_days, "You multiply FLOP/s by days"),
        (budget_hour_for_day, "that is an hour"),
        (budget_without_six, "The 6 is missing"),
        (budget_forward_only, "the way forward alone"),
        (budget_no_root, "The root is missing"),
        (budget_no_ratio, "The ratio is missing under the root"),
        (budget_exchanged, "The two numbers are exchanged"),
        (budget_nothing, "Is a `return` missing?"),
    ],
    "14.5": [
        (needed_no_wall, "or divide by 0"),
        (needed_none, "you return None. Return math.inf"),
        (needed_zero, "Where no data is enough, you return 0"),
        (needed_no_floor, "no amount of data takes it away"),
        (needed_no_size, "The term of the size is missing"),
        (needed_whole_loss, "You give the whole loss to the last term"),
        (needed_power, "To undo it, take the power 1 / β"),
        (needed_upside_down, "The fraction is upside down"),
        (needed_no_root, "The root is missing: the last term"),
        (needed_text, "expected inf, got 'never'"),
    ],
}
