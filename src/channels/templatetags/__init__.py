"""Template tags: ``{% load topics %}``."""
