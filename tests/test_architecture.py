"""The walls of the house, checked on the source itself.

Each rule is a function from a syntax tree to the faults it holds. It runs over every module of the
packages, and once over a planted fault, so that a rule that sees nothing does not pass for peace.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PACKAGES = ("ledger", "consensus", "p2p", "node", "cli")
PURE_PACKAGES = ("ledger", "consensus")
IMPURE_MODULES = frozenset(
    ("asyncio", "time", "datetime", "random", "secrets", "socket", "threading", "logging", "os")
)
DISTRIBUTIONS = {"nacl": "pynacl", "prometheus_client": "prometheus-client"}
"""Modules that are not called like what installs them."""
TYPES_ALONE = frozenset(("_typeshed", "pytest"))
"""Imported for annotations, or by whoever runs pytest."""
UNSAFE_MODULES = frozenset(("pickle", "marshal", "shelve", "dill", "yaml"))
UNSAFE_CALLS = frozenset(("eval", "exec", "compile", "__import__"))
TASK_CALLS = frozenset(("create_task", "ensure_future"))
SUPERVISOR = Path("node/supervise.py")
FILE_LINES_MAX = 500  # beyond it a file holds two ideas
FUNCTION_LINES_MAX = 80  # one screen, with its docstring

Rule = Callable[[ast.Module], Iterator[str]]


@cache
def sources() -> dict[Path, ast.Module]:
    """Every module of the packages by its path from the root."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT): ast.parse(path.read_text("utf-8")) for path in paths}


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, package: str) -> set[str]:
    """Absolute names of all that a module imports, wherever in it, for types alone too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in node.names)
    return names


def coroutines(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield f"line {node.lineno}: async def {node.name}"


def floats(tree: ast.Module) -> Iterator[str]:
    """Literals, the type's name, and true division except where it joins a path to a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: the literal {node.value}"
        elif isinstance(node, ast.Name) and node.id == "float":
            yield f"line {node.lineno}: float"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            right = node.right if isinstance(node, ast.BinOp) else node.value
            is_text = isinstance(right, ast.JoinedStr) or (
                isinstance(right, ast.Constant) and isinstance(right.value, str)
            )
            if not is_text:
                yield f"line {node.lineno}: true division"


def unsafe(tree: ast.Module) -> Iterator[str]:
    """What runs or builds whatever its input says."""
    for name in sorted(imported(tree, "")):
        if name.partition(".")[0] in UNSAFE_MODULES:
            yield f"imports {name}"
    for node in ast.walk(tree):
        # A bare name only: re.compile is another function than the built-in compile.
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in UNSAFE_CALLS:
            yield f"line {called.lineno} calls {called.id}"


def strangers(tree: ast.Module) -> Iterator[str]:
    """What neither Python brings nor pyproject.toml names: it is there by chance, if at all."""
    for name in sorted({item.partition(".")[0] for item in imported(tree, "")}):
        known = {*sys.stdlib_module_names, *PACKAGES, *TYPES_ALONE, *dependencies()}
        if DISTRIBUTIONS.get(name, name) not in known:
            yield f"imports {name}"


@cache
def dependencies() -> frozenset[str]:
    """Names of what is installed with Marsa."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return frozenset(Requirement(text).name for text in project["dependencies"])


def bare_excepts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"line {node.lineno}: a bare except"


def tasks(tree: ast.Module) -> Iterator[str]:
    """A call by these names on whatever object: a loop, a group, the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
            if name in TASK_CALLS:
                yield f"line {node.lineno} calls {name}"


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"line {node.lineno}: {node.name} has {lines} lines"


LONG_FUNCTION = "def f():\n" + "    pass\n" * FUNCTION_LINES_MAX

RULES: dict[str, tuple[Rule, tuple[str, ...], tuple[str, ...]]] = {
    # name: the rule, the packages it holds in, planted faults that it must see
    "coroutines": (coroutines, PURE_PACKAGES, ("async def f(): pass",)),
    "floats": (floats, PURE_PACKAGES, ("x = 0.5", "x = float(y)", "x = a / b", "x /= 2")),
    "unsafe": (
        unsafe,
        PACKAGES,
        ("import pickle", "from yaml import load", "eval(x)", "def f():\n    import marshal"),
    ),
    "strangers": (strangers, PACKAGES, ("import yarl", "from attr import define")),
    "bare_excepts": (bare_excepts, PACKAGES, ("try:\n    f()\nexcept:\n    g()",)),
    "tasks": (
        tasks,
        PACKAGES,
        ("asyncio.create_task(f())", "loop.create_task(f())", "ensure_future(f())"),
    ),
    "long_functions": (long_functions, PACKAGES, (LONG_FUNCTION,)),
}


@pytest.mark.parametrize("name", RULES)
def test_source_keeps_the_rule(name: str) -> None:
    """No module of the packages breaks the rule: its faults, with their places, are none."""
    rule, packages, _ = RULES[name]
    faults = [
        f"{path}: {fault}"
        for path, tree in sources().items()
        if path.parts[0] in packages and not (name == "tasks" and path == SUPERVISOR)
        for fault in rule(tree)
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("name", "planted"), [(name, text) for name in RULES for text in RULES[name][2]]
)
def test_rule_sees_a_planted_fault(name: str, planted: str) -> None:
    """Each rule finds the fault that was written for it: it is not blind."""
    assert list(RULES[name][0](ast.parse(planted)))


def test_rules_leave_the_innocent_alone() -> None:
    """Path joins, integer division and re.compile look like faults and are none."""
    tree = ast.parse('a = path / "LOCK"\nb = path / f"{c}"\nd = e // f\nre.compile(g)')
    assert [fault for rule, _, _ in RULES.values() for fault in rule(tree)] == []


def impure_imports(trees: dict[str, ast.Module]) -> list[str]:
    """Imports of impure modules by the core, or by any module of ours that the core reaches.

    `trees` holds modules by name. Importing a module runs the packages above it too.
    """
    faults = []
    seen = {name for name in trees if name.partition(".")[0] in PURE_PACKAGES}
    queue = sorted(seen)
    for name in queue:  # grows while it runs, by each module once
        is_package = any(other.startswith(f"{name}.") for other in trees)
        package = name if is_package else name.rpartition(".")[0]
        for target in sorted(imported(trees[name], package)):
            if target.partition(".")[0] in IMPURE_MODULES:
                faults.append(f"{name} imports {target}")
            parts = target.split(".")
            reached = [".".join(parts[: end + 1]) for end in range(len(parts))]
            fresh = [item for item in reached if item in trees and item not in seen]
            seen.update(fresh)
            queue.extend(fresh)
    return faults


def test_core_reaches_no_clock_chance_task_or_socket() -> None:
    """From ledger and consensus, through our own modules, no impure module is imported."""
    assert impure_imports({module_name(path): tree for path, tree in sources().items()}) == []


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ({"ledger.a": "import os"}, "ledger.a imports os"),
        ({"ledger.a": "def f():\n    import os.path"}, "ledger.a imports os.path"),
        (
            {"consensus": "", "consensus.a": "from .b import c", "consensus.b": "import time"},
            "consensus.b imports time",
        ),
        (
            {"ledger.a": "import p2p.b", "p2p.b": "from p2p import c", "p2p.c": "import random"},
            "p2p.c imports random",
        ),
        (
            {"ledger.a": "import node.b", "node": "import socket", "node.b": ""},
            "node imports socket",
        ),
    ],
    ids=["direct", "inside a function", "relative", "two steps off", "in a parent package"],
)
def test_impure_import_is_found_on_every_way(texts: dict[str, str], fault: str) -> None:
    """A planted impure import is found wherever it hides, and nothing else is."""
    assert impure_imports({name: ast.parse(text) for name, text in texts.items()}) == [fault]


def test_files_hold_one_idea() -> None:
    """No module is longer than the limit; what is small stays small."""
    lengths = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in sources()}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_package_files_import_nothing() -> None:
    """An __init__.py is a sentence: importing one module never pulls in its siblings."""
    empty = [path for path in sources() if path.name == "__init__.py"]
    assert {path for path in empty if imported(sources()[path], "")} == set()


def test_one_library_decides_about_signatures() -> None:
    """Only ledger.crypto imports nacl: libraries disagree on odd signatures, so one rules."""
    importers = {
        module_name(path)
        for path, tree in sources().items()
        if any(name.partition(".")[0] == "nacl" for name in imported(tree, module_name(path)))
    }
    assert importers == {"ledger.crypto"}


INDEPENDENT = "cli.verify_"
"""Modules that check what nodes say, and share no code with them."""
INDEPENDENT_LIBRARIES = frozenset(("msgpack", "cryptography"))


def borrowed(tree: ast.Module) -> list[str]:
    """What a module imports beside the standard library, the two libraries and its like."""
    allowed = INDEPENDENT_LIBRARIES | sys.stdlib_module_names
    return sorted(
        name
        for name in imported(tree, "cli")
        if name.partition(".")[0] not in allowed and not name.startswith(INDEPENDENT)
    )


def test_the_offline_verifier_shares_no_code_with_a_node() -> None:
    """cli/verify_*.py stand alone: no fault of ours can hide what they look for."""
    found = {module_name(path): tree for path, tree in sources().items()}
    independent = {name: tree for name, tree in found.items() if name.startswith(INDEPENDENT)}
    assert f"{INDEPENDENT}bundle" in independent
    assert {name: borrowed(tree) for name, tree in independent.items() if borrowed(tree)} == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import json\nimport msgpack\nfrom cli.verify_bytes import pack", []),
        ("from ledger.crypto import verify", ["ledger.crypto", "ledger.crypto.verify"]),
        ("def f():\n    import nacl.signing", ["nacl.signing"]),
        ("from . import output", ["cli", "cli.output"]),
        ("import msgspec", ["msgspec"]),
    ],
    ids=["allowed", "the ledger", "inside a function", "a neighbour", "the node's codec"],
)
def test_borrowed_code_is_found(text: str, names: list[str]) -> None:
    """Planted imports of each kind are seen, and those that are allowed are not."""
    assert borrowed(ast.parse(text)) == names


def test_import_directions() -> None:
    """The contracts in pyproject.toml hold, as lint-imports sees them."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
