"""What is done to a finished Prediction: clouds, the map to the original pixels, metric scale, motion, exports."""
