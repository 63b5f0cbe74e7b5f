"""The gate: what it lets through, what it holds back, and how often chance alone would get through."""

import json

import numpy as np
import pytest
import xarray as xr

from pipelines.evaluation.bootstrap import cut_blocks, lower_bound, missing_steps
from pipelines.evaluation.gate import Gate, _csi_losses, decide
from simvp.coords.steps import Step
from simvp.errors import ConfigError
from simvp.scoring.baselines import NAMES
from simvp.scoring.events import SUMS

HOUR = Step.parse("1h")
LEADS = 3
# T + T' = 8 + 3, so a block has 12 steps and five blocks 60 init times.
SIZES = {"step": HOUR, "frames_in": 8, "frames_out": LEADS}
START = np.datetime64("2020-01-01", "ns")


def errors(model: np.ndarray, baselines: np.ndarray | float = 9.0, hours: np.ndarray | None = None) -> xr.Dataset:
    """Errors of "t2m": squared errors (I, L) of the model, and one value or (I, L) for all baselines."""
    model = np.asarray(model, dtype=np.float64)
    hours = np.arange(len(model)) if hours is None else hours
    stacked = [model, *(np.broadcast_to(baselines, model.shape) for _ in NAMES)]
    return xr.Dataset(
        {"squared_error": (("system", "variable", "init_time", "lead_time"), np.stack(stacked)[:, None])},
        coords={
            "system": ["model", *NAMES],
            "variable": ["t2m"],
            "init_time": START + hours * np.timedelta64(1, "h"),
            "lead_time": np.arange(1, LEADS + 1) * np.timedelta64(3_600_000_000_000, "ns"),
        },
    )


def noisy(mean: float, n: int = 60, spread: float = 0.5, seed: int = 0) -> np.ndarray:
    return mean + spread * np.random.default_rng(seed).standard_normal((n, LEADS))


def autoregressive(rng: np.random.Generator, rows: int, n: int, phi: float) -> np.ndarray:
    """(rows, n) stationary AR(1) series of variance one."""
    out = np.empty((rows, n))
    out[:, 0] = rng.standard_normal(rows)
    for i in range(1, n):
        out[:, i] = phi * out[:, i - 1] + np.sqrt(1 - phi**2) * rng.standard_normal(rows)
    return out


def test_by_crps_members_stand_beside_the_errors_of_single_forecasts() -> None:
    # Squared errors say that the model is worse; its members have a CRPS of 1.5 beside absolute errors of 2.
    found = errors(noisy(16.0))
    found["absolute_error"] = xr.full_like(found["squared_error"], 2.0)
    crps = np.random.default_rng(1).normal(1.5, 0.1, (1, 60, LEADS))
    with_members = found.assign(crps=(("variable", "init_time", "lead_time"), crps))
    assert decide(with_members, **SIZES).outcome == "refuse"
    verdict = decide(with_members, gate=Gate(score="crps"), **SIZES)
    assert verdict.outcome == "promote"
    assert verdict.comparisons[0].improvement == pytest.approx(25, abs=1)
    assert "CRPS 25." in verdict.reasons[0] or "CRPS 24." in verdict.reasons[0]
    assert "| CRPS | its CRPS |" in verdict.table()
    # A champion with members as good is no worse; one that has none is.
    rival = with_members.sel(system=["model"])
    assert decide(with_members, rival, gate=Gate(score="crps"), **SIZES).outcome == "refuse"
    assert decide(with_members, rival.drop_vars("crps"), gate=Gate(score="crps"), **SIZES).outcome == "promote"
    with pytest.raises(ConfigError, match="score: expected a challenger with members for crps"):
        decide(found, gate=Gate(score="crps"), **SIZES)


def reached(hits: dict[str, np.ndarray | float], wet: np.ndarray, contenders: tuple[str, ...] = ()) -> xr.DataArray:
    """`event_sums` of one point a square: hits of each contender among `wet` (I, L) points of 100, no false alarms."""
    values = [np.broadcast_to(hits.get(name, 0.3), wet.shape) * wet for name in contenders]
    sums = [np.stack([wet - one, one, wet, np.full(wet.shape, 100.0)], -1) for one in values]
    both = np.stack([np.stack(sums), np.stack(sums)], 1)[:, None, :, :, :, None]
    both[:, :, 1] = np.nan
    return xr.DataArray(
        np.nan_to_num(both).transpose(3, 4, 0, 1, 2, 5, 6),
        dims=("init_time", "lead_time", "contender", "thresholded", "rank_of_threshold", "scale", "sum"),
        coords={
            "contender": list(contenders),
            "thresholded": ["t2m"],
            "threshold": (("thresholded", "rank_of_threshold"), [[0.5, 2.0]]),
            "scale": [1],
            "sum": list(SUMS),
        },
    )


def test_by_csi_the_sharp_forecast_is_judged_at_a_threshold() -> None:
    # Squared errors say that the model is worse; its sharp forecast hits half of what is wet, baselines 0.3 of it.
    found = errors(noisy(16.0))
    random = np.random.default_rng(0)
    wet = random.integers(10, 40, (60, LEADS)).astype(float)
    half = {"sharp": np.round(wet / 2 + random.normal(0, 1, wet.shape)) / wet, "model": 0.0}
    names = ("model", "sharp", *NAMES)
    found["events"] = reached(half, wet, names)
    verdict = decide(found, gate=Gate(score="csi"), **SIZES)
    assert verdict.outcome == "promote"
    csi = float((half["sharp"] * wet).sum(0).mean() / wet.sum(0).mean())
    index = float(np.mean((half["sharp"] * wet).sum(0) / wet.sum(0)))
    assert csi == pytest.approx(index, abs=0.02)
    first = verdict.comparisons[0]
    assert first.rmse == pytest.approx(1 - index)
    assert first.reference_rmse == pytest.approx(0.7)
    assert first.improvement == pytest.approx(100 * (1 - (1 - index) / 0.7))
    assert "t2m against persistence: 1 - CSI 2" in verdict.reasons[0]
    assert "| 1 - CSI | its 1 - CSI |" in verdict.table()
    assert json.loads(json.dumps(verdict.to_json()))["score"] == "1 - CSI"
    # A champion as good is not beaten; where nothing moves, the forecast itself is what is judged.
    bare = found.drop_vars(["events", "contender"])
    rival = bare.sel(system=["model"]).assign(events=reached({"champion": half["sharp"]}, wet, ("champion",)))
    assert decide(found, rival, gate=Gate(score="csi"), **SIZES).outcome == "refuse"
    smooth = bare.assign(events=found["events"].drop_sel(contender="sharp"))
    assert decide(smooth, gate=Gate(score="csi"), **SIZES).outcome == "refuse"
    # At the other threshold nothing was ever wet: there is no index, and nothing to judge by.
    assert decide(found, gate=Gate(score="csi", threshold=2.0), **SIZES).outcome == "insufficient"


def test_csi_without_thresholds_or_at_another_one_is_refused() -> None:
    found = errors(noisy(16.0))
    with pytest.raises(ConfigError, match=r"expected thresholds of t2m for csi, got none: state them as \[scores\]"):
        decide(found, gate=Gate(score="csi"), **SIZES)
    found["events"] = reached({}, np.full((60, LEADS), 10.0), ("model", *NAMES))
    with pytest.raises(ConfigError, match=r"threshold: expected one of t2m's 0.5, 2, got 1"):
        decide(found, gate=Gate(score="csi", threshold=1.0), **SIZES)


def test_deviations_of_the_index_are_those_of_the_ratio() -> None:
    """The standard error by the linearised values is that of leaving one init time out, to a few percent."""
    random = np.random.default_rng(0)
    wet = random.integers(10, 40, (200, 1)).astype(float)
    hits = np.round(wet * random.uniform(0.3, 0.7, wet.shape))
    losses = _csi_losses(reached({"model": hits / wet}, wet, ("model",))[..., 0, :, :, :], None).values.ravel()
    assert losses.mean() == pytest.approx(1 - hits.sum() / wet.sum())
    without = 1 - (hits.sum() - hits.ravel()) / (wet.sum() - wet.ravel())
    jackknife = np.sqrt(199 / 200 * ((without - without.mean()) ** 2).sum())
    assert losses.std() / np.sqrt(200) == pytest.approx(jackknife, rel=0.03)


def test_a_better_model_is_promoted_and_the_verdict_explains_itself() -> None:
    verdict = decide(errors(noisy(4.0)), **SIZES)
    assert verdict.outcome == "promote"
    assert [c.reference for c in verdict.comparisons] == list(NAMES)
    first = verdict.comparisons[0]
    # RMSE 2 against 3: a third less.
    assert first.improvement == pytest.approx(100 / 3, abs=2)
    assert 0 < first.bound < first.improvement
    assert (first.n, first.blocks, verdict.needed_blocks, verdict.block_steps) == (60, 5, 5, 12)
    assert verdict.summary.startswith("Promote: better than every reference.")
    assert "t2m against persistence: RMSE 3" in verdict.summary
    assert "60 init times in 5 blocks" in verdict.summary
    assert verdict.table().count("\n") == 1 + len(NAMES)
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["outcome"] == "promote"


def test_the_champion_is_one_more_reference_paired_by_init_time() -> None:
    # Both suffer from the same weather, which is far larger than what parts them; pairing takes it out.
    weather = np.repeat(np.random.default_rng(1).uniform(1, 50, (60, 1)), LEADS, axis=1)
    challenger = errors(weather, baselines=weather + 20)
    champion = errors(weather + noisy(0.5, spread=0.1), baselines=weather + 20)
    verdict = decide(challenger, champion, **SIZES)
    assert verdict.outcome == "promote"
    assert verdict.comparisons[-1].reference == "champion"
    shuffled = champion.copy()
    shuffled["squared_error"] = champion["squared_error"][:, :, ::-1].variable
    assert decide(challenger, shuffled, **SIZES).outcome == "refuse"


def test_one_lost_comparison_is_enough_to_refuse_and_is_named() -> None:
    challenger = errors(noisy(4.0))
    champion = errors(noisy(4.0, seed=5))
    verdict = decide(challenger, champion, **SIZES)
    assert verdict.outcome == "refuse"
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith("t2m against champion: RMSE ")
    assert verdict.reasons[0].endswith("the bound is not above zero")


def test_every_variable_has_to_be_better() -> None:
    good, bad = errors(noisy(4.0)), errors(noisy(9.0)).assign_coords(variable=["rain"])
    verdict = decide(xr.concat([good, bad], "variable"), **SIZES)
    assert verdict.outcome == "refuse"
    assert {c.variable for c in verdict.comparisons if not c.passed} == {"rain"}
    assert all(reason.startswith("rain against") for reason in verdict.reasons)


def test_a_single_lead_that_is_much_worse_is_refused() -> None:
    # Lead 2: squared error 12 against 9, RMSE sqrt(4/3) - 1 = 15.5 % higher. All leads together: 6.67 against 9.
    model = np.tile([4.0, 12.0, 4.0], (60, 1))
    verdict = decide(errors(model), **SIZES)
    assert verdict.outcome == "refuse"
    assert verdict.comparisons[0].bound > 0
    assert (verdict.comparisons[0].lead, verdict.comparisons[0].lead_change) == (2, pytest.approx(15.47, abs=0.01))
    assert "at lead 2 it is 15.5 % worse, allowed are 5 %" in verdict.summary
    assert decide(errors(model), gate=Gate(margin=0.2), **SIZES).outcome == "promote"


def test_too_few_blocks_are_insufficient_however_good_the_model_looks() -> None:
    verdict = decide(errors(np.full((59, LEADS), 1e-6)), **SIZES)
    assert verdict.outcome == "insufficient"
    assert (verdict.n, verdict.blocks, verdict.needed_init_times) == (59, 4, 60)
    assert verdict.reasons == (
        "t2m against persistence: 59 init times form 4 blocks of 12 steps (longer than T + T'), 5 are needed: "
        "60 consecutive init times",
        # The last of 59 init times is on day 3, 10 h; of one more the last of three targets is at 14 h. From the first
        # target on (day 1, 1 h) that are 62 hours.
        "enough would be 0.1 days more of held-out data: targets up to 2020-01-03T14:00:00, 2.6 days in all",
    )
    assert (verdict.shortfall.steps, verdict.shortfall.until) == (1, "2020-01-03T14:00:00")
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["shortfall"]["more"] == "0.1 days"
    enough = decide(errors(np.full((60, LEADS), 1e-6)), **SIZES)
    assert (enough.outcome, enough.shortfall) == ("promote", None)


def test_what_would_be_enough_counts_every_comparison_and_the_archive() -> None:
    challenger = errors(noisy(4.0, n=59))
    # Damped anomaly has a score from the 21st init time on: two blocks short, and 21 of 60 init times.
    challenger["squared_error"][5, 0, :20] = np.nan
    verdict = decide(challenger, archive=200, **SIZES)
    assert verdict.reasons[0].startswith("t2m against damped anomaly: 39 init times form 3 blocks")
    # 59 + 20 init times after the first, and the three targets of the last one: 82 frames, which 3.5 days hold.
    assert verdict.shortfall.steps == 21
    assert verdict.reasons[1].endswith(
        "0.9 days more of held-out data: targets up to 2020-01-04T10:00:00, 3.5 days in all"
    )
    assert verdict.reasons[2].startswith("the archive spans 8.4 days, and so much is held out by itself only of ")
    assert verdict.reasons[2].endswith(" more, or train with periods.held_out_days=3.5")
    assert verdict.summary.count("\n") == 3


def test_the_steps_that_are_missing_are_the_fewest_that_do() -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        length, span = int(rng.integers(2, 13)), int(rng.integers(1, 80))
        index = np.flatnonzero(rng.random(span) < rng.uniform(0.3, 1)) + int(rng.integers(0, 5))
        last = int(index[-1] if len(index) else 0) + int(rng.integers(0, 3))
        steps = missing_steps(index, last, length, 5)
        blocks = [cut_blocks(np.append(index, last + 1 + np.arange(n)), length, 5)[0] for n in range(steps + 1)]
        assert blocks[-1] >= 5
        assert all(found < 5 for found in blocks[:-1])
    assert missing_steps(np.arange(30), 29, 12, 5) == 30
    assert missing_steps(np.arange(60), 59, 12, 5) == 0
    assert missing_steps(np.array([], np.int64), 10, 12, 5) == 60
    # The first of five blocks of 12 lacks more than half of its init times, and joins the next: a sixth is needed.
    assert missing_steps(np.append([0], np.arange(12, 60)), 59, 12, 5) == 12


def test_blocks_are_cut_along_time_not_along_the_list() -> None:
    # 60 init times in five days, but all of them within 12 h of either of two moments: two blocks.
    hours = np.concatenate([np.arange(12), 100 + np.arange(12)])
    verdict = decide(errors(noisy(1.0, n=24), hours=hours), **SIZES)
    assert (verdict.outcome, verdict.blocks) == ("insufficient", 2)
    # One init time every three hours over sixty hours: few init times, yet five blocks.
    hours = np.arange(0, 60, 3)
    sparse = decide(errors(noisy(1.0, n=20), hours=np.append(hours[:-1], 59)), **SIZES)
    assert (sparse.outcome, sparse.blocks, sparse.n) == ("promote", 5, 20)


def test_init_times_that_lack_a_score_are_left_out_on_both_sides() -> None:
    challenger = errors(noisy(4.0, n=72))
    challenger["squared_error"][1, 0, :5, 0] = np.nan  # persistence has no score there
    challenger["squared_error"][0, 0, 70, 2] = np.nan  # nor has the model
    verdict = decide(challenger, **SIZES)
    assert {c.reference: c.n for c in verdict.comparisons} == {
        name: 66 if name == "persistence" else 71 for name in NAMES
    }
    empty = challenger.copy()
    empty["squared_error"] = empty["squared_error"] * np.nan
    nothing = decide(empty, **SIZES)
    assert nothing.outcome == "insufficient"
    assert "t2m against persistence: no init time has a score" in nothing.comparisons[0].reason
    json.dumps(nothing.to_json(), allow_nan=False)


def with_part(scores: xr.Dataset, name: str, value: np.ndarray | float) -> xr.Dataset:
    part = scores.isel(system=[0]).assign_coords(system=[name])
    return xr.concat([scores, part.assign(squared_error=xr.zeros_like(part["squared_error"]) + value)], "system")


def test_parts_of_the_model_are_reported_and_not_judged_by() -> None:
    plain = errors(noisy(4.0))
    # The base is perfect, which no model could beat; the unmixed model has no score for ten init times.
    scores = with_part(plain, "base", 0.0)
    lacking = np.full((1, 1, 60, LEADS), 6.25)
    lacking[0, 0, :10, 1] = np.nan
    scores = with_part(scores, "unmixed", lacking)
    scores = with_part(scores, "champion_base", np.nan)
    verdict, alone = decide(scores, **SIZES), decide(plain, **SIZES)
    assert (verdict.outcome, verdict.comparisons, verdict.n) == ("promote", alone.comparisons, 60)
    assert alone.beside == ()
    assert [(part.system, part.n, part.rmse) for part in verdict.beside] == [("base", 60, 0.0), ("unmixed", 50, 2.5)]
    own = plain["squared_error"][0, 0, 10:].mean().item() ** 0.5
    assert verdict.beside[1].model_rmse == pytest.approx(own, rel=1e-12)
    assert f"  beside it: t2m, without the mixture: RMSE 2.5, the model's {own:.4g} (50 init times)" in verdict.summary
    assert "  beside it: t2m, the base forecast alone: RMSE 0, the model's" in verdict.summary
    assert verdict.summary.startswith(alone.summary)
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["beside"][1]["rmse"] == 2.5


def test_a_further_baseline_is_one_more_reference() -> None:
    verdict = decide(with_part(errors(noisy(4.0)), "extrapolation", 1.0), **SIZES)
    assert verdict.outcome == "refuse"
    assert [c.reference for c in verdict.comparisons if not c.passed] == ["extrapolation"]


def test_the_same_errors_give_the_same_verdict() -> None:
    assert decide(errors(noisy(8.8)), **SIZES) == decide(errors(noisy(8.8)), **SIZES)


def test_scores_of_other_init_times_are_refused_all_reasons_at_once() -> None:
    champion = errors(noisy(4.0, n=70)).isel(lead_time=[0, 1])
    other = champion.assign_coords(variable=["rain"])
    with pytest.raises(ConfigError) as refusal:
        decide(errors(noisy(4.0)), other, **SIZES)
    text = str(refusal.value)
    assert "the champion forecasts rain, which the challenger does not" in text
    assert "init_time: the challenger has 60 values, the champion 70" in text
    assert "lead_time: the challenger has 3 values, the champion 2" in text
    with pytest.raises(ConfigError, match=r"missing: persistence, seasonal_persistence"):
        decide(errors(noisy(4.0)).isel(system=[0]), **SIZES)
    with pytest.raises(ConfigError, match="no init time was scored"):
        decide(errors(noisy(4.0)).isel(init_time=[]), **SIZES)


def test_fewer_than_five_blocks_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"Gate: blocks: .*greater than or equal to 5"):
        Gate(blocks=4)
    with pytest.raises(ConfigError, match=r"block: no setting of that name \(did you mean 'blocks'\?\), got 5"):
        Gate(block=5)  # type: ignore[call-arg]


def test_the_bound_is_at_most_students_by_hand() -> None:
    # Block means 1, 2, 3, 4, 5: mean 3, standard error sqrt(2.5 / 5) = 0.7071, t(4) at 90 % = 1.5332.
    gains = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 7)
    blocks = np.repeat(np.arange(5), 7)
    bound = lower_bound(gains, blocks, confidence=0.9)
    assert bound <= 3 - 1.5332 * 0.70711 + 1e-4
    assert bound > 3 - 2 * 1.5332 * 0.70711
    # Four blocks alike and one a little worse: the difference is small beside the gain, and so is the doubt.
    alike = lower_bound(np.repeat([8.1, 8.1, 8.1, 8.1, 8.0], 7), blocks, confidence=0.9)
    assert 7.9 < alike < 8.08
    # The gain of four blocks is none in the fifth: the bound is far below the mean, 0.8, but there is one.
    assert 0 <= lower_bound(np.repeat([1.0, 1.0, 1.0, 1.0, 0.0], 7), blocks, confidence=0.9) < 0.5
    # No spread at all: the bound is the mean.
    assert lower_bound(np.full(35, 0.25), blocks, confidence=0.9) == pytest.approx(0.25)


def test_blocks_of_unequal_size_are_weighted_by_size() -> None:
    # The mean over all values is (1 * 30 + 11 * 10) / 40 = 3.5, not the mean of block means, 6.
    gains, blocks = np.repeat([1.0, 11.0], [30, 10]), np.repeat([0, 1], [30, 10])
    # Residuals (30 - 105, 110 - 35) / 20 = (-3.75, 3.75): standard error sqrt(2 * 3.75^2 / 2) = 3.75; t(1) = 3.0777.
    assert lower_bound(gains, blocks, confidence=0.9) <= 3.5 - 3.0777 * 3.75 + 1e-3


@pytest.mark.parametrize("blocks", [5, 9])
def test_equal_skill_is_seldom_called_better(blocks: int) -> None:
    """Null simulation at the fewest blocks: the nominal rate is 10 %, a percentile bootstrap would give 18 %.

    500 series: two standard errors of a rate of 10 % are 2.7 %.
    """
    rng = np.random.default_rng(3)
    n, rows = blocks * 12, 500
    first, second = (autoregressive(rng, rows, n, 0.7) ** 2 for _ in range(2))
    available, judged = cut_blocks(np.arange(n), 12, 5)
    assert (available, judged[-1] + 1) == (blocks, 5)
    bounds = [lower_bound(gain, judged, confidence=0.9, draws=500) for gain in first - second]
    assert 0.05 < np.mean(np.array(bounds) > 0) < 0.13


def test_a_real_gain_is_found_with_the_fewest_blocks() -> None:
    """Power: a challenger with 30 % less squared error, errors sharing the weather, is seen nearly always."""
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(12):
        weather = autoregressive(rng, 1, 60, 0.7)[0] ** 2 + 0.5
        scatter = rng.uniform(0.8, 1.2, (2, 60))
        challenger = errors(np.repeat((0.7 * weather * scatter[0])[:, None], LEADS, axis=1), baselines=99.0)
        champion = errors(np.repeat((weather * scatter[1])[:, None], LEADS, axis=1), baselines=99.0)
        found += decide(challenger, champion, gate=Gate(draws=500), **SIZES).outcome == "promote"
    assert found >= 11
