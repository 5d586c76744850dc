"""Positions against loops, complex numbers and the numbers of the papers."""

import cmath
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nextword.positions import (
    alibi_bias,
    alibi_slopes,
    rotary_angles,
    rotate,
    sinusoidal,
)

SIZES = st.integers(1, 16).map(lambda pairs: 2 * pairs)
PLACES = st.integers(0, 500)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def place(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def assert_close(ours, theirs, tolerance=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def angles_by_loops(positions, size, base=10_000.0):
    """Number for number in Python, by a chain of roots: no power of -2i / D."""
    step = math.exp(-math.log(base) * 2 / size)
    rows = []
    for p in positions:
        omega, row = 1.0, []
        for _ in range(size // 2):
            row.append(p * omega)
            omega *= step
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def sinusoids_by_loops(positions, size):
    rows = []
    for angles in angles_by_loops(positions, size).tolist():
        row = []
        for angle in angles:
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def turned_by_complex_numbers(x, angles):
    """Pairs (i, i + D / 2) side by side, read as a + bi, times e^(i angle)."""
    D = x.shape[-1]
    order = torch.arange(D).view(2, D // 2).T.reshape(-1)  # 0, D/2, 1, …
    pairs = x[..., order].unflatten(-1, (D // 2, 2)).contiguous()
    turned = torch.view_as_complex(pairs) * torch.polar(
        torch.ones_like(angles), angles
    )
    return torch.view_as_real(turned).flatten(-2)[..., order.argsort()]


# Angles


@pytest.mark.parametrize("size", [2, 4, 6, 64, 128])
@pytest.mark.parametrize("base", [10_000.0, 500.0, 1e6])
def test_angles_equal_the_loop(size, base):
    numbers = [0, 1, 2, 7, 100, 999]
    assert_close(
        rotary_angles(place(*numbers), size, base),
        angles_by_loops(numbers, size, base),
    )


def test_the_first_pair_turns_by_one_radian_and_the_base_slows_the_others():
    assert rotary_angles(place(3), 8).tolist()[0] == pytest.approx(
        [3, 0.3, 0.03, 0.003]
    )
    assert rotary_angles(place(3), 4, base=4.0).tolist() == [[3.0, 1.5]]


def test_positions_need_not_be_whole_and_may_have_any_shape():
    assert_close(
        rotary_angles(place(2.5, -1.0), 6), angles_by_loops([2.5, -1.0], 6)
    )
    positions = torch.arange(6.0).view(2, 3)
    angles = rotary_angles(positions, 8)
    assert angles.shape == (2, 3, 4)
    assert torch.equal(angles.view(6, 4), rotary_angles(torch.arange(6.0), 8))
    assert rotary_angles(torch.tensor(5.0), 8).shape == (4,)


@pytest.mark.parametrize(
    ("given_type", "expected"),
    [
        (torch.int64, torch.float32),
        (torch.int32, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.bfloat16, torch.bfloat16),
    ],
)
def test_angles_and_sinusoids_have_the_type_of_the_positions(
    given_type, expected
):
    positions = torch.arange(5, dtype=given_type)
    assert rotary_angles(positions, 8).dtype == expected
    assert sinusoidal(positions, 8).dtype == expected


@pytest.mark.parametrize("size", [1, 3, 15])
def test_an_odd_size_is_refused_with_the_remedy(size):
    message = f"The size is {size}, but positions act on pairs.*even size"
    with pytest.raises(ValueError, match=message):
        rotary_angles(place(0, 1), size)
    with pytest.raises(ValueError, match=message):
        sinusoidal(place(0, 1), size)


# Sinusoids


@pytest.mark.parametrize("size", [2, 4, 6, 16, 512])
def test_sinusoids_equal_the_definition(size):
    numbers = [0, 1, 2, 3, 17, 511, 5000]
    assert_close(
        sinusoidal(place(*numbers), size), sinusoids_by_loops(numbers, size)
    )


def test_integers_give_sinusoids_of_32_bits_close_to_the_definition():
    ours = sinusoidal(torch.arange(512), 32)
    exact = sinusoids_by_loops(range(512), 32)
    assert (ours - exact).abs().max() < 1e-4


def test_sinusoids_of_a_batch_of_positions():
    positions = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 3]])
    table = sinusoidal(torch.arange(4), 6)
    assert torch.equal(sinusoidal(positions, 6), table[positions])


def test_position_zero_and_the_first_pair():
    assert sinusoidal(place(0), 6).tolist() == [[0, 1, 0, 1, 0, 1]]
    first = sinusoidal(place(1), 6)[0, :2]
    assert first.tolist() == pytest.approx([math.sin(1), math.cos(1)])


@settings(deadline=None, max_examples=60)
@given(size=SIZES, k=st.integers(-300, 300))
def test_a_shift_is_one_matrix_for_all_positions(size, k):
    """The rotation of each pair, built by complex numbers, not by positions."""
    blocks = []
    for i in range(size // 2):
        z = cmath.exp(1j * k * 10_000 ** (-2 * i / size))
        blocks.append(
            torch.tensor(
                [[z.real, -z.imag], [z.imag, z.real]], dtype=torch.float64
            )
        )
    R = torch.block_diag(*blocks)
    positions = place(*range(0, 400, 7))
    assert_close(
        sinusoidal(positions + k, size), sinusoidal(positions, size) @ R
    )


@settings(deadline=None, max_examples=60)
@given(size=SIZES, p=PLACES, q=PLACES, shift=PLACES)
def test_the_dot_product_of_sinusoids_sees_the_distance_only(size, p, q, shift):
    def dot(p, q):
        a, b = sinusoidal(place(p, q), size)
        return (a @ b).item()

    cosines = angles_by_loops([p - q], size).cos().sum().item()
    assert dot(p, q) == pytest.approx(cosines, abs=1e-9)
    assert dot(p + shift, q + shift) == pytest.approx(cosines, abs=1e-9)


def test_all_sinusoids_have_the_same_length_and_no_two_are_equal():
    table = sinusoidal(place(*range(300)), 16)
    assert_close(table.norm(dim=1), torch.full_like(table[:, 0], math.sqrt(8)))
    distances = torch.cdist(table, table) + torch.eye(300)
    assert distances.min() > 0.1


# Rotary positions


@pytest.mark.parametrize("D", [2, 4, 6, 64])
def test_rotate_equals_multiplication_by_complex_numbers(D):
    x = draw(2, 3, 9, D)
    angles = draw(9, D // 2, seed=1) * 5
    assert_close(rotate(x, angles), turned_by_complex_numbers(x, angles))


def test_rotate_by_hand():
    x = torch.tensor([[1.0, 2.0, 0.0, 3.0]], dtype=torch.float64)
    quarter_and_half = torch.tensor(
        [[math.pi / 2, math.pi]], dtype=torch.float64
    )
    expected = torch.tensor([[0.0, -2.0, 1.0, -3.0]], dtype=torch.float64)
    assert_close(rotate(x, quarter_and_half), expected)


@settings(deadline=None, max_examples=60)
@given(D=SIZES, m=PLACES, n=PLACES, shift=PLACES, seed=st.integers(0, 10_000))
def test_rotary_scores_are_relative(D, m, n, shift, seed):
    q, k = draw(2, 1, D, seed=seed)

    def score(m, n):
        turned_q = rotate(q, rotary_angles(place(m), D))
        return (turned_q @ rotate(k, rotary_angles(place(n), D)).T).item()

    assert score(m + shift, n + shift) == pytest.approx(score(m, n), abs=1e-9)
    assert score(m, m) == pytest.approx((q @ k.T).item(), abs=1e-9)


def test_rotary_scores_do_depend_on_the_distance():
    """The property above would also hold for a rotation that does nothing."""
    q, k = draw(2, 1, 8)
    scores = [
        (q @ rotate(k, rotary_angles(place(n), 8)).T).item() for n in range(20)
    ]
    gaps = torch.tensor(scores)[1:] - torch.tensor(scores)[0]
    assert gaps.abs().min() > 1e-3


def test_the_direction_of_a_rotation_is_that_of_the_paper():
    """Re(q conj(k) e^(i (m - n) w)), Su et al., equation 12, for one pair."""
    q, k, m, n = 1 + 2j, 3 - 1j, 7, 3
    expected = (q * k.conjugate() * cmath.exp(1j * (m - n))).real
    turned = [
        rotate(place(z.real, z.imag)[None], rotary_angles(place(at), 2))
        for z, at in ((q, m), (k, n))
    ]
    assert (turned[0] @ turned[1].T).item() == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(D=SIZES, seed=st.integers(0, 10_000))
def test_rotations_keep_lengths_add_up_and_have_an_inverse(D, seed):
    x = draw(5, D, seed=seed)
    one, two = 10 * draw(2, 5, D // 2, seed=seed + 1)
    assert_close(rotate(x, one).norm(dim=-1), x.norm(dim=-1))
    assert_close(rotate(rotate(x, one), two), rotate(x, one + two))
    assert_close(rotate(rotate(x, one), -one), x)
    assert torch.equal(rotate(x, torch.zeros_like(one)), x)


def test_the_gradients_of_rotate():
    x = draw(2, 3, 4).requires_grad_()
    angles = draw(3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(rotate, (x, angles))
    upstream = draw(2, 3, 4, seed=2)
    (gradient,) = torch.autograd.grad(rotate(x, angles), x, upstream)
    assert_close(gradient, rotate(upstream, -angles).detach())


def test_angles_serve_all_heads_and_all_sequences():
    x, angles = draw(2, 3, 5, 4), draw(5, 2, seed=1)
    out = rotate(x, angles)
    assert out.shape == x.shape
    for b in range(2):
        for h in range(3):
            assert_close(out[b, h], rotate(x[b, h], angles))


def test_each_sequence_may_have_positions_of_its_own():
    x = draw(2, 3, 5, 4)
    positions = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]).double()
    angles = rotary_angles(positions, 4)  # (B, T, D / 2)
    out = rotate(x, angles[:, None])
    for b in range(2):
        assert_close(out[b], rotate(x[b], rotary_angles(positions[b], 4)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotate_keeps_the_type_of_x(dtype):
    x = draw(6, 8)
    angles = rotary_angles(place(*range(6)), 8)
    for angle_type in (torch.float32, torch.float64):
        out = rotate(x.to(dtype), angles.to(angle_type))
        assert out.dtype == dtype
        tolerance = 1e-5 if dtype == torch.float32 else 0.05
        assert_close(out.double(), rotate(x, angles), tolerance)


def test_half_precision_takes_its_sines_from_precise_angles():
    """A 16-bit angle would round 1003 to 1004, a whole radian too far."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16)
    out = rotate(x, rotary_angles(torch.tensor([1003]), 2))
    expected = torch.tensor([[math.cos(1003), math.sin(1003)]])
    assert_close(out.float(), expected, 0.01)


def test_rotate_leaves_its_arguments_alone():
    x, angles = draw(5, 4), draw(5, 2, seed=1)
    before = x.clone(), angles.clone()
    rotate(x, angles)
    assert torch.equal(x, before[0])
    assert torch.equal(angles, before[1])


# ALiBi


def test_the_published_slopes():
    """Press et al., section 3: 8 heads, and 16 heads with steps of a root."""
    assert alibi_slopes(8).tolist() == [
        1 / 2,
        1 / 4,
        1 / 8,
        1 / 16,
        1 / 32,
        1 / 64,
        1 / 128,
        1 / 256,
    ]
    expected = [1 / 2 ** (h / 2) for h in range(1, 17)]
    assert alibi_slopes(16).tolist() == pytest.approx(expected, rel=1e-6)
    assert alibi_slopes(1).tolist() == [1 / 256]


@pytest.mark.parametrize(("H", "T"), [(1, 1), (2, 3), (3, 5), (8, 12)])
def test_the_bias_equals_the_loops(H, T):
    bias = alibi_bias(H, T)
    assert bias.shape == (H, T, T)
    assert bias.dtype == torch.float32
    for h in range(H):
        slope = 0.5 ** (8 * (h + 1) / H)
        for t in range(T):
            for j in range(T):
                expected = -slope * (t - j) if j <= t else -math.inf
                assert bias[h, t, j].item() == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(H=st.integers(1, 12), T=st.integers(2, 12))
def test_the_bias_is_zero_at_home_falls_with_distance_and_hides_the_future(
    H, T
):
    bias = alibi_bias(H, T)
    assert not bias.isnan().any()
    assert (bias.diagonal(dim1=1, dim2=2) == 0).all()
    assert torch.equal(bias[:, 1:, 1:], bias[:, :-1, :-1])  # distance only
    last = bias[:, -1]  # (H, T), nearest token last
    assert (last.diff(dim=1) > 0).all()
    future = torch.ones(T, T).triu(1).bool()
    assert torch.equal(bias == -torch.inf, future.expand(H, T, T))


def test_a_shorter_text_has_the_corner_of_the_bias_of_a_longer_one():
    assert torch.equal(alibi_bias(4, 5), alibi_bias(4, 9)[:, :5, :5])


def test_the_bias_fits_pytorchs_attention():
    """Each step of distance divides the odds by e^slope, in every head."""
    H, T, D = 4, 6, 3
    q = torch.zeros(2, H, T, D, dtype=torch.float64)
    bias = alibi_bias(H, T).double()
    eye = torch.eye(T, dtype=torch.float64).expand(2, H, T, T)
    weights = F.scaled_dot_product_attention(q, q, eye, attn_mask=bias)
    for h, slope in enumerate(alibi_slopes(H).tolist()):
        for t in range(T):
            odds = [math.exp(-slope * (t - j)) for j in range(t + 1)]
            row = [odd / sum(odds) for odd in odds] + [0.0] * (T - t - 1)
            assert weights[1, h, t].tolist() == pytest.approx(row, abs=1e-9)
