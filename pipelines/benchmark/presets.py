"""Sizes and schedules of the benchmarks: as published, for a GPU, and reduced, for a few minutes on two cores.

The full ones follow the public configurations (github.com/chengtan9907/OpenSTL, configs/, and the defaults of
github.com/A4Bio/SimVP): widths, depths, batch, epochs and highest learning rate. What differs from them: the
schedule is one cycle for all, gradients are cut at norm 1, and the optimizer is AdamW without decay.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from simvp.networks import Variant
from simvp.settings import Settings

PresetName = Literal["quick", "full"]
Values = Mapping[str, Any]


class Preset(Settings):
    """Settings of one benchmark, full or quick: fields of `BenchmarkConfig` and of `simvp.SimVPConfig` by name."""

    common: Values = Field(description="Of all variants; frames and channels are the benchmark's.")
    variants: Mapping[str, Values] = Field(default={}, description="Of one variant by name, where they differ.")

    def settings(self, variant: Variant) -> dict[str, Any]:
        """Settings of a variant."""
        # TAU's authors train it with this weight of the differential divergence (arXiv 2206.12126).
        divergence = {"divergence": 0.1} if variant == "tau" else {}
        return {**self.common, **divergence, **self.variants.get(variant, {})}


def _network(hid_S: int, hid_T: int, N_S: int, N_T: int) -> Values:
    return {"hid_S": hid_S, "hid_T": hid_T, "N_S": N_S, "N_T": N_T}


_ALWAYS = {"weight_decay": 0.0, "batch_size": 16}


def _full(network: Values, epochs: int, learning_rate: float, **variants: Values) -> Preset:
    schedule = {"epochs": epochs, "learning_rate": learning_rate, "warm_up": 0.3, "averaging": 0.0}
    # A checkpoint of the published sizes is about a gigabyte: one each epoch, and not in between.
    return Preset(common={**_ALWAYS, **schedule, **network, "checkpoint_every": 100_000}, variants=variants)


def _quick(network: Values, **variants: Values) -> Preset:
    schedule = {"epochs": 6, "epoch_updates": 100, "learning_rate": 5e-3, "averaging": 0.99}
    clips = {"validation_clips": 256, "test_clips": 500}
    return Preset(common={**_ALWAYS, **schedule, **clips, **network}, variants=variants)


_SMALL = {"hid_T": 64, "N_T": 4}
_MOVING = {
    "full": _full(_network(64, 512, 4, 8), 200, 1e-3),
    "quick": _quick(_network(8, 128, 4, 2), gsta=_SMALL, tau=_SMALL),
}
_TAXI, _HUMAN = {"learning_rate": 5e-4, "drop_path": 0.1}, {"N_T": 8, "drop_path": 0.1}
_DEEP, _DEEP_TAU = {"N_T": 6, "drop_path": 0.2}, {"N_T": 6, "drop_path": 0.1}
_LARGE = _quick(_network(8, 32, 4, 2))  # of maps of 100 to 160 points a side
PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "moving-mnist": _MOVING,
    "moving-fashion-mnist": _MOVING,
    "taxibj": {
        "full": _full(_network(32, 256, 2, 8), 50, 1e-3, gsta=_TAXI, tau=_TAXI),
        "quick": _quick(_network(16, 64, 2, 2)),
    },
    "human36m": {
        "full": _full(_network(64, 512, 4, 6), 50, 1e-3, gsta={"hid_T": 256, **_HUMAN}, tau=_HUMAN),
        "quick": _LARGE,
    },
    "kitticaltech": {
        "full": _full(_network(64, 256, 2, 4), 100, 5e-3, gsta=_DEEP, tau={**_DEEP_TAU, "learning_rate": 1e-2}),
        "quick": _LARGE,
    },
    "kth": {
        "full": _full(_network(64, 256, 2, 4), 100, 1e-3, gsta=_DEEP, tau=_DEEP_TAU),
        "quick": _LARGE,
    },
}
