"""Specimens: sources."""
