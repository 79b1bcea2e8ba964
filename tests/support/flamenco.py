"""Flamenco's Manager as far as its documentation describes what a job compiler script sees: `author`, `frameChunker`
and `path`. https://flamenco.blender.org/usage/job-types/
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_MANAGER = """
const made = [];
const author = {
    Task: function (name, type) {
        const task = {name: name, type: type, commands: [], needs: []};
        task.addCommand = function (command) { task.commands.push(command); };
        task.addDependency = function (other) { task.needs.push(other.name); };
        return task;
    },
    Command: function (name, parameters) { return {name: name, parameters: parameters}; },
};
const path = {join: function () { return Array.from(arguments).join("/").replace(/\\/+/g, "/"); }};
function print() {}
function frameChunker(range, size) {
    const frames = [];
    range.split(",").forEach(function (part) {
        const ends = part.trim().split("-").map(Number);
        for (let frame = ends[0]; frame <= ends[ends.length - 1]; frame++) { frames.push(frame); }
    });
    const chunks = [];
    for (let at = 0; at < frames.length; at += size) {
        const some = frames.slice(at, at + size);
        const whole = some[some.length - 1] - some[0] === some.length - 1;
        chunks.push(some.length > 1 && whole ? some[0] + "-" + some[some.length - 1] : some.join(","));
    }
    return chunks;
}
"""


@dataclass(frozen=True)
class Task:
    """A task as the script made it."""

    name: str
    type: str
    commands: tuple[tuple[str, dict[str, Any]], ...]
    needs: tuple[str, ...]


def compiled(script: str, settings: dict[str, Any]) -> list[Task]:
    """Return the tasks of a job of this type; settings that are left out have their defaults."""
    import quickjs

    context = quickjs.Context()
    context.eval(_MANAGER + script)
    known = json.loads(context.eval("JSON.stringify(JOB_TYPE.settings)"))
    values = {one["key"]: one["default"] for one in known if "default" in one}
    assert settings.keys() <= {one["key"] for one in known}
    context.eval(f"compileJob({{name: 'job', settings: {json.dumps({**values, **settings})}, "
                 "addTask: function (task) { made.push(task); }})")
    return [Task(one["name"], one["type"], tuple((c["name"], c["parameters"]) for c in one["commands"]),
                 tuple(one["needs"])) for one in json.loads(context.eval("JSON.stringify(made)"))]
