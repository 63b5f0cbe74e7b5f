"""Pictures of one clip: a strip of frames, and an animation.

Frames are (C, H, W) on [0, 1]; what lies outside is drawn as the nearest end. One channel is drawn in greys, three as
red, green and blue; of any other number the first channel is drawn, in viridis, and the picture says so. Differences
are prediction - truth (for colours the mean over the channels), red and blue around zero, of one scale on both sides.
NaN is drawn as absent.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image, ImageDraw, ImageFont

from simvp.errors import ConfigError, ContractError

__all__ = ["clip_animation", "clip_strip"]

_MOST_COLUMNS = 10
_FEW = 4  # inputs shown beside a forecast of fewer frames
_DIFFERENCE = "RdBu_r"
_MAPS = {1: "gray", 3: "gray"}  # by number of channels; else
_OTHER = "viridis"

# Palette of an animation: what is written and drawn around the panels, then differences, then pictures.
_PAPER, _INK, _INPUT, _FORECAST, _ABSENT = range(5)
_SIGNS = {_PAPER: "#FFFFFF", _INK: "#202020", _INPUT: "#56B4E9", _FORECAST: "#E69F00", _ABSENT: "#CC79A7"}
_STEPS = 31  # of a difference on either side of zero
_SHADES = 64  # of a picture of one channel; fine noise below 1/128 then costs no bytes
_COLOURS = 256 - len(_SIGNS) - (2 * _STEPS + 1)
_PANEL = 192  # pixels
_GAP, _HEAD, _BAR = 6, 16, 4


def clip_strip(
    inputs: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    title: str = "",
    names: Sequence[str] | None = None,
) -> Figure:
    """Inputs, truth, prediction and their difference, frame by frame.

    Parameters
    ----------
    inputs
        (T, C, H, W).
    truth, predicted
        (T', C, H, W). Of more than 10 frames, 10 are drawn, evenly spread from the first to the last; each has its
        time written above it, t being the last input.
    title
        Above all.
    names
        Of the channels.

    Raises
    ------
    ContractError
        Arrays that do not belong together.
    """
    clip = _Clip.of(inputs, truth, predicted)
    if names is not None and len(names) != clip.channels:
        raise ContractError("Clip", [f"names: expected {clip.channels}, one for each channel, got {len(names)}"])
    after = _spread(len(clip.truth), _MOST_COLUMNS)
    before = _spread(len(clip.inputs), max(len(after), _FEW))
    stacked = _blank_if_stacked(len(before), len(after)) <= 2 * len(before)
    board = _Board(clip, len(before), len(after), stacked, _heading(title, clip, names))
    for column, k in enumerate(before):
        axes = board.cell(0, column, f"t{k + 1 - len(clip.inputs):+d}".replace("+0", ""))
        board.picture(axes, clip.inputs[k])
    limit = clip.limit(after)
    drawn: AxesImage | None = None
    for column, k in enumerate(after):
        at = column if stacked else column + len(before)
        board.picture(board.cell(int(stacked), at, f"t+{k + 1}"), clip.truth[k])
        board.picture(board.cell(int(stacked) + 1, at), clip.predicted[k])
        axes = board.cell(int(stacked) + 2, at)
        drawn = axes.imshow(clip.difference(k), cmap=_DIFFERENCE, vmin=-limit, vmax=limit)
    board.name_rows()
    assert drawn is not None
    board.bar(drawn, int(stacked) + 2, 1, "difference")
    if clip.channels not in _MAPS:
        board.bar(board.first, int(stacked), 2, "value")
    return board.figure


def clip_animation(
    inputs: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    milliseconds: int = 200,
    scale: int | None = None,
) -> bytes:
    """An endless animation: truth, prediction and difference side by side, T + T' frames, as a GIF file.

    The first T frames are the inputs, in both panels, under a blue bar; a forecast is under an orange one. The bar
    grows with time.

    Parameters
    ----------
    inputs
        (T, C, H, W).
    truth, predicted
        (T', C, H, W).
    milliseconds
        Each frame is shown; the format counts in 10 ms, and viewers slow down what is faster than 20.
    scale
        Pixels on a side for each point; by default as many as make panels of about 192 pixels.

    Raises
    ------
    ContractError
        Arrays that do not belong together.
    ConfigError
        Milliseconds or a scale out of range.
    """
    reasons = [] if milliseconds >= 20 else [f"milliseconds: expected 20 or more, got {milliseconds}"]
    if scale is not None and scale < 1:
        reasons.append(f"scale: expected 1 or more, got {scale}")
    if reasons:
        raise ConfigError("Animation", reasons)
    clip = _Clip.of(inputs, truth, predicted)
    film = _Film(clip, scale or max(1, round(_PANEL / max(clip.frame))))
    frames = [film.frame(k) for k in range(len(clip.inputs) + len(clip.truth))]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
    )
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """(T, C, H, W) inputs and (T', C, H, W) truth and prediction that belong together, float64."""

    inputs: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, inputs: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> "_Clip":
        parts = {"inputs": inputs, "truth": truth, "predicted": predicted}
        arrays = {name: np.asarray(part, dtype=np.float64) for name, part in parts.items()}
        reasons = [
            f"{name}: expected (frames, C, H, W) with one frame or more, got {part.shape}"
            for name, part in arrays.items()
            if part.ndim != 4 or not part.size
        ]
        if not reasons:
            if arrays["truth"].shape != arrays["predicted"].shape:
                reasons.append(f"predicted: expected {arrays['truth'].shape} as the truth, got {predicted.shape}")
            if arrays["truth"].shape[1:] != arrays["inputs"].shape[1:]:
                frame = arrays["inputs"].shape[1:]
                reasons.append(f"truth: expected frames of {frame} as the inputs, got {truth.shape[1:]}")
        if reasons:
            raise ContractError("Clip", reasons)
        return cls(**arrays)

    @property
    def channels(self) -> int:
        return int(self.inputs.shape[1])

    @property
    def frame(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.inputs.shape[2]), int(self.inputs.shape[3])

    def difference(self, k: int) -> np.ndarray:
        """(H, W) prediction - truth of a forecast frame."""
        apart = self.predicted[k] - self.truth[k]
        return np.asarray(apart.mean(0) if self.channels == 3 else apart[0])

    def limit(self, frames: Sequence[int]) -> float:
        """Where the scale of the differences ends; a few wild points do not stretch it."""
        apart = np.abs(np.stack([self.difference(k) for k in frames]))
        apart = apart[np.isfinite(apart)]
        if not apart.size or not apart.max():
            return 1.0
        return float(np.quantile(apart, 0.995) or apart.max())


class _Board:
    """A figure of square-edged cells, placed in inches, all of one size and near the frames' shape."""

    def __init__(self, clip: _Clip, before: int, after: int, stacked: bool, heading: str) -> None:
        self.clip, self.stacked = clip, stacked
        rows, columns = (4, max(before, after)) if stacked else (3, before + after)
        self.width = min(1.25, 9.0 / columns)
        self.height = self.width * float(np.clip(clip.frame[0] / clip.frame[1], 0.4, 1.6))
        self.gap, self.line, self.left, self.top = 0.04, 0.17, 0.24, 0.26 if heading else 0.04
        size = (
            self.left + columns * (self.width + self.gap) + 0.55,
            self.top + rows * (self.height + self.gap) + (1 + stacked) * self.line + 0.04,
        )
        self.figure = Figure(figsize=size)
        FigureCanvasAgg(self.figure)
        if heading:
            self.figure.text(self.left / size[0], 1 - 0.06 / size[1], heading, fontsize=9, va="top")
        self.cells: dict[tuple[int, int], Axes] = {}

    def cell(self, row: int, column: int, title: str = "") -> Axes:
        """Axes of one frame."""
        axes = self.figure.add_axes(self._box(row, self.left + column * (self.width + self.gap), self.width))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="0.6", linewidth=0.5)
        axes.patch.set(facecolor="0.92", hatch="/////", edgecolor="0.6")
        if title:
            axes.set_title(title, fontsize=7, pad=2)
        self.cells[row, column] = axes
        return axes

    def picture(self, axes: Axes, frame: np.ndarray) -> None:
        """Draw (C, H, W)."""
        if len(frame) != 3:
            axes.imshow(frame[0], cmap=_MAPS.get(len(frame), _OTHER), vmin=0.0, vmax=1.0)
            return
        absent = np.isnan(frame).any(0)
        colours = np.where(absent, 0.0, np.clip(frame, 0.0, 1.0))
        axes.imshow(np.moveaxis(np.concatenate([colours, ~absent[None]]), 0, -1))

    def name_rows(self) -> None:
        """Write beside the first cell of every row what it shows."""
        names = ("input", "truth", "prediction", "difference")
        rows = sorted({row for row, _ in self.cells})
        for row, name in zip(rows, names if self.stacked else ("input, truth", *names[2:]), strict=True):
            first = min(column for at, column in self.cells if at == row)
            self.cells[row, first].set_ylabel(name, fontsize=8, labelpad=3)

    @property
    def first(self) -> AxesImage:
        return self.cells[0, 0].images[0]

    def bar(self, drawn: AxesImage, row: int, rows: int, label: str) -> None:
        """A colour bar on the right of some rows."""
        columns = 1 + max(column for _, column in self.cells)
        x = self.left + columns * (self.width + self.gap) + 0.04
        _, low, width, height = self._box(row + rows - 1, x, 0.09)
        top = sum(self._box(row, x, 0.09)[1::2])
        axes = self.figure.add_axes((self._box(row, x, 0.09)[0], low, width, top - low))
        extend = "both" if label == "difference" else "neither"
        made = self.figure.colorbar(drawn, cax=axes, extend=extend)
        made.ax.tick_params(labelsize=6, length=2, pad=1)

    def _box(self, row: int, x: float, width: float) -> tuple[float, float, float, float]:
        """Left, bottom, width, height in parts of the figure."""
        size = self.figure.get_size_inches()
        titles = self.line * (1 + (self.stacked and row > 0))
        y = size[1] - self.top - titles - (row + 1) * (self.height + self.gap) + self.gap
        return x / size[0], y / size[1], width / size[0], self.height / size[1]


class _Film:
    """The frames of an animation, all with one palette."""

    def __init__(self, clip: _Clip, scale: int) -> None:
        self.clip, self.scale = clip, scale
        self.limit = clip.limit(range(len(clip.truth)))
        self.size = (clip.frame[1] * scale, clip.frame[0] * scale)
        self.font = ImageFont.load_default(11)
        signs = [_rgb(colour) for colour in _SIGNS.values()]
        self.palette = [*signs, *_ramp(_DIFFERENCE, 2 * _STEPS + 1)]
        self.start = len(self.palette)
        self.colours: Image.Image | None = None
        if clip.channels == 3:
            every = np.concatenate([clip.inputs, clip.truth, clip.predicted])
            mosaic = _image(np.moveaxis(every, 1, 0).reshape(3, -1, clip.frame[1]))
            self.colours = mosaic.quantize(_COLOURS, dither=Image.Dither.NONE)
            self.palette += np.reshape(self.colours.getpalette() or [], (-1, 3)).tolist()
        else:
            self.palette += _ramp(_MAPS.get(clip.channels, _OTHER), _SHADES)

    def frame(self, k: int) -> Image.Image:
        """Frame k of T + T'."""
        inputs, forecast = len(self.clip.inputs), k - len(self.clip.inputs)
        total = inputs + len(self.clip.truth)
        if forecast < 0:
            pair = (self.clip.inputs[k], self.clip.inputs[k])
            apart = np.zeros(self.clip.frame)
        else:
            pair = (self.clip.truth[forecast], self.clip.predicted[forecast])
            apart = self.clip.difference(forecast)
        panels = [*map(self._picture, pair), self._difference(apart)]
        width, height = self.size
        sheet = Image.new("P", (3 * width + 4 * _GAP, height + _HEAD + _BAR + _GAP), _PAPER)
        sheet.putpalette([part for colour in self.palette for part in colour])
        draw = ImageDraw.Draw(sheet)
        when = f"t{forecast + 1:+d}".replace("+0", "")
        names = (f"truth  {when}", "prediction", f"difference ±{self.limit:.2g}")
        for number, (panel, name) in enumerate(zip(panels, names, strict=True)):
            left = _GAP + number * (width + _GAP)
            big = np.repeat(np.repeat(panel, self.scale, 0), self.scale, 1)
            sheet.paste(Image.fromarray(big), (left, _HEAD))
            if draw.textlength(name, font=self.font) <= width:
                draw.text((left, 1), name, fill=_INK, font=self.font)
        end = _GAP + round((k + 1) / total * (3 * width + 2 * _GAP)) - 1
        below = _HEAD + height + _GAP // 2
        draw.rectangle((_GAP, below, end, below + _BAR - 1), fill=_INPUT if forecast < 0 else _FORECAST)
        return sheet

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        """(H, W) places in the palette of a frame (C, H, W)."""
        absent = np.isnan(frame[:3] if len(frame) == 3 else frame[:1]).any(0)
        if self.colours is not None:
            placed = np.asarray(_image(frame).quantize(palette=self.colours, dither=Image.Dither.NONE))
        else:
            placed = np.rint(np.clip(np.nan_to_num(frame[0]), 0.0, 1.0) * (_SHADES - 1)).astype(np.uint8)
        return np.where(absent, _ABSENT, placed + self.start).astype(np.uint8)

    def _difference(self, apart: np.ndarray) -> np.ndarray:
        """(H, W) places in the palette of differences."""
        steps = np.rint(np.clip(np.nan_to_num(apart) / self.limit, -1.0, 1.0) * _STEPS).astype(int)
        return np.where(np.isnan(apart), _ABSENT, len(_SIGNS) + _STEPS + steps).astype(np.uint8)


def _spread(frames: int, most: int) -> list[int]:
    """Positions of at most `most` of some frames, from the first to the last."""
    return sorted({round(p) for p in np.linspace(0, frames - 1, min(frames, most))})


def _blank_if_stacked(before: int, after: int) -> int:
    """Cells left empty if the inputs are a row of their own above the forecast."""
    return 4 * max(before, after) - before - 3 * after


def _heading(title: str, clip: _Clip, names: Sequence[str] | None) -> str:
    if clip.channels in _MAPS:
        return title
    said = f"{names[0] if names else 'channel 1'}, the first of {clip.channels} channels"
    return f"{title}: {said}" if title else said


def _rgb(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


def _ramp(name: str, steps: int) -> list[list[int]]:
    colours: Any = matplotlib.colormaps[name](np.linspace(0.0, 1.0, steps), bytes=True)
    return [[int(part) for part in colour[:3]] for colour in colours]


def _image(frame: np.ndarray) -> Image.Image:
    """(3, H, W) on [0, 1] as an image."""
    levels = np.rint(np.clip(np.nan_to_num(frame), 0.0, 1.0) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels, 0, -1)))
