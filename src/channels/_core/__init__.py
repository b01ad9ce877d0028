"""Decisions without waiting: no I/O, no clock, no asyncio, no Django."""
