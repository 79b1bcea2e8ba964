"""The training's stages: each that can be asked for exists, and takes what it is given."""
from __future__ import annotations

import pytest

pytest.importorskip("torch")

import train_starter  # noqa: E402
from starter import stages  # noqa: E402


def test_every_stage_can_run():
    assert {*train_starter.STAGES, "restore"} == {*stages.RUN, "data"} and set(train_starter.MINUTES) < {*stages.RUN}


def test_stages_get_their_minutes_and_processes(monkeypatch):
    ran = []
    monkeypatch.setattr(stages.workers, "run", lambda function, *given, size: ran.append((function, given[1], size)))
    for name in ("unet", "control", "vae"):
        train_starter.run_stage(name, {**train_starter.MINUTES, "unet": 5.0}, 3)
    assert ran == [(stages.unet.train, 5.0, 3), (stages.control.train, 35.0, 3), (stages.vae.train, 42.0, 3)]
    monkeypatch.setattr(stages.classifier, "train", lambda cache, minutes, number: ran.append((minutes, number)))
    train_starter.run_stage("classifier", {"classifier": 10.0}, 3)
    assert ran[3:] == [(5.0, number) for number in stages.classifier.WEIGHTS]


def test_a_share_of_the_data_is_made_where_there_is_little_time(monkeypatch):
    from starter import data, scenes

    made = []
    monkeypatch.setattr(data, "prepare", lambda folder, log, workers, share: made.append(share))
    monkeypatch.setattr(scenes, "prepare", lambda folder, name, log, workers, count: made.append(count))
    train_starter.run_stage("data", {}, 2, 0.25)
    assert made == [0.25, 750]
