"""The development server behind ``runserver``."""
