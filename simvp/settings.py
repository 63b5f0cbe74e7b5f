"""Settings: frozen records whose values are checked where they are built, and refused in words, all reasons at once."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

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


def refused(error: ValidationError, subject: str, names: Mapping[str, Any]) -> ConfigError:
    """The refusal that says what pydantic found: every reason, and the names that there are."""
    reasons: list[str] = []
    for fault in error.errors():
        place, context = ".".join(map(str, fault["loc"])), fault.get("ctx", {})
        inner = context.get("error")
        if isinstance(inner, Refusal):  # a record inside this one, or a check of its own, has said it in words
            reasons += [f"{place}.{reason}" if place else reason for reason in inner.reasons or [inner.subject]]
            continue
        expected, got = str(fault["msg"]).replace("Input should be", "expected"), repr(fault["input"])
        if fault["type"] == "literal_error":
            expected = "expected one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
        elif fault["type"] == "extra_forbidden":
            expected = "no setting of that name"
        elif fault["type"] == "missing":
            expected, got = "expected a value", "none"  # pydantic would show all that was given
        reasons.append(f"{place}: {expected}, got {got}")
    return ConfigError(subject, reasons, f"the settings are {', '.join(names)}")
