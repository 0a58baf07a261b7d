"""Stand-ins for what surrounds the service: KEDA's cycle, the HPA, a fleet that boots slowly."""
