"""Specimens: simulators."""
