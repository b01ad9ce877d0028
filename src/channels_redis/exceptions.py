"""What the Redis layers raise beyond the errors of every layer."""

from __future__ import annotations

import redis.exceptions

from channels.exceptions import LayerUnavailableError


class RedisUnavailableError(LayerUnavailableError, redis.exceptions.ConnectionError):
    """Redis did not answer within the layer's time budget.

    What was asked for may or may not have happened, but not twice.
    """


class RedisRefusedError(RedisUnavailableError, redis.exceptions.AuthenticationError):
    """Redis does not let this process in: a password is wrong, or is missing.

    Nothing has happened. The layer goes on trying to connect.
    """
