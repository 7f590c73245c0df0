"""The conformance suite: a certificate that means something.

The catalogue (``catalogue``) says what a component promises; each requirement has one check (``checks``); a driver
(``drivers``) lets the same check speak to a component in this process, in another, or over HTTP; the judge (``judge``)
runs the checks and says the verdict; ``report`` writes it down; the ``zoo`` holds broken components that prove the checks.
"""

from __future__ import annotations

COMMANDS = [
    {
        "name": "certify",
        "help": "run the conformance suite over a component, a wheel, a folder or a service",
        "target": "ldt_conformance.commands:certify",
    },
    {
        "name": "certificate",
        "help": "make keys; verify a certificate, offline",
        "target": "ldt_conformance.commands:certificate",
    },
]
