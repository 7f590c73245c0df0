"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from ldt_registry.migrations.append_only import drop_function, protect
from ldt_registry.schema.base import Big, Instant, Json

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("totp_secret", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), server_default="user", nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.CheckConstraint(
            "role IN ('user', 'certifier', 'moderator', 'admin')", name=op.f("ck_account_role")
        ),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_account_state")),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("name", name="uq_account_name"),
    )
    op.create_table(
        "advisory",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("modified", Instant, nullable=False),
        sa.Column("withdrawn", Instant, nullable=True),
        sa.Column("exploited", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("aware_since", Instant, nullable=True),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_advisory"),
    )
    op.create_index("ix_advisory_modified", "advisory", ["modified"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "since", name="pk_attempt"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_action", "audit", ["action"], unique=False)
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("touched", Instant, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'live', 'condemned')", name=op.f("ck_blob_state")),
        sa.CheckConstraint("length(sha256) = 64 AND lower(sha256) = sha256", name=op.f("ck_blob_sha256")),
        sa.PrimaryKeyConstraint("sha256", name="pk_blob"),
    )
    op.create_index("ix_blob_touched", "blob", ["touched"], unique=False)
    op.create_table(
        "file_decision",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.CheckConstraint("decision IN ('allow', 'block')", name=op.f("ck_file_decision_decision")),
        sa.PrimaryKeyConstraint("sha256", name="pk_file_decision"),
    )
    op.create_table(
        "flag",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("on", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.CheckConstraint(
            "name IN ('read-only', 'no-uploads', 'no-new-projects', 'no-oidc', 'no-certification')",
            name=op.f("ck_flag_name"),
        ),
        sa.PrimaryKeyConstraint("name", name="pk_flag"),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_head_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_head"),
    )
    op.create_table(
        "issuer",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("algorithms", Json, nullable=False),
        sa.Column("added_at", Instant, nullable=False),
        sa.CheckConstraint("kind IN ('github', 'gitlab', 'generic')", name=op.f("ck_issuer_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_issuer"),
        sa.UniqueConstraint("url", name="uq_issuer_url"),
    )
    op.create_table(
        "job",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("lease_until", Instant, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", Instant, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("ended_at", Instant, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name=op.f("ck_job_state")),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("kind", "key", name="uq_job_kind_key"),
    )
    op.create_index("ix_job_state_not_before", "job", ["state", "not_before"], unique=False)
    op.create_table(
        "oidc_jti",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("keep_until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "jti", name="pk_oidc_jti"),
    )
    op.create_index("ix_oidc_jti_keep_until", "oidc_jti", ["keep_until"], unique=False)
    op.create_table(
        "org",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("security_contact", sa.Text(), nullable=True),
        sa.Column("verified_at", Instant, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_org"),
        sa.UniqueConstraint("name", name="uq_org_name"),
    )
    op.create_table(
        "tombstone",
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("buried_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("filename", name="pk_tombstone"),
    )
    op.create_table(
        "tuf_meta",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", Instant, nullable=False),
        sa.Column("not_after", Instant, nullable=False),
        sa.PrimaryKeyConstraint("role", "version", name="pk_tuf_meta"),
    )
    op.create_table(
        "advisory_project",
        sa.Column("advisory_id", sa.Text(), nullable=False),
        sa.Column("norm_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["advisory_id"], ["advisory.id"], name="fk_advisory_project_advisory_id"),
        sa.PrimaryKeyConstraint("advisory_id", "norm_name", name="pk_advisory_project"),
    )
    op.create_index("ix_advisory_project_norm_name", "advisory_project", ["norm_name"], unique=False)
    op.create_table(
        "claim",
        sa.Column("upload", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("lease_until", Instant, nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name="fk_claim_sha256"),
        sa.PrimaryKeyConstraint("upload", "sha256", name="pk_claim"),
    )
    op.create_index("ix_claim_sha256", "claim", ["sha256"], unique=False)
    op.create_table(
        "membership",
        sa.Column("org_id", Big, nullable=False),
        sa.Column("account_id", Big, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.CheckConstraint("role IN ('owner', 'maintainer', 'publisher')", name=op.f("ck_membership_role")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_membership_account_id"),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name="fk_membership_org_id"),
        sa.PrimaryKeyConstraint("org_id", "account_id", name="pk_membership"),
    )
    op.create_index("ix_membership_account_id", "membership", ["account_id"], unique=False)
    op.create_table(
        "namespace",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("org_id", Big, nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("proof_of", sa.Text(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("open", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("checked_at", Instant, nullable=True),
        sa.Column("not_after", Instant, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.CheckConstraint(
            "proof IN ('well-known', 'dns', 'oidc', 'admin')", name=op.f("ck_namespace_proof")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'granted', 'expired', 'refused')", name=op.f("ck_namespace_state")
        ),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name="fk_namespace_org_id"),
        sa.PrimaryKeyConstraint("id", name="pk_namespace"),
        sa.UniqueConstraint("prefix", name="uq_namespace_prefix"),
    )
    op.create_index("ix_namespace_org_id", "namespace", ["org_id"], unique=False)
    op.create_table(
        "project",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("norm_name", sa.Text(), nullable=False),
        sa.Column("skeleton", sa.Text(), nullable=False),
        sa.Column("org_id", Big, nullable=True),
        sa.Column("account_id", Big, nullable=True),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("replaced_by", sa.Text(), nullable=True),
        sa.Column("serial", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'archived', 'quarantined', 'deprecated')", name=op.f("ck_project_status")
        ),
        sa.CheckConstraint("org_id IS NOT NULL OR account_id IS NOT NULL", name=op.f("ck_project_owned")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_project_account_id"),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name="fk_project_org_id"),
        sa.PrimaryKeyConstraint("id", name="pk_project"),
        sa.UniqueConstraint("norm_name", name="uq_project_norm_name"),
    )
    op.create_index("ix_project_account_id", "project", ["account_id"], unique=False)
    op.create_index("ix_project_org_id", "project", ["org_id"], unique=False)
    op.create_index("ix_project_skeleton", "project", ["skeleton"], unique=False)
    op.create_table(
        "web_session",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", Big, nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("fresh_until", Instant, nullable=False),
        sa.Column("not_after", Instant, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_web_session_account_id"),
        sa.PrimaryKeyConstraint("sha256", name="pk_web_session"),
    )
    op.create_index("ix_web_session_account_id", "web_session", ["account_id"], unique=False)
    op.create_index("ix_web_session_not_after", "web_session", ["not_after"], unique=False)
    op.create_table(
        "component",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("project_id", Big, nullable=True),
        sa.Column("org_id", Big, nullable=True),
        sa.Column("account_id", Big, nullable=True),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.CheckConstraint(
            "artifact <> 'wheel' OR project_id IS NOT NULL", name=op.f("ck_component_a_wheel_has_a_project")
        ),
        sa.CheckConstraint(
            "artifact IN ('wheel', 'service', 'image', 'weights', 'dataset')",
            name=op.f("ck_component_artifact"),
        ),
        sa.CheckConstraint(
            "kind IN ('source', 'model', 'simulator', 'viewer')", name=op.f("ck_component_kind")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_component_account_id"),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name="fk_component_org_id"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_component_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_component"),
    )
    op.create_index("ix_component_account_id", "component", ["account_id"], unique=False)
    op.create_index("ix_component_org_id", "component", ["org_id"], unique=False)
    op.create_index("ix_component_project_id", "component", ["project_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("serial", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Text(), nullable=False),
        sa.Column("project_id", Big, nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_journal_project_id"),
        sa.PrimaryKeyConstraint("serial", name="pk_journal"),
    )
    op.create_index("ix_journal_project_id", "journal", ["project_id"], unique=False)
    op.create_table(
        "project_role",
        sa.Column("project_id", Big, nullable=False),
        sa.Column("account_id", Big, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint("role IN ('maintainer', 'publisher')", name=op.f("ck_project_role_role")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_project_role_account_id"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_project_role_project_id"),
        sa.PrimaryKeyConstraint("project_id", "account_id", name="pk_project_role"),
    )
    op.create_index("ix_project_role_account_id", "project_role", ["account_id"], unique=False)
    op.create_table(
        "publisher",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("issuer_id", Big, nullable=False),
        sa.Column("claims", Json, nullable=False),
        sa.Column("project_id", Big, nullable=True),
        sa.Column("pending_name", sa.Text(), nullable=True),
        sa.Column("account_id", Big, nullable=False),
        sa.Column("org_id", Big, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("not_after", Instant, nullable=True),
        sa.CheckConstraint(
            "(project_id IS NULL) <> (pending_name IS NULL)", name=op.f("ck_publisher_project_or_pending")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_publisher_account_id"),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name="fk_publisher_issuer_id"),
        sa.ForeignKeyConstraint(["org_id"], ["org.id"], name="fk_publisher_org_id"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_publisher_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_publisher"),
        sa.UniqueConstraint("pending_name", name="uq_publisher_pending_name"),
    )
    op.create_index("ix_publisher_account_id", "publisher", ["account_id"], unique=False)
    op.create_index("ix_publisher_issuer_id", "publisher", ["issuer_id"], unique=False)
    op.create_index("ix_publisher_org_id", "publisher", ["org_id"], unique=False)
    op.create_index("ix_publisher_project_id", "publisher", ["project_id"], unique=False)
    op.create_table(
        "release",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("project_id", Big, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="published", nullable=False),
        sa.Column("yank_code", sa.Text(), nullable=True),
        sa.Column("yank_text", sa.Text(), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("published_at", Instant, nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("core_metadata", Json, nullable=True),
        sa.CheckConstraint(
            "state <> 'yanked' OR (yank_code IS NOT NULL AND yank_text IS NOT NULL)",
            name=op.f("ck_release_yank_has_a_reason"),
        ),
        sa.CheckConstraint(
            "state IN ('draft', 'published', 'yanked', 'quarantined')", name=op.f("ck_release_state")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_release_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_release"),
        sa.UniqueConstraint("project_id", "canonical", name="uq_release_project_id_canonical"),
    )
    op.create_index("ix_release_project_id", "release", ["project_id"], unique=False)
    op.create_table(
        "report",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("project_id", Big, nullable=False),
        sa.Column("reporter", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("answered_at", Instant, nullable=True),
        sa.CheckConstraint("state = 'open' OR answer IS NOT NULL", name=op.f("ck_report_an_answer")),
        sa.CheckConstraint("state IN ('open', 'upheld', 'dismissed')", name=op.f("ck_report_state")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_report_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
    )
    op.create_index("ix_report_project_id", "report", ["project_id"], unique=False)
    op.create_table(
        "component_release",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("release_id", Big, nullable=False),
        sa.Column("manifest", Json, nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name="fk_component_release_component_id"),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_component_release_release_id"),
        sa.PrimaryKeyConstraint("id", name="pk_component_release"),
        sa.UniqueConstraint(
            "component_id", "release_id", name="uq_component_release_component_id_release_id"
        ),
    )
    op.create_index("ix_component_release_component_id", "component_release", ["component_id"], unique=False)
    op.create_index("ix_component_release_release_id", "component_release", ["release_id"], unique=False)
    op.create_table(
        "file",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("project_id", Big, nullable=False),
        sa.Column("release_id", Big, nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("blake2_256", sa.String(length=64), nullable=False),
        sa.Column("metadata_sha256", sa.String(length=64), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("filetype", sa.Text(), nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("requires_python", sa.Text(), nullable=True),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("uploaded_at", Instant, nullable=False),
        sa.Column("first_download", Instant, nullable=True),
        sa.CheckConstraint("filetype IN ('bdist_wheel', 'sdist')", name=op.f("ck_file_filetype")),
        sa.ForeignKeyConstraint(["metadata_sha256"], ["blob.sha256"], name="fk_file_metadata_sha256"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_file_project_id"),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_file_release_id"),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name="fk_file_sha256"),
        sa.PrimaryKeyConstraint("id", name="pk_file"),
        sa.UniqueConstraint("filename", name="uq_file_filename"),
    )
    op.create_index("ix_file_metadata_sha256", "file", ["metadata_sha256"], unique=False)
    op.create_index("ix_file_project_id", "file", ["project_id"], unique=False)
    op.create_index("ix_file_release_id", "file", ["release_id"], unique=False)
    op.create_index("ix_file_sha256", "file", ["sha256"], unique=False)
    op.create_table(
        "search_doc",
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("facets", Json, nullable=False),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name="fk_search_doc_component_id"),
        sa.PrimaryKeyConstraint("component_id", name="pk_search_doc"),
    )
    op.create_table(
        "service_version",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("component_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("openapi_sha256", sa.String(length=64), nullable=False),
        sa.Column("image_digest", sa.Text(), nullable=True),
        sa.Column("base_urls", Json, nullable=False),
        sa.Column("manifest", Json, nullable=False),
        sa.Column("state", sa.Text(), server_default="published", nullable=False),
        sa.Column("yank_code", sa.Text(), nullable=True),
        sa.Column("yank_text", sa.Text(), nullable=True),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", Instant, nullable=False),
        sa.CheckConstraint(
            "state <> 'yanked' OR (yank_code IS NOT NULL AND yank_text IS NOT NULL)",
            name=op.f("ck_service_version_yank_has_a_reason"),
        ),
        sa.CheckConstraint(
            "state IN ('published', 'yanked', 'quarantined')", name=op.f("ck_service_version_state")
        ),
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name="fk_service_version_component_id"),
        sa.ForeignKeyConstraint(
            ["openapi_sha256"], ["blob.sha256"], name="fk_service_version_openapi_sha256"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_version"),
        sa.UniqueConstraint("component_id", "version", name="uq_service_version_component_id_version"),
    )
    op.create_index("ix_service_version_component_id", "service_version", ["component_id"], unique=False)
    op.create_index("ix_service_version_openapi_sha256", "service_version", ["openapi_sha256"], unique=False)
    op.create_table(
        "token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", Big, nullable=True),
        sa.Column("publisher_id", Big, nullable=True),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("not_after", Instant, nullable=False),
        sa.Column("last_used", Instant, nullable=True),
        sa.Column("last_network", sa.Text(), nullable=True),
        sa.Column("used", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.CheckConstraint(
            "(account_id IS NULL) <> (publisher_id IS NULL)", name=op.f("ck_token_one_holder")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_token_account_id"),
        sa.ForeignKeyConstraint(["publisher_id"], ["publisher.id"], name="fk_token_publisher_id"),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
        sa.UniqueConstraint("sha256", name="uq_token_sha256"),
    )
    op.create_index("ix_token_account_id", "token", ["account_id"], unique=False)
    op.create_index("ix_token_publisher_id", "token", ["publisher_id"], unique=False)
    op.create_table(
        "cert_run",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("file_id", Big, nullable=True),
        sa.Column("service_version_id", Big, nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=True),
        sa.Column("catalogue", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("lease_until", Instant, nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("verdict", Json, nullable=True),
        sa.Column("report_sha256", sa.String(length=64), nullable=True),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", Instant, nullable=False),
        sa.Column("ended_at", Instant, nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'certified', 'failed', 'incomplete', 'abandoned')",
            name=op.f("ck_cert_run_state"),
        ),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name="fk_cert_run_file_id"),
        sa.ForeignKeyConstraint(["report_sha256"], ["blob.sha256"], name="fk_cert_run_report_sha256"),
        sa.ForeignKeyConstraint(
            ["service_version_id"], ["service_version.id"], name="fk_cert_run_service_version_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_cert_run"),
    )
    op.create_index("ix_cert_run_file_id", "cert_run", ["file_id"], unique=False)
    op.create_index("ix_cert_run_report_sha256", "cert_run", ["report_sha256"], unique=False)
    op.create_index("ix_cert_run_service_version_id", "cert_run", ["service_version_id"], unique=False)
    op.create_index("ix_cert_run_subject", "cert_run", ["subject"], unique=False)
    op.create_table(
        "sbom",
        sa.Column("file_id", Big, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.CheckConstraint("origin IN ('kept', 'declared')", name=op.f("ck_sbom_origin")),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name="fk_sbom_file_id"),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name="fk_sbom_sha256"),
        sa.PrimaryKeyConstraint("file_id", name="pk_sbom"),
    )
    op.create_index("ix_sbom_sha256", "sbom", ["sha256"], unique=False)
    op.create_table(
        "certificate",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("run_id", Big, nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column("bundle_sha256", sa.String(length=64), nullable=False),
        sa.Column("issued", Instant, nullable=False),
        sa.Column("not_after", Instant, nullable=False),
        sa.CheckConstraint("level IN (1, 2, 3)", name=op.f("ck_certificate_level")),
        sa.CheckConstraint("not_after > issued", name=op.f("ck_certificate_ends_after_issue")),
        sa.ForeignKeyConstraint(["bundle_sha256"], ["blob.sha256"], name="fk_certificate_bundle_sha256"),
        sa.ForeignKeyConstraint(["run_id"], ["cert_run.id"], name="fk_certificate_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_certificate"),
    )
    op.create_index("ix_certificate_bundle_sha256", "certificate", ["bundle_sha256"], unique=False)
    op.create_index("ix_certificate_not_after", "certificate", ["not_after"], unique=False)
    op.create_index("ix_certificate_run_id", "certificate", ["run_id"], unique=False)
    op.create_index("ix_certificate_subject", "certificate", ["subject"], unique=False)
    op.create_table(
        "cert_status",
        sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("certificate_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('good', 'suspended', 'revoked', 'superseded', 'expired')",
            name=op.f("ck_cert_status_state"),
        ),
        sa.ForeignKeyConstraint(["certificate_id"], ["certificate.id"], name="fk_cert_status_certificate_id"),
        sa.PrimaryKeyConstraint("id", name="pk_cert_status"),
    )
    op.create_index("ix_cert_status_certificate_id", "cert_status", ["certificate_id"], unique=False)
    for table in ("audit", "cert_status", "journal"):
        protect(table)


def downgrade() -> None:
    op.drop_table("cert_status")
    op.drop_table("certificate")
    op.drop_table("sbom")
    op.drop_table("cert_run")
    op.drop_table("token")
    op.drop_table("service_version")
    op.drop_table("search_doc")
    op.drop_table("file")
    op.drop_table("component_release")
    op.drop_table("report")
    op.drop_table("release")
    op.drop_table("publisher")
    op.drop_table("project_role")
    op.drop_table("journal")
    op.drop_table("component")
    op.drop_table("web_session")
    op.drop_table("project")
    op.drop_table("namespace")
    op.drop_table("membership")
    op.drop_table("claim")
    op.drop_table("advisory_project")
    op.drop_table("tuf_meta")
    op.drop_table("tombstone")
    op.drop_table("org")
    op.drop_table("oidc_jti")
    op.drop_table("job")
    op.drop_table("issuer")
    op.drop_table("head")
    op.drop_table("flag")
    op.drop_table("file_decision")
    op.drop_table("blob")
    op.drop_table("audit")
    op.drop_table("attempt")
    op.drop_table("advisory")
    op.drop_table("account")
    drop_function()
