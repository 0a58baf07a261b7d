"""Ways from one dashboard to another that keep the time, the data source and what was chosen."""

_KEPT = "var-datasource=${datasource}&${__url_time_range}"


def to_row(board: str) -> str:
    """To a dashboard of one workload, from the row of a table that names it."""
    chosen = "var-namespace=${__data.fields.namespace}&var-workload=${__data.fields.workload}"
    return f"/d/predictscale-{board}?{chosen}&{_KEPT}"
