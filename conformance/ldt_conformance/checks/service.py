"""Checks of the catalogue's part ``service``."""
