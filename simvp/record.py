"""Records that are kept in files: what is not an array as JSON, arrays beside it by dotted names."""

import json
from collections.abc import Mapping
from dataclasses import Field, fields
from functools import cache
from inspect import isclass
from typing import Any, ClassVar, Self, get_args, get_type_hints

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError


class Record:
    """Base of the frozen dataclasses that go into a model file.

    The fingerprint of a model covers both halves: whatever changes the names of arrays or the JSON of a record makes
    every saved model another one.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    unnamed: ClassVar[str] = ""
    """Array that has no name of its own: it is saved under that of the record."""

    def to_header(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self) if not _is_array(field)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name, to be saved beside the header."""
        arrays: dict[str, np.ndarray] = {}
        for name, value in vars(self).items():
            if isinstance(value, Record):
                arrays |= value.arrays_under(name)
            elif isinstance(value, np.ndarray):
                arrays["" if name == self.unnamed else name] = value
        return arrays

    def arrays_under(self, name: str) -> dict[str, np.ndarray]:
        """Arrays with the name of this record before theirs."""
        return {f"{name}.{inner}".rstrip("."): values for inner, values in self.arrays().items()}

    @classmethod
    def from_header(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> Self:
        """Inverse of `to_header` and `arrays`."""
        arrays = arrays or {}
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = field.name
            if isclass(field.type) and issubclass(field.type, Record):
                values[name] = field.type.from_header(header[name], below(arrays, name))
            elif _is_array(field):
                values[name] = arrays.get("" if name == cls.unnamed else name)
            elif name in header:
                values[name] = tuple(header[name]) if isinstance(header[name], list) else header[name]
                _check(cls, field, values[name])
        return cls(**values)


def from_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises
    ------
    ValueError
        No JSON; or lists in lists, deeper than Python follows.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or objects in each other, deeper than a thousand") from None


def below(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Those arrays that have `name` before theirs, without it: inverse of `Record.arrays_under`."""
    return {n[len(name) + 1 :]: values for n, values in arrays.items() if f"{n}.".startswith(f"{name}.")}


def plain(value: Any) -> Any:
    """A value as JSON types: numpy scalars and arrays become numbers and lists, records their headers."""
    if isinstance(value, Record):
        return value.to_header()
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    """What tells whether a value is of a type."""
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


def _check(cls: type[Record], field: Field[Any], value: Any) -> None:
    try:
        _reader(get_type_hints(cls)[field.name]).validate_python(value, strict=True)
    except ValidationError as error:
        raise ValueError(f"{cls.__name__}.{field.name}: {error.errors()[0]['msg']}, got {value!r:.60}") from None


def _is_array(field: Field[Any]) -> bool:
    return np.ndarray in (field.type, *get_args(field.type))
