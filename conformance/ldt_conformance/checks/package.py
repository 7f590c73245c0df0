"""Checks of the catalogue's part ``package``."""
