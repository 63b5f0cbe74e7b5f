"""The parts of a model beside it: scored on the same maps, shown in the tables, and never knowing the future."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from pipelines.evaluation.evaluate import SYSTEMS, evaluate
from pipelines.evaluation.gate import Gate
from pipelines.evaluation.judgement import judge
from pipelines.evaluation.skill import in_words, markdown, skill_csv, skill_table
from simvp.errors import ConfigError
from simvp.inference.forecaster import Forecaster
from simvp.inference.replay import Replay
from simvp.scoring import contingency
from tests.support.mixed import FITTED, FRAMES_OUT, mixed_forecaster, noisy_world

FIRST = 24 * FITTED


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    made = noisy_world()
    return made.assign_coords(present=("time", np.ones(made.sizes["time"], bool)))


@pytest.fixture(scope="module")
def model(ds: xr.Dataset) -> Forecaster:
    return mixed_forecaster(ds)


@pytest.fixture(scope="module")
def inits(ds: xr.Dataset) -> np.ndarray:
    return ds["time"].values[FIRST : FIRST + 40]


def squares(scores: xr.Dataset, system: str) -> np.ndarray:
    """(I, L, S)."""
    return scores["squared_error"].sel(system=system).transpose("init_time", "lead_time", "variable").values


def test_systems_are_scored_as_the_maps_say(ds: xr.Dataset, model: Forecaster, inits: np.ndarray) -> None:
    scores = evaluate(model, ds, inits)
    assert scores["system"].values.tolist() == [*SYSTEMS, "unmixed", "base"]
    _, maps = model.experts(ds, inits, FRAMES_OUT)
    made = Replay(model, FRAMES_OUT).forecasts(ds, inits)["model"]
    mixed = np.stack([made[name].values for name in ("t2m", "d2m")], axis=2)
    area = model.spec.weights / model.spec.weights.sum()
    truth = np.stack([ds[n].sel(time=made["valid_time"]).values for n in ("t2m", "d2m")], axis=2)
    for system, field in {"model": mixed, "unmixed": maps["corrected"], "base": maps["base"]}.items():
        wanted = ((field.astype("f8") - truth) ** 2 * area).sum((-2, -1))
        np.testing.assert_allclose(squares(scores, system), wanted, rtol=1e-3, atol=1e-4, err_msg=system)


def test_batches_do_not_change_what_the_weights_have_learned(
    ds: xr.Dataset, model: Forecaster, inits: np.ndarray
) -> None:
    whole, split = (evaluate(model, ds, inits, batch=size) for size in (64, 7))
    for system in ("model", "unmixed", "base"):
        np.testing.assert_allclose(squares(split, system), squares(whole, system), rtol=1e-4, atol=1e-5)


def test_nothing_of_later_frames_is_in_the_forecast_of_an_init_time(
    ds: xr.Dataset, model: Forecaster, inits: np.ndarray
) -> None:
    # Frames from number 21 on change: the forecasts of init times up to number 20 stay, and so do their errors at
    # valid times up to frame 20.
    changed = ds.copy(deep=True)
    for name in changed.data_vars:
        changed[name][FIRST + 21 :] += np.linspace(-5, 5, 12).reshape(3, 4)
    first, second = (evaluate(model, one, inits) for one in (ds, changed))
    for system in ("model", "unmixed", "base"):
        for lead in range(FRAMES_OUT):
            ours, theirs = (squares(scores, system)[: 20 - lead, lead] for scores in (first, second))
            np.testing.assert_array_equal(ours, theirs)
    assert (squares(first, "model")[30:] != squares(second, "model")[30:]).all()


def test_the_champion_is_replayed_beside_the_challenger_from_an_equal_history(
    ds: xr.Dataset, model: Forecaster, inits: np.ndarray
) -> None:
    champion = replace(mixed_forecaster(ds, network=False), version="simvp-noisy/1")
    scores = evaluate(model, ds, inits, rivals={"champion": champion})
    assert set(scores["system"].values) == {
        *SYSTEMS, "unmixed", "base", "champion", "champion_unmixed", "champion_base",
    }  # fmt: skip
    alone = evaluate(champion, ds, inits)
    for part in ("model", "unmixed", "base"):
        name = "champion" if part == "model" else f"champion_{part}"
        np.testing.assert_allclose(squares(scores, name), squares(alone, part), rtol=1e-6)
    # Before anything is verified, its weights are those of its validation.
    prior = champion.predict(ds, init_time=inits[:1])
    truth = ds["t2m"].sel(time=prior["valid_time"]).values
    area = model.spec.weights / model.spec.weights.sum()
    wanted = ((prior["t2m"].values - truth) ** 2 * area).sum((-2, -1))[0]
    np.testing.assert_allclose(squares(scores, "champion")[0, :, 0], wanted, rtol=1e-3)


def test_a_champion_of_a_network_alone_has_no_parts(ds: xr.Dataset, model: Forecaster, inits: np.ndarray) -> None:
    older = replace(model, base=None, correction=None, mixture=None)
    names = evaluate(model, ds, inits[:4], rivals={"champion": older})["system"].values.tolist()
    assert [name for name in names if name.startswith("champion")] == ["champion"]
    assert set(evaluate(older, ds, inits[:4])["system"].values) == set(SYSTEMS)


def test_tables_show_the_parts_beside_the_model(ds: xr.Dataset, model: Forecaster, inits: np.ndarray) -> None:
    scores = evaluate(model, ds, inits)
    table = skill_table(scores)
    head = markdown(table).splitlines()[0]
    assert head == (
        "| variable | lead h | n | model | unmixed | base | persistence | seasonal persistence | climatology | "
        "anomaly persistence | damped anomaly |"
    )
    header, line = skill_csv(table).splitlines()[:2]
    assert header.split(",")[3:8] == ["weighting", "model", "unmixed", "base", "persistence"]
    wanted = np.sqrt(squares(scores, "base")[:, 0, 0].mean())
    assert float(line.split(",")[6]) == pytest.approx(wanted, rel=1e-5)


def test_the_best_baseline_is_no_part_of_the_model(ds: xr.Dataset, model: Forecaster, inits: np.ndarray) -> None:
    table = skill_table(evaluate(model, ds, inits)).copy(deep=True)
    table["rmse_all"].loc[{"system": ["unmixed", "base"]}] = 1e-3  # better than anything
    assert "(base)" not in in_words(table, "t2m")
    best = float(table["rmse_all"].sel(variable="t2m", system=list(SYSTEMS[1:])).min())
    assert f"the best baseline's {best:.4g}" in in_words(table, "t2m")


def test_a_part_that_lacks_maps_decides_nothing_and_is_left_out(
    ds: xr.Dataset, model: Forecaster, inits: np.ndarray
) -> None:
    scores = evaluate(model, ds, inits)
    whole = skill_table(scores)
    lacking = scores.where(~((scores["system"] == "base") & (scores["init_time"] < inits[5])))
    table = skill_table(lacking)
    assert "base" not in table["system"]
    assert "unmixed" in table["system"]
    np.testing.assert_array_equal(table["n_all"], whole["n_all"].sel(system=table["system"]))


def test_a_judgement_names_every_part_once(ds: xr.Dataset, model: Forecaster) -> None:
    times = ds["time"].values
    ends = [str(times[n])[:19] for n in (FIRST, -1)]
    periods = {**model.provenance["periods"], "held_out": ends}
    candidate = replace(model, provenance={"periods": periods}, version="simvp-noisy/2")
    champion = replace(candidate, correction=model.correction * 0, version="simvp-noisy/1")
    made = judge(candidate, champion, ds.assign_attrs(archive_commit=""))
    assert {part.system for part in made.verdict.beside} == {"unmixed", "base", "champion_unmixed", "champion_base"}
    assert "t2m, the champion without the mixture: RMSE " in made.text()
    rmse = made.rmse()["t2m"]
    assert {"model", "unmixed", "base", "champion_unmixed", "champion_base", *SYSTEMS} == set(rmse)
    assert rmse["champion_unmixed"] == rmse["base"] == rmse["champion_base"]  # no correction there
    assert {c.reference for c in made.verdict.comparisons} == {*SYSTEMS[1:], "champion"}


def test_by_csi_the_champion_is_scored_on_the_same_points_at_the_thresholds_of_the_settings(
    ds: xr.Dataset, model: Forecaster
) -> None:
    times = ds["time"].values
    ends = [str(times[n])[:19] for n in (FIRST, -1)]
    candidate = replace(model, provenance={"periods": {**model.provenance["periods"], "held_out": ends}}, version="x/2")
    champion = replace(candidate, correction=model.correction * 0, version="x/1")
    edges = {name: [float(ds[name].median())] for name in model.spec.states}
    given = ds.assign_attrs(archive_commit="")
    made = judge(candidate, champion, given, gate=Gate(score="csi"), thresholds=edges)
    assert "champion" not in made.errors["events"]["contender"]
    (own,) = (c for c in made.verdict.comparisons if (c.variable, c.reference) == ("t2m", "champion"))
    inits = made.errors["init_time"].values
    both = {name: evaluate(one, ds, inits, thresholds=edges) for name, one in (("x/2", candidate), ("x/1", champion))}
    for version, found in (("x/2", own.rmse), ("x/1", own.reference_rmse)):
        sums = both[version]["events"].sel(contender="model", thresholded="t2m").isel(rank_of_threshold=0)
        index = contingency(sums.sum("init_time"))["csi"].mean("lead_time").item()
        assert found == pytest.approx(1 - index)
    assert "csi_all" in made.skill
    with pytest.raises(ConfigError, match="expected thresholds of d2m for csi, got none"):
        judge(candidate, None, given, gate=Gate(score="csi"), thresholds={"t2m": edges["t2m"]})
    with pytest.raises(ConfigError, match="thresholds: expected some of t2m, d2m, got rain"):
        judge(candidate, None, given, thresholds={"rain": [1.0]})
