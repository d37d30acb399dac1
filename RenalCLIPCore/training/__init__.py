"""Stage configurations, tasks, losses and the one training loop."""
