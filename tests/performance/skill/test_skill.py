"""`make skill`: a tiny world from its source to the page, and what happens to data sets that were not run."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.catalog import SOURCES
from performance.report import Section, Table
from performance.skill import __main__ as command, trial as trial_module
from performance.skill.tables import SUMMARY, section
from performance.skill.trial import Trials, run
from pipelines.home import Home
from simvp.errors import Refusal
from simvp.scoring import outcomes
from tests.support.radar import radar_world
from tests.test_project import make

WHERE = {"date": "2026-01-01 00:00 UTC", "commit": "abc", "machine": "a machine", "versions": "Python 3"}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, no_waiting_for_the_disk: None) -> tuple[Path, Trials]:
    """The folder that a short run wrote into, and what it found."""
    root, seen = tmp_path_factory.mktemp("skill"), []

    def noted(*arguments: Any, **settings: Any) -> Trials:
        seen.append(run(*arguments, **settings))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "run", noted)
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/nobody")
        assert command.main(["--short"], root=root) == 0
    return root, seen[0]


def kept(root: Path, name: str, text: str = "Before.") -> None:
    """What an earlier run has left of a data set."""
    row = (f"[{name}](#{name}) v", *(str(number) for number in range(1, len(SUMMARY))))
    section = Section(title=name, text=text, summary=Table(columns=SUMMARY, rows=(row,)))
    section.save(root / "performance" / "measured" / "skill" / f"{name}.json", WHERE)


def test_a_short_run_writes_the_page(short: tuple[Path, Trials]) -> None:
    root, _ = short
    page = (root / "docs" / "skill.md").read_text()
    assert page.startswith("# Skill\n")
    assert "| [simulated-weather](#simulated-weather) t2m | K | 71 |" in page
    assert "\n## simulated-weather\n" in page
    assert "**RMSE of t2m, K, weighted by cos_latitude**" in page
    assert "Gate, seed 0: " in page
    assert "<sub>Measured " in page
    assert "288 frames every 1 h, T = 4, T' = 2, a network of " in page


def test_the_page_has_the_scores_of_the_gate(short: tuple[Path, Trials]) -> None:
    root, found = short
    (trial,) = found.trials
    rmse = trial.judgement.rmse()["t2m"]
    rows = [line for line in (root / "docs" / "skill.md").read_text().splitlines() if line.startswith("| [")]
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    best = min((value, name) for name, value in rmse.items() if name not in ("model", "unmixed", "base"))
    assert cells[3:8] == [
        best[1].replace("_", " "),
        *(f"{x:.4g}" for x in (best[0], rmse["base"], rmse["unmixed"], rmse["model"])),
    ]
    assert cells[8] == f"{rmse['model'] / best[0]:.3f}"
    assert cells[10] == trial.judgement.verdict.outcome


def test_a_judgement_hands_on_parts_and_weights(short: tuple[Path, Trials]) -> None:
    errors = short[1].trials[0].judgement.errors
    assert {"model", "unmixed", "base", "persistence"} <= set(errors["system"].values.tolist())
    weights = errors["t2m_weight"]
    assert dict(weights.sizes) == {"init_time": 71, "lead_time": 2, "expert": errors.sizes["expert"]}
    np.testing.assert_allclose(weights.sum("expert"), 1.0)


def test_sets_that_were_not_run_keep_their_text(tmp_path: Path) -> None:
    kept(tmp_path, "era5-uk", "Found last week.")
    kept(tmp_path, "simulated-weather", "Found before.")
    command.write_page(tmp_path)
    kept(tmp_path, "simulated-weather", "Found today.")
    page = command.write_page(tmp_path).read_text()
    assert "Found last week." in page
    assert "Found today." in page
    assert "Found before." not in page
    # One table on top, in the order of the catalogue.
    lines = page.splitlines()
    first = lines.index(
        "| [simulated-weather](#simulated-weather) v | " + " | ".join(map(str, range(1, len(SUMMARY)))) + " |"
    )
    assert lines[first + 1].startswith("| [era5-uk](#era5-uk) v | 1 |")
    assert page.count("| data set, variable |") == 1
    assert page.index("## simulated-weather") < page.index("## era5-uk")
    assert page.count("*On a machine.*") == 2
    assert page.count("<sub>Measured 2026-01-01 00:00 UTC; abc; Python 3.</sub>") == 2


def test_the_page_says_what_the_recipe_was_chosen_on(tmp_path: Path) -> None:
    kept(tmp_path, "era5-uk")
    page = " ".join(command.write_page(tmp_path).read_text().split())
    assert (
        "validation blocks of `simulated-weather`, `simulated-traffic`, `era5-uk`, `nyc-taxi` and `ersst-pacific`. "
        "Their held-out periods chose nothing, but for what follows."
    ) in page
    assert "Kept out until the end: `nyc-uber`, `radklim-germany`, `e1-north-america` and `taxibj`." in page
    assert "Not measured yet: `simulated-weather`, `simulated-traffic`, `ersst-pacific`, " in page
    assert set(command.CHOSEN_ON) | set(command.LOOKED_AT) <= set(SOURCES)


def test_all_that_are_here_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    done = []
    monkeypatch.setenv("SIMVP_DATA", str(tmp_path))
    monkeypatch.setattr(
        command, "SOURCES", {n: SOURCES[n] for n in ("simulated-weather", "taxibj", "simulated-traffic")}
    )

    def measured(name: str, seeds: int, *, short: bool) -> Section:
        done.append((name, seeds, short))
        return Section(title=name, text="", summary=Table(columns=SUMMARY, rows=()))

    monkeypatch.setattr(command, "measure", measured)
    assert command.main(["--seeds", "3"], root=tmp_path) == 0
    assert done == [("simulated-weather", 3, False), ("simulated-traffic", 3, False)]
    assert "not here, and left out: taxibj; ONLY=... has them fetched" in capsys.readouterr().err


def test_a_refused_set_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    kept(tmp_path, "era5-uk", "Found last week.")

    def measured(name: str, seeds: int, *, short: bool) -> Section:
        if name == "era5-uk":
            raise Refusal("era5-uk", ["no file"])
        return Section(title=name, text="Found today.", summary=Table(columns=SUMMARY, rows=()))

    monkeypatch.setattr(command, "measure", measured)
    assert command.main(["--only", "era5-uk,nyc-taxi"], root=tmp_path) == 2
    assert "era5-uk: no file" in capsys.readouterr().err
    page = (tmp_path / "docs" / "skill.md").read_text()
    assert "Found last week." in page
    assert "Found today." in page
    where = json.loads((tmp_path / "performance" / "measured" / "skill" / "nyc-taxi.json").read_text())["where"]
    assert set(where) == {"machine", "versions", "commit", "date"}


def test_names_and_numbers_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "era5-uk,mars"], root=tmp_path) == 2
    assert "mars" in (text := capsys.readouterr().err)
    assert "ersst-pacific" in text
    with pytest.raises(SystemExit):
        command.main(["--seeds", "0"], root=tmp_path)
    assert "seeds: expected 1 or more, got 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_make_skill_passes_on_what_was_typed() -> None:
    words = shlex.split(make("skill", "ONLY=era5-uk,nyc-taxi", "SEEDS=3").splitlines()[-1])
    assert words[1:] == ["-m", "performance.skill", "--only", "era5-uk,nyc-taxi", "--seeds", "3"]


@pytest.mark.slow
def test_csi_of_rain_is_of_models_that_have_not_seen_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm that comes in the validation blocks, and a dry evening that is held out."""
    judged: list[Any] = []
    own = trial_module.judge

    def noted(candidate: Any, *arguments: Any, **settings: Any) -> Any:
        judged.append((candidate.provenance["periods"], own(candidate, *arguments, **settings)))
        return judged[-1][1]

    monkeypatch.setattr(trial_module, "judge", noted)
    file = tmp_path / "rain.nc"
    radar_world(144, dry=30)[["rain"]].to_netcdf(file)
    found = run(
        Home(tmp_path / "home"), "rain", 1, source=file, settings={"size": "none", "frames_in": 6, "frames_out": 3}
    )
    (trial,) = found.trials
    assert trial.rain is not None
    blocks = judged[1:]
    assert blocks
    validation = [list(block) for block in trial.plan.periods.validation]
    for periods, _ in blocks:
        assert periods["held_out"] in validation
        for part in ("train", "validation", "reference"):
            assert all(last < periods["held_out"][0] for _, last in periods[part])
    counts = sum(judgement.errors["events"].sum(["init_time", "lead_time"]) for _, judgement in blocks)
    (table,) = (t for t in section(found, SOURCES["radar-brisbane"]).tables if "on validation blocks" in t.title)
    for rank, row in enumerate(table.rows):
        at = counts.sel(contender="sharp", thresholded="rain").isel(rank_of_threshold=rank)
        hits, every, _, seen, _ = (int(one) for one in outcomes(at))
        assert row[0] == ("0.1 mm/h", "1 mm/h")[rank]
        assert row[2] == f"{seen:,}"
        assert row[table.columns.index("sharp")].strip("*") == f"{hits / every:.3f}"
        assert seen > 0
