"""The data sets known by name; docs/datasets.md says more of those that somebody publishes."""

from collections.abc import Mapping
from pathlib import Path

from datasets.catalog.fields import read_pacific, read_radar
from datasets.catalog.published import PackagedSource, PublishedFile, PublishedSource
from datasets.catalog.radolan import read_radklim
from datasets.catalog.sources import NamedSource, SimulatedSource, Study, TaxiSource
from datasets.catalog.trips import read_taxi, read_uber
from datasets.names import look_up
from datasets.simulated import SimulatedTraffic, SimulatedWeather, Simulation
from datasets.video import TAXIBJ

DEFAULT = "simulated-weather"


def _simulated(simulation: Simulation) -> SimulatedSource:
    return SimulatedSource(
        title=simulation.title,
        licence="none needed: simulated",
        states=tuple(simulation.variables),
        shape=(len(simulation.variables), *simulation.shape),
        span=f"{simulation.initial_days} days at first, every {simulation.step}",
        simulation=simulation,
    )


def _listed(name: str, root: str) -> tuple[PublishedFile, ...]:
    """Files below the address `root` whose SHA-256 stand in a file of this folder, as `sha256sum` writes them."""
    lines = (Path(__file__).parent / name).read_text().splitlines()
    pairs = (line.split("  ") for line in lines)
    return tuple(PublishedFile(url=f"{root}/{file}", checksum=digest) for digest, file in pairs)


ERA5_UK = PublishedSource(
    title="ERA5 2 m temperature, hourly, March 2019, 58 N - 50 N, 10 W - 2 E",
    licence="Copernicus licence; contains modified Copernicus Climate Change Service information",
    references="https://github.com/pydata/xarray-data/raw/master/era5-2mt-2019-03-uk.grib",
    states=("t2m",),
    shape=(1, 33, 49),
    span="31 days, every 1 h",
    study=Study(
        frames_in=24,
        frames_out=12,
        held_out=("2019-03-25T00:00", "2019-03-31T23:00"),
        reference=(("2019-03-01T00:00", "2019-03-21T23:00"),),
    ),
    published=(
        PublishedFile(
            url="https://github.com/pydata/xarray-data/raw/master/era5-2mt-2019-03-uk.grib",
            checksum="e5e82609f0e28e84822852e15d20c88dbb4b142a30264a7e6f87b9b5c7501df9",
        ),
    ),
)

# The months of trip records that their publisher offers today have the zone of a pick-up, no longer its place.
_TAXI = "https://github.com/Rajahn/CS5834-Project/raw/2b029a87f4f3cd860b40d3f682487088de7d5084/data"
NYC_TAXI = PublishedSource(
    title="Yellow taxi pick-ups in New York City, half-hourly, January 2015, 40.63 N - 40.85 N, 74.05 W - 73.75 W",
    licence="public trip records of the NYC Taxi and Limousine Commission; the repository of the counts states no "
    "licence of its own",
    references="https://github.com/Rajahn/CS5834-Project",
    states=("pickups",),
    shape=(1, 20, 10),
    span="31 days, every 30 min",
    folder="nyc-taxi/",
    published=(
        PublishedFile(
            url=f"{_TAXI}/volume_train.npz",
            checksum="ebbbeaf522d2999fcccfd59fc5bda4137bbefa06669433fcd6707dd4111649a1",
        ),
        PublishedFile(
            url=f"{_TAXI}/volume_test.npz",
            checksum="039c49026ea6456127d109a62fa56f4dedaac71e8bff8cde1c31e62aba673b51",
        ),
    ),
    prepared=PublishedFile(
        url="nyc-taxi-2015-01.nc",
        checksum="cdab81feeabb69eac465eaacbbb3e67de8e265aa927fdf69efb34276ed6af687",
    ),
    read=read_taxi,
)

_UBER = (
    "https://github.com/fivethirtyeight/uber-tlc-foil-response/raw/63bb878b76f47f69b4527d50af57aac26dead983/"
    "uber-trip-data"
)
NYC_UBER = PublishedSource(
    title="Uber pick-ups in New York City, hourly, April to September 2014, 40.63 N - 40.85 N, 74.05 W - 73.75 W",
    licence="released by the NYC Taxi and Limousine Commission under the Freedom of Information Law, published by "
    "FiveThirtyEight; the repository states no licence",
    references="https://github.com/fivethirtyeight/uber-tlc-foil-response",
    states=("pickups",),
    shape=(1, 20, 20),
    span="183 days, every 1 h",
    folder="nyc-uber/",
    published=tuple(
        PublishedFile(url=f"{_UBER}/uber-raw-data-{month}14.csv", checksum=f"git:{blob}")
        for month, blob in {
            "apr": "e8af4b8e0c4adb58379b4809bc91ea111a085484",
            "may": "70f286616bba1cc0ed997b1bbdf788d730570e1c",
            "jun": "cbc031df005fc87122b80d5ee29d4a8049b071a2",
            "jul": "e8d74468b40fc813bbd2f3b39c6104edffa38b96",
            "aug": "01b8d1aa23008bf30a41fb0421af6c346323b7f4",
            "sep": "111859d53e8b2309e99e06c82cc70169a6337105",
        }.items()
    ),
    read=read_uber,
)

ERSST_PACIFIC = PublishedSource(
    title="NOAA ERSST v5 sea surface temperature, monthly, 2010 to August 2020, 30 N - 30 S, 120 E - 70 W",
    licence="no constraints on data access or use; NOAA NCEI, Huang et al. 2017, doi:10.1175/JCLI-D-16-0836.1",
    references="https://psl.noaa.gov/data/gridded/data.noaa.ersst.v5.html",
    states=("sst",),
    shape=(1, 31, 86),
    span="128 months (3,896 days), every 1 month",
    folder="ersst-pacific/",
    published=(
        PublishedFile(
            url="https://github.com/xarray-contrib/xarray-tutorial/raw/54df4e2fc01e51905210793f7aa01df0d87be86b/data/"
            "sst.mnmean.nc",
            checksum="eade01e2085d841f2ff94fa6886b08a65c5018f576b066c57880726006f28ba6",
        ),
    ),
    prepared=PublishedFile(
        url="ersst-pacific-2010-2020.nc",
        checksum="a0fe440baa782e0e4f7a8a21c4daf70f0b5889f5ffb73fe40cc67ffad30a61c7",
    ),
    read=read_pacific,
)

RADAR_BRISBANE = PublishedSource(
    title="Radar rain around Brisbane (Mt Stapylton), 10 min, 31 October 2020, 256 km x 256 km, means over 4 km",
    licence="(c) Commonwealth of Australia, Bureau of Meteorology, http://www.bom.gov.au/other/copyright.shtml; "
    "example data of pysteps",
    references="https://github.com/pySTEPS/pysteps-data",
    states=("precipitation",),
    shape=(1, 64, 64),
    span="1 day, every 10 min",
    folder="radar-brisbane/",
    published=_listed(
        "radar-brisbane.sha256",
        "https://github.com/pySTEPS/pysteps-data/raw/eaa59fb8f39205a3b1a0b44724ad8cd4a86d107e/radar/bom/prcp-c10/66/"
        "2020/10/31",
    ),
    read=read_radar,
)

RADKLIM = PublishedSource(
    title="Radar rain over the middle of Germany (RADKLIM, gauge-adjusted), hourly, June and July 2016, "
    "512 km x 512 km, means over 8 km",
    licence="Deutscher Wetterdienst, https://opendata.dwd.de/climate_environment/CDC/Terms_of_use.pdf; Winterrath et "
    "al. 2018, doi:10.5676/DWD/RADKLIM_RW_V2017.002",
    references="https://opendata.dwd.de/climate_environment/CDC/help/landing_pages/"
    "doi_landingpage_RADKLIM_RW_V2017.002-en.html",
    states=("precipitation",),
    shape=(1, 64, 64),
    span="61 days, every 1 h",
    folder="radklim-germany/",
    # A version that does not change, but checksums are written nowhere that could be read from here.
    published=tuple(
        PublishedFile(
            url="https://opendata.dwd.de/climate_environment/CDC/grids_germany/hourly/radolan/reproc/2017_002/bin/2016/"
            f"RW2017.002_2016{month}.tar.gz"
        )
        for month in ("06", "07")
    ),
    read=read_radklim,
)

E1_NORTH_AMERICA = PackagedSource(
    title="Air temperature at 1.5 m of a climate model, scenario E1, yearly, 1860 to 2099, 15 N - 60 N, 135 W - 45 W",
    licence="Open Government Licence; British Crown copyright, 2018",
    references="https://github.com/SciTools/iris-sample-data",
    states=("air_temperature",),
    shape=(1, 37, 49),
    span="240 years (86,400 days of a calendar with 360 a year), every 360 d",
    package="iris_sample_data",
    distribution="iris-sample-data",
    path="sample_data/E1_north_america.nc",
    sha256="f6124a1a745dfc016a383cb1b95b74378f078664edc86cd2a67672c2b49e9567",
)

SOURCES: Mapping[str, NamedSource] = {
    DEFAULT: _simulated(SimulatedWeather()),
    "simulated-traffic": _simulated(SimulatedTraffic()),
    "era5-uk": ERA5_UK,
    "ersst-pacific": ERSST_PACIFIC,
    "nyc-taxi": NYC_TAXI,
    "nyc-uber": NYC_UBER,
    "radar-brisbane": RADAR_BRISBANE,
    "radklim-germany": RADKLIM,
    "e1-north-america": E1_NORTH_AMERICA,
    TAXIBJ.name: TaxiSource(
        title=TAXIBJ.title,
        licence=TAXIBJ.licence,
        references=TAXIBJ.source,
        states=tuple(TAXIBJ.variables),
        shape=TAXIBJ.shape,
        span="parts of four years, every 30 min",
        folder=f"{TAXIBJ.folder}/",
    ),
}


def find_source(name: str) -> NamedSource:
    """Source of that name, or a `SourceError` that lists those there are."""
    return look_up("data set", name, SOURCES, "name one of these, or give the files to ingest as its source")
