"""A planted project with every output that the report shows, tiny, made by `output.start` and `publish`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skimage
import yaml

from tasks import store
from tasks.learn.metrics import RULES
from tasks.lineage import step as audit_step
from tasks.lineage.digest import pretty
from tasks.lineage.params import AuditParams
from tasks.lineage.recipe import artefact, package_file
from tasks.report import encode
from tests.lineage_chain import Fill, noise, seal

REPORT: dict[str, Any] = {
    "datasets": ["microscopy", "drone", "slides"], "drift": ["microscopy"], "corpus": "tissue",
    "variants": ["bi,s,me", "ma,s,me"],
    "shown_variant": "ma,s,me", "crops": 4, "window_px": 32, "detail_px": 8, "frame_width_px": 48, "samples": 2,
    "neighbours": 2, "difference_gain": 4.0, "jpeg_quality": 80,
}  # fmt: skip
AUDIT = {"check_code": False, "sections": {"data/{kind}/{name}": {}, "data/{kind}/{dataset}/{name}": {}}}
CAMERA = {
    "pattern": "RGGB", "black_level_dn": [100.0] * 4, "white_level_dn": 60000.0, "white_balance": [1.0, 1.0, 1.0],
    "colour_matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "exposure_s": None, "iso": None,
    "gain_dn_per_e": 2.0, "left_justified_bits": 0,
}  # fmt: skip
PX, CLASSES = 32, {"microscopy": ["BAS", "EOS"], "drone": ["car"], "slides": ["tumour", "stroma"]}
PICTURE = package_file(
    "picture", "scikit-image", Path(skimage.__file__).parent / "data/ihc.png", "skimage/data/ihc.png"
)
COLUMNS = {"training": [[0, 100], [220, 320]], "held_out": [[340, 512]]}
TEXTURE = {"held_out": ["slides0"], "picture_columns_px": COLUMNS}
NAUGHTY = "<script>alert(1)</script>"
"""Stands in a rejected file's line, which the page must escape."""


def plant(root: Path) -> Path:
    """Plant the project in `root`; returns `root/data`. The audit is the real one."""
    data = root / "data"
    text = yaml.safe_dump({"report": REPORT, "audit": AUDIT})
    (root / "params.yaml").write_text(text, encoding="utf-8")
    for dataset in CLASSES:
        sources, raw = data / "sources" / dataset, data / "raw" / f"{dataset}.zarr"
        made = dataset == "slides"
        seal(sources, "acquire", [PICTURE] if made else [], TEXTURE if made else {}, _sources(dataset))
        seal(raw, "ingest", [artefact("sources", sources, raw)], {}, _raw(dataset))
    for dataset in ("microscopy", "drone"):
        for variant in REPORT["variants"]:
            out = data / "variants" / dataset / f"{variant}.zarr"
            raw = data / "raw" / f"{dataset}.zarr"
            seal(out, "develop", [artefact("raw", raw, out)], {}, _variant(dataset, variant))
    _models(data)
    _corpus(data)
    _drift(data)
    params = AuditParams.model_validate(AUDIT)
    job = audit_step.prepare(data, data / "lineage" / "audit", params, root / "params.yaml", "rawmill repro audit")
    for item in job.items:
        audit_step.process(job, item)
    audit_step.finish(job)
    return data


def _sources(dataset: str) -> Fill:
    def fill(content: Path) -> None:
        (content / f"{dataset}.tif").write_bytes(dataset.encode())
        (content / "manifest.csv").write_text(f"file,mask\n{dataset}.tif,\n", encoding="utf-8")

    return fill


def _row(dataset: str, tile: str, **more: Any) -> dict[str, Any]:
    row = {"tile_id": tile, "source": f"{dataset}.tif", "item": "", "index": -1, "y_px": 0, "x_px": 0, "height_px": PX,
           "width_px": PX, "label": "", "mask": "", "group": "g1", "split": "train", "fold": 0, "intensity": 1.0,
           "coverage": 1.0, **{f"fraction_{name}": 0.5 for name in CLASSES[dataset]}}  # fmt: skip
    return {**row, **more}


def rows(dataset: str) -> list[dict[str, Any]]:
    """Tiles: two classes at two intensities, two frames of two tiles, two slides of four."""
    if dataset == "microscopy":
        pairs = [(label, part) for label in CLASSES[dataset] for part in (0.25, 1.0)]
        named = [(f"{label}-{part:.2f}", label, part) for label, part in pairs]
        return [_row(dataset, t, index=i, label=lb, intensity=p) for i, (t, lb, p) in enumerate(named)]
    folder = {"drone": "frames", "slides": "slides"}[dataset]
    items = [(f"{dataset}{i}", "train" if i else "test") for i in range(2)]
    corners = [(0, 0), (0, PX)] if dataset == "drone" else [(0, 0), (0, PX), (PX, 0), (PX, PX)]
    return [
        _row(dataset, f"{item}_{y}_{x}", item=item, y_px=y, x_px=x, mask=f"{folder}/{item}/labels/annotation",
             group=item, split=split, fold=0 if split == "train" else -1)
        for item, split in items for y, x in corners
    ]  # fmt: skip


def image(
    path: Path, axes: str, size: tuple[int, int], dtype: str, high: int, levels: int = 1, key: str = "", **more: Any
) -> None:
    shape = (3, *size) if axes == "cyx" else size
    store.create_image(path, store.Image(axes, shape, dtype, 0.5, levels, 16, 64, **more))
    pixels = noise(shape, path.name + key, high, dtype)
    store.write_image(path, lambda window: pixels[window])


def labels(path: Path, name: str, size: tuple[int, int], levels: int = 1) -> None:
    store.create_group(path / "labels", {"ome": {"version": "0.5", "labels": [name]}})
    image(path / "labels" / name, "yx", size, "uint8", 3, levels, label=True)


def _stack(path: Path, shape: tuple[int, ...], key: str, attributes: Mapping[str, Any] | None = None) -> None:
    axes = ["tile", *"cyx"[-len(shape) + 1 :]]
    store.create_array(path, shape, "uint16", (1, *shape[1:]), shape, axes, attributes)
    for window in store.windows(store.open_array(path)):
        store.write(path, window, noise(shape, key, 50000, "uint16")[window])


def _raw(dataset: str) -> Fill:
    kind = {"microscopy": "crops", "drone": "frames", "slides": "slides"}[dataset]

    def fill(content: Path) -> None:
        store.create_group(content, {"rawmill": {"version": 1, "kind": kind, "classes": CLASSES[dataset]}})
        table = pd.DataFrame(rows(dataset))
        table.to_parquet(content / "tiles.parquet", index=False)
        if kind == "crops":
            _stack(content / "mosaic", (len(table), PX, PX), dataset, {"rawmill": {"calibration": CAMERA}})
        size, levels = ((PX, 2 * PX), 1) if kind == "frames" else ((2 * PX, 2 * PX), 2)
        for item in sorted(set(table["item"]) - {""}):
            place = content / kind / item
            if kind == "frames":
                image(place, "yx", size, "uint16", 50000, attributes={"calibration": CAMERA})
            else:
                image(place, "cyx", size, "uint8", 255, levels, channels=store.RGB)
            labels(place, "annotation", size, levels)

    return fill


def _variant(dataset: str, variant: str) -> Fill:
    def fill(content: Path) -> None:
        kind = {"microscopy": "crops", "drone": "frames"}[dataset]
        store.create_group(content, {"rawmill": {"version": 1, "kind": kind, "variant": variant, "scale": 1 / 65535}})
        table = pd.DataFrame(rows(dataset))
        table = table[table["intensity"] == 1.0].reset_index(drop=True)
        if kind == "crops":
            table["index"] = np.arange(len(table))
            _stack(content / "view", (len(table), 3, PX, PX), variant)
        for item in sorted(set(table["item"]) - {""}):
            image(content / "frames" / item, "cyx", (PX, 2 * PX), "uint16", 60000, key=variant, channels=store.RGB)
        table.to_parquet(content / "tiles.parquet", index=False)

    return fill


def _spread(mean: float) -> dict[str, float]:
    return {"mean": mean, "sd": 0.05, "low": mean - 0.1, "high": mean + 0.1, "n": 3.0}


def learn_metrics(dataset: str) -> dict[str, Any]:
    """metrics.json of a task model: accuracy .9 against .5, IoU .7 against .02."""
    main, trivial, mean = {
        "microscopy": ("accuracy", "accuracy_of_majority", 0.9),
        "drone": ("iou", "iou_of_everywhere", 0.7),
    }[dataset]
    names = CLASSES[dataset] if dataset == "microscopy" else ["other", *CLASSES[dataset]]
    classes = {n: {m: _spread(mean) for m in ("precision", "recall", "f1", "iou", "dice", "support")} for n in names}
    summary = {main: _spread(mean), trivial: _spread(0.5 if main == "accuracy" else 0.02)}
    if main == "iou":
        summary["iou_tile_mean_of_nothing"] = _spread(0.5)
    role = {"summary": summary, "classes": classes, "confusion": [[1, 0], [0, 1]], "folds": {}}
    task = "classification" if dataset == "microscopy" else "segmentation"
    return {
        "task": task,
        "classes": names,
        "main": main,
        "confidence": 0.95,
        "rules": RULES,
        "roles": {"test": role, "validation": role},
    }


def model(metrics: Mapping[str, Any], figures: tuple[str, ...], tiles: tuple[str, ...]) -> Fill:
    def fill(content: Path) -> None:
        (content / "weights.safetensors").write_bytes(content.parent.name.encode())
        (content / "model.json").write_bytes(pretty({}))
        (content / "metrics.json").write_bytes(pretty(metrics))
        (content / "figures").mkdir()
        for name in figures:
            (content / "figures" / f"{name}.png").write_bytes(encode.png(noise((8, 12, 3), name, 255, "uint8")))
        pd.DataFrame([{"tile_id": t, "role": "train", "fold": 0} for t in tiles]).to_parquet(
            content / "tiles.parquet", index=False
        )

    return fill


def _models(data: Path) -> None:
    for name in ("microscopy", "drone"):
        out, views = data / "models" / name, data / "variants" / name / "ma,s,me.zarr"
        figures = ("confusion", "curves", "overlays")
        tiles = tuple(row["tile_id"] for row in rows(name)[-1:])
        fill = model(learn_metrics(name), figures, tiles)
        seal(out, "learn", [artefact("views", views, out)], {"variant": "ma,s,me"}, fill)
    raw = data / "raw" / "slides.zarr"
    for name, metrics in instrument_metrics().items():
        out = data / "models" / name
        inputs = [artefact("slides", raw, out)]
        if name == "denoiser":
            inputs.append(artefact("autoencoder", data / "models" / "autoencoder", out))
        seal(
            out,
            "train",
            inputs,
            {},
            model(
                metrics, ("reconstruction", "loss", "heldout", "masks", "frequencies"), ("slides1_0_0", "slides1_0_32")
            ),
        )


def instrument_metrics() -> dict[str, dict[str, Any]]:
    """metrics.json of the models behind the synthesis and the evaluation, by the keys that their stages write."""
    return {
        "autoencoder": {"held_out_ssim": 0.81, "held_out_psnr_db": 30.25, "final_loss": 0.07},
        "denoiser": {"held_out_loss_own_mask": 0.264, "held_out_loss_null": 0.267, "held_out_loss_other_mask": 0.297},
        "mask_denoiser": {"held_out_loss_own_prompt": 0.15, "held_out_loss_null": 0.16,
                          "held_out_loss_other_prompt": 0.17},
        "encoder": {"retrieval": 0.9, "retrieval_untrained": 0.4, "label_agreement": 0.85,
                    "label_agreement_untrained": 0.6},
        "segmenter": {"mean_iou": 0.5, "iou": {"tumour": 0.512, "stroma": None}},
    }  # fmt: skip


def _estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1}


def evaluation_metrics() -> dict[str, Any]:
    """metrics.json of an evaluation in which all is well: as near as real tiles, steered, nothing copied."""
    pairs = [("synthetic", "real_test", 1.0), ("real_train", "real_test", 0.95), ("gaussian_noise", "real_test", 30.0)]
    metrics = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage")
    steered = {
        "images": 2, "own": _estimate(0.7), "shuffled": {"mean": 0.2, "low": 0.1, "high": 0.3, "p_value": 0.01},
        "own_iou": dict.fromkeys(CLASSES["slides"], 0.7), "shuffled_iou": dict.fromkeys(CLASSES["slides"], 0.2),
    }  # fmt: skip
    copies = {"flagged": 0, "tiles": 8, "heldout_flagged": 1, "heldout_tiles": 8, "p_value": 1.0, "threshold": 0.5,
              "median_ratio": 1.0, "heldout_median_ratio": 1.0}  # fmt: skip
    return {
        "extractor": NAUGHTY, "features": 16, "neighbours": 3, "confidence": 0.95, "tiles": {}, "copies": copies,
        "comparisons": [
            {"candidate": c, "reference": r, "tiles": 8, **{m: _estimate(v) for m in metrics}} for c, r, v in pairs
        ],
        "steering": {"synthetic": steered, "real": steered},
        "verdict": {key: f"{key} in words." for key in ("fidelity", "manifold", "copies", "steering")},
    }  # fmt: skip


def _synthetic(content: Path) -> None:
    store.create_group(content, {"rawmill": {"version": 1, "synthetic": True}})
    table = []
    for name in ("s0", "s1", "s2"):
        place = content / "samples" / name
        image(place, "cyx", (2 * PX, 2 * PX), "uint8", 255, channels=store.RGB)
        labels(place, "mask", (2 * PX, 2 * PX))
        table.append({"sample_id": name, "seed": 5, "height_px": 2 * PX, "width_px": 2 * PX, "guidance": 1.0,
                      "steps": 4, "mask_source": ["slides1_0_0"], "recipe": "0" * 64})  # fmt: skip
    pd.DataFrame(table).to_parquet(content / "samples.parquet", index=False)


def _evaluation(content: Path) -> None:
    (content / "metrics.json").write_bytes(pretty(evaluation_metrics()))
    (content / "figures").mkdir()
    for name in ("frechet", "features", "steering"):
        (content / "figures" / f"{name}.png").write_bytes(encode.png(noise((9, 14, 3), name, 255, "uint8")))
    near = [{"tile_id": f"s0_{i}", "sample_id": "s0", "y_px": 0, "x_px": i * PX, "rank": rank,
             "original": "slides1_0_0", "distance": 1.0, "copy_ratio": 0.9 - i / 2}
            for i in range(2) for rank in (1, 2)]  # fmt: skip
    pd.DataFrame(near).to_parquet(content / "neighbours.parquet", index=False)


def _drift(data: Path) -> None:
    out, views = data / "drift" / "microscopy" / "report", data / "variants" / "microscopy" / "ma,s,me.zarr"

    def fill(content: Path) -> None:
        finding = {"tone": "fair", "title": f"Serving {NAUGHTY}", "text": "the best of two is not told apart."}
        (content / "summary.json").write_bytes(pretty({"findings": [finding]}))
        (content / "pictures").mkdir()
        (content / "pictures" / "synthesis-matrix.png").write_bytes(encode.png(noise((9, 14, 3), "m", 255, "uint8")))

    seal(out, "drift_report", [artefact("views", views, out)], {"heading": "Cells under another camera"}, fill)


def _corpus(data: Path) -> None:
    out, models = data / "synthetic" / "tissue.zarr", data / "models"
    seal(out, "synthesise", [artefact(n, models / n, out) for n in ("autoencoder", "denoiser")], {}, _synthetic)
    judged = data / "reports" / "evaluation"
    inputs = [artefact("synthetic", out, judged), artefact("slides", data / "raw" / "slides.zarr", judged)]
    seal(judged, "evaluate", [*inputs, artefact("encoder", models / "encoder", judged)], {}, _evaluation)
