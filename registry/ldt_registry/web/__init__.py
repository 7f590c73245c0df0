"""Routes: each parses, calls a function of a module above, and renders."""
