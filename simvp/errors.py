"""Refusals: errors for the person who has to do something about them."""

from collections.abc import Sequence


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


class Unavailable(Refusal):
    """What cannot be done now, and may be done later without a change: a network, a server or a lock of somebody else.

    Every other refusal is final: asked again, it is given again.

    Parameters
    ----------
    subject, reasons, remedy
        As for `Refusal`.
    """

    def __init__(self, subject: str, reasons: Sequence[str] = (), remedy: str = "try again later") -> None:
        super().__init__(subject, reasons, remedy)


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
