"""Simulated series have the skill and the memory that they are asked for; the tables hold what was simulated."""

import numpy as np
import pytest

from performance.gate import __main__ as command
from performance.gate.bounds import TESTS
from performance.gate.series import BLOCK, World
from pipelines.tracking.provenance import CHECKOUT


def test_series_have_the_skill_and_the_memory_asked_for() -> None:
    gains = World(memory=0.9, better=0.1).gains(400, 20, seed=1)
    assert gains.shape == (400, 20 * BLOCK)
    # Mean squared errors 1 and 0.9^2.
    assert gains.mean() == pytest.approx(0.19, abs=0.04)  # four standard errors
    assert World(memory=0.9).gains(400, 20, seed=1).mean() == pytest.approx(0.0, abs=0.04)
    # Means of 12 independent values of variance 2 * 2: 4 / 12, and neighbours share eleven of them.
    plain = World(memory=0.0).gains(2000, 5, seed=2)
    assert plain.var() == pytest.approx(4 / 12, rel=0.05)
    assert (plain[:, 1:] * plain[:, :-1]).mean() / plain.var() == pytest.approx(11 / 12, abs=0.01)
    # Errors that are nearly the same leave little between the two: squares correlate at 0.81.
    shared = World(memory=0.0, shared=0.9).gains(2000, 5, seed=3)
    assert shared.var() / plain.var() == pytest.approx(1 - 0.81, abs=0.02)
    # A reference whose squared error is always one: never gained more than that.
    alike = World(memory=0.9, alike=True).gains(400, 20, seed=1)
    assert alike.max() <= 1
    assert alike.mean() == pytest.approx(0.0, abs=0.03)


def test_at_equal_size_what_errs_too_often_finds_no_more() -> None:
    null, better = World(memory=0.5), World(memory=0.5, better=0.1)
    p = {null: np.linspace(0.005, 0.995, 100), better: np.linspace(0.0005, 0.0995, 100)}
    # One test halves every p-value of the other: it errs twice as often, and finds the same at equal size.
    made = {("a", 5, world): values for world, values in p.items()}
    made |= {("b", 5, world): values / 2 for world, values in p.items()}
    assert command._share(made, "a", 5, null) == pytest.approx(10)
    assert command._share(made, "b", 5, null) == pytest.approx(20)
    assert command._share(made, "a", 5, better, equal=True) == command._share(made, "b", 5, better, equal=True)


def test_the_command_prints_every_test(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "BLOCKS", (5,))
    monkeypatch.setattr(command, "MEMORY", (0.8,))
    command.main(["--rows", "20"])
    printed = capsys.readouterr().out
    assert printed.count("**Power at equal size") == 2
    for name in TESTS:
        assert printed.count(f"| {name} | 5 |") == 3, name


def test_the_page_has_the_tables_of_the_command() -> None:
    page = (CHECKOUT / "docs" / "gate.md").read_text()
    assert "python -m performance.gate" in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for name in TESTS:
        for blocks in command.BLOCKS:
            assert sum(row.startswith(f"| {name} | {blocks} |") for row in rows) == 3, name
