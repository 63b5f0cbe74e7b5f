"""Settings: every value that does not fit is refused at once, where it stands and in words."""

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from simvp.errors import ConfigError
from simvp.settings import Settings


class Schedule(Settings):
    epochs: int = Field(default=3, ge=1)
    kind: Literal["fast", "slow"] = "fast"


class Run(Settings):
    subject: ClassVar[str] = "Settings of the run"

    name: str
    schedule: Schedule = Schedule()
    cycle: Annotated[int, Field(ge=2)] | Literal["auto"] | None = None


def test_all_that_does_not_fit_is_said_at_once_in_its_place() -> None:
    with pytest.raises(ConfigError) as refused:
        Run(schedule={"epochs": 0, "kind": "quick", "epoch": 4}, nome="a")  # type: ignore[call-arg, arg-type]
    assert refused.value.subject == "Settings of the run"
    assert refused.value.reasons == (
        "name: expected a value, got none",
        "schedule.epochs: expected greater than or equal to 1, got 0",
        "schedule.kind: expected one of fast, slow, got 'quick'",
        "schedule.epoch: no setting of that name, got 4",
        "nome: no setting of that name, got 'a'",
    )
    assert refused.value.remedy == "the settings are name, schedule, cycle"


@pytest.mark.parametrize(
    ("cycle", "expected"),
    [(1, "greater than or equal to 2, or one of auto"), ("yearly", "a valid integer, or one of auto")],
)
def test_the_alternatives_of_a_setting_are_one_reason(cycle: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Run(name="a", cycle=cycle)
    assert refused.value.reasons == (f"cycle: expected {expected}, got {cycle!r}",)


def test_a_copy_with_changes_is_checked_as_a_new_one_is() -> None:
    run = Run(name="a", schedule=Schedule(epochs=5))
    assert run.replace(name="b") == Run(name="b", schedule=Schedule(epochs=5))
    assert run.name == "a"
    with pytest.raises(ConfigError, match="nome: no setting of that name, got 'b'"):
        run.replace(nome="b")
    with pytest.raises(ConfigError, match="expected greater than or equal to 1, got -1"):
        run.schedule.replace(epochs=-1)


def test_plain_values_go_there_and_back() -> None:
    run = Run(name="a", schedule=Schedule(kind="slow"))
    assert Run.model_validate(run.model_dump(mode="json")) == run
