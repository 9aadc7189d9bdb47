"""A figure of Matplotlib and its file, as PNG whose bytes depend on the numbers alone."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tasks.disk import storage_faults


def blank(width_in: float, height_in: float) -> Figure:
    """An empty figure of 100 dpi, drawn without a display."""
    figure = Figure(figsize=(width_in, height_in), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write `figure` to `path`, whose folder is made; returns it. Raises `StoreError` where that cannot be written."""
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})
    return path
