"""A small Django project for the scenarios that need a server of their own."""
