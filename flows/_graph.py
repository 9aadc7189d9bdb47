"""The DVC graph: which stages there are, what each needs, which are stale, and in what order to start them."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tasks.errors import ParamsError, fault

LOCK_TRIES = 60


@dataclass(frozen=True)
class Graph:
    """Stages of dvc.yaml: `needs[stage]` are the stages whose outputs it reads; `stale` those to run."""

    needs: Mapping[str, frozenset[str]]
    stale: frozenset[str]

    def heights(self) -> dict[str, int]:
        """Stages in the longest chain that hangs below each stale stage, itself included."""
        known: dict[str, int] = {}

        def height(name: str) -> int:
            if name not in known:
                known[name] = 1 + max((height(u) for u in self.stale if name in self.needs[u]), default=0)
            return known[name]

        return {name: height(name) for name in sorted(self.stale)}

    def ready(self, waiting: Collection[str], unfinished: Collection[str]) -> list[str]:
        """Of `waiting`, the stages that need nothing `unfinished`: longest chain below first, then longest above.

        What lies deeper (training) mostly takes longer, and should not be left for the end.
        """
        below = self.heights()
        free = (name for name in waiting if not self.needs[name] & set(unfinished))
        return sorted(free, key=lambda name: (-below[name], -len(reach([name], self.needs)), name))


def reach(starts: Collection[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    """All names that `starts` lead to along `edges`, themselves included."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges[name]
    return seen


def read_graph(targets: Collection[str] = ()) -> Graph:
    """The graph and what is stale in it: what DVC says has changed, and all that hangs on it.

    `targets` (stages, groups such as `develop`, outputs) restrict the work to those and what they need. Runs no
    stage; waits while another `dvc` holds the lock. Raises `ParamsError` for what DVC cannot read or find.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    for _ in range(LOCK_TRIES):
        try:
            return _read(targets)
        except LockError:
            time.sleep(0.5)
        except DvcException as error:
            wrong = " ".join(str(error).split())
            remedy = "mend it, or see `dvc stage list` for the names"
            raise ParamsError(fault("dvc.yaml", wrong, "a DVC project that can be read", remedy)) from None
    remedy = "wait for it, or remove .dvc/tmp/lock if none runs"
    raise ParamsError(fault(".dvc/tmp/lock", "held by another dvc", "a free lock", remedy))


def _read(targets: Collection[str]) -> Graph:
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph
        needs = {s.addressing: frozenset(n.addressing for n in graph.successors(s)) for s in graph.nodes}
        named = {found.stage.addressing for target in targets for found in repo.stage.collect_granular(target)}
        changed = [n for n in repo.status(targets=sorted(named) or None, with_deps=bool(named)) if n in needs]
    wanted = reach(named, needs) if targets else set(needs)
    users = {name: frozenset(u for u in needs if name in needs[u]) for name in needs}
    return Graph(needs, frozenset(reach(changed, users) & wanted))
