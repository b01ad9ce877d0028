"""What ``manage.py serve`` was asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

DEFAULT_TRUSTED: Final = "127.0.0.1,::1"


@dataclass(frozen=True)
class Options:
    """The options of the command, as its ``--help`` describes them. Times are in seconds.

    Plain values, since each worker gets them as JSON.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    unix_socket: str | None = None
    unix_mode: int = 0o660
    fd: int | None = None
    backlog: int = 2048
    workers: int | None = None
    loop: str = "auto"
    drain_window: float = 10.0
    drain_timeout: float = 30.0
    readiness_delay: float = 0.0
    hang_timeout: float = 60.0
    start_timeout: float = 60.0
    touch_reload: str | None = None
    keep_alive: int = 5
    tls_certificate: str | None = None
    tls_key: str | None = None
    proxy_headers: bool = True
    trusted_proxies: str | None = None
    access_log: bool = True
    log_format: str | None = None
    log_level: str = "info"
    health_path: str = "/-/healthy"
    ready_path: str = "/-/ready"

    @property
    def trusted(self) -> str:
        """Whose proxy headers are believed: by default this host, or whoever may use the socket."""
        if self.trusted_proxies is not None:
            return self.trusted_proxies
        return "*" if self.unix_socket else os.environ.get("FORWARDED_ALLOW_IPS", DEFAULT_TRUSTED)


def problem_of(options: Options) -> str | None:
    """Return why these options cannot be used together, or ``None``."""
    if options.drain_timeout < options.drain_window:
        return (
            f"--drain-timeout ({options.drain_timeout:g}) must not be shorter than "
            f"--drain-window ({options.drain_window:g})."
        )
    if (options.tls_certificate is None) != (options.tls_key is None):
        return "--tls-certificate and --tls-key belong together: give both, or neither."
    for option in ("tls_certificate", "tls_key", "touch_reload"):
        path = getattr(options, option)
        if path is not None and not os.path.isfile(path):
            return f"--{option.replace('_', '-')}: there is no file {path!r}."
    return None
