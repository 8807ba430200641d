"""Rules of the layout that a reader of one file cannot see. Those on imports are import-linter's, in pyproject.toml."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from arbitrank.scaffold.names import DomainNames
from arbitrank.scaffold.workspace import LISTS, with_plugin

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "src" / "arbitrank"
BRIDGE = ROOT / "bridges" / "mcp" / "src"
REFERENCE = ("books", "music", "video")
DOMAINS = sorted(folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "pyproject.toml").is_file())

MODULE = 300
"""Lines of a module at most."""

FUNCTION = 60
"""Lines of a function at most, its decorators aside."""

BROAD = {
    "guard.py": "the boundary around plugin code: whatever that raises becomes a value",
    "arbitrank_mcp/connection.py": "supervises the connection to a foreign server, whose failures end that alone",
}
"""Modules that may catch everything, with the reason: the guard, supervising loops, child processes' main functions."""


def test_the_core_names_no_domain() -> None:
    name = re.compile(rf"(?<![a-z])(?:{'|'.join(REFERENCE)})(?![a-z])", re.IGNORECASE)
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "core" / "src").rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if name.search(line)
    ]
    assert set(DOMAINS) >= set(REFERENCE)  # others are not searched for: their names may be common words
    assert named == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_one_rule_for_names(domain: str) -> None:
    """Folder, distribution, import package, entry point and the domain itself go by one name."""
    from importlib.metadata import distribution, entry_points

    from arbitrank.registry import discover, loaded

    (entry,) = entry_points(group="arbitrank.domains.v1", name=domain)
    assert entry.dist is not None
    assert entry.dist.name == f"arbitrank-{domain}"
    package = DomainNames(domain).package
    assert entry.value.split(".")[0] == package
    assert (ROOT / "plugins" / domain / "src" / package / "plugin.py").is_file()
    assert loaded(discover({}))[domain].name == domain
    assert "arbitrank<1,>=0.2" in (distribution(f"arbitrank-{domain}").requires or [])


def test_every_plugin_is_listed_where_plugins_are() -> None:
    """As `arbitrank new` lists a new one: in what is installed and in the rules on imports."""
    names = [DomainNames(name) for name in DOMAINS]
    for file in LISTS:
        text = (ROOT / file).read_text(encoding="utf-8")
        for one in names:
            others = [name for name in DOMAINS if name != one.name]
            assert with_plugin(text, others, one) == text, f"{file} does not list {one.name}"


@cache
def modules() -> dict[Path, ast.Module]:
    """The modules of core and of the bridge, parsed."""
    paths = [*sorted(CORE.rglob("*.py")), *sorted(BRIDGE.rglob("*.py"))]
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a module."""
    return list(ast.walk(modules()[path]))


def inside(path: Path) -> str:
    """A module's path in its package: that of core, or the folder of the bridge's."""
    return path.relative_to(CORE if path.is_relative_to(CORE) else BRIDGE).as_posix()


def imported_as(path: Path) -> str:
    """The name that a module is imported by."""
    source = CORE.parent if path.is_relative_to(CORE) else BRIDGE
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


def broken(rule: Callable[[Path], Iterator[str]]) -> list[str]:
    """The places where a rule is broken."""
    return [f"{inside(path)}:{place}" for path in modules() for place in rule(path)]


def long_module(path: Path) -> Iterator[str]:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MODULE:
        yield f" {lines} lines"


def long_function(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION:
                yield f"{node.lineno}: {node.name}: {lines} lines"


def broad_except(path: Path) -> Iterator[str]:
    if inside(path) in BROAD:
        return
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler):
            caught = [None] if node.type is None else [one for one in ast.walk(node.type) if isinstance(one, ast.Name)]
            if any(one is None or one.id in {"Exception", "BaseException"} for one in caught):
                yield f"{node.lineno}: catches everything"


OPENING = re.compile(
    r"(?:what|whether|how|who|whom|whose|it|they|he|she)\b|(?:this|that|these|those|one)[.,;:]", re.IGNORECASE
)
"""The openings that no docstring has: a clause, or a pronoun, in the place of a noun."""


def docstring_opening(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and OPENING.match(docstring):
                yield f"{getattr(node, 'lineno', 1)}: {docstring.splitlines()[0]}"


def matches_error_text(path: Path) -> Iterator[str]:
    """Comparisons, and searches, in the text of a caught exception."""
    for handler in nodes(path):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue
        text = re.compile(rf"\bstr\({handler.name}\)|\b{handler.name}\.(args|reason|strerror|message)\b")
        for node in ast.walk(handler):
            searched = isinstance(node, ast.Compare) or (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"startswith", "endswith", "find", "index", "match", "search", "fullmatch"}
            )
            if searched and text.search(ast.unparse(node)):
                yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("rule", [long_module, long_function, broad_except, docstring_opening, matches_error_text])
def test_every_module_keeps_the_rule(rule: Callable[[Path], Iterator[str]]) -> None:
    assert broken(rule) == []


def test_a_module_that_may_catch_everything_does() -> None:
    found = {inside(path): path for path in modules()}
    for name in BROAD:
        assert "except" in found[name].read_text(encoding="utf-8"), name


def test_a_class_name_exists_once() -> None:
    places = defaultdict(list)
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{inside(path)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_there_is_no_import_circle() -> None:
    """Imports inside functions count; those for type checking alone do not."""
    names = {imported_as(path): path for path in modules()}
    imports = {name: set(_imported(modules()[path])) & names.keys() - {name} for name, path in names.items()}
    imports["arbitrank.arbitration.arbitrator"].remove("arbitrank.store.loading")  # inside `from_installed`
    elsewhere = (".environments", ".remote.")  # imported inside `survey`
    imports["arbitrank.registry"] = {n for n in imports["arbitrank.registry"] if not any(one in n for one in elsewhere)}
    while leaves := {name for name, found in imports.items() if not found}:
        imports = {name: found - leaves for name, found in imports.items() if name not in leaves}
    within = set().union(*imports.values())
    assert {name: found for name, found in imports.items() if name in within} == {}


def _imported(tree: ast.Module) -> Iterator[str]:
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)
        queue += ast.iter_child_nodes(node)
