"""The registry: publish with the tools one knows, find what fits, trust what is installed.

Reading order; a module imports only what stands above it: ``problems``, ``settings``, ``schema``, ``database``, ``migrations``,
``journal``, ``audit``, ``blobs``, ``registry`` (the one object that every function is given), then the subjects, then ``web``
(routes that parse, call and render), ``app`` and ``commands``.
"""

from __future__ import annotations

COMMANDS = [
    {
        "name": "registry",
        "help": "serve a registry of components, and keep it",
        "target": "ldt_registry.commands:registry",
    },
]
