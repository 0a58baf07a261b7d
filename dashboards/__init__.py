"""Grafana's dashboards, as code: a panel is a few lines here and a hundred of JSON.

`python -m dashboards` writes `deploy/grafana/*.json`; `--check` says which of them are not what
the code makes. Refuses a data source by name: each panel asks the one that the reader chose.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from dashboards import fleet, llm, savings, service, spot, workload
from dashboards.board import Board

BOARDS: Mapping[str, Callable[[], Board]] = MappingProxyType(
    {
        "fleet": fleet.board,
        "workload": workload.board,
        "llm": llm.board,
        "spot": spot.board,
        "savings": savings.board,
        "service": service.board,
    }
)
"""What makes each dashboard, by the name of its file."""
