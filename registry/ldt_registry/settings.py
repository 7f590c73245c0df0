"""How a registry is set up: environment ``LDT_REGISTRY_*``, else ``registry.toml`` in its home, else the default."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from .problems import Misconfigured

FILE = "registry.toml"
MIB = 1024 * 1024


class Settings(BaseSettings):
    """All that can be set. A field without a value keeps everything in ``home``: SQLite and a folder."""

    model_config = SettingsConfigDict(env_prefix="LDT_REGISTRY_", extra="forbid", frozen=True)

    home: Path = Field(Path("registry"), description="folder of the registry: database, blobs, staging")
    database: SecretStr | None = Field(
        None, description="postgresql://USER:PASSWORD@HOST/NAME; default: SQLite in the home"
    )
    blobs: str | None = Field(None, description="s3://BUCKET/PREFIX; default: a folder in the home")
    s3_endpoint: str | None = Field(None, description="address of an S3 server that is not Amazon's")
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = Field("", description="how clients reach the registry; needed behind a proxy")
    title: str = "Component registry"

    max_file: int = Field(1024 * MIB, gt=0, description="bytes of one uploaded file")
    max_field: int = Field(4 * MIB, gt=0, description="bytes of one form field")
    max_fields: int = Field(5000, gt=0)
    max_project: int = Field(10 * 1024 * MIB, gt=0, description="bytes of all files of one project")
    upload_seconds: float = Field(300, gt=0, description="an upload must be done by then")
    slowest_rate: int = Field(10_000, ge=0, description="bytes per second that a body must reach")
    keep_free: int = Field(1024 * MIB, ge=0, description="bytes that uploads leave free on disk")
    keep_free_share: float = Field(0.05, ge=0, lt=1, description="share of the disk that uploads leave free")
    lease: timedelta = Field(
        timedelta(minutes=15), description="how long an upload may need from claim to publication"
    )
    keep_unused: timedelta = Field(
        timedelta(hours=24), description="age at which unused bytes and left-over uploads are deleted"
    )
    wait: float = Field(
        2.0, gt=0, description="seconds that a request waits for the database before it is refused"
    )
    token_days: int = Field(90, gt=0, le=366)
    projects_per_hour: int = Field(100, gt=0, description="new projects of one account")
    proxies: int = Field(0, ge=0, description="proxies in front that add to X-Forwarded-For")
    trusted_hosts: frozenset[str] = Field(
        frozenset(), description="NAME:PORT of servers in the own network that may be asked, such as GitLab's"
    )
    trusted_only: bool = Field(
        False, description="a project with a trusted publisher takes no upload by another token"
    )
    audience: str = Field("ldt-registry", description="for whom tokens of trusted publishers are made")

    @field_validator("public_url", "s3_endpoint")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @property
    def database_url(self) -> str:
        """With the driver that is used."""
        if self.database is None:
            return f"sqlite:///{self.home / 'registry.db'}"
        return self.database.get_secret_value().replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def base_url(self) -> str:
        """Absolute addresses are made from this, never from a request."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        said: dict[str, Any] = {**env_settings(), **init_settings()}
        file = Path(said.get("home", cls.model_fields["home"].default)) / FILE
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    @classmethod
    def load(cls, **said: Any) -> Self:
        """Settings of environment and file under what is ``said``. Raises ``Misconfigured``, naming each key."""
        try:
            return cls(**{k: v for k, v in said.items() if v is not None})
        except ValidationError as exc:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            raise Misconfigured(
                f"the settings cannot be used: {wrong}",
                fix=f"Correct {FILE} in the home of the registry, or the variables LDT_REGISTRY_*.",
            ) from exc
