"""Planting a bug: one function or method of the node is replaced by a wrong one.

A file in `planted/` holds the wrong function and a `PLANTED` value that says what it replaces and
who must find it. Production code has no switch for this: `plant` exchanges the object wherever the
node's packages hold it. The simulator's own references stay, so that its checkers keep the right
rules. There is no way back: a process that planted a bug ends with it.

`python -m tests.sim.planting NAME TEST...` runs named tests against the planted code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sim.plan import Plan

FOLDER = Path(__file__).parent / "planted"
CANARY = "canary_"
SEEDS_MAX = 2_000
"""A bug that lives so long is the simulator's fault."""
PACKAGES = ("ledger", "consensus", "p2p", "node")


def same_plan(plan: Plan) -> Plan:
    """No focus."""
    return plan


@dataclass(frozen=True, slots=True)
class Planted:
    """`target` is "module:function" or "module:Class.method"; `wrong` takes its place.

    Found by one of the simulator's checkers (`checkers`), by a named test (`test`), or, where
    `twice` is set, by two runs of one seed under different hash seeds. `focus` changes the plan
    that a seed drew: more of what it takes, for longer.
    """

    target: str
    wrong: Any
    checkers: tuple[str, ...] = ()
    test: str = ""
    twice: bool = False
    focus: Callable[[Plan], Plan] = same_plan
    seeds: int = SEEDS_MAX


def names() -> list[str]:
    """All planted bugs, without the canaries."""
    stems = sorted(path.stem for path in FOLDER.glob("*.py"))
    return [stem for stem in stems if not stem.startswith(CANARY)]


def load(name: str) -> Planted:
    """The bug of a file; importing it changes nothing."""
    planted: Planted = importlib.import_module(f"tests.sim.planted.{name}").PLANTED
    return planted


def original(planted: Planted) -> Any:
    """What stands at the target now."""
    owner, attribute = _owner(planted)
    return vars(owner)[attribute]


def plant(planted: Planted) -> None:
    """Replace the target in this process, also where a module imported it by name."""
    owner, attribute = _owner(planted)
    right = vars(owner)[attribute]
    setattr(owner, attribute, planted.wrong)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES:
            for key, value in list(vars(module).items()):
                if value is right:
                    setattr(module, key, planted.wrong)


def _owner(planted: Planted) -> tuple[Any, str]:
    module_name, _, path = planted.target.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, attribute = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, attribute


def _run_tests(name: str, tests: list[str]) -> int:
    import pytest  # not needed, and slow to load, where the simulator looks for bugs

    plant(load(name))
    return int(pytest.main([*tests, "-x", "-q", "--tb=line", "-p", "no:cacheprovider"]))


if __name__ == "__main__":
    sys.exit(_run_tests(sys.argv[1], sys.argv[2:]))
