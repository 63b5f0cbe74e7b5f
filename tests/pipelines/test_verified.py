"""Errors that count for the weights: honest ones, computed once, of a model's own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from datasets.archive.archive import Archive
from datasets.store.store import Store
from pipelines.verified import due_adaptation
from simvp.coords.steps import Step
from simvp.inference.forecaster import Forecaster
from simvp.inference.replay import Replay
from tests.support.mixed import FITTED, FRAMES_OUT, mixed_forecaster, noisy_world

HOUR = Step.parse("1h")
FIRST = 24 * FITTED - 1  # the last frame of the fit: the first target of this init time comes after it


def due_weights(*given: Any, **named: Any) -> np.ndarray | None:
    """Weights alone."""
    found = due_adaptation(*given, **named)
    return None if found is None else found.weights


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return mixed_forecaster()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = Archive(tmp_path / "archive")
    made.append(noisy_world(), step=HOUR)
    return made


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[np.datetime64]:
    """Init times whose errors were computed."""
    times: list[np.datetime64] = []
    own = Replay.grams

    def noted(replay: Replay, ds: xr.Dataset, init_times: np.ndarray) -> np.ndarray:
        times.extend(init_times)
        return own(replay, ds, init_times)

    monkeypatch.setattr(Replay, "grams", noted)
    return times


def by_replay(model: Forecaster, ds: xr.Dataset, learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Weights at the times asked for, from the errors of init times one by one."""
    replay = Replay(model, FRAMES_OUT)
    for time in learned:
        replay.take(np.array([time]), replay.grams(ds.load(), np.array([time])))
    return replay.adapted(asked).weights


def test_only_init_times_count_whose_targets_nothing_was_fitted_on(model: Forecaster, archive: Archive) -> None:
    ds = archive.dataset()
    times = ds["time"].values
    asked = times[[FIRST + 30, FIRST + 40]]
    found = due_weights(model, ds, asked, times, FRAMES_OUT)
    np.testing.assert_allclose(found, by_replay(model, ds, times[FIRST : FIRST + 40], asked), atol=1e-6)
    # With those of the fit, weights would be others.
    assert np.abs(found - by_replay(model, ds, times[FIRST - 60 : FIRST + 40], asked)).max() > 1e-3


def test_init_times_that_are_not_issued_count_no_more_than_they_are_asked_for(
    model: Forecaster, archive: Archive
) -> None:
    ds = archive.dataset()
    times = ds["time"].values
    six = times[5::6]
    asked = times[[FIRST + 60]]
    found = due_weights(model, ds, asked, six, FRAMES_OUT)
    honest = six[(six >= times[FIRST]) & (six < asked[0])]
    np.testing.assert_allclose(found, by_replay(model, ds, honest, asked), atol=1e-6)


@pytest.mark.parametrize("provenance", [{}, {"periods": {}}])
def test_where_it_is_not_known_what_was_fitted_on_nothing_is_honest(
    model: Forecaster, archive: Archive, provenance: dict[str, object]
) -> None:
    ds = archive.dataset()
    asked = ds["time"].values[-2:]
    found = due_weights(replace(model, provenance=provenance), ds, asked, ds["time"].values, FRAMES_OUT)
    np.testing.assert_allclose(found, model.mixture.weights(2, FRAMES_OUT), atol=1e-12)


def test_before_anything_is_verified_they_are_those_of_the_validation(model: Forecaster, archive: Archive) -> None:
    ds = archive.dataset()
    times = ds["time"].values
    asked = times[[FIRST - 40, FIRST]]
    found = due_weights(model, ds, asked, times, FRAMES_OUT)
    np.testing.assert_allclose(found, model.mixture.weights(2, FRAMES_OUT), atol=1e-12)


def test_a_model_without_a_mixture_has_no_weights(model: Forecaster, archive: Archive, tmp_path: Path) -> None:
    ds = archive.dataset()
    times, path = ds["time"].values, tmp_path / "kept.zarr"
    assert due_weights(replace(model, mixture=None), ds, times[-1:], times, FRAMES_OUT, kept=(path, archive)) is None
    assert due_weights(model, ds, times[:0], times, FRAMES_OUT, kept=(path, archive)) is None
    assert not path.exists()


def test_what_was_kept_is_used_again_and_gives_the_same(
    model: Forecaster, archive: Archive, tmp_path: Path, computed: list[np.datetime64]
) -> None:
    ds = archive.dataset()
    times, path = ds["time"].values, tmp_path / "kept.zarr"
    asked = times[[FIRST + 40, FIRST + 50]]
    first = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_array_equal(computed, times[FIRST : FIRST + 50])
    computed.clear()
    again = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    assert computed == []
    np.testing.assert_array_equal(first, again)
    # Later only what is new is computed, and the weights are those that nothing kept would give.
    later = times[[FIRST + 60]]
    found = due_weights(model, ds, later, times, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_array_equal(computed, times[FIRST + 50 : FIRST + 60])
    np.testing.assert_allclose(found, due_weights(model, ds, later, times, FRAMES_OUT), atol=1e-6)
    kept = Store(path)
    commit = ds.attrs["archive_commit"]
    assert kept.state == {"kind": "verified", "fingerprint": model.fingerprint, "archive_commit": commit}
    np.testing.assert_array_equal(kept.dataset()["init_time"], times[FIRST : FIRST + 60])


def test_what_is_not_over_is_not_kept(
    model: Forecaster, archive: Archive, tmp_path: Path, computed: list[np.datetime64]
) -> None:
    ds = archive.dataset()
    times, path = ds["time"].values, tmp_path / "kept.zarr"
    due_weights(model, ds, times[-1:], times, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_array_equal(Store(path).dataset()["init_time"].values[-1], times[-1 - FRAMES_OUT])
    archive.append(noisy_world(1, first=14 * 24))
    ds = archive.dataset()
    computed.clear()
    found = due_weights(model, ds, ds["time"].values[-1:], ds["time"].values, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_array_equal(computed, ds["time"].values[14 * 24 - FRAMES_OUT : -1])
    np.testing.assert_allclose(
        found, due_weights(model, ds, ds["time"].values[-1:], ds["time"].values, FRAMES_OUT), atol=1e-6
    )


def test_frames_that_come_late_are_learned_from_then_and_cost_what_they_touch(
    model: Forecaster, tmp_path: Path, computed: list[np.datetime64]
) -> None:
    archive, path, lost = Archive(tmp_path / "archive"), tmp_path / "kept.zarr", FIRST + 20
    whole = noisy_world()
    archive.append(whole.drop_isel(time=[lost]), step=HOUR)
    ds = archive.dataset()
    times = ds["time"].values
    asked = times[[FIRST + 40]]
    due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    lacking = times[lost : lost + 6]  # the histories of six init times
    assert not set(lacking) & set(computed)
    kept = Store(path).dataset().load()
    np.testing.assert_array_equal(kept["init_time"], times[FIRST : FIRST + 40])
    assert kept["gram"].sel(init_time=lacking).isnull().all()
    # Asked again, nothing is computed: what is not known is known not to be.
    computed.clear()
    due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    assert computed == []
    archive.append(whole.isel(time=[lost]))
    ds = archive.dataset()
    found = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    aimed = times[lost - FRAMES_OUT : lost]  # the frame is a target of these
    later = times[lost + 24 - FRAMES_OUT : FIRST + 40]  # these look back at it by a day
    assert set(computed) == {*lacking, *aimed, *later}
    np.testing.assert_allclose(found, due_weights(model, ds, asked, times, FRAMES_OUT), atol=1e-6)
    assert Store(path).dataset()["gram"].notnull().all()


def replaced(archive: Archive, frame: int) -> xr.Dataset:
    """The archive with other values in a frame that it has, and the truth of it loaded."""
    ds = noisy_world(1 / 24, first=frame)
    archive.append(ds.assign({n: ds[n] + np.linspace(-6, 6, 12, dtype="f4").reshape(3, 4) for n in ds}), replace=True)
    return archive.dataset()


def test_truth_that_was_taken_back_has_no_part_any_more(
    model: Forecaster, archive: Archive, tmp_path: Path, computed: list[np.datetime64]
) -> None:
    path, times = tmp_path / "kept.zarr", archive.times
    asked = times[[FIRST + 60]]
    first = due_weights(model, archive.dataset(), asked, times, FRAMES_OUT, kept=(path, archive))
    before = Store(path).dataset()["gram"].load()
    at = FIRST + 30
    ds = replaced(archive, at)
    computed.clear()
    found = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    # A target of the three before; an input of six; a day before the targets of three that follow a day later.
    near = [*range(at - FRAMES_OUT, at + 6), *range(at + 24 - FRAMES_OUT, at + 24)]
    np.testing.assert_array_equal(computed, times[near])
    assert np.abs(found - first).max() > 1e-3
    np.testing.assert_allclose(found, by_replay(model, ds, times[FIRST : FIRST + 60], asked), atol=1e-6)
    after = Store(path).dataset()["gram"].load()
    changed = (after != before).any(["lead_time", "variable", "expert", "other_expert"])
    np.testing.assert_array_equal(after["init_time"][changed], times[near])
    computed.clear()
    due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    assert computed == []


def test_all_that_was_kept_is_seen_to_also_what_is_not_asked_for(
    model: Forecaster, archive: Archive, tmp_path: Path
) -> None:
    """Other hours than before are learned from today; those that were kept are asked for again tomorrow."""
    path, times = tmp_path / "kept.zarr", archive.times
    asked = times[[FIRST + 60]]
    due_weights(model, archive.dataset(), asked, times, FRAMES_OUT, kept=(path, archive))
    ds = replaced(archive, FIRST + 30)
    due_weights(model, ds, asked, times[5::6], FRAMES_OUT, kept=(path, archive))
    found = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_allclose(found, due_weights(model, ds, asked, times, FRAMES_OUT), atol=1e-6)


def test_where_nobody_knows_what_has_changed_all_is_computed_again(
    model: Forecaster, archive: Archive, tmp_path: Path, computed: list[np.datetime64]
) -> None:
    path, times = tmp_path / "kept.zarr", archive.times
    asked = times[[FIRST + 60]]
    due_weights(model, archive.dataset(), asked, times, FRAMES_OUT, kept=(path, archive))
    ds = replaced(archive, FIRST + 30)
    store = Store(path)  # as it was kept before it was known of which commit, or of one that has expired
    store.rewrite(store.dataset()[["gram"]].isel(init_time=[0]).load(), 0, {"kind": "verified"})
    computed.clear()
    found = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_array_equal(computed, times[FIRST : FIRST + 60])
    np.testing.assert_allclose(found, due_weights(model, ds, asked, times, FRAMES_OUT), atol=1e-6)


def test_cut_off_while_computing_again_it_begins_again(
    model: Forecaster, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, times = tmp_path / "kept.zarr", archive.times
    asked = times[[FIRST + 60]]
    due_weights(model, archive.dataset(), asked, times, FRAMES_OUT, kept=(path, archive))
    ds = replaced(archive, FIRST + 30)
    rewrite, calls = Store.rewrite, []

    def cut_off(store: Store, *arguments: object) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        rewrite(store, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Store, "rewrite", cut_off)
        with pytest.raises(KeyboardInterrupt):
            due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    found = due_weights(model, ds, asked, times, FRAMES_OUT, kept=(path, archive))
    np.testing.assert_allclose(found, due_weights(model, ds, asked, times, FRAMES_OUT), atol=1e-6)
    assert Store(path).state["archive_commit"] == ds.attrs["archive_commit"]


def test_nothing_of_the_future_has_a_part(model: Forecaster, archive: Archive, tmp_path: Path) -> None:
    ds = archive.dataset()
    times = ds["time"].values
    asked = times[[FIRST + 20, FIRST + 30]]
    first = due_weights(model, ds, asked, times, FRAMES_OUT)
    changed = noisy_world()
    for name in changed.data_vars:
        changed[name][FIRST + 21 :] += np.linspace(-4, 4, 12).reshape(3, 4)
    other = Archive(tmp_path / "other")
    other.append(changed, step=HOUR)
    second = due_weights(model, other.dataset(), asked, times, FRAMES_OUT)
    np.testing.assert_array_equal(first[0], second[0])
    assert np.abs(first[1] - second[1]).max() > 1e-3


def test_init_times_far_apart_are_not_read_as_one_piece(model: Forecaster, archive: Archive) -> None:
    ds = archive.dataset()
    times = ds["time"].values
    earlier = times[[FIRST, FIRST + 1, FIRST + 70, FIRST + 71]]
    found = due_weights(model, ds, times[[FIRST + 80]], earlier, FRAMES_OUT)
    np.testing.assert_allclose(found, by_replay(model, ds, earlier, times[[FIRST + 80]]), atol=1e-6)
