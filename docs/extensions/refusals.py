"""Every text with which the code refuses something, read from the sources: the directive ``refusals``.

Its content names modules and folders, one a line; in their place stand the texts that these modules can say, with "…"
for what differs from case to case, and the remedy below each where the code has one. A module that another list of
the page names by itself is left out of its folder.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pipelines.tracking.provenance import CHECKOUT

ROOMS = ("simvp", "datasets", "pipelines", "flows")
HOLE = "…"
SIGNS = ("expected ", ", got ")  # of a reason that is made in one module and raised in another


class Said(NamedTuple):
    """What is said: the text, and the remedy of the same refusal (empty where it has none of its own)."""

    text: str
    remedy: str


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("refusals", Refusals)
    return {"parallel_read_safe": True, "version": "1"}


class Refusals(SphinxDirective):
    """The texts of the modules that its content names, each once, in the order of the code."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A list of texts, with remedies below them."""
        items = []
        entries = owners(Path(self.env.doc2path(self.env.docname)).read_text())
        named = {line.strip() for line in self.content if line.strip()}
        for module in [module for module, owner in entries.items() if owner in named]:
            self.env.note_dependency(str(CHECKOUT / module))
            for said in texts(CHECKOUT / module):
                item = nodes.list_item("", nodes.paragraph("", "", nodes.literal("", said.text)))
                if said.remedy:
                    item += nodes.paragraph("", "", nodes.emphasis("", "To mend it: "), nodes.Text(said.remedy))
                items.append(item)
        return [nodes.bullet_list("", *items, classes=["refusals"])]


def owners(page: str) -> dict[str, str]:
    """By module that can say something, the line of the page (itself or a folder above it) that has its texts.

    Raises
    ------
    KeyError
        Modules that no line of the page covers.
    """
    blocks = re.findall(r"^```{refusals}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    found = {}
    for module in modules():
        above = [module, *(parent.as_posix() for parent in Path(module).parents)]
        found[module] = next((place for place in above if place in lines), "")
    if bare := [module for module, owner in found.items() if not owner]:
        raise KeyError(f"no entry in the page of refusals: {', '.join(bare)}")
    return found


def modules(root: Path = CHECKOUT) -> list[str]:
    """Files of the code that can say something, below the checkout."""
    paths = [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]
    return [path.relative_to(root).as_posix() for path in paths if texts(path)]


@cache
def kinds(root: Path = CHECKOUT) -> frozenset[str]:
    """`Refusal` and all classes that are made from it, at any remove."""
    paths = [path for room in ROOMS for path in (root / room).rglob("*.py")]
    classes = [node for path in paths for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)]
    found: set[str] = {"Refusal"}
    while more := {one.name for one in classes if found & {ast.unparse(base) for base in one.bases}} - found:
        found |= more
    return frozenset(found)


@cache
def texts(path: Path) -> tuple[Said, ...]:
    """What a module can say, each text once."""
    tree = _tree(path)
    found: dict[str, str] = {}
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        names = _assigned(function)
        for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
            if ast.unparse(call.func).rpartition(".")[2] not in kinds():
                continue
            given = dict(zip(("subject", "reasons", "remedy"), call.args, strict=False))
            given |= {str(keyword.arg): keyword.value for keyword in call.keywords}
            subject, remedy = (next(_templates(given.get(name), names), "") for name in ("subject", "remedy"))
            for reason in list(_templates(given.get("reasons"), names)) or [""]:
                text = ": ".join(filter(None, (subject or HOLE, reason)))
                if text.strip(f"{HOLE}: "):
                    found.setdefault(text, remedy if remedy.strip(HOLE) else "")
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        if fields := _tables(tree).get(ast.unparse(call.func)):  # a row of a table of reasons
            given = dict(zip(fields, call.args, strict=False))
            reason, remedy = (next(_templates(given.get(name), {}), "") for name in ("reason", "remedy"))
            if reason:
                found.setdefault(f"{HOLE}: {reason}", remedy)
    known = " ".join(found)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant) and not _is_docstring(node, tree):
            template = _template(node)
            if any(sign in template for sign in SIGNS) and template not in known and len(template.split()) > 2:
                found.setdefault(template, "")
    return tuple(Said(" ".join(text.split()), remedy) for text, remedy in found.items())


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _docstrings(tree: ast.Module) -> frozenset[int]:
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    parts = [one.value for body in bodies for one in body if isinstance(one, ast.Expr)]
    # A text inside another text is a part of it.
    parts += [part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values]
    return frozenset(map(id, parts))


@cache
def _tables(tree: ast.Module) -> dict[str, list[str]]:
    """Fields of the classes of a module that hold a reason and its remedy."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    fields = {
        one.name: [ast.unparse(part.target) for part in one.body if isinstance(part, ast.AnnAssign)] for one in classes
    }
    return {name: names for name, names in fields.items() if {"reason", "remedy"} <= set(names)}


def _is_docstring(node: ast.AST, tree: ast.Module) -> bool:
    return id(node) in _docstrings(tree)


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """By name, what a function puts into its local names: assigned, appended or added."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                pairs = (
                    zip(target.elts, node.value.elts, strict=False)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                for one, value in pairs:
                    found.setdefault(ast.unparse(one), []).append(value)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute):
            if node.func.attr not in ("append", "extend"):
                continue
            found.setdefault(ast.unparse(node.func.value), []).append(node.args[0])
    return found


def _templates(node: ast.expr | None, names: dict[str, list[ast.expr]], depth: int = 0) -> Iterator[str]:
    """The texts that an expression can be, as far as the function that it stands in tells."""
    if node is None or depth > 3:
        return
    if isinstance(node, ast.List | ast.Tuple):
        for element in node.elts:
            yield from _templates(element, names, depth)
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        yield from _templates(node.elt, names, depth + 1)
    elif isinstance(node, ast.IfExp):
        yield from _templates(node.body, names, depth)
        yield from _templates(node.orelse, names, depth)
    elif isinstance(node, ast.Starred):
        yield from _templates(node.value, names, depth)
    elif isinstance(node, ast.Name):
        for value in names.get(node.id, []):
            yield from _templates(value, names, depth + 1)
    elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and (text := _template(node)).strip(HOLE + " "):
        yield text


def _template(node: ast.expr) -> str:
    """A text of the code with "…" in place of what is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) if isinstance(part, ast.Constant) else HOLE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return HOLE
