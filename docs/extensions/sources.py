"""Links from a page to a file of the checkout lead to a page that shows the file, with its lines numbered.

On a plain git host the same links lead to the file itself, so that pages can be read there as well.
"""

import inspect
import os
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx

from pipelines.tracking.provenance import CHECKOUT

PAGES = {"README.md": "index", "CHANGELOG.md": "project/changelog", "BENCHMARKS.md": "project/speed"}
FOLDER = "_source"


def setup(app: Sphinx) -> dict[str, Any]:
    """Hook into Sphinx, before it collects what is to be downloaded."""
    app.connect("doctree-read", _relink, priority=400)
    app.connect("html-collect-pages", _pages)
    app.connect("env-purge-doc", _forget)
    return {"parallel_read_safe": False, "version": "1"}


def _linked(app: Sphinx) -> dict[str, set[str]]:
    """Files that pages link to, by page."""
    env: Any = app.env
    if not hasattr(env, "linked_sources"):
        env.linked_sources = {}
    linked: dict[str, set[str]] = env.linked_sources
    return linked


def _forget(app: Sphinx, env: Any, page: str) -> None:
    _linked(app).pop(page, None)


def _relink(app: Sphinx, doctree: nodes.document) -> None:
    page = app.env.docname
    here = (Path(app.srcdir) / page).parent
    for node in [*doctree.findall(addnodes.pending_xref), *doctree.findall(addnodes.download_reference)]:
        if node.get("reftype") != "myst":
            continue
        place, _, anchor = str(node["reftarget"]).partition("#")
        if node.get("refdomain") == "doc":  # a document, named from the top and without its suffix
            place, anchor = f"{place.lstrip('/')}.md", node.get("reftargetid") or ""
            path = Path(os.path.normpath(Path("/", place) if Path("/", place).exists() else Path(app.srcdir, place)))
        else:
            path = Path(os.path.normpath(here / place))
            if page in PAGES.values() and not path.exists():  # written for the folder that this page is included from
                path = CHECKOUT / place
        if path.is_relative_to(examples := Path(app.srcdir) / "examples"):
            name = "index" if path == examples else path.stem
            node.replace_self(_link(node, app.builder.get_relative_uri(page, f"gallery/{name}")))
            continue
        if not place or path.is_relative_to(app.srcdir) or not path.is_relative_to(CHECKOUT) or not path.exists():
            continue
        name = path.relative_to(CHECKOUT).as_posix()
        if name in PAGES:
            uri = app.builder.get_relative_uri(page, PAGES[name]) + (f"#{anchor}" if anchor else "")
        else:
            _linked(app).setdefault(page, set()).add(name)
            uri = app.builder.get_relative_uri(page, f"{FOLDER}/{name}")
        node.replace_self(_link(node, uri))
    for signature in doctree.findall(addnodes.desc_signature):
        if place := _place(signature):
            name, line = place
            _linked(app).setdefault(page, set()).add(name)
            uri = app.builder.get_relative_uri(page, f"{FOLDER}/{name}") + f"#L-{line}"
            link = nodes.reference("", "source", refuri=uri, internal=True, classes=["source-link"])
            signature += link


def _link(node: nodes.Element, uri: str) -> nodes.reference:
    return nodes.reference("", "", *node.children, refuri=uri, internal=True)


def _place(signature: addnodes.desc_signature) -> tuple[str, int] | None:
    """File and line of what a signature describes; None of attributes, and of what is not ours."""
    try:
        found: Any = import_module(signature["module"])
        for part in signature["fullname"].split("."):
            found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        found = inspect.unwrap(getattr(found, "fget", None) or getattr(found, "__func__", found))
        return Path(inspect.getsourcefile(found) or "").relative_to(CHECKOUT).as_posix(), inspect.getsourcelines(found)[
            1
        ]
    except (KeyError, ValueError, TypeError, AttributeError, OSError, ImportError):
        return None


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    names = set().union(*_linked(app).values())
    for name in sorted(names):
        path = CHECKOUT / name
        body = _listing(app, path, names) if path.is_dir() else _shown(path)
        yield f"{FOLDER}/{name}", {"title": name, "body": f"<h1>{escape(name)}</h1>{body}"}, "page.html"


def _shown(path: Path) -> str:
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(path.read_text(), lexer, HtmlFormatter(linenos="inline", lineanchors="L", cssclass="highlight"))


def _listing(app: Sphinx, folder: Path, names: set[str]) -> str:
    page = f"{FOLDER}/{folder.relative_to(CHECKOUT).as_posix()}"
    rows = []
    for path in sorted(folder.iterdir()):
        name = path.relative_to(CHECKOUT).as_posix()
        if name in names:
            uri = app.builder.get_relative_uri(page, f"{FOLDER}/{name}")
            rows.append(f'<li><a href="{uri}">{escape(path.name)}</a></li>')
        elif path.suffix == ".py":
            rows.append(f"<li>{escape(path.name)}</li>")
    return f"<ul>{''.join(rows)}</ul>"
