"""What learners write for the exercises of chapter 10, and what they are told."""

import math
import random

import torch


def late_not_shifted(target, start_id, end_id, length):
    says = [*target, end_id]
    fill = length - len(says)
    return says + [0] * fill, says + [-100] * fill


def late_both_shifted(target, start_id, end_id, length):
    sees = [start_id, *target]
    fill = length - len(sees)
    return sees + [0] * fill, sees + [-100] * fill


def late_wrong_way(target, start_id, end_id, length):
    fill = length - len(target) - 1
    sees, says = [*target, end_id], [start_id, *target]
    return sees + [0] * fill, says + [-100] * fill


def late_no_end(target, start_id, end_id, length):
    sees = [start_id, *target] + [0] * (length - len(target) - 1)
    return sees, target + [-100] * (length - len(target))


def late_no_start(target, start_id, end_id, length):
    sees = target + [0] * (length - len(target))
    return sees, target + [end_id] + [-100] * (length - len(target) - 1)


def late_sees_end(target, start_id, end_id, length):
    sees = [start_id, *target, end_id]
    sees += [0] * (length - len(sees))
    return sees, [*target, end_id] + [-100] * (length - len(target) - 1)


def late_sees_end_cut(target, start_id, end_id, length):
    sees = ([start_id, *target, end_id] + [0] * length)[:length]
    return sees, ([*target, end_id] + [-100] * length)[:length]


def late_zero_filled(target, start_id, end_id, length):
    fill = [0] * (length - len(target) - 1)
    return [start_id, *target, *fill], [*target, end_id, *fill]


def late_filled_with_ignore(target, start_id, end_id, length):
    fill = [-100] * (length - len(target) - 1)
    return [start_id, *target, *fill], [*target, end_id, *fill]


def late_exchanged(target, start_id, end_id, length):
    fill = length - len(target) - 1
    sees = [start_id, *target] + [0] * fill
    return [*target, end_id] + [-100] * fill, sees


def late_list(target, start_id, end_id, length):
    fill = length - len(target) - 1
    return [[start_id, *target] + [0] * fill, [*target, end_id] + [-100] * fill]


def _one_hot(logits, targets):
    V = logits.shape[-1]
    return torch.nn.functional.one_hot(targets.clamp(min=0), V).double()


def _losses(logits, targets, q):
    return -(q * torch.log_softmax(logits, dim=-1)).sum(-1)


def _goal(logits, targets, epsilon):
    q = (1 - epsilon) * _one_hot(logits, targets)
    return q + epsilon / logits.shape[-1]


def loss_padding_counted(logits, targets, epsilon):
    return _losses(logits, targets, _goal(logits, targets, epsilon)).mean()


def loss_divides_by_all(logits, targets, epsilon):
    losses = _losses(logits, targets, _goal(logits, targets, epsilon))
    return (losses * (targets != -100)).mean()


def loss_smooths_padding(logits, targets, epsilon):
    mask = (targets != -100)[..., None]
    q = (1 - epsilon) * _one_hot(logits, targets) * mask
    q = q + epsilon / logits.shape[-1]
    return _losses(logits, targets, q).sum() / mask.sum()


def loss_sum(logits, targets, epsilon):
    losses = _losses(logits, targets, _goal(logits, targets, epsilon))
    return (losses * (targets != -100)).sum()


def loss_mean_of_means(logits, targets, epsilon):
    losses = _losses(logits, targets, _goal(logits, targets, epsilon))
    rows = zip(losses, targets, strict=True)
    return torch.stack([row[y != -100].mean() for row, y in rows]).mean()


def loss_wrong_ids_only(logits, targets, epsilon):
    right = _one_hot(logits, targets)
    q = (1 - epsilon) * right + epsilon / (logits.shape[-1] - 1) * (1 - right)
    return _losses(logits, targets, q)[targets != -100].mean()


def loss_sum_of_ids(logits, targets, epsilon):
    q = (1 - epsilon) * _one_hot(logits, targets) + epsilon
    return _losses(logits, targets, q)[targets != -100].mean()


def loss_not_smoothed(logits, targets, epsilon):
    q = _one_hot(logits, targets)
    return _losses(logits, targets, q)[targets != -100].mean()


def loss_exchanged(logits, targets, epsilon):
    q = _goal(logits, targets, 1 - epsilon)
    return _losses(logits, targets, q)[targets != -100].mean()


def loss_on_top(logits, targets, epsilon):
    q = _one_hot(logits, targets) + epsilon / logits.shape[-1]
    return _losses(logits, targets, q)[targets != -100].mean()


def loss_negative(logits, targets, epsilon):
    q = _goal(logits, targets, epsilon)
    return -_losses(logits, targets, q)[targets != -100].mean()


def loss_over_places(logits, targets, epsilon):
    q = _goal(logits, targets, epsilon)
    losses = -(q * torch.log_softmax(logits, dim=1)).sum(-1)
    return losses[targets != -100].mean()


def loss_over_batch(logits, targets, epsilon):
    q = _goal(logits, targets, epsilon)
    losses = -(q * torch.log_softmax(logits, dim=0)).sum(-1)
    return losses[targets != -100].mean()


def loss_bad_index(logits, targets, epsilon):
    log_p = torch.log_softmax(logits, dim=-1)
    return -log_p.gather(-1, targets[..., None]).mean()


def _moments(gradients, beta1, beta2):
    m = v = torch.zeros_like(gradients[0])
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        yield t, g, m, v


def adam_uncorrected(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, _, m, v in _moments(gradients, beta1, beta2):
        theta = theta - lr * (m / (v**0.5 + eps) + decay * theta)
    return theta


def adam_only_m(theta, gradients, lr, beta1, beta2, eps, decay):
    for t, _, m, v in _moments(gradients, beta1, beta2):
        m = m / (1 - beta1**t)
        theta = theta - lr * (m / (v**0.5 + eps) + decay * theta)
    return theta


def adam_only_v(theta, gradients, lr, beta1, beta2, eps, decay):
    for t, _, m, v in _moments(gradients, beta1, beta2):
        v = v / (1 - beta2**t)
        theta = theta - lr * (m / (v**0.5 + eps) + decay * theta)
    return theta


def _corrected(gradients, beta1, beta2, off=0):
    for t, g, m, v in _moments(gradients, beta1, beta2):
        yield g, m / (1 - beta1 ** (t + off)), v / (1 - beta2 ** (t + off))


def adam_from_zero(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2, -1):
        theta = theta - lr * (m / (v**0.5 + eps) + decay * theta)
    return theta


def adam_from_two(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2, 1):
        theta = theta - lr * (m / (v**0.5 + eps) + decay * theta)
    return theta


def adam_l2(theta, gradients, lr, beta1, beta2, eps, decay):
    m = v = torch.zeros_like(theta)
    for i in range(len(gradients)):
        g = gradients[i] + decay * theta
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        root = (v / (1 - beta2 ** (i + 1))).sqrt() + eps
        theta = theta - lr * m / (1 - beta1 ** (i + 1)) / root
    return theta


def adam_eps_inside(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta = theta - lr * (m / (v + eps) ** 0.5 + decay * theta)
    return theta


def adam_no_root(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta = theta - lr * (m / (v + eps) + decay * theta)
    return theta


def adam_no_decay(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta = theta - lr * m / (v**0.5 + eps)
    return theta


def adam_decay_without_lr(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta = theta - lr * m / (v**0.5 + eps) - decay * theta
    return theta


def adam_decay_late(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta = theta - lr * m / (v**0.5 + eps)
        theta = theta - lr * decay * theta
    return theta


def adam_uphill(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta = theta * (1 - lr * decay) + lr * m / (v**0.5 + eps)
    return theta


def adam_no_momentum(theta, gradients, lr, beta1, beta2, eps, decay):
    for g, _, v in _corrected(gradients, beta1, beta2):
        theta = theta * (1 - lr * decay) - lr * g / (v**0.5 + eps)
    return theta


def adam_no_second(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, _ in _corrected(gradients, beta1, beta2):
        theta = theta * (1 - lr * decay) - lr * m
    return theta


def adam_betas_exchanged(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta2, beta1):
        theta = theta * (1 - lr * decay) - lr * m / (v**0.5 + eps)
    return theta


def adam_in_place(theta, gradients, lr, beta1, beta2, eps, decay):
    for _, m, v in _corrected(gradients, beta1, beta2):
        theta *= 1 - lr * decay
        theta -= lr * m / (v**0.5 + eps)
    return theta


def line_from_zero(step, steps, warmup, peak):
    if step < warmup:
        return step / warmup * peak
    return (steps - 1 - step) / (steps - 1 - warmup) * peak


def line_from_zero_too_long(step, steps, warmup, peak):
    if step < warmup:
        return step / warmup * peak
    return (1 - (step - warmup) / (steps - warmup)) * peak


def line_peak_early(step, steps, warmup, peak):
    if step < warmup:
        return (step + 1) / warmup * peak
    return (steps - 1 - step) / (steps - 1 - warmup) * peak


def line_too_long(step, steps, warmup, peak):
    if step < warmup:
        return (step + 1) / (warmup + 1) * peak
    return peak * (1 - (step - warmup) / (steps - warmup))


def line_no_warmup(step, steps, warmup, peak):
    return peak * (1 - step / (steps - 1))


def line_jumps(step, steps, warmup, peak):
    if step < warmup:
        return (step + 1) / (warmup + 1) * peak
    return peak * (1 - step / (steps - 1))


def line_cosine(step, steps, warmup, peak):
    if step < warmup:
        return (step + 1) / (warmup + 1) * peak
    done = (step - warmup) / (steps - 1 - warmup)
    return peak * (0.5 + 0.5 * math.cos(math.pi * done))


def line_flat(step, steps, warmup, peak):
    return peak * min(1.0, (step + 1) / (warmup + 1))


def line_share(step, steps, warmup, peak):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - 1 - step) / (steps - 1 - warmup)


def line_text(step, steps, warmup, peak):
    return step / (steps - steps)


def _joined(means, weights):
    columns = [torch.stack(list(c)) for c in zip(*means, strict=True)]
    weights = torch.tensor(weights, dtype=torch.float64)
    return [torch.tensordot(weights, c, dims=1) for c in columns]


def _mean(means, counts):
    return _joined(means, [n / sum(counts) for n in counts])


def _total(gradients):
    return torch.cat([g.flatten() for g in gradients]).norm()


def _clipped(gradients, largest):
    norm = _total(gradients)
    return [g * largest / norm if norm > largest else g for g in gradients]


def step_mean_of_means(means, counts, largest):
    return _clipped(_joined(means, [1 / len(means)] * len(means)), largest)


def step_two_mistakes(means, counts, largest):
    gradients = _joined(means, [1 / len(means)] * len(means))
    return [_clipped([g], largest)[0] for g in gradients]


def step_not_divided(means, counts, largest):
    return _clipped(_joined(means, counts), largest)


def step_divided_by_batches(means, counts, largest):
    return _clipped(_joined(means, [n / len(counts) for n in counts]), largest)


def step_sum_of_means(means, counts, largest):
    return _clipped(_joined(means, [1] * len(counts)), largest)


def step_each_alone(means, counts, largest):
    return [_clipped([g], largest)[0] for g in _mean(means, counts)]


def step_by_value(means, counts, largest):
    return [g.clamp(min=-largest, max=largest) for g in _mean(means, counts)]


def step_not_clipped(means, counts, largest):
    return _mean(means, counts)


def step_always_scaled(means, counts, largest):
    gradients = _mean(means, counts)
    return [g / _total(gradients) * largest for g in gradients]


def step_squared(means, counts, largest):
    gradients = _mean(means, counts)
    norm = sum((g**2).sum() for g in gradients)
    return [g * min(1.0, largest / norm) for g in gradients]


def step_sum_of_norms(means, counts, largest):
    gradients = _mean(means, counts)
    norm = sum(g.norm() for g in gradients)
    return [g * min(1.0, largest / norm) for g in gradients]


def step_clipped_first(means, counts, largest):
    return _mean([_clipped(m, largest) for m in means], counts)


def _shuffled(n, seed):
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return order


def _cut(order, size, batch):
    return order[batch * size : batch * size + size]


def order_same(n, batch_size, step, seed):
    per_epoch = math.ceil(n / batch_size)
    return _cut(_shuffled(n, seed), batch_size, step % per_epoch)


def order_seed_ignored(n, batch_size, step, seed):
    epoch, batch = divmod(step, math.ceil(n / batch_size))
    return _cut(_shuffled(n, epoch), batch_size, batch)


def order_added(n, batch_size, step, seed):
    epoch, batch = divmod(step, math.ceil(n / batch_size))
    return _cut(_shuffled(n, seed + epoch), batch_size, batch)


def order_common_generator(n, batch_size, step, seed):
    return random.sample(range(n), n)[:batch_size]


def order_with_replacement(n, batch_size, step, seed):
    rng = random.Random(f"{seed}/{step}")
    last = step % math.ceil(n / batch_size) == n // batch_size
    number = n % batch_size if last else batch_size
    return [rng.randrange(n) for _ in range(number)]


def order_dropped(n, batch_size, step, seed):
    epoch, batch = divmod(step, n // batch_size)
    return _cut(_shuffled(n, f"{seed}/{epoch}"), batch_size, batch)


def order_none(n, batch_size, step, seed):
    return _cut(list(range(n)), batch_size, step % math.ceil(n / batch_size))


def order_tensor(n, batch_size, step, seed):
    return torch.arange(batch_size)


def order_raises(n, batch_size, step, seed):
    return [].pop()


WRONG = {
    "10.1": [
        (late_not_shifted, "The target is not shifted"),
        (late_both_shifted, "The output is shifted too"),
        (late_wrong_way, "shift the wrong way"),
        (late_no_end, "could never stop"),
        (late_no_start, "The start is missing"),
        (late_sees_end, "The decoder sees `<end>`"),
        (late_sees_end_cut, "The decoder sees `<end>`"),
        (late_zero_filled, "The output is filled with 0"),
        (late_filled_with_ignore, "The input is filled with −100"),
        (late_exchanged, "The two lists are exchanged"),
        (late_list, "should be a tuple, but it is a list"),
    ],
    "10.2": [
        (loss_padding_counted, "Padding is counted"),
        (loss_divides_by_all, "still divide by all places"),
        (loss_smooths_padding, "The smoothing term of the padding"),
        (loss_sum, "This is the sum of the losses"),
        (loss_mean_of_means, "a mean of means"),
        (loss_wrong_ids_only, "over the V − 1 wrong ids"),
        (loss_sum_of_ids, "by the sum over the ids"),
        (loss_not_smoothed, "There is no smoothing"),
        (loss_exchanged, "The two weights are exchanged"),
        (loss_on_top, "ε comes on top"),
        (loss_negative, "The sign is wrong"),
        (loss_over_places, "runs over the places"),
        (loss_over_batch, "runs over the batch"),
        (loss_bad_index, " raised RuntimeError"),
    ],
    "10.3": [
        (adam_uncorrected, "There is no bias correction"),
        (adam_only_m, "The bias of v is not corrected"),
        (adam_only_v, "The bias of m is not corrected"),
        (adam_from_zero, "You count the steps from 0"),
        (adam_from_two, "Your t is one too large"),
        (adam_l2, "You add the decay to the gradient"),
        (adam_eps_inside, "stands inside the root"),
        (adam_no_root, "The root is missing"),
        (adam_no_decay, "Nothing decays"),
        (adam_decay_without_lr, "not multiplied by the learning rate"),
        (adam_decay_late, "shrink the parameter after the step"),
        (adam_uphill, "You go uphill"),
        (adam_no_momentum, "last gradient instead of its running mean"),
        (adam_no_second, "The division by the root of v is missing"),
        (adam_betas_exchanged, "The two betas are exchanged"),
        (adam_in_place, "changes its argument"),
    ],
    "10.4": [
        (line_from_zero, "Your warm-up begins with 0"),
        (line_from_zero_too_long, "Your warm-up begins with 0"),
        (line_peak_early, "one step too early"),
        (line_too_long, "Your line is off by one"),
        (line_no_warmup, "There is no warm-up"),
        (line_jumps, "it jumps after the warm-up"),
        (line_cosine, "along half a cosine"),
        (line_flat, "never falls after the warm-up"),
        (line_share, "This is the share of the peak"),
        (line_text, " raised ZeroDivisionError"),
    ],
    "10.5": [
        (step_mean_of_means, "You average the means"),
        (step_two_mistakes, "You average the means"),
        (step_not_divided, "do not divide by the number of all"),
        (step_divided_by_batches, "You divide by the number of batches"),
        (step_sum_of_means, "You add the means of the batches"),
        (step_each_alone, "You clip each parameter alone"),
        (step_by_value, "You cut each number to the range"),
        (step_not_clipped, "The gradient is not clipped"),
        (step_always_scaled, "You scale every gradient"),
        (step_squared, "the square of the norm"),
        (step_sum_of_norms, "You add the norms"),
        (step_clipped_first, "You clip each batch before"),
    ],
    "10.6": [
        (order_same, "Every epoch has the same order"),
        (order_seed_ignored, "Another seed gives the same order"),
        (order_added, "Epoch 1 of one seed"),
        (order_common_generator, "gave two different batches"),
        (order_with_replacement, "others come twice"),
        (order_dropped, "and its last one is smaller"),
        (order_none, "The numbers come in order"),
        (order_tensor, "should be a list of int"),
        (order_raises, " raised IndexError"),
    ],
}
