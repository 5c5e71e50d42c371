"""What the data say of every pair: out-of-sample scores with their uncertainty, stability, rankings and selections, as the candidates table."""
