"""The configured channel layers of this process, by alias."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from channels import DEFAULT_CHANNEL_LAYER
from channels.conf import layer_config, raw_layers
from channels.exceptions import InvalidChannelLayerError


class ChannelLayerManager:
    """Builds each layer of ``CHANNEL_LAYERS`` on first use and keeps it.

    Attributes:
        backends: The layers built so far, by alias.
    """

    def __init__(self) -> None:
        self.backends: dict[str, Any] = {}
        # A layer that stands before another asks for that one while it is built.
        self._lock = threading.RLock()
        setting_changed.connect(self._reset_backends)

    @property
    def configs(self) -> dict[str, Any]:
        """``CHANNEL_LAYERS`` as it is now."""
        return raw_layers()

    def make_backend(self, name: str) -> Any:
        """Build the layer ``name`` with its ``CONFIG``; it is not kept.

        Raises:
            KeyError: There is no such alias.
            InvalidChannelLayerError: The entry cannot be used.
        """
        config = layer_config(name)
        return self._make_backend(name, config.backend, config.options, key="CONFIG")

    def make_test_backend(self, name: str) -> Any:
        """Build the layer ``name`` with its ``TEST_CONFIG``; it is not kept.

        Raises:
            KeyError: There is no such alias.
            InvalidChannelLayerError: The entry cannot be used, or has no ``TEST_CONFIG``.
        """
        config = layer_config(name)
        if config.test_options is None:
            raise InvalidChannelLayerError(
                f"Channel layer {name!r} has no TEST_CONFIG. Map options to values there."
            )
        return self._make_backend(name, config.backend, config.test_options, key="TEST_CONFIG")

    def __getitem__(self, key: str) -> Any:
        """Return the layer ``key``, building it on first use. Safe in any thread."""
        try:
            return self.backends[key]
        except KeyError:
            pass
        with self._lock:
            if key not in self.backends:
                self.backends[key] = self.make_backend(key)
            return self.backends[key]

    def __contains__(self, key: object) -> bool:
        """Return whether ``key`` is configured."""
        return key in self.configs

    def set(self, key: str, layer: Any) -> Any:
        """Put ``layer`` in place of ``key``; return the one that was built before, or ``None``."""
        previous = self.backends.get(key)
        self.backends[key] = layer
        return previous

    def _make_backend(self, name: str, path: str, options: Mapping[str, Any], *, key: str) -> Any:
        try:
            backend = import_string(path)
        except ImportError as error:
            raise InvalidChannelLayerError(
                f"Cannot import BACKEND {path!r} of channel layer {name!r}: {error}"
            ) from error
        try:
            return backend(**options)
        except TypeError as error:
            problem = _unknown_options(backend, options)
            if problem is None:
                raise
            raise TypeError(f"CHANNEL_LAYERS[{name!r}][{key!r}] {problem}") from error

    def _reset_backends(self, *, setting: str, **kwargs: Any) -> None:
        if setting == "CHANNEL_LAYERS":
            self.backends = {}


def _unknown_options(backend: Any, options: Mapping[str, Any]) -> str | None:
    """Say which of ``options`` ``backend`` does not take, and what it takes."""
    try:
        parameters = inspect.signature(backend).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    known = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    unknown = [option for option in options if option not in known]
    if not unknown:
        return None
    return f"has unknown options: {', '.join(unknown)}; expected any of {', '.join(known)}"


channel_layers: ChannelLayerManager = ChannelLayerManager()


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> Any:
    """Return the channel layer ``alias``, or ``None`` where it is not configured.

    Raises:
        InvalidChannelLayerError: It is configured but cannot be used.
    """
    layer = channel_layers.backends.get(alias)
    if layer is not None:
        return layer
    configs: object = channel_layers.configs
    # What is no mapping cannot be asked; the error of building says so.
    if isinstance(configs, Mapping) and alias not in configs:
        return None
    return channel_layers[alias]
