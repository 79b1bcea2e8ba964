"""Finished pictures: files, their origin, content credentials, the safety filter."""
