"""The service itself: does it answer KEDA, read its metrics, keep its ticks and fit its models."""

from dashboards.board import Board, Variable
from dashboards.panels import GREEN, ORANGE, RED, YELLOW, Column, Query, line, lines, number, rows
from dashboards.queries import OURS, quantile, rate, troubles

_JOB = Variable(name="job", label="Job", query="label_values(predictscale_build_info, job)", several=True)
_INSTANCE = Variable(
    name="instance",
    label="Instance",
    query='label_values(predictscale_build_info{job=~"$job"}, instance)',
    several=True,
)


def board() -> Board:
    """The dashboard."""
    made = Board(
        "service",
        title="Service health",
        about="Replicas of predictscale: answers to KEDA, queries, ticks, fits, refused triggers.",
        variables=(_JOB, _INSTANCE),
    )
    _head(made)
    _answers(made)
    _queries(made)
    _work(made)
    return made


def _head(made: Board) -> None:
    failed = rate("predictscale_rpc_results_total", where='code!~"OK|CANCELLED"')
    made.row(
        number(
            "Replicas of the service",
            "By version. Two or more, of one version but in a rollout.",
            Query(f"count by (version) (predictscale_build_info{{{OURS}}})", "{{version}}"),
            unit="none",
            named=True,
            steps=((None, ORANGE), (2, GREEN)),
        ),
        number(
            "Workloads",
            "That decisions are made for, of the replica that follows most.",
            Query(
                f"max(count by (instance) (predictscale_decision_timestamp_seconds{{{OURS}}}))", "workloads"
            ),
            unit="none",
        ),
        number(
            "Oldest decision",
            "Age of the workload's decision that is oldest. Beyond a few ticks the loop does not keep up.",
            Query(f"time() - min(predictscale_decision_timestamp_seconds{{{OURS}}})", "age"),
            unit="s",
            steps=((None, GREEN), (45, YELLOW), (120, RED)),
        ),
        number(
            "Calls that failed",
            "Share of KEDA's calls that got neither an answer nor a cancellation of their own.",
            Query(f"{failed} / ({rate('predictscale_rpc_results_total')} > 0) or 0 * {failed}", "failed"),
            unit="percentunit",
            steps=((None, GREEN), (0.01, YELLOW), (0.05, RED)),
        ),
        number(
            "Refused triggers",
            "ScaledObjects whose trigger metadata has problems. GetMetricSpec tells them, and so does "
            "`predictscale check`.",
            Query(_refused("count"), "refused"),
            unit="none",
            steps=((None, GREEN), (1, RED)),
        ),
        number(
            "Push streams",
            "Open StreamIsActive calls: one for each external-push trigger and KEDA replica.",
            Query(f"sum(predictscale_rpc_streams{{{OURS}}})", "streams"),
            unit="none",
        ),
        height=4,
    )


def _refused(how: str) -> str:
    bad = f"max by (namespace, scaledobject) (predictscale_trigger_problems{{{OURS}}}) > 0"
    return f"{how}({bad}) or 0 * count(predictscale_build_info{{{OURS}}})"


def _answers(made: Board) -> None:
    made.heading("Answers to KEDA")
    made.row(
        lines(
            "Calls",
            "By method and outcome.",
            Query(rate("predictscale_rpc_results_total", "method", "code") + " > 0", "{{method}} {{code}}"),
            unit="reqps",
            width=8,
        ),
        lines(
            "Time in the handler, p99",
            "By method. Answers come from memory: a few milliseconds.",
            Query(quantile(0.99, "predictscale_rpc_duration_seconds", "method"), "{{method}}"),
            unit="s",
            width=8,
            limit=((None, "transparent"), (0.5, RED)),
        ),
        rows(
            "Refused triggers",
            "ScaledObjects whose metadata has problems, and how many; none is an empty table or 0.",
            Column(title="problems", expr=_named_refused()),
            width=8,
        ),
        height=8,
    )


def _named_refused() -> str:
    return f"max by (namespace, scaledobject) (predictscale_trigger_problems{{{OURS}}})"


def _queries(made: Board) -> None:
    made.heading("Queries to the metrics source")
    made.row(
        lines(
            "Duration, p95",
            "By kind, retries included. Beyond the timeout a query fails and the last good target holds.",
            Query(quantile(0.95, "predictscale_query_duration_seconds", "kind"), "{{kind}}"),
            unit="s",
            width=8,
        ),
        lines(
            "Errors and warnings",
            "Queries without a usable answer, by error; answers that came with a warning.",
            Query(troubles("predictscale_query_errors_total", "error"), "{{error}}"),
            Query(rate("predictscale_query_warnings_total"), "warnings"),
            unit="cps",
            width=8,
            style={"warnings": line(YELLOW)},
        ),
        lines(
            "Samples dropped",
            "That could not be used, by reason: nan, infinite, negative, duplicate, unordered.",
            Query(troubles("predictscale_dropped_samples_total", "reason"), "{{reason}}"),
            unit="cps",
            width=8,
        ),
        height=8,
    )


def _work(made: Board) -> None:
    made.heading("Ticks and fits")
    made.row(
        lines(
            "Tick of a workload",
            "Its queries included; it should stay well below tick_s (15 s).",
            Query(quantile(0.5, "predictscale_tick_duration_seconds"), "p50"),
            Query(quantile(0.99, "predictscale_tick_duration_seconds"), "p99"),
            unit="s",
            width=8,
        ),
        lines(
            "Ticks skipped",
            "Grid instants that passed while an earlier round ran, per second. The last decision "
            "stays valid for "
            "a while, then KEDA is told UNAVAILABLE.",
            Query(rate("predictscale_ticks_skipped_total", "instance"), "{{instance}}"),
            unit="cps",
            width=8,
        ),
        lines(
            "Faults on disk",
            "Times that the cache of history or the archive of decisions could not be used, by reason. Both "
            "are disposable: restarts take longer, past decisions and the record of shadow mode are lost. "
            "Dropped: decisions that came faster than the archive was written.",
            Query(troubles("predictscale_cache_faults_total", "reason"), "cache: {{reason}}"),
            Query(troubles("predictscale_archive_faults_total", "reason"), "archive: {{reason}}"),
            Query(rate("predictscale_archive_dropped_total"), "archive: dropped"),
            unit="cps",
            width=8,
        ),
        height=8,
    )
    made.row(
        lines(
            "Fit duration, p90",
            "By forecaster, in its worker process; at fit.deadline_s it is killed.",
            Query(quantile(0.9, "predictscale_fit_duration_seconds", "forecaster"), "{{forecaster}}"),
            unit="s",
        ),
        lines(
            "Fits without a model",
            "By forecaster and error. The next of the chain serves meanwhile.",
            Query(
                troubles("predictscale_fit_errors_total", "forecaster", "error"), "{{forecaster}}: {{error}}"
            ),
            unit="cps",
        ),
        height=8,
    )
    made.row(
        lines(
            "Cores in use",
            "Of the process that answers and decides. Fits run in workers of their own, which are not in it.",
            Query(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),
            unit="none",
        ),
        lines(
            "Memory",
            "Resident, of the same process; `docs/sizing.md` says what to expect.",
            Query(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}"),
            unit="bytes",
        ),
        height=8,
    )
