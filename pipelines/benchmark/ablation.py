"""The paper's ablation: its switches one after the other, on one benchmark at one budget.

Gao et al., CVPR 2022, section 4.4: (1) the spatial shortcut and the temporal ones, (2) group normalisation and group
convolution, (3) the set of kernels, (4) the widths. Everything else stays as in the preset: data, order of the clips,
seed, updates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.store import disk
from pipelines.benchmark.config import BenchmarkConfig, plan_benchmark
from pipelines.benchmark.presets import PresetName
from pipelines.benchmark.rows import Row
from pipelines.benchmark.run import run_benchmark
from pipelines.home import Home
from pipelines.progress import Progress, silent

SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "whole network": {},
    "no spatial shortcut": {"spatial_shortcut": False},
    "no temporal shortcuts": {"temporal_shortcuts": False},
    "no group normalisation": {"group_norm": False},
    "no group convolution": {"group_conv": False},
    "kernel 3": {"kernels": [3]},
    "kernels 3, 5": {"kernels": [3, 5]},
    "kernels 3, 5, 7": {"kernels": [3, 5, 7]},
}
WIDTHS = ("hid_S", "hid_T")  # each once at half its size


@dataclass(frozen=True, kw_only=True)
class AblationReport:
    """Rows chosen on validation, by what was changed, and the table."""

    rows: Mapping[str, Row]
    path: Path


def plan_ablation(
    data: str, *, preset: PresetName | None = None, changes: Mapping[str, Any] | None = None
) -> dict[str, BenchmarkConfig]:
    """Settings of every run, by what it changes.

    Parameters
    ----------
    changes
        Of all runs alike; a switch of the ablation wins over them.
    """
    common = dict(changes or {})
    whole = plan_benchmark(data, preset=preset, changes=common).network
    halves = {f"{width} {whole[width] // 2} instead of {whole[width]}": {width: whole[width] // 2} for width in WIDTHS}
    return {
        name: plan_benchmark(data, preset=preset, changes={**common, **switch})
        for name, switch in {**SWITCHES, **halves}.items()
    }


def run_ablation(home: Home, configs: Mapping[str, BenchmarkConfig], *, progress: Progress = silent) -> AblationReport:
    """Run every network that is not finished yet, and write the table; nothing is registered.

    Parameters
    ----------
    configs
        From `plan_ablation`.
    progress
        Called as ``progress(what, done, total)``; `what` names the run.
    """
    rows: dict[str, Row] = {}
    for number, (name, config) in enumerate(configs.items(), 1):

        def labelled(what: str, done: int, total: int, label: str = f"{number}/{len(configs)} {name}: ") -> None:
            progress(label + what, done, total)

        rows[name] = run_benchmark(home, config, register=False, progress=labelled).rows[0]
    path = home.benchmarks / f"ablation-{config.data}.md"
    disk.write(path, ablation_table(rows).encode())
    return AblationReport(rows=rows, path=path)


def ablation_table(rows: Mapping[str, Row]) -> str:
    """Markdown: a line for each change, in the order of the paper's switches, beside the whole network."""
    first = next(iter(rows.values()))
    lines = [
        f"# Ablation on {first.data}, T' = {first.horizon}",
        "",
        f"Each network had {first.epochs} epochs of {first.updates_per_epoch} updates, seed {first.seed}. One seed "
        "does not tell small differences from chance.",
        f"Trained on {first.train}; tested on {first.test}; the epoch was chosen on validation.",
        "",
        "| change | MSE per frame | against the whole | SSIM | PSNR | parameters | multiply-adds | s / epoch |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        mse = row.scores["mse_per_frame"]
        apart = 100 * (mse / first.scores["mse_per_frame"] - 1)
        lines.append(
            f"| {name} | {mse:.4g} | {apart:+.1f} % | {row.scores['ssim_paper']:.4f} | {row.scores['psnr']:.4g} | "
            f"{(row.parameters or 0) / 1e6:.3g} M | {(row.multiply_adds or 0) / 1e9:.3g} G | "
            f"{row.seconds_per_epoch or float('nan'):.3g} |"
        )
    return "\n".join(lines) + "\n"
