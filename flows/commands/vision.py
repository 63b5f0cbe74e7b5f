"""`make benchmark` and `make ablation`: a vision benchmark from its files to a row of the report.

No server is needed: the stages are called as they are. The flow `benchmark` does the same where Prefect is to place it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.local import StageConsole
from pipelines.benchmark import (
    BenchmarkConfig,
    BenchmarkReport,
    plan_ablation,
    plan_benchmark,
    run_ablation,
    run_benchmark,
    score_checkpoint,
)
from pipelines.home import Home
from pipelines.machine import faults_in_words, refuse_unusable
from pipelines.tracking import CHECKOUT
from simvp.errors import ConfigError, Refusal
from simvp.record import from_json
from simvp.settings import Settings, shown_address

DEFAULT = "moving-mnist"
SHOWN = {"mse_per_frame": "MSE", "mae_per_frame": "MAE", "ssim_paper": "SSIM", "psnr": "PSNR"}


class VisionSettings(Settings):
    """What is to be trained or scored; `changes` are those of EPOCHS, SEED and SET together."""

    subject: ClassVar[str] = "make benchmark"

    ablation: bool
    data: str
    variant: str
    preset: str | None
    checkpoint: Path | None
    changes: dict[str, Any]


def parse(arguments: Sequence[str]) -> VisionSettings:
    """Settings from the command line.

    Raises
    ------
    ConfigError
        SET that is no list of pairs, settings beside a checkpoint.
    """
    parser = argparse.ArgumentParser(prog="make benchmark", allow_abbrev=False)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--data", default=DEFAULT)
    parser.add_argument("--variant", default="simvp")
    for option in ("preset", "epochs", "seed", "set", "checkpoint"):
        parser.add_argument(f"--{option}", default="")
    words = parser.parse_args(arguments)
    changes: dict[str, Any] = {}
    for pair in filter(None, (part.strip() for part in words.set.split(";"))):
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals and value.strip()):
            example = "batch_size=8;kernels=[3, 5]"
            raise ConfigError("SET", [f"expected pairs like {example}, got {pair!r}"], "see 'Benchmarks' in the README")
        changes[name.strip()] = _value(value.strip())
    changes |= {name: _value(text) for name in ("epochs", "seed") if (text := getattr(words, name))}
    stray = sorted(set(changes) - {"test_clips", "device"}) + (["preset"] if words.preset else [])
    if words.checkpoint and stray:
        reasons = [f"{name}: a checkpoint is scored as it is" for name in stray]
        raise ConfigError("CHECKPOINT", reasons, "give DATA, and by SET at most test_clips and device")
    return VisionSettings(
        ablation=words.ablation,
        data=words.data,
        variant=words.variant,
        preset=words.preset or None,
        checkpoint=Path(words.checkpoint).expanduser() if words.checkpoint else None,
        changes=changes,
    )


def _value(text: str) -> Any:
    """A number, true, false, null or a list as JSON has them; anything else is a word."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _say_settings(console: StageConsole, config: BenchmarkConfig) -> None:
    sizes = config.sizes
    each = f"{config.epoch_updates} updates" if config.epoch_updates else "every training clip once"
    console.say("settings", f"{config.data}, {config.variant}, preset {config.preset}")
    console.lines(
        f"hid_S {sizes.hid_S}, hid_T {sizes.hid_T}, N_S {sizes.N_S}, N_T {sizes.N_T}, T = {sizes.frames_in}, "
        f"T' = {sizes.frames_out}\nepochs {config.epochs}, each {each}; batch {config.batch_size}, "
        f"learning rate {config.learning_rate:g}, seed {config.seed}"
    )


def _show(console: Console, report: BenchmarkReport) -> None:
    table = Table(title=report.rows[0].method, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("", "T'", *SHOWN.values()):
        table.add_column(heading, justify="right" if heading else "left")
    for row in report.rows:
        name = f"epoch {row.chosen_epoch}, chosen on {row.selected_on}" if row.epochs else row.method
        table.add_row(name, str(row.horizon), *(f"{row.scores[score]:.4g}" for score in SHOWN))
    console.print(table)
    console.print(report.summary, markup=False, soft_wrap=True)
    if not report.rows[0].comparable:
        console.print("Published results stand for other data: these numbers compare with none of them.", markup=False)


def run(settings: VisionSettings, home: Home, console: StageConsole) -> Path:
    """One benchmark, or its ablation; returns the report."""
    if settings.ablation:
        configs = plan_ablation(settings.data, **settings.model_dump(include={"preset", "changes"}))
        _say_settings(console, next(iter(configs.values())))
        with console.stage("ablation"):
            ablation = run_ablation(home, configs, progress=console.progress)
        console.rich.print(ablation.path.read_text(), markup=False, soft_wrap=True)
        return ablation.path
    if settings.checkpoint:
        with console.stage("checkpoint"):
            scored = score_checkpoint(
                home, settings.data, settings.checkpoint, progress=console.progress, **settings.changes
            )
        _show(console.rich, scored)
        console.paths(
            {"report": scored.path, "pictures": scored.pictures[0].parent, "runs": shown_address(home.tracking_uri)}
        )
        return scored.path
    config = plan_benchmark(settings.data, **settings.model_dump(include={"variant", "preset", "changes"}))
    _say_settings(console, config)
    with console.stage("benchmark"):
        report = run_benchmark(home, config, progress=console.progress)
    if report.existing:
        console.say("benchmark", "this run exists: nothing was trained again")
    _show(console.rich, report)
    console.rich.print(f"\nRegistered as {report.version}, challenger.", markup=False)
    models = shown_address(home.tracking_uri)
    console.paths({"report": report.path, "pictures": report.pictures[0].parent, "models and runs": models})
    return report.path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 2 after a refusal, whose text is all that is printed, 130 when interrupted."""
    os.chdir(CHECKOUT)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        settings, home = parse(sys.argv[1:] if arguments is None else arguments), Home.default()
        refuse_unusable(home)
        with StageConsole(Console(highlight=False)) as console, faults_in_words(home):
            run(settings, home, console)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
