"""Places in which stores lie: folders, and addresses on object stores."""

from pathlib import Path

from simvp.errors import ConfigError, Unavailable, fault_around
from simvp.places import Place, is_address


def join(place: Place, *names: str) -> Path | str:
    """A place inside another one."""
    return "/".join([str(place).rstrip("/"), *names]) if is_address(place) else Path(place, *names)


def names_in(place: Place) -> list[str]:
    """Names of what lies in a place, in alphabetical order; none where it is not there.

    Raises
    ------
    Unavailable
        The network or the store is away.
    ConfigError
        An address that cannot be listed.
    """
    if not is_address(place):
        return sorted(path.name for path in Path(place).glob("*"))
    import fsspec

    try:
        system, path = fsspec.url_to_fs(str(place), use_listings_cache=False)
        return sorted(found.rstrip("/").rpartition("/")[2] for found in system.ls(path, detail=False))
    except FileNotFoundError:
        return []
    except ImportError as error:
        raise ConfigError(f"Address {place}", [f"cannot be listed: {error}"], "install what fsspec asks for") from None
    except Exception as error:  # every system has kinds of its own
        if isinstance(away := fault_around(error, f"Address {place}"), Unavailable):
            raise away from error
        reason = f"cannot be listed: {type(error).__name__}: {error}"
        raise ConfigError(f"Address {place}", [reason], "check address and credentials") from error
