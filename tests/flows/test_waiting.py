"""How threads wait: asleep beside other work, else as PyTorch has it; what the environment says holds."""

import importlib
import os

import pytest

import flows

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def chosen(monkeypatch: pytest.MonkeyPatch, load: float, **given: str) -> dict[str, str]:
    """What a flow that starts on a machine with this load adds to its environment."""
    environment = dict(given)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
        patch.setattr(os, "environ", environment)
        importlib.reload(flows)
    return environment


def test_threads_sleep_where_something_else_wants_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, 0.5) == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
    assert chosen(monkeypatch, 0.49) == {}


def test_the_environment_s_word_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "7"}
    assert chosen(monkeypatch, 3.0, **given) == given


def test_a_system_without_a_load_has_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> tuple[float, float, float]:
        raise OSError("no load")

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert not flows.waits_asleep()
    monkeypatch.delattr(os, "getloadavg")
    assert not flows.waits_asleep()
