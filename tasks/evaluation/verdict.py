"""Sentences that follow from the numbers of an evaluation, whichever way they fell."""

from collections.abc import Mapping, Sequence
from typing import Any


def _of(comparisons: Sequence[Mapping[str, Any]], candidate: str, reference: str = "real_test") -> Mapping[str, Any]:
    (entry,) = [c for c in comparisons if (c["candidate"], c["reference"]) == (candidate, reference)]
    return entry


def _span(estimate: Mapping[str, Any], digits: int = 2) -> str:
    return f"{estimate['value']:.{digits}f} [{estimate['low']:.{digits}f}, {estimate['high']:.{digits}f}]"


def _excess(contrasts: Sequence[Mapping[str, Any]], candidate: str, other: str) -> Mapping[str, Any]:
    (entry,) = [c["frechet"] for c in contrasts if (c["candidate"], c["other"]) == (candidate, other)]
    return dict(entry)


def standing(contrasts: Sequence[Mapping[str, Any]]) -> str:
    """Where the synthetic tiles stand by differences of Fréchet distances to held-out tissue and their intervals.

    `blind`: noise is not told from real training tiles, so nothing is. `noise`: not below noise. `blurred`: not
    below blurred real tiles. `real`: below both, and not told from real training tiles. `between`: else.
    """
    if _excess(contrasts, "gaussian_noise", "real_train")["low"] <= 0:
        return "blind"
    for spoilt in ("gaussian_noise", "blurred"):
        if _excess(contrasts, "synthetic", spoilt)["high"] >= 0:
            return "noise" if spoilt == "gaussian_noise" else spoilt
    return "real" if _excess(contrasts, "synthetic", "real_train")["low"] <= 0 else "between"


STANDING = {
    "blind": "these features do not tell noise from tissue at this sample size, so they judge nothing",
    "noise": "not told to be nearer to real tissue than noise at this sample size",
    "blurred": "nearer to real tissue than noise, not told to be nearer than blurred tissue at this sample size",
    "real": "not told from real training tiles at this sample size",
    "between": "told from real tissue, and nearer to it than noise and blurred tissue",
}


def fidelity(comparisons: Sequence[Mapping[str, Any]], contrasts: Sequence[Mapping[str, Any]]) -> str:
    """Where the synthetic tiles stand between real ones and noise, by Fréchet distance."""
    synthetic, real, noise = (_of(comparisons, c)["frechet"] for c in ("synthetic", "real_train", "gaussian_noise"))
    return (
        f"Fréchet distance to held-out tissue {_span(synthetic)}; real training tiles {_span(real)}, noise of the same "
        f"colours {_span(noise)}; synthetic less real {_span(_excess(contrasts, 'synthetic', 'real_train'))}: "
        f"{STANDING[standing(contrasts)]}."
    )


def manifold(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Precision and recall against held-out tissue beside those of real training tiles."""
    synthetic, real = _of(comparisons, "synthetic"), _of(comparisons, "real_train")
    parts = []
    for name in ("precision", "recall"):
        ours, theirs = synthetic[name], real[name]
        word = "below" if ours["high"] < theirs["low"] else "above" if ours["low"] > theirs["high"] else "not told from"
        parts.append(f"{name} {_span(ours)}, {word} real training tiles' {_span(theirs)}")
    return "; ".join(parts).capitalize() + "."


def copies(test: Mapping[str, Any], confidence: float) -> str:
    """Whether synthetic tiles lie nearer to training tiles than training tiles of other places do."""
    found = test["p_value"] < 1 - confidence
    share = test["detectable"]
    power = "no share of copies is sure to be found" if share is None else f"{share:.0%} of copies would be found"
    return (
        f"{test['flagged']} of {test['tiles']} synthetic tiles lie suspiciously near a training tile, "
        f"{'more often than' if found else 'not told from'} training tiles of other places ({test['expected']:.1f} "
        f"expected by chance; p = {test['p_value']:.3f}). At this sample size {power}."
    )


def steered(steering: Mapping[str, Any], confidence: float) -> str:
    """`undefined`, `no`, `weakly` or `yes`: by p, and whether the share of the ceiling clears its least."""
    p_value, share = steering["synthetic"]["shuffled"]["p_value"], steering["share"]
    if steering["synthetic"]["own"]["value"] is None or p_value is None:
        return "undefined"
    if p_value >= 1 - confidence:
        return "no"
    return "yes" if share["low"] is not None and share["low"] > share["least"] else "weakly"


STEERED = {
    "no": "no evidence that the masks steer the images",
    "weakly": "the masks have some effect, not told to be as much as is asked for",
    "yes": "the masks steer the images",
}


def steering(block: Mapping[str, Any], confidence: float) -> str:
    """Whether the masks steered the images, and by what share of what real annotation gives."""
    found = steered(block, confidence)
    if found == "undefined":
        return "Steering is undefined: the masks show no known class."
    (own, shuffled), share = (block["synthetic"][k] for k in ("own", "shuffled")), block["share"]
    told = "undefined: the segmenter does not see real annotation" if share["value"] is None else _span(share)
    return (
        f"Segmenter's mean IoU {_span(own)} with the images' own masks, {shuffled['mean']:.2f} "
        f"[{shuffled['low']:.2f}, {shuffled['high']:.2f}] with other images' (p = {shuffled['p_value']:.3f}); "
        f"{_span(block['real']['own'])} on real held-out tiles; share of that ceiling {told}, "
        f"{share['least']:.2f} asked for: {STEERED[found]}."
    )
