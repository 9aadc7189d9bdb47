"""Sentences that follow from the numbers of an evaluation, whichever way they fell."""

from collections.abc import Mapping, Sequence
from typing import Any


def _of(comparisons: Sequence[Mapping[str, Any]], candidate: str, reference: str = "real_test") -> Mapping[str, Any]:
    (entry,) = [c for c in comparisons if (c["candidate"], c["reference"]) == (candidate, reference)]
    return entry


def _span(estimate: Mapping[str, Any], digits: int = 2) -> str:
    return f"{estimate['value']:.{digits}f} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def fidelity(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Where the synthetic tiles stand between real ones and noise, by Fréchet distance."""
    synthetic, real, noise = (_of(comparisons, c)["frechet"] for c in ("synthetic", "real_train", "gaussian_noise"))
    if noise["low"] <= real["high"]:
        judgement = "these features do not tell noise from tissue at this sample size, so they judge nothing"
    elif synthetic["low"] <= real["high"]:
        judgement = "not told from real training tiles at this sample size"
    elif synthetic["high"] < noise["low"]:
        judgement = "told from real tissue, and nearer to it than noise is"
    else:
        judgement = "no nearer to real tissue than noise"
    return (
        f"Fréchet distance to held-out tissue {_span(synthetic)}; real training tiles {_span(real)}, "
        f"noise of the same colours {_span(noise)}: {judgement}."
    )


def manifold(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Precision and recall against held-out tissue beside those of real training tiles."""
    synthetic, real = _of(comparisons, "synthetic"), _of(comparisons, "real_train")
    parts = []
    for name in ("precision", "recall"):
        ours, theirs = synthetic[name], real[name]
        word = "below" if ours["high"] < theirs["low"] else "above" if ours["low"] > theirs["high"] else "level with"
        parts.append(f"{name} {_span(ours)}, {word} real training tiles' {_span(theirs)}")
    return "; ".join(parts).capitalize() + "."


def copies(test: Mapping[str, Any], confidence: float) -> str:
    """Whether synthetic tiles lie nearer to training tiles than held-out ones do."""
    more = "more often than" if test["p_value"] < 1 - confidence else "no more often than"
    return (
        f"{test['flagged']} of {test['tiles']} synthetic tiles lie suspiciously near a training tile, {more} "
        f"held-out real tiles ({test['heldout_flagged']} of {test['heldout_tiles']}; p = {test['p_value']:.3f})."
    )


def steering(synthetic: Mapping[str, Any], real: Mapping[str, Any], confidence: float) -> str:
    """Whether the masks steered the images."""
    own, shuffled = synthetic["own"], synthetic["shuffled"]
    if own["value"] is None or shuffled["p_value"] is None:
        return "Steering is undefined: the masks show no known class."
    steered = shuffled["p_value"] < 1 - confidence
    judgement = "the masks steer the images" if steered else "no evidence that the masks steer the images"
    return (
        f"Segmenter's mean IoU {_span(own)} with the images' own masks, {shuffled['mean']:.2f} "
        f"[{shuffled['low']:.2f}, {shuffled['high']:.2f}] with other images' (p = {shuffled['p_value']:.3f}); "
        f"{_span(real['own'])} on real held-out tiles: {judgement}."
    )
