"""Who may do what: accounts, organisations, namespaces, tokens, trusted publishers."""

from __future__ import annotations

import sqlalchemy as sa

from .base import Instant, Json, metadata, number, one_of, refers, sha256

account = sa.Table(
    "account",
    metadata,
    number(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("display", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("password", sa.Text),  # argon2, or none: tokens only
    sa.Column("totp_secret", sa.Text),
    sa.Column("role", sa.Text, nullable=False, server_default="user"),
    sa.Column("state", sa.Text, nullable=False, server_default="active"),
    sa.Column("created_at", Instant, nullable=False),
    one_of("role", "user", "certifier", "moderator", "admin"),
    one_of("state", "active", "suspended"),
)

org = sa.Table(
    "org",
    metadata,
    number(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text),
    sa.Column("contact", sa.Text),
    sa.Column("security_contact", sa.Text),
    sa.Column("verified_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
)

membership = sa.Table(
    "membership",
    metadata,
    refers("org_id", "org.id", primary_key=True),
    refers("account_id", "account.id", primary_key=True, index=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    one_of("role", "owner", "maintainer", "publisher"),
)

project_role = sa.Table(
    "project_role",
    metadata,
    refers("project_id", "project.id", primary_key=True),
    refers("account_id", "account.id", primary_key=True, index=True),
    sa.Column("role", sa.Text, nullable=False),
    one_of("role", "maintainer", "publisher"),
)

namespace = sa.Table(
    "namespace",
    metadata,
    number(),
    sa.Column("prefix", sa.Text, nullable=False, unique=True),  # normalised, without the dash at its end
    refers("org_id", "org.id", nullable=False),
    sa.Column("proof", sa.Text, nullable=False),
    sa.Column("proof_of", sa.Text, nullable=False),  # a domain or a repository
    sa.Column("challenge", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("open", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("checked_at", Instant),
    sa.Column("not_after", Instant),
    sa.Column("created_at", Instant, nullable=False),
    one_of("proof", "well-known", "dns", "oidc", "admin"),
    one_of("state", "pending", "granted", "expired", "refused"),
)

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sha256(nullable=False, unique=True),
    refers("account_id", "account.id"),
    refers("publisher_id", "publisher.id"),
    sa.Column("title", sa.Text, nullable=False, server_default=""),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("not_after", Instant, nullable=False),
    sa.Column("last_used", Instant),
    sa.Column("last_network", sa.Text),
    sa.Column("used", sa.Boolean, nullable=False, server_default=sa.false()),  # a single-use token that was
    sa.Column("revoked_at", Instant),
    sa.CheckConstraint("(account_id IS NULL) <> (publisher_id IS NULL)", name="one_holder"),
)

issuer = sa.Table(
    "issuer",
    metadata,
    number(),
    sa.Column("url", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("algorithms", Json, nullable=False),
    sa.Column("added_at", Instant, nullable=False),
    one_of("kind", "github", "gitlab", "generic"),
)

publisher = sa.Table(
    "publisher",
    metadata,
    number(),
    refers("issuer_id", "issuer.id", nullable=False),
    sa.Column("claims", Json, nullable=False),
    refers("project_id", "project.id"),
    sa.Column("pending_name", sa.Text, unique=True),
    refers("account_id", "account.id", nullable=False),  # who added it
    refers("org_id", "org.id"),  # who will own what a pending publisher makes
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("not_after", Instant),
    sa.CheckConstraint("(project_id IS NULL) <> (pending_name IS NULL)", name="project_or_pending"),
)

oidc_jti = sa.Table(
    "oidc_jti",
    metadata,
    sa.Column("issuer", sa.Text, primary_key=True),
    sa.Column("jti", sa.Text, primary_key=True),
    sa.Column("keep_until", Instant, nullable=False, index=True),
)

web_session = sa.Table(
    "web_session",
    metadata,
    sha256(primary_key=True),
    refers("account_id", "account.id", nullable=False),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("fresh_until", Instant, nullable=False),
    sa.Column("not_after", Instant, nullable=False, index=True),
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  # what is limited, and for whom
    sa.Column("since", Instant, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
