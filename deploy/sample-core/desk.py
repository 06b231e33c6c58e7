"""What each command does here. Which nouns and actions there are stands in ``nouns.json``."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive import Archive
from workshop import Event, Workshop

NOUNS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("nouns.json").read_text(encoding="utf-8"))
PLURALS = {noun["plural"]: name for name, noun in NOUNS.items()}
PREPARED = {name: noun["prepared"] for name, noun in NOUNS.items()}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MAX_CONFIG = 64 * 1024


class Failure(Exception):
    """The command cannot be carried out; the text is for the person who typed it."""


@dataclass(frozen=True)
class Errand:
    """One command, as the service parsed it."""

    id: str
    command: str
    verb: str
    noun: str
    arguments: Mapping[str, Any]
    files: Mapping[str, str]
    user: str
    project: str | None

    @property
    def name(self) -> str:
        name = self.arguments.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Failure(f"`{self.verb} {self.noun}` needs a name: letters, digits, `_`, `-` and `.`")
        return name


class Desk:
    """Carries out commands."""

    def __init__(self, archive: Archive, workshop: Workshop) -> None:
        self._archive, self._workshop = archive, workshop
        self._actions: dict[str, Callable[[Errand, str, str], Awaitable[Event]]] = {
            "configure": self._configure,
            "alter": self._alter,
            "describe": self._describe,
            "exportconfig": self._describe,
            "listconfig": self._listconfig,
            "status": self._status,
            "stop": self._stop,
            "list": self._list,
            "display": self._display,
            "delete": self._delete,
        }

    async def carry_out(self, errand: Errand) -> AsyncGenerator[Event, None]:
        """Yield events; the last one is ``end``."""
        try:
            noun = self._noun(errand)
            assert errand.project is not None
            self._archive.prepare(errand.project, PREPARED)
            if errand.verb in ("start", "restart"):
                async for event in self._start(errand, noun, errand.project):
                    yield event
                return
            end = await self._actions[errand.verb](errand, noun, errand.project)
        except Failure as failure:
            end = {"event": "end", "state": "failed", "result": None, "message": str(failure)}
        self._archive.end_command(errand.id, end)
        yield end

    def _noun(self, errand: Errand) -> str:
        plural = PLURALS.get(errand.noun)
        noun = plural or errand.noun
        many = errand.verb in ("list", "listconfig")
        if noun not in NOUNS or errand.verb not in NOUNS[noun]["actions"] or bool(plural) != many:
            raise Failure(f"this sample core does not carry out `{errand.verb} {errand.noun}`")
        if errand.project is None:
            raise Failure("this command needs a project")
        return noun

    async def _start(self, errand: Errand, noun: str, project: str) -> AsyncGenerator[Event, None]:
        name = errand.name
        earlier = self._workshop.running(project, noun, name)
        if errand.verb == "restart":
            for job in earlier:
                await self._workshop.stop(job)
        elif earlier:
            raise Failure(f"{noun} `{name}` is running already: `stop {noun} {name}` or `restart {noun} {name}`")
        if self._workshop.is_full:
            raise Failure("too many jobs are running at this core")
        arguments = self._program_arguments(project, noun, name)
        job = await self._workshop.start(errand.id, errand.user, project, noun, name, arguments)
        async for event in self._workshop.follow(job):
            yield event

    def _program_arguments(self, project: str, noun: str, name: str) -> list[str]:
        kind = NOUNS[noun]
        settings = self._settings(project, noun, name)
        numbers = {key: value for key, value in settings.items() if kind["parameters"][key]["kind"] != "name"}
        for other, keys in kind.get("from", {}).items():
            theirs = self._settings(project, other, settings[other])
            numbers |= {key: theirs[key] for key in keys}
        arguments = [kind["program"], *(f"--{key}={value}" for key, value in numbers.items())]
        if needed := kind.get("needs"):
            done = [job for job in self._archive.jobs(project, needed, settings[needed]) if job["state"] == "done"]
            if not done:
                raise Failure(f"{needed} `{settings[needed]}` is not done yet: `start {needed} {settings[needed]}`")
            arguments.append(f"--model={self._workshop.result_file(done[0]['id'])}")
        return arguments

    def _settings(self, project: str, noun: str, name: str) -> dict[str, Any]:
        settings = self._archive.configuration(project, noun, name)
        if settings is None:
            raise Failure(f"there is no {noun} `{name}` in this project: `configure {noun} {name}`")
        return {key: settings.get(key, one["default"]) for key, one in NOUNS[noun]["parameters"].items()}

    async def _configure(self, errand: Errand, noun: str, project: str) -> Event:
        settings = self._read_settings(errand, noun, {})
        self._archive.configure(project, noun, errand.name, settings, errand.user)
        return _message(f"{noun} `{errand.name}` is configured", settings)

    async def _alter(self, errand: Errand, noun: str, project: str) -> Event:
        settings = self._read_settings(errand, noun, self._settings(project, noun, errand.name))
        self._archive.configure(project, noun, errand.name, settings, errand.user)
        return _message(f"{noun} `{errand.name}` is altered", settings)

    def _read_settings(self, errand: Errand, noun: str, settings: dict[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in errand.arguments.items() if key not in ("name", "config")}
        if (file := errand.arguments.get("config")) is not None:
            given = {**_read_file(str(file), errand.files), **given}
        parameters = NOUNS[noun]["parameters"]
        for key, value in given.items():
            if key not in parameters:
                raise Failure(f"a {noun} has no setting `{key}`; it has {', '.join(parameters)}")
            settings[key] = _setting(key, value, parameters[key])
        return settings

    async def _describe(self, errand: Errand, noun: str, project: str) -> Event:
        settings = self._settings(project, noun, errand.name)
        return _table(("setting", "value"), [list(one) for one in settings.items()], settings)

    async def _listconfig(self, errand: Errand, noun: str, project: str) -> Event:
        rows = [
            [row["name"], row["settings"], row["changed_by"], _time(row["changed"])]
            for row in self._archive.configurations(project, noun)
        ]
        return _table((noun, "settings", "changed by", "changed"), rows)

    async def _list(self, errand: Errand, noun: str, project: str) -> Event:
        return self._jobs(project, noun, None)

    async def _status(self, errand: Errand, noun: str, project: str) -> Event:
        name = errand.name if "name" in errand.arguments else None
        return self._jobs(project, noun, name)

    def _jobs(self, project: str, noun: str, name: str | None) -> Event:
        jobs = self._archive.jobs(project, noun, name)
        rows = [
            [
                job["name"],
                job["state"],
                None if job["fraction"] is None else round(job["fraction"], 3),
                job["message"],
                job["user"],
                _time(job["started"]),
            ]
            for job in jobs
        ]
        data = {"job": jobs[0]["id"], "log": self._archive.log_lines(jobs[0]["id"])} if name and jobs else {}
        return _table((noun, "state", "progress", "message", "started by", "started"), rows, data)

    async def _stop(self, errand: Errand, noun: str, project: str) -> Event:
        jobs = self._workshop.running(project, noun, errand.name)
        if not jobs:
            raise Failure(f"{noun} `{errand.name}` is not running")
        for job in jobs:
            await self._workshop.stop(job)
        return _message(f"{noun} `{errand.name}` was stopped", {"jobs": [job.id for job in jobs]})

    async def _display(self, errand: Errand, noun: str, project: str) -> Event:
        done = [job for job in self._archive.jobs(project, noun, errand.name) if job["state"] == "done"]
        if not done:
            raise Failure(f"{noun} `{errand.name}` has not been made yet: `start {noun} {errand.name}`")
        result = json.loads(done[0]["result"])
        return _table(("figure", "value"), [[key, json.dumps(value)] for key, value in result.items()], result)

    async def _delete(self, errand: Errand, noun: str, project: str) -> Event:
        self._settings(project, noun, errand.name)
        if self._workshop.running(project, noun, errand.name):
            raise Failure(f"{noun} `{errand.name}` is running: `stop {noun} {errand.name}` first")
        self._archive.delete(project, noun, errand.name)
        return _message(f"{noun} `{errand.name}` is deleted")


def _read_file(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    content = files.get(name)
    if content is None or len(content) > _MAX_CONFIG:
        raise Failure(f"the content of `{name[:100]}` did not come with the command, or is too large")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise Failure(f"`{name[:100]}` is not JSON") from None
    if not isinstance(value, dict):
        raise Failure(f"`{name[:100]}` is not a JSON object of settings")
    return value


def _setting(key: str, value: Any, rule: Mapping[str, Any]) -> Any:
    if rule["kind"] == "name":
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        raise Failure(f"`{key}` is the name of a {rule['of']}")
    try:
        number = int(value) if rule["kind"] == "integer" else float(value)
    except (TypeError, ValueError, OverflowError):
        raise Failure(f"`{key}` is not a number") from None
    if not rule["least"] <= number <= rule["most"]:
        raise Failure(f"`{key}` is between {rule['least']} and {rule['most']}")
    return number


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _message(text: str, data: Mapping[str, Any] | None = None) -> Event:
    result = {"kind": "message", "message": text, "data": dict(data or {})}
    return {"event": "end", "state": "done", "result": result, "message": text}


def _table(columns: tuple[str, ...], rows: list[list[Any]], data: Mapping[str, Any] | None = None) -> Event:
    result = {"kind": "table", "message": "", "columns": list(columns), "rows": rows, "data": dict(data or {})}
    return {"event": "end", "state": "done", "result": result, "message": ""}
