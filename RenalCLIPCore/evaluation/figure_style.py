"""One look for all figures: Okabe and Ito's colours, line styles and markers beside them, files as SVG and PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)), (0, (3, 1.5)), "-", (0, (6, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, QUIET, LINE, SOFT = "#1c2733", "#55626f", "#c3ccd4", "#eef2f5"
ORACLE = "oracle"
PANEL_IN = 3.35
_DPI = 160
_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Liberation Sans", "Arial", "Helvetica", "DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6eaee",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7.6,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "svg.fonttype": "path",
    "svg.hashsalt": "renalclip",
}


@dataclass(frozen=True)
class Look:
    """How one model is drawn.

    Attributes:
        colour: Hexadecimal.
        style: Line style of matplotlib.
        marker: Of matplotlib.
    """

    colour: str
    style: Any
    marker: str


@dataclass(frozen=True)
class Picture:
    """A figure as files.

    Attributes:
        svg: Text of the SVG file.
        png: Bytes of the PNG file.
        width: In CSS pixels (96 per inch).
        height: The same.
    """

    svg: str
    png: bytes
    width: int
    height: int


def look(place: int, name: str = "") -> Look:
    """The look of the model at a place of the legend; the oracle is grey and thin wherever it stands."""
    if name == ORACLE:
        return Look("#8a949d", (0, (2, 2)), "*")
    k = place % len(COLOURS)
    return Look(COLOURS[k], STYLES[k], MARKERS[k])


@contextmanager
def canvas(width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure in the house's style; draw into it, then call :func:`picture` within the block."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context(_SETTINGS):
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.05, hspace=0.06)
        figure = Figure(figsize=(width_in, height_in), layout=layout)
        FigureCanvasAgg(figure)
        yield figure


def panels(figure: Figure, count: int, columns: int = 3) -> list[Any]:
    """Axes side by side, at most ``columns`` in a row."""
    wide = min(count, columns)
    grid = figure.subplots(-(-count // wide), wide, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]


def panel_size(count: int, columns: int = 3, width: float = PANEL_IN, height: float = PANEL_IN) -> tuple[float, float]:
    """Width and height in inches of a figure of so many panels."""
    wide = min(count, columns)
    return wide * width, -(-count // wide) * height


def legend_below(axes: Any, columns: int = 1) -> None:
    """A legend under the axes, where it hides no data."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        place = shifted(axes, down=38)
        axes.legend(loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=place, ncols=columns, borderaxespad=0.0)


def shifted(axes: Any, *, right: float = 0.0, down: float = 0.0) -> Any:
    """The transform of axes' shares, moved by points."""
    from matplotlib.transforms import offset_copy

    return offset_copy(axes.transAxes, fig=axes.figure, x=right, y=-down, units="points")


def square_axes(axes: Any, x_label: str, y_label: str, title: str) -> None:
    """Axes from 0 to 1 in both directions."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x_label, ylabel=y_label, title=title, aspect="equal")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])


def picture(figure: Figure) -> Picture:
    """The figure as SVG and PNG; the same figure gives the same bytes."""
    vector, raster = io.StringIO(), io.BytesIO()
    figure.savefig(vector, format="svg", metadata={"Date": None, "Creator": "RenalCLIP"})
    figure.set_layout_engine("none")  # what is laid out once stays where it is
    figure.savefig(raster, format="png", dpi=_DPI, metadata={"Software": "RenalCLIP"})
    width, height = figure.get_size_inches()
    return Picture(vector.getvalue(), raster.getvalue(), round(96 * width), round(96 * height))


def wrapped(text: str, width: int) -> str:
    """Text broken into lines."""
    from textwrap import fill

    return fill(text, width, break_long_words=False)


def spread(values: Sequence[float], room: float) -> list[float]:
    """Offsets around 0 for so many marks beside each other."""
    count = len(values)
    return [room * (k - (count - 1) / 2) / max(count, 1) for k in range(count)]
