"""``ldt``: the command line. Imports nothing heavy; a command imports what it needs when it is called."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from . import __version__
from .catalog import Command, EngineOffer, engine_names, installed
from .errors import LdtError, PluginError

EPILOG = """exit codes: 0 done; 2 usage; 10 twin file, wiring or schedule; 11 plugin; 12 data; 13 run;
14 store; 15 remote; 70 our own fault; 130 interrupted"""


def build_parser(
    commands: Sequence[Command] = (), engines: Sequence[EngineOffer] = ()
) -> argparse.ArgumentParser:
    """The parser of all commands; those of plugins take their arguments as they are."""
    parser = argparse.ArgumentParser(
        prog="ldt",
        description="Local Digital Twins: data, models and simulators of a city, joined and run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ldt {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, help: str) -> argparse.ArgumentParser:
        return sub.add_parser(name, help=help, description=help)

    demo = add("demo", "a city's first twin: Helsinki, one street closed, judged and mapped")
    demo.add_argument("--folder", default="ldt-demo", help="where the twin is put (default: ldt-demo)")
    _run_options(demo)
    demo.add_argument("--open", action="store_true", help="open the page in the browser")

    new = add("new", "a working scaffold: source, model, simulator, viewer or twin")
    new.add_argument("kind", choices=["source", "model", "simulator", "viewer", "twin"])
    new.add_argument("name", help="kebab-case, for example street-trees")
    new.add_argument("--into", default=".", help="the folder to put it in (default: here)")
    new.add_argument("--from", dest="source", metavar="FILE", help="twin: start from this data file")

    lister = add("list", "the components that are installed")
    lister.add_argument("kind", nargs="?", choices=["source", "model", "simulator", "viewer"])
    lister.add_argument("--json", action="store_true", help="for machines, on standard output")

    show = add("show", "one component: its ports, parameters and licence")
    show.add_argument("id", help="a component's id; `ldt list` names them")
    show.add_argument("--json", action="store_true", help="for machines, on standard output")

    check = add("check", "prove the wiring and the schedule of a twin; print the plan")
    _twin_argument(check)
    check.add_argument(
        "-s", "--scenario", action="append", metavar="NAME", help="this scenario only (repeatable)"
    )
    check.add_argument(
        "--online", action="store_true", help="read anew what remote components say of themselves"
    )
    check.add_argument("--json", action="store_true", help="for machines, on standard output")

    run = add("run", "run a twin's scenarios; what is in the store is not computed again")
    _twin_argument(run)
    run.add_argument(
        "-s", "--scenario", action="append", metavar="NAME", help="this scenario only (repeatable)"
    )
    run.add_argument(
        "--sweep",
        action="append",
        metavar="NAME",
        help="this sweep, with the scenarios it varies (repeatable)",
    )
    run.add_argument("--all", action="store_true", help="all scenarios and all sweeps (default: no sweep)")
    run.add_argument("--locked", action="store_true", help="refuse to run where twin.lock is not fulfilled")
    run.add_argument("--dry-run", action="store_true", help="tell what would be computed, and stop")
    run.add_argument(
        "--engine",
        choices=engine_names(engines),
        default="local",
        help="where tasks are run: on this machine, by Dask, or in a SLURM job",
    )
    run.add_argument("--address", default=None, help="dask: a running scheduler, tcp://HOST:PORT or its file")
    _run_options(run)
    job = run.add_argument_group("of a SLURM job; with --dry-run its script is printed, and not submitted")
    job.add_argument("--nodes", type=_count, default=None, help="slurm: nodes (default: SLURM decides)")
    job.add_argument(
        "--time",
        type=_job_value("time"),
        default=None,
        help="slurm: time limit, HH:MM:SS (default: one hour)",
    )
    job.add_argument(
        "--partition",
        type=_job_value("partition"),
        default=None,
        help="slurm: partition (default: the cluster's)",
    )
    job.add_argument(
        "--account", type=_job_value("account"), default=None, help="slurm: account that is charged"
    )
    job.add_argument("--cpus", type=_count, default=None, help="slurm: processors of a worker")
    job.add_argument("--memory", type=_size, default=None, help="slurm: memory of a worker, such as 4GiB")
    job.add_argument(
        "--extra",
        action="append",
        type=_job_value("extra"),
        metavar="LINE",
        help="slurm: a line of the script, such as --extra=--constraint=fast or --extra='module load python'",
    )

    compare = add("compare", "scenarios side by side: KPIs, targets, change against noise")
    _twin_argument(compare)
    compare.add_argument("scenarios", nargs="*", help="baseline first (default: all of the last run)")
    compare.add_argument("--run", default=None, help="a run's folder (default: the last finished one)")
    compare.add_argument("--json", action="store_true", help="for machines, on standard output")

    results = add("results", "the table of a run: every scenario, member of a sweep, replicate and KPI")
    _run_argument(results)
    results.add_argument("--to", choices=["csv", "parquet"], default=None, help="write the whole table")
    results.add_argument(
        "--out", metavar="FILE", default=None, help="where (default: csv to standard output)"
    )
    results.add_argument("--json", action="store_true", help="for machines, on standard output")

    sensitivity = add("sensitivity", "which parameter of a sweep moves which KPI, and how surely")
    _run_argument(sensitivity)
    sensitivity.add_argument("--sweep", action="append", metavar="NAME", help="this sweep only (repeatable)")
    sensitivity.add_argument("--kpi", action="append", metavar="NAME", help="this KPI only (repeatable)")
    sensitivity.add_argument("--json", action="store_true", help="for machines, on standard output")

    runs = add("runs", "the runs beside a twin: status, time, tasks computed, stored and failed")
    _twin_argument(runs)
    runs.add_argument("--json", action="store_true", help="for machines, on standard output")

    log = add("log", "what a run's tasks did and said, by time, also while it goes on")
    log.add_argument("run", nargs="?", default="last", help="a run's folder, a twin (its newest run) or last")
    log.add_argument("task", nargs="?", default=None, help="only tasks with this text in their name")
    log.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    log.add_argument("--json", action="store_true", help="one JSON object a line")
    lock = add("lock", "pin what a twin runs with, in twin.lock: versions, hashes, no addresses")
    _twin_argument(lock)
    lock.add_argument(
        "--check", action="store_true", help="only tell whether this environment is the locked one"
    )
    lock.add_argument("--json", action="store_true", help="for machines, on standard output")

    again = add("reproduce", "make a run again into an empty store; is it the same bit for bit?")
    again.add_argument("run", nargs="?", default="last", help="a run's folder, a twin, or last (the default)")
    again.add_argument(
        "--rebuild", action="store_true", help="in a fresh environment, made by uv from the run's lock"
    )
    again.add_argument("--find-links", metavar="FOLDER", help="with --rebuild: wheels that no index has")
    again.add_argument(
        "--workers", type=_count, default=None, help="processes (default: the cores of this machine)"
    )
    again.add_argument("--json", action="store_true", help="for machines, on standard output")
    again.add_argument("-q", "--quiet", action="store_true", help="no progress")

    export = add("export", "a run as open files (GeoParquet, CSV, JSON), or as an RO-Crate")
    export.add_argument(
        "run", nargs="?", default="last", help="a run's folder, a twin, or last (the default)"
    )
    export.add_argument(
        "--to", required=True, metavar="crate|FOLDER", help="an RO-Crate, or a folder of open files"
    )
    export.add_argument(
        "--out", metavar="PATH", help="where the crate goes; a zip where it ends so (default: RUN-crate)"
    )
    export.add_argument("--page", metavar="FILE", help="a page of `ldt view` to go with it")
    export.add_argument("--json", action="store_true", help="for machines, on standard output")

    store = add("store", "what is stored of a twin: ls, verify, gc")
    store.add_argument(
        "action", choices=["ls", "verify", "gc"], help="list, read everything again, or take out what may go"
    )
    _twin_argument(store)
    store.add_argument(
        "--budget", metavar="SIZE", help="gc: the size to come down to, as 10GiB (default: LDT_STORE_BUDGET)"
    )
    store.add_argument("--older-than", metavar="AGE", help="gc: also what was not used for so long, as 30d")
    store.add_argument(
        "--set-aside", action="store_true", help="verify: what is damaged, so that the next run computes it"
    )
    store.add_argument("--dry-run", action="store_true", help="gc: only tell what would be taken out")
    store.add_argument("--json", action="store_true", help="for machines, on standard output")

    remote = add("remote", "serve installed components over HTTP, for twins and for any OGC API client")
    remote.add_argument("action", choices=["serve"], help="until it is told to end")
    remote.add_argument("ids", nargs="+", metavar="ID", help="components; `ldt list` names them")
    remote.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine alone)")
    remote.add_argument("--port", type=int, default=0, help="the port (default: any that is free)")
    remote.add_argument(
        "--params",
        default="{}",
        help="parameters that are fixed: JSON or a file with it; of several IDs by ID",
    )
    remote.add_argument(
        "--crs", default=None, help="what `twin` stands for in CRSs where a request says none"
    )
    remote.add_argument("--bbox", default=None, help="the area, MINX,MINY,MAXX,MAXY in that CRS, likewise")
    remote.add_argument(
        "--token", default=None, metavar="NAME", help="environment variable that holds a token"
    )
    remote.add_argument("--largest", type=_size, default=None, help="largest body taken (default: 64MiB)")
    remote.add_argument("--sessions", type=_count, default=64, help="simulators held at once (default: 64)")
    remote.add_argument(
        "--idle", type=_count, default=3600, help="seconds that one may lie idle (default: 3600)"
    )
    remote.add_argument("--json", action="store_true", help="the address as JSON on standard output")

    manifest = add("manifest", "write the component.json of plugin folders from their code")
    manifest.add_argument("folders", nargs="+", help="folders with a pyproject.toml")
    manifest.add_argument("--check", action="store_true", help="only tell which have drifted")

    add("schema", "the JSON Schema of twin.yaml, for editors")

    completion = add("completion", "the completion script of a shell")
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])

    add("worker", "run task files, given one per line on standard input")

    for command in commands:
        if command.name not in sub.choices:
            # argparse takes % for a place of its own
            extra = sub.add_parser(command.name, help=command.help.replace("%", "%%"), add_help=False)
            extra.add_argument("rest", nargs=argparse.REMAINDER)
            extra.set_defaults(plugin=command)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(actions[0].choices)


def _twin_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("twin", nargs="?", default=".", help="a twin file or its folder (default: here)")


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="last", help="a run's folder, a twin or last (the default)")


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=_count, default=None, help="processes (default: the cores of this machine)"
    )
    parser.add_argument("--replicates", type=_count, default=None, help="instead of the twin file's")
    parser.add_argument("--json", action="store_true", help="the run's record on standard output")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def _job_value(option: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        from .engines.slurm import refuse_odd

        try:
            refuse_odd(option, text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None
        return text

    return check


def _size(text: str) -> int:
    from .twin_values import parse_size

    try:
        return parse_size(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal lacks is no error
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        found = installed()
        commands = found.commands
        parser = build_parser(commands, found.engines)
        chosen = commands_of(parser).get(words[0]) if words else None
        plugin = chosen.get_default("plugin") if chosen is not None else None
        if plugin is not None:
            refuse_two_owners(plugin, commands)
            return call_plugin(plugin, words[1:])
        options = parser.parse_args(words)
        if options.command is None:
            parser.print_help()
            return 2
        return _dispatch(options, parser)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        print("\nldt: interrupted; what was finished is in the store", file=sys.stderr)
        return 130
    except Exception as exc:
        if debug:
            traceback.print_exc()
        text, code = _last_words(exc)
        print("".join(c if c.isprintable() or c == "\n" else "?" for c in f"ldt: {text}"), file=sys.stderr)
        return code


def _last_words(exc: Exception) -> tuple[str, int]:
    """What the user is told of an error, and the exit code."""
    if isinstance(exc, LdtError):
        return str(exc), exc.exit_code
    if isinstance(exc, OSError) and exc.filename is not None:
        return (
            f"{exc.filename}: {exc.strerror} [E7 not usable]\n"
            "  -> free some space or mend the rights; what was finished is in the store"
        ), 14
    return f"our own fault: {type(exc).__name__}: {exc} (ldt --debug shows where)", 70


def refuse_two_owners(command: Command, commands: Sequence[Command]) -> None:
    """Raise ``PluginError`` where several distributions bring a command of this name."""
    owners = sorted({c.distribution for c in commands if c.name == command.name})
    if len(owners) > 1:
        raise PluginError(
            f"the command '{command.name}' is brought by {' and '.join(owners)}",
            code="two owners",
            fix=f"uninstall one of them: pip uninstall {owners[-1]}",
        )


def call_plugin(command: Command, words: list[str]) -> int:
    """Run a plugin's command. Raises ``PluginError`` where it cannot be imported."""
    import importlib

    module, _, name = command.target.partition(":")
    try:
        target = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as exc:
        raise PluginError(
            f"the command '{command.name}' of {command.distribution} cannot be loaded: {type(exc).__name__}: {exc}",
            code="import failed",
            fix="reinstall the package, or report this to its author",
        ) from exc
    return int(target(words) or 0)


def _dispatch(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    if options.command == "list":
        from .commands.listing import list_components

        return list_components(options)
    if options.command == "show":
        from .commands.listing import show_component

        return show_component(options)
    if options.command == "completion":
        from .commands.listing import completion

        return completion(options, sorted(commands_of(parser)))
    if options.command == "schema":
        from .commands.listing import schema

        return schema()
    if options.command == "manifest":
        from .manifest import main as write

        return write([*options.folders, *(["--check"] if options.check else [])])
    if options.command == "new":
        from .commands.scaffold import new

        return int(new(options))
    if options.command == "worker":
        from .engines.worker import main as serve

        return serve()
    if options.command == "store":
        if options.action != "gc" and (options.budget or options.older_than or options.dry_run):
            parser.error("--budget, --older-than and --dry-run belong to: ldt store gc")
        if options.action != "verify" and options.set_aside:
            parser.error("--set-aside belongs to: ldt store verify")
        from .commands.keeping import store

        return store(options)
    if options.command == "remote":
        from .commands.serving import serve as serve_components

        return serve_components(options)
    if options.command in ("results", "sensitivity"):
        from .commands import sweeping

        return {"results": sweeping.results, "sensitivity": sweeping.sensitivity}[options.command](options)
    if options.command in ("runs", "log"):
        from .commands import watching

        return {"runs": watching.runs, "log": watching.log}[options.command](options)
    if options.command == "lock":
        from .commands.repeating import lock

        return lock(options)
    if options.command in ("reproduce", "export"):
        from .commands import repeating

        return {"reproduce": repeating.repeat, "export": repeating.export}[options.command](options)
    from .commands import running

    twin_commands = {
        "check": running.check,
        "compare": running.compare,
        "demo": running.demo,
        "run": running.run,
    }
    return twin_commands[options.command](options)


def entry() -> None:
    """The console script. Once Arrow or Dask is loaded it ends without winding the interpreter down.

    Arrow's threads can abort an interpreter at its end (apache/arrow issue 34314), and a run that went
    well would then look like one that failed. Dask's may never end where a scheduler was not reached.
    """
    code = main()
    if not {"pyarrow", "distributed"} & set(sys.modules):
        raise SystemExit(code)
    import logging

    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


if __name__ == "__main__":
    entry()
