"""Settings: every value that does not fit is refused at once, where it stands and in words."""

from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st
from pydantic import Field

from simvp.errors import ConfigError
from simvp.settings import Settings, shown_address, without_secrets


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
        "schedule.epoch: no setting of that name (did you mean 'epochs'?), got 4",
        "nome: no setting of that name (did you mean 'name'?), got 'a'",
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
    with pytest.raises(ConfigError, match=r"nome: no setting of that name \(did you mean 'name'\?\), got 'b'"):
        run.replace(nome="b")
    with pytest.raises(ConfigError, match="expected greater than or equal to 1, got -1"):
        run.schedule.replace(epochs=-1)


def test_plain_values_go_there_and_back() -> None:
    run = Run(name="a", schedule=Schedule(kind="slow"))
    assert Run.model_validate(run.model_dump(mode="json")) == run


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://simvp:secret@db:5432/mlflow?sslmode=require", "postgresql://db:5432/mlflow"),
        ("postgresql+asyncpg://simvp@db/prefect", "postgresql+asyncpg://db/prefect"),
        ("postgresql://simvp:se/cr@et@[::1]:5432/mlflow", "postgresql://[::1]:5432/mlflow"),
        ("postgresql://simvp:12/34@db/mlflow", "postgresql://db/mlflow"),
        ("http://me:secret@tracking:5000/", "http://tracking:5000/"),
        ("http://me:se/cr@tracking:5000/", "http://..."),
        ("http://me:se?cr@tracking:5000/", "http://..."),
        ("https://files/rain@2x.nc?X-Amz-Signature=abc#part", "https://files/rain@2x.nc"),
        ("https://account.blob.core.windows.net/c/a.nc?sv=1&sig=abc", "https://account.blob.core.windows.net/c/a.nc"),
        ("simplecache::https://me:secret@files/a.nc", "simplecache::https://files/a.nc"),
        ("s3://fields/simvp@2020", "s3://fields/simvp@2020"),
        ("wasbs://container@account.blob.core.windows.net/a", "wasbs://container@account.blob.core.windows.net/a"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("/data/a?b@c.nc", "/data/a?b@c.nc"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_is_secret_in_it(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@given(
    st.sampled_from(["postgresql", "postgresql+psycopg", "mysql", "http", "https"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4).map(lambda text: f"Q{text}Q"),
)
def test_no_password_is_shown(scheme: str, password: str) -> None:
    address = f"{scheme}://User:{quote(password, safe='')}@db:5432/mlflow"
    assert shown_address(address) == f"{scheme}://db:5432/mlflow"
    error = f"cannot connect to {address} as {password!s} with {quote(password, safe='')}: no"
    hidden = without_secrets(error, address)
    assert password not in hidden
    assert quote(password, safe="") not in hidden
    assert hidden.startswith(f"cannot connect to {scheme}://db:5432/mlflow as ")


def test_a_text_without_secrets_stays_as_it_is() -> None:
    assert without_secrets("no such table", "sqlite:////a/mlflow.db") == "no such table"
    assert without_secrets("API request to http://me:pw@t:5000/api failed", "http://me:pw@t:5000/") == (
        "API request to http://t:5000/api failed"
    )
