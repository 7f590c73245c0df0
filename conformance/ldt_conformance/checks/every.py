"""Checks of the catalogue's part ``every``."""
