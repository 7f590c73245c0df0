"""The tables. Constraints do the work: what must never be is refused by the database, whatever the code does.

Instants are UTC (``Instant``); ids that clients see are text. Only ``migrations`` makes tables; a test compares the two.
"""

from __future__ import annotations

from .base import Instant, metadata
from .catalogue import (
    advisory,
    advisory_project,
    component,
    component_release,
    sbom,
    search_doc,
    search_facet,
    service_version,
)
from .people import (
    account,
    attempt,
    issuer,
    membership,
    namespace,
    oidc_jti,
    org,
    project_role,
    publisher,
    token,
    web_session,
)
from .publishing import blob, claim, file, project, release, tombstone
from .trust import cert_run, cert_status, certificate, tuf_meta
from .work import audit, file_decision, flag, head, job, journal, report

__all__ = [
    "Instant",
    "account",
    "advisory",
    "advisory_project",
    "attempt",
    "audit",
    "blob",
    "cert_run",
    "cert_status",
    "certificate",
    "claim",
    "component",
    "component_release",
    "file",
    "file_decision",
    "flag",
    "head",
    "issuer",
    "job",
    "journal",
    "membership",
    "metadata",
    "namespace",
    "oidc_jti",
    "org",
    "project",
    "project_role",
    "publisher",
    "release",
    "report",
    "sbom",
    "search_doc",
    "search_facet",
    "service_version",
    "token",
    "tombstone",
    "tuf_meta",
    "web_session",
]
