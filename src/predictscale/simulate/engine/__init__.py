"""LLM replicas simulated iteration by iteration, so that what is learned about them can be checked."""
