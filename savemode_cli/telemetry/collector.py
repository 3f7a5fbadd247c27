"""
The outlet to an OpenTelemetry collector, over OTLP and HTTP.

Rule of this file: it is the only one that imports OpenTelemetry. A span is exported once; metrics are sums since the start, so
an export of metrics that fails loses nothing.
"""

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.outlet import Undelivered

EXPORT_S = 2.0
"""How long an export may take. A batch that was not exported is tried again."""

DURATION_BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BUCKETS = tuple(4**power for power in range(14))
"""The boundaries that the conventions advise, for seconds and for tokens."""


class Collector:
    """
    The outlet to a collector that speaks OTLP over HTTP.
    """

    def __init__(self, endpoint: str, version: str) -> None:
        """
        Args:
            endpoint: the base URL of the collector; `/v1/traces` and `/v1/metrics` are added. Headers, such as a key, are
                read by the exporter from `OTEL_EXPORTER_OTLP_HEADERS`.
            version: the version of savemode.
        """
        silence_sdk()
        self.where = endpoint
        self._resource = Resource({"service.name": "savemode", "service.version": version})
        self._scope = InstrumentationScope("savemode", version)
        self._spans = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_S)
        self._metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=EXPORT_S)
        self._reader = InMemoryMetricReader()
        meter = MeterProvider([self._reader], self._resource, shutdown_on_exit=False).get_meter("savemode", version)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "How long model calls took.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS_S,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of model calls.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._cost = meter.create_counter("savemode.cost", "{USD}", "What model calls were charged.")

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:  # noqa: ARG002 - the exporter has a limit of its own
        """
        Export a batch of spans, and the metrics with it in them.

        Raises:
            Undelivered: the spans were not exported. Metrics that were not exported are part of the next export.
        """
        try:
            result = self._spans.export([self._span(event) for event in batch])
        except Exception as error:
            raise Undelivered(f"{self.where} cannot be reached ({type(error).__name__})") from error
        if result is not SpanExportResult.SUCCESS:
            raise Undelivered(f"{self.where} does not accept spans")
        for event in batch:
            self._measure(event)
        metrics = self._reader.get_metrics_data()
        if metrics is not None:
            self._metrics.export(metrics)

    def _span(self, event: Event) -> ReadableSpan:
        failed = "error.type" in event["attributes"]
        return ReadableSpan(
            name=event["name"],
            context=SpanContext(event["trace_id"], event["span_id"], False, TraceFlags(TraceFlags.SAMPLED)),  # noqa: FBT003
            resource=self._resource,
            attributes=event["attributes"],
            kind=SpanKind.CLIENT,
            instrumentation_scope=self._scope,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=event["start_ns"],
            end_time=event["end_ns"],
        )

    def _measure(self, event: Event) -> None:
        attributes = event["attributes"]
        names = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model")
        common = {name: attributes[name] for name in names if name in attributes}
        failure = {"error.type": attributes["error.type"]} if "error.type" in attributes else {}
        self._duration.record((event["end_ns"] - event["start_ns"]) / 1e9, common | failure)
        for kind in ("input", "output"):
            if (tokens := attributes.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                self._tokens.record(tokens, common | {"gen_ai.token.type": kind})
        if (cost := attributes.get("savemode.cost.usd")) is not None:
            self._cost.add(cost, common)


def silence_sdk() -> None:
    """
    Keep the log lines of the SDK from the terminal. They repeat what savemode announces once.
    """
    log = logging.getLogger("opentelemetry")
    log.addHandler(logging.NullHandler())
    log.propagate = False
