"""Figures of this server, drawn live on the dashboard."""
