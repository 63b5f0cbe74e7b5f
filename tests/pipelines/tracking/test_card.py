"""What the registry says of how much of a version's skill is whose."""

from typing import Any

from pipelines.tracking.card import description, shares

ROW = {"units": "K", "best_baseline": "damped_anomaly", "baseline_rmse": 2.5}


def provenance(**more: Any) -> dict[str, Any]:
    rmse = {"base": 2.0, "network": 2.2, "unmixed": 1.9, "model": 1.805, "persistence": 3.0}
    combination = {"correction": [[0.5]], "weights": [[[1.0]]], "rmse": {"t2m": rmse}, **more}
    return {"validation": {"t2m": ROW}, "combination": combination}


def test_three_lines_for_each_variable() -> None:
    assert description(provenance()).splitlines() == [
        "t2m: base forecast 2 K RMSE on the validation blocks, where the best baseline, damped anomaly, has 2.5",
        "t2m: with the network's correction 1.9 (-5.0 %)",
        "t2m: with the mixture 1.805 (-5.0 %)",
    ]
    assert shares(provenance()) == {"t2m": "base 2, correction -5.0 %, mixture -5.0 %"}


def test_what_there_is_none_of_is_said() -> None:
    without = provenance()
    del without["combination"]["correction"], without["combination"]["weights"]
    without["combination"]["rmse"]["t2m"] |= {"unmixed": 2.0, "model": 2.0}
    lines = description(without).splitlines()
    assert lines[1:] == [
        "t2m: with the network's correction none, as no network was trained",
        "t2m: with the mixture none, as it is switched off",
    ]
    assert shares(without) == {"t2m": "base 2, correction +0.0 %, mixture +0.0 %"}


def test_scores_that_are_not_known_are_no_percentages() -> None:
    unknown = provenance(rmse={"t2m": {"base": 0.0, "unmixed": 0.0, "model": float("nan")}})
    assert shares(unknown) == {"t2m": "base 0, correction unknown, mixture unknown"}


def test_a_model_without_a_base_has_no_shares() -> None:
    assert (description({}), shares({"validation": {"t2m": ROW}})) == ("", {})
