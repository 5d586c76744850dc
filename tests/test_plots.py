"""Figures: one style, readable by everyone, and clear words about bad input."""

import inspect
import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from nextword import plots

# One call of every public function, with every option it has.
EXAMPLES = {
    "lines": lambda: plots.lines(
        {"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 4.5])},
        "x",
        "y",
        x_log=True,
        y_log=True,
        markers=True,
        levels={"floor": 3.5, "chance": 4, "ceiling": 5},
        errors={"a": [0.5, 0.25]},
    ),
    "bars": lambda: plots.bars({"a": 1.0, "b": 20.0}, "count", x_log=True),
    "heat_map": lambda: plots.heat_map(
        np.arange(6).reshape(2, 3), "ab", "xyz", x_label="x", values=True
    ),
    "labelled_points": lambda: plots.labelled_points(
        {"a": (1, 2), "b": (2, 3), "c": (3, 1)},
        "x",
        "y",
        x_log=True,
        y_log=True,
        groups={"first": ["a", "b"], "second": ["c"]},
    ),
    "grouped_bars": lambda: plots.grouped_bars(
        {"one": {"a": 1.0, "b": -2.0}, "two": {"a": 3.0, "b": 0.5}},
        "nats",
        errors={"one": {"a": 0.5, "b": 0.25}},
    ),
}


def public_functions():
    return {
        name
        for name, value in vars(plots).items()
        if inspect.isfunction(value)
        and value.__module__ == plots.__name__
        and not name.startswith("_")
    }


def drawn(name):
    """The figure of an example, after everything in it was laid out."""
    figure = EXAMPLES[name]()
    figure.savefig(io.BytesIO(), format="png")
    return figure


def luminance(colour):
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_public_function_has_an_example():
    assert set(EXAMPLES) == public_functions()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_closed_figure_comes_back(name):
    before = plt.get_fignums()
    assert isinstance(EXAMPLES[name](), Figure)
    assert plt.get_fignums() == before


@pytest.mark.parametrize("name", EXAMPLES)
def test_white_no_title_and_narrow(name):
    figure = drawn(name)
    assert to_hex(figure.get_facecolor()) == "#ffffff"
    assert figure.get_suptitle() == ""
    assert all(axes.get_title() == "" for axes in figure.axes)
    assert figure.get_figwidth() <= 6.0
    assert figure.dpi == 144


@pytest.mark.parametrize("name", EXAMPLES)
def test_letters_are_large_enough(name):
    texts = [t for t in drawn(name).findobj(Text) if t.get_text().strip()]
    assert texts
    small = {
        t.get_text(): t.get_fontsize() for t in texts if t.get_fontsize() < 11
    }
    assert small == {}


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_of_the_style_leaks(name):
    before = mpl.rcParams.copy()
    EXAMPLES[name]()
    assert mpl.rcParams == before


@pytest.mark.parametrize("colour", plots.COLOURS)
def test_colours_stand_out_from_white(colour):
    # WCAG 2.1, 1.4.11: graphics need a contrast of 3 to 1.
    assert 1.05 / (luminance(colour) + 0.05) >= 3


# Machado, Oliveira and Fernandes (2009): what the three kinds of colour
# blindness make of linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(linear):
    """CIELAB of a linear RGB triple, white point D65."""
    to_xyz = np.array(
        [
            [0.4124, 0.3576, 0.1805],
            [0.2126, 0.7152, 0.0722],
            [0.0193, 0.1192, 0.9505],
        ]
    )
    xyz = to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_every_kind_of_sight(vision):
    def seen(colour):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        dark = rgb <= 0.04045
        linear = np.where(dark, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return lab(VISION[vision] @ linear)

    points = [seen(colour) for colour in plots.COLOURS]
    distances = [
        np.linalg.norm(a - b)
        for i, a in enumerate(points)
        for b in points[i + 1 :]
    ]
    assert min(distances) > 15


def test_lines_differ_without_colour():
    series = {str(i): ([0, 1], [i, i]) for i in range(len(plots.COLOURS))}
    figure = plots.lines(series, "x", "y", markers=True)
    lines = figure.axes[0].lines
    assert [line.get_color() for line in lines] == list(plots.COLOURS)
    assert len({line.get_marker() for line in lines}) == len(series)
    styles = {(line.get_marker(), str(line.get_linestyle())) for line in lines}
    assert len(styles) == len(series)
    assert {line.get_linewidth() for line in lines} == {2.0}


def test_lines_draws_what_it_is_given():
    figure = plots.lines({"a": ([1, 2, 3], [9, 8, 7])}, "step", "loss")
    axes = figure.axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[1, 9], [2, 8], [3, 7]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    assert axes.get_legend() is None


def test_lines_names_series_and_levels_in_the_legend():
    figure = plots.lines({"a": ([1], [1])}, "x", "y", levels={"floor": 0.5})
    names = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert names == ["a", "floor"]


def test_lines_have_bars_for_errors():
    series = {"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}
    figure = plots.lines(series, "x", "y", errors={"b": [0.5, 2.0]})
    (bars,) = figure.axes[0].collections
    ends = [segment.tolist() for segment in bars.get_segments()]
    assert ends == [[[1, 4.5], [1, 5.5]], [[2, 4], [2, 8]]]
    assert to_hex(bars.get_color()[0]) == plots.COLOURS[1]
    both = plots.lines(series, "x", "y", errors={"a": [1, 1], "b": [1, 1]})
    drawn = [line.get_color() for line in both.axes[0].lines[:2]]
    assert drawn == list(plots.COLOURS[:2])
    names = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert names == ["a", "b"]


def test_bars_keep_their_order_from_the_top():
    axes = plots.bars({"first": 3, "second": 5}, "count").axes[0]
    assert [patch.get_width() for patch in axes.patches] == [3, 5]
    assert axes.yaxis_inverted()


def test_heat_map_draws_the_matrix():
    matrix = np.arange(6.0).reshape(2, 3)
    axes = plots.heat_map(matrix, "ab", "xyz", values=True).axes[0]
    assert np.array_equal(axes.images[0].get_array(), matrix)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["x", "y", "z"]
    assert [t.get_text() for t in axes.texts] == ["0", "1", "2", "3", "4", "5"]


def test_labelled_points_puts_a_name_at_each_point():
    axes = plots.labelled_points({"a": (1, 2), "b": (3, 4)}, "x", "y").axes[0]
    assert {t.get_text(): t.xy for t in axes.texts} == {
        "a": (1, 2),
        "b": (3, 4),
    }


def test_grouped_bars_stand_in_their_groups():
    figure = plots.grouped_bars(
        {"one": {"a": 1.0, "b": -2.0}, "two": {"b": 0.5, "a": 3.0}}, "nats"
    )
    axes = figure.axes[0]
    assert [patch.get_width() for patch in axes.patches] == [1, -2, 3, 0.5]
    middles = [p.get_y() + p.get_height() / 2 for p in axes.patches]
    assert middles == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    assert axes.yaxis_inverted()


def test_the_names_of_grouped_bars_cover_none_of_them():
    values = {"first group": 1.0, "second group": 1.0}
    series = {f"a rather long name {n}": values for n in range(5)}
    errors = {"a rather long name 1": {"first group": 0.25, "second group": 0}}
    figure = plots.grouped_bars(series, "share", errors=errors)
    figure.savefig(io.BytesIO(), format="png")
    (legend,), axes = figure.legends, figure.axes[0]
    names = legend.get_window_extent()
    assert not names.overlaps(axes.get_window_extent())
    assert figure.bbox.x0 <= names.x0 and names.x1 <= figure.bbox.x1
    assert names.y1 <= figure.bbox.y1
    (drawn,) = [c for c in axes.collections if len(c.get_segments()) == 2]
    ends = [segment[:, 0].tolist() for segment in drawn.get_segments()]
    assert ends == [[0.75, 1.25], [1.0, 1.0]]


BAD = {
    "errors of no bars": (
        lambda: plots.grouped_bars({"a": {"x": 1}}, "x", errors={"b": {}}),
        "errors of 'b' do not fit",
    ),
    "errors of other groups": (
        lambda: plots.grouped_bars(
            {"a": {"x": 1}}, "x", errors={"a": {"y": 1}}
        ),
        "one error for each of its groups",
    ),
    "no grouped bars": (lambda: plots.grouped_bars({}, "x"), "at least one"),
    "an empty group of bars": (
        lambda: plots.grouped_bars({"a": {}}, "x"),
        "no group",
    ),
    "groups that differ": (
        lambda: plots.grouped_bars({"a": {"x": 1}, "b": {"y": 1}}, "x"),
        "'b' has other groups",
    ),
    "no series": (lambda: plots.lines({}, "x", "y"), "at least one"),
    "empty series": (
        lambda: plots.lines({"loss": ([], [])}, "x", "y"),
        "'loss'.*at least one",
    ),
    "unequal series": (
        lambda: plots.lines({"loss": ([1, 2], [1])}, "x", "y"),
        "'loss' has 2 xs but 1 ys",
    ),
    "errors of no series": (
        lambda: plots.lines({"a": ([1], [1])}, "x", "y", errors={"b": [1]}),
        "errors of 'b' do not fit",
    ),
    "too few errors": (
        lambda: plots.lines({"a": ([1], [1])}, "x", "y", errors={"a": []}),
        "one error for each",
    ),
    "too many series": (
        lambda: plots.lines({str(i): ([1], [1]) for i in range(8)}, "x", "y"),
        "at most 7",
    ),
    "no bars": (lambda: plots.bars({}, "x"), "at least one"),
    "names do not fit": (
        lambda: plots.heat_map(np.zeros((2, 3)), "abc", "xyz"),
        r"shape \(2, 3\).*3 row names",
    ),
    "empty matrix": (
        lambda: plots.heat_map(np.zeros((0, 0)), "", ""),
        "Give one name",
    ),
    "a vector": (
        lambda: plots.heat_map(np.zeros(3), "a", "xyz"),
        r"shape \(3,\)",
    ),
    "no points": (lambda: plots.labelled_points({}), "at least one"),
    "empty group": (
        lambda: plots.labelled_points({"a": (1, 1)}, groups={"verbs": []}),
        "'verbs'.*at least one",
    ),
    "unknown name": (
        lambda: plots.labelled_points({"a": (1, 1)}, groups={"verbs": ["b"]}),
        "'b', which is no point",
    ),
    "too many groups": (
        lambda: plots.labelled_points(
            {"a": (1, 1)}, groups={str(i): ["a"] for i in range(8)}
        ),
        "at most 7",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_remedy(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
    assert plt.get_fignums() == []


def test_names_that_would_cover_each_other_move_aside():
    close = {f"model {n}": (2020 + 0.05 * n, 100 + n) for n in range(5)}
    figure = plots.labelled_points(close)
    figure.savefig(io.BytesIO(), format="png")
    texts = [t for t in figure.axes[0].texts if t.get_text() in close]
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) == 5
    for n, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:n])


def tick_labels(axis):
    axis.figure.draw_without_rendering()
    return [t.get_text() for t in axis.get_ticklabels() if t.get_text()]


def test_whole_numbers_on_the_x_axis_have_whole_ticks():
    orders = plots.lines({"a": ([1, 2, 3], [3.0, 2.0, 1.5])}, "order", "y")
    labels = tick_labels(orders.axes[0].xaxis)
    assert labels
    assert all(float(label.replace("−", "-")).is_integer() for label in labels)


def test_a_short_logarithmic_axis_has_plain_numbers():
    sizes = plots.lines(
        {"a": ([300, 4000], [20, 90])}, "x", "y", x_log=True, y_log=True
    )
    assert {"500", "1,000", "2,000"} <= set(tick_labels(sizes.axes[0].xaxis))
    assert all("$" not in t for t in tick_labels(sizes.axes[0].yaxis))
