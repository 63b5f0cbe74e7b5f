"""What the registry says of a version in words: how much of its skill is whose."""

import math
from collections.abc import Mapping
from typing import Any


def shares(provenance: Mapping[str, Any]) -> dict[str, str]:
    """By variable: RMSE of the base forecast, and what correction and mixture change of it, in percent.

    All on the validation blocks; empty for a model that has no base forecast.
    """
    return {
        state: f"base {rmse['base']:.4g}, correction {_change(rmse['unmixed'], rmse['base'])}, mixture "
        f"{_change(rmse['model'], rmse['unmixed'])}"
        for state, rmse in _combined(provenance).items()
    }


def description(provenance: Mapping[str, Any]) -> str:
    """For each variable three lines: base forecast, correction and mixture, with their RMSE on the validation blocks.

    Empty for a model that has no base forecast.
    """
    found = provenance.get("combination", {})
    lines = []
    for state, rmse in _combined(provenance).items():
        row = provenance["validation"][state]
        if "correction" not in found:
            correction = "none, as no network was trained"
        else:
            correction = f"{rmse['unmixed']:.4g} ({_change(rmse['unmixed'], rmse['base'])})"
        weighted = f"{rmse['model']:.4g} ({_change(rmse['model'], rmse['unmixed'])})"
        lines += [
            f"{state}: base forecast {rmse['base']:.4g} {row['units']} RMSE on the validation blocks, where the best "
            f"baseline, {row['best_baseline'].replace('_', ' ')}, has {row['baseline_rmse']:.4g}",
            f"{state}: with the network's correction {correction}",
            f"{state}: with the mixture {weighted if 'weights' in found else 'none, as it is switched off'}",
        ]
    return "\n".join(lines)


def _combined(provenance: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    found: Mapping[str, Mapping[str, float]] = provenance.get("combination", {}).get("rmse", {})
    return found


def _change(rmse: float, before: float) -> str:
    """In percent, with its sign."""
    if not (before > 0 and math.isfinite(rmse)):
        return "unknown"
    return f"{100 * (rmse / before - 1):+.1f} %"
