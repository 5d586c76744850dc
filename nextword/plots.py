"""Every figure of the book: arrays in, a matplotlib Figure out, one style.

A figure is about as wide as a phone shows well, with letters large enough to be
read there. Colours are those of Okabe and Ito, which colour-blind readers can
tell apart; lines differ in dashes and markers too. A figure has axis labels and
a legend, but no title: what it shows stands in the text beside it.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
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


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    x_log: bool = False,
    y_log: bool = False,
    markers: bool = False,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """One line for each named ``(xs, ys)``, and a level line for each ``levels``."""
    figure, axes = _new()
    for number, (name, (xs, ys)) in enumerate(series.items()):
        marker = MARKERS[number % len(MARKERS)] if markers else None
        axes.plot(xs, ys, label=name, marker=marker)
    for number, (name, level) in enumerate((levels or {}).items()):
        colour = ("#555555", "#999999", "#222222")[number % 3]
        axes.axhline(level, color=colour, linestyle=DASHES[1 + number % 3], label=name)
    if x_log:
        axes.set_xscale("log")
    if y_log:
        axes.set_yscale("log")
    _label(axes, x_label, y_label)
    if len(series) + len(levels or {}) > 1:
        axes.legend()
    return _done(figure)


def bars(
    values: Mapping[str, float], value_label: str, *, x_log: bool = False
) -> Figure:
    """One horizontal bar for each named value, the first on top, values written."""
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


def heat_map(
    matrix: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    x_label: str = "",
    y_label: str = "",
    values: bool = False,
) -> Figure:
    """A matrix as squares, dark where large; ``values`` writes the numbers in."""
    matrix = np.asarray(matrix, dtype=float)
    figure, axes = _new(height=1.2 + 0.42 * len(row_names))
    image = axes.imshow(matrix, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(column_names)), column_names, rotation=60, ha="right")
    axes.set_yticks(range(len(row_names)), row_names)
    axes.grid(False)
    if values:
        middle = (np.nanmin(matrix) + np.nanmax(matrix)) / 2
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value > middle else "black"
            axes.text(
                column, row, f"{value:.2g}", ha="center", va="center", color=colour
            )
    else:
        figure.colorbar(image, ax=axes)
    _label(axes, x_label, y_label)
    return _done(figure)


def labelled_points(
    points: Mapping[str, tuple[float, float]],
    x_label: str = "",
    y_label: str = "",
    *,
    x_log: bool = False,
    y_log: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Named points in the plane; ``groups`` gives sets of names a colour each."""
    figure, axes = _new(height=5.0)
    groups = groups or {"": list(points)}
    for number, (group, names) in enumerate(groups.items()):
        xs, ys = zip(*(points[name] for name in names), strict=True)
        marker = MARKERS[number % len(MARKERS)]
        axes.scatter(xs, ys, label=group, marker=marker, color=COLOURS[number])
        for name in names:
            axes.annotate(
                name, points[name], xytext=(5, 4), textcoords="offset points", size=10
            )
    if x_log:
        axes.set_xscale("log")
    if y_log:
        axes.set_yscale("log")
    axes.margins(0.12)
    _label(axes, x_label, y_label)
    if len(groups) > 1:
        axes.legend()
    return _done(figure)


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
