"""What came out of benchmarks/learns.py: a table of figures and a picture for the docs."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tasks.evaluation import tiles
from tasks.store import open_array
from tasks.synthesis.figures import coloured

Picture = NDArray[np.uint8]
"""(3, y, x)"""
SHOWN, GAP_PX, SMALLER, MOST_BYTES = 6, 6, 3, 500_000
QUALITIES = (90, 85, 80, 75, 70, 60)
SETS = ("real_train", "synthetic", "blurred", "shuffled_pixels", "gaussian_noise")


def write(out: Path, seconds: Mapping[str, Mapping[str, float]]) -> str:
    """Write figures.json, figures.md and picture.jpg below `out`; returns the table."""
    judged = json.loads((out / "reports" / "evaluation" / "metrics.json").read_bytes())
    metrics = {
        name: json.loads((out / "models" / name / "metrics.json").read_bytes())
        for name in ("autoencoder", "denoiser", "encoder", "segmenter")
    }
    figures = {
        "seconds": seconds,
        "models": metrics,
        **{key: judged[key] for key in ("tiles", "comparisons", "contrasts", "copies", "steering", "verdict")},
    }
    (out / "figures.json").write_text(json.dumps(figures, indent=2))
    text = "\n".join([*_distances(judged), "", *_steering(judged, metrics), "", *_costs(seconds)])
    (out / "figures.md").write_text(text + "\n", encoding="utf-8")
    picture(out)
    return text


def span(estimate: Mapping[str, Any], digits: int) -> str:
    """An estimate with its interval; a dash where it is undefined."""
    if estimate["value"] is None:
        return "-"
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _distances(judged: Mapping[str, Any]) -> Iterator[str]:
    """Every set against held-out tissue, then by how much synthetic tiles are farther than others."""
    found = {c["candidate"]: c for c in judged["comparisons"] if c["reference"] == "real_test"}
    count = found["synthetic"]["tiles"]
    yield f"| {count} tiles each, to held-out tissue | Fréchet distance | precision | recall |"
    yield "|---|---|---|---|"
    for name in SETS:
        entry = found[name]
        shares = " | ".join(f"{entry[key]['value']:.2f}" for key in ("precision", "recall"))
        yield f"| {name.replace('_', ' ')} | {span(entry['frechet'], 1)} | {shares} |"
    for entry in judged["contrasts"]:
        if entry["candidate"] == "synthetic":
            yield f"| synthetic less {entry['other'].replace('_', ' ')} | {span(entry['frechet'], 1)} | | |"


def _steering(judged: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    """The segmenter's agreement, copies, and the autoencoder's fidelity."""
    steering, copies = judged["steering"], judged["copies"]
    yield "| what | figure |"
    yield "|---|---|"
    yield f"| segmenter's mean IoU with the images' own masks | {span(steering['synthetic']['own'], 2)} |"
    shuffled = steering["synthetic"]["shuffled"]
    yield f"| with other images' masks | {shuffled['mean']:.2f} (p = {shuffled['p_value']:.3f}) |"
    yield f"| of real held-out tiles with their own | {span(steering['real']['own'], 2)} |"
    yield f"| share of that ceiling | {span(steering['share'], 2)} |"
    yield f"| tiles suspiciously near a training tile | {copies['flagged']} of {copies['tiles']} |"
    codec = metrics["autoencoder"]
    yield f"| autoencoder on held-out tiles | {codec['held_out_psnr_db']:.1f} dB, SSIM {codec['held_out_ssim']:.2f} |"


def _costs(seconds: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield "| stage | core minutes |"
    yield "|---|---|"
    for name, taken in seconds.items():
        yield f"| {name} | {taken['core_s'] / 60:.1f} |"
    yield f"| all | {sum(taken['core_s'] for taken in seconds.values()) / 60:.1f} |"


def picture(out: Path) -> None:
    """Real held-out windows; the first samples as they came, under their masks; the large canvas, its mask smaller."""
    samples = sorted(p.name for p in (out / "synthetic" / "tissue.zarr" / "samples").iterdir() if p.is_dir())[:SHOWN]
    pairs = [sample(out / "synthetic" / "tissue.zarr" / "samples" / name) for name in samples]
    large, mask = sample(out / "synthetic" / "canvas.zarr" / "samples" / "s00000")
    real = real_windows(out / "raw" / "slides.zarr", pairs[0][0].shape[1])
    rows = [real, [mask for _, mask in pairs], [image for image, _ in pairs], [large], [mask[:, ::SMALLER, ::SMALLER]]]
    save(page(rows), out / "picture.jpg")


def sample(path: Path) -> tuple[Picture, Picture]:
    """The image of a synthetic sample and its mask in colours."""
    image, mask = (np.asarray(open_array(p / "0")[:]) for p in (path, path / "labels" / "mask"))
    return image, coloured(mask)


def real_windows(slides: Path, side_px: int) -> list[Picture]:
    """Windows of held-out bands, evenly spread over the tiles that are mostly tissue and have room below and right."""
    rows = pd.read_parquet(slides / "tiles.parquet")
    rows = rows[(rows["split"] == "test") & (rows["tissue"] >= 0.5)].sort_values("tile_id", ignore_index=True)
    shapes = {item: open_array(slides / "slides" / str(item) / "0").shape for item in set(rows["item"])}
    room = [
        row.y_px + side_px <= shapes[row.item][1] and row.x_px + side_px <= shapes[row.item][2]
        for row in rows.itertuples(index=False)
    ]
    rows = rows[room].reset_index(drop=True)
    chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int))]
    return list(tiles.pictures(slides, chosen.assign(height_px=side_px, width_px=side_px)))


def page(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Rows of pictures on white, each row as high as its highest."""
    heights = [max(p.shape[1] for p in row) for row in rows]
    width = max(sum(p.shape[2] + GAP_PX for p in row) for row in rows) - GAP_PX
    sheet = np.full((3, sum(heights) + GAP_PX * (len(rows) - 1), width), 255, np.uint8)
    y = 0
    for row, height in zip(rows, heights, strict=True):
        x = 0
        for p in row:
            sheet[:, y : y + p.shape[1], x : x + p.shape[2]] = p
            x += p.shape[2] + GAP_PX
        y += height + GAP_PX
    return sheet


def save(sheet: Picture, path: Path) -> None:
    """A JPEG at the best of `QUALITIES` that keeps below `MOST_BYTES`, else the last."""
    image = Image.fromarray(np.ascontiguousarray(sheet.transpose(1, 2, 0)))
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=quality, optimize=True)
        if buffer.tell() < MOST_BYTES:
            break
    path.write_bytes(buffer.getvalue())
