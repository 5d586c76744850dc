"""Drawings of the models: boxes for layers, arrows with the shapes they carry.

A drawing reads from top to bottom. The straight line is the residual stream, one
vector for each token; a sublayer is a loop that leaves it and comes back as a
sum. Layers are pre-norm but for PyTorch's. Plots of data are in ``plots``.
"""

from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from nextword.plots import COLOURS, STYLE

WIDTH = 6.0  # inches, as every figure of the book
GREY = "#555555"
COLOUR_OF = {  # a box is outlined in the colour of the last word on it
    "attention": COLOURS[0],
    "cross-attention": COLOURS[1],
    "feed-forward": COLOURS[2],
}


@mpl.rc_context(STYLE)
def encoder_only() -> Figure:
    """The short way: PyTorch's encoder, from vectors to vectors."""
    stack = Stack(_page(4.79), 1.6, 1, "(T, B, C)", norm_first=False)
    _words(stack.axes, 1.6, 0.2, "vectors")
    _arrow(stack.axes, (1.6, 0.35), (1.6, 0.95))
    stack.say_shape(0.62)
    end = stack.layers(0.95, ["attention", "feed-forward"])
    _arrow(stack.axes, (1.6, end), (1.6, end + 0.6))
    stack.say_shape(end + 0.3)
    _words(stack.axes, 1.6, end + 0.78, "vectors")
    return stack.axes.figure


@mpl.rc_context(STYLE)
def encoder_decoder() -> Figure:
    """The whole Transformer: source ids and target ids in, logits out."""
    axes = _page(10.12)
    source = Stack(axes, stream=0.35, side=1, shape="(B, S, C)")
    target = Stack(axes, stream=5.65, side=-1, shape="(B, T, C)")
    source.ids("source ids (B, S)")
    target.ids("target ids (B, T)")
    _box(axes, (3.0, 1.0), (5.8, 0.5), "embedding × √C, + position")
    source.enter(1.25, 2.0)
    end = source.layers(2.0, ["attention", "feed-forward"])
    memory = source.leave(end, "norm")
    target.enter(1.25, 3.42)
    end = target.layers(
        3.42, ["causal\nattention", "cross-attention", "feed-forward"]
    )
    _arrow(axes, (1.45, memory), (3.08, memory), COLOURS[1])
    _words(axes, 2.2, memory - 0.17, "memory", colour=COLOURS[1])
    _words(axes, 2.2, memory + 0.18, "(B, S, C)", colour=COLOURS[1])
    target.head(target.leave(end, "norm"), "tied output layer")
    return axes.figure


@mpl.rc_context(STYLE)
def halves() -> Figure:
    """BERT, the encoder half, on the left; GPT, the decoder half, right."""
    axes = _page(7.75)
    for name, x, side, attention, output in (
        ("BERT", 0.35, 1, "attention", "masked-token head"),
        ("GPT", 5.65, -1, "causal\nattention", "tied output layer"),
    ):
        stack = Stack(axes, stream=x, side=side, shape="(B, T, C)")
        stack.ids(f"{name}: ids (B, T)")
        embedding = "embedding" if name == "GPT" else "embedding, norm"
        _box(axes, (stack.middle, 1.0), (2.7, 0.5), embedding)
        stack.enter(1.25, 2.0)
        end = stack.layers(2.0, [attention, "feed-forward"])
        stack.head(stack.leave(end, "norm"), output)
    return axes.figure


@dataclass
class Stack:
    """One stream of vectors, and the side on which its sublayers are drawn."""

    axes: plt.Axes
    stream: float  # its x
    side: int  # 1: sublayers to the right of the stream, -1: to the left
    shape: str  # what every arrow of it carries
    norm_first: bool = True

    @property
    def middle(self) -> float:
        """The x of its middle, where the words stand."""
        return self.stream + 1.25 * self.side

    def say_shape(self, y: float, shape: str = "") -> None:
        """Write a shape beside the stream."""
        align = "left" if self.side == 1 else "right"
        x = self.stream + 0.1 * self.side
        _words(self.axes, x, y, shape or self.shape, align)

    def ids(self, text: str) -> None:
        """The first words of the column, and the arrow below them."""
        _words(self.axes, self.middle, 0.2, text)
        _arrow(self.axes, (self.middle, 0.35), (self.middle, 0.73))

    def enter(self, top: float, bottom: float) -> None:
        """The stream from the embeddings to the first layer."""
        _line(self.axes, (self.stream, top), (self.stream, bottom))
        self.say_shape(top + 0.3)

    def layers(self, top: float, sublayers: list[str]) -> float:
        """A frame with one loop for each sublayer; the y where it ends."""
        pitch = 1.12 if self.norm_first else 1.24  # a norm below each loop
        bottom = top + 0.35 + pitch * len(sublayers)
        left = self.stream - 0.24 if self.side == 1 else self.stream - 2.63
        frame = FancyBboxPatch(
            (left, top),
            2.87,
            bottom - top,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor="#f2f2f2",
            edgecolor=GREY,
            linestyle="--",
        )
        self.axes.add_patch(frame)
        align = "right" if self.side == 1 else "left"
        edge = self.stream + 2.53 * self.side
        _words(self.axes, edge, top + 0.17, "L layers", align, GREY)
        _line(self.axes, (self.stream, top), (self.stream, bottom))
        for row, name in enumerate(sublayers):
            self.loop(top + 0.85 + pitch * row, name)
        return bottom

    def loop(self, y: float, name: str) -> None:
        """Out of the stream, through the sublayer, and back as a sum."""
        colour = COLOUR_OF[name.split()[-1]]
        near = self.stream + 0.98 * self.side
        centre = self.stream + 1.77 * self.side
        if self.norm_first:
            name = f"norm,\n{name}"
        else:
            x = self.stream + 0.15 * self.side
            _box(self.axes, (x, y + 0.53), (0.7, 0.3), "norm")
        _box(self.axes, (centre, y), (1.58, 0.82), name, colour)
        for dy, shape_y in ((-0.2, -0.34), (0.2, 0.06)):
            ends = [(self.stream, y + dy), (near, y + dy)]
            if dy > 0:
                ends = [ends[1], (self.stream + 0.1 * self.side, y + dy)]
            _arrow(self.axes, *ends, colour)
            x = self.stream + 0.53 * self.side
            _words(self.axes, x, y + shape_y, self.shape)
        plus = (self.stream, y + 0.2)
        self.axes.add_patch(
            Circle(plus, 0.1, facecolor="white", edgecolor="black", zorder=4)
        )
        _words(self.axes, *plus, "+")

    def leave(self, top: float, text: str) -> float:
        """The stream after the last layer, into a box; the y of the box."""
        _arrow(self.axes, (self.stream, top), (self.stream, top + 0.55))
        self.say_shape(top + 0.28)
        x = self.stream + 0.43 * self.side
        _box(self.axes, (x, top + 0.8), (1.3, 0.5), text)
        return top + 0.8

    def head(self, top: float, text: str) -> None:
        """From the last norm to the logits."""
        for start, shape in ((top, ""), (top + 1.1, "(B, T, V)")):
            _arrow(
                self.axes,
                (self.stream, start + 0.25),
                (self.stream, start + 0.85),
            )
            self.say_shape(start + 0.54, shape or self.shape)
        _box(self.axes, (self.middle, top + 1.1), (2.7, 0.5), text)
        x = self.stream + 0.2 * self.side
        _words(self.axes, x, top + 2.1, "logits")


def _page(height: float) -> plt.Axes:
    """Axes that fill a figure of this height, in inches, y pointing down."""
    figure = plt.figure(figsize=(WIDTH, height), layout="none")
    plt.close(figure)  # so that a notebook shows it once
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return axes


def _box(axes, centre, size, text, colour=GREY) -> None:
    (x, y), (width, height) = centre, size
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor="white",
        edgecolor=colour,
        linewidth=2,
        zorder=3,
    )
    axes.add_patch(patch)
    _words(axes, x, y, text)


def _words(axes, x, y, text, align="center", colour="black") -> None:
    axes.text(
        x, y, text, ha=align, va="center", size=11, color=colour, zorder=5
    )


def _line(axes, start, end) -> None:
    axes.plot(*zip(start, end, strict=True), color="black", zorder=2, ls="-")


def _arrow(axes, start, end, colour="black") -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.22,head_length=0.45",
            "color": colour,
            "linewidth": 2,
            "shrinkA": 0,
            "shrinkB": 0,
        },
        zorder=3,
    )
