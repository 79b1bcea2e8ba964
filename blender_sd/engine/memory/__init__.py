"""Devices, memory estimates, and the memory modes that make a large model fit."""
