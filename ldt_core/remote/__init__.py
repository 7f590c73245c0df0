"""The four kinds over HTTP: a local component behind an interface that any language can offer, and the client.

``server`` puts components behind OGC API Processes, OGC API Features and a small session resource;
``client`` makes whatever offers that interface look local. ``docs/reference/remote.md`` describes the
interface for implementers. Nothing outside this package imports it at module level, and it alone knows
a web framework (extra ``http``).
"""
