"""Metrics of video prediction against scikit-image, against plain loops and against numbers worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from simvp.coords.forecast_layout import coordinates, label
from simvp.coords.grid import Grid
from simvp.coords.steps import Step
from simvp.errors import ConfigError, ContractError, Refusal
from simvp.scoring.metrics import (
    VideoScores,
    mae,
    mae_per_frame,
    mse,
    mse_per_frame,
    overall,
    psnr,
    psnr_paper,
    ssim,
    ssim_paper,
    video_scores,
)
from simvp.scoring.scores import summarise
from tests.support.scored import errors
from tests.support.worlds import formula_world

SHAPES = [(3, 2, 1, 64, 64), (2, 3, 3, 16, 24), (1, 1, 2, 11, 13), (2, 1, 4, 40, 11)]
KEYS = ("mse", "mae", "ssim", "ssim_paper", "psnr", "psnr_paper", "mse_per_frame", "mae_per_frame")
HOUR = Step(seconds=3600)


def clips(shape: tuple[int, ...], seed: int = 0, dtype: str = "f4") -> tuple[Tensor, Tensor]:
    """Truth on [0, 1] with flat and with busy parts, and a prediction that leaves the range here and there."""
    rng = np.random.default_rng(seed)
    truth = np.clip(rng.normal(0.3, 0.4, shape), 0, 1)
    truth[..., : shape[-1] // 2] = 0.0
    predicted = truth + rng.normal(0, 0.1, shape)
    assert predicted.min() < 0
    assert predicted.max() > 1
    return torch.from_numpy(predicted.astype(dtype)), torch.from_numpy(truth.astype(dtype))


def constant(offset: float, *frame: int, frames: int = 2) -> tuple[Tensor, Tensor]:
    truth = torch.full((3, frames, *frame), 0.25, dtype=torch.float64)
    return truth + offset, truth


def each_frame(score: Callable[[np.ndarray, np.ndarray], float], predicted: Tensor, truth: Tensor) -> float:
    """Mean over samples and frames of a score of (C, H, W), with the prediction clipped to [0, 1]."""
    pairs = zip(predicted.double().clamp(0, 1).flatten(0, 1), truth.double().flatten(0, 1), strict=True)
    return float(np.mean([score(p.numpy(), t.numpy()) for p, t in pairs]))


def published(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """The overall numbers by scikit-image and numpy, frame by frame, as the public codes go about it."""
    p, t = predicted.double().numpy(), truth.double().numpy()

    def paper(a: np.ndarray, b: np.ndarray) -> float:
        return float(structural_similarity(a, b, channel_axis=0, data_range=2.0))

    def gaussian(a: np.ndarray, b: np.ndarray) -> float:
        maps = [
            structural_similarity(x, y, data_range=1.0, gaussian_weights=True, use_sample_covariance=False, sigma=1.5)
            for x, y in zip(a, b, strict=True)
        ]
        return float(np.mean(maps))

    def wrapped(a: np.ndarray, b: np.ndarray) -> float:
        a, b = (np.uint8(np.float32(255) * x.astype(np.float32)) for x in (a, b))  # whose differences are 8 bits too
        return float(20 * np.log10(255) - 10 * np.log10(np.mean((a - b) ** 2)))

    return {
        "mse": float(mean_squared_error(t, p)),
        "mae": float(np.abs(t - p).mean()),
        "mse_per_frame": float(((t - p) ** 2).mean((0, 1)).sum()),
        "mae_per_frame": float(np.abs(t - p).mean((0, 1)).sum()),
        "ssim": each_frame(gaussian, predicted, truth),
        "ssim_paper": each_frame(paper, predicted, truth),
        "psnr": each_frame(lambda a, b: float(peak_signal_noise_ratio(b, a, data_range=1.0)), predicted, truth),
        "psnr_paper": each_frame(wrapped, predicted, truth),
    }


def streamed(predicted: Tensor, truth: Tensor, data_range: float | tuple[float, float] = 1.0) -> VideoScores:
    scores = VideoScores([f"c{i}" for i in range(truth.shape[2])], truth.shape[1], data_range)
    scores.update(predicted, truth)
    return scores


class TestAgainstScikitImage:
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_every_number(self, shape: tuple[int, ...], dtype: str) -> None:
        predicted, truth = clips(shape, dtype=dtype)
        expected = published(predicted, truth)
        single = {
            "mse": mse(predicted, truth),
            "mae": mae(predicted, truth),
            "mse_per_frame": mse_per_frame(predicted, truth),
            "mae_per_frame": mae_per_frame(predicted, truth),
            "ssim": ssim(predicted, truth, data_range=1.0),
            "ssim_paper": ssim_paper(predicted, truth, data_range=1.0),
            "psnr": psnr(predicted, truth, data_range=1.0),
            "psnr_paper": psnr_paper(predicted, truth, data_range=1.0),
        }
        whole = overall(streamed(predicted, truth).compute())
        assert set(whole) == set(KEYS) == set(expected)
        for name in KEYS:
            assert single[name] == pytest.approx(expected[name], rel=1e-12), name
            assert whole[name] == pytest.approx(expected[name], rel=1e-12), name

    def test_the_two_similarities_are_different_numbers(self) -> None:
        predicted, truth = clips(SHAPES[0])
        ours, theirs = ssim(predicted, truth, data_range=1.0), ssim_paper(predicted, truth, data_range=1.0)
        assert abs(ours - theirs) > 0.01

    def test_the_papers_constants_are_those_of_a_range_of_two(self) -> None:
        def with_range(width: float) -> float:
            return each_frame(
                lambda a, b: float(structural_similarity(a, b, channel_axis=0, data_range=width)), predicted, truth
            )

        predicted, truth = clips(SHAPES[1])
        found = ssim_paper(predicted, truth, data_range=1.0)
        assert found == pytest.approx(with_range(2.0), abs=1e-12)
        assert abs(found - with_range(1.0)) > 0.01


class TestByHand:
    @pytest.mark.parametrize("frame", [(1, 8, 8), (1, 64, 64), (3, 16, 40)])
    def test_a_constant_error_scores_the_same_on_every_grid_and_the_papers_sum_does_not(
        self, frame: tuple[int, int, int]
    ) -> None:
        pair = constant(-0.125, *frame)
        assert mse(*pair) == 0.125**2
        assert mae(*pair) == 0.125
        elements = math.prod(frame)
        assert mse_per_frame(*pair) == 0.125**2 * elements
        assert mae_per_frame(*pair) == 0.125 * elements
        # 10 log10(1 / 0.125^2) = 20 log10(8)
        assert psnr(*pair, data_range=1.0) == pytest.approx(20 * math.log10(8), abs=1e-12)

    def test_one_wrong_point(self) -> None:
        predicted, truth = constant(0.0, 1, 8, 8, frames=1)
        predicted[:, 0, 0, 3, 5] += 0.5
        assert mse(predicted, truth) == 0.25 / 64
        assert mse_per_frame(predicted, truth) == 0.25
        assert mae_per_frame(predicted, truth) == 0.5
        assert psnr(predicted, truth, data_range=1.0) == pytest.approx(10 * math.log10(64 / 0.25), abs=1e-12)
        # In a window without the point both variances are zero and the similarity is 1; the point lies in all of the
        # 2 x 2 windows. There x = 1/4, y = 1/4 + 1/2 at one of 49 points: mean 1/4 + 1/98, sample variance
        # (1/4 / 49 - 1/98^2) 49/48 = 1/196, covariance 0.
        mean, c1, c2 = 0.25 + 1 / 98, 0.02**2, 0.06**2
        expected = (2 * 0.25 * mean + c1) * c2 / ((0.25**2 + mean**2 + c1) * (1 / 196 + c2))
        assert ssim_paper(predicted, truth, data_range=1.0) == pytest.approx(expected, abs=1e-12)
        predicted, truth = constant(0.0, 1, 9, 8, frames=1)
        predicted[:, 0, 0, 0, 0] += 0.5  # only in the first of the 3 x 2 windows
        assert ssim_paper(predicted, truth, data_range=1.0) == pytest.approx((expected + 5) / 6, abs=1e-12)

    def test_a_shift_of_flat_frames_costs_luminance_only(self) -> None:
        pair = constant(0.5, 2, 12, 12)
        # Means 1/4 and 3/4, no variance: (2 x 3/16 + c1) / (1/16 + 9/16 + c1)
        for score, c1 in ((ssim, 0.01**2), (ssim_paper, 0.02**2)):
            assert score(*pair, data_range=1.0) == pytest.approx((3 / 8 + c1) / (5 / 8 + c1), rel=1e-12)

    def test_a_perfect_prediction(self) -> None:
        _, truth = clips(SHAPES[1])
        assert mse(truth, truth) == mae(truth, truth) == 0.0
        assert ssim(truth, truth, data_range=1.0) == pytest.approx(1.0, abs=1e-12)
        assert ssim_paper(truth, truth, data_range=1.0) == pytest.approx(1.0, abs=1e-12)
        assert psnr(truth, truth, data_range=1.0) == math.inf
        whole = streamed(truth, truth).compute()
        assert overall(whole)["psnr"] == math.inf
        assert (whole["psnr"] == math.inf).all()
        assert int(whole["identical_overall"]) == 6

    def test_frames_without_error_are_counted_and_left_out_of_the_average_ratio(self) -> None:
        predicted, truth = constant(0.0, 2, 12, 12)
        predicted[0, 0, 0] += 0.1  # one channel of one frame: mean square of the frame 0.005
        predicted[2, 1] += 0.01  # both channels of another: 0.0001
        assert psnr(predicted, truth, data_range=1.0) == pytest.approx((10 * math.log10(1 / 0.005) + 40) / 2)
        scores = streamed(predicted, truth).compute()
        assert float(scores["psnr_overall"]) == pytest.approx((10 * math.log10(1 / 0.005) + 40) / 2)
        assert int(scores["identical_overall"]) == 4
        np.testing.assert_array_equal(scores["identical"], [[2, 2], [3, 2]])
        np.testing.assert_allclose(scores["psnr"], [[20, 40], [np.inf, 40]])

    def test_the_clip_is_for_pictures_and_not_for_errors(self) -> None:
        truth = torch.ones(1, 1, 1, 12, 12)
        assert mse(truth + 1, truth) == 1.0
        assert psnr(truth + 1, truth, data_range=1.0) == math.inf
        assert ssim(truth + 1, truth, data_range=1.0) == ssim_paper(truth + 1, truth, data_range=1.0) == 1.0
        assert psnr(truth - 2, truth, data_range=1.0) == pytest.approx(0.0)  # -1 is shown as 0

    @pytest.mark.parametrize("limits", [255.0, (-1.0, 1.0), (250.0, 310.0)])
    def test_a_stated_range_gives_the_scores_of_the_frames_on_zero_to_one(
        self, limits: float | tuple[float, float]
    ) -> None:
        predicted, truth = clips(SHAPES[1], dtype="f8")
        low, high = limits if isinstance(limits, tuple) else (0.0, limits)
        stretched = (low + (high - low) * predicted, low + (high - low) * truth)
        for score in (ssim, ssim_paper, psnr):
            there, here = score(*stretched, data_range=limits), score(predicted, truth, data_range=1.0)
            assert there == pytest.approx(here, abs=1e-9)
        scores = streamed(*stretched, limits).compute()
        assert scores.attrs["data_range"] == [low, high]
        assert float(scores["ssim_overall"]) == pytest.approx(ssim(predicted, truth, data_range=1.0), abs=1e-9)
        assert float(scores["mse_overall"]) == pytest.approx(mse(predicted, truth) * (high - low) ** 2)

    def test_whole_numbers_do_not_wrap_around(self) -> None:
        truth = torch.zeros(1, 1, 1, 12, 12, dtype=torch.uint8)
        assert mse(truth + 16, truth) == 256.0  # 16^2 is 0 in 8 bits
        assert mae(truth, truth + 16) == 16.0
        assert psnr(truth + 16, truth, data_range=255) == pytest.approx(20 * math.log10(255 / 16))

    def test_the_paper_s_ratio_wraps_around_in_8_bits(self) -> None:
        truth = torch.zeros(1, 1, 2, 12, 12)
        for levels, counted in ((10, 100), (25, 625 - 2 * 256), (20, 400 - 256), (255, 65025 % 256)):
            predicted = truth + levels / 255
            assert psnr(predicted, truth, data_range=1.0) == pytest.approx(20 * math.log10(255 / levels), abs=1e-5)
            expected = 20 * math.log10(255) - 10 * math.log10(counted)
            assert psnr_paper(predicted, truth, data_range=1.0) == pytest.approx(expected, abs=1e-9)
        scores = streamed(truth + 16 / 255, truth).compute()  # 256 is 0
        assert float(scores["psnr_overall"]) == pytest.approx(20 * math.log10(255 / 16), abs=1e-5)
        assert float(scores["psnr_paper_overall"]) == math.inf
        assert (int(scores["identical_overall"]), int(scores["identical_paper_overall"])) == (0, 1)

    def test_half_precision_is_widened_before_the_arithmetic(self) -> None:
        truth = torch.full((1, 1, 1, 64, 64), 0.5, dtype=torch.bfloat16)
        predicted = truth + torch.tensor(1 / 256, dtype=torch.bfloat16)
        assert mse_per_frame(predicted, truth) == 4096 / 256**2


class TestStreaming:
    def test_by_channel_and_lead_equals_the_functions_on_that_part(self) -> None:
        predicted, truth = clips((4, 3, 2, 16, 17))
        scores = streamed(predicted, truth).compute()
        assert dict(scores.sizes) == {"variable": 2, "lead": 3}
        np.testing.assert_array_equal(scores["variable"], ["c0", "c1"])
        np.testing.assert_array_equal(scores["lead"], [1, 2, 3])
        assert int(scores["n"]) == 4
        for c in range(2):
            for k in range(3):
                part = (x[:, k : k + 1, c : c + 1] for x in (predicted, truth))
                p, t = part
                got = scores.isel(variable=c, lead=k)
                assert float(got["mse"]) == pytest.approx(mse(p, t), rel=1e-12)
                assert float(got["rmse"]) == pytest.approx(math.sqrt(mse(p, t)), rel=1e-12)
                assert float(got["mae"]) == pytest.approx(mae(p, t), rel=1e-12)
                for name, score in (("ssim", ssim), ("ssim_paper", ssim_paper), ("psnr", psnr)):
                    assert float(got[name]) == pytest.approx(score(p, t, data_range=1.0), rel=1e-12)

    def test_neither_order_nor_batch_size_matters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        predicted, truth = clips((13, 2, 2, 12, 15))
        whole = streamed(predicted, truth).compute()
        monkeypatch.setattr("simvp.scoring.map_scores.fitting", lambda item, share: 5)
        order = torch.from_numpy(np.random.default_rng(1).permutation(13))
        parts = VideoScores(["c0", "c1"], 2, 1.0)
        for chosen in order.split([1, 5, 0, 4, 3]):
            if len(chosen):
                parts.update(predicted[chosen], truth[chosen])
        again = parts.compute()
        xr.testing.assert_allclose(again, whole, rtol=1e-12, atol=0)
        assert again.attrs == whole.attrs
        assert int(again["n"]) == 13

    def test_what_is_kept_does_not_grow(self) -> None:
        scores = streamed(*clips((2, 2, 1, 12, 12)))
        before = [v.shape for v in scores._sums.values()]
        scores.update(*clips((7, 2, 1, 12, 12)))
        assert [v.shape for v in scores._sums.values()] == before == [(2, 2)] * 9

    def test_scores_so_far_can_be_looked_at(self) -> None:
        predicted, truth = clips((4, 2, 1, 12, 12))
        scores = streamed(predicted[:1], truth[:1])
        first = scores.compute()
        assert float(first["mse_overall"]) == pytest.approx(mse(predicted[:1], truth[:1]))
        scores.update(predicted[1:], truth[1:])
        assert float(scores.compute()["mse_overall"]) == pytest.approx(mse(predicted, truth))
        assert int(first["n"]) == 1

    def test_a_prediction_of_nan_is_not_dropped(self) -> None:
        predicted, truth = clips((4, 2, 2, 16, 16))
        predicted[2, 1, 0, 8, 8] = torch.nan
        scores = streamed(predicted, truth).compute()
        for name in ("mse", "mae", "rmse", "ssim", "ssim_paper", "psnr", "psnr_paper"):
            np.testing.assert_array_equal(scores[name].isnull(), [[False, True], [False, False]])
        assert all(math.isnan(value) for value in overall(scores).values())
        assert math.isnan(psnr(predicted, truth, data_range=1.0))
        assert int(scores["n"]) == 4

    def test_small_frames_have_no_similarity_and_the_scores_say_why(self) -> None:
        ds = streamed(*clips((3, 2, 1, 10, 40))).compute()
        assert ds["ssim"].isnull().all()
        assert ds["ssim_paper"].notnull().all()
        assert ds["ssim_overall"].attrs["undefined"] == "frames of 10 x 40 are smaller than its window of 11"
        assert "undefined" not in ds["ssim_paper"].attrs
        tiny = streamed(*clips((3, 2, 1, 40, 6))).compute()
        assert tiny["ssim_paper"].attrs["undefined"] == "frames of 40 x 6 are smaller than its window of 7"
        found = overall(tiny)
        assert math.isnan(found["ssim"])
        assert math.isnan(found["ssim_paper"])
        assert math.isfinite(found["psnr"])
        assert math.isnan(ssim(*clips((3, 2, 1, 10, 40)), data_range=1.0))
        just = streamed(*clips((3, 2, 1, 11, 11))).compute()["ssim"]
        assert just.notnull().all()
        assert "undefined" not in just.attrs

    def test_every_score_says_what_it_is(self) -> None:
        ds = streamed(*clips((1, 2, 1, 12, 12))).compute()
        assert all(values.attrs.get("definition") for name, values in ds.data_vars.items() if name != "n")
        assert "7 x 7" in ds["ssim_paper_overall"].attrs["definition"]
        assert "Gaussian" in ds["ssim"].attrs["definition"]
        assert "papers' MSE" in ds["mse_per_frame"].attrs["definition"]


class TestRefusals:
    def test_no_samples(self) -> None:
        with pytest.raises(ContractError, match="Video scores: expected one or more samples, got none"):
            VideoScores(["grey"], 10, 1.0).compute()
        nothing = torch.zeros(0, 2, 1, 12, 12)
        with pytest.raises(ContractError, match=r"expected one or more samples, got \(0, 2, 1, 12, 12\)"):
            mse(nothing, nothing)

    def test_other_shapes(self) -> None:
        truth = torch.zeros(2, 3, 1, 12, 12)
        with pytest.raises(ContractError, match=r"of one shape \(B, T', C, H, W\), got \(2, 3, 12, 12\) and \(2, 3, 1"):
            mae(truth[:, :, 0], truth)
        with pytest.raises(ContractError, match=r"got \(3, 1, 12, 12\) and \(3, 1, 12, 12\)"):
            psnr(truth[0], truth[0], data_range=1.0)
        scores = VideoScores(["grey"], 2, 1.0)
        with pytest.raises(ContractError, match="expected 2 frames of 1 channels, got 3 of 1"):
            scores.update(truth, truth)
        scores.update(truth[:, :2], truth[:, :2])
        with pytest.raises(ContractError, match=r"expected frames of \(12, 12\) as before, got \(12, 11\)"):
            scores.update(truth[:, :2, ..., :11], truth[:, :2, ..., :11])
        assert int(scores.compute()["n"]) == 2

    def test_kelvin_against_a_range_of_one(self) -> None:
        kelvin = torch.full((1, 1, 1, 12, 12), 288.0)
        text = r"truth: expected values in the data range 0 \.\. 1, got 144 of 144 far outside, from 288 to 288"
        with pytest.raises(ContractError, match=text):
            VideoScores(["t2m"], 1, 1.0).update(kelvin, kelvin)
        VideoScores(["t2m"], 1, (250.0, 310.0)).update(kelvin, kelvin)

    @pytest.mark.parametrize("value", [-0.6, 1.6, -1.0])  # frames on [-1, 1] too
    def test_a_truth_that_is_half_a_range_outside(self, value: float) -> None:
        truth = torch.zeros(1, 1, 1, 12, 12)
        truth[..., 3, 4] = value
        with pytest.raises(ContractError, match=f"got 1 of 144 far outside, from {value:g} to {value:g}"):
            VideoScores(["inflow"], 1, 1.0).update(truth, truth)

    def test_a_record_beyond_the_range_is_scored(self) -> None:
        truth = torch.full((1, 1, 1, 12, 12), 1.4)
        scores = streamed(truth - 0.9, truth).compute()
        # The truth is not clipped: 1.4 - 0.5.
        assert float(scores["psnr_overall"]) == pytest.approx(-20 * math.log10(0.9), rel=1e-6)

    @pytest.mark.parametrize("wrong", [0.0, -1.0, (1.0, 1.0), (2.0, 1.0), float("nan"), float("inf")])
    def test_a_range_that_is_none(self, wrong: float | tuple[float, float]) -> None:
        truth = torch.zeros(1, 1, 1, 12, 12)
        with pytest.raises(ConfigError, match=r"Data range: expected R > 0 for values in \[0, R\], or \(low, high\)"):
            ssim(truth, truth, data_range=wrong)
        with pytest.raises(ConfigError, match="Data range"):
            VideoScores(["grey"], 1, wrong)

    def test_channels_that_cannot_be_told_apart(self) -> None:
        with pytest.raises(ConfigError) as caught:
            VideoScores(["red", "red"], 0, 1.0)
        assert "names: expected distinct ones, got red, red" in str(caught.value)
        assert "frames_out: expected 1 or more, got 0" in str(caught.value)
        with pytest.raises(ConfigError, match="names: expected one or more channels, got none"):
            VideoScores([], 1, 1.0)


def labelled(truth: xr.Dataset, noise: float, *, first: int = 3, inits: int = 4, leads: int = 5) -> xr.Dataset:
    """Forecast of the world with noise upon it; lead k of init i is frame first + i + 1 + k."""
    rows = first + np.arange(inits)[:, None] + 1 + np.arange(leads)
    rng = np.random.default_rng(2)
    return label(
        {str(n): truth[n].values[rows] + noise * rng.normal(size=(*rows.shape, 12, 14)) for n in truth.data_vars},
        coordinates(truth["time"].values[first : first + inits], leads, step=HOUR, grid=Grid.of(truth)),
        grid=Grid.of(truth),
        variable_attrs={str(n): truth[n].attrs for n in truth.data_vars},
    )


RANGES = {"t2m": (260.0, 300.0), "d2m": (265.0, 315.0)}


class TestLabelled:
    @pytest.fixture
    def truth(self) -> xr.Dataset:
        return formula_world(frames=24, shape=(12, 14)).astype("f8")

    def test_equals_the_functions_on_what_was_observed(self, truth: xr.Dataset) -> None:
        forecast = labelled(truth, 1.5)
        found = video_scores(forecast, truth, data_range=RANGES)
        assert dict(found.sizes) == {"variable": 2, "lead_time": 5}
        np.testing.assert_array_equal(found["lead_time"], forecast["lead_time"])
        np.testing.assert_array_equal(found["units"], ["K", "K"])
        np.testing.assert_array_equal(found["data_low"], [260, 265])
        np.testing.assert_array_equal(found["data_high"], [300, 315])
        assert (found["n"] == 4).all()
        for name, limits in RANGES.items():
            for k in range(5):
                p = torch.from_numpy(forecast[name].values[:, k])[:, None, None]
                t = torch.from_numpy(truth[name].values[4 + k : 8 + k])[:, None, None]
                got = found.sel(variable=name).isel(lead_time=k)
                assert float(got["mse"]) == pytest.approx(mse(p, t), rel=1e-12)
                assert float(got["mae"]) == pytest.approx(mae(p, t), rel=1e-12)
                for kind, score in (("ssim", ssim), ("ssim_paper", ssim_paper), ("psnr", psnr)):
                    assert float(got[kind]) == pytest.approx(score(p, t, data_range=limits), rel=1e-12)
        assert found["ssim_paper"].attrs["definition"]

    def test_truth_is_aligned_and_no_point_weighs_more_than_another(self, truth: xr.Dataset) -> None:
        forecast = labelled(truth, 1.5)
        forecast["t2m"][:, :, 0] += 20.0  # the northernmost row, whose area is the least
        order = np.random.default_rng(1).permutation(24)
        turned = truth.isel(time=order, latitude=slice(None, None, -1)).transpose("longitude", "time", "latitude")
        found = video_scores(forecast.transpose("longitude", ...), turned.chunk(time=5), data_range=400.0)
        xr.testing.assert_allclose(found, video_scores(forecast, truth, data_range=400.0), rtol=1e-12)
        flat = summarise(errors(forecast, truth, weights=np.ones((12, 14))))
        np.testing.assert_allclose(found["rmse"], flat["rmse"], rtol=1e-12)
        assert (np.abs(summarise(errors(forecast, truth))["rmse"] - flat["rmse"]).sel(variable="t2m") > 0.01).all()

    def test_blocks_of_init_times_do_not_show(self, truth: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        forecast = labelled(truth, 1.5, inits=9)
        whole = video_scores(forecast, truth, data_range=RANGES)
        monkeypatch.setattr("simvp.scoring.metrics.fitting", lambda item, share: 2)
        xr.testing.assert_allclose(video_scores(forecast, truth, data_range=RANGES), whole, rtol=1e-12)

    def test_maps_with_missing_truth_are_left_out_and_counted(self, truth: xr.Dataset) -> None:
        forecast = labelled(truth, 1.5)
        gappy = truth.drop_isel(time=[6])
        gappy["t2m"][7, 3, 3] = np.nan  # frame 8, at one point
        found = video_scores(forecast, gappy, data_range=RANGES)
        needed = 4 + np.arange(4)[:, None] + np.arange(5)
        used = {"t2m": ~np.isin(needed, [6, 8]), "d2m": needed != 6}
        for name, kept in used.items():
            np.testing.assert_array_equal(found["n"].sel(variable=name), kept.sum(0))
            difference = forecast[name].values - truth[name].values[needed]
            expected = [np.mean(difference[kept[:, k], k] ** 2) for k in range(5)]
            np.testing.assert_allclose(found["mse"].sel(variable=name), expected, rtol=1e-12)

    def test_a_variable_that_was_never_observed_has_no_score(self, truth: xr.Dataset) -> None:
        truth["d2m"][:, 0, 0] = np.nan
        found = video_scores(labelled(truth.fillna(280.0), 1.5), truth, data_range=RANGES)
        np.testing.assert_array_equal(found["n"].sel(variable="d2m"), 0)
        for kind in ("mse", "mae", "rmse", "ssim", "ssim_paper", "psnr", "psnr_paper"):
            assert found[kind].sel(variable="d2m").isnull().all()
            assert found[kind].sel(variable="t2m").notnull().all()

    def test_a_forecast_of_nan_is_not_dropped(self, truth: xr.Dataset) -> None:
        forecast = labelled(truth, 1.5)
        forecast["t2m"][1, 2, 5, 5] = np.nan
        found = video_scores(forecast, truth, data_range=RANGES)
        np.testing.assert_array_equal(found["psnr"].sel(variable="t2m").isnull(), np.arange(5) == 2)
        assert (found["n"] == 4).all()

    def test_partial_grids_are_refused_as_in_the_other_scores(self, truth: xr.Dataset) -> None:
        with pytest.raises(Refusal, match="expected 12 latitude x 14 longitude, got 11 latitude x 14 longitude"):
            video_scores(labelled(truth, 1.5), truth.isel(latitude=slice(1, None)), data_range=RANGES)

    def test_every_variable_needs_a_range_that_holds_it(self, truth: xr.Dataset) -> None:
        forecast = labelled(truth, 1.5)
        with pytest.raises(ConfigError, match="Data range: expected one for d2m, got t2m"):
            video_scores(forecast, truth, data_range={"t2m": (260.0, 300.0)})
        with pytest.raises(ContractError, match=r"t2m: expected values in the data range 0 \.\. 1, got \d+ of"):
            video_scores(forecast, truth, data_range=1.0)
