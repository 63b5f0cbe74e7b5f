"""`simvp benchmark` and `simvp ablation`: a vision benchmark from its files to a row of the report.

No server is needed: the stages are called as they are. The flow `benchmark` does the same where Prefect is to place it.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.commands.options import Quiet, pairs, value_of, working
from flows.local import StageConsole
from pipelines.benchmark import PresetName
from simvp.cli import main
from simvp.errors import ConfigError
from simvp.networks import Variant
from simvp.settings import shown_address

if TYPE_CHECKING:
    from pipelines.benchmark import BenchmarkConfig, BenchmarkReport

DEFAULT = "moving-mnist"
SHOWN = {"mse_per_frame": "MSE", "mae_per_frame": "MAE", "ssim_paper": "SSIM", "psnr": "PSNR"}
KEPT = "The same command goes on from the last checkpoint."

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="The benchmark: moving-mnist, moving-fashion-mnist, taxibj, human36m, kitticaltech or kth."
    ),
]
Preset = Annotated[
    PresetName | None,
    typer.Option(
        "--preset",
        help="quick: reduced, minutes on two cores; full: the published sizes, for a GPU.",
        show_default="full where there is a CUDA device",
    ),
]
Epochs = Annotated[
    str | None,
    typer.Option("--epochs", metavar="N", help="Epochs of the training, as 20.", show_default="the preset's"),
]
Seed = Annotated[
    str | None,
    typer.Option("--seed", metavar="N", help="Seed of weights and generated clips, as 1.", show_default="0"),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting, as 'hid_T=256; kernels=[3, 5]'.",
        show_default="none: the preset's",
    ),
]


def benchmark(
    data: Data = DEFAULT,
    variant: Annotated[
        Variant, typer.Option("--variant", help="Network: simvp (the paper's), incepu, gsta or tau (OpenSTL's).")
    ] = "simvp",
    preset: Preset = None,
    epochs: Epochs = None,
    seed: Seed = None,
    changes: Set = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="A public checkpoint to score as it is, as mmnist_simvp_gsta.pth.",
            show_default="none: a network is trained",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a network on a vision benchmark, score it on the test part, and add a row to the report.

    A run that was cut off goes on; the same settings, asked again, give the rows that exist.

    Examples: simvp benchmark; simvp benchmark kth --variant gsta --epochs 20; simvp benchmark --set "hid_T=64"
    """
    from pipelines.benchmark import plan_benchmark, run_benchmark, score_checkpoint

    stated = _changes(epochs, seed, changes)
    with working(KEPT, quiet=quiet) as (home, console):
        if checkpoint is not None:
            stray = sorted(set(stated) - {"N_T", "test_clips", "device"}) + (["preset"] if preset else [])
            if stray:
                reasons = [f"{name}: a checkpoint is scored as it is" for name in stray]
                remedy = "give DATA, and by SET at most N_T, test_clips and device"
                raise ConfigError("CHECKPOINT", reasons, remedy)
            with console.stage("checkpoint"):
                scored = score_checkpoint(home, data, checkpoint.expanduser(), progress=console.progress, **stated)
            _show(console.rich, scored)
            pictures = scored.pictures[0].parent
            console.paths({"report": scored.path, "pictures": pictures, "runs": shown_address(home.tracking_uri)})
            return
        config = plan_benchmark(data, variant=variant, preset=preset, changes=stated)
        _say_settings(console, config)
        with console.stage("benchmark"):
            report = run_benchmark(home, config, progress=console.progress)
        if report.existing:
            console.say("benchmark", "this run exists: nothing was trained again")
        _show(console.rich, report)
        console.rich.print(f"\nRegistered as {report.version}, challenger.", markup=False)
        models = shown_address(home.tracking_uri)
        console.paths({"report": report.path, "pictures": report.pictures[0].parent, "models and runs": models})


def ablation(
    data: Data = DEFAULT,
    preset: Preset = None,
    epochs: Epochs = None,
    seed: Seed = None,
    changes: Set = None,
    quiet: Quiet = False,
) -> None:
    """Train the paper's switches, one after the other, at one budget, and compare them.

    Example: simvp ablation moving-mnist --epochs 2
    """
    from pipelines.benchmark import plan_ablation, run_ablation

    with working(KEPT, quiet=quiet) as (home, console):
        configs = plan_ablation(data, preset=preset, changes=_changes(epochs, seed, changes))
        _say_settings(console, next(iter(configs.values())))
        with console.stage("ablation"):
            report = run_ablation(home, configs, progress=console.progress)
        console.rich.print(report.path.read_text(), markup=False, soft_wrap=True)


def _changes(epochs: str | None, seed: str | None, changes: list[str] | None) -> dict[str, Any]:
    """Epochs, seed and the others together; words that are no numbers are refused by the record they are for."""
    stated = {name: value_of(text) for name, text in (("epochs", epochs), ("seed", seed)) if text}
    return {**pairs(changes or [], "SET"), **stated}


def _say_settings(console: StageConsole, config: "BenchmarkConfig") -> None:
    sizes = config.sizes
    each = f"{config.epoch_updates} updates" if config.epoch_updates else "every training clip once"
    console.say("settings", f"{config.data}, {config.variant}, preset {config.preset}")
    console.lines(
        f"hid_S {sizes.hid_S}, hid_T {sizes.hid_T}, N_S {sizes.N_S}, N_T {sizes.N_T}, T = {sizes.frames_in}, "
        f"T' = {sizes.frames_out}\nepochs {config.epochs}, each {each}; batch {config.batch_size}, "
        f"learning rate {config.learning_rate:g}, seed {config.seed}"
    )


def _show(console: Console, report: "BenchmarkReport") -> None:
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


if __name__ == "__main__":
    # The data set was the option --data before it was an argument, and scripts still say so.
    sys.exit(main(["benchmark", *(word for word in sys.argv[1:] if word != "--data")]))
