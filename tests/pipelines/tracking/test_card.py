"""The model card: what it says of a version, how it stays short, and what of it stays when it is made anew."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from pipelines.tracking.card import LONGEST, NOTES, Origin, Skill, card, lead_words, shares
from simvp.inference.forecaster import Forecaster
from tests.support.models import small_forecaster
from tests.support.worlds import formula_world

ROW = {"units": "K", "best_baseline": "damped_anomaly", "baseline_rmse": 2.5}
ORIGIN = Origin(dataset="waves", title="A formula", source="https://waves.example", licence="CC BY 4.0")
PERIODS = {
    "train": [["2020-01-01T00:00:00", "2020-01-07T23:00:00"]],
    "validation": [["2020-01-08T00:00:00", "2020-01-08T23:00:00"]] * 3,
    "held_out": ["2020-01-12T00:00:00", "2020-01-14T23:00:00"],
}


def provenance(**more: Any) -> dict[str, Any]:
    rmse = {"base": 2.0, "network": 2.2, "unmixed": 1.9, "model": 1.805, "persistence": 3.0}
    combination = {"correction": [[0.5]], "weights": [[[1.0]]], "rmse": {"t2m": rmse}, **more}
    return {"validation": {"t2m": ROW}, "combination": combination, "periods": PERIODS, "archive_commit": "c0ffee" * 4}


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return small_forecaster(formula_world(("t2m",), frames=14 * 24, shape=(3, 4)), **provenance())


def skill(model: Forecaster, leads: int = 3) -> Skill:
    names, systems = list(model.spec.states), ["model", "base", "persistence", "climatology"]
    rmse = np.broadcast_to(np.arange(1.0, 5.0)[:, None, None], (4, len(names), leads)) + np.arange(leads)
    table = xr.Dataset(
        {"rmse": (("system", "variable", "lead_time"), rmse), "rmse_all": (("system", "variable"), rmse.mean(2))},
        {
            "system": systems,
            "variable": names,
            "units": ("variable", ["K"] * len(names)),
            "lead_time": np.arange(1, leads + 1) * np.timedelta64(3_600_000_000_000, "ns"),
        },
    )
    return Skill(table=table, on="the validation blocks", picture="pictures/skill of all.png")


def lines(text: str) -> list[str]:
    """Without the room that is left between columns."""
    return text.replace("&emsp;", "").replace("&nbsp;", " ").splitlines()


def test_the_card_says_what_the_run_knows(model: Forecaster) -> None:
    text = card(model, ORIGIN, skill=skill(model), run_id="a1b2")
    shown = lines(text)
    assert shown[0] == "**Forecasts of t2m (K)**, 3 steps of 1 h ahead."
    assert "Gate: not judged yet (`prefect deployment run promote/manual`)." in shown
    assert "](get-artifact?path=pictures/skill%20of%20all.png&run_uuid=a1b2)" in text
    assert "### Skill on the validation blocks" in shown
    # The best of a line is bold; parts of the model are not among its rivals.
    assert "| RMSE | lead | model | persistence | climatology |" in shown
    assert "| t2m (K) | 2 h | **2** | 4 | 5 |" in shown
    assert "| t2m (K) | all | **2** | 4 | 5 |" in shown
    assert "| t2m (K) | 2.5 (damped anomaly) | 2 (-20.0 %) | 1.9 (-5.0 %) | 1.805 (-5.0 %) |" in shown
    assert "| data set | `waves`; A formula; https://waves.example |" in shown
    assert "| trained on | 2020-01-01 00:00 to 2020-01-07 23:00 |" in shown
    assert "| validated on | 3 blocks between 2020-01-08 00:00 and 2020-01-08 23:00 |" in shown
    assert "| held out for the gate | 2020-01-12 00:00 to 2020-01-14 23:00 |" in shown
    assert "| frames | T = 8 in, T' = 3 out, every 1 h; proleptic_gregorian calendar |" in shown
    assert any(line.startswith("| grid | 3 x 4 points; latitude ") and line.endswith("°E |") for line in shown)
    assert any(line.startswith("| content | `" + model.fingerprint) for line in shown)
    assert "CC BY 4.0" in shown
    assert any(line.startswith("* Warnings, or decisions about safety") for line in shown)
    assert text.count(NOTES) == 1


def test_what_there_is_none_of_is_said(model: Forecaster) -> None:
    without = provenance()
    del without["combination"]["correction"], without["combination"]["weights"]
    alone = Forecaster(spec=model.spec, network=None, baselines=model.baselines, provenance=without)
    text = card(alone, Origin(dataset="waves"))
    assert "| t2m (K) | 2.5 (damped anomaly) | 2 (-20.0 %) | no network | switched off |" in lines(text)
    assert "| network | none: the base forecast, a ridge regression, alone |" in lines(text)
    assert "Not stated by the source. Find it out before you pass forecasts on." in text
    assert "get-artifact" not in text
    assert "### Skill" not in text


def test_a_model_without_provenance_has_a_card_too(model: Forecaster) -> None:
    text = card(Forecaster(spec=model.spec, network=model.network, baselines=model.baselines), ORIGIN)
    assert "### Whose skill it is" not in text
    assert any(line.startswith("| trained on | 2020-01-01 00:00 to ") for line in lines(text))


def test_the_verdict_stands_on_top_without_what_is_only_beside_it(model: Forecaster) -> None:
    verdict = "**Refuse.** (2020-02-01)\n  - t2m against persistence: worse\n  beside it: t2m, the base alone: RMSE 2"
    text = card(model, ORIGIN, skill=skill(model), verdict=verdict)
    assert text.index("Gate: **Refuse.** (2020-02-01)\n\n* t2m against persistence: worse") < text.index("### Skill")
    assert "beside it" not in text
    long = card(model, ORIGIN, verdict="\n".join(["Refuse.", *(f"  - reason {k} {'x' * 90}" for k in range(30))]))
    assert "* reason 5 " in long
    assert "* ... (artifact gate/verdict.md)" in lines(long)


def test_notes_of_people_stay(model: Forecaster) -> None:
    first = card(model, ORIGIN)
    own = first[: first.index(NOTES)] + f"{NOTES}\n\nAsk Ada before you use it in winter."
    again = card(model, ORIGIN, skill=skill(model), before=own)
    assert again.endswith(f"{NOTES}\n\nAsk Ada before you use it in winter.")
    assert "Write here" in first
    assert "Write here" not in again


@pytest.mark.parametrize(("variables", "leads"), [(1, 240), (9, 24), (40, 12)])
def test_many_variables_and_leads_are_cut_down_to_what_a_description_holds(variables: int, leads: int) -> None:
    world = formula_world(("t2m",), frames=14 * 24, shape=(3, 4))
    names = [f"a_rather_long_name_{number}" for number in range(variables)]
    many = small_forecaster(xr.Dataset(dict.fromkeys(names, world["t2m"])))
    text = card(many, ORIGIN, skill=skill(many, leads), run_id="a1b2")
    assert len(text) <= LONGEST
    assert "Write here" in text  # nothing was cut off in the middle
    assert "| a_rather_long_name_0 (K) | all | " in text.replace("&emsp;", "").replace("&nbsp;", " ")
    assert (f" and {variables - 12} more" in text) or variables <= 12 or " more**" in text


def test_leads_are_in_the_unit_that_suits_them() -> None:
    hour = np.timedelta64(1, "h")
    assert [lead_words(lead) for lead in (np.timedelta64(30, "m"), 3 * hour, 95 * hour, 96 * hour, np.int64(2))] == [
        "30 min", "3 h", "95 h", "4 d", "2 months",
    ]  # fmt: skip


def test_where_the_data_come_from_is_what_the_archive_says() -> None:
    attrs = {"title": "Rain", "license": "CC0", "institution": "Somebody", "source": "radar"}
    assert Origin.of("rain", attrs) == Origin(dataset="rain", title="Rain", source="radar", licence="CC0")
    assert Origin.of("rain", {"references": "https://a.example", "source": "radar"}).source == "https://a.example"
    assert Origin.of("rain", {}) == Origin(dataset="rain")


def test_shares_in_words() -> None:
    assert shares(provenance()) == {"t2m": "base 2, correction -5.0 %, mixture -5.0 %"}
    unknown = provenance(rmse={"t2m": {"base": 0.0, "unmixed": 0.0, "model": float("nan")}})
    assert shares(unknown) == {"t2m": "base 0, correction unknown, mixture unknown"}
    assert shares({"validation": {"t2m": ROW}}) == {}
