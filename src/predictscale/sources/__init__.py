"""Where the past comes from: Prometheus, files, the synthetic generator, and the cache in front of them."""
