"""Mutation testing of consensus: does a test fail when one operator, constant or answer is wrong?

Each mutant is one module of `consensus` with one change: a comparison moved by its boundary or
turned round, `and` for `or`, a `not` left out, `+` for `-`, a number one higher, True for False, an
answer of None. It runs against `tests/consensus` and `tests/golden`, in a process of its own; what
no test there notices is printed as a survivor. A survivor is a missing test, a case that only the
simulator reaches, or a change that means nothing (a bound that is never met exactly).

`python -m tests.sim.mutants` runs all; `--every 5` each fifth; `--only consensus.quorum` a module.
It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from tests.sim.resumable import fingerprint_of, of_another_version, save

ROOT = Path(__file__).parent.parent.parent
TESTS = ("tests/consensus", "tests/golden")
TIMEOUT_S = 120  # a mutant that loops is noticed too
PASSED = int(pytest.ExitCode.OK)
JUDGED = ("consensus", "ledger", *TESTS)
"""What another version of may notice another mutant."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """The `index`-th change that a module offers."""

    module: str
    index: int
    label: str

    @property
    def name(self) -> str:
        return f"{self.module} {self.index}, {self.label}"


UNCHANGED = Mutant("", -1, "")


class State(msgspec.Struct):
    """Which mutants were run, by name, and whether no test noticed."""

    code: str
    survived: dict[str, bool] = {}


class Mutator(ast.NodeTransformer):
    """Counts the changes that a tree offers and makes the one with number `wanted`."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.labels: list[str] = []

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        for place, operator in enumerate(node.ops):
            other = COMPARISONS[type(operator)]()
            if self._take(node, f"{_word(operator)} -> {_word(other)}"):
                node.ops[place] = other
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        other = ARITHMETIC.get(type(node.op))
        if other is not None and self._take(node, f"{_word(node.op)} -> {_word(other())}"):
            node.op = other()
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        if self._take(node, f"{_word(node.op)} -> {_word(other)}"):
            node.op = other
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not) and self._take(node, "not left out"):
            return self.visit(node.operand)
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, int):
            return node
        other = not node.value if isinstance(node.value, bool) else node.value + 1
        return ast.Constant(other) if self._take(node, f"{node.value} -> {other}") else node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        plain = isinstance(node.value, ast.Constant) and node.value.value is None
        if node.value is not None and not plain and self._take(node, "returns None"):
            return ast.Return(ast.Constant(None))
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return node  # its words are for people

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return node  # says what is known already

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None and not isinstance(node.value, ast.Constant):
            node.value = self.visit(node.value)
        return node  # fields and their types are checked by the vectors

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def _take(self, node: ast.expr | ast.stmt, change: str) -> bool:
        self.labels.append(f"line {node.lineno}: {change}")
        return len(self.labels) - 1 == self.wanted


class MutantFinder(MetaPathFinder, Loader):
    """Gives the mutated module to whoever imports it; all others come from their files."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:  # type: ignore[override]
        return ModuleSpec(name, self) if name == self.mutant.module else None

    def exec_module(self, module: ModuleType) -> None:
        tree = Mutator(self.mutant.index).visit(_parse(self.mutant.module))
        exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), vars(module))  # noqa: S102


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text."""
    counter = Mutator(-1)
    counter.visit(_parse(module))
    return [Mutant(module, index, label) for index, label in enumerate(counter.labels)]


def survives(mutant: Mutant) -> bool:
    """Run the tests on a mutant, in another process."""
    command = [sys.executable, "-m", "tests.sim.mutants", "--one", mutant.module, str(mutant.index)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == PASSED


def run_one(mutant: Mutant) -> int:
    """Become the mutant and run the tests; 0 when they see nothing."""
    sys.meta_path.insert(0, MutantFinder(mutant))
    sys.dont_write_bytecode = True
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *TESTS]))


def main(arguments: list[str]) -> int:
    """Print the survivors and the share of mutants that were noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=main.__doc__)
    parser.add_argument("--only", help="one module, such as consensus.quorum")
    parser.add_argument("--every", type=int, default=1, help="each so-many-th mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--state", type=Path, default=ROOT / ".sim-mutants.json")
    parser.add_argument("--one", nargs=2, metavar=("MODULE", "INDEX"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        return run_one(Mutant(options.one[0], int(options.one[1]), ""))
    modules = [options.only] if options.only else list(_modules())
    mutants = [mutant for module in modules for mutant in mutants_of(module)][:: options.every]
    state = _load(options.state)
    due = [mutant for mutant in mutants if mutant.name not in state.survived]
    if due and not survives(UNCHANGED):
        raise SystemExit("the tests fail without any change")
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, alive in zip(due, pool.map(survives, due), strict=True):
            state.survived[mutant.name] = alive
            save(msgspec.json.encode(state), options.state)
            print("survived:" if alive else "noticed: ", mutant.name, flush=True)
    survivors = [mutant.name for mutant in mutants if state.survived[mutant.name]]
    killed = len(mutants) - len(survivors)
    share = 100 * killed / max(1, len(mutants))
    print(*survivors, f"{killed} of {len(mutants)} mutants noticed ({share:.1f} %)", sep="\n")
    return 0


def _load(path: Path) -> State:
    files = [file for folder in JUDGED for file in sorted((ROOT / folder).rglob("*.py"))]
    code = fingerprint_of(files)
    if not path.exists():
        return State(code)
    state = msgspec.json.decode(path.read_bytes(), type=State)
    if state.code != code:
        raise SystemExit(of_another_version(path))
    return state


def _modules() -> Iterator[str]:
    for path in sorted((ROOT / "consensus").glob("*.py")):
        if path.stem != "__init__":
            yield f"consensus.{path.stem}"


def _parse(module: str) -> ast.Module:
    return ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text("utf-8"))


def _word(operator: ast.AST) -> str:
    return type(operator).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
