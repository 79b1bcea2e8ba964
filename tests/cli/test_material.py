"""The command `material`: what it refuses before anything begins."""
from __future__ import annotations

import pytest


@pytest.mark.parametrize(("arguments", "words"), [
    (("--image", "photo.png", "--steps", "9"), "'steps' changes nothing"),
    (("--image", "photo.png", "--size", "64"), "'size' changes nothing"),
    (("red bricks", "--wraps", "xy"), "--wraps is about the picture"),
    ((), "either a prompt or --image"),
    (("red bricks", "--image", "photo.png"), "either a prompt or --image"),
    (("red bricks", "--seamless"), "--seamless is about the picture"),
    (("--image", "photo.png", "--seamless", "--wraps", "x"), "repeats on both axes"),
])
def test_options_that_would_change_nothing_are_refused(sd, arguments, words):
    status, events = sd("material", *arguments)
    assert status == 2 and words in events[-1]["message"]
