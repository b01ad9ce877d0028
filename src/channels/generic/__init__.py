"""Consumers for the common protocols, made to be subclassed."""
