"""Targeted generalisation (thesis A, 3.3.1): which models to serve where views come from a given environment.

An environment is a data model. For one that was tested the starred column answers. For another chain nothing was
measured: the answer is that of the nearest tested data model, by RMS distance of the views, and says so.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.drift.environment import Nearest, nearest
from tasks.drift.models import members, weights
from tasks.errors import InputError, LineageError, ParamsError, fault
from tasks.isp.chain import Chain, parse_chain
from tasks.learn.metrics import Value
from tasks.lineage.digest import sha256_file
from tasks.lineage.places import resolve
from tasks.lineage.recipe import check_files, mend, read, read_tree

MATRIX, VIEWS = "matrix.json", "views:"
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Recommendation:
    """The answer for `environment`; `data_model` is the tested one that it rests on, `star` that column's choice.

    `score` is by cross-validation, which chose; `test` is of groups that chose nothing, None without any.
    """

    environment: str
    data_model: str
    nearest: Nearest | None
    star: Document
    weights: tuple[Path, ...]
    score: Mapping[str, Value]
    test: Mapping[str, Value] | None
    main: str
    confidence: float
    groups: int
    seed: int

    @property
    def measured(self) -> bool:
        """Whether models were tested in this very environment."""
        return self.nearest is None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "environment": self.environment,
            "data_model": self.data_model,
            "measured": self.measured,
            "nearest": self.nearest and self.nearest.document(),
            "train": self.star["train"],
            "weights": [str(path) for path in self.weights],
            "serving": self.serving,
            "main": self.main,
            "confidence": self.confidence,
            "groups": self.groups,
            "seed": self.seed,
            "score": dict(self.score),
            "test": self.test and dict(self.test),
            **{key: self.star[key] for key in ("best_share", "runner_up", "difference", "told_apart")},
        }

    @property
    def serving(self) -> str:
        """What the scores are of."""
        if len(self.weights) == 1:
            return "this one model was scored"
        return (
            f"each of the {len(self.weights)} fold models was scored alone: serve one of them; an ensemble of them was"
            " not measured"
        )

    def lines(self) -> list[str]:
        """For people."""
        star, level = self.star, f"{self.confidence:.0%}"
        told = [*(self.nearest.lines() if self.nearest else ()), f"serve the models trained on {star['train']}:"]
        told += [*(f"  {path}" for path in self.weights), self.serving]
        told.append(f"{self.main} {_cell(self.score, level)} over {_count(self.score, 'fold')}, by which it was chosen")
        if self.test is not None:
            told.append(
                f"{self.main} {_cell(self.test, level)} on {_count(self.test, 'test group')} that chose nothing"
            )
        told.append(f"ahead of the runner-up {star['runner_up']} by {_cell(star['difference'], level)}")
        apart = "told apart from every rival", "not told apart from every rival: another may be as good"
        share = f"best in {star['best_share']:.0%} of resamples of {self.groups} groups"
        return [*told, f"{share}; {apart[0] if star['told_apart'] else apart[1]}"]


def _cell(cell: Mapping[str, Value], level: str) -> str:
    text = f"{cell['mean']:.3f}"
    if cell["sd"] is not None:
        text += f", standard deviation {cell['sd']:.3f}"
    return text if cell["low"] is None else f"{text}, {level} interval {cell['low']:.3f} to {cell['high']:.3f}"


def _count(cell: Mapping[str, Value], what: str) -> str:
    n = int(cell["n"] or 0)
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def recommend(folder: Path, environment: str) -> Recommendation:
    """Which training data model of the drift synthesis at `folder` to serve in `environment`.

    That is the name of a tested data model, or a YAML or JSON file with a chain of operators as in params.yaml. Raises
    `LineageError` where the output is not what its recipe says, `InputError` for an unknown environment or an output
    without models to choose from, `ParamsError` for a chain that cannot be run.
    """
    check_files(folder)
    _check_bytes(folder, (MATRIX, "model.json"))
    found = _matrix(folder)
    if environment in found["data_models"]:
        return _answer(folder, found, environment, environment, None)
    chain = _read_chain(environment, found)
    stores = _stores(folder)
    for name in found["data_models"]:
        if parse_chain(read(stores[name])["params"]["operators"], stores[name]).document() == chain.document():
            return _answer(folder, found, environment, name, None)
    near = nearest(chain, _raw(folder), {name: stores[name] for name in found["data_models"]}, read(folder)["params"])
    return _answer(folder, found, environment, near.data_model, near)


def _check_bytes(folder: Path, names: Iterable[str]) -> None:
    """`LineageError` unless the named files of the output are those that were written, byte for byte."""
    tree = read_tree(folder)
    for name in set(names) & set(tree):
        found, wanted = sha256_file(folder / name), tree[name]["sha256"]
        if found != wanted:
            raise LineageError(fault(folder / name, f"sha256 {found}", f"sha256 {wanted}", mend(read(folder))))


def _matrix(folder: Path) -> dict[str, Any]:
    file = folder / MATRIX
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        stars = found["stars"]
    except (OSError, ValueError, KeyError, TypeError):
        raise LineageError(fault(file, "not a matrix", "JSON of rawmill", "make the output again")) from None
    if stars is None:
        wrong, remedy = "the scores of one given model", "train it on each data model"
        raise InputError(fault(file, wrong, "models to choose from", remedy))
    return found


def _read_chain(environment: str, found: Document) -> Chain:
    """The chain in the file `environment`: a list, or a mapping with the list under `operators`."""
    file = Path(environment)
    if not file.is_file():
        known = f"one of {' '.join(found['data_models'])}, or a file with a chain"
        raise InputError(fault(environment, "no such environment", known, "name one of these"))
    try:
        steps = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(fault(file, " ".join(str(error).split()), "YAML or JSON", "mend the file")) from None
    return parse_chain(steps["operators"] if isinstance(steps, dict) and set(steps) == {"operators"} else steps, file)


def _stores(folder: Path) -> dict[str, Path]:
    inputs = read(folder)["inputs"]
    return {e["role"].removeprefix(VIEWS): resolve(folder, e) for e in inputs if e["role"].startswith(VIEWS)}


def _raw(folder: Path) -> Path:
    return next(resolve(folder, entry) for entry in read(folder)["inputs"] if entry["role"] == "raw")


def _answer(folder: Path, found: Document, environment: str, name: str, near: Nearest | None) -> Recommendation:
    star = found["stars"]["data_models"][name]
    served = tuple(weights(folder, star["train"], member) for member in members(folder, star["train"]))
    _check_bytes(folder, (path.relative_to(folder).as_posix() for path in served))
    row, column = found["rows"].index(star["train"]), found["data_models"].index(name)
    test = found["test"]
    return Recommendation(
        environment=environment,
        data_model=name,
        nearest=near,
        star=star,
        weights=served,
        score=found["matrix"][row][column],
        test=test and test["matrix"][row][column],
        main=found["main"],
        confidence=found["confidence"],
        groups=found["groups"],
        seed=found["seed"],
    )
