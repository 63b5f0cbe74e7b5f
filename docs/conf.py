"""Settings of the documentation site: `make docs` builds it, without network, into docs/_build/html."""

import os
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))  # its packages, and the extensions of this folder
# Examples and tutorials share a home, so that what one has trained the next one finds; it goes with the build.
_home = tempfile.TemporaryDirectory(prefix="simvp-docs-")
os.environ["SIMVP_HOME"] = _home.name
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in ("SIMVP_STORE", "SIMVP_DASK", "MLFLOW_TRACKING_URI"):
    os.environ.pop(name, None)

from simvp.version import __version__ as release  # noqa: E402

project = "simvp"
author = "the simvp project"
version = release
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "docs.extensions.api",
    "docs.extensions.commands",
    "docs.extensions.refusals",
    "docs.extensions.settings",
    "docs.extensions.small_home",
    "docs.extensions.sources",
]
exclude_patterns = ["_build", "examples", "extensions", "**/*.ipynb", "**.md5"]
nitpicky = True
suppress_warnings = ["config.cache"]  # the settings of the gallery hold objects

highlight_language = "none"
smartquotes = False  # T' is no quotation, and quotes of a command are typed as they stand
# A name in single backticks is code, as everywhere in this project.
default_role = "code"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
numpydoc_show_class_members = False
# Types of other projects lead nowhere without a network.
nitpick_ignore_regex = [("py:.*", r"(?!(simvp|datasets|pipelines|flows)\.).*"), ("py:class", r".*\.Annotated")]
nb_execution_mode = "force"
nb_execution_timeout = -1  # no clock decides on a busy machine
nb_execution_raise_on_error = True
nb_merge_streams = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("docs.extensions.figures.scrape", "matplotlib"),
    "download_all_examples": False,
    "write_computation_times": False,  # a page that fetches its table from elsewhere
    "show_signature": False,
    "min_reported_time": 60,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "simvp"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
project_copyright = "the simvp project; Apache-2.0"
