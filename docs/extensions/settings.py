"""Tables of settings, made from the records that check them: the directive ``settings`` and the name of a record."""

from importlib import import_module
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from numpydoc.docscrape import ClassDoc
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("settings", Table)
    return {"parallel_read_safe": True, "version": "1"}


class Table(SphinxDirective):
    """One row for each field of a record of settings that it does not have from the record given as `without`."""

    required_arguments = 1
    option_spec = {"without": str}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """A table: name, type, default, meaning."""
        fields: dict[str, FieldInfo] = record(self.arguments[0]).model_fields
        left_out = record(self.options["without"]).model_fields if "without" in self.options else {}
        about = meanings(self.arguments[0])
        lines = ["| setting | kind | default | meaning |", "| --- | --- | --- | --- |"]
        for name, field in fields.items():
            if name not in left_out or left_out[name].annotation != field.annotation:
                lines.append(f"| `{name}` | {kind(field)} | {default(field)} | {about[name]} |")
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), self.content_offset, holder)
        return holder.children


def record(name: str) -> Any:
    """The class of that dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def kind(field: FieldInfo) -> str:
    """What a value is, with its range."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = [
        f"{sign} {getattr(part, name):,}"
        for part in field.metadata
        for name, sign in signs.items()
        if hasattr(part, name)
    ]
    return ", ".join([words(field.annotation), *limits])


def words(annotation: Any) -> str:
    """A type in words."""
    plain = {str: "text", int: "whole number", float: "number", bool: "yes or no", type(None): "none", Any: "any value"}
    if annotation in plain:
        return plain[annotation]
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is Annotated:
        return words(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(words(part) for part in parts if part is not type(None))
    if origin is dict:
        return f"{words(parts[0])}: {words(parts[1])}"
    if origin is tuple:
        return f"list of {words(parts[0])}" if Ellipsis in parts else f"({', '.join(map(words, parts))})"
    return f"`{annotation.__name__}`"


def default(field: FieldInfo) -> str:
    """The default as it would be typed."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return "not set" if value is None else "derived" if isinstance(value, BaseModel) else f"`{value!r}`"


def meanings(name: str) -> dict[str, str]:
    """What the fields of a record mean: as they say, else as the docstring of the record does."""
    about = {}
    for names, _, lines in ClassDoc(record(name))["Parameters"]:
        about |= dict.fromkeys(names.split(", "), " ".join(lines).replace("``", "`"))
    fields = record(name).model_fields.items()
    return {one: (field.description or about.get(one, "")).replace("|", "\\|").rstrip(".") for one, field in fields}
