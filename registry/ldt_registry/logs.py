"""What is logged: one JSON document a line; tokens are cut down to their ids, in tracebacks and addresses, too."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from .tokens import redact


class _Redacted(structlog.stdlib.ProcessorFormatter):
    """Formats the record with its traceback, then looks at the whole of it."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure() -> None:
    """For a server: what this package and the libraries below it log goes to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    ending: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted(foreign_pre_chain=shared, processors=ending))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
