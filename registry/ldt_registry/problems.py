"""What can go wrong, as a client is told it: RFC 9457 problem details, each with a way to mend it.

The status alone must speak, since some clients print nothing else. Never a 5xx for a client's fault: upload tools
repeat those at once.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ldt_core.errors import LdtError

MEDIA_TYPE = "application/problem+json"


class Problem(LdtError):
    """An answer that is no success. ``what`` becomes the detail; ``more`` holds further members of the document."""

    group = "registry"
    exit_code = 1
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Fault of the registry"

    def __init__(
        self,
        what: str,
        *,
        code: str = "",
        where: str = "",
        fix: str = "",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(what, code=code or type(self).__name__, where=where, fix=fix)
        self.headers = headers or {}
        self.more = more

    def as_document(self) -> dict[str, Any]:
        """The problem document; ``type`` names the code, ``fix`` says how to mend it."""
        said = {"where": self.where, "fix": self.fix}
        detail = f"{self.what} {self.fix}".strip()
        return {
            "type": f"urn:ldt:registry:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": detail,
            **{k: v for k, v in said.items() if v},
            **self.more,
        }


class Malformed(Problem):
    status, title = 400, "Malformed request"


class Unauthenticated(Problem):
    """No credentials, or none that are known."""

    status, title = 401, "Credentials needed"

    def __init__(self, what: str, **said: Any) -> None:
        super().__init__(what, **said)
        self.headers.setdefault("WWW-Authenticate", 'Basic realm="registry", charset="UTF-8"')


class Forbidden(Problem):
    """Known, but without the right."""

    status, title = 403, "Not allowed"


class Missing(Problem):
    status, title = 404, "Not found"


class NotAllowed(Problem):
    status, title = 405, "Method not allowed"


class TooSlow(Problem):
    """The body did not come in time."""

    status, title = 408, "Too slow"


class Conflict(Problem):
    """It exists already and is something else, or the name is held by another."""

    status, title = 409, "Exists already"


class TooLarge(Problem):
    status, title = 413, "Too large"


class Refused(Problem):
    """Well formed, but against the rules of this registry."""

    status, title = 422, "Refused"


class TooMany(Problem):
    """``retry_after`` in seconds."""

    status, title = 429, "Too many requests"

    def __init__(self, what: str, *, retry_after: int = 60, **said: Any) -> None:
        super().__init__(what, **said)
        self.headers.setdefault("Retry-After", str(retry_after))


class Down(Problem):
    """Database or storage do not answer, or a switch is off; the same request may succeed later."""

    status, title = 503, "Not available now"
    retryable = True

    def __init__(self, what: str, *, retry_after: int = 10, **said: Any) -> None:
        super().__init__(what, **said)
        self.headers.setdefault("Retry-After", str(retry_after))


class NoSpace(Problem):
    status, title = 507, "No space left"
    retryable = True


class Misconfigured(Problem):
    """The operator mends it; met at the command line."""

    status, title = 500, "Misconfigured"
