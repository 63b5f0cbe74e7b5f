"""Public SimVP checkpoints: sizes read off the tensors, names translated to ours.

Known are the networks of the paper's code (github.com/A4Bio/SimVP) and of OpenSTL (github.com/chengtan9907/OpenSTL;
IncepU, gSTA and TAU), as bare state dicts or within the checkpoints of either project and of Lightning. Their sizes
live elsewhere, and what the files tell of them is in the tensors' shapes alone.
"""

import codecs
import pickletools
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from simvp.errors import ConfigError, SourceError
from simvp.networks.config import INCEPTION, SimVPConfig
from simvp.networks.saved import loaded
from simvp.networks.simvp import SimVP

MANY = 6  # names in a message
LONGEST_CODEC = 20  # characters of its name
REMEDY = (
    "give a checkpoint of github.com/A4Bio/SimVP or github.com/chengtan9907/OpenSTL (incepu, gsta, tau); "
    "models trained here are opened with simvp.load"
)
EXTRACT = "where it was trained, save the weights alone, torch.save(model.state_dict(), 'weights.pth'), and give these"
NO_TRANSLATOR = "they are not one of incepu, gsta, tau"
CONTAINERS = ("state_dict", "model_state_dict", "model")
WRAPPERS = r"(?:(?:model|module|_orig_mod)\.)*"  # of Lightning, DistributedDataParallel, torch.compile
LEAVES = r"(?:\.(?:weight|bias|running_mean|running_var|num_batches_tracked))?"

# Public modules and ours; # is an index.
UNIT = "hid.enc.#.block."
MODULES = {
    "enc.enc.#.conv.conv": "encoder.blocks.#.conv",
    "enc.enc.#.conv.norm": "encoder.blocks.#.norm",
    "hid.enc.#.conv1": "translator.down.#.squeeze",
    "hid.enc.#.layers.#.conv": "translator.down.#.branches.#.conv",
    "hid.enc.#.layers.#.norm": "translator.down.#.branches.#.norm",
    "hid.dec.#.conv1": "translator.up.#.squeeze",
    "hid.dec.#.layers.#.conv": "translator.up.#.branches.#.conv",
    "hid.dec.#.layers.#.norm": "translator.up.#.branches.#.norm",
    UNIT + "norm1": "translator.blocks.#.norm1",
    UNIT + "attn.proj_1": "translator.blocks.#.attention.proj_in",
    UNIT + "attn.spatial_gating_unit.conv0": "translator.blocks.#.attention.near",
    UNIT + "attn.spatial_gating_unit.conv_spatial": "translator.blocks.#.attention.far",
    UNIT + "attn.spatial_gating_unit.conv1": "translator.blocks.#.attention.mix",
    UNIT + "attn.spatial_gating_unit.fc.0": "translator.blocks.#.attention.squeeze",
    UNIT + "attn.spatial_gating_unit.fc.2": "translator.blocks.#.attention.excite",
    UNIT + "attn.proj_2": "translator.blocks.#.attention.proj_out",
    UNIT + "layer_scale_1": "translator.blocks.#.scale1",
    UNIT + "norm2": "translator.blocks.#.norm2",
    UNIT + "mlp.fc1": "translator.blocks.#.mlp.widen",
    UNIT + "mlp.dwconv.dwconv": "translator.blocks.#.mlp.depthwise",
    UNIT + "mlp.fc2": "translator.blocks.#.mlp.narrow",
    UNIT + "layer_scale_2": "translator.blocks.#.scale2",
    "hid.enc.#.reduction": "translator.blocks.#.reduction",
    "dec.dec.#.conv.conv": "decoder.blocks.#.conv",
    "dec.dec.#.conv.conv.0": "decoder.blocks.#.conv",  # of OpenSTL, before a PixelShuffle
    "dec.dec.#.conv.norm": "decoder.blocks.#.norm",
    "dec.readout": "decoder.readout",
}
PATTERNS = tuple(
    (re.compile(re.escape(theirs).replace(r"\#", r"(\d+)") + f"({LEAVES})"), ours.replace("#", "{}"))
    for theirs, ours in MODULES.items()
)
SHUFFLED = re.compile(rf"dec\.dec\.\d+\.conv\.conv\.0{LEAVES}")


class LeftOut:
    """Stands for an object of a checkpoint that is not needed: takes what it is given and keeps nothing."""

    def __init__(self, *values: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# What checkpoints hold beside tensors and plain values: hyperparameters with settings, paths and numpy's numbers, and
# the one-cycle schedule, which torch stored with a method of it (by getattr) until 2.3. None of these is imported or
# called: each name means a stand-in.
HARMLESS = frozenset(
    {
        "argparse.Namespace",
        "builtins.getattr",
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "torch.optim.lr_scheduler.OneCycleLR",
    }
)
_LOADING = Lock()  # the names that torch lets pass are the process's


def from_pretrained(
    path: str | Path,
    *,
    N_T: int | None = None,
    drop_path: float | None = None,
) -> SimVP:
    """Network of a public SimVP checkpoint, in eval mode.

    Only tensors and plain values are read; nothing in the file is executed. What stands beside the network and is no
    layer's weight (counters, states of metrics) is left out.

    The shapes do not tell T' (taken to be T), and groups of normalisations (those of the convolutions, as in the public
    code).

    Parameters
    ----------
    path
        What `torch.save` wrote in one of the public codes: a state dict, or a checkpoint that holds one (of
        Lightning, or with epoch and optimizer).
    N_T
        Blocks of the translator, which the tensors tell but for one case: where hid_T is T * hid_S, the paper's code
        saves two blocks for N_T 1 as well as for N_T 2, and uses one of them.
    drop_path
        For training on, of ``gsta`` and ``tau``: the forecast does not depend on it. By default what the checkpoint's
        hyperparameters say (OpenSTL's on Lightning do), else 0.

    Returns
    -------
    SimVP
        float32, on the CPU, (B, T, C, H, W) -> (B, T, C, H, W) with the file's T and C (`.config` has them).

    Raises
    ------
    SourceError
        If the file cannot be read, or if its tensors make up no network known here; says what they are. If they fit
        two networks and `N_T` is not given, or if they do not fit what is.
    ConfigError
        A `drop_path` that is no chance.
    """
    path = Path(path)
    if drop_path is not None:
        SimVPConfig(variant="gsta", drop_path=drop_path)  # refused here, and not as a fault of the file
    content = _content(path)
    public = _public_tensors(path, content)
    tensors = {str(_our_name(name)): tensor for name, tensor in public.items()}
    try:
        _refuse_absent(path, tensors)
        config = _config(tensors, shuffles=any(SHUFFLED.fullmatch(name) for name in public))
        config = _with_blocks(path, config, N_T)
        chance = (0.0 if config.variant in INCEPTION else _drop_path(content)) if drop_path is None else drop_path
        config = config.replace(drop_path=chance)
        return loaded(config, _of_blocks(tensors, config))
    except SourceError:
        raise
    except KeyError as missing:
        reason = f"{missing.args[0]}: expected among the tensors, which are {_some(sorted(tensors))}"
        raise _no_fit(path, [reason]) from None
    except (IndexError, ZeroDivisionError):
        raise _no_fit(path, ["the convolutions' weights do not have four dims of one or more"]) from None
    except ConfigError as error:
        raise _no_fit(path, error.reasons) from None
    except (RuntimeError, OverflowError, TypeError, ValueError) as error:  # of shapes and kinds that no layer has
        raise _no_fit(path, [str(error).partition("\n")[0]]) from error


def refuse_packed(path: str | Path) -> None:
    """Refuse a file of `torch.save` that could take more memory than it has bytes, before it is read.

    `torch.save` packs nothing, so that what is packed was made by another hand: a few kilobytes of zeros become
    gigabytes. And what it calls to build an object is allowed by PyTorch where it runs no code, though it may grow:
    a bytearray of any length, text encoded by codecs that double it.

    Raises
    ------
    SourceError
        Which of these it is.
    """
    subject, remedy = (
        f"checkpoint {path} cannot be read",
        f"it was not written by torch.save: copy it again; or, {EXTRACT}",
    )
    if not zipfile.is_zipfile(path):
        return  # of before 2020: its sizes are compared with its bytes by PyTorch
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
            size, there = sum(member.file_size for member in members), Path(path).stat().st_size
            if packed:
                raise SourceError(subject, [f"expected nothing packed in it, got {_some(packed)}"], remedy)
            if size > there:
                raise SourceError(subject, [f"expected at most its {there} bytes in it, got {size}"], remedy)
            pickles = [file.read(member) for member in members if member.filename.endswith(".pkl")]
    except SourceError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SourceError(subject, [f"it is damaged: {error}"], f"copy it again; or, {EXTRACT}") from error
    if growing := sorted({name for content in pickles for name in _growing(content)}):
        raise SourceError(subject, [f"it calls what may take any memory: {_some(growing)}"], EXTRACT)


def _growing(content: bytes) -> Iterator[str]:
    """Names in a pickle by which it can become larger than it is."""
    try:
        for _operation, value, _ in pickletools.genops(content):
            if value in ("__builtin__ bytearray", "builtins bytearray"):
                yield "bytearray"
            elif isinstance(value, str) and len(value) < LONGEST_CODEC and value.isascii() and _packs(value):
                yield f"the codec {value}"
    except (ValueError, UnicodeDecodeError, IndexError):  # torch says that it is damaged
        return


def _packs(name: str) -> bool:
    """Whether this is a codec of bytes, such as hex and zlib, and not one of texts."""
    try:
        return not codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False


def _refuse_absent(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that were made without values in the file, such as a `torch.FloatTensor` of a length alone."""
    stored = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in tensors.values()}
    if (size := sum(stored.values())) > (there := path.stat().st_size):
        raise _no_fit(path, [f"its tensors take {size} bytes, of which the file has {there} at most"])


def _content(path: Path) -> Any:
    """What the file holds, with stand-ins for what is neither a tensor nor a plain value."""
    if not path.is_file():
        raise SourceError(f"checkpoint {path}", ["no such file"], "give the path of a file that torch.save wrote")
    refuse_packed(path)
    try:
        classes = set(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # of an older format, or damaged; torch raises whatever its reader ran into
        classes = set(HARMLESS)
    if foreign := sorted(classes - HARMLESS):
        reason = f"it holds objects of foreign classes or functions, which are not called here: {_some(foreign)}"
        raise SourceError(f"checkpoint {path} cannot be read", [reason], EXTRACT)
    try:
        with _LOADING, torch.serialization.safe_globals([(LeftOut, name) for name in classes]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # again, and torch advises to trust the file
        kind = ", ".join([type(error).__name__, *re.findall(r"GLOBAL ([\w.]+\w)", str(error))])
        reason = f"it is damaged, or holds more than tensors and plain values ({kind})"
        raise SourceError(f"checkpoint {path} cannot be read", [reason], f"copy it again; or, {EXTRACT}") from error


def _public_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """Tensors of the network by public name, without the prefixes of what it was wrapped in."""
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise _no_fit(path, [f"expected named tensors, got {type(content).__name__} {str(content)[:60]}"])
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor) or type(name) is not str]
    if others:
        raise _no_fit(path, [f"{len(others)} of {len(content)} entries are no tensors: {_some(others)}"])

    own = _own_names(content)
    reasons = _foreign(content, own) + [
        f"{name}: expected dense floating-point values, got {tensor.dtype}, {tensor.layout}, {tensor.device}"
        for name, tensor in content.items()
        if name in own and not name.endswith(".num_batches_tracked")
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta
    ]
    doubles = Counter(_our_name(name) for name in own.values())
    reasons += [f"{name}: given under two names" for name, count in doubles.items() if name and count > 1]
    if reasons:
        raise _no_fit(path, reasons)
    return {name: content[full] for full, name in own.items()}


def _own_names(names: Iterable[str]) -> dict[str, str]:
    """The network's names as they are in the file, and without their prefix: the one that most of them have."""
    matches = [match for name in names if (match := re.fullmatch(rf"({WRAPPERS})((?:enc|hid|dec)\..+)", name))]
    prefix = Counter(match[1] for match in matches).most_common(1)[0][0] if matches else ""
    return {match[0]: match[2] for match in matches if match[1] == prefix}


def _foreign(content: Mapping[str, Tensor], own: Mapping[str, str]) -> list[str]:
    """Reasons, if there are tensors of other networks, be it inside this one or beside it."""
    reasons = _other_translator(own.values())
    foreign = [name for name, inner in own.items() if _our_name(inner) is None and not (reasons and ".block." in name)]
    foreign += [name for name, tensor in content.items() if name not in own and (not own or _is_weight(name, tensor))]
    if foreign:
        reasons.append(f"{len(foreign)} of {len(content)} tensors are not its own: {_some(sorted(foreign))}")
    return reasons


def _is_weight(name: str, tensor: Tensor) -> bool:
    """Whether a tensor beside the network is of a layer, and no counter and no state of a metric."""
    return tensor.ndim > 1 or name.rpartition(".")[2] in ("weight", "bias")


def _other_translator(names: Iterable[str]) -> list[str]:
    """Reason, if translator blocks of OpenSTL are there and neither gSTA's nor TAU's."""
    ours = {module.removeprefix(UNIT) for module in MODULES if module.startswith(UNIT)}
    theirs = {match[1] for name in names if (match := re.fullmatch(rf"hid\.enc\.\d+\.block\.(.+?){LEAVES}", name))}
    if strange := sorted(theirs - ours):
        return [f"its translator blocks have {_some(strange)}: {NO_TRANSLATOR}"]
    missing = sorted(module for module in ours - theirs if ".fc." not in module)
    return [f"its translator blocks lack {_some(missing)}: {NO_TRANSLATOR}"] if theirs and missing else []


def _our_name(name: str) -> str | None:
    for theirs, ours in PATTERNS:
        if match := theirs.fullmatch(name):
            *indices, leaf = match.groups()
            return ours.format(*indices) + leaf
    return None


def _config(state: Mapping[str, Tensor], shuffles: bool) -> SimVPConfig:
    """Config that the shapes imply; KeyError names the first tensor that is needed and missing.

    `shuffles`: whether the decoder upsamples by PixelShuffle, as OpenSTL's does.
    """
    first, readout = state["encoder.blocks.0.conv.weight"].shape, state["decoder.readout.weight"].shape
    count = _count(state, r"encoder\.blocks\.(\d+)\..*")
    last = state[f"decoder.blocks.{count - 1}.conv.weight"].shape  # (hid_S, hid_S or 2 * hid_S, k, k)
    attention = any(name.startswith("translator.blocks.") for name in state)
    joined = last[1] != first[0]
    if count == 1 and not (attention or joined):
        reason = "N_S 1 without upsampling: simvp without its spatial shortcut and incepu have the same tensors"
        raise ConfigError("Variant", [reason])
    width, sizes = _attention_sizes(state) if attention else _inception_sizes(state)
    plain = not (attention or shuffles)
    return SimVPConfig(
        **{"variant": "simvp" if plain else "incepu"} | sizes,
        frames_in=width // first[0],
        frames_out=width // first[0],
        channels_in=first[1],
        channels_out=readout[0],
        hid_S=first[0],
        N_S=count,
        spatial_shortcut=joined or not plain,
        group_norm=any(".norm." in name for name in state),
        kernel_enc=first[3],
        kernel_dec=last[3],
    )


def _inception_sizes(state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
    """T * hid_S, and the sizes of an Inception U-Net."""
    squeeze = state["translator.down.0.squeeze.weight"].shape  # (hid_T // 2, T * hid_S, 1, 1)
    branch = state["translator.down.0.branches.0.conv.weight"].shape  # (hid_T, hid_T // 2 / groups, k, k)
    branches = range(_count(state, r"translator\.down\.0\.branches\.(\d+)\..*"))
    count = _count(state, r"translator\.down\.(\d+)\..*")
    return squeeze[1], {
        "hid_T": branch[0],
        "N_T": count,
        "groups": squeeze[0] // branch[1],
        "kernels": tuple(state[f"translator.down.0.branches.{i}.conv.weight"].shape[3] for i in branches),
        "temporal_shortcuts": count == 1 or state["translator.up.1.squeeze.weight"].shape[1] != branch[0],
    }


def _with_blocks(path: Path, config: SimVPConfig, N_T: int | None) -> SimVPConfig:
    """The config with the blocks that the paper's code uses of those that it saved.

    Its U-Net makes a first and a last block each way whatever N_T is, and goes through the first N_T of them: with
    N_T 1 the widths fit only where hid_T is T * hid_S.
    """
    either = config.variant == "simvp" and config.N_T == 2 and config.temporal_shortcuts
    fitting = (1, 2) if either and config.hid_T == config.frames_in * config.hid_S else (config.N_T,)
    if N_T is None and len(fitting) > 1:
        reason = "N_T: its tensors are those of 1 and of 2 alike, which give other forecasts"
        remedy = "say which it was trained with: from_pretrained(path, N_T=2), or --set N_T=2 of `simvp benchmark`"
        raise SourceError(f"checkpoint {path} fits two networks", [reason], remedy)
    if N_T is not None and N_T not in fitting:
        raise _no_fit(path, [f"N_T: expected {' or '.join(map(str, fitting))} by its tensors, got {N_T}"])
    return config if N_T is None else config.replace(N_T=N_T)


def _of_blocks(state: Mapping[str, Tensor], config: SimVPConfig) -> dict[str, Tensor]:
    """The tensors without those of blocks of the U-Net that are saved and never used."""
    unused = re.compile(rf"translator\.(?:down|up)\.(?!(?:{'|'.join(map(str, range(config.N_T)))})\.)")
    return {name: tensor for name, tensor in state.items() if not unused.match(name)}


def _drop_path(content: Any) -> float:
    """What the hyperparameters of a Lightning checkpoint say of it; 0 where there are none."""
    given = content.get("hyper_parameters") if isinstance(content, Mapping) else None
    value = given.get("drop_path", 0.0) if isinstance(given, Mapping) else 0.0
    return float(value) if isinstance(value, int | float) else 0.0


def _attention_sizes(state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
    """T * hid_S, and the sizes of a stack of attention blocks."""
    mix = state["translator.blocks.0.attention.mix.weight"].shape  # (2 * T * hid_S or T * hid_S, T * hid_S, 1, 1)
    width, hid_T = mix[1], state["translator.blocks.1.attention.mix.weight"].shape[1]
    tau = "translator.blocks.0.attention.squeeze.weight" in state
    if mix[0] == width and not tau:
        reason = "attn.spatial_gating_unit.conv1 that mixes without a gate, and no attn.spatial_gating_unit.fc"
        raise ConfigError("Translator", [f"its translator blocks have {reason}, as VAN's do: {NO_TRANSLATOR}"])
    widths = {size: state[f"translator.blocks.{i}.mlp.widen.weight"].shape[0] for i, size in enumerate((width, hid_T))}
    return width, {
        "variant": "tau" if tau else "gsta",
        "hid_T": hid_T,
        "N_T": _count(state, r"translator\.blocks\.(\d+)\..*"),
        "mlp_ratio": _ratio(widths),
    }


def _ratio(widths: Mapping[int, int]) -> float:
    """Shortest decimal number by which every width, rounded down, becomes its width inside the MLP."""
    least = max(inner / width for width, inner in widths.items())
    decimals = (ceil(least * 10**digits) / 10**digits for digits in range(16))
    return next((r for r in decimals if all(int(width * r) == inner for width, inner in widths.items())), least)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in state if (match := re.fullmatch(pattern, name))})


def _no_fit(path: Path, reasons: Sequence[str]) -> SourceError:
    return SourceError(f"checkpoint {path} holds no SimVP of the published code", reasons, REMEDY)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MANY]) + (f" and {len(names) - MANY} more" if len(names) > MANY else "")
