"""Pictures of a clip: which frame is drawn where, in which colours, read back from the figure and from the GIF."""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from pipelines.pictures.clips import clip_animation, clip_strip
from pipelines.pictures.fields import png
from simvp.errors import ConfigError, ContractError

HALF_A_SHADE = 255 / 62 + 0.51  # of 32, and the rounding to 8 bits
BLUE, ORANGE, ABSENT = (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00), (0xCC, 0x79, 0xA7)


def clip(before: int, after: int, channels: int = 1, shape: tuple[int, int] = (6, 8)) -> tuple[np.ndarray, ...]:
    """Inputs, truth and prediction on [0, 1]: every value names its frame, channel and point.

    The prediction is the truth plus 1/5 in the upper half, less 1/10 in the lower one.
    """
    size = (before + after, channels, *shape)
    frames = 0.2 + 0.6 * np.arange(np.prod(size)).reshape(size) / np.prod(size)
    offset = np.where(np.arange(shape[0]) < shape[0] // 2, 0.2, -0.1)[:, None]
    return frames[:before], frames[before:], frames[before:] + offset


def cells(figure: Figure) -> dict[str, Axes]:
    return {str(axes.get_label()): axes for axes in figure.axes if axes.images and "t" in str(axes.get_label())}


def drawn(axes: Axes) -> np.ma.MaskedArray:
    return np.ma.asarray(axes.images[0].get_array())


def decoded(data: bytes) -> list[np.ndarray]:
    """Frames (height, width, 3)."""
    return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def panel(sheet: np.ndarray, number: int, shape: tuple[int, int], scale: int) -> np.ndarray:
    """(H, W, 3) of one of the three panels, which lie side by side under a head of 16 pixels, 6 pixels apart."""
    height, width = shape[0] * scale, shape[1] * scale
    left = 6 + number * (width + 6)
    big = sheet[16 : 16 + height, left : left + width]
    points = big[::scale, ::scale]
    np.testing.assert_array_equal(big, points.repeat(scale, 0).repeat(scale, 1))
    return points.astype(int)


class TestStrip:
    def test_every_frame_is_in_its_place(self) -> None:
        inputs, truth, predicted = clip(4, 4)
        found = cells(clip_strip(inputs, truth, predicted, title="a clip"))
        times = ["t-3", "t-2", "t-1", "t"]
        leads = ["t+1", "t+2", "t+3", "t+4"]
        expected = {f"input {when}": inputs[k, 0] for k, when in enumerate(times)}
        for k, when in enumerate(leads):
            expected |= {f"truth {when}": truth[k, 0], f"prediction {when}": predicted[k, 0]}
            expected |= {f"difference {when}": predicted[k, 0] - truth[k, 0]}
        assert set(found) == set(expected)
        for name, frame in expected.items():
            np.testing.assert_array_equal(drawn(found[name]), frame)
        # Four rows: a run keeps its height, and time goes from left to right, in the same columns.
        boxes = {name: axes.get_position() for name, axes in found.items()}
        rows = [{round(boxes[n].y0, 6) for n in boxes if n.startswith(run)} for run in ("in", "tr", "pr", "di")]
        assert [len(row) for row in rows] == [1] * 4
        heights = [row.pop() for row in rows]
        assert heights == sorted(heights, reverse=True)
        for early, late in zip(times, leads, strict=True):
            left = {round(boxes[n].x0, 6) for n in boxes if n.split()[1] in (early, late)}
            assert len(left) == 1
        assert [found[f"truth {when}"].get_title() for when in leads] == leads
        assert [found[f"input {when}"].get_title() for when in times] == times
        firsts = [found[n].get_ylabel() for n in ("input t-3", "truth t+1", "prediction t+1", "difference t+1")]
        assert firsts == ["input", "truth", "prediction", "difference"]

    def test_greys_from_zero_to_one_and_differences_around_zero(self) -> None:
        found = cells(clip_strip(*clip(2, 3)))
        picture, apart = found["prediction t+2"].images[0], found["difference t+2"].images[0]
        assert (picture.cmap.name, picture.norm.vmin, picture.norm.vmax) == ("gray", 0.0, 1.0)
        assert (apart.cmap.name, apart.norm.vmin, apart.norm.vmax) == (
            "RdBu_r",
            pytest.approx(-0.2),
            pytest.approx(0.2),
        )
        red, _, blue, _ = apart.cmap(apart.norm(0.2))
        assert red > blue  # too much is red
        assert len({axes.images[0].norm.vmax for name, axes in found.items() if "difference" in name}) == 1

    def test_of_a_long_forecast_ten_frames_are_shown_and_say_which(self) -> None:
        inputs, truth, predicted = clip(15, 40)
        found = cells(clip_strip(inputs, truth, predicted))
        shown = [int(name.split("+")[1]) for name in found if name.startswith("truth")]
        assert (len(shown), shown[0], shown[-1]) == (10, 1, 40)
        assert set(np.diff(shown)) <= {4, 5}
        for lead in shown:
            np.testing.assert_array_equal(drawn(found[f"prediction t+{lead}"]), predicted[lead - 1, 0])
            assert found[f"truth t+{lead}"].get_title() == f"t+{lead}"
        early = [name for name in found if name.startswith("input")]
        assert (len(early), early[0], early[-1]) == (10, "input t-14", "input t")
        for name in early:
            np.testing.assert_array_equal(drawn(found[name]), inputs[14 + int(name.split("t")[-1] or 0), 0])

    def test_one_forecast_frame_stands_in_one_row_with_the_last_inputs(self) -> None:
        found = cells(clip_strip(*clip(10, 1, 3)))
        assert list(found) == [
            *("input t-9", "input t-6", "input t-3", "input t"),
            *("truth t+1", "prediction t+1", "difference t+1"),
        ]
        assert len({round(axes.get_position().y0, 6) for axes in found.values()}) == 1
        left = [axes.get_position().x0 for axes in found.values()]
        assert left == sorted(set(left))
        assert found["prediction t+1"].get_title() == "prediction t+1"

    def test_three_channels_are_colours(self) -> None:
        inputs, truth, predicted = clip(2, 2, 3)
        predicted[0, 0] += 0.3
        predicted[0, 2, 0, 0] = 1.5
        found = cells(clip_strip(inputs, truth, predicted))
        np.testing.assert_allclose(drawn(found["truth t+2"])[..., :3], np.moveaxis(truth[1], 0, -1))
        assert drawn(found["prediction t+1"])[0, 0, 2] == 1.0  # drawn as the nearest end
        # (0.3 + 3 x 0.2) / 3 above, (0.3 - 3 x 0.1) / 3 below
        np.testing.assert_allclose(drawn(found["difference t+1"])[1:3], 0.3)
        np.testing.assert_allclose(drawn(found["difference t+1"])[3:], 0.0, atol=1e-12)

    def test_of_other_channels_the_first_is_shown_and_named(self) -> None:
        inputs, truth, predicted = clip(4, 4, 2)
        figure = clip_strip(inputs, truth, predicted, title="traffic", names=["inflow", "outflow"])
        assert [text.get_text() for text in figure.texts] == ["traffic: inflow, the first of 2 channels"]
        found = cells(figure)
        np.testing.assert_array_equal(drawn(found["truth t+3"]), truth[2, 0])
        np.testing.assert_allclose(drawn(found["difference t+3"]), predicted[2, 0] - truth[2, 0])
        assert found["input t"].images[0].cmap.name == "viridis"
        bars = [axes for axes in figure.axes if axes not in found.values()]
        assert len(bars) == 2  # of the values too, which greys do not need
        unnamed = clip_strip(inputs, truth, predicted)
        assert [text.get_text() for text in unnamed.texts] == ["channel 1, the first of 2 channels"]

    def test_absent_points_are_hatched(self) -> None:
        for channels in (1, 3):
            inputs, truth, predicted = clip(2, 2, channels)
            predicted[0, channels - 1, 1, 2] = np.nan
            figure = clip_strip(inputs, truth, predicted)
            found = cells(figure)
            axes = found["prediction t+1"]
            assert axes.patch.get_hatch()
            hidden = drawn(axes).mask if channels == 1 else drawn(axes)[..., 3] == 0
            assert np.argwhere(hidden).tolist() == [[1, 2]]
            assert np.argwhere(drawn(found["difference t+1"]).mask).tolist() == [[1, 2]]
            assert not np.ma.getmaskarray(drawn(found["difference t+2"])).any()
            assert png(figure).startswith(b"\x89PNG")
        nothing = np.full((2, 1, 6, 8), np.nan)
        assert png(clip_strip(nothing, nothing, nothing)).startswith(b"\x89PNG")

    def test_a_perfect_prediction_and_one_wild_point_leave_a_readable_scale(self) -> None:
        inputs, truth, predicted = clip(2, 2, shape=(40, 40))
        perfect = cells(clip_strip(inputs, truth, truth))["difference t+1"].images[0]
        assert (perfect.norm.vmin, perfect.norm.vmax) == (-1.0, 1.0)
        predicted[0, 0, 5, 5] = 30.0
        assert cells(clip_strip(inputs, truth, predicted))["difference t+1"].images[0].norm.vmax == pytest.approx(0.2)
        alone = truth.copy()
        alone[0, 0, 5, 5] += 0.4
        assert cells(clip_strip(inputs, truth, alone))["difference t+1"].images[0].norm.vmax == pytest.approx(0.4)

    def test_no_global_figure_is_made(self) -> None:
        png(clip_strip(*clip(2, 2)))
        if "matplotlib.pyplot" in sys.modules:
            assert sys.modules["matplotlib.pyplot"].get_fignums() == []


class TestAnimation:
    def test_every_frame_is_in_its_place(self) -> None:
        inputs, truth, predicted = clip(3, 4)
        data = clip_animation(inputs, truth, predicted, scale=4, milliseconds=150)
        film = Image.open(io.BytesIO(data))
        assert film.n_frames == 7
        assert film.info["loop"] == 0
        assert film.info["duration"] == 150
        assert film.size == (3 * 8 * 4 + 4 * 6, 6 * 4 + 16 + 4 + 6)
        for k, sheet in enumerate(decoded(data)):
            left, middle, right = (panel(sheet, number, (6, 8), 4) for number in range(3))
            pair = (inputs[k, 0], inputs[k, 0]) if k < 3 else (truth[k - 3, 0], predicted[k - 3, 0])
            for shown, frame in zip((left, middle), pair, strict=True):
                assert np.ptp(shown, axis=-1).max() == 0  # grey
                np.testing.assert_allclose(shown[..., 0], 255 * frame, atol=HALF_A_SHADE)
            if k < 3:
                assert (right == right[0, 0]).all()
                assert right.min() > 240  # white: no difference
            else:
                assert (right[:3] == right[0, 0]).all()  # red, the end of the scale
                assert right[0, 0, 0] > right[0, 0, 2] + 50
                assert (right[3:] == right[5, 0]).all()  # blue, half way
                assert right[5, 0, 2] > right[5, 0, 0] + 50

    def test_frames_follow_each_other_even_if_nothing_moves(self) -> None:
        still = np.full((60, 1, 64, 64), 0.5)
        assert Image.open(io.BytesIO(clip_animation(still[:10], still[10:], still[10:]))).n_frames == 60

    def test_a_bar_grows_in_blue_over_the_inputs_and_in_orange_over_the_forecast(self) -> None:
        sheets = decoded(clip_animation(*clip(2, 3), scale=4))
        lengths = []
        for k, sheet in enumerate(sheets):
            bar = sheet[16 + 24 + 4]
            colour = BLUE if k < 2 else ORANGE
            filled = (bar == colour).all(-1)
            assert filled[6]
            assert not (bar == (ORANGE if k < 2 else BLUE)).all(-1).any()
            lengths.append(int(filled.sum()))
        # 3 panels of 32 and 2 gaps of 6, in five parts
        np.testing.assert_allclose(lengths, 108 * np.arange(1, 6) / 5, atol=1)

    def test_panels_are_labelled_where_there_is_room(self) -> None:
        inputs, truth, predicted = clip(2, 2)
        heads = [(sheet[:15] < 128).all(-1) for sheet in decoded(clip_animation(inputs, truth, predicted, scale=20))]
        for head in heads:
            for number in range(3):
                assert head[:, 6 + number * 166 : 166 + number * 166].any()
        assert not np.array_equal(heads[0], heads[1])  # the time is in it
        assert not any(
            (sheet[:15] < 128).all(-1).any() for sheet in decoded(clip_animation(inputs, truth, predicted, scale=2))
        )

    @pytest.mark.parametrize(("shape", "scale"), [((64, 64), 3), ((32, 32), 6), ((128, 160), 1), ((300, 20), 1)])
    def test_the_scale_makes_panels_of_one_size(self, shape: tuple[int, int], scale: int) -> None:
        film = Image.open(io.BytesIO(clip_animation(*clip(1, 1, shape=shape))))
        assert film.size == (3 * shape[1] * scale + 24, shape[0] * scale + 26)

    def test_three_channels_are_colours(self) -> None:
        inputs, truth, predicted = clip(2, 2, 3, (16, 16))
        truth[0] = np.array([0.9, 0.5, 0.1])[:, None, None]
        sheet = decoded(clip_animation(inputs, truth, predicted, scale=2))[2]
        np.testing.assert_allclose(panel(sheet, 0, (16, 16), 2), np.broadcast_to([230, 128, 26], (16, 16, 3)), atol=3)
        other = panel(decoded(clip_animation(inputs, truth, predicted, scale=2))[3], 1, (16, 16), 2)
        assert np.abs(other.mean((0, 1)) - 255 * predicted[1].mean((1, 2))).max() < 6

    def test_of_other_channels_the_first_is_shown_in_viridis(self) -> None:
        inputs, truth, predicted = clip(2, 2, 2)
        truth[0, 0], truth[0, 1] = 1.0, 0.0
        sheet = decoded(clip_animation(inputs, truth, predicted, scale=2))[2]
        assert (panel(sheet, 0, (6, 8), 2) == (253, 231, 37)).all()
        truth[0, 1] = np.nan  # in a channel that is not drawn
        assert np.array_equal(decoded(clip_animation(inputs, truth, predicted, scale=2))[2], sheet)

    @pytest.mark.parametrize("channels", [1, 2, 3])
    def test_absent_points_have_a_colour_of_their_own(self, channels: int) -> None:
        inputs, truth, predicted = clip(2, 2, channels)
        predicted[1, 0, 1, 2] = np.nan
        sheet = decoded(clip_animation(inputs, truth, predicted, scale=3))[3]
        absent = [np.argwhere((panel(sheet, n, (6, 8), 3) == ABSENT).all(-1)).tolist() for n in range(3)]
        assert absent == [[], [[1, 2]], [[1, 2]]]
        nothing = np.full_like(truth, np.nan)
        assert len(decoded(clip_animation(nothing, nothing, nothing))) == 4

    def test_a_clip_of_moving_digits_is_a_small_file(self, shared: Path) -> None:
        raw = gzip.decompress((shared / "data" / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
        digits = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28) / 255
        frames = np.zeros((20, 1, 64, 64))
        for digit, first, step in ((digits[3], 0, 1), (digits[61], 36, -1)):
            for k in range(20):
                y, x = first + step * k, 36 - 36 * k // 19
                part = frames[k, 0, y : y + 28, x : x + 28]
                np.maximum(part, digit, out=part)
        noise = np.random.default_rng(0).normal(0, 0.01, (10, 1, 64, 64))
        predicted = np.clip(np.mean([np.roll(frames[10:], s, (-2, -1)) for s in (-2, -1, 0, 1, 2)], 0) + noise, 0, 1)
        data = clip_animation(frames[:10], frames[10:], predicted)
        assert Image.open(io.BytesIO(data)).n_frames == 20
        assert len(data) < 150_000


class TestRefusals:
    @pytest.mark.parametrize("draw", [clip_strip, clip_animation])
    def test_arrays_that_do_not_belong_together(self, draw) -> None:
        inputs, truth, predicted = clip(3, 4, 2)
        with pytest.raises(ContractError) as caught:
            draw(inputs[0], truth[:0], predicted)
        assert "Clip:" in str(caught.value)
        assert "inputs: expected (frames, C, H, W) with one frame or more, got (2, 6, 8)" in str(caught.value)
        assert "truth: expected (frames, C, H, W) with one frame or more, got (0, 2, 6, 8)" in str(caught.value)
        with pytest.raises(ContractError) as caught:
            draw(inputs[:, :1], truth, predicted[1:])
        assert "predicted: expected (4, 2, 6, 8) as the truth, got (3, 2, 6, 8)" in str(caught.value)
        assert "truth: expected frames of (1, 6, 8) as the inputs, got (2, 6, 8)" in str(caught.value)

    def test_names_for_other_channels(self) -> None:
        with pytest.raises(ContractError, match="Clip: names: expected 2, one for each channel, got 1"):
            clip_strip(*clip(2, 2, 2), names=["inflow"])

    def test_settings_out_of_range(self) -> None:
        with pytest.raises(ConfigError) as caught:
            clip_animation(*clip(2, 2), milliseconds=5, scale=0)
        assert "milliseconds: expected 20 or more, got 5" in str(caught.value)
        assert "scale: expected 1 or more, got 0" in str(caught.value)
