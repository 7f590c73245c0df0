"""Checks of the catalogue's part ``source``."""
