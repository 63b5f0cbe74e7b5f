"""What the page says of trainings that are made up, with figures by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.catalog import SOURCES
from performance.skill import tables
from performance.skill.trial import Trial, Trials
from pipelines.evaluation.skill import skill_table
from pipelines.evaluation.verdict import Comparison, Verdict
from simvp.coords import Step

SYSTEMS = ("model", "unmixed", "base", "persistence", "climatology", "champion_base")
# Squared errors by system and lead: roots 3, 6 of the model; 4, 5 of persistence; 5, 4 of climatology.
SQUARES = np.array([[9, 36], [16, 36], [25, 36], [16, 25], [25, 16], [1, 1]], float)


def errors(model: tuple[float, float] = (9, 36), *, inits: int = 3) -> xr.Dataset:
    """Squared errors of sst, the same at every init time, and weights of two experts of three."""
    squares = SQUARES.copy()
    squares[0] = model
    values = np.broadcast_to(squares[:, None, None], (len(SYSTEMS), 1, inits, 2))
    dims = ("system", "variable", "init_time", "lead_time")
    weights = np.array([[[0.5, 0.5, 0], [0.75, 0.25, 0]], [[0.7, 0.3, 0], [0.25, 0.75, 0]], [[0.9, 0.1, 0], [0, 1, 0]]])
    zero = xr.Variable(dims, np.zeros(values.shape))
    return xr.Dataset(
        {"squared_error": (dims, values), "absolute_error": zero, "error": zero},
        {
            "system": list(SYSTEMS),
            "variable": ["sst"],
            "units": ("variable", ["degC"]),
            "init_time": np.datetime64("2020-01-01", "ns") + np.arange(inits) * np.timedelta64(1, "h"),
            "lead_time": np.array([1, 2], "m8[h]").astype("m8[ns]"),
            "expert": ["base", "climatology", "network"],
            "sst_weight": (("init_time", "lead_time", "expert"), weights[:inits]),
        },
        {"weighting": "cos_latitude"},
    )


def verdict(outcome: Any) -> Verdict:
    comparisons = tuple(
        Comparison(variable="sst", reference=name, reference_rmse=rmse, passed=True, reason=f"sst against {name}")
        for name, rmse in (("persistence", 4.5), ("climatology", 4.4), ("seasonal_persistence", 5.0))
    )
    numbers: dict[str, Any] = {"n": 3, "blocks": 5, "needed_blocks": 5, "needed_init_times": 9, "block_steps": 3}
    return Verdict(
        outcome=outcome,
        reasons=("first reason", "second reason"),
        comparisons=comparisons,
        confidence=0.9,
        margin=0.05,
        **numbers,
    )


def trial(seed: int = 0, model: tuple[float, float] = (9, 36), outcome: str = "refuse", **more: Any) -> Trial:
    found = errors(model)
    held_out = ("2020-01-01T01:00:00", "2020-01-01T05:00:00")
    fields: dict[str, Any] = {
        "seed": seed,
        "plan": SimpleNamespace(step=Step(seconds=3600), frames_in=4, frames_out=2),
        "parameters": 1234,
        "judgement": SimpleNamespace(verdict=verdict(outcome), errors=found, held_out=held_out),
        "skill": skill_table(found),
        "correction": np.array([[0.5, 0.3]]),
        "correction_error": np.array([[0.1, 0.3]]),
        "training": 10.0 * (seed + 1),
        "judging": 1.0,
    }
    return Trial(**{**fields, **more})


def found(*trials: Trial) -> Trials:
    return Trials(name="ersst-pacific", ingest=2.4, frames=128, trials=trials)


def made(*trials: Trial) -> Any:
    return tables.section(found(*trials), SOURCES["ersst-pacific"])


def test_a_lead_is_compared_with_the_baseline_that_is_best_there() -> None:
    overall, worst, lead = tables.ratios(trial().skill, "sst")
    # Model: mean of 9 and 36 is 22.5. Both baselines: 20.5. At the second lead climatology has 4, the model 6.
    assert overall == pytest.approx((22.5 / 20.5) ** 0.5)
    assert (worst, lead) == (1.5, 1)
    # Better at both leads: 0.25 of 4 at the first, 0.5 of 4 at the second.
    assert tables.ratios(trial(model=(1, 4)).skill, "sst")[1:] == (0.5, 1)


def test_parts_of_the_model_are_no_baselines() -> None:
    # The best of all, and no column of the page: nothing is compared with it.
    assert float(errors()["squared_error"].sel(system="champion_base").mean()) == 1.0
    (row,) = made(trial()).summary.rows
    assert dict(zip(tables.SUMMARY, row, strict=True)) == {
        "data set, variable": "[ersst-pacific](#ersst-pacific) sst",
        "units": "degC",
        "n": "3",
        "best baseline": "persistence",
        "its RMSE": f"{20.5**0.5:.4g}",
        "base": f"{30.5**0.5:.4g}",
        "unmixed": f"{26**0.5:.4g}",
        "model": f"{22.5**0.5:.4g}",
        "model / best baseline": "1.048",
        "worst lead": "1.500 at 2 h",
        "gate": "refuse",
        "training, s": "10",
    }


def test_leads_are_named_by_the_step() -> None:
    assert tables.lead_words(Step(seconds=1800), 3) == ["30 min", "1 h", "90 min"]
    assert tables.lead_words(Step(months=1, anchor="day", day=1), 2) == ["1 month", "2 months"]


def test_rmse_by_lead_has_the_best_in_bold() -> None:
    table = made(trial()).tables[0]
    assert table.title == "RMSE of sst, degC, weighted by cos_latitude"
    assert table.columns == ("lead", "n", *SYSTEMS[:-1], "model / best baseline")
    assert table.rows == (
        ("1 h", "3", "**3**", "4", "5", "4", "5", "0.750"),
        ("2 h", "3", "6", "6", "6", "5", "**4**", "1.500"),
        ("all", "6", "4.743", "5.099", "5.523", "**4.528**", "**4.528**", "1.048"),
    )


def test_of_several_seeds_the_median_stands_with_the_range() -> None:
    three = (trial(), trial(1, (1, 4), "promote"), trial(2, (4, 9)))
    section = made(*three)
    by_lead = section.tables[0].rows
    assert [row[2] for row in by_lead[:2]] == ["**2**", "**3**"]
    (row,) = section.summary.rows
    shown = dict(zip(tables.SUMMARY, row, strict=True))
    low, middle, high = ((square / 20.5) ** 0.5 for square in (2.5, 6.5, 22.5))
    assert shown["model / best baseline"] == f"{middle:.3f} ({low:.3f} .. {high:.3f})"
    # 6 / 4, 2 / 4 and 3 / 4, all at the second lead.
    assert shown["worst lead"] == "0.750 (0.500 .. 1.500) at 2 h"
    assert shown["gate"] == "refuse, promote"
    assert shown["training, s"] == "20"
    assert "seeds 0 to 2" in section.text
    assert "ingest 2, training 10 and 20 and 30, judging" in section.text


def test_shares_are_means_over_init_times_and_seeds() -> None:
    other = trial(1, correction=np.array([[0.1, 0.1]]))
    shares = made(trial(), other).tables[1]
    # An expert without any weight has no column. Weights of the first lead: 0.5, 0.7, 0.9; of the second 0.75, 0.25, 0.
    assert shares.columns == ("lead", "base", "climatology", "correction")
    assert shares.rows == (
        ("1 h", "0.70", "0.30", "0.30 ± 0.10"),
        ("2 h", "0.33", "0.67", "0.20 ± 0.30"),
        ("all", "0.52", "0.48", "0.25 ± 0.20"),
    )


def test_without_a_network_it_says_so() -> None:
    section = made(trial(parameters=0, correction=None, correction_error=None))
    assert "T = 4, T' = 2, no network, seed 0. Held out: targets of 2020-01-01T01:00:00 .. " in section.text
    assert [row[-1] for row in section.tables[1].rows] == ["no network"] * 3


def test_a_model_without_weights_has_no_table_of_them() -> None:
    bare = errors().drop_vars("sst_weight")
    judgement = SimpleNamespace(verdict=verdict("refuse"), errors=bare, held_out=("a", "b"))
    assert len(made(trial(judgement=judgement)).tables) == 1


def test_reasons_of_the_gate() -> None:
    refused, promoted = made(trial(), trial(1, outcome="promote")).notes
    assert refused == "Gate, seed 0: refuse.\n\n* first reason\n* second reason"
    # Of three that were passed, the one against the best baseline.
    assert promoted == "Gate, seed 1: promote.\n\n* sst against climatology"


def test_rain_has_its_csi() -> None:
    table = trial().skill
    dims = ("contender", "thresholded", "rank_of_threshold", "lead_time")
    csi = xr.DataArray(np.full((3, 1, 2, 2), 0.5), dims=dims)
    csi[1] = 0.75
    rainy = table.assign(csi=csi, csi_all=csi.mean("lead_time")).assign_coords(
        contender=["model", "sharp", "damped_anomaly"],
        thresholded=["sst"],
        threshold=(("thresholded", "rank_of_threshold"), [[0.1, 1.0]]),
    )
    section = made(trial(skill=rainy), trial(1, skill=rainy))
    assert section.tables[1].title == "CSI of sst"
    assert section.tables[1].columns == ("at least", "lead", "model", "sharp", "damped anomaly")
    assert section.tables[1].rows[2:4] == (
        ("0.1 degC", "all", "0.500", "**0.750**", "0.500"),
        ("1 degC", "1 h", "0.500", "**0.750**", "0.500"),
    )
    assert section.notes[0].startswith("CSI: hits / (hits + misses + false alarms)")
