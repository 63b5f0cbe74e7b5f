"""Whether Python and what is installed are new enough; imports nothing that could fail for being too old."""

import sys
from importlib import metadata

PYTHON = (3, 11)


def too_old():
    # type: () -> list[str]
    """What is needed and not there, each with what is there instead; understood by any Python 3."""
    if sys.version_info < PYTHON:
        return ["Python {}.{} or newer, got {}.{}".format(*PYTHON, *sys.version_info[:2])]
    from packaging.requirements import Requirement

    try:
        needs = metadata.requires("simvp") or []
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        needs = []
    reasons = []
    for text in needs:
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": "pipeline"}):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            version = "none"
        if version == "none" or not needed.specifier.contains(version, prereleases=True):
            reasons.append(f"{needed.name}{needed.specifier}, got {version}")
    return reasons
