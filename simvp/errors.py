"""Refusals: errors for the person who has to do something about them."""

from collections.abc import Sequence
from typing import Any


class Refusal(ValueError):
    """A request that cannot be done as it stands.

    The message names the subject first, then every reason at once, then the remedy, so that one run is enough
    to learn all that has to be changed.

    Parameters
    ----------
    subject
        What is refused, as a short clause: "archive era5-uk: these frames cannot be appended".
    reasons
        Every reason, each with where it was found, what was expected and what was there.
    remedy
        What to do about it.
    """

    def __init__(self, subject: str, reasons: Sequence[str] = (), remedy: str = "") -> None:
        self.subject = subject
        self.reasons = tuple(reasons)
        self.remedy = remedy
        super().__init__(subject, self.reasons, remedy)

    def __str__(self) -> str:
        if len(self.reasons) == 1 and "\n" not in self.reasons[0]:
            lines = [f"{self.subject}: {self.reasons[0]}"]
        else:
            lines = [
                f"{self.subject}:" if self.reasons else self.subject,
                *(f"  - {reason}" for reason in self.reasons),
            ]
        if self.remedy:
            lines.append(f"To mend it: {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        # Raised in another process it arrives as it is, also where a kind of refusal is made from something else.
        return _again, (type(self), self.subject, self.reasons, self.remedy), self.__dict__


def _again(kind: type[Refusal], subject: str, reasons: Sequence[str], remedy: str) -> Refusal:
    refusal = kind.__new__(kind)
    Refusal.__init__(refusal, subject, reasons, remedy)
    return refusal


class ContractError(Refusal):
    """Data that does not fit what a model was trained on."""


class SourceError(Refusal):
    """Files or addresses that cannot be read as gridded data."""


class ArchiveError(Refusal):
    """Frames that an archive or a store cannot take, or a store that cannot be read."""


class ConfigError(Refusal):
    """Settings that contradict each other or the data."""


class RegistryError(Refusal):
    """A model that cannot be found, registered, promoted or rolled back."""


def shortened(reasons: Sequence[str], count: int, more: str = "... and {} more") -> list[str]:
    """The first `count` reasons, and as a last one how many more there are."""
    return [*reasons[:count], *([more.format(len(reasons) - count)] if len(reasons) > count else [])]
