"""A second Blender in the bench of faults: paints, says what it does, and is killed or ends.

    python blender_side.py '{"output": …, "python": …, "model": …, "seeds": [1, 2], "count": 1, "steps": 4, "end": …}'

`end`: "" = carry out all jobs, say "done" and what was painted, and end; "exit" = leave while a job runs; "start" = say
"starting" when the engine does; "commit" = say "committing" when the first job's pictures are brought in, and hang
there.
"""
from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import blender_sd as sd
from blender_sd.calls import history
from blender_sd.calls.runtime import runtime


def say(word: str, **more: object) -> None:
    pipeline = runtime.session._workers[0]._pipeline if runtime.session else None
    print(json.dumps({"word": word, "engine": getattr(pipeline, "pid", None), **more}), flush=True)


def main() -> None:
    given = json.loads(sys.argv[1])
    sd.configure(engine_python=given["python"], output=given["output"], threads=1)

    def hang(job) -> list:
        say("committing", paths=[result.path for result in job.results])
        time.sleep(600)
        return []

    target = hang if given.get("end") == "commit" else None
    jobs = [
        sd.generate(
            "red brick wall",
            seed=seed,
            size=(64, 64),
            steps=given.get("steps", 4),
            count=given.get("count", 1),
            model=given["model"],
            target=target,
        )
        for seed in given["seeds"]
    ]
    reported = set()
    while not all(job.done for job in jobs):
        sd.wait(0.05)
        sd.pump()
        for number, job in enumerate(jobs):
            if job.step and (number, job.image) not in reported:
                reported.add((number, job.image))
                say("painting", job=number, picture=job.image)
                if given.get("end") == "exit":
                    return
        if given.get("end") == "start" and jobs[0].text == "Starting the engine" and "start" not in reported:
            reported.add("start")
            say("starting")
    say("done", states=[job.state for job in jobs], errors=[str(job.error or "") for job in jobs],
        paths=[[result.path for result in job.results] for job in jobs],
        history=[entry.path for entry in history.history()])


if __name__ == "__main__":
    main()
