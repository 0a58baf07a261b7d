"""Settings of the service and of each workload, validated once, at the border."""
