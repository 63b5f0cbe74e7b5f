"""Scores of networks on clips, and what is kept of them: rows, tables, pictures."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from datasets.store import disk
from pipelines.benchmark.clip_batches import ClipBatches
from pipelines.pictures import clip_animation, clip_strip, png
from pipelines.tracking import Run, git_state
from pipelines.training import predictions
from simvp.budget import fitting
from simvp.networks import SimVP, Variant
from simvp.scoring import VideoScores, overall

Precision = Callable[[], AbstractContextManager[Any]]
NAMES: Mapping[Variant, str] = {"simvp": "SimVP", "incepu": "SimVP IncepU", "gsta": "SimVP gSTA", "tau": "TAU"}


def score(network: nn.Module, batches: ClipBatches, autocast: Precision) -> xr.Dataset:
    """Scores of a network (`simvp.scoring.VideoScores`) on all clips; memory does not grow with their number."""
    scores = _empty(batches)
    for _, predicted, y, _ in predictions(network, batches, _size(batches), autocast):
        scores.update(predicted, y)
    return scores.compute()


def persistence(batches: ClipBatches, device: torch.device) -> xr.Dataset:
    """Scores of the last input frame, repeated."""
    scores = _empty(batches)
    for indices in batches.ordered(_size(batches)):
        x, y, _ = (part.to(device) for part in batches.batch(indices))
        scores.update(x[:, -1:].expand_as(y), y)
    return scores.compute()


def squared_error(network: nn.Module, batches: ClipBatches, autocast: Precision) -> float:
    """Mean squared error over every element of all clips."""
    total = 0.0
    for _, predicted, y, _ in predictions(network, batches, _size(batches), autocast):
        total += float(((predicted - y).double() ** 2).mean()) * len(y)
    return total / len(batches)


def _empty(batches: ClipBatches) -> VideoScores:
    return VideoScores(list(batches.clips.benchmark.variables), batches.clips.frames_out, 1.0)


def _size(batches: ClipBatches) -> int:
    rows, columns = batches.clips.benchmark.size
    return fitting(64 * rows * columns, 64)  # 64 clips of 64 x 64 points, where each counts as 16 maps


def rolled_out(network: SimVP, horizon: int, device: torch.device) -> SimVP:
    """The same network for T' = horizon: longer than it was trained for, by rollout."""
    longer = SimVP(network.config.replace(frames_out=horizon)).eval()
    longer.load_state_dict(network.state_dict())
    return longer.to(device)


def processor(device: torch.device, precision: str) -> str:
    """Where the arithmetic ran, in words."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    return f"{torch.get_num_threads()} CPU threads, {precision}"


def row_fields(batches: ClipBatches, scores: Mapping[str, float], *, train: str, comparable: bool) -> dict[str, Any]:
    """What a row says of the test clips and of the moment.

    Parameters
    ----------
    train, comparable
        What was trained on, and whether published results stand for that.
    """
    clips = batches.clips
    count = f"{len(batches):,} clips"
    if len(batches) < len(clips):
        count += f", evenly spread, of {len(clips):,}"
    return {
        "data": clips.benchmark.name,
        "horizon": clips.frames_out,
        "train": train,
        "test": f"{count}: {clips.origin}",
        "comparable": comparable and clips.comparable and len(batches) == len(clips),
        "published": False,
        "scores": scores,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": str(git_state()["commit"]),
    }


def compare(run: Run, network: nn.Module, batches: ClipBatches, autocast: Precision) -> list[dict[str, float]]:
    """Overall scores of a network and of persistence on all clips; logged, and those by variable and lead as tables."""
    horizon, device, numbers = batches.clips.frames_out, next(network.parameters()).device, []
    both = {"model": score(network, batches, autocast), "persistence": persistence(batches, device)}
    for name, scores in both.items():
        numbers.append(overall(scores))
        table = scores.drop_dims([d for d in scores.dims if d not in ("variable", "lead")]).to_dataframe()
        run.log_text(table.to_csv(), f"scores_{name}_{horizon}.csv")
        run.log_metrics({f"final_{name}_{horizon}_{k}": v for k, v in numbers[-1].items()}, 0)
    return numbers


def clip_files(network: SimVP, batches: ClipBatches, method: str) -> dict[str, bytes]:
    """Strips of two clips and an animation of the first, by file name."""
    clips, files = batches.clips, {}
    device = next(network.parameters()).device
    for number, index in enumerate((0, len(batches) // 2)):
        x, y, _ = (part.to(device) for part in batches.batch(np.array([index])))
        with torch.inference_mode():
            predicted = network(x)
        inputs, truth, forecast = (part[0].float().cpu().numpy() for part in (x, y, predicted))
        title = f"{clips.benchmark.name}, test {clips.name(int(batches.places[index]))}, {method}"
        names = list(clips.benchmark.variables)
        files[f"strip_{number}.png"] = png(clip_strip(inputs, truth, forecast, title=title, names=names))
        if number == 0:
            files["animation.gif"] = clip_animation(inputs, truth, forecast)
    return files


def keep_files(run: Run, files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder, and log them."""
    for name, content in files.items():
        disk.write(folder / name, content)
        run.log_file(folder / name)
