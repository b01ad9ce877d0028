"""Channel layers over Redis: the room is reserved, nothing is built in it yet."""

__version__ = "4.3.0"
