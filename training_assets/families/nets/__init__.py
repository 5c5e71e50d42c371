"""What the torch families share: the layers of stacked nets, their trainer, and their form on disk."""
