"""What reads the tokens: cameras, dense maps, point tracks."""
