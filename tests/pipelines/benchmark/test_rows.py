"""Rows: the published ones as they were printed, and a report that never ranks what cannot be compared."""

import io

import pandas as pd
import pytest
from pydantic import ValidationError

from datasets.benchmarks import BENCHMARKS
from pipelines.benchmark.rows import SCORES, Row, frame, published, report


def row(**changes: object) -> Row:
    values = {
        "data": "moving-mnist", "horizon": 10, "method": "SimVP", "selected_on": "validation", "train": "digits 1",
        "test": "clips 1", "comparable": True, "published": False, "source": "run a", "epochs": 3,
        "updates_per_epoch": 625, "scores": {"mse_per_frame": 30.0, "ssim_paper": 0.9}, "parameters": 57_761_409,
        "seconds_per_epoch": 12.3, "device": "2 CPU threads", "memory": 192_000_000, "multiply_adds": 19_429_064_704,
    }  # fmt: skip
    return Row.model_validate({**values, **changes})


def test_published_rows_are_the_printed_ones() -> None:
    rows = published()
    assert all(r.published and r.comparable and r.selected_on == "test" for r in rows)
    weather = {r.data for r in rows if r.data.startswith("weatherbench-")}
    assert {r.data for r in rows} - weather == set(BENCHMARKS)
    printed = {(r.data, r.horizon, r.method, r.epochs): r.scores for r in rows if "1.40625" not in r.test}
    assert printed["moving-mnist", 10, "SimVP", None] == {"mse_per_frame": 23.8, "ssim_paper": 0.948}
    assert printed["moving-mnist", 10, "SimVP gSTA", 2000]["mse_per_frame"] == 15.05
    assert printed["moving-mnist", 10, "SimVP IncepU", 200]["ssim_paper"] == 0.9268
    assert printed["moving-fashion-mnist", 10, "TAU", 200]["mse_per_frame"] == 24.24
    assert printed["taxibj", 4, "TAU", 50]["mae_per_frame"] == 14.93
    assert printed["kth", 40, "SimVP", None] == {"ssim_paper": 0.886, "psnr_paper": 32.93}
    assert printed["kitticaltech", 1, "SimVP", None] == {"ssim_paper": 0.940, "psnr_paper": 33.1}
    assert printed["weatherbench-t2m", 12, "SimVP gSTA", 50] == {"mse": 1.105, "mae": 0.6567, "rmse": 1.051}
    assert any("256 x 256" in r.test for r in rows if r.data == "human36m")


def test_rows_of_other_protocols_stand_apart_whatever_their_scores() -> None:
    rows = [
        row(source="run z", test="clips 2", scores={"mse_per_frame": 1.0}),
        row(source="paper", published=True, train="theirs", test="theirs", scores={"mse_per_frame": 23.8}),
        row(source="run b", scores={"mse_per_frame": 40.0}),
        row(source="run c", scores={"mse_per_frame": 20.0}),
        row(source="run y", test="clips 2", scores={"mse_per_frame": 99.0}, comparable=False),
    ]
    lines = report(rows).splitlines()
    table = [line.split(" | ") for line in lines if line.startswith("| SimVP")]
    assert [(cells[1], cells[-1].rstrip(" |")) for cells in table] == [
        ("A", "paper"), ("B", "run z"), ("B", "run y"), ("C", "run b"), ("C", "run c"),
    ]  # fmt: skip
    assert "* A: trained on theirs; tested on theirs." in lines
    assert "* C: trained on digits 1; tested on clips 1." in lines


def test_a_ratio_of_8_bits_stands_apart_and_says_what_it_is() -> None:
    text = report([r for r in published() if (r.data, r.horizon) == ("kth", 20)])
    (head,) = (line for line in text.splitlines() if line.startswith("| method"))
    assert "| PSNR | PSNR, 8 bits |" in head
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(("| SimVP", "| TAU"))]
    assert [(cells[0], cells[1], *cells[7:9]) for cells in table] == [
        ("SimVP", "A", "", "33.72"), ("SimVP IncepU", "B", "27.46", ""), ("SimVP gSTA", "B", "27.04", ""),
        ("TAU", "B", "27.1", ""),
    ]  # fmt: skip
    assert "tested on the published test part, PSNR of squares in 8 bits." in text
    assert "PSNR, 8 bits |" not in report([row()])


def test_rows_of_weather_show_means_over_points_and_their_grid() -> None:
    text = report([r for r in published() if r.data == "weatherbench-t2m"])
    assert "| mean MSE | mean MAE | mean RMSE |" in text
    assert "| SimVP gSTA | A | 50 | test | 1.105 | 0.6567 | 1.051 | 12.8 M | 7.01 G |" in text
    assert "tested on the published test part at 1.40625 degrees." in text


def test_substitute_data_are_marked() -> None:
    text = report([row(comparable=False)])
    assert "tested on clips 1. **Published results stand for other data.**" in text
    assert "stand for other data" not in report([row()])


def test_a_row_says_what_it_stands_for() -> None:
    (line,) = (line for line in report([row()]).splitlines() if line.startswith("| SimVP"))
    assert line == (
        "| SimVP | A | 3 x 625 updates | validation | 30 |  | 0.9 |  | 57.8 M | 19.4 G | 12.3 (2 CPU threads) | "
        "192 MB | run a |"
    )


def test_horizons_have_tables_of_their_own() -> None:
    text = report([row(data="kth", horizon=20), row(data="kth", horizon=40)])
    assert "## kth, T' = 20" in text
    assert "## kth, T' = 40" in text


def test_the_csv_has_a_column_for_every_score() -> None:
    table = pd.read_csv(io.StringIO(frame([row(), *published()]).to_csv(index=False)))
    assert set(SCORES) <= set(table.columns)
    assert table["mse_per_frame"][0] == 30.0
    assert pd.isna(table["psnr"][0])


def test_a_row_has_no_field_of_another_name() -> None:
    with pytest.raises(ValidationError, match="mse"):
        row(mse=1.0)
