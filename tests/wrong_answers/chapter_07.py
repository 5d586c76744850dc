"""What learners write for the exercises of chapter 7, and what they are told."""

import torch


def norm_unbiased(x, gain, bias, eps):
    variance = x.var(dim=-1, keepdim=True)
    return (
        gain * (x - x.mean(-1, keepdim=True)) / (variance + eps) ** 0.5 + bias
    )


def norm_outside(x, gain, bias, eps):
    sigma = x.std(dim=-1, keepdim=True, unbiased=False)
    return gain * (x - x.mean(-1, keepdim=True)) / (sigma + eps) + bias


def norm_annotated(x, gain, bias, eps):
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    return gain * (x - mean) / (std + eps) + bias


def norm_over(*axes):
    def norm(x, gain, bias, eps):
        mean = x.mean(dim=axes, keepdim=True)
        variance = x.var(dim=axes, keepdim=True, unbiased=False)
        return (x - mean) / torch.sqrt(variance + eps) * gain + bias

    return norm


def norm_whole_batch(x, gain, bias, eps):
    variance = x.var(unbiased=False)
    return (x - x.mean()) / torch.sqrt(variance + eps) * gain + bias


def hat(x, eps):
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + eps)


def norm_no_gain(x, gain, bias, eps):
    return hat(x, eps) + bias


def norm_no_bias(x, gain, bias, eps):
    return hat(x, eps) * gain


def norm_bare(x, gain, bias, eps):
    return hat(x, eps)


def norm_bias_first(x, gain, bias, eps):
    return gain * (hat(x, eps) + bias)


def norm_mean_kept(x, gain, bias, eps):
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return x / torch.sqrt(variance + eps) * gain + bias


def norm_is_rms(x, gain, bias, eps):
    return size(x, eps) * gain + bias


def norm_no_root(x, gain, bias, eps):
    variance = x.var(dim=-1, keepdim=True, correction=0)
    return (x - x.mean(-1, keepdim=True)) / (variance + eps) * gain + bias


def norm_no_eps(x, gain, bias, eps):
    return hat(x, 0.0) * gain + bias


def norm_no_keepdim(x, gain, bias, eps):
    return (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt()


def size(x, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def size_mean_removed(x, gain, eps):
    return hat(x, eps) * gain


def size_by_deviation(x, gain, eps):
    return x / torch.sqrt(x.var(-1, keepdim=True, correction=0) + eps) * gain


def size_by_unbiased(x, gain, eps):
    return x / torch.sqrt(x.var(-1, keepdim=True) + eps) * gain


def size_numerator(x, gain, eps):
    shifted = x - x.mean(-1, keepdim=True)
    return shifted / torch.sqrt((x**2).mean(-1, keepdim=True) + eps) * gain


def size_outside(x, gain, eps):
    return x / ((x**2).mean(-1, keepdim=True).sqrt() + eps) * gain


def size_is_length(x, gain, eps):
    return x / torch.sqrt((x**2).sum(-1, keepdim=True) + eps) * gain


def size_no_root(x, gain, eps):
    return x / ((x**2).mean(-1, keepdim=True) + eps) * gain


def size_absolute(x, gain, eps):
    return x / (x.abs().mean(-1, keepdim=True) + eps) * gain


def size_no_eps(x, gain, eps):
    return size(x, 0) * gain


def size_no_gain(x, gain, eps):
    return size(x, eps)


def size_of_sequence(x, gain, eps):
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + eps) * gain


def size_of_batch(x, gain, eps):
    return x / torch.sqrt((x**2).mean() + eps) * gain


def count_four(C, d_ff):
    return 12 * C**2 + 13 * C


def count_rough(C, d_ff):
    return 12 * C**2


def count_matrices(C, d_ff):
    return 4 * C**2 + 2 * C * d_ff


def count_no_biases(C, d_ff):
    return 4 * C**2 + 2 * C * d_ff + 4 * C


def count_no_norms(C, d_ff):
    return 4 * (C**2 + C) + 2 * C * d_ff + C + d_ff


def count_one_norm(C, d_ff):
    return count_no_norms(C, d_ff) + 2 * C


def count_no_attention(C, d_ff):
    return 2 * C * d_ff + C + d_ff + 4 * C


def count_three_maps(C, d_ff):
    return 3 * (C**2 + C) + 2 * C * d_ff + C + d_ff + 4 * C


def count_no_inner_bias(C, d_ff):
    return 4 * (C**2 + C) + 2 * C * d_ff + 4 * C


def count_one_matrix(C, d_ff):
    return 4 * (C**2 + C) + C * d_ff + C + d_ff + 4 * C


def count_bias_of_input(C, d_ff):
    return 4 * (C**2 + C) + 2 * (C * d_ff + d_ff) + 4 * C


def count_gated(C, d_ff):
    return 4 * (C**2 + C) + 3 * C * d_ff + C + d_ff + 4 * C


def drop_unscaled(x, keep, p, training):
    return x * keep if training else x


def drop_always(x, keep, p, training):
    return x * keep / (1 - p)


def drop_always_unscaled(x, keep, p, training):
    return torch.where(keep, x, 0.0)


def drop_first_form(x, keep, p, training):
    return x * keep if training else x * (1 - p)


def drop_scaled_twice(x, keep, p, training):
    return x * keep / (1 - p) if training else x * (1 - p)


def drop_scaled_later(x, keep, p, training):
    return x * keep / (1 - p) if training else x / (1 - p)


def drop_exchanged(x, keep, p, training):
    return x if training else x * keep / (1 - p)


def drop_inverted(x, keep, p, training):
    return x.masked_fill(keep, 0.0) / (1 - p) if training else x


def drop_inverted_unscaled(x, keep, p, training):
    return x.masked_fill(keep, 0.0) if training else x


def drop_multiplied(x, keep, p, training):
    return x * keep * (1 - p) if training else x


def drop_by_p(x, keep, p, training):
    return x * keep / p if training else x


def drop_by_share(x, keep, p, training):
    return x * keep * keep.numel() / keep.sum() if training else x


def drop_nothing(x, keep, p, training):
    return x / (1 - p) if training else x


def drop_in_place(x, keep, p, training):
    if training:
        x[~keep] = 0.0
        x /= 1 - p
    return x


def connect_exchanged(x, f, norm, norm_first):
    return norm(x + f(x)) if norm_first else x + f(norm(x))


def connect_always_post(x, f, norm, norm_first):
    return norm(x + f(x))


def connect_always_pre(x, f, norm, norm_first):
    return x + f(norm(x))


def connect_overwritten(x, f, norm, norm_first):
    if norm_first:
        x = f(norm(x))
        return x + x
    x = f(x)
    return norm(x + x)


def connect_norm_overwritten(x, f, norm, norm_first):
    if norm_first:
        x = norm(x)
    x = x + f(x)
    return x if norm_first else norm(x)


def connect_lost(x, f, norm, norm_first):
    return f(norm(x)) if norm_first else norm(f(x))


def connect_no_norm(x, f, norm, norm_first):
    return x + f(x)


def connect_norm_of_f(x, f, norm, norm_first):
    return x + f(norm(x)) if norm_first else x + norm(f(x))


def connect_norm_twice(x, f, norm, norm_first):
    x = x + f(norm(x)) if norm_first else x + f(x)
    return norm(x)


def connect_in_place(x, f, norm, norm_first):
    if norm_first:
        x += f(norm(x))
        return x
    return norm(x + f(x))


def sums(dy, x_hat):
    return (dy * x_hat).sum((0, 1)), dy.sum((0, 1))


def back_by(dx, gain_used=True):
    def norm_backward(dy, x_hat, sigma, gain):
        g = dy * gain if gain_used else dy
        return dx(g, x_hat, sigma), *sums(dy, x_hat)

    return norm_backward


def mean(x):
    return x.mean(-1, keepdim=True)


def whole(g, x_hat):
    return g - mean(g) - x_hat * mean(g * x_hat)


def back_with(dgain, dbias):
    def norm_backward(dy, x_hat, sigma, gain):
        dx = whole(dy * gain, x_hat) / sigma
        return dx, dgain(dy, x_hat, gain), dbias(dy, gain)

    return norm_backward


def back_dx_only(dy, x_hat, sigma, gain):
    return whole(dy * gain, x_hat) / sigma


WRONG = {
    "7.1": [
        (norm_unbiased, "Your variance divides by C - 1"),
        (norm_outside, "eps stands outside the root"),
        (norm_annotated, "Two faults"),
        (norm_over(1), "over the tokens of a sequence"),
        (norm_over(0), "over the batch (axis 0)"),
        (norm_over(0, 1), "this is batch normalisation"),
        (norm_over(1, 2), "one mean for a whole sequence"),
        (norm_whole_batch, "one mean for the whole batch"),
        (norm_no_gain, "The gain is forgotten"),
        (norm_no_bias, "The bias is forgotten"),
        (norm_bare, "Gain and bias are both forgotten"),
        (norm_bias_first, "The gain comes first"),
        (norm_mean_kept, "The mean is not removed"),
        (norm_is_rms, "This is RMSNorm"),
        (norm_no_root, "The root is missing"),
        (norm_no_eps, "eps is not used"),
        (norm_no_keepdim, "raised RuntimeError"),
    ],
    "7.2": [
        (size_mean_removed, "This is layer normalisation"),
        (size_by_deviation, "You divide by the standard deviation"),
        (size_by_unbiased, "the standard deviation of `torch.std`"),
        (size_numerator, "You subtract the mean in the numerator"),
        (size_outside, "eps stands outside the root"),
        (size_is_length, "You divide by the length of x"),
        (size_no_root, "The root is missing"),
        (size_absolute, "mean of the absolute values"),
        (size_no_eps, "eps is not used"),
        (size_no_gain, "The gain is forgotten"),
        (size_of_sequence, "over the tokens of a sequence"),
        (size_of_batch, "one mean for the whole batch"),
    ],
    "7.3": [
        (count_four, "holds for d_ff = 4C only"),
        (count_rough, "is the rough number"),
        (count_matrices, "These are the matrices alone"),
        (count_no_biases, "The biases of the linear maps are missing"),
        (count_no_norms, "4C are missing"),
        (count_one_norm, "2C are missing"),
        (count_no_attention, "Attention is missing"),
        (count_three_maps, "One map of attention is missing"),
        (count_no_inner_bias, "The two biases of the feed-forward"),
        (count_one_matrix, "One of the two matrices"),
        (count_bias_of_input, "You count d_ff for both"),
        (count_gated, "three matrices in the feed-forward"),
    ],
    "7.4": [
        (drop_unscaled, "What is kept is not scaled, so the mean"),
        (drop_always, "You drop numbers in evaluation too"),
        (drop_always_unscaled, "Two faults: what is kept is not scaled"),
        (drop_first_form, "the first form of dropout"),
        (drop_scaled_twice, "in training and again in evaluation"),
        (drop_scaled_later, "where nothing is dropped"),
        (drop_exchanged, "are exchanged"),
        (drop_inverted, "`keep` is true where a number stays."),
        (drop_inverted_unscaled, "And what stays must be scaled"),
        (drop_multiplied, "You multiply by 1 - p"),
        (drop_by_p, "You divide by p"),
        (drop_by_share, "the share that this mask keeps"),
        (drop_nothing, "but nothing is dropped"),
        (drop_in_place, "changes its argument"),
    ],
    "7.5": [
        (connect_exchanged, "Post-norm and pre-norm are exchanged"),
        (connect_always_post, "Your pre-norm is post-norm"),
        (connect_always_pre, "Your post-norm is pre-norm"),
        (connect_overwritten, "adds f to itself"),
        (connect_norm_overwritten, "carries the norm of x on the short cut"),
        (connect_lost, "loses the residual: only f(norm(x)) is left"),
        (connect_no_norm, "Your post-norm has no norm. Your pre-norm has no"),
        (connect_norm_of_f, "normalises f(x) alone"),
        (connect_norm_twice, "Your pre-norm normalises the sum as well"),
        (connect_in_place, "changes its argument"),
    ],
    "7.6": [
        (
            back_by(lambda g, x, s: (g - x * mean(g * x)) / s),
            "The mean of g is not subtracted",
        ),
        (
            back_by(lambda g, x, s: (g - mean(g)) / s),
            "The term with the mean of g * x_hat is missing",
        ),
        (back_by(lambda g, x, s: g / s), "Both means are missing"),
        (
            back_by(lambda g, x, s: (g - mean(g) - mean(g * x)) / s),
            "must be multiplied by x_hat",
        ),
        (
            back_by(lambda g, x, s: (g - mean(g) - x * mean(g)) / s),
            "that of the product g * x_hat",
        ),
        (
            back_by(lambda g, x, s: (2 * g - whole(g, x)) / s),
            "are subtracted, not added",
        ),
        (
            back_by(lambda g, x, s: (g - (g - whole(g, x)) * g.shape[-1]) / s),
            "You take sums where",
        ),
        (
            back_by(
                lambda g, x, s: (
                    (g - g.mean(1, True) - x * (g * x).mean(1, True)) / s
                )
            ),
            "Your means run over the tokens",
        ),
        (
            back_by(lambda g, x, s: (g - g.mean() - x * (g * x).mean()) / s),
            "Your means run over the whole batch",
        ),
        (
            back_by(lambda g, x, s: whole(g, x) / s, gain_used=False),
            "The gain is forgotten in dx",
        ),
        (back_by(lambda g, x, s: whole(g, x)), "The division by sigma"),
        (back_by(lambda g, x, s: whole(g, x) * s), "You multiply dx by sigma"),
        (
            back_by(lambda g, x, s: whole(g, x) / s**2),
            "You divide dx by the variance",
        ),
        (
            back_with(
                lambda dy, x, w: sums(dy, x)[0],
                lambda dy, w: (dy * w).sum((0, 1)),
            ),
            "dbias is the sum of dy",
        ),
        (
            back_with(
                lambda dy, x, w: (dy * w * x).sum((0, 1)),
                lambda dy, w: dy.sum((0, 1)),
            ),
            "dgain is the sum of dy * x_hat",
        ),
        (
            back_with(
                lambda dy, x, w: (dy * w * x).sum((0, 1)),
                lambda dy, w: (dy * w).sum((0, 1)),
            ),
            "You use g in dgain and dbias",
        ),
        (
            back_with(lambda dy, x, w: dy * x, lambda dy, w: dy),
            "one number for each feature",
        ),
        (
            back_with(
                lambda dy, x, w: (dy * x).sum(0), lambda dy, w: dy.sum(0)
            ),
            "over the batch alone",
        ),
        (
            back_with(
                lambda dy, x, w: (dy * x).mean((0, 1)),
                lambda dy, w: dy.mean((0, 1)),
            ),
            "You take the mean of dgain",
        ),
        (back_dx_only, "should be a tuple"),
    ],
}
