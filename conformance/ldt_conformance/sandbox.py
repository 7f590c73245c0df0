"""Walls around what is judged: bubblewrap, its limits, and what was seen of what is inside.

Inside there are no capabilities and no way to new ones, no files but the interpreter, its packages and what is handed in
(read-only), a network that leads nowhere, and one folder to write in. The judge is outside: it speaks with what is inside
by a socket or a pipe, and reads its answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

from ldt_core.environments import Environment
from ldt_core.isolation import Launch, Place

from .seen import Seen, read_events, read_report, together

_CONFINE = Path(__file__).parent / "confine"
_HOME, _DESK = "/home/judged", "/work"
_SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share/zoneinfo")
_LINKED = ("/bin", "/lib", "/lib32", "/lib64")
_ETC = {
    "resolv.conf": "nameserver 198.18.0.53\noptions timeout:1 attempts:1\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "passwd": f"judged:x:65534:65534::{_HOME}:/bin/sh\n",
    "group": "judged:x:65534:\n",
}
_MOST_OUTPUT = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Of one command with all that it starts: ``memory`` and ``disk`` in bytes, ``cpu`` seconds of one process,
    ``seconds`` by the clock (None: whoever started it looks after that)."""

    memory: int = 4 * 2**30
    disk: int = 2 * 2**30
    cpu: int = 600
    processes: int = 256
    files: int = 1024
    seconds: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code (128 and a signal's number), the first of what it printed, and what it did."""

    code: int
    output: str
    printed: int
    seen: Seen


@cache
def unavailable() -> str:
    """Why there can be no walls here; empty where there can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed (Debian: apt-get install bubblewrap)"
    words = [program, *_profile(), "--ro-bind", "/usr", "/usr"]
    for link in _LINKED:
        words += ["--symlink", f"usr{link}", link] if Path(link).is_symlink() else []
    answer = subprocess.run([*words, "--", "/usr/bin/env"], capture_output=True, text=True)
    return f"bubblewrap does not work here: {answer.stderr.strip()}" if answer.returncode else ""


def _profile() -> list[str]:
    """What is the same for every sandbox. The network is another's: see ``confine.network``."""
    spaces = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    rights = ["--disable-userns", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    return [*spaces, *rights, "--hostname", "judged", "--new-session", "--die-with-parent", "--clearenv"]


@cache
def profile_digest() -> str:
    """Of everything that makes the walls what they are, for the certificate."""
    programs = {f.name: f.read_text(encoding="utf-8") for f in sorted(_CONFINE.rglob("*.py"))}
    said = [_profile(), _SYSTEM, _LINKED, _ETC, asdict(Limits()), programs]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Sandbox:
    """A place inside walls for the processes of one environment. ``scratch`` is the one folder to write in, the same
    path inside and outside; it goes with the sandbox.

    ``read`` are more files and folders that are shown, read-only. ``beside`` are folders that are shown as a copy which
    can be written to, so that whoever does is found. ``judged`` is the folder whose lines are named. Raises ``RuntimeError`` where there can be no walls.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        read: Iterable[Path] = (),
        beside: Iterable[Path] = (),
        limits: Limits = Limits(),
        judged: Path | None = None,
    ) -> None:
        if problem := unavailable():
            raise RuntimeError(problem)
        self.environment, self.limits = environment, limits
        self._folder = tempfile.TemporaryDirectory(prefix="ldt-walls-")
        base = Path(self._folder.name)
        self.scratch, self._reports = base / "scratch", base / "reports"
        for folder in (self.scratch / "tmp", self._reports, base / "etc"):
            folder.mkdir(parents=True)
        for name, text in _ETC.items():
            (base / "etc" / name).write_text(text, encoding="utf-8")
        self._copies = {}
        for number, folder in enumerate(beside):
            self._copies[folder] = base / f"copy{number}"
            shutil.copytree(folder, self._copies[folder], symlinks=True)
        if os.geteuid() == 0:  # whom root drops to must get in
            for folder in (base, self.scratch, self.scratch / "tmp", *self._copies.values()):
                folder.chmod(0o777)
        self._read, self._judged = [Path(p) for p in read], judged
        self._told: list[Seen] = []

    # -- starting --

    def command(self, words: Sequence[str]) -> list[str]:
        """The command that runs ``words`` inside."""
        return [*self.before(), *words]

    def before(self) -> list[str]:
        """The words to put before a command, to run it inside."""
        settings = {
            "bwrap": self._walls(),
            "limits": asdict(self.limits),
            "watch": [_HOME, _DESK, "/tmp", "/dev/shm", *map(str, self._copies)],  # noqa: S108
            "scratch": str(self.scratch),
            "reports": str(self._reports),
            "python": str(_interpreter(self.environment)),
            "inner": str(_CONFINE / "inner.py"),
        }
        return [sys.executable, "-I", "-S", str(_CONFINE / "outer.py"), json.dumps(settings), "--"]

    def _walls(self) -> list[str]:
        base, home = Path(self._folder.name), _interpreter(self.environment).parent.parent
        words = [str(shutil.which("bwrap")), *_profile(), "--as-pid-1"]
        for name, value in self.variables().items():
            words += ["--setenv", name, value]
        for folder in _SYSTEM:
            words += ["--ro-bind-try", folder, folder]
        for link in _LINKED:
            there = Path(link)
            words += (
                ["--symlink", f"usr{link}", link] if there.is_symlink() else ["--ro-bind-try", link, link]
            )
        for name in _ETC:
            words += ["--ro-bind", str(base / "etc" / name), f"/etc/{name}"]
        words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        words += ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for folder in ("/tmp", "/dev/shm", _HOME, _DESK):  # noqa: S108
            words += ["--size", str(self.limits.disk), "--perms", "1777", "--tmpfs", folder]
        shown = [
            home,
            Path(self.environment.folder),
            *map(Path, self.environment.path),
            _CONFINE,
            *self._read,
        ]
        for path in _apart(shown):
            words += ["--ro-bind", str(path), str(path)]
        for original, copy in self._copies.items():
            words += ["--bind", str(copy), str(original)]
        return [*words, "--bind", str(self.scratch), str(self.scratch), "--chdir", _DESK]

    def variables(self) -> dict[str, str]:
        """The environment variables inside."""
        found = {
            "PATH": f"{self.environment.folder}/bin:/usr/bin:/bin",
            "HOME": _HOME,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TMPDIR": str(self.scratch / "tmp"),
            "LDT_CACHE": str(self.scratch / "tmp" / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(_CONFINE / "hook"),
            "LDT_OBSERVED": str(self.scratch / "tmp" / "observed.jsonl"),
            "LDT_ALLOWED": f"{self.scratch}/",
        }
        return found | ({"LDT_JUDGED": str(self._judged)} if self._judged else {})

    def run(self, words: Sequence[str], *, given: bytes = b"") -> Ended:
        """Run a command inside to its end. Of what it prints the first is kept, the rest counted."""
        process = subprocess.Popen(
            self.command(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdin is not None
        assert process.stdout is not None
        kept, printed = b"", 0
        try:
            with process.stdin as stream, suppress(BrokenPipeError):
                stream.write(given)
            while part := os.read(process.stdout.fileno(), 1 << 16):
                printed += len(part)
                kept += part[: _MOST_OUTPUT - len(kept)]
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            process.stdout.close()
        return Ended(code, kept.decode("utf-8", "replace"), printed, self.seen())

    def place(self, **limits: int) -> Place:
        """Where ``ProcessDriver`` starts the environment's components: inside."""
        return Place(self.environment, launch=Launch(tuple(self.before()), label=self._folder.name), **limits)

    # -- seeing --

    def running(self) -> list[str]:
        """The commands that run inside now, as this machine sees them."""
        parents, commands = {}, {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError, IndexError):
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                words = (path / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                commands[int(path.name)] = " ".join(words[:-1])
        inner = {p for p, c in commands.items() if str(_CONFINE / "inner.py") in c.split(" -- ")[0]}
        ours = {
            p for p in inner if str(self.scratch) in commands[p] and "bwrap" not in commands[p].split()[0]
        }
        return [c for p, c in commands.items() if c and p not in ours and _above(p, parents) & ours]

    def seen(self) -> Seen:
        """What was seen since this was last asked, of all commands that have ended."""
        found: list[Seen] = []
        for path in sorted(self._reports.glob("*.json")):
            found.append(read_report(json.loads(path.read_text(encoding="utf-8"))))
            path.unlink()
        log = self.scratch / "tmp" / "observed.jsonl"
        events = tuple(read_events(log))
        log.unlink(missing_ok=True)
        return replace(together(found), events=events)

    def close(self) -> None:
        """Remove its folders. What runs inside has been ended by whoever started it."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _above(process: int, parents: Mapping[int, int]) -> set[int]:
    found: set[int] = set()
    while (process := parents.get(process, 0)) and process not in found:
        found.add(process)
    return found


def _interpreter(environment: Environment) -> Path:
    """The program behind an environment's ``python``, which is a link to it."""
    return Path(environment.python).resolve()


def _apart(paths: Iterable[Path]) -> list[Path]:
    """Those that lie in no other one, and not in what is shown anyway."""
    found: list[Path] = []
    for path in sorted({p.absolute() for p in paths if p.exists()}, key=lambda p: len(p.parts)):
        if not any(path.is_relative_to(p) for p in (*found, *map(Path, _SYSTEM))):
            found.append(path)
    return found
