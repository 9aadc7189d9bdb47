"""What the figures of drift optimisation may and may not be used for."""

from tasks.drift.params import OptimisationParams
from tasks.learn.scores import main_metric


def of(params: OptimisationParams, folds: int) -> tuple[str, ...]:
    """Plain sentences, for the document and the page."""
    return (
        f"All settings begin with the same weights, go through the tiles in the same order and are trained for "
        f"{params.train.epochs} epochs; differences are paired over the {folds} folds.",
        f"Average is the mean {main_metric(params)} over the validation points of a fold, then over folds: it rewards "
        "quick and steady training, not the best final model.",
        "Intervals are Student's t over folds. Folds share training tiles: variances are corrected for it (Nadeau and "
        "Bengio 2003), and the intervals stay approximate. Those of the test tiles are of all folds' models on the "
        "same groups and say nothing about other groups; with one test group nothing is told apart there.",
        "All trainings share one seed: initial weights and the order of tiles are one draw. What another draw would "
        "change is in no interval.",
        f"Each difference is judged alone, at {params.confidence:.0%}: of many, some are told apart by chance.",
        "Before each validation the batch norm after the data model is given the statistics of the augmented training "
        "tiles under theta as it then is; the published code's running averages lag behind a data model that moves.",
        "Direct raw sees half the sides of the window, and is shown no pixel that the sensor did not take.",
        "A learned data model serves its task model alone: its views are no images for people to read.",
    )
