"""A model at a glance: what a notebook shows of it, as text and as HTML with a small map."""

import base64
import html
import math
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simvp.coords import Grid
from simvp.scoring import NAMES

if TYPE_CHECKING:
    from simvp.contract import FrameSpec
    from simvp.inference.forecaster import Forecaster

SHOWN = 6
PIXELS = 160  # of the longer side of the picture
# From low to high: even in lightness, also for those who tell no red from green (colours of matplotlib's viridis).
_COLOURS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], float)

Row = tuple[str, str]


def as_text(model: "Forecaster") -> str:
    """A few lines: name, variables, grid, times, period, what it is made of, and its skill where that is known."""
    lines = [*((name, [text]) for name, text in _rows(model)), *_skill(model).items()]
    width = max(len(name) for name, _ in lines)
    rows = [
        f"  {'' if number else name:<{width}}  {text}" for name, texts in lines for number, text in enumerate(texts)
    ]
    return "\n".join([f"<simvp.Forecaster {model.version}, fingerprint {model.fingerprint}>", *rows])


def as_html(model: "Forecaster") -> str:
    """The same as a table, with where the grid lies on the earth and the mean of the first variable beside it."""
    cell = "style='text-align:left;vertical-align:top;padding:2px 12px 2px 0'"
    lines = [*((name, [text]) for name, text in _rows(model)), *_skill(model).items()]
    rows = "".join(
        f"<tr><th {cell}>{html.escape(name)}</th><td {cell}>{'<br>'.join(map(html.escape, texts))}</td></tr>"
        for name, texts in lines
    )
    head = f"<b>simvp.Forecaster</b> {html.escape(model.version)} <code>{model.fingerprint}</code>"
    parts = (part for part in (_globe(model.spec.grid), _mean(model.spec)) if part)
    pictures = "".join(f"<div style='margin-bottom:8px'>{part}</div>" for part in parts)
    return (
        f"<div style='font-size:90%'><div style='margin-bottom:4px'>{head}</div>"
        "<div style='display:flex;flex-wrap:wrap;align-items:flex-start'>"
        f"<table style='margin:0 12px 8px 0'>{rows}</table><div>{pictures}</div></div></div>"
    )


def _rows(model: "Forecaster") -> list[Row]:
    spec, grid = model.spec, model.spec.grid
    variables = [f"{c.name} [{c.units}] {c.attrs.get('long_name', '')}".strip() for c in spec.state_channels]
    more = [f"and {len(variables) - SHOWN} more"] if len(variables) > SHOWN else []
    height, width = spec.shape
    masked = 1 - float(spec.mask.mean())
    spans = [f"{dim} {_span(axis)}{_unit(grid, dim)}" for dim, axis in grid.axes.items()]
    kind = {"latlon": "latitude and longitude", "index": "rows and columns"}.get(grid.kind, grid.kind)
    where = f"{height} x {width}, {kind}: {', '.join(spans)}"
    if masked:
        where += f"; {masked:.0%} without values"
    furthest = spec.step.horizon(spec.frames_out)
    times = f"every {spec.step}; T = {spec.frames_in} frames in, T' = {spec.frames_out} out, {furthest}"
    if model.history > spec.frames_in:
        times += f"; looks back {model.history} frames where they are there"
    if spec.calendar not in ("proleptic_gregorian", "standard"):
        times += f"; calendar {spec.calendar}"
    rows = [("variables", ", ".join([*variables[:SHOWN], *more])), ("grid", where), ("times", times)]
    known = ", ".join(f"{c.name} [{c.units}]" for c in spec.known_channels)
    rows += [("known inputs", f"{known}, for the valid times too: known=")] if known else []
    rows.append(("trained on", _period(spec.fitted_on)))
    rows.append(("made of", ", ".join(_parts(model))))
    own = [("data set", "dataset"), ("institution", "institution"), ("code", "code_version")]
    return rows + [(name, str(model.provenance[key])) for name, key in own if model.provenance.get(key)]


def _parts(model: "Forecaster") -> list[str]:
    parts = []
    if model.base is not None:
        parts.append("linear base forecast")
    if model.network is not None:
        count = sum(weights.numel() for weights in model.network.parameters())
        parts.append(f"SimVP network with {count:,} parameters")
    if model.mixture is not None:
        parts.append(f"mixture of {len(model.mixture.experts)} experts")
    return parts


def _period(fitted_on: Mapping[str, Any]) -> str:
    spans = [f"{str(start)[:16]} .. {str(end)[:16]}" for start, end in fitted_on.get("train", [])]
    shown = spans if len(spans) < 3 else [spans[0], f"... {len(spans) - 2} more ...", spans[-1]]
    commit = f", archive commit {fitted_on['archive_commit']}" if fitted_on.get("archive_commit") else ""
    return f"{', '.join(shown)} ({fitted_on.get('frames', '?')} frames{commit})"


def _skill(model: "Forecaster") -> dict[str, list[str]]:
    """RMSE on the validation blocks beside the best baseline, by variable; by lead where the model knows it."""
    combined = model.provenance.get("combination", {})
    found: dict[str, list[str]] = {}
    for channel in model.spec.state_channels:
        row = model.provenance.get("validation", {}).get(channel.name, {})
        over_all = combined.get("rmse", {}).get(channel.name, {})
        by_lead = combined.get("rmse_by_lead", {}).get(channel.name, {})
        lines = []
        if over_all or row:
            whole = over_all or {"model": row["rmse"], row["best_baseline"]: row["baseline_rmse"]}
            lines.append("RMSE over all leads " + _beside(whole, channel.units))
        for lead in _shown(len(by_lead.get("model", ()))):
            row = {name: values[lead] for name, values in by_lead.items()}
            lines.append(f"{model.spec.step.horizon(lead + 1)}: {_beside(row, channel.units)}")
        if lines:
            found[f"skill {channel.name}"] = lines
    return found


def _shown(leads: int) -> list[int]:
    """Leads of a long forecast: the first, the last, and some between, evenly."""
    return sorted({round(at) for at in np.linspace(0, leads - 1, min(leads, SHOWN))}) if leads else []


def _beside(rmse: Mapping[str, float], units: str) -> str:
    """RMSE of the model, and of the best baseline."""
    baselines = {name: value for name, value in rmse.items() if name in (*NAMES, "extrapolation") and _is_number(value)}
    text = f"{rmse['model']:.4g} {units}" if _is_number(rmse.get("model")) else "unknown"
    if not baselines:
        return text
    best = min(baselines, key=lambda name: baselines[name])
    known = baselines[best] > 0 and _is_number(rmse.get("model"))
    ratio = f", ratio {rmse['model'] / baselines[best]:.3f}" if known else ""
    return f"{text}, best baseline {baselines[best]:.4g} ({best.replace('_', ' ')}){ratio}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _span(axis: np.ndarray) -> str:
    step = abs(float(axis[1] - axis[0])) if len(axis) > 1 else 0.0
    return f"{axis[0]:g} .. {axis[-1]:g}" + (f" by {step:.4g}" if step else "")


def _unit(grid: Grid, dim: str) -> str:
    units = str(grid.attrs.get(dim, {}).get("units", ""))
    return "" if "degree" in units or units in ("", "1") else f" {units}"


def _outline(grid: Grid) -> list[tuple[np.ndarray, np.ndarray]]:
    """Longitudes and latitudes along each edge of the grid, degrees; none where it lies nowhere."""
    rows, columns = grid.rows, grid.columns
    if grid.latitude is not None and grid.longitude is not None:
        edges = (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])
        return [(grid.longitude[edge], grid.latitude[edge]) for edge in edges]
    y = [np.full(len(columns), rows[0]), np.full(len(columns), rows[-1]), rows, rows]
    x = [columns, columns, np.full(len(rows), columns[0]), np.full(len(rows), columns[-1])]
    if grid.kind == "latlon":
        return list(zip(x, y, strict=True))
    if grid.kind != "projected" or grid.mapping is None:
        return []
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    try:
        to_degrees = Transformer.from_crs(CRS.from_cf(dict(grid.mapping[1])), "EPSG:4326", always_xy=True)
    except (CRSError, KeyError):
        return []
    scale = 1000.0 if str(grid.attrs.get(grid.dims[0], {}).get("units", "")) == "km" else 1.0
    return [to_degrees.transform(scale * one, scale * other) for one, other in zip(x, y, strict=True)]


def _globe(grid: Grid) -> str:
    """The outline of the grid on a map of the earth in degrees, as SVG."""
    lines = []
    for longitude, latitude in _outline(grid):
        there = np.isfinite(longitude) & np.isfinite(latitude)
        x, y = (np.asarray(longitude)[there] + 180) % 360, 90 - np.asarray(latitude)[there]
        for part in np.split(np.arange(len(x)), np.flatnonzero(np.abs(np.diff(x)) > 180) + 1):  # across the date line
            part = part[:: max(1, len(part) // 60)] if len(part) > 120 else part
            if len(part):
                lines.append(f"<polyline points='{' '.join(f'{x[n]:.1f},{y[n]:.1f}' for n in part)}'/>")
    if not lines:
        return ""
    graticule = "".join(f"<line x1='{x}' y1='0' x2='{x}' y2='180'/>" for x in range(30, 360, 30))
    graticule += "".join(f"<line x1='0' y1='{y}' x2='360' y2='{y}'/>" for y in range(30, 180, 30))
    equator = "<line x1='0' y1='90' x2='360' y2='90' stroke-opacity='0.6'/>"
    return (
        "<svg viewBox='0 0 360 180' width='216' height='108' role='img' aria-label='where the grid lies on the earth'>"
        "<g stroke='currentColor' stroke-opacity='0.2' fill='none'>"
        f"<rect width='360' height='180' stroke-opacity='0.6'/>{graticule}{equator}</g>"
        # A grid that is smaller than a dot is a dot.
        f"<g fill='none' stroke='#d62728' stroke-width='3' stroke-linecap='round'>{''.join(lines)}</g></svg>"
        "<div style='font-size:80%'>where it lies, 180 W to 180 E</div>"
    )


def _mean(spec: "FrameSpec") -> str:
    """The climatology of the first variable as a picture, north above; without colour where there are no values."""
    first = spec.state_channels[0]
    values = np.asarray(first.climatology.values, float).mean((0, 1))
    values = np.where(first.valid, values, np.nan)
    if spec.grid.kind in ("latlon", "projected") and spec.grid.rows[0] < spec.grid.rows[-1]:
        values = values[::-1]
    if spec.grid.columns[0] > spec.grid.columns[-1]:
        values = values[:, ::-1]
    step = max(1, math.ceil(max(values.shape) / PIXELS))
    png = base64.b64encode(_png(values[::step, ::step])).decode()
    scale = PIXELS / max(values.shape)
    height, width = (max(8, round(scale * size)) for size in values.shape)
    name = html.escape(first.name, quote=True)
    return (
        f"<img src='data:image/png;base64,{png}' width='{width}' height='{height}' alt='mean of {name}' "
        "style='image-rendering:pixelated'>"
        f"<div style='font-size:80%'>mean of {name} in training{', logarithm' if first.log_scale else ''}</div>"
    )


def _png(values: np.ndarray) -> bytes:
    """Values (H, W) from low to high in colours, as a PNG with an alpha channel; NaN is transparent."""
    there = np.isfinite(values)
    low, high = (float(values[there].min()), float(values[there].max())) if there.any() else (0.0, 1.0)
    share = np.nan_to_num((values - low) / ((high - low) or 1.0)) * (len(_COLOURS) - 1)
    pixels = np.zeros((*values.shape, 4), np.uint8)
    for band in range(3):
        pixels[..., band] = np.interp(share, np.arange(len(_COLOURS)), _COLOURS[:, band]).round()
    pixels[..., 3] = np.where(there, 255, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # each with its filter: none
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    whole = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        whole += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole
