"""Pictures of one clip: a strip of frames, and an animation.

Frames are (C, H, W) on [0, 1]; what lies outside is drawn as the nearest end. One channel is drawn in greys, three as
red, green and blue; of any other number the first channel is drawn, in viridis, and the picture says so. Differences
are prediction - truth (for colours the mean over the channels), red and blue around zero, of one scale on both sides.
NaN is drawn as absent.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageColor, ImageDraw, ImageFont

from simvp.errors import ConfigError, ContractError

_MOST_COLUMNS = 10
_FEW = 4  # inputs shown with a forecast of fewer frames
_DIFFERENCE = "RdBu_r"
_GREY, _FIRST = "gray", "viridis"  # of a single channel, and of the first of several that are no colours

# Palette of an animation: what is written and drawn around the panels, then differences, then pictures.
_PAPER, _INK, _INPUT, _FORECAST, _ABSENT = range(5)
_SIGNS = {_PAPER: "#FFFFFF", _INK: "#202020", _INPUT: "#56B4E9", _FORECAST: "#E69F00", _ABSENT: "#CC79A7"}
_STEPS = 12  # of a difference on either side of zero
_SHADES = 32  # of a picture of one channel; noise finer than that would double the file
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
    after = evenly(len(clip.truth), _MOST_COLUMNS)
    before = evenly(len(clip.inputs), max(len(after), _FEW))
    note = f"{names[0] if names else 'channel 1'}, the first of {clip.channels} channels" if clip.partial else ""
    board = _Board(clip, len(before), len(after), ": ".join(filter(None, (title, note))))
    for column, k in enumerate(before):
        board.picture(board.cell("input", column, _when(k + 1 - len(clip.inputs))), clip.inputs[k])
    limit = clip.limit(after)
    for column, k in enumerate(after):
        board.picture(board.cell("truth", column, _when(k + 1)), clip.truth[k])
        board.picture(board.cell("prediction", column, _when(k + 1)), clip.predicted[k])
        axes = board.cell("difference", column, _when(k + 1))
        axes.imshow(clip.difference(k), cmap=_DIFFERENCE, vmin=-limit, vmax=limit)
    board.bar("difference", "difference", extend="both")
    if clip.partial and len(after) > 1:
        board.bar("truth", "prediction", extend="neither")
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
        Pixels on a side for each point; by default as many as fit into panels of 192 pixels.

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
    film = _Film(clip, scale or max(1, _PANEL // max(clip.frame)))
    first, *others = (film.frame(k) for k in range(len(clip.inputs) + len(clip.truth)))
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
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
            before, after, ours = (part.shape for part in arrays.values())
            if ours != after:
                reasons.append(f"predicted: expected {after} as the truth, got {ours}")
            if after[1:] != before[1:]:
                reasons.append(f"truth: expected frames of {before[1:]} as the inputs, got {after[1:]}")
        if reasons:
            raise ContractError("Clip", reasons)
        return cls(**arrays)

    @property
    def channels(self) -> int:
        return int(self.inputs.shape[1])

    @property
    def partial(self) -> bool:
        """Whether the first channel is drawn alone, though there are others."""
        return self.channels not in (1, 3)

    @property
    def colours(self) -> str:
        """Name of the colours of one channel."""
        return _FIRST if self.partial else _GREY

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
        return float(np.quantile(apart, 0.995) or apart.max() or 1.0) if apart.size else 1.0


class _Board:
    """A figure of cells placed in inches, all of one size and near the frames' shape.

    A single forecast frame shares one row with the inputs; more lie below them, truth, prediction and difference.
    """

    def __init__(self, clip: _Clip, before: int, after: int, heading: str) -> None:
        runs = ("truth", "prediction", "difference")
        self.rows, self.columns = (1, before + 3) if after == 1 else (4, max(before, after))
        self.start = {"input": (0, 0)}  # row and column of the first cell of each run
        self.start |= {name: (0, before + k) if after == 1 else (k + 1, 0) for k, name in enumerate(runs)}
        self.width = min(1.25, 9.0 / self.columns)
        self.height = self.width * float(np.clip(clip.frame[0] / clip.frame[1], 0.4, 1.6))
        self.gap, self.line, self.left, self.top = 0.04, 0.17, 0.24, 0.22 if heading else 0.02
        size = (
            self.left + self.columns * (self.width + self.gap) + 0.55,
            self.top + self.rows * (self.height + self.gap) + self._lines(self.rows - 1) + 0.04,
        )
        self.figure = Figure(figsize=size)
        if heading:
            self.figure.text(self.left / size[0], 1 - 0.05 / size[1], heading, fontsize=9, va="top")
        self.colours = clip.colours
        self.first: dict[str, Axes] = {}

    def cell(self, name: str, number: int, when: str) -> Axes:
        """Axes of one frame of a run; its name stands before the row, or above where the row has several runs."""
        row, column = self.start[name]
        x = self.left + (column + number) * (self.width + self.gap)
        axes = self.figure.add_axes(self._box(row, x, self.width), label=f"{name} {when}")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="0.6", linewidth=0.5)
        axes.patch.set(facecolor="0.92", hatch="/////", edgecolor="0.6")
        if row < 2:
            axes.set_title(f"{name} {when}" if column else when, fontsize=7, pad=2)
        if number == 0 and not column:
            axes.set_ylabel(name, fontsize=8, labelpad=3)
        self.first.setdefault(name, axes)
        return axes

    def picture(self, axes: Axes, frame: np.ndarray) -> None:
        """Draw (C, H, W)."""
        if len(frame) != 3:
            axes.imshow(frame[0], cmap=self.colours, vmin=0.0, vmax=1.0)
            return
        absent = np.isnan(frame).any(0)
        axes.imshow(np.dstack([*np.where(absent, 0.0, np.clip(frame, 0.0, 1.0)), ~absent]))

    def bar(self, top: str, bottom: str, *, extend: Literal["both", "neither"]) -> None:
        """A colour bar on the right of the rows from one run to another."""
        x = self.left + self.columns * (self.width + self.gap) + 0.04
        (left, upper, width, height), lower = (self._box(self.start[name][0], x, 0.09) for name in (top, bottom))
        axes = self.figure.add_axes((left, lower[1], width, upper + height - lower[1]))
        self.figure.colorbar(self.first[top].images[0], cax=axes, extend=extend)
        axes.tick_params(labelsize=6, length=2, pad=1)

    def _lines(self, row: int) -> float:
        """Height of the times written down to a row: above the first, and above the truth in the second."""
        return self.line * min(row + 1, 2)

    def _box(self, row: int, x: float, width: float) -> tuple[float, float, float, float]:
        """Left, bottom, width, height in parts of the figure."""
        size = self.figure.get_size_inches()
        y = size[1] - self.top - self._lines(row) - (row + 1) * (self.height + self.gap) + self.gap
        return x / size[0], y / size[1], width / size[0], self.height / size[1]


class _Film:
    """The frames of an animation, all with one palette."""

    def __init__(self, clip: _Clip, scale: int) -> None:
        self.clip, self.scale = clip, scale
        self.limit = clip.limit(range(len(clip.truth)))
        self.size = (clip.frame[1] * scale, clip.frame[0] * scale)
        self.font = ImageFont.load_default(11)
        signs = [list(ImageColor.getrgb(colour)) for colour in _SIGNS.values()]
        self.palette = [*signs, *_ramp(_DIFFERENCE, 2 * _STEPS + 1)]
        self.start = len(self.palette)
        self.colours: Image.Image | None = None
        if clip.channels == 3:
            every = np.concatenate([clip.inputs, clip.truth, clip.predicted])
            mosaic = _image(np.moveaxis(every, 1, 0).reshape(3, -1, clip.frame[1]))
            self.colours = mosaic.quantize(_COLOURS, dither=Image.Dither.NONE)
            self.palette += np.reshape(self.colours.getpalette() or [], (-1, 3))[:_COLOURS].tolist()
        else:
            self.palette += _ramp(clip.colours, _SHADES)

    def frame(self, k: int) -> Image.Image:
        """Frame k of T + T'."""
        forecast, total = k - len(self.clip.inputs), len(self.clip.inputs) + len(self.clip.truth)
        if forecast < 0:
            shown, pair, apart = ("input", "input"), [self.clip.inputs[k]] * 2, np.zeros(self.clip.frame)
        else:
            shown, pair = ("truth", "prediction"), [self.clip.truth[forecast], self.clip.predicted[forecast]]
            apart = self.clip.difference(forecast)
        panels = [*map(self._picture, pair), self._difference(apart)]
        width, height = self.size
        sheet = Image.new("P", (3 * width + 4 * _GAP, height + _HEAD + _BAR + _GAP), _PAPER)
        sheet.putpalette([part for colour in self.palette for part in colour])
        draw = ImageDraw.Draw(sheet)
        which = ", channel 1" if self.clip.partial else ""
        names = [*(f"{name}  {_when(forecast + 1)}{which}" for name in shown), f"difference ±{self.limit:.2g}"]
        for number, (panel, name) in enumerate(zip(panels, names, strict=True)):
            left = _GAP + number * (width + _GAP)
            sheet.paste(Image.fromarray(panel.repeat(self.scale, 0).repeat(self.scale, 1)), (left, _HEAD))
            if draw.textlength(name, font=self.font) <= width:
                draw.text((left, 1), name, fill=_INK, font=self.font)
        end = _GAP + round((k + 1) / total * (3 * width + 2 * _GAP)) - 1
        below = _HEAD + height + _GAP // 2
        draw.rectangle((_GAP, below, end, below + _BAR - 1), fill=_INPUT if forecast < 0 else _FORECAST)
        return sheet

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        """(H, W) places in the palette of a frame (C, H, W)."""
        absent = np.isnan(frame if len(frame) == 3 else frame[:1]).any(0)
        if self.colours is not None:
            placed = np.asarray(_image(frame).quantize(palette=self.colours, dither=Image.Dither.FLOYDSTEINBERG))
        else:
            placed = np.rint(np.clip(np.nan_to_num(frame[0]), 0.0, 1.0) * (_SHADES - 1)).astype(np.uint8)
        return np.where(absent, _ABSENT, placed + self.start).astype(np.uint8)

    def _difference(self, apart: np.ndarray) -> np.ndarray:
        """(H, W) places in the palette of differences."""
        steps = np.rint(np.clip(np.nan_to_num(apart) / self.limit, -1.0, 1.0) * _STEPS).astype(int)
        return np.where(np.isnan(apart), _ABSENT, len(_SIGNS) + _STEPS + steps).astype(np.uint8)


def evenly(frames: int, most: int) -> list[int]:
    """Positions of at most `most` of some frames, from the first to the last."""
    return sorted({round(p) for p in np.linspace(0, frames - 1, min(frames, most))})


def _when(lead: int) -> str:
    """Name of a frame: t is the last input."""
    return f"t{lead:+d}" if lead else "t"


def _ramp(name: str, steps: int) -> list[list[int]]:
    colours = np.asarray(matplotlib.colormaps[name](np.linspace(0.0, 1.0, steps)))[:, :3]
    return [list(colour) for colour in np.rint(255 * colours).astype(int)]


def _image(frame: np.ndarray) -> Image.Image:
    """(3, H, W) on [0, 1] as an image."""
    levels = np.rint(np.clip(np.nan_to_num(frame), 0.0, 1.0) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels, 0, -1)))
