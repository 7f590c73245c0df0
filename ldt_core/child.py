"""The other side of an isolated component: a process that serves one instance at a time over a socket.

``python -m ldt_core.child PARENT MEMORY`` (see ``keeper.keep``) takes the socket as its standard input. Whatever a component prints goes to
standard output, never into the conversation; what it starts ends with it, by the keeper that stands between it and
its parent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .engines.keeper import Ended, end_on_request, keep


def main(arguments: Sequence[str]) -> int:
    """Serve under a keeper until the parent ends, closes the socket or says so."""
    parent, memory = int(arguments[0]), int(arguments[1])
    return keep(parent, lambda: serve(memory))


def serve(memory: int) -> int:
    connection, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # what a component starts must not hold our socket
    os.set_inheritable(connection, False)
    end_on_request()
    code = 0
    try:
        if memory:
            _limit(memory)
        import socket

        from .service import Server

        Server(socket.socket(fileno=connection)).serve()
    except Ended:
        code = 143
    except (EOFError, ConnectionError):
        code = 0  # nobody is there any more
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # threads of components may run on for ever


def _limit(memory: int) -> None:
    """Private memory, not addresses: what numerical libraries reserve and never touch costs nothing."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
