"""The version that is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("simvp")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+unknown"
