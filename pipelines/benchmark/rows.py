"""Rows of the benchmark report: one schema for what was run here and for what was published.

The published rows (`published.csv`) chose the best epoch by the test part: in the public codes the validation loader
is the test loader. Their MSE and MAE are sums over a frame, their SSIM is `simvp.scoring.metrics.ssim_paper`. SimVP's
own code takes its PSNR from squares of 8 bits, which wrap around (`psnr_paper`): its rows with one have a letter of
their own. OpenSTL's rows of WeatherBench are means over all points instead, in the units of the variable; the benchmark
itself is no video and not among those here. The MSE of 1.56 that the SimVP paper prints for Caltech Pedestrian is no
such sum (OpenSTL's are a hundred times as large) and is left out.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

Selection = Literal["validation", "test", "unknown", "nothing"]
_PUBLISHED = Path(__file__).with_name("published.csv")
_SOURCES = {"paper": "SimVP, CVPR 2022 (arXiv 2206.05099)", "openstl": "OpenSTL model zoo, 2024-03"}
SCORES = ("mse_per_frame", "mae_per_frame", "ssim_paper", "psnr", "psnr_paper", "mse", "mae", "ssim")
PLAIN = ("mse", "mae", "rmse")  # of what is no video


class Row(BaseModel):
    """Scores of one method on one test set, and what they stand for.

    Parameters
    ----------
    data, horizon
        Benchmark and T'.
    method
        Network, with what is switched off or changed; or "persistence".
    selected_on
        The part on which the epoch was chosen; "unknown" of a checkpoint; "nothing" where nothing was chosen.
    train, test
        In words: which digits, files, recordings, seed.
    comparable
        Whether these are the files that published results stand for.
    published
        Whether the row comes from a publication.
    source
        Publication, or run of MLflow.
    epochs, chosen_epoch
        Trained, and the one whose weights were scored.
    scores
        By the names of `simvp.scoring.metrics`.
    parameters, multiply_adds, memory
        As `pipelines.benchmark.costs.Costs`; of published rows as they say.
    seconds_per_epoch, updates_per_epoch, device, preset, seed, when, commit
        Of the run: median time of an epoch's training without scoring, updates in it, processor, preset, seed, end,
        commit of the code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    horizon: int
    method: str
    selected_on: Selection
    train: str
    test: str
    comparable: bool
    published: bool
    source: str
    scores: Mapping[str, float]
    epochs: int | None = None
    chosen_epoch: int | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    memory: int | None = None
    seconds_per_epoch: float | None = None
    updates_per_epoch: int | None = None
    device: str = ""
    preset: str = ""
    seed: int | None = None
    when: str = ""
    commit: str = ""

    @property
    def protocol(self) -> tuple[str, str]:
        """What has to be the same for two rows to be compared: data to train on, and test set."""
        return self.train, self.test


def published() -> list[Row]:
    """Published rows of all benchmarks."""
    rows = []
    for record in pd.read_csv(_PUBLISHED, dtype={"horizon": int}).to_dict("records"):
        cells = {str(name): value for name, value in record.items() if not pd.isna(value)}
        size = f" at {cells['test']}" if "test" in cells else ""
        bits = ", PSNR of squares in 8 bits" if "psnr_paper" in cells else ""
        fields = {
            **{name: value for name, value in cells.items() if name in Row.model_fields},
            "selected_on": "test",
            "train": "the published training part" + size,
            "test": "the published test part" + size + bits,
            "comparable": True,
            "published": True,
            "source": _SOURCES[cells["source"]],
            "scores": {name: cells[name] for name in (*SCORES, *PLAIN) if name in cells},
        }
        rows.append(Row.model_validate(fields))
    return rows


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table with a column for every score, for a CSV file."""
    names = dict.fromkeys((*SCORES, *PLAIN))
    flat = [row.model_dump(exclude={"scores"}) | {name: row.scores.get(name) for name in names} for row in rows]
    return pd.DataFrame(flat)


def report(rows: Iterable[Row]) -> str:
    """Markdown: a table for each benchmark and horizon, rows in order of their protocol, never of their scores."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.horizon), []).append(row)
    parts = ["# Benchmarks", "", _LEGEND]
    for (data, horizon), group in groups.items():
        parts += ["", f"## {data}, T' = {horizon}", "", *_table(group)]
    return "\n".join(parts) + "\n"


_LEGEND = """\
* **MSE**, **MAE**: squared and absolute errors summed over a frame (C x H x W), averaged over frames and clips: the
  papers' numbers. **SSIM**: as the published codes compute it (`ssim_paper`). **PSNR**: in dB, of frames in [0, 1].
  **PSNR, 8 bits** (`psnr_paper`): as SimVP's code prints it, from squares that wrap around in 8 bits, so that an error
  of 16 levels of 256 counts as none; it compares with no other. **mean** ones: over all points, in the units there.
* **protocol**: the letter names what a row was trained on and tested on, listed below its table. Rows of different
  letters, or of different numbers of epochs, must not be ranked against each other.
* **epoch chosen on**: *validation* is ours. *test* is what published codes do (their validation loader is the test
  loader); such a number of ours stands here to be set beside theirs, and it serves for nothing else.
* **memory**: what training needs for one more clip in the batch; published ones as they say."""

_FIRST, _LAST = (
    ("method", "protocol", "epochs", "epoch chosen on"),
    ("parameters", "multiply-adds", "s / epoch", "memory", "source"),
)
_VIDEO = {"mse_per_frame": "MSE", "mae_per_frame": "MAE", "ssim_paper": "SSIM", "psnr": "PSNR"}
_WRAPPED = {"psnr_paper": "PSNR, 8 bits"}
_MEANS = {"mse": "mean MSE", "mae": "mean MAE", "rmse": "mean RMSE"}


def _table(rows: list[Row]) -> list[str]:
    protocols = list(dict.fromkeys(row.protocol for row in sorted(rows, key=lambda row: not row.published)))
    letters = {protocol: chr(ord("A") + number) for number, protocol in enumerate(protocols)}
    ordered = sorted(rows, key=lambda row: letters[row.protocol])
    scores = _columns(rows)
    head = (*_FIRST, *scores.values(), *_LAST)
    lines = ["| " + " | ".join(head) + " |", "| --- | --- | ---: | --- |" + " ---: |" * (len(scores) + 4) + " --- |"]
    lines += ["| " + " | ".join(_cells(row, letters[row.protocol], scores)) + " |" for row in ordered]
    lines.append("")
    for (train, test), letter in letters.items():
        comparable = any(row.comparable for row in rows if row.protocol == (train, test))
        note = "" if comparable else " **Published results stand for other data.**"
        lines.append(f"* {letter}: trained on {train}; tested on {test}.{note}")
    return lines


def _columns(rows: Iterable[Row]) -> Mapping[str, str]:
    """The scores of a table, with their headings."""
    there = {name for row in rows for name in row.scores}
    if not there & set(_VIDEO):
        return _MEANS
    return {**_VIDEO, **(_WRAPPED if set(_WRAPPED) & there else {})}


def _cells(row: Row, letter: str, scores: Iterable[str]) -> list[str]:
    epochs = "" if row.epochs is None else f"{row.epochs:,}"
    if row.updates_per_epoch:
        epochs += f" x {row.updates_per_epoch:,} updates"
    return [
        row.method,
        letter,
        epochs,
        "" if row.selected_on == "nothing" else row.selected_on,
        *(f"{row.scores[name]:.4g}" if name in row.scores else "" for name in scores),
        "" if row.parameters is None else f"{row.parameters / 1e6:.3g} M",
        "" if row.multiply_adds is None else f"{row.multiply_adds / 1e9:.3g} G",
        "" if row.seconds_per_epoch is None else f"{row.seconds_per_epoch:.3g} ({row.device})",
        "" if row.memory is None else f"{row.memory / 1e6:.3g} MB",
        row.source,
    ]
