"""`make benchmark` and `make ablation`: a vision benchmark from its files to a row of the report.

No server is needed: the stages are called as they are. The flow `benchmark` does the same where Prefect is to place it.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.local import Screen
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
from pipelines.tracking import CHECKOUT
from simvp.errors import ConfigError, Refusal

DEFAULT = "moving-mnist"
SHOWN = {"mse_per_frame": "MSE", "mae_per_frame": "MAE", "ssim_paper": "SSIM", "psnr": "PSNR"}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Settings from the command line; `changes` are those of EPOCHS, SEED and SET together.

    Raises
    ------
    ConfigError
        SET that is no list of pairs.
    """
    parser = argparse.ArgumentParser(prog="make benchmark", allow_abbrev=False)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--data", default=DEFAULT)
    parser.add_argument("--variant", default="simvp")
    for name in ("preset", "epochs", "seed", "set", "checkpoint"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    changes: dict[str, Any] = {}
    for pair in filter(None, (part.strip() for part in given.set.split(";"))):
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals and value.strip()):
            example = "batch_size=8;kernels=[3, 5]"
            raise ConfigError("SET", [f"expected pairs like {example}, got {pair!r}"], "see 'Benchmarks' in the README")
        changes[name.strip()] = _value(value.strip())
    changes |= {name: _value(text) for name in ("epochs", "seed") if (text := getattr(given, name))}
    given.changes, given.preset = changes, given.preset or None
    stray = sorted(set(changes) - {"test_clips", "device"}) + (["preset"] if given.preset else [])
    if given.checkpoint and stray:
        reasons = [f"{name}: a checkpoint is scored as it is" for name in stray]
        raise ConfigError("CHECKPOINT", reasons, "give DATA, and by SET at most test_clips and device")
    return given


def _value(text: str) -> Any:
    """A number, true, false, null or a list as JSON has them; anything else is a word."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _say_settings(screen: Screen, config: BenchmarkConfig) -> None:
    sizes = config.sizes
    each = f"{config.epoch_updates} updates" if config.epoch_updates else "every training clip once"
    screen.say("settings", f"{config.data}, {config.variant}, preset {config.preset}")
    screen.lines(
        f"hid_S {sizes.hid_S}, hid_T {sizes.hid_T}, N_S {sizes.N_S}, N_T {sizes.N_T}, T = {sizes.frames_in}, "
        f"T' = {sizes.frames_out}\nepochs {config.epochs}, each {each}; batch {config.batch_size}, "
        f"learning rate {config.learning_rate:g}, seed {config.seed}"
    )


def _show(console: Console, found: BenchmarkReport) -> None:
    table = Table(title=found.rows[0].method, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("", "T'", *SHOWN.values()):
        table.add_column(heading, justify="right" if heading else "left")
    for row in found.rows:
        name = f"epoch {row.chosen_epoch}, chosen on {row.selected_on}" if row.epochs else row.method
        table.add_row(name, str(row.horizon), *(f"{row.scores[score]:.4g}" for score in SHOWN))
    console.print(table)
    console.print(found.summary, markup=False, soft_wrap=True)
    if not found.rows[0].comparable:
        console.print("Published results stand for other data: these numbers compare with none of them.", markup=False)


def run(given: argparse.Namespace, home: Home, screen: Screen) -> Path:
    """One benchmark, or its ablation; returns the report."""
    if given.ablation:
        configs = plan_ablation(given.data, preset=given.preset, changes=given.changes)
        _say_settings(screen, next(iter(configs.values())))
        with screen.stage("ablation"):
            made = run_ablation(home, configs, progress=screen.progress)
        screen.console.print(made.path.read_text(), markup=False, soft_wrap=True)
        return made.path
    if given.checkpoint:
        path = Path(given.checkpoint).expanduser()
        with screen.stage("checkpoint"):
            scored = score_checkpoint(home, given.data, path, progress=screen.progress, **given.changes)
        _show(screen.console, scored)
        screen.paths({"report": scored.path, "pictures": scored.pictures[0].parent, "runs": home.mlflow})
        return scored.path
    config = plan_benchmark(given.data, variant=given.variant, preset=given.preset, changes=given.changes)
    _say_settings(screen, config)
    with screen.stage("benchmark"):
        found = run_benchmark(home, config, progress=screen.progress)
    if found.existing:
        screen.say("benchmark", "this run exists: nothing was trained again")
    _show(screen.console, found)
    screen.console.print(f"\nRegistered as {found.version}, challenger.", markup=False)
    screen.paths({"report": found.path, "pictures": found.pictures[0].parent, "models and runs": home.mlflow})
    return found.path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 2 after a refusal, whose text is all that is printed, 130 when interrupted."""
    os.chdir(CHECKOUT)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        given = parse(sys.argv[1:] if arguments is None else arguments)
        with Screen(Console(highlight=False)) as screen:
            run(given, Home.default(), screen)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
