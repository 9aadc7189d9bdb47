"""What a call of `rawmill drift` says, and the commands that make its outputs again."""

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

from flows._brought import params_words, seen_from


@dataclass(frozen=True)
class Options:
    """What the command line says about the model; `trained_on` reaches its scores alone."""

    arch: str
    arguments: tuple[str, ...]
    classes: str | None
    task: str | None
    input_px: int | None
    window_px: int | None
    trained_on: str | None

    @property
    def words(self) -> list[str]:
        """As they are written on the command line."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        each = [("arguments", argument) for argument in given.pop("arguments")]
        pairs = [*((name, value) for name, value in given.items() if value is not None), *each]
        return [word for name, value in pairs for word in (f"--{name.replace('_', '-')}", str(value))]

    @property
    def without_home(self) -> "Options":
        """Those on which an output depends that is not scored from home: another home must not make it anew."""
        return replace(self, trained_on=None)


@dataclass(frozen=True)
class Call:
    """Where things lie that a call names. The commands are to be typed in the folder that holds the output, as the
    paths in its recipe are relative to that; `params` is None for the file that rawmill ships."""

    model: Path
    data: Path
    out: Path
    params: Path | None
    options: Options

    def drift(self, output: Path, network: Path | None, *more: str) -> str:
        """Makes any output of the call again; `network` is the folder of the user's code, where it has one."""
        paths = {"model": self.model, "data": self.data, "out": self.out}
        words = [word for name, path in paths.items() for word in (f"--{name}", seen_from(output, path))]
        folder = "." if network is None else seen_from(output, network)
        before = "" if folder == "." else f"PYTHONPATH={shlex.quote(folder)} "
        return before + shlex.join(
            ["rawmill", "drift", *words, *params_words(output, self.params), *self.options.words, *more]
        )

    def ingest(self, output: Path) -> str:
        """Makes the raw store; `rawmill drift` splits it by its own params when it is run again."""
        words = ["rawmill", "ingest", seen_from(output, self.data), "--out", output.name]
        return shlex.join([*words, *params_words(output, self.params)])

    def develop(self, output: Path, raw: Path, variant: str) -> str:
        """Makes one variant store."""
        words = ["rawmill", "develop", seen_from(output, raw), "--variant", variant, "--out", output.name]
        return shlex.join([*words, *params_words(output, self.params)])
