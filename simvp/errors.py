"""Refusals: errors for the person who has to do something about them."""

import errno
import re
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple


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


def fault_around(error: BaseException, subject: str) -> Refusal | None:
    """The refusal that an error of the machine or of a network stands for; None where it is a fault of the code.

    Libraries wrap what the system told them: what an error was caused by is looked at too. No text of theirs is quoted,
    since it may hold an address with its password.

    Parameters
    ----------
    subject
        What was at work, or the place that it was working on.
    """
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    if any(_answered(one) not in _BUSY | {0} for one in chain):
        return None  # a server has refused, and will again
    for seen in reversed(chain):  # the innermost knows best
        if reason := _away(seen):
            return Unavailable(subject, [reason])
        for fault in _FAULTS:
            own = type(seen).__module__ != "ssl" and getattr(seen, "errno", None) in fault.numbers  # ssl has its own
            if own or fault.words.search(str(seen)):
                named = getattr(seen, "filename", None)
                return fault.kind(subject, [fault.reason + (f": {named}" if named else "")], fault.remedy)
    return None


class _Fault(NamedTuple):
    """What the system says, by number and in the words of libraries that lose the number, and what is said of it."""

    numbers: tuple[int, ...]
    words: re.Pattern[str]
    reason: str
    remedy: str
    kind: type[Refusal] = Refusal


_ELSEWHERE = "or set SIMVP_HOME (SIMVP_STORE for archives and forecasts) to another folder"
_FAULTS = (
    _Fault(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        re.compile(r"no space left|disk is full|disk quota|file too large|StorageFull", re.I),
        "there is no space left on the disk",
        f"make space, {_ELSEWHERE}; what was begun goes on when it is run again",
    ),
    _Fault(
        (errno.EROFS,),
        re.compile(r"read-only file system|readonly database", re.I),
        "it may only be read",
        f"make it writable, {_ELSEWHERE}",
    ),
    _Fault(
        (errno.EACCES, errno.EPERM),
        re.compile(r"permission denied|operation not permitted|PermissionDenied", re.I),
        "there is no permission",
        f"give this user the right to read and write it, {_ELSEWHERE}",
    ),
    _Fault(
        (errno.EADDRINUSE,),
        re.compile(r"address already in use", re.I),
        "somebody listens on its port already",
        "stop that, or choose other ports: PREFECT_PORT and MLFLOW_PORT",
    ),
    _Fault(
        (errno.EMFILE, errno.ENFILE),
        re.compile(r"too many open files", re.I),
        "too many files are open",
        "raise the limit: ulimit -n 4096",
    ),
    _Fault(
        (errno.EIO, errno.ESTALE),
        re.compile(r"disk i/o error|input/output error", re.I),
        "the disk fails to read or write",
        f"check the disk, {_ELSEWHERE}",
    ),
    _Fault(
        (),
        re.compile(r"database (table )?is locked", re.I),
        "another process holds the database",
        "try again later; if nothing of yours is running, see who holds it: fuser <file>",
        Unavailable,
    ),
    _Fault(
        (),
        # Of database servers, and of clients that pass on the text alone.
        re.compile(
            r"connection (refused|timed out|reset)|timeout expired|could not (connect|translate host)|"
            r"server closed the connection|(starting up|shutting down)$|too many (clients|connections)",
            re.I,
        ),
        "the server cannot be reached",
        "try again later",
        Unavailable,
    ),
    _Fault(
        (),
        re.compile(r"file is not a database|disk image is malformed", re.I),
        "the database is damaged",
        "put it back from a copy, or move it away; then a new one is made, without what was in it",
    ),
    _Fault(
        (),  # Icechunk's: no commit is older than the one before
        re.compile(r"snapshot timestamp", re.I),
        "the clock of this machine stands before the time at which the last commit was made",
        "set the clock (timedatectl set-ntp true); nothing is written until it stands after that time",
    ),
    _Fault(
        (),
        re.compile(r"unable to open database file", re.I),
        "the database cannot be opened",
        f"check that its folder is there and may be written to, {_ELSEWHERE}",
    ),
)

# What servers answer that may answer otherwise in a minute.
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531)})
_CLIENTS = ("aiohttp", "botocore", "aiobotocore", "fsspec", "httpx", "requests", "urllib", "urllib3", "http")
_BROKEN = re.compile(r"connect|timeout|timed ?out|incomplete|payload|endpoint|URLError|RetryError|RemoteDisc", re.I)
_ANSWERED = re.compile(r"(?:error code|too many) (5\d\d|408|429)\b")  # in the words of MLflow and of urllib3


def _answered(error: BaseException) -> int:
    """The status with which a server has refused; 0 where none has."""
    answer = getattr(error, "response", None)
    status = getattr(answer, "status_code", None)
    if isinstance(answer, dict):  # of botocore
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    status = status or getattr(error, "status", None)
    if said := _ANSWERED.search(str(error)):
        status = int(said[1])
    return status if isinstance(status, int) and status >= 400 else 0


def _away(error: BaseException) -> str:
    """Why a network or a server could not be reached; empty where it is something else."""
    if status := _answered(error):
        return f"the server answers {status}"
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known here"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError) or (hasattr(error, "errno") and error.errno == errno.ETIMEDOUT):
        return "there was no answer in time"
    if isinstance(error, ConnectionError) or getattr(error, "errno", None) in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "the connection broke off"
    library = type(error).__module__.partition(".")[0]
    return "the connection broke off" if library in _CLIENTS and _BROKEN.search(type(error).__name__) else ""
