"""What the gate decided, as records and in words."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pipelines.evaluation.shortfall import Shortfall

Outcome = Literal["promote", "refuse", "insufficient"]

PARTS = {
    "unmixed": "without the mixture",
    "base": "the base forecast alone",
    "champion_unmixed": "the champion without the mixture",
    "champion_base": "the champion's base forecast alone",
}
"""Systems that are reported and not judged by: what a model is made of is no rival of it."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A challenger beside one reference, for one variable.

    Parameters
    ----------
    variable, reference
        What is compared: "t2m" against "persistence", ... or "champion".
    n, blocks
        Init times that both have a score for at every lead, and the independent blocks they form.
    rmse, reference_rmse
        Over all leads, in the unit of the variable.
    improvement, bound
        Reduction of the RMSE over all leads in percent of the reference's, and its lower bound. The test is made
        on the difference of the mean squared errors; the bound is that difference put into percent of RMSE.
    lead, lead_change
        The lead at which the challenger does worst against the reference (1 is the first), and by how many
        percent its RMSE is higher there (negative: lower).
    passed
        Whether bound and leads both hold.
    reason
        The same in words.
    missing
        Init times, one step apart, that have to follow the last one for the fewest blocks that are judged.
    """

    variable: str
    reference: str
    n: int = 0
    blocks: int = 0
    rmse: float = float("nan")
    reference_rmse: float = float("nan")
    improvement: float = float("nan")
    bound: float = float("nan")
    lead: int = 0
    lead_change: float = float("nan")
    passed: bool = False
    reason: str
    missing: int = 0


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A part of the model, scored beside it for one variable, on the `n` init times that both have a score for."""

    variable: str
    system: str
    n: int
    rmse: float
    model_rmse: float

    @property
    def line(self) -> str:
        """In words."""
        return (
            f"{self.variable}, {PARTS[self.system]}: RMSE {self.rmse:.4g}, the model's {self.model_rmse:.4g} "
            f"({self.n} init times)"
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate decided, and why.

    Parameters
    ----------
    outcome
        "promote", "refuse", or "insufficient": too few independent blocks, nothing is judged.
    reasons
        Why not, a sentence each; on "promote", why.
    comparisons
        One record per variable and reference.
    beside
        What is reported and not judged by: one record per variable and part of the model that was scored.
    n, blocks, needed_blocks
        Init times and blocks of the variable that has fewest, and the blocks that are needed.
    needed_init_times
        Consecutive init times that give the needed blocks.
    shortfall
        What would be enough, where the outcome is "insufficient".
    block_steps
        Shortest block, in steps.
    confidence, margin, score
        As in `Gate`; the scores of `comparisons` are of this kind, as `pipelines.evaluation.gate.SHOWN` has it.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    beside: tuple[Beside, ...] = ()
    n: int
    blocks: int
    needed_blocks: int
    needed_init_times: int
    shortfall: Shortfall | None = None
    block_steps: int
    confidence: float
    margin: float
    score: str = "RMSE"

    @property
    def summary(self) -> str:
        """The verdict in words: the outcome, every reason, and a line for every part that was scored beside it."""
        head = {
            "promote": "Promote: better than every reference",
            "refuse": "Refuse: not shown to be better than every reference",
            "insufficient": "Insufficient: too few independent blocks to judge, nothing moves",
        }[self.outcome]
        beside = [f"  beside it: {part.line}" for part in self.beside]
        return "\n".join([f"{head}.", *(f"  - {reason}" for reason in self.reasons), *beside])

    def table(self) -> str:
        """Every comparison as a Markdown table."""
        lines = [
            f"| variable | against | n | blocks | {self.score} | its {self.score} | improvement % "
            f"| lower {self.confidence:.0%} bound % | worst lead | {self.score} there % | passed |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        ]
        lines += [
            f"| {c.variable} | {shown(c.reference)} | {c.n} | {c.blocks} | {c.rmse:.4g} | {c.reference_rmse:.4g} "
            f"| {c.improvement:+.1f} | {percent(c.bound)} | {c.lead} | {c.lead_change:+.1f} "
            f"| {'yes' if c.passed else 'no'} |"
            for c in self.comparisons
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Every field, as JSON types; a bound that could not be computed is None."""
        record = asdict(self)
        for row in record["comparisons"]:
            row.update({k: None for k, v in row.items() if isinstance(v, float) and not np.isfinite(v)})
        return record


def shown(system: str) -> str:
    """The name of a system as a person reads it."""
    return system.replace("_", " ")


def percent(value: float) -> str:
    """With its sign; "unknown" for what is not finite."""
    return f"{value:+.1f}" if np.isfinite(value) else "unknown"
