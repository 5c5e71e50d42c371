"""Leakage detectors (a registry), the audit that runs them, and the lock built on its findings."""
