"""How far an untested data model lies from those that were tested, measured on views of the same raw tiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import store
from tasks.contracts import FULL_SCALE_DN, Calibration
from tasks.isp.chain import Chain
from tasks.isp.crops import read_crops
from tasks.isp.engine import Frame, Mosaic, develop_window, frame_of
from tasks.learn.data import read_view, window_of
from tasks.lineage.recipe import check_files, check_plain

TILES = 24
"""Spread evenly over the sorted ids: a distance averages pixels, and few tiles settle it."""
WORK = (128, 512)


@dataclass(frozen=True)
class Nearest:
    """RMS distances of display values in [0, 1], of an untested chain from each tested data model, and between the
    nearest of these, `data_model`, and the other tested ones."""

    data_model: str
    distances: Mapping[str, float]
    between: Mapping[str, float]
    tiles: int

    def document(self) -> dict[str, Any]:
        return {
            "data_model": self.data_model,
            "rms": self.distances[self.data_model],
            "distances_rms": dict(self.distances),
            "between_tested_rms": dict(self.between),
            "tiles": self.tiles,
        }

    def lines(self) -> list[str]:
        """What was not measured, and what stands in for it."""
        near, rms = self.data_model, self.distances[self.data_model]
        ends = f"{min(self.between.values()):.4f} to {max(self.between.values()):.4f}"
        beyond = rms > min(self.between.values())
        told = [
            "no model was tested under this chain: what follows is of the nearest tested data model",
            f"nearest is {near}, at an RMS distance of {rms:.4f} of full scale over {self.tiles} tiles; "
            f"the other tested ones lie {ends} from {near}",
        ]
        far = "farther away than its nearest tested neighbour: test this chain before you rely on it"
        return [*told, far] if beyond else told


def nearest(chain: Chain, raw: Path, tested: Mapping[str, Path], params: Mapping[str, Any]) -> Nearest:
    """Distances of `chain` from the variant stores `tested` of `raw`, at the windows and the intensity of `params`
    (those of drift synthesis). Raises `LineageError` for stores that are not what their recipes say."""
    for path in (raw, *tested.values()):
        check_files(path)
        check_plain(path)
    tables = {name: _rows(path) for name, path in tested.items()}
    scales = {name: float(store.read_attributes(path)["scale"]) for name, path in tested.items()}
    mosaics, ids = _rows(raw), _chosen(next(iter(tables.values())), params)
    names, sums = [*tested], np.zeros((len(tested) + 1, len(tested) + 1))
    for tile in ids:
        seen = window_of(mosaics[tile].height_px, params["window_px"])
        views = [read_view(tested[name], tables[name][tile], scales[name])[:, seen, seen] for name in names]
        sums += _squares([*views, _view(chain, raw, mosaics[tile], seen)])
    distances = np.sqrt(sums / len(ids))
    order = int(distances[-1, :-1].argmin())
    others = {n: float(d) for i, (n, d) in enumerate(zip(names, distances[order], strict=False)) if i != order}
    return Nearest(names[order], dict(zip(names, map(float, distances[-1]), strict=False)), others, len(ids))


def _rows(path: Path) -> dict[str, Any]:
    """The rows of the store's table by tile id."""
    table = pd.read_parquet(path / "tiles.parquet")
    return {str(row.tile_id): row for row in table.itertuples(index=False)}


def _chosen(rows: Mapping[str, Any], params: Mapping[str, Any]) -> list[str]:
    ids = sorted(tile for tile, row in rows.items() if row.intensity == params["intensity"])
    return [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, TILES).astype(int))]


def _squares(views: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean squared differences of all pairs."""
    flat = np.stack(views).reshape(len(views), -1).astype(np.float64)
    return np.stack([((flat - one) ** 2).mean(axis=1) for one in flat])


def _view(chain: Chain, raw: Path, row: Any, seen: slice) -> NDArray[np.float32]:
    """The window of one raw tile under `chain`, as a variant store would hold it."""
    if row.item:
        place, top, left = raw / "frames" / row.item, row.y_px, row.x_px
        frame = _frame(place)
    else:
        mosaic = read_crops(raw / "mosaic", np.array([row.index], np.int64))[0]
        frame, top, left = frame_of(mosaic, _calibration(raw / "mosaic")), 0, 0
    spans = ((top + seen.start, top + seen.stop), (left + seen.start, left + seen.stop))
    return (develop_window(chain, frame, *spans, WORK) / np.float64(FULL_SCALE_DN)).astype(np.float32)


def _frame(place: Path) -> Frame:
    array = store.open_array(place / "0")

    def read(rows: slice, columns: slice) -> Mosaic:
        return np.asarray(array[rows, columns])

    return Frame(read, (array.shape[0], array.shape[1]), _calibration(place))


def _calibration(path: Path) -> Calibration:
    return Calibration.model_validate(store.read_attributes(path)["calibration"])
