"""Checks of the catalogue's part ``viewer``."""
