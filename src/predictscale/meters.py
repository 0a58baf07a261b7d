"""What the service counts about its own work.

One object, made by bootstrap and handed to whoever works, so that sources and
fits can be measured without knowing how they are exposed. Values that stand in
a decision are not repeated here: `serving.telemetry` reads them from the store.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_QUERY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FIT_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_RPC_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2)


class Meters:
    """Counters and histograms of one service process, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.query_seconds = Histogram(
            "predictscale_query_duration_seconds",
            "Duration of queries to the metrics source, retries included.",
            ["kind"],
            buckets=_QUERY_BUCKETS_S,
            registry=self.registry,
        )
        self.query_errors = Counter(
            "predictscale_query_errors_total",
            "Queries that ended without a usable answer, by the error's name.",
            ["error"],
            registry=self.registry,
        )
        self.query_warnings = Counter(
            "predictscale_query_warnings_total",
            "Answers that came with a warning of the metrics source.",
            registry=self.registry,
        )
        self.dropped_samples = Counter(
            "predictscale_dropped_samples_total",
            "Samples that could not be used: nan, infinite, negative, duplicate, unordered.",
            ["reason"],
            registry=self.registry,
        )
        self.fit_seconds = Histogram(
            "predictscale_fit_duration_seconds",
            "Duration of a fit in its worker process, by forecaster.",
            ["forecaster"],
            buckets=_FIT_BUCKETS_S,
            registry=self.registry,
        )
        self.fit_errors = Counter(
            "predictscale_fit_errors_total",
            "Fits that gave no model, by forecaster and the error's name.",
            ["forecaster", "error"],
            registry=self.registry,
        )
        self.rpc_seconds = Histogram(
            "predictscale_rpc_duration_seconds",
            "Time inside the handler of a gRPC call.",
            ["method"],
            buckets=_RPC_BUCKETS_S,
            registry=self.registry,
        )
        self.rpc_results = Counter(
            "predictscale_rpc_results_total",
            "gRPC calls by method and status code.",
            ["method", "code"],
            registry=self.registry,
        )
        self.rpc_streams = Gauge(
            "predictscale_rpc_streams",
            "Push streams open now, by method.",
            ["method"],
            registry=self.registry,
        )
        self.cache_faults = Counter(
            "predictscale_cache_faults_total",
            "Times the history cache on disk could not be used, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.archive_faults = Counter(
            "predictscale_archive_faults_total",
            "Times the archive of decisions could not be used, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.archive_written = Counter(
            "predictscale_archive_decisions_total",
            "Decisions put into the archive.",
            registry=self.registry,
        )
        self.archive_dropped = Counter(
            "predictscale_archive_dropped_total",
            "Decisions that were not kept because too many waited for the archive to be written.",
            registry=self.registry,
        )
        self.tick_seconds = Histogram(
            "predictscale_tick_duration_seconds",
            "Duration of one workload's tick, its queries included.",
            buckets=_QUERY_BUCKETS_S,
            registry=self.registry,
        )
        self.ticks_skipped = Counter(
            "predictscale_ticks_skipped_total",
            "Grid instants that passed while an earlier round was still running.",
            registry=self.registry,
        )
