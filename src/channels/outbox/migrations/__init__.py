"""The table, and what becomes of it."""
