"""From bars to an aligned float32 panel of features and labels."""
