"""Things outside the process: market data, artifacts on disk, the GPU, the worker pool, the validated configuration."""
