"""Readers of decisions: gRPC for KEDA, REST for people, metrics for Prometheus."""
