"""Files in and out: images, video, depth maps, point clouds, trajectories."""
