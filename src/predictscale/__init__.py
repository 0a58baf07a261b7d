"""Predictive autoscaling for ML and LLM endpoints, as a KEDA external scaler."""

__version__ = "0.1.0"
