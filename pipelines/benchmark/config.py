"""What a run of a benchmark can be told, and what it is made of when it is told nothing."""

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import torch
from pydantic import Field

from datasets.benchmarks import find_benchmark
from pipelines.benchmark.presets import PRESETS, PresetName
from pipelines.training import LoopConfig
from simvp.errors import ConfigError
from simvp.networks import SimVPConfig, Variant

EVALUATION_SEED = 0  # of validation and test clips that are generated: the same ones in every run


class BenchmarkConfig(LoopConfig):
    """Settings of one run, all of them said."""

    subject: ClassVar[str] = "Settings of the benchmark"

    data: str = Field(description="Name of the benchmark.")
    preset: PresetName = Field(description="quick: reduced, minutes on two cores; full: as published, for a GPU.")
    network: dict[str, Any] = Field(description="Sizes and switches, fields of simvp.SimVPConfig.")
    epoch_updates: int | None = Field(  # type: ignore[assignment]
        default=None, ge=1, description="Updates of an epoch; by default every training clip once."
    )
    validation_clips: int | None = Field(
        default=None, ge=1, description="Validation clips scored after each epoch, at most; by default all."
    )
    test_clips: int | None = Field(
        default=None, ge=1, description="Test clips scored after each epoch and at the end, at most; by default all."
    )

    @property
    def sizes(self) -> SimVPConfig:
        """Network sizes with the frames and channels of the benchmark."""
        return SimVPConfig.from_dict(self.network)

    @property
    def variant(self) -> Variant:
        """Member of the family."""
        return self.sizes.variant


def plan_benchmark(
    data: str,
    *,
    variant: Variant = "simvp",
    preset: PresetName | None = None,
    changes: Mapping[str, Any] | None = None,
) -> BenchmarkConfig:
    """Settings of a run: the preset of the benchmark and the variant, and what is to be otherwise.

    Parameters
    ----------
    preset
        By default full where there is a CUDA device, else quick.
    changes
        Any field of BenchmarkConfig or of simvp.SimVPConfig by name.

    Raises
    ------
    SourceError
        No such benchmark.
    ConfigError
        A change of no known name, or values out of range, all at once.
    """
    benchmark = find_benchmark(data)
    preset = preset or ("full" if torch.cuda.is_available() else "quick")
    presets = PRESETS[benchmark.name]
    if preset not in presets:
        names = ", ".join(get_args(PresetName))
        raise ConfigError(f"Benchmark {data}", [f"preset: expected one of {names}, got {preset!r}"])
    settings = {**presets[preset].settings(variant), **(changes or {})}
    sizes = set(SimVPConfig.model_fields) - {"variant", "frames_in", "channels_in", "channels_out"}
    loop = set(BenchmarkConfig.model_fields) - {"data", "preset", "network"}
    unknown = sorted(set(settings) - sizes - loop)
    if unknown:
        reasons = [f"{name}: no setting of that name" for name in unknown]
        raise ConfigError(f"Benchmark {data}", reasons, f"the settings are {', '.join(sorted(sizes | loop))}")
    network = SimVPConfig.from_dict(
        {
            "variant": variant,
            "frames_in": benchmark.frames_in,
            "frames_out": benchmark.frames_out,
            "channels_in": benchmark.shape[0],
            "channels_out": benchmark.shape[0],
            **{name: value for name, value in settings.items() if name in sizes},
        }
    )
    # The published schedules have no early stop.
    chosen = {"patience": settings["epochs"]} | {name: value for name, value in settings.items() if name in loop}
    return BenchmarkConfig(data=benchmark.name, preset=preset, network=network.to_dict(), **chosen)
