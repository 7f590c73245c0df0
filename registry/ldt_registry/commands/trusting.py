"""``ldt registry issuer`` and ``publisher``: who may publish without a secret."""

from __future__ import annotations

import argparse
import dataclasses

from .. import publishers
from ..problems import Malformed
from ..rights import account_named
from .opening import opened, say
from .people import me, show


def issuer(options: argparse.Namespace) -> int:
    with opened(options) as registry:
        match options.what:
            case "add":
                url = publishers.ISSUERS.get(options.url, options.url)
                known = {v: k for k, v in publishers.ISSUERS.items()}
                kind = options.kind or known.get(url, "generic")
                publishers.add_issuer(registry, me(), url, kind, tuple(options.algorithm or ["RS256"]))
                say(options, f"Tokens of {url} are taken, as those of {kind}.", url=url, kind=kind)
            case "list":
                show(options, publishers.issuers(registry), "{url}: {kind}, {algorithms}")
            case "remove":
                url = publishers.ISSUERS.get(options.url, options.url)
                gone = publishers.remove_issuer(registry, me(), url)
                say(options, f"{url} is removed with {gone} publishers.", url=url, publishers=gone)
    return 0


def publisher(options: argparse.Namespace) -> int:
    with opened(options) as registry:
        match options.what:
            case "add":
                claims = dict(_pair(c) for c in options.claim)
                with registry.database.read() as connection:
                    account = account_named(connection, options.account).id
                maker = dataclasses.replace(me(), account_id=account)
                url = publishers.ISSUERS.get(options.issuer, options.issuer)
                made = publishers.add(registry, maker, options.project, url, claims, options.org)
                words = f"The job may publish {options.project}; it is trusted publisher {made}."
                say(options, words, id=made, project=options.project, claims=claims)
            case "list":
                show(options, publishers.listed(registry), "{id}: {project} {pending_name} {issuer} {claims}")
            case "remove":
                publishers.remove(registry, me(), options.id)
                say(options, f"The trusted publisher {options.id} is removed.", id=options.id)
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Malformed(f"{text!r} is no claim.", fix="Write NAME=VALUE.")
    return name, value
