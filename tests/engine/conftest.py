"""The engine's tests need torch."""
import pytest

pytest.importorskip("torch", reason="the engine's tests need torch")

from tests.support.engine import engine, families, models, one_thread, run, sd, sd3, sdxl, taesd  # noqa: E402, F401  (fixtures)
