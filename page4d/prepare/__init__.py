"""From raw downloads to benchmark folders, each with a manifest that says which files belong together."""
