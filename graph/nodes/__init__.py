"""One node a file; file, function and node share one name."""
