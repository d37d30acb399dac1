"""Arrays in, measures with their intervals out."""
