"""Decides which (target, symbol) pair is trained where, and why."""
