"""Moving scenes with ground truth: the synthetic world, and readers of the real datasets."""
