"""Training: one optimizer step an iteration, resumable at any of them."""
