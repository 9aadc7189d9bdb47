"""A source file that cannot be used: the four parts of its line are kept apart.

A line that goes into a store must not hold the place of the folder on this machine, or equal work in two
folders would give two digests: `line(folder)` names the file relative to the dataset.
"""

import os
from pathlib import Path

from tasks.errors import InputError, fault

AGAIN = "copy or export it again"


class BadFile(InputError):
    """`path` is wrong in this way; see `tasks.errors.fault` for the parts."""

    def __init__(self, path: Path, wrong: object, expected: object, remedy: str) -> None:
        self.path, self.wrong, self.expected, self.remedy = path, str(wrong), str(expected), remedy
        super().__init__(fault(path, wrong, expected, remedy))

    def __reduce__(self) -> tuple[type, tuple[Path, str, str, str]]:
        return type(self), (self.path, self.wrong, self.expected, self.remedy)

    def line(self, folder: Path) -> str:
        """The message with the file named relative to `folder`."""
        return fault(Path(os.path.relpath(self.path, folder)).as_posix(), self.wrong, self.expected, self.remedy)


def too_large(path: Path, height: int, width: int, most_pixels: int, key: str) -> None:
    """Raise `BadFile` when an image claims more than `most_pixels`: asked before memory is taken."""
    if height < 1 or width < 1:
        raise BadFile(path, f"{height} x {width} pixels", "a picture", "leave it out or export it again")
    if height * width > most_pixels:
        raise BadFile(path, f"{height} x {width} pixels", f"at most {most_pixels} pixels", f"raise {key} or crop it")
