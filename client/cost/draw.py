"""The curve as text, and as a picture."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from client.cost.measure import Curve, Cycles
from client.files import write_file
from contract.errors import InputError, SystemFailedError

WIDTH, HEIGHT = 56, 16
EMPTY = " \u2800"
"""A blank, and the Braille pattern without a dot."""
FORMATS = (".png", ".svg", ".pdf")


def text_of(curve: Curve) -> str:
    """Typical cycles, a letter for each line that differs."""
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height, figure.with_colors = WIDTH, HEIGHT, False
    figure.origin = False
    figure.x_label, figure.y_label = curve.let, "cycles"
    figure.register_label_formatter(float, _short)
    figure.set_x_limits(0, max(curve.values) * 1.02)
    lines = letters_of(curve)
    figure.set_y_limits(0, max(point.typical for points in lines.values() for point in points))
    for letter, points in lines.items():
        figure.plot([float(v) for v in curve.values], [float(p.typical) for p in points])
        figure.scatter([float(v) for v in curve.values], [float(p.typical) for p in points], marker=letter)
    return "\n".join(line.rstrip(EMPTY) for line in str(figure.show()).splitlines())


def letters_of(curve: Curve) -> dict[str, list[Cycles]]:
    """A letter for each line that differs, in the order of the lines."""
    return {chr(ord("A") + i % 26): points for i, points in enumerate(curve.alike().values())}


def _short(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:.0f}"
    return text.ljust(chars) if left else text.rjust(chars)


def check_picture(path: Path) -> None:
    """Raises InputError for a name of an unknown kind, SystemFailedError if nothing can draw it."""
    if path.suffix not in FORMATS:
        raise InputError(f"expected a name that ends in {', '.join(FORMATS)} or .html", str(path))
    try:
        import matplotlib.figure  # noqa: F401 - imported here to fail before any run
    except ImportError:
        raise SystemFailedError("lbrlab", "pictures need matplotlib: pip install 'lbrlab[plot]'") from None


def save_picture(curve: Curve, title: str, path: Path) -> None:
    """Typical cycles as lines, the range of prices as bands. Raises InputError naming the file."""
    check_picture(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for names, points in curve.alike().items():
        (line,) = axes.plot(curve.values, [p.typical for p in points], marker="o", markersize=3, label=names)
        low, high = [p.low for p in points], [p.high for p in points]
        axes.fill_between(curve.values, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set_title(title)
    axes.set_xlabel(curve.let)
    axes.set_ylabel("cycles (band: lowest to highest published price)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small", loc="upper left")
    # The same curve gives the same file.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    content = BytesIO()
    with rc_context({"svg.hashsalt": "lbrlab"}):
        figure.savefig(content, format=path.suffix[1:], metadata=dates.get(path.suffix))
    write_file(path, content.getvalue())
