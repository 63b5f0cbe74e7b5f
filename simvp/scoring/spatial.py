"""Scores of the shape of fields: fractions skill score by scale, and energy by wavelength.

Fractions skill score (Roberts and Lean 2008, Monthly Weather Review 136, 78-97): of fields that say where a threshold
is reached, the fraction of points around each point that reach it, in a square of n x n points, f forecast and o
observed. FSS = 1 - sum (f - o)^2 / (sum f^2 + sum o^2), of sums over all points and maps: 1 where all is right, 0 where
nothing meets at this scale. Skilful from 1/2 + half the observed frequency on. Points that are not known, and those
beyond the edge, are in no square; a square has the fraction of those that it has.

Energy by wavelength: the discrete cosine transform of a map (Denis, Cote and Laprise 2002, Monthly Weather Review 130,
1812-1829), which needs no periodic edges. The variance of a coefficient (i, j) of H x W points belongs to the
wavelength 2 / sqrt((i / H)^2 + (j / W)^2) points, and is summed over bands of equal width in wavenumber; what is
shorter than the shortest wave along an axis, two points, belongs to the shortest band. A forecast that is smoother than
what comes true has less energy in short waves: the ratio of the energies of forecast and truth says how blurred it is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from simvp.coords import horizontal_dims, single_maps
from simvp.scoring.scores import align, beside, frames_of

SCALES = (1, 3, 5, 9, 17, 33)
"""Sides of squares, in points; those that are no longer than the shorter side of a map count."""

BANDS = 16
"""Most bands of wavelengths."""


def fractions_errors(
    forecasts: Mapping[str, xr.Dataset],
    truth: xr.Dataset,
    limits: Mapping[str, Sequence[float]],
    scales: Sequence[int] = SCALES,
) -> xr.Dataset:
    """Sums that the fractions skill score is made of, of every map.

    Parameters
    ----------
    forecasts, truth
        As for `simvp.scoring.compare`; all forecasts have all variables of `limits`.
    limits
        Thresholds of each variable, in its units; the same number for all.
    scales
        Odd sides of squares, in points.

    Returns
    -------
    xr.Dataset
        `difference`, sum (f - o)^2, `forecast`, sum f^2, and `observed`, sum o^2, all (contender, wet_variable,
        rank_of_threshold, scale, init_time, lead_time), and `points`, of the points that the truth and all forecasts
        know.
    """
    forecasts = {name: single_maps(forecast)[list(limits)] for name, forecast in forecasts.items()}
    first = next(iter(forecasts.values()))
    truth, positions = align(first, truth)
    systems = [first, *beside(first, list(forecasts.items())[1:])]
    dims = ("init_time", "lead_time", *horizontal_dims(first))
    sides = [side for side in sorted({1, *scales}) if side <= min(first.sizes[dim] for dim in dims[2:])]
    count = len(next(iter(limits.values())))
    shape = (len(systems), len(limits), count, len(sides), first.sizes["init_time"], first.sizes["lead_time"])
    sums = {name: np.zeros(shape) for name in ("difference", "forecast", "observed", "points")}
    for v, (name, edges) in enumerate(limits.items()):
        fields = [system[name].transpose(*dims) for system in systems]
        for i in range(shape[4]):
            maps = [field[i].values for field in fields]
            seen = frames_of(truth[name], positions[i], maps[0].dtype)
            known = np.logical_and.reduce([np.isfinite(values) for values in (seen, *maps)])
            for t, edge in enumerate(edges):
                for k, side in enumerate(sides):
                    o = _fractions(seen >= edge, known, side)
                    for s, values in enumerate(maps):
                        f = _fractions(values >= edge, known, side)
                        sums["difference"][s, v, t, k, i] = ((f - o) ** 2).sum((1, 2))
                        sums["forecast"][s, v, t, k, i] = (f**2).sum((1, 2))
                        sums["observed"][s, v, t, k, i] = (o**2).sum((1, 2))
                        sums["points"][s, v, t, k, i] = known.sum((1, 2))
    names = ("contender", "wet_variable", "rank_of_threshold", "scale", "init_time", "lead_time")
    coords = {
        "contender": list(forecasts),
        "wet_variable": list(limits),
        "threshold": (("wet_variable", "rank_of_threshold"), np.array([tuple(edges) for edges in limits.values()])),
        "scale": sides,
        "init_time": first["init_time"].variable,
        "lead_time": first["lead_time"].variable,
    }
    return xr.Dataset({key: (names, values) for key, values in sums.items()}, coords)


def fractions_skill(sums: xr.Dataset) -> xr.DataArray:
    """FSS of sums; NaN where neither forecast nor truth reached the threshold anywhere."""
    reference = sums["forecast"] + sums["observed"]
    return 1 - sums["difference"] / reference.where(reference > 0)


def contingency(sums: xr.Dataset) -> xr.Dataset:
    """What points that reach a threshold say one by one, of sums at the scale of one point.

    Returns
    -------
    xr.Dataset
        With hits h, misses m, false alarms f of n points, and h_r = (h + m) (h + f) / n hits by chance: `csi`,
        h / (h + m + f); `ets`, the equitable threat score (h - h_r) / (h + m + f - h_r); `frequency_bias`,
        (h + f) / (h + m). NaN where nothing was there to be hit, or by chance all is.
    """
    one = sums.sel(scale=1, drop=True)
    said, seen = one["forecast"], one["observed"]
    hits = (said + seen - one["difference"]) / 2
    every = said + seen - hits
    chance = said * seen / one["points"].where(one["points"] > 0)
    beyond = every - chance
    return xr.Dataset(
        {
            "csi": hits / every.where(every > 0),
            "ets": (hits - chance) / beyond.where(beyond > 0),
            "frequency_bias": said / seen.where(seen > 0),
        }
    )


def _fractions(reached: np.ndarray, known: np.ndarray, side: int) -> np.ndarray:
    """Fraction of the known points of squares around each point of maps (L, H, W) that reach; 0 at unknown points."""
    reached = np.where(known, reached, False).astype(np.float64)
    if side == 1:
        return reached
    size = (1, side, side)
    among = uniform_filter(known.astype(np.float64), size, mode="constant")
    hit = uniform_filter(reached, size, mode="constant")
    # Of running sums, whose rounding is no fraction.
    found = np.divide(hit, among, out=np.zeros_like(hit), where=among > 0.5 / side**2)
    return np.where(known, np.clip(found, 0.0, 1.0), 0.0)


def energy(forecasts: Mapping[str, xr.Dataset], truth: xr.Dataset) -> xr.Dataset:
    """Mean variance by band of wavelengths, of forecasts and of what came true.

    Parameters
    ----------
    forecasts, truth
        As for `simvp.scoring.compare`.

    Returns
    -------
    xr.Dataset
        `energy` (system, variable, lead_time, band) in squared units of the variable, of the maps that forecasts and
        truth know whole, `n` (variable, lead_time) of them; system "truth" comes first. Coordinate `wavelength` (band),
        in points, the longest first.
    """
    forecasts = {name: single_maps(forecast) for name, forecast in forecasts.items()}
    first = next(iter(forecasts.values()))
    truth, positions = align(first, truth)
    systems = [first, *beside(first, list(forecasts.items())[1:])]
    dims = ("init_time", "lead_time", *horizontal_dims(first))
    shape = tuple(first.sizes[dim] for dim in dims)
    bands, wavelength = _bands(shape[2:])
    names = [str(name) for name in first.data_vars]
    sums = np.zeros((len(systems) + 1, len(names), shape[1], len(wavelength)))
    count = np.zeros((len(names), shape[1]), np.int64)
    for v, name in enumerate(names):
        fields = [system[name].transpose(*dims) for system in systems]
        for i in range(shape[0]):
            maps = np.stack([frames_of(truth[name], positions[i], np.float64), *(field[i].values for field in fields)])
            whole = np.isfinite(maps).all((0, 2, 3))
            count[v] += whole
            square = dctn(np.where(whole[:, None, None], maps, 0.0), axes=(2, 3), norm="ortho") ** 2 / maps[0, 0].size
            for band in range(len(wavelength)):
                sums[:, v, :, band] += square[:, :, bands == band].sum(-1)
    with np.errstate(invalid="ignore"):
        mean = sums / np.where(count > 0, count, np.nan)[:, :, None]
    coords = {
        "system": ["truth", *forecasts],
        "variable": names,
        "lead_time": first["lead_time"].variable,
        "wavelength": ("band", wavelength),
    }
    dims_of = ("system", "variable", "lead_time", "band")
    return xr.Dataset({"energy": (dims_of, mean), "n": (("variable", "lead_time"), count)}, coords)


def _bands(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Band of each coefficient (H, W), -1 for the mean, and the wavelength in points in the middle of each band."""
    height, width = shape
    rows, columns = np.arange(height)[:, None] / height, np.arange(width) / width
    wavenumber = np.hypot(rows, columns) / 2  # waves a point; at most half of one along an axis
    count = max(1, min(BANDS, min(shape) - 1))
    step = 0.5 / count
    band = np.clip(np.round(wavenumber / step).astype(int), 1, count) - 1
    band[0, 0] = -1
    return band, 1 / (step * np.arange(1, count + 1))
