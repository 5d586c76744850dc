"""Every figure of the book: arrays in, a matplotlib Figure out, one style.

A figure is about as wide as a phone shows well, with letters large enough to be
read there. Colour-blind readers can tell the colours apart: five are those of
Okabe and Ito, and two dark ones stand for their yellow and light blue, which are
too faint on white. Lines differ in dashes and markers too. A figure has axis labels and
a legend, but no title: what it shows stands in the text beside it.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#7818d8",
    "#603000",
    "#000000",
)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "x")
STYLE = {
    "figure.figsize": (6.0, 3.8),
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "axes.prop_cycle": plt.cycler(color=COLOURS, linestyle=DASHES),
}


@mpl.rc_context(STYLE)
def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    x_log: bool = False,
    y_log: bool = False,
    markers: bool = False,
    levels: Mapping[str, float] | None = None,
    errors: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """One line for each named ``(xs, ys)``, and a level line for each ``levels``.

    A series named in ``errors`` has a bar at each point, so far up and down.
    Raises ValueError for no series, an empty one, or more than seven, and for
    ``errors`` that do not fit.
    """
    _need(series, "series")
    _not_too_many(series, "series")
    for name, (xs, ys) in series.items():
        _need(xs, f"point of {name!r}")
        if len(xs) != len(ys):
            raise ValueError(
                f"{name!r} has {len(xs)} xs but {len(ys)} ys. Pass as many "
                "of one as of the other."
            )
    for name, halves in (errors or {}).items():
        if name not in series or len(halves) != len(series[name][0]):
            raise ValueError(
                f"The errors of {name!r} do not fit. Name a series, and give "
                "one error for each of its points."
            )
    figure, axes = _new()
    for number, (name, (xs, ys)) in enumerate(series.items()):
        marker = MARKERS[number % len(MARKERS)] if markers else None
        axes.plot(xs, ys, label=name, marker=marker)
    for number, (name, (xs, ys)) in enumerate(series.items()):
        if errors and name in errors:  # after all lines: it takes a colour too
            axes.errorbar(
                xs,
                ys,
                errors[name],
                fmt="none",
                ecolor=COLOURS[number],
                capsize=3,
            )
    for number, (name, level) in enumerate((levels or {}).items()):
        colour = ("#555555", "#777777", "#222222")[number % 3]
        axes.axhline(
            level, color=colour, linestyle=DASHES[1 + number % 3], label=name
        )
    if x_log:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        if low >= 0.5 and high <= 1000 * low:  # few decades: 1, 2, 5, 10, 20, …
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
    elif all(float(x).is_integer() for xs, _ in series.values() for x in xs):
        axes.locator_params(axis="x", integer=True)  # no order 2.5
    if y_log:
        axes.set_yscale("log")
        if axes.get_ylim()[0] >= 1:  # 60 is easier to read than 6 × 10¹
            axes.yaxis.set_major_formatter("{x:,g}")
            axes.yaxis.set_minor_formatter(LogFormatter())
    _label(axes, x_label, y_label)
    if len(series) + len(levels or {}) > 1:
        axes.legend()
    return _done(figure)


@mpl.rc_context(STYLE)
def bars(
    values: Mapping[str, float], value_label: str, *, x_log: bool = False
) -> Figure:
    """One horizontal bar for each named value, the first on top, values written.

    Raises ValueError for no values.
    """
    _need(values, "value")
    figure, axes = _new(height=0.6 + 0.42 * len(values))
    names = list(values)
    heights = [values[name] for name in names]
    patches = axes.barh(names, heights, color=COLOURS[0])
    axes.bar_label(patches, [f"{v:,.4g}" for v in heights], padding=3)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    if x_log:
        axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel(value_label)
    return _done(figure)


@mpl.rc_context(STYLE)
def heat_map(
    matrix: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    x_label: str = "",
    y_label: str = "",
    values: bool = False,
) -> Figure:
    """A matrix as squares, dark where large; ``values`` writes the numbers in.

    Raises ValueError unless every row and every column of it has one name.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(row_names), len(column_names)) or not matrix.size:
        raise ValueError(
            f"The matrix has shape {matrix.shape}, but there are "
            f"{len(row_names)} row names and {len(column_names)} column names. "
            "Give one name to each row and each column."
        )
    figure, axes = _new(height=1.2 + 0.42 * len(row_names))
    image = axes.imshow(matrix, cmap="Blues", aspect="auto")
    axes.set_xticks(
        range(len(column_names)), column_names, rotation=60, ha="right"
    )
    axes.set_yticks(range(len(row_names)), row_names)
    axes.grid(False)
    if values:
        middle = (np.nanmin(matrix) + np.nanmax(matrix)) / 2
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value > middle else "black"
            axes.text(
                column,
                row,
                f"{value:.2g}",
                ha="center",
                va="center",
                color=colour,
            )
    else:
        figure.colorbar(image, ax=axes)
    _label(axes, x_label, y_label)
    return _done(figure)


@mpl.rc_context(STYLE)
def labelled_points(
    points: Mapping[str, tuple[float, float]],
    x_label: str = "",
    y_label: str = "",
    *,
    x_log: bool = False,
    y_log: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Named points in the plane; ``groups`` gives sets of names a colour each.

    Raises ValueError for no points, an empty group or one with a name that no
    point has, or more than seven groups.
    """
    _need(points, "point")
    groups = groups or {"": list(points)}
    _not_too_many(groups, "groups")
    for group, names in groups.items():
        _need(names, f"name in the group {group!r}")
        if missing := [name for name in names if name not in points]:
            raise ValueError(
                f"The group {group!r} names {missing[0]!r}, which is no point. "
                "Add it to the points or take it out of the group."
            )
    figure, axes = _new(height=5.0)
    for number, (group, names) in enumerate(groups.items()):
        xs, ys = zip(*(points[name] for name in names), strict=True)
        marker = MARKERS[number % len(MARKERS)]
        axes.scatter(xs, ys, label=group, marker=marker, color=COLOURS[number])
    if x_log:
        axes.set_xscale("log")
    if y_log:
        axes.set_yscale("log")
    axes.margins(0.15)
    _label(axes, x_label, y_label)
    if len(groups) > 1:
        axes.legend()
    drawn = [name for names in groups.values() for name in names]
    _write_names(figure, axes, {name: points[name] for name in drawn})
    return _done(figure)


@mpl.rc_context(STYLE)
def grouped_bars(
    series: Mapping[str, Mapping[str, float]],
    value_label: str,
    *,
    errors: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Horizontal bars in groups: each named series has a bar in every group.

    A series named in ``errors`` has a line at the end of each bar, so far to
    both sides. The names stand above the bars and cover none. Raises ValueError
    for no series, more than seven, an empty one, series whose groups differ, and
    ``errors`` that do not fit.
    """
    _need(series, "series")
    _not_too_many(series, "series")
    groups = list(next(iter(series.values())))
    _need(groups, "group")
    for name, values in series.items():
        if set(values) != set(groups):
            raise ValueError(
                f"{name!r} has other groups than the first series. Give every "
                "series a value for each group."
            )
    for name, halves in (errors or {}).items():
        if name not in series or set(halves) != set(groups):
            raise ValueError(
                f"The errors of {name!r} do not fit. Name a series, and give "
                "one error for each of its groups."
            )
    rows, thick = np.arange(len(groups)), 0.8 / len(series)
    height = 1.2 + 0.24 * len(groups) * (1 + len(series))
    figure, axes = _new(height=height + 0.28 * ((len(series) + 1) // 2))
    for number, (name, values) in enumerate(series.items()):
        halves = (errors or {}).get(name)
        axes.barh(
            rows + (number - (len(series) - 1) / 2) * thick,
            [values[group] for group in groups],
            thick,
            label=name,
            color=COLOURS[number],
            hatch=("", "//", "..", "xx", "--", "++", "oo")[number],
            edgecolor="white",
            xerr=[halves[group] for group in groups] if halves else None,
            error_kw={"ecolor": "black", "elinewidth": 1.2, "capsize": 2},
        )
    axes.set_yticks(rows, groups)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel(value_label)
    if len(series) > 1:
        figure.legend(loc="outside upper left", ncols=2)
    return _done(figure)


def _need(items: Sequence | Mapping, kind: str) -> None:
    if len(items) == 0:
        raise ValueError(f"There is no {kind} to draw. Pass at least one.")


def _not_too_many(items: Mapping, kind: str) -> None:
    if len(items) > len(COLOURS):
        raise ValueError(
            f"{len(items)} {kind} cannot be told apart. Draw at most "
            f"{len(COLOURS)} in one figure."
        )


def _write_names(
    figure: Figure, axes: plt.Axes, points: Mapping[str, tuple[float, float]]
) -> None:
    """Write each name beside its point, on a side where it covers no other."""
    figure.draw_without_rendering()  # positions on the page are known from here
    taken = [
        Bbox.from_bounds(x - 3, y - 3, 6, 6)
        for x, y in axes.transData.transform(list(points.values()))
    ]
    if axes.get_legend():
        taken.append(axes.get_legend().get_window_extent())
    sides = [(ha, up) for up in (4, -13) for ha in ("left", "right")]
    sides += [("center", 8), ("center", -18)]
    for name, point in points.items():
        for side, up in (*sides, sides[0]):
            label = axes.annotate(
                name,
                point,
                xytext=({"left": 5, "right": -5, "center": 0}[side], up),
                textcoords="offset points",
                ha=side,
                size=11,
            )
            box = label.get_window_extent()
            inside = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1
            if inside and not box.count_overlaps(taken):
                break
            label.remove()
        else:  # no side is free
            axes.add_artist(label)
        taken.append(box)


def _new(height: float | None = None) -> tuple[Figure, plt.Axes]:
    with plt.rc_context(STYLE):
        return plt.subplots(figsize=(6.0, height) if height else None)


def _label(axes: plt.Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)


def _done(figure: Figure) -> Figure:
    """Close the figure for pyplot, so that a notebook shows it once."""
    plt.close(figure)
    return figure
