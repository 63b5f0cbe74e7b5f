"""Pictures of Prefect's and MLflow's pages, as a browser shows them, for the documentation; or of the site itself.

``python -m docs.screenshots docs/pages`` shows a small home of its own, which goes afterwards; `--dataset era5-uk` the
one at SIMVP_HOME, which has a version of it; `--width 400 1600` how a narrow and a wide window show them; `--site` the
pages that `make docs` has built.

Starts both servers and a worker, runs the flow `promote` once for a run to be shown, and drives Debian's chromium by
its own protocol. Pictures have a palette, so that each stays below 100 kB.
"""

import argparse
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from websockets.sync.client import connect

from flows.local import Addresses, Services, free_port
from flows.local.password import home_password
from pipelines.home import Home
from pipelines.tracking import CHECKOUT
from simvp.errors import Refusal

POOL = "local"
SITE = CHECKOUT / "docs" / "_build" / "html"
SITE_PAGES = (
    *("index", "start", "commands", "skill", "operations", "how-to/index", "how-to/refusals", "tutorials/analyst"),
    *("gallery/index", "gallery/plot_export", "reference/commands", "reference/settings", "reference/api/simvp"),
)
SECONDS = 180  # for a page to be drawn, on a busy machine
COLOURS = 128
# What a person chooses once in MLflow's pages: those for the training of models, without the assistant.
MLFLOW_PAGES = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
}


class Browser:
    """A chromium without a window, with one page."""

    def __init__(self, port: int, width: int, height: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            (page,) = [one for one in json.load(answer) if one["type"] == "page"]
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None, open_timeout=60)
        self._number = 0
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Another window, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=SECONDS))
            if said.get("id") == self._number:
                if "error" in said:
                    raise Refusal(f"chromium: {method}", [str(said["error"])])
                return dict(said["result"])

    def evaluate(self, script: str) -> Any:
        """Value of a script in the page."""
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def open(self, address: str, *words: str) -> None:
        """Open an address, and wait until the page has all these words, and its pictures.

        Raises
        ------
        Refusal
            It has not; with what it has.
        """
        # By way of an empty page: another fragment of the same address would not be loaded anew.
        self._call("Page.navigate", url="about:blank")
        end, asked = time.monotonic() + SECONDS, 0.0
        text = ""
        while time.monotonic() < end:
            # One that comes while another is still under way may be lost.
            if self.evaluate("location.href") == "about:blank" and time.monotonic() - asked > 5:
                self._call("Page.navigate", url=address)
                asked = time.monotonic()
            text = str(self.evaluate("document.body ? document.body.innerText : ''"))
            drawn = self.evaluate("[...document.images].every(one => one.complete)")
            if drawn and all(word in text for word in words):
                time.sleep(2)  # what moves comes to rest
                return
            time.sleep(0.5)
        missing = [word for word in words if word not in text]
        raise Refusal(f"page {address}", [f"expected {', '.join(missing)} within {SECONDS} s, got {text[:300]!r}"])

    def picture(self, file: Path) -> None:
        """The page as it is seen, as a PNG with a palette."""
        data = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        image = (
            Image.open(io.BytesIO(data))
            .convert("RGB")
            .quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        )
        image.save(file, optimize=True)


@contextmanager
def browser(width: int, height: int) -> Iterator[Browser]:
    """A chromium that ends with the block.

    Raises
    ------
    Refusal
        There is none.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise Refusal("pictures of the pages", ["expected chromium, found none"], "apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--remote-debugging-port=0"]
        flags += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # Prefect draws its runs with WebGL
        process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.DEVNULL
        )
        try:
            told, end = Path(profile, "DevToolsActivePort"), time.monotonic() + SECONDS
            while not (told.is_file() and told.read_text().strip()):
                if process.poll() is not None or time.monotonic() > end:
                    raise Refusal(program, ["it ended, or does not say where it listens"])
                time.sleep(0.2)
            yield Browser(int(told.read_text().split()[0]), width, height)
        finally:
            process.terminate()
            process.wait()


def small_home(home: Home, dataset: str) -> None:
    """An archive of simulated weather, a champion and a challenger that was trained after it."""
    from datasets.simulated import SimulatedWeather
    from pipelines.ingest import ingest
    from pipelines.promote import promote
    from pipelines.train import train
    from pipelines.training import TrainConfig

    source = home.path / "source"
    source.mkdir(parents=True)
    SimulatedWeather(shape=(16, 24), noise_std=0.2).dataset(frames=24 * 60).to_netcdf(source / "weather.nc")
    ingest(home, dataset, source=source / "weather.nc")
    train(home, TrainConfig(dataset=dataset, frames_in=12, frames_out=6, size="none"))
    promote(home, dataset)
    train(home, TrainConfig(dataset=dataset, frames_in=12, frames_out=6, size="tiny", epochs=2))


def pages(services: Services, dataset: str, login: Mapping[str, str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Address of every page that is shown, by the name of its picture, and words that it has when it is drawn."""
    import mlflow

    home = services.home
    command = [sys.executable, "-m", "prefect", "deployment", "run", "promote/manual", "--watch"]
    command += ["--param", f"dataset={dataset}", "--param", "version=2"]
    done = subprocess.run(command, env=services.environment, capture_output=True, text=True)
    client = mlflow.MlflowClient(tracking_uri=services.addresses.mlflow)
    versions = client.search_model_versions(f"name = 'simvp-{dataset}'")
    newest = max(versions, key=lambda version: int(version.version))
    run = client.get_run(newest.run_id)
    prefect = services.addresses.prefect_ui
    flow_run = next((word for word in done.stdout.split() if "/runs/flow-run/" in word), "").strip("'\"")
    if not flow_run:
        raise Refusal("prefect deployment run promote/manual", [done.stdout + done.stderr], f"see {home.prefect}")
    mlflow_ui = services.addresses.mlflow
    asked = urllib.request.Request(f"{services.addresses.prefect_api}/deployments/name/forecast/daily", headers=login)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        deployment = json.load(answer)["id"]
    return {
        "mlflow-version": (f"{mlflow_ui}/#/models/{newest.name}/versions/{newest.version}", ("Skill on", "Aliases")),
        "mlflow-run": (
            f"{mlflow_ui}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
            ("Description", "Parameters"),
        ),
        "prefect-deployment": (f"{prefect}/deployments/deployment/{deployment}", ("forecast", "daily")),
        "prefect-run": (flow_run, ("Completed",)),
    }


def take(
    folder: Path,
    widths: Sequence[int],
    height: int,
    shown: Mapping[str, tuple[str, tuple[str, ...]]],
    signed_in: Iterable[tuple[str, str, Mapping[str, str]]] = (),
) -> None:
    """A picture of every page at every width, and a line that says where what does not fit is cut.

    Parameters
    ----------
    shown
        Address and words of each page, by the name of its picture.
    signed_in
        An address, a word of its page, and what the browser's storage has to hold there before the pages are opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with browser(widths[0], height) as page:
        for address, word, values in signed_in:
            page.open(address, word)
            for name, value in values.items():
                page.evaluate(f"localStorage.setItem({json.dumps(name)}, {json.dumps(value)})")
        for width in widths:
            page.resize(width, height)
            for name, (address, words) in shown.items():
                page.open(address, *words)
                file = folder / (f"{name}-{width}.png" if len(widths) > 1 else f"{name}.png")
                page.picture(file)
                over = int(page.evaluate("document.documentElement.scrollWidth")) - width
                print(f"{file}: {file.stat().st_size / 1000:.0f} kB" + f", {over} pixels too wide" * (over > 0))


def main() -> int:
    """Make the pictures; 2 after a refusal, which is printed."""
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--width", type=int, nargs="+", default=[1200], help="of the window, pixels; several: one each")
    parser.add_argument("--height", type=int, default=1500, help="of the window, pixels")
    parser.add_argument("--dataset", default="", help="of a home that is there (SIMVP_HOME); else a small one is made")
    parser.add_argument("--site", action="store_true", help="the pages of docs/_build/html instead")
    options = parser.parse_args()
    services = None
    with ExitStack() as held:
        try:
            if options.site:
                shown = {name.replace("/", "-"): ((SITE / f"{name}.html").as_uri(), ("simvp",)) for name in SITE_PAGES}
                take(options.folder, options.width, options.height, shown)
                return 0
            home, dataset = Home.default(), options.dataset
            if not dataset:
                folder = held.enter_context(
                    tempfile.TemporaryDirectory(prefix="simvp-pages-", ignore_cleanup_errors=True)
                )
                home, dataset = Home(Path(folder) / "home"), "weather"
            os.environ["SIMVP_HOME"] = str(home.path)
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            if not options.dataset:
                small_home(home, dataset)
            services = Services(home=home, addresses=Addresses(prefect_port=free_port(), mlflow_port=free_port()))
            services.make_databases()
            services.start_prefect()
            services.start_mlflow()
            services.wait()
            services.deploy(POOL)
            services.start_worker(POOL)
            login = base64.b64encode(home_password(home).encode()).decode()
            shown = pages(services, dataset, {"Authorization": f"Basic {login}"})
            signed_in = (
                (services.addresses.prefect_ui, "", {"prefect-password": login}),
                (services.addresses.mlflow, "Experiments", MLFLOW_PAGES),
            )
            take(options.folder, options.width, options.height, shown, signed_in)
        except Refusal as refusal:
            print(refusal, file=sys.stderr)
            return 2
        finally:
            if services is not None:
                services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
