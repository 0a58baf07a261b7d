"""The generated code is what the proto file says, and the file is what KEDA says."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from predictscale._proto import externalscaler_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {
    "ScaledObjectRef": {"name": 1, "namespace": 2, "scalerMetadata": 3},
    "IsActiveResponse": {"result": 1},
    "GetMetricSpecResponse": {"metricSpecs": 1},
    "MetricSpec": {"metricName": 1, "targetSize": 2, "targetSizeFloat": 3},
    "GetMetricsRequest": {"scaledObjectRef": 1, "metricName": 2},
    "GetMetricsResponse": {"metricValues": 1},
    "MetricValue": {"metricName": 1, "metricValue": 2, "metricValueFloat": 3},
}


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    loader = SourceFileLoader("generate_proto", str(ROOT / "scripts" / "generate-proto"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    loader.exec_module(script)
    script.generate_into(tmp_path)
    fresh = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in script.TARGET.iterdir() if path.is_file()}
    assert fresh == kept
    assert len(fresh) == 5


def test_fields_have_the_numbers_that_keda_sends() -> None:
    found = {
        name: {field.name: field.number for field in message.fields}
        for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert found == FIELDS


def test_methods_have_the_paths_and_kinds_that_keda_calls() -> None:
    service = pb.DESCRIPTOR.services_by_name["ExternalScaler"]
    assert service.full_name == "externalscaler.ExternalScaler"
    streams = {method.name: method.server_streaming for method in service.methods}
    assert streams == {
        "IsActive": False,
        "StreamIsActive": True,
        "GetMetricSpec": False,
        "GetMetrics": False,
        "StreamMetricSpec": True,
    }
    assert not any(method.client_streaming for method in service.methods)


def test_a_reference_has_the_bytes_that_a_go_client_writes() -> None:
    sent = b"\n\x04chat\x12\x04prod\x1a\r\n\x08workload\x12\x01x"
    ref = pb.ScaledObjectRef(name="chat", namespace="prod", scalerMetadata={"workload": "x"})
    assert ref.SerializeToString() == sent
