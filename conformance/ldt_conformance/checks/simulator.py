"""Checks of the catalogue's part ``simulator``."""
