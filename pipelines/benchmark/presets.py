"""Sizes and schedules of the benchmarks: as published, for a GPU, and reduced, for a few minutes on two cores.

The full ones follow the public configurations (github.com/chengtan9907/OpenSTL, configs/, and the defaults of
github.com/A4Bio/SimVP): widths, depths, batch, epochs and highest learning rate. What differs from them: the
schedule is one cycle for all, gradients are cut at norm 1, and the optimizer is AdamW without decay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from simvp.networks import Variant

PresetName = Literal["quick", "full"]
Settings = Mapping[str, Any]

# TAU's authors train it with this weight of the differential divergence.
TAU_DIVERGENCE = 0.1


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of one benchmark, full or quick.

    Parameters
    ----------
    network
        Fields of `simvp.SimVPConfig`, but for frames and channels, which the benchmark has.
    loop
        Fields of `pipelines.benchmark.config.BenchmarkConfig`.
    variants
        Further fields of either, for one variant.
    """

    network: Settings
    loop: Settings
    variants: Mapping[Variant, Settings] = field(default_factory=dict)


# A checkpoint of the published sizes is about a gigabyte: one each epoch, and not in between.
_PUBLISHED = {"weight_decay": 0.0, "averaging": 0.0, "batch_size": 16, "warm_up": 0.3, "checkpoint_every": 100_000}
_SHORT = {
    "weight_decay": 0.0,
    "averaging": 0.99,
    "batch_size": 16,
    "epochs": 6,
    "epoch_updates": 100,
    "learning_rate": 5e-3,
    "validation_clips": 256,
    "test_clips": 500,
}

_MOVING = {
    "full": Preset(
        network={"hid_S": 64, "hid_T": 512, "N_S": 4, "N_T": 8},
        loop={**_PUBLISHED, "epochs": 200, "learning_rate": 1e-3},
        variants={"tau": {"divergence": TAU_DIVERGENCE}},
    ),
    "quick": Preset(
        network={"hid_S": 8, "hid_T": 128, "N_S": 4, "N_T": 2},
        loop=_SHORT,
        variants={"gsta": {"hid_T": 64, "N_T": 4}, "tau": {"hid_T": 64, "N_T": 4, "divergence": TAU_DIVERGENCE}},
    ),
}
_LARGE_QUICK = Preset(
    network={"hid_S": 8, "hid_T": 32, "N_S": 4, "N_T": 2},
    loop=_SHORT,
    variants={"tau": {"divergence": TAU_DIVERGENCE}},
)
PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "moving-mnist": _MOVING,
    "moving-fashion-mnist": _MOVING,
    "taxibj": {
        "full": Preset(
            network={"hid_S": 32, "hid_T": 256, "N_S": 2, "N_T": 8},
            loop={**_PUBLISHED, "epochs": 50, "learning_rate": 1e-3},
            variants={
                "gsta": {"learning_rate": 5e-4, "drop_path": 0.1},
                "tau": {"learning_rate": 5e-4, "drop_path": 0.1, "divergence": TAU_DIVERGENCE},
            },
        ),
        "quick": Preset(
            network={"hid_S": 16, "hid_T": 64, "N_S": 2, "N_T": 2},
            loop=_SHORT,
            variants={"tau": {"divergence": TAU_DIVERGENCE}},
        ),
    },
    "human36m": {
        "full": Preset(
            network={"hid_S": 64, "hid_T": 512, "N_S": 4, "N_T": 6},
            loop={**_PUBLISHED, "epochs": 50, "learning_rate": 1e-3},
            variants={
                "gsta": {"hid_T": 256, "N_T": 8, "drop_path": 0.1},
                "tau": {"N_T": 8, "drop_path": 0.1, "divergence": TAU_DIVERGENCE},
            },
        ),
        "quick": _LARGE_QUICK,
    },
    "kitticaltech": {
        "full": Preset(
            network={"hid_S": 64, "hid_T": 256, "N_S": 2, "N_T": 4},
            loop={**_PUBLISHED, "epochs": 100, "learning_rate": 5e-3},
            variants={
                "gsta": {"N_T": 6, "drop_path": 0.2},
                "tau": {"N_T": 6, "drop_path": 0.1, "learning_rate": 1e-2, "divergence": TAU_DIVERGENCE},
            },
        ),
        "quick": _LARGE_QUICK,
    },
    "kth": {
        "full": Preset(
            network={"hid_S": 64, "hid_T": 256, "N_S": 2, "N_T": 4},
            loop={**_PUBLISHED, "epochs": 100, "learning_rate": 1e-3},
            variants={
                "gsta": {"N_T": 6, "drop_path": 0.2},
                "tau": {"N_T": 6, "drop_path": 0.1, "divergence": TAU_DIVERGENCE},
            },
        ),
        "quick": _LARGE_QUICK,
    },
}
