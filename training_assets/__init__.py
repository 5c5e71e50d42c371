"""Turns market bars into a panel, folds, scores and trained models, and refuses to fit on leaking data."""
