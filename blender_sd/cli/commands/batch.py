"""Make what a job file lists."""
from __future__ import annotations

import argparse
import os

from ...core.errors import InvalidRequest
from .. import exits, job_file
from ...core.frame_ranges import frames_in
from ..options import add_painting
from ..painting import paint, set_up
from ..reporting import fail

HELP = "make what a job file lists (JSON)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("jobs", help="the job file")
    parser.add_argument("--only", metavar="RANGE", help="only these jobs, counted from 1, such as 3 or 1-10")
    add_painting(parser, named=False)


def run(asked: argparse.Namespace) -> int:
    listed = job_file.read(asked.jobs)
    status = exits.DONE
    for problem in listed.problems:
        status = fail(problem.error, status or exits.status_of(problem.error), asked.json, problem.where)
    numbers = frames_in(asked.only) if asked.only else range(1, len(listed.jobs) + 1)
    for number in numbers:
        if not 1 <= number <= len(listed.jobs):
            raise InvalidRequest(f"There is no job {number}; {os.path.basename(asked.jobs)} has {len(listed.jobs)}.")
    todo = [unit for number in numbers for unit in listed.jobs[number - 1]]
    if asked.resume:
        for unit in todo:
            if unit.drawn:
                error = InvalidRequest("--resume needs a seed: without one, every run makes other pictures.",
                                       'Give the job a seed, as in "seed": 1.')
                status = fail(error, status or exits.UNUSABLE, asked.json, unit.where)
    asked.blend = asked.blend or listed.blend
    asked.output = asked.output or listed.output or None
    set_up(asked)
    return paint(asked, todo, status)
