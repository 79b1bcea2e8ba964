"""Decide when live mode paints: the newest input wins, and nothing is done while nothing changes.

This module knows neither Blender nor the queue. The caller reports what happened and when (seconds of
`time.monotonic()`), and asks what to do. At most one frame is in flight, so no queue can build up.
"""
from __future__ import annotations

from collections import deque

OFF, PAINTING, UP_TO_DATE, PAUSED = "off", "painting", "up_to_date", "paused"
CAPTURE, CANCEL, NOTHING = "capture", "cancel", ""

SETTLED = 0.25  # seconds without a change after which a person has stopped moving
WORTHWHILE = 0.5  # seconds to gain that justify cancelling an outdated frame
SHARE = 0.25  # the largest share of the main thread's time spent on captures
_REMEMBERED = 8  # frames whose pace is averaged
_AWAKE, _WATCHING, _ASLEEP = 0.015, 0.05, 0.5  # seconds until the next turn


class Live:
    """Decide when to capture, paint and rest.

    An outdated frame may finish: in a turning view, cancelling would mean that no picture ever appears. Only if the
    person has stopped moving, and there is time to gain, is an outdated frame cancelled, and never two in a row.

    Args:
        now: The current time.
        idle: Seconds without a change after which it pauses.

    Attributes:
        hindrance: Why nothing can be painted, "" if it can.
        latency: Seconds from a change to its picture, of the last picture shown; or None.
        frames: The number of pictures shown.
    """

    def __init__(self, now: float, idle: float = 30.0) -> None:
        self.idle = idle
        self.hindrance = ""
        self.latency: float | None = None  # of the last picture shown
        self.frames = 0  # pictures shown
        self._wanted = True  # there is a change that no frame shows yet
        self._wanted_since = self._changed_at = now
        self._of: float = now  # when the change happened that the frame in flight shows
        self._began_at: float | None = None
        self._breaking = self._broke = False
        self._rests_until = now
        self._paces: deque[float] = deque(maxlen=_REMEMBERED)

    # ---- what happened ---------------------------------------------------------------------------------------------

    def changed(self, now: float) -> None:
        """Report that the source or the settings have changed."""
        if not self._wanted:
            self._wanted, self._wanted_since = True, now
        self._changed_at = now

    def looked(self, now: float, cost: float, differs: bool) -> None:
        """Report a capture.

        Args:
            now: The current time.
            cost: The seconds that it took.
            differs: Whether it differs from what was painted last. If so, a frame of it is in flight from now on.
        """
        self._wanted = False
        self._rests_until = now + cost * (1 / SHARE - 1)
        if differs:
            self._began_at, self._of = now, self._wanted_since

    def ended(self, now: float, shown: bool) -> None:
        """Report that the frame in flight has ended. If it gave no picture to show (`shown`), another is wanted."""
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
        """Return what to do now: CAPTURE, CANCEL (the frame in flight) or NOTHING.

        Args:
            now: The current time.
            hindrance: Why nothing can be painted now, in words; "" if it can.
        """
        self.hindrance = hindrance
        if hindrance:
            return NOTHING
        if self._began_at is None:
            return CAPTURE if self._wanted and now >= self._rests_until else NOTHING
        if (self._wanted and not self._breaking and not self._broke and now - self._changed_at >= SETTLED
            and self._paces
                and self._began_at + self.pace - now > WORTHWHILE):
            self._breaking = True
            return CANCEL
        return NOTHING

    def pause(self, now: float) -> float:
        """Return the seconds until the next useful turn."""
        return {PAINTING: _AWAKE, UP_TO_DATE: _WATCHING}.get(self.state(now), _ASLEEP)

    # ---- how it is -------------------------------------------------------------------------------------------------

    def state(self, now: float) -> str:
        """Return PAINTING, UP_TO_DATE or PAUSED.

        An unchanged scene that is painted is up to date; live mode pauses when it is hindered, or after `idle` seconds
        without a change.
        """
        if self.hindrance:
            return PAUSED
        if self.behind:
            return PAINTING
        return PAUSED if now - self._changed_at > self.idle else UP_TO_DATE

    @property
    def behind(self) -> bool:
        """Whether there is a change that the picture does not show yet."""
        return self._wanted or self._began_at is not None

    @property
    def pace(self) -> float:
        """Seconds from capture to picture, the mean of the last frames; 0 before the first."""
        return sum(self._paces) / len(self._paces) if self._paces else 0.0

    @property
    def rate(self) -> float:
        """Pictures per second at the pace of the last frames; 0 before the first."""
        return 1 / self.pace if self.pace else 0.0
