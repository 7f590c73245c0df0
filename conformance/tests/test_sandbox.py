"""The walls hold: real code tries each of them from inside, with the judge's own tools or with none of Python's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest
from ldt_conformance import sandbox
from ldt_conformance.sandbox import Ended, Limits, Sandbox
from ldt_conformance.seen import read_report

from ldt_core.environments import Environment

pytestmark = pytest.mark.bwrap
HERE = Environment(sys.prefix, "", sys.executable, ())
MIB = 2**20


@pytest.fixture(scope="module", autouse=True)
def _walls() -> None:
    if problem := sandbox.unavailable():
        assert not os.environ.get("CI"), problem
        pytest.skip(problem)


def inside(code: str, **limits: float) -> Ended:
    """Run code in a sandbox of its own; a minute ends what hangs."""
    with Sandbox(HERE, limits=Limits(**{"seconds": 60.0, **limits})) as walls:  # type: ignore[arg-type]
        return walls.run([sys.executable, "-c", textwrap.dedent(code)])


def running(mark: str) -> list[int]:
    """Processes of this machine whose command holds a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_until_gone(mark: str) -> None:
    last = time.monotonic() + 20
    while running(mark) and time.monotonic() < last:
        time.sleep(0.02)
    assert running(mark) == []


# -- rights --------------------------------------------------------------------------------------------------


def test_there_are_no_rights_inside_and_no_way_to_new_ones() -> None:
    done = inside(
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        status = dict(l.split(":", 1) for l in open("/proc/self/status") if ":" in l)
        print(os.getuid(), os.getgid(), {k: int(v, 16) for k, v in status.items() if k.startswith("Cap")})
        print("no new privileges", status["NoNewPrivs"].strip())
        print("mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
        print("remount", libc.mount(b"none", b"/usr/lib", None, 32 | 4096, None))
        print("user namespace", libc.unshare(0x10000000))
        print("net namespace", libc.unshare(0x40000000))
        print("device", libc.mknod(b"/tmp/disk", 0o60666, 0x801))
        print("root", libc.setuid(0))
        """
    )
    lines = done.output.splitlines()
    assert lines[0].startswith("65534 65534")
    assert "'CapEff': 0" in lines[0]
    assert "'CapBnd': 0" in lines[0]
    assert lines[1:] == ["no new privileges 1", *(f"{n} -1" for n in ("mount", "remount", "user namespace")),
                         "net namespace -1", "device -1", "root -1"]  # fmt: skip


def test_files_and_variables_of_this_machine_cannot_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("swordfish")
    monkeypatch.setenv("LDT_TEST_SECRET", "swordfish")
    done = inside(
        f"""
        import os
        for path in ("{tmp_path}/secret", "/etc/shadow", "/etc/ssh", "{Path.home()}/.ssh", "/var/log", "/proc/1/environ"):
            try:
                print(path, os.listdir(path) if os.path.isdir(path) else open(path).read(20))
            except OSError as exc:
                print("refused")
        print("swordfish" in str(os.environ), sorted(os.listdir("/")), os.listdir("/home"))
        print([p for p in os.listdir("/proc") if p.isdigit() and int(p) > 9])
        """
    )
    lines = done.output.splitlines()
    assert lines[:6] == ["refused"] * 6
    assert lines[6].startswith("False")
    assert "var" not in lines[6]
    assert lines[6].endswith("['judged']")
    assert lines[7] == "[]"


def test_what_is_handed_in_can_be_read_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    code = f"""
import pathlib
file = pathlib.Path({str(tmp_path / "data.csv")!r})
print(file.read_text().strip())
for action in (lambda: file.write_text("x"), file.unlink, lambda: file.chmod(0o777), lambda: open({os.__file__!r}, "a")):
    try:
        action()
        print("written")
    except OSError as exc:
        print(exc.errno)
"""
    with Sandbox(HERE, read=[tmp_path], limits=Limits(seconds=60)) as walls:
        done = walls.run([sys.executable, "-c", code])
    assert done.output.split() == ["a,b", "30", "30", "30", "30"]
    assert (tmp_path / "data.csv").read_text() == "a,b\n"


def test_only_the_scratch_folder_is_shared() -> None:
    with Sandbox(HERE, limits=Limits(seconds=60)) as walls:
        words = f"open({str(walls.scratch / 'mine')!r}, 'w').write('1'); open('/tmp/mine', 'w').write('2')"
        done = walls.run([sys.executable, "-c", words])
        assert (walls.scratch / "mine").read_text() == "1"
    assert done.seen.written == ("/tmp/mine",)  # noqa: S108
    assert not Path("/tmp/mine").exists()  # noqa: S108


def test_process_one_cannot_be_ended_or_looked_into() -> None:
    done = inside(
        """
        import os, signal
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
            os.kill(1, number)
            os.kill(os.getppid(), number)
        ends = [f"/proc/1/fd/{n}" for n in range(20) if n > 2]
        for path in ("/proc/1/mem", *ends):
            try:
                print(open(path, "r+b" if path in ends else "rb"))
            except OSError:
                print("refused")
        print(sorted(os.listdir("/proc/self/fd")))
        raise SystemExit(7)
        """
    )
    assert (done.code, done.seen.ended_by) == (7, None)
    *tried, own = done.output.splitlines()
    assert tried == ["refused"] * 18
    assert own == "['0', '1', '2', '3', '4']"  # the audit hook's log, and this folder


def test_a_command_that_is_not_there_is_told() -> None:
    with Sandbox(HERE, limits=Limits(seconds=60)) as walls:
        done = walls.run(["/usr/bin/no-such-program"])
    assert done.code == 127
    assert "no-such-program cannot be started: No such file" in done.output


# -- the network ---------------------------------------------------------------------------------------------

EVADING = """
import ctypes, socket, struct
libc = ctypes.CDLL(None)
s = libc.socket(2, 1, 0)
address = struct.pack("=HH4s8x", 2, socket.htons(4433), socket.inet_aton("203.0.113.9"))
print(libc.connect(s, address, 16))
"""


def test_whom_a_c_call_reaches_for_is_seen_though_no_hook_is_asked() -> None:
    done = inside(EVADING)
    assert done.output.split() == ["-1"]
    assert done.seen.addresses == (("203.0.113.9", 4433, "tcp"),)
    assert done.seen.events == ()
    assert done.seen.hosts == {"203.0.113.9": "203.0.113.9 port 4433 (tcp)"}


def test_names_are_seen_and_the_line_that_asked_is_named() -> None:
    done = inside(
        """
        import socket
        for kind, host in ((socket.SOCK_STREAM, "api.example.org"), (socket.SOCK_DGRAM, "2001:db8::7")):
            try:
                s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
                s.connect((host, 443))
                s.send(b"x")
            except OSError as exc:
                print(type(exc).__name__)
        """
    )
    assert set(done.seen.names) == {"api.example.org"}
    assert done.seen.hosts == {"api.example.org": "a name", "2001:db8::7": "2001:db8::7 port 443 (udp)"}
    assert next(e["where"] for e in done.seen.events if e["event"] == "socket.connect") == "<string>:6"


def test_loopback_is_no_network() -> None:
    done = inside(
        """
        import socket
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        client.sendall(b"hello")
        print(server.accept()[0].recv(5))
        """
    )
    assert done.output.split() == ["b'hello'"]
    assert done.seen.hosts == {}


def test_loopback_of_this_machine_is_another() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = inside(f"import socket\nprint(socket.socket().connect_ex(('127.0.0.1', {port})))")
    assert done.output.split() == ["111"]


def test_where_no_network_can_be_watched_there_is_none_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(sandbox._CONFINE, tmp_path / "confine")
    code = (copy / "network.py").read_text()
    (copy / "network.py").write_text(
        code.replace("        _leave()\n", "        raise NoNetwork('forbidden')\n")
    )
    monkeypatch.setattr(sandbox, "_CONFINE", copy)
    done = inside("import socket\nprint(socket.socket().connect_ex(('203.0.113.9', 80)))")
    assert done.output.split() == ["101"]  # the network cannot be reached
    assert done.seen.network == "none: forbidden"


# -- limits ----------------------------------------------------------------------------------------------------


def test_forks_without_end_are_stopped() -> None:
    done = inside(
        """
        import os, time
        made = 0
        for _ in range(300):
            try:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
                made += 1
            except OSError:
                break
        print(made)
        """,
        processes=40,
    )
    assert 20 < int(done.output) < 40
    assert done.seen.processes > 20


def test_too_much_memory_is_refused_or_ended_with_the_reason() -> None:
    alone = inside("x = bytearray(400 * 2**20)", memory=128 * MIB)
    assert "MemoryError" in alone.output
    together = inside(
        """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                x = bytearray(os.urandom(1)) * (60 * 2**20)
                time.sleep(60)
        time.sleep(60)
        """,
        memory=128 * MIB,
    )
    assert together.seen.limit == "memory"
    assert together.code == 128 + signal.SIGKILL


def test_too_much_processor_time_is_ended_with_the_reason() -> None:
    done = inside("while True: pass", cpu=1)
    assert done.seen.limit == "cpu"
    assert done.code == 128 + signal.SIGXCPU


def test_too_much_time_is_ended_with_the_reason() -> None:
    done = inside("import time; time.sleep(100)", seconds=0.5)
    assert done.seen.limit == "time"
    assert done.seen.left == ()


@pytest.mark.parametrize("size", [1, 64])
def test_a_full_disk_is_ended_with_the_reason(size: int) -> None:
    """By many small files, or refused in one large one."""
    done = inside(
        f"""
        import os, time
        for number in range(64 // {size} * 4):
            with open(f"{{os.environ['TMPDIR']}}/{{number}}", "wb") as stream:
                stream.write(bytes({size} * 2**20))
                stream.flush()
                os.fsync(stream.fileno())
        time.sleep(60)
        """,
        disk=32 * MIB,
    )
    if size == 1:
        assert done.seen.limit == "disk"
    else:
        assert "File too large" in done.output


def test_folders_in_memory_have_a_size_too() -> None:
    done = inside("open('/tmp/x', 'wb').write(bytes(8 * 2**20))\nopen('/dev/shm/x', 'wb').write(bytes(8 * 2**20))",
                  disk=10 * MIB)  # fmt: skip
    assert done.code == 0
    done = inside("[open(f'/dev/shm/{i}', 'wb').write(bytes(8 * 2**20)) for i in range(3)]", disk=10 * MIB)
    assert "No space left" in done.output


def test_output_without_end_is_counted_and_not_kept() -> None:
    done = inside("import os\nfor _ in range(2048): os.write(1, bytes(131072))")
    assert done.printed == 256 * MIB
    assert len(done.output) == MIB


# -- the end -----------------------------------------------------------------------------------------------------


def test_what_is_left_behind_is_named_and_ended() -> None:
    mark = f"ldt-left-{uuid.uuid4().hex}"
    done = inside(
        f"""
        import os, subprocess, sys
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                subprocess.run([sys.executable, "-c", "import time; time.sleep(600)", "{mark}"])
            os._exit(0)
        while not any(b"{mark}" in open(f"/proc/{{p}}/cmdline", "rb").read().split(b"\\0") for p in os.listdir("/proc")
                      if p.isdigit() and p != "1" and int(p) != os.getpid()):
            pass
        """
    )
    assert any(mark in command for command in done.seen.left)
    wait_until_gone(mark)


@pytest.mark.parametrize("begun", [2, 3, 4])
def test_nothing_runs_on_when_the_judge_is_killed(begun: int) -> None:
    mark = f"ldt-orphan-{uuid.uuid4().hex}"
    judge = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from ldt_conformance.sandbox import *\n"
            "walls = Sandbox(Environment(sys.prefix, '', sys.executable, ()))\n"
            f"walls.run([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'])\n",
        ]
    )
    last = time.monotonic() + 30
    while len(running(mark)) < begun and time.monotonic() < last:
        time.sleep(0.02)
    judge.kill()
    judge.wait()
    wait_until_gone(mark)


def test_no_control_group_is_left() -> None:
    with Sandbox(HERE, limits=Limits(seconds=60)) as walls:
        process = subprocess.Popen(walls.command([sys.executable, "-c", "pass"]))
        process.wait()
    assert list(Path("/sys/fs/cgroup").rglob(f"ldt-{process.pid}")) == []


# -- without root, and without bubblewrap ------------------------------------------------------------------------


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="root becomes somebody else"
)
def test_the_walls_hold_for_somebody_who_is_not_root(tmp_path: Path) -> None:
    room = Path("/tmp") / f"ldt-plain-{uuid.uuid4().hex}"  # noqa: S108 - tmp_path is its owner's alone
    shutil.copytree(Path(sandbox.__file__).parent / "confine", room / "confine")
    (room / "reports").mkdir()
    (room / "scratch").mkdir()
    for folder in (room, *room.rglob("*")):
        folder.chmod(0o777)
    python = str(Path("/usr/bin/python3").resolve())
    walls = Environment("/usr", "", python, ())
    code = "import os\nmade = 0\ntry:\n  while os.fork(): made += 1\n  else: __import__('time').sleep(60)\n"
    code += "except OSError: print(made)\n" + EVADING
    try:
        with Sandbox(walls, limits=Limits(processes=40, seconds=60)) as place:
            words = place.command([python, "-c", code])
            at = next(i for i, word in enumerate(words) if word.startswith("{"))
            text = words[at].replace(str(sandbox._CONFINE), str(room / "confine"))
            text = text.replace(str(place._reports), str(room / "reports"))
            text = text.replace(str(place.scratch), str(room / "scratch"))
            for name in ("resolv.conf", "hosts", "nsswitch.conf", "passwd", "group"):
                Path(place._folder.name, "etc", name).chmod(0o644)
            Path(place._folder.name, "etc").chmod(0o755)
            done = subprocess.run(
                [python, "-I", "-S", str(room / "confine" / "outer.py"), text, *words[at + 1 :]],
                user=65534, group=65534, extra_groups=[], capture_output=True, text=True, cwd="/",
            )  # fmt: skip
            (report,) = (room / "reports").glob("*.json")
            seen = read_report(json.loads(report.read_text()))
    finally:
        shutil.rmtree(room)
    made, refused = map(int, done.stdout.split()[-2:])
    assert 20 < made < 40, done.stdout
    assert refused == -1
    assert seen.network == "watched"
    assert seen.addresses == (("203.0.113.9", 4433, "tcp"),)


def test_without_bubblewrap_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.unavailable.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        assert "not installed" in sandbox.unavailable()
        with pytest.raises(RuntimeError, match="apt-get install bubblewrap"):
            Sandbox(HERE)
    finally:
        sandbox.unavailable.cache_clear()
