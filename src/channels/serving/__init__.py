"""The production server behind ``manage.py serve``: a supervisor and its workers.

docs/adr/0011 says how they end, roll and replace each other.
"""
