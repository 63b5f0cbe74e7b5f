"""What a training can be told. Everything has a default but the data set; what the data decide is derived from them."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pipelines.windows import Choice, Mode
from simvp.contract import MISSING_SHARE
from simvp.networks import Variant
from simvp.settings import Settings

Size = Literal["auto", "none", "tiny", "small", "base", "paper"]

# Where and how fast, not what: these leave the training key as it is.
OPERATIONAL = frozenset({"device", "threads", "processes", "memory_mib", "checkpoint_every"})


def _checked_cycle(value: Any) -> Any:
    """A cycle; data without one is also said by a word, for TOML and a command line have no null."""
    if value in (None, "none"):
        return None
    if value == "auto" or (isinstance(value, int) and value >= 2):
        return value
    raise ValueError("expected 2 steps or more, auto, or none")


class LoopConfig(Settings):
    """Settings of the loop: how long, how fast, in what arithmetic."""

    epochs: int = Field(default=10, ge=1, le=100_000, description="Epochs, at most; the schedule is made for them.")
    epoch_updates: int = Field(default=50, ge=1, description="Updates of an epoch; a score on validation ends it.")
    batch_size: int = Field(default=8, ge=1, le=4096, description="Windows per update; all come once before a repeat.")
    learning_rate: float = Field(default=4e-3, gt=0, le=1, description="Highest rate of the one-cycle schedule.")
    warm_up: float = Field(default=0.25, ge=0, lt=1, description="Share of the updates in which the rate goes up.")
    weight_decay: float = Field(default=0.05, ge=0, le=1, description="Weight decay of AdamW.")
    clip: float = Field(default=1.0, gt=0, description="Norm to which a gradient is cut down.")
    averaging: float = Field(default=0.98, ge=0, lt=1, description="Share of the average weights that an update keeps.")
    patience: int = Field(
        default=10, ge=1, description="Epochs without a better validation loss before it stops, in the last third."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of weights and order.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Arithmetic inside the network; auto: bfloat16 where the device is faster with it."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where to train; auto: CUDA if present.")
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of the arithmetic, in each process; by default PyTorch's."
    )
    processes: int = Field(
        default=1, ge=1, description="Processes of this machine that share each batch; as many as GPUs, 1 on CPUs."
    )
    checkpoint_every: int = Field(default=25, ge=1, description="Updates between checkpoints, beside one each epoch.")
    divergence: float = Field(
        default=0.0, ge=0, description="Weight of TAU's differential divergence beside the squared error (theirs: 0.1)."
    )


class SourceSettings(Settings):
    """Where known future inputs or static maps come from, and how their files are read."""

    subject: ClassVar[str] = "settings of a source beside the frames"

    source: str | list[str] = Field(
        description="A path, a folder, a glob or an address, as that of the frames; of known inputs also a CSV: a "
        "column of times, and one for each variable."
    )
    variables: list[str] | None = Field(default=None, description="Variables to keep; all by default.")
    units: dict[str, str] | None = Field(
        default=None, description='Units of variables whose files state none, as a CSV does: holiday = "1".'
    )
    select: dict[str, str | int | float] | None = Field(
        default=None, description='One value of every further axis, as lead = "24h" of a numerical forecast.'
    )


class TrainSettings(LoopConfig):
    """Settings of a training on whatever archive."""

    subject: ClassVar[str] = "settings of the training"

    variables: tuple[str, ...] = Field(default=(), description="Variables to predict; all of the archive where empty.")
    log1p: tuple[str, ...] | Literal["auto"] = Field(
        default="auto",
        description="Variables (rain, counts) to learn on a logarithmic scale; auto: those that look like amounts.",
    )
    bounds: dict[str, tuple[float | None, float | None]] = Field(
        default={}, description="Lowest and highest value a forecast may have, by variable, in its units."
    )
    missing_share: float = Field(
        default=MISSING_SHARE,
        ge=0,
        lt=1,
        description="Most of the points of a frame that may be missing, as a share; of less, inputs are filled.",
    )
    known: tuple[str, ...] | None = Field(
        default=None,
        description="Known future inputs to learn from; by default all that were ingested, none where empty.",
    )
    static: SourceSettings | None = Field(
        default=None, description="Static maps for the network, as orography: a section [train.static]."
    )
    mode: Mode | None = Field(
        default=None,
        description="study: periods that stay; operations: the newest days are held out, and move along. By default a "
        "study where the source or these settings fix the held-out period, else operations.",
    )
    periods: Choice = Field(default=Choice(), description="Periods as far as they are given; the rest is derived.")
    frames_in: int | None = Field(default=None, ge=1, le=512, description="T, input frames; by default from the step.")
    frames_out: int | None = Field(default=None, ge=1, le=512, description="T', predicted frames; by default T // 2.")
    cycle: Annotated[
        int | Literal["auto"] | None,
        BeforeValidator(
            _checked_cycle, json_schema_input_type=Annotated[int, Field(ge=2)] | Literal["auto", "none"] | None
        ),
    ] = Field(
        default="auto",
        description="Steps of the seasonal cycle (24 for hourly data with a daily one); auto: as the data show; "
        "none: data without one.",
    )
    size: Size = Field(
        default="auto",
        description="Width and depth of the network; none: the base forecast alone; auto: small, and none where data "
        "are too few.",
    )
    mixture: bool = Field(
        default=True,
        description="Issue the mean of corrected base, base and baselines that verified errors speak for; else the "
        "corrected base.",
    )
    variant: Variant = Field(
        default="simvp", description="Member of the family: simvp (the paper's), incepu, gsta or tau (OpenSTL's)."
    )
    drift: float | None = Field(
        default=None,
        ge=0,
        le=5,
        description="Random offset of training windows, in standard deviations of departures; by default as the data "
        "say.",
    )
    validation_windows: int = Field(default=512, ge=1, description="Most windows scored after an epoch; evenly spread.")
    memory_mib: int = Field(default=2048, ge=0, description="MiB for frames; a longer archive is read in runs of them.")


class TrainConfig(TrainSettings):
    """Settings of a training on the archive of a data set."""

    dataset: str = Field(description="Name of the data set whose archive is trained on.")
