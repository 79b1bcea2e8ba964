"""Live mode's clockwork: what is seen is painted again and again, the newest input wins, and nothing is done when nothing changes.

Pure: it knows neither Blender nor the queue. Whoever drives it tells it what happened and when (seconds of `time.monotonic`), and
asks it what to do. One frame is in flight at most, so no queue can build up.
"""
from __future__ import annotations

from collections import deque

OFF, PAINTING, UP_TO_DATE, PAUSED = "off", "painting", "up_to_date", "paused"
CAPTURE, CANCEL, NOTHING = "capture", "cancel", ""

SETTLED = 0.25  # seconds without a change after which a person has come to rest
WORTHWHILE = 0.5  # seconds that must be gained for an obsolete frame to be broken off
SHARE = 0.25  # of the main thread may go into looking at what is to be painted
_REMEMBERED = 8  # frames whose pace is averaged
_AWAKE, _WATCHING, _ASLEEP = 0.015, 0.05, 0.5  # seconds until the next turn


class Live:
    """Decides when to look, when to paint and when to rest. `idle`: seconds without a change after which it goes to sleep.

    A frame is let finish although something newer is there: in a turning view, breaking off would mean never to see a picture.
    Only when the person has come to rest, and there is time to gain, is an obsolete frame broken off, and never two in a row.
    """

    def __init__(self, now: float, idle: float = 30.0) -> None:
        self.idle = idle
        self.hindrance = ""
        self.latency: float | None = None  # seconds from a change to its picture, of the last one shown
        self.frames = 0  # pictures shown
        self._wanted = True  # something is to be seen that no frame has been begun of
        self._wanted_since = self._changed_at = now
        self._of: float = now  # when the change happened that the frame in flight answers
        self._began_at: float | None = None
        self._breaking = self._broke = False
        self._rests_until = now
        self._paces: deque[float] = deque(maxlen=_REMEMBERED)

    # ---- what happened ---------------------------------------------------------------------------------------------

    def changed(self, now: float) -> None:
        """What is painted from, or how, is different from now on."""
        if not self._wanted:
            self._wanted, self._wanted_since = True, now
        self._changed_at = now

    def looked(self, now: float, cost: float, differs: bool) -> None:
        """What is to be painted was looked at, which took `cost` seconds; whether it `differs` from what was painted last. If so,
        a frame of it is in flight from now on."""
        self._wanted = False
        self._rests_until = now + cost * (1 / SHARE - 1)
        if differs:
            self._began_at, self._of = now, self._wanted_since

    def ended(self, now: float, shown: bool) -> None:
        """The frame in flight is over. Where it gave no picture to show, another is wanted."""
        began, self._began_at = self._began_at, None
        self._broke, self._breaking = self._breaking, False
        if shown and began is not None:
            self._paces.append(now - began)
            self.latency = now - self._of
            self.frames += 1
        elif not self._wanted:
            self._wanted, self._wanted_since = True, self._of

    # ---- what to do ------------------------------------------------------------------------------------------------

    def turn(self, now: float, hindrance: str = "") -> str:
        """CAPTURE, CANCEL (the frame in flight) or NOTHING. `hindrance`: why nothing can be painted now, in words; "" where it can."""
        self.hindrance = hindrance
        if hindrance:
            return NOTHING
        if self._began_at is None:
            return CAPTURE if self._wanted and now >= self._rests_until else NOTHING
        if (self._wanted and not self._breaking and not self._broke and now - self._changed_at >= SETTLED and self._paces
                and self._began_at + self.pace - now > WORTHWHILE):
            self._breaking = True
            return CANCEL
        return NOTHING

    def pause(self, now: float) -> float:
        """Seconds until the next turn is worth its time."""
        return {PAINTING: _AWAKE, UP_TO_DATE: _WATCHING}.get(self.state(now), _ASLEEP)

    # ---- how it is -------------------------------------------------------------------------------------------------

    def state(self, now: float) -> str:
        """PAINTING, UP_TO_DATE (a still scene was painted once) or PAUSED (hindered, or nothing has changed for `idle` seconds)."""
        if self.hindrance:
            return PAUSED
        if self.behind:
            return PAINTING
        return PAUSED if now - self._changed_at > self.idle else UP_TO_DATE

    @property
    def behind(self) -> bool:
        """Whether something was changed that the picture does not show yet."""
        return self._wanted or self._began_at is not None

    @property
    def pace(self) -> float:
        """Seconds from looking to the picture, the mean of the last frames; 0 before the first."""
        return sum(self._paces) / len(self._paces) if self._paces else 0.0

    @property
    def rate(self) -> float:
        """Pictures per second that can be had at the pace of the last frames; 0 before the first."""
        return 1 / self.pace if self.pace else 0.0
