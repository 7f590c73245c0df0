"""The demonstration twin. It offers no component: ``ldt demo`` copies its twin file and runs it."""

TWINS = ["twin/twin.yaml"]
"""Twin files, as the manifest lists them."""
