"""The models that make and judge the synthetic images: what each reaches on held-out tiles, beside its baseline."""

from collections.abc import Mapping
from typing import Any

from tasks.report.inputs import Inputs, read_json, read_picture

Row = dict[str, Any]
FIGURES = {
    "autoencoder.png": ("autoencoder", "reconstruction"),
    "denoiser-loss.png": ("denoiser", "loss"),
    "segmenter-heldout.png": ("segmenter", "heldout"),
    "generated-masks.png": ("mask_denoiser", "masks"),
    "mask-frequencies.png": ("mask_denoiser", "frequencies"),
}


def build(inputs: Inputs, pictures: dict[str, bytes]) -> list[Row]:
    """Rows of the table; adds the models' figures to `pictures`."""
    for file, (name, figure) in FIGURES.items():
        pictures[file] = read_picture(inputs.path(f"models/{name}") / "figures" / f"{figure}.png")
    names = ("autoencoder", "mask_denoiser", "denoiser", "encoder", "segmenter")
    return rows({name: read_json(inputs.path(f"models/{name}") / "metrics.json") for name in names})


def rows(found: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """`{instrument, measure, value, beside}` from each model's metrics.json; `beside` is `[(name, value)]`.

    A measure is None where the model had no held-out tiles to be measured on.
    """
    segmenter, encoder = found["segmenter"], found["encoder"]
    untrained = {key: [("untrained", encoder.get(f"{key}_untrained"))] for key in ("retrieval", "label_agreement")}
    per_class = [_row("segmenter", f"IoU of {name}", value) for name, value in segmenter["iou"].items()]
    return [
        _row("autoencoder", "PSNR in dB", found["autoencoder"].get("held_out_psnr_db")),
        _row("autoencoder", "SSIM", found["autoencoder"].get("held_out_ssim")),
        _mask_denoiser(found["mask_denoiser"]),
        _denoiser(found["denoiser"]),
        _row("encoder", "second view of a tile found among all", encoder["retrieval"], untrained["retrieval"]),
        _row(
            "encoder",
            "nearest training tile has the same label",
            encoder.get("label_agreement"),
            untrained["label_agreement"],
        ),
        _row("segmenter", "IoU, mean of classes", segmenter["mean_iou"]),
        *per_class,
    ]


def _mask_denoiser(found: Mapping[str, Any]) -> Row:
    beside = [
        ("no prompt", found.get("held_out_loss_null")),
        ("another subtype", found.get("held_out_loss_other_prompt")),
    ]
    told = "loss told the slide's subtype, lower is better"
    return _row("mask denoiser", told, found.get("held_out_loss_own_prompt"), beside)


def _denoiser(found: Mapping[str, Any]) -> Row:
    beside = [
        ("no mask", found.get("held_out_loss_null")),
        ("another tile's mask", found.get("held_out_loss_other_mask")),
    ]
    return _row(
        "denoiser", "loss with the tile's own mask, lower is better", found.get("held_out_loss_own_mask"), beside
    )


def _row(instrument: str, measure: str, value: float | None, beside: Any = ()) -> Row:
    return {"instrument": instrument, "measure": measure, "value": value, "beside": list(beside)}
