"""Settings: frozen records whose values are checked where they are built, and refused in words, all reasons at once.

Addresses are settings that may hold a password: `shown_address` is how one looks wherever people or logs see it.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import groupby
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from simvp.errors import ConfigError, Refusal


class Settings(BaseModel):
    """Base of every record of settings: frozen, by keyword, no unknown names; plain values there and back.

    `model_validate` reads plain values, `model_dump(mode="json")` gives them.

    Raises
    ------
    ConfigError
        With every value that does not fit and every name that is not known; it lists the names there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    subject: ClassVar[str] = "Settings"
    """What is refused, as the error's first words."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refused(error, self.subject, type(self).model_fields) from None

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed, checked as a new one is."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def refused(error: ValidationError, subject: str, fields: Mapping[str, FieldInfo]) -> ConfigError:
    """The refusal that says what pydantic found: every reason, and the names that there are."""
    reasons: list[str] = []
    for place, group in groupby(error.errors(), lambda fault: _place(fault["loc"], fields)):
        faults = list(group)  # one, or one of each alternative of a union
        inner = faults[0].get("ctx", {}).get("error")
        if isinstance(inner, Refusal):  # a record inside this one, or a check of its own, has said it in words
            reasons += [f"{place}.{reason}" if place else reason for reason in inner.reasons or [inner.subject]]
            continue
        first, *others = (_expected(fault, fields) for fault in faults)
        expected = ", or ".join([first, *(other.removeprefix("expected ") for other in others)])
        # of a missing value pydantic would show all that was given
        got = "none" if faults[0]["type"] == "missing" else repr(faults[0]["input"])
        reasons.append(f"{place}: {expected}, got {got}")
    return ConfigError(subject, reasons, f"the settings are {', '.join(fields)}")


def _place(location: tuple[int | str, ...], fields: Mapping[str, FieldInfo]) -> str:
    """Where a fault is, without the name that pydantic makes up for an alternative of a union."""
    name, *rest = location or ("",)
    if rest and name in fields:
        kind = fields[str(name)].annotation
        if get_origin(kind) in (Union, UnionType) and len(set(get_args(kind)) - {NoneType}) > 1:
            rest = rest[1:]
    return ".".join(map(str, (name, *rest)))


def _expected(fault: Mapping[str, Any], fields: Iterable[str]) -> str:
    if fault["type"] == "literal_error":
        return "expected one of " + str(fault["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
    if fault["type"] == "extra_forbidden":
        close = get_close_matches(str(fault["loc"][-1]), list(fields), 1)
        return "no setting of that name" + (f" (did you mean {close[0]!r}?)" if close else "")
    if fault["type"] == "missing":
        return "expected a value"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "expected").partition(", unable to parse")[0]


# Schemes under which an "@" after the host is part of a path. In any other (a database's) it ends a password, which may
# hold a slash that nobody has escaped.
_PATHS = ("http", "https", "ftp", "sftp", "s3", "gs", "gcs", "az", "file", "sqlite", "memory")
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")  # container@account: no user


def shown_address(address: str) -> str:
    """An address without user, password, query and fragment (which may be a signature): what people and logs see.

    "postgresql://simvp:secret@db:5432/mlflow?sslmode=require" is shown as "postgresql://db:5432/mlflow". A path without
    a scheme is shown as it is, an address that cannot be read as "http://...".
    """
    before, separator, rest = address.partition("://")
    if not separator:
        return address
    scheme = before.rpartition("::")[2].lower()  # as fsspec chains them: simplecache::https
    if scheme not in (*_PATHS, *_CONTAINERS):
        rest = rest.rpartition("@")[2]
    authority, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
    if scheme not in _CONTAINERS:
        authority = authority.rpartition("@")[2]
    port = authority.rpartition("]")[2].partition(":")[2]
    if port and not port.isdecimal():  # the beginning of a password, of which a "/" or "?" was not escaped
        return f"{before}://..."
    return f"{before}://{authority}{slash}{path}"


def without_secrets(text: str, address: str) -> str:
    """A text that may quote an address (somebody else's error), with the address as `shown_address` shows it.

    Password and query are hidden wherever else they stand as well, also as they are decoded.
    """
    text = text.replace(address, shown_address(address)).replace(
        address.rstrip("/"), shown_address(address.rstrip("/"))
    )
    login = address.partition("://")[2].rpartition("@")[0]
    query = address.partition("?")[2]
    words = {login.partition(":")[2], query}
    for word in sorted(words | {unquote(word) for word in words}, key=len, reverse=True):
        text = text.replace(word, "***") if word else text
    values = {pair.partition("=")[2] for pair in query.partition("#")[0].split("&")}
    for value in values | {unquote(value) for value in values}:  # a short one may be part of any word
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "***", text) if len(value) > 3 else text
    return text


def number_of(text: str) -> int | float | str:
    """A number where a text is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
