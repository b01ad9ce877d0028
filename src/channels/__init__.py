"""Django Channels' programming interface, implemented by Seaway."""

__version__ = "4.3.2"
"""The Channels API level implemented here; Seaway's own version is ``seaway_version``."""

DEFAULT_CHANNEL_LAYER = "default"


def __getattr__(name: str) -> str:
    """Read ``seaway_version`` from the distribution's metadata when it is asked for."""
    if name != "seaway_version":
        raise AttributeError(f"module 'channels' has no attribute {name!r}")
    from importlib.metadata import version

    return version("seaway")
