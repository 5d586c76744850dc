"""What learners write for the exercises of chapter 8, and what they are told."""

import math

import torch


def filled(positions, omega, C):
    table = torch.zeros(len(positions), C)
    table[:, 0::2] = torch.sin(positions.unsqueeze(1) * omega)
    table[:, 1::2] = torch.cos(positions.unsqueeze(1) * omega)
    return table


def omegas(C):
    return 1 / 10000 ** (torch.arange(0, C, 2) / C)


def table_from_one(positions, C):
    return filled(positions + 1, omegas(C), C)


def table_ignores_positions(positions, C):
    return filled(torch.arange(positions.shape[0]), omegas(C), C)


def table_counts_from_one(positions, C):
    rows = []
    for p in range(1, len(positions) + 1):
        angles = p * omegas(C)
        rows.append(torch.stack([angles.sin(), angles.cos()], 1).view(-1))
    return torch.stack(rows)


def table_concatenated(positions, C):
    angles = torch.outer(positions.float(), omegas(C))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def table_cosine_first(positions, C):
    table = torch.zeros(len(positions), C)
    table[:, 0::2] = torch.cos(torch.outer(positions.double(), omegas(C)))
    table[:, 1::2] = torch.sin(torch.outer(positions.double(), omegas(C)))
    return table


def table_without_two(positions, C):
    i = torch.arange(C // 2)
    return filled(positions, 10000 ** (-i / C), C)


def table_doubled(positions, C):
    i = torch.arange(0, C, 2)
    return filled(positions, 10000 ** (-2 * i / C), C)


def table_sign(positions, C):
    return filled(positions, 10000 ** (torch.arange(0, C, 2) / C), C)


def table_size_minus_one(positions, C):
    return filled(positions, 10000 ** (-2 * torch.arange(C // 2) / (C - 1)), C)


def table_own_frequencies(positions, C):
    table = []
    for p in positions.tolist():
        row = []
        for c in range(C):
            angle = p / 10000 ** (c / C)
            row.append(math.cos(angle) if c % 2 else math.sin(angle))
        table.append(row)
    return torch.tensor(table)


def table_column_for_pair(positions, C):
    table = torch.zeros(len(positions), C)
    for row, p in enumerate(positions):
        for c in range(C):
            angle = p / 10000 ** (2 * c / C)
            table[row, c] = torch.cos(angle) if c % 2 else torch.sin(angle)
    return table


def table_one_angle(positions, C):
    return filled(positions, torch.ones(C // 2), C)


def table_only_sines(positions, C):
    angles = positions[:, None] * omegas(C)
    return angles.sin().repeat_interleave(2, dim=1)


def table_too_wide(positions, C):
    angles = positions[:, None] * 10000 ** (-torch.arange(C) / C)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def quarters(k, C, omega, signs):
    """[[cos, sin], [sin, cos]] with the signs, filled in number by number."""
    matrix, half = torch.zeros(C, C), C // 2
    for i in range(half):
        cos, sin = math.cos(k * omega[i]), math.sin(k * omega[i])
        matrix[i, i] = signs[0] * cos
        matrix[i, i + half] = signs[1] * sin
        matrix[i + half, i] = signs[2] * sin
        matrix[i + half, i + half] = signs[3] * cos
    return matrix


def shift_transposed(k, C):
    return quarters(k, C, omegas(C), (1, 1, -1, 1))


def shift_no_minus(k, C):
    return quarters(k, C, omegas(C), (1, 1, 1, 1))


def shift_reflection(k, C):
    return quarters(k, C, omegas(C), (1, 1, 1, -1))


def shift_of_the_chapter(k, C):
    blocks = []
    for w in omegas(C).tolist():
        cos, sin = math.cos(k * w), math.sin(k * w)
        blocks.append(torch.tensor([[cos, -sin], [sin, cos]]))
    return torch.block_diag(*blocks)


def shift_one_angle(k, C):
    return quarters(k, C, [1.0] * C, (1, -1, 1, 1))


def shift_without_two(k, C):
    omega = 10000 ** (-torch.arange(C // 2) / C)
    return quarters(k, C, omega, (1, -1, 1, 1))


def shift_sign_of_exponent(k, C):
    return quarters(k, C, 1 / omegas(C), (1, -1, 1, 1))


def shift_by_one(k, C):
    return quarters(1, C, omegas(C), (1, -1, 1, 1))


def shift_cosines_only(k, C):
    return torch.diag((k * omegas(C)).cos().repeat(2))


def angles_of(x, start=0):
    T, D = x.shape
    return torch.arange(start, start + T)[:, None] * omegas(D)


def turned(x, angles):
    cos = torch.cat([angles.cos(), angles.cos()], dim=-1)
    sin = torch.cat([angles.sin(), angles.sin()], dim=-1)
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


def turn_from_one(x):
    return turned(x, angles_of(x, 1))


def turn_backwards(x):
    return turned(x, -angles_of(x))


def turn_half_rotated_wrongly(x):
    angles = angles_of(x)
    a, b = x.chunk(2, dim=-1)
    swapped = torch.cat([b, a], dim=-1)
    return x * angles.cos().repeat(1, 2) + swapped * angles.sin().repeat(1, 2)


def turn_first_number_only(x):
    half = x.shape[1] // 2
    angles, out = angles_of(x), x.clone()
    out[:, :half] = x[:, :half] * angles.cos() - x[:, half:] * angles.sin()
    return out


def turn_second_number_only(x):
    half = x.shape[1] // 2
    angles, out = angles_of(x), x.clone()
    out[:, half:] = x[:, :half] * angles.sin() + x[:, half:] * angles.cos()
    return out


def turn_in_place(x):
    half = x.shape[1] // 2
    angles, out = angles_of(x), x.clone()
    a, b = out[:, :half], out[:, half:]  # views
    a.copy_(a * angles.cos() - b * angles.sin())
    b.copy_(a * angles.sin() + b * angles.cos())
    return out


def turn_neighbours(x):
    angles, out = angles_of(x), torch.empty_like(x)
    a, b = x[:, ::2], x[:, 1::2]
    out[:, ::2] = a * angles.cos() - b * angles.sin()
    out[:, 1::2] = a * angles.sin() + b * angles.cos()
    return out


def turn_neighbours_into_halves(x):
    angles = angles_of(x)
    a, b = x[:, ::2], x[:, 1::2]
    first = a * angles.cos() - b * angles.sin()
    return torch.cat([first, a * angles.sin() + b * angles.cos()], dim=1)


def turn_one_angle(x):
    T, D = x.shape
    return turned(x, torch.arange(T)[:, None].repeat(1, D // 2))


def turn_without_two(x):
    T, D = x.shape
    omega = 10000 ** (-torch.arange(D // 2) / D)
    return turned(x, torch.arange(T)[:, None] * omega)


def turn_sign_of_exponent(x):
    T, D = x.shape
    return turned(x, torch.arange(T)[:, None] / omegas(D))


def turn_size_minus_one(x):
    T, D = x.shape
    omega = 10000 ** (-torch.arange(0, D, 2) / (D - 1))
    return turned(x, torch.arange(T)[:, None] * omega)


def slopes_of(H):
    return torch.tensor([2 ** (-8 * h / H) for h in range(1, H + 1)])


def bias_of(slopes, T, sign=-1, future=-math.inf):
    bias = torch.zeros(len(slopes), T, T)
    for h, slope in enumerate(slopes):
        for t in range(T):
            for j in range(T):
                bias[h, t, j] = sign * slope * (t - j) if j <= t else future
    return bias


def bias_plus(H, T):
    return bias_of(slopes_of(H), T, sign=1)


def bias_no_mask(H, T):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return -slopes_of(H).view(-1, 1, 1) * distance


def bias_no_mask_plus(H, T):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    return slopes_of(H).view(-1, 1, 1) * distance


def bias_symmetric(H, T):
    distance = (torch.arange(T)[:, None] - torch.arange(T)).abs()
    return -slopes_of(H).view(-1, 1, 1) * distance


def bias_zero_future(H, T):
    distance = (torch.arange(T)[:, None] - torch.arange(T)).clamp(min=0)
    return -slopes_of(H).view(-1, 1, 1) * distance


def bias_transposed(H, T):
    distance = torch.arange(T)[None, :] - torch.arange(T)[:, None]
    bias = -slopes_of(H).view(-1, 1, 1) * distance
    return bias.masked_fill(distance < 0, -math.inf)


def bias_hides_itself(H, T):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    bias = -slopes_of(H).view(-1, 1, 1) * distance
    return bias.masked_fill(distance <= 0, -math.inf)


def bias_heads_from_zero(H, T):
    return bias_of([2 ** (-8 * h / H) for h in range(H)], T)


def bias_eight_heads(H, T):
    return bias_of([2**-h for h in range(1, H + 1)], T)


def bias_without_power(H, T):
    return bias_of([8 * h / H for h in range(1, H + 1)], T)


def bias_reversed(H, T):
    return bias_of(slopes_of(H).flip(0), T)


def bias_without_slopes(H, T):
    return bias_of([1] * H, T)


def bias_finite(H, T):
    return bias_of(slopes_of(H), T, future=-1e9)


def bias_not_a_number(H, T):
    distance = torch.arange(T)[:, None] - torch.arange(T)
    bias = -slopes_of(H).view(-1, 1, 1) * distance
    return bias + (distance < 0) * -math.inf


def scores_of(q, k, q_angles, k_angles):
    return turned(q, q_angles) @ turned(k, k_angles).T / math.sqrt(q.shape[1])


def new_scores_restart(q, k):
    return scores_of(q, k, angles_of(q), angles_of(k))


def new_scores_one_too_far(q, k):
    return scores_of(q, k, angles_of(q, len(k) - len(q) + 1), angles_of(k))


def new_scores_only_queries(q, k):
    at = angles_of(k)[-len(q) :]
    return turned(q, at) @ k.T / math.sqrt(q.shape[1])


def new_scores_only_keys(q, k):
    return q @ turned(k, angles_of(k)).T / math.sqrt(q.shape[1])


def new_scores_plain(q, k):
    return q @ k.T / math.sqrt(q.shape[1])


def new_scores_twice(q, k):
    angles = angles_of(k)
    q, k = turned(q, angles[-len(q) :]), turned(k, angles)
    return scores_of(q, k, angles[-len(q) :], angles)


def new_scores_backwards(q, k):
    angles = angles_of(k)
    return scores_of(q, k, -angles[-len(q) :], -angles)


def new_scores_opposite(q, k):
    angles = angles_of(k)
    return scores_of(q, k, angles[-len(q) :], -angles)


def new_scores_no_root(q, k):
    angles = angles_of(k)
    return turned(q, angles[-len(q) :]) @ turned(k, angles).T


def new_scores_root_of_keys(q, k):
    return new_scores_no_root(q, k) / math.sqrt(len(k))


def new_scores_weights(q, k):
    scores = new_scores_no_root(q, k) / math.sqrt(q.shape[1])
    return torch.softmax(scores, dim=-1)


def new_scores_added(q, k):
    angles = angles_of(k)
    pe = torch.zeros(k.shape, dtype=k.dtype)
    pe[:, 0::2], pe[:, 1::2] = angles.sin(), angles.cos()
    return (q + pe[-len(q) :]) @ (k + pe).T / q.shape[1] ** 0.5


WRONG = {
    "8.1": [
        (table_from_one, "Your positions start at 1"),
        (table_ignores_positions, "never use the numbers in `positions`"),
        (table_counts_from_one, "You count the rows, from 1"),
        (table_concatenated, "All sines come first"),
        (table_cosine_first, "cosines stand in the even columns"),
        (table_without_two, "Your exponent is -i / size"),
        (table_doubled, "Your exponent is doubled"),
        (table_sign, "The sign of your exponent is wrong"),
        (table_size_minus_one, "the size minus 1"),
        (table_own_frequencies, "Every column of yours has its own"),
        (table_column_for_pair, "the number of the column for i"),
        (table_one_angle, "turn by the same angle"),
        (table_only_sines, "There is no cosine"),
        (table_too_wide, "should have shape (2, 2), but it has (2, 4)"),
    ],
    "8.2": [
        (shift_transposed, "so it goes k places back"),
        (shift_no_minus, "No sine in your matrix has a minus"),
        (shift_reflection, "Your matrix is a reflection"),
        (shift_of_the_chapter, "for sines and cosines that take turns"),
        (
            lambda k, C: shift_of_the_chapter(k, C).T,
            "transposed, and its pairs are neighbours",
        ),
        (shift_one_angle, "turn by the same angle"),
        (shift_without_two, "Your exponent is -i / size"),
        (shift_sign_of_exponent, "The sign of your exponent is wrong"),
        (shift_by_one, "always shifts by 1"),
        (shift_cosines_only, "Only the cosines are there"),
        (lambda k, C: k * omegas(C), "should have shape (2, 2)"),
    ],
    "8.3": [
        (turn_from_one, "Your positions start at 1"),
        (turn_backwards, "in the other direction"),
        (turn_half_rotated_wrongly, "All of your signs are plus"),
        (turn_first_number_only, "Only the first number of each pair"),
        (turn_second_number_only, "Only the second number of each pair"),
        (turn_in_place, "Your second line uses the new a"),
        (turn_neighbours, "Your pairs are neighbours, 2i and 2i + 1"),
        (turn_neighbours_into_halves, "put the results into two halves"),
        (turn_one_angle, "turn by the same angle"),
        (turn_without_two, "Your exponent is -i / size"),
        (turn_sign_of_exponent, "The sign of your exponent is wrong"),
        (turn_size_minus_one, "the size minus 1"),
        (lambda x: x * angles_of(x).cos().repeat(1, 2), "sines are missing"),
    ],
    "8.4": [
        (bias_plus, "far tokens are preferred"),
        (bias_no_mask, "positive on the future"),
        (bias_no_mask_plus, "the wrong way round, key minus query"),
        (bias_symmetric, "past and future alike"),
        (bias_zero_future, "Keys after the query get 0"),
        (bias_transposed, "they hide the past"),
        (bias_hides_itself, "Your mask hides the diagonal"),
        (bias_heads_from_zero, "which is h = 0"),
        (bias_eight_heads, "right for 8 heads only"),
        (bias_without_power, "Your slopes form a straight line"),
        (bias_reversed, "in reverse order"),
        (bias_without_slopes, "The slopes are missing"),
        (bias_finite, "a large finite number"),
        (bias_not_a_number, "0 times infinity"),
    ],
    "8.5": [
        (new_scores_restart, "restart at position 0"),
        (new_scores_one_too_far, "one place too far"),
        (new_scores_only_queries, "Only the queries are turned"),
        (new_scores_only_keys, "Only the keys are turned"),
        (new_scores_plain, "Nothing is turned"),
        (new_scores_twice, "Positions enter twice"),
        (new_scores_backwards, "the other direction"),
        (new_scores_opposite, "opposite directions"),
        (new_scores_no_root, "root of D is missing"),
        (new_scores_root_of_keys, "root of S"),
        (new_scores_weights, "These are the weights"),
        (new_scores_added, "You add sinusoids"),
    ],
}
