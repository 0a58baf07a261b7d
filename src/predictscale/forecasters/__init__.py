"""Models that turn a window of the past into quantiles of what is about to arrive."""
