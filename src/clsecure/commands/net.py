"""`clsecure net`: what reached the network, and what may."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clsecure import paths
from clsecure.egress import control, log
from clsecure.errors import ExitCode, UserError
from clsecure.invocation import Invocation

_LAST = 40  # decisions that are shown
_POLL_SECONDS = 0.25
_HEADERS = ("time", "session", "decision", "host", "way", "sent", "received", "because of")

Record = Mapping[str, Any]


def run(invocation: Invocation) -> int:
    """Show decisions, or change what passes in the running session."""
    operand, *values = invocation.arguments or ("",)
    if operand in {"allow", "deny"}:
        return _change(invocation, operand, values[0])
    if operand == "publish":
        _ask_running(invocation, {"do": "publish", "port": values[0]})
        return ExitCode.OK
    if operand == "verify-log":
        return _verify(invocation)
    if operand == "status":
        return _status(invocation)
    if invocation.flag("follow"):
        return _follow(invocation)
    return _show(invocation)


def _show(invocation: Invocation) -> int:
    found = list(_decisions(invocation, log.records(paths.network_directory(invocation.environ))))
    if invocation.flag("json"):
        invocation.output.json(found)
    elif found:
        invocation.output.table(_HEADERS, [_row(each) for each in found[-_LAST:]])
        if len(found) > _LAST:
            invocation.output.note(f"{len(found) - _LAST} earlier ones: clsecure net --json")
    else:
        invocation.output.note("no connection of this project is on record")
    return ExitCode.OK


def _decisions(invocation: Invocation, records: Iterator[Record]) -> Iterator[dict[str, Any]]:
    """Yield each decision on this project's sessions, with what it carried where it has ended."""
    project, session = _project(invocation), _session(invocation)
    pending: dict[tuple[object, object, object], dict[str, Any]] = {}
    for record in records:
        if record.get("project") != project:
            continue
        if session is not None and record.get("session") != session:
            continue
        key = (record.get("worker"), record.get("began"), record.get("id"))
        if record.get("event") == "open":
            pending[key] = dict(record)
        elif record.get("event") == "close" and key in pending:
            pending[key].update(
                {name: record.get(name) for name in ("sent", "received", "seconds")},
            )
    for decision in pending.values():
        if not invocation.flag("blocked") or decision.get("verdict") == "deny":
            yield decision


def _row(decision: Record) -> tuple[str, ...]:
    why = decision.get("reason") or decision.get("rule") or ""
    return (
        str(decision.get("time", ""))[:19].replace("T", " "),
        str(decision.get("session", "")),
        "blocked" if decision.get("verdict") == "deny" else "passed",
        f"{decision.get('host')}:{decision.get('port')}",
        str(decision.get("way", "")),
        _size(decision.get("sent")),
        _size(decision.get("received")),
        str(why),
    )


def _size(number: object) -> str:
    if not isinstance(number, int):
        return ""
    for unit in ("", " KiB", " MiB"):
        if number < 1024:  # noqa: PLR2004 - the binary units
            return f"{number}{unit}"
        number //= 1024
    return f"{number} GiB"


def _follow(invocation: Invocation) -> int:
    """Print decisions as they are made, until interrupted."""
    import json

    project, session = _project(invocation), _session(invocation)
    output = invocation.output
    path = paths.network_directory(invocation.environ) / "egress.jsonl"
    end = _end_of(path)
    output.note("what this project's sessions do from now on; Ctrl-C ends it")
    for record in _records_after(path, end):
        is_ours = record.get("project") == project and session in {None, record.get("session")}
        is_wanted = not invocation.flag("blocked") or record.get("verdict") == "deny"
        if not (is_ours and is_wanted and record.get("event") == "open"):
            continue
        output.say(json.dumps(record) if invocation.flag("json") else "  ".join(_row(record)))
        output.flush()
    return ExitCode.OK


def _records_after(path: Path, end: tuple[int, int]) -> Iterator[Record]:
    import json

    position, inode = end
    rest = b""
    for _ in itertools.count():
        time.sleep(_POLL_SECONDS)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != inode:
                    inode, position, rest = os.fstat(file.fileno()).st_ino, 0, b""
                file.seek(position)
                data = file.read()
                position = file.tell()
        except FileNotFoundError:
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def _end_of(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, -1
    return status.st_size, status.st_ino


def _change(invocation: Invocation, verb: str, host: str) -> int:
    from clsecure.egress.rules import parse_rule

    rule = parse_rule(host)
    always = invocation.flag("always")
    if always and verb == "deny":
        raise UserError(
            "--always goes with allow", hint="what is not allowed is denied", code=ExitCode.USAGE
        )
    if always:
        path = _append(invocation, rule.text)
        invocation.output.say(f"allow = {rule.text} is in {path}, for all of your projects")
    try:
        _ask_running(invocation, {"do": verb, "host": rule.text})
    except UserError as error:
        if not always or error.code != ExitCode.USAGE:
            raise
        invocation.output.note("no session of this project is running: it counts from the next on")
    return ExitCode.OK


def _append(invocation: Invocation, text: str) -> Path:
    """Add a line to the human's configuration file; raises UserError."""
    places = paths.user_config_files(invocation.environ)
    path = next((each for each in places if each.exists()), places[0])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else b""
        gap = b"" if not before or before.endswith(b"\n") else b"\n"
        with path.open("ab") as file:
            file.write(gap + f"allow = {text}\n".encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _ask_running(invocation: Invocation, request: Mapping[str, str]) -> None:
    """Have every running session that is meant do it; raises UserError (USAGE) without one."""
    directory = paths.network_directory(invocation.environ)
    said = 0
    for worker, about in _running(invocation):
        try:
            answer = control.ask(directory, worker, request)
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        if "error" in answer:
            raise UserError(str(answer["error"]), hint=str(answer.get("hint", "")))
        invocation.output.say(f"{about.get('session')}: {answer.get('said')}")
        said += 1
    if not said:
        raise UserError(
            "no session of this project is running with a network",
            hint="`clsecure list` shows all of yours; --allow HOST goes with a start",
            code=ExitCode.USAGE,
        )


def _running(invocation: Invocation) -> Iterator[tuple[str, Record]]:
    project, session = _project(invocation), _session(invocation)
    for worker, about in control.running(paths.network_directory(invocation.environ)):
        if about.get("project") == project and session in {None, about.get("session")}:
            yield worker, about


def _status(invocation: Invocation) -> int:
    """Print one line on this project's running sessions; nothing where none runs."""
    for _, about in _running(invocation):
        blocked = deque(about.get("blocked") or (), maxlen=1)
        attempts = about.get("attempts_blocked")
        more = f", {attempts} blocked (last: {blocked[0]})" if blocked else ""
        passed = about.get("hosts_passed")
        invocation.output.say(f"{about.get('session')}: {passed} host(s){more}")
    return ExitCode.OK


def _verify(invocation: Invocation) -> int:
    directory = paths.network_directory(invocation.environ)
    found = log.verify(directory)
    if invocation.flag("json"):
        invocation.output.json(
            {
                "records": found.records,
                "files": found.files,
                "broken": [str(p) for p in found.broken],
            }
        )
    else:
        for place in found.broken:
            invocation.output.say(f"the chain is broken: {place}")
        if not found.broken:
            invocation.output.say(f"{found.records} records in {found.files} files, none changed")
    return ExitCode.REFUSED if found.broken else ExitCode.OK


def _project(invocation: Invocation) -> str:
    top = paths.find_top(invocation.cwd)
    if top is None:
        raise UserError(
            f"{invocation.cwd} is not in a git repository",
            hint="go to the project with cd",
            code=ExitCode.USAGE,
        )
    return str(top)


def _session(invocation: Invocation) -> str | None:
    entry = invocation.options.get("session")
    return str(entry.value) if entry and entry.value else None
