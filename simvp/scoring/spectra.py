"""Energy of fields by wavelength: how blurred a forecast is.

The discrete cosine transform of a map (Denis, Cote and Laprise 2002, Monthly Weather Review 130, 1812-1829) needs no
periodic edges. The variance of a coefficient (i, j) of H x W points belongs to the wavelength
2 / sqrt((i / H)^2 + (j / W)^2) points, and is summed over bands of equal width in wavenumber; what is shorter than the
shortest wave along an axis, two points, belongs to the shortest band. A forecast that is smoother than what comes true
has less energy in short waves: the ratio of the energies of forecast and truth says how blurred it is.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy.fft import dctn

from simvp.coords import horizontal_dims, single_maps
from simvp.scoring.scores import align, beside, frames_of

BANDS = 16
"""Most bands of wavelengths."""


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
