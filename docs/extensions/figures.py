"""Pictures of the gallery that pyplot does not know: figures that a function of this project has returned."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save what is called `figure` after a block, where it is new; runs while those of pyplot are still open."""
    names = block_vars["example_globals"]
    figure = names.get("figure")
    if not isinstance(figure, Figure) or names.get("_drawn") is figure:
        return ""
    names["_drawn"] = figure
    if any(figure is plt.figure(number) for number in plt.get_fignums()):
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=100)
    return str(figure_rst([path], gallery_conf["src_dir"]))
