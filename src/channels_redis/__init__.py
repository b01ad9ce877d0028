"""Channel layers over Redis and Valkey."""

__version__ = "4.3.0"
