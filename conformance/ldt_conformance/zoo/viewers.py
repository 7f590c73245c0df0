"""Specimens: viewers."""
