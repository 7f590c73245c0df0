"""A network that leads nowhere and forgets nothing: every address of the world is on this machine's loopback.

In a network namespace of its own, a route makes all addresses local; nobody listens, so whoever connects is refused at
once, and a packet socket sees whom they asked. A name server answers every name with an address that stands for it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import socket
import struct
from contextlib import suppress

SERVER = "198.18.0.53"
"""Of names. RFC 2544 keeps 198.18.0.0/15 for tests."""
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_MOST = 1000


class NoNetwork(Exception):
    """This kernel gives us no network namespace to watch."""


class Trap:
    """The network of whatever this process starts. Raises ``NoNetwork``."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.addresses: set[tuple[str, int, str]] = set()
        _leave()
        try:
            _loopback_up()
            _all_is_local(socket.AF_INET)
            with suppress(OSError):  # without IPv6 nothing can be sent by it either
                _all_is_local(socket.AF_INET6)
            self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.wire.bind(("lo", 0))
            self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.server.bind(("0.0.0.0", 53))  # noqa: S104 - of a network of our own
        except OSError as exc:
            raise NoNetwork(f"a network of its own cannot be set up: {exc}") from exc
        for end in (self.wire, self.server):
            end.setblocking(False)

    def look(self) -> None:
        """Take note of what has come."""
        with suppress(BlockingIOError):
            while True:
                self._note(self.wire.recv(256))
        with suppress(BlockingIOError):
            while True:
                self._answer(*self.server.recvfrom(2048))

    def _note(self, frame: bytes) -> None:
        kind = struct.unpack("!H", frame[12:14])[0] if len(frame) >= 54 or frame[12:14] == b"\x08\x00" else 0
        if kind == 0x0800 and len(frame) >= 34:
            protocol, target, body = frame[23], frame[30:34], frame[14 + 4 * (frame[14] & 15) :]
        elif kind == 0x86DD:
            protocol, target, body = frame[20], frame[38:54], frame[54:]
        else:
            return
        address = ipaddress.ip_address(target)
        if address.is_loopback or len(body) < 4 or len(self.addresses) >= _MOST:
            return
        source, port = struct.unpack("!HH", body[:4])
        if protocol == socket.IPPROTO_TCP:
            if len(body) > 13 and body[13] & 0x12 == 0x02:  # the first of a connection
                self.addresses.add((str(address), port, "tcp"))
        elif protocol == socket.IPPROTO_UDP:
            if not (source == 53 or (str(address) == SERVER and port == 53)):
                self.addresses.add((str(address), port, "udp"))
        elif protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6):
            if body[0] in (8, 128):  # a ping; the kernel's own messages are nobody's doing
                self.addresses.add((str(address), 0, "icmp"))
        else:
            self.addresses.add((str(address), 0, f"protocol {protocol}"))

    def _answer(self, query: bytes, client: tuple[str, int]) -> None:
        labels, at = [], 12
        while at < len(query) and 0 < query[at] < 64:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "backslashreplace"))
            at += 1 + query[at]
        end = at + 5
        if end > len(query):
            return
        name, kind = ".".join(labels).lower(), struct.unpack("!H", query[at + 1 : at + 3])[0]
        if name not in self.names and len(self.names) < _MOST:
            number = len(self.names) + 256
            self.names[name] = f"198.18.{number >> 8}.{number & 255}"
        answer = b""
        if kind == 1 and name in self.names:
            answer = b"\xc0\x0c" + struct.pack("!HHLH", 1, 1, 60, 4) + socket.inet_aton(self.names[name])
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if answer else 0, 0, 0)
        with suppress(OSError):
            self.server.sendto(head + query[12:end] + answer, client)


def _leave() -> None:
    """Into a network namespace of our own; where that takes a user namespace, into one of those too."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_NET) == 0:
        return
    if libc.unshare(_NEW_NET | _NEW_USER) != 0:
        code = ctypes.get_errno()
        raise NoNetwork(f"no network namespace: {errno.errorcode.get(code, code)}")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as stream:  # noqa: PTH123
            stream.write(text)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x49))  # SIOCSIFFLAGS: up, loopback, running


def _all_is_local(family: int) -> None:
    """``ip route add local default dev lo``, by rtnetlink."""
    route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 255, 3, 254, 2, 0)
    device = struct.pack("=HHi", 8, 4, socket.if_nametoindex("lo"))
    size = 16 + len(route) + len(device)
    head = struct.pack("=IHHII", size, 24, 0x0001 | 0x0004 | 0x0200 | 0x0400, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.bind((0, 0))
        s.send(head + route + device)
        code = struct.unpack("=i", s.recv(4096)[16:20])[0]
    if code:
        raise OSError(-code, os.strerror(-code))
