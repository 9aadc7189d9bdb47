"""Several chains at once: what they begin with alike is computed once a tile.

The twelve variants need 3 demosaicings and 6 sharpened images for 12 views.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tasks.isp.chain import Chain
from tasks.isp.operator import Operator, Place, Plane, margin_px
from tasks.isp.scratch import scratch


@dataclass(frozen=True)
class Branch:
    """An operator and what follows it: the numbers of the chains that end here, and further branches."""

    operator: Operator
    ends: tuple[int, ...]
    after: tuple["Branch", ...]

    @cached_property
    def reach_px(self) -> int:
        """By how much its result must be larger than the views, on each side; whole quads up to the demosaicing."""
        reach = max((branch.need_px for branch in self.after), default=0)
        return reach if self.operator.domain == "rgb" else reach + reach % 2

    @cached_property
    def need_px(self) -> int:
        """The same for what it takes."""
        return self.reach_px + self.operator.halo_px


def branches(chains: Sequence[Chain]) -> tuple[Branch, ...]:
    """`chains` as a forest of their common beginnings."""
    return _grow([(number, chain.operators) for number, chain in enumerate(chains)])


def _grow(chains: list[tuple[int, tuple[Operator, ...]]]) -> tuple[Branch, ...]:
    first: list[Operator] = []
    for _, operators in chains:
        if operators and operators[0] not in first:
            first.append(operators[0])
    return tuple(_branch(operator, chains) for operator in first)


def _branch(operator: Operator, chains: list[tuple[int, tuple[Operator, ...]]]) -> Branch:
    below = [(number, operators[1:]) for number, operators in chains if operators and operators[0] == operator]
    return Branch(operator, tuple(number for number, rest in below if not rest), _grow(below))


Give = Callable[[int, Plane, int], None]
"""Takes the number of a chain, its view (3, y, x) and by how many px that is larger on each side than asked.

The array is used again afterwards.
"""


def run(branch: Branch, image: Plane, place: Place, size: tuple[int, int], give: Give) -> None:
    """All views of `size` (y, x) below `branch` from its input, which is larger by its `need_px` or more."""
    height, width = (side + 2 * branch.reach_px for side in size)
    with scratch() as take:
        shape = (height, width) if branch.operator.domain == "mosaic" else (3, height, width)
        out = take(*shape)
        branch.operator.into(image, out, place)
        for number in branch.ends:
            give(number, out, branch.reach_px)
        inside = place.inside(margin_px(image, out))
        for following in branch.after:
            run(following, out, inside, size, give)
