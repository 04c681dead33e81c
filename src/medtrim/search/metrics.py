"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from medtrim.search.admission import Admission

KNOWN = (
    "/api/about",
    "/api/search",
    "/api/studies",
    "/api/preview",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Requests, their time, and what is waiting. No label holds anything of a query or a study."""

    def __init__(self, studies: int) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "medtrim_requests", "Requests answered or refused.", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "medtrim_request_seconds",
            "From a request's head to its answer.",
            ["path"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._gauge("medtrim_studies", "Studies of the index.").set(studies)

    def watch(self, admission: Admission) -> None:
        """Report what `admission` holds."""
        self._gauge("medtrim_running", "Requests being answered.").set_function(lambda: admission.running)
        self._gauge("medtrim_waiting", "Requests queued.").set_function(lambda: admission.waiting)
        self._gauge("medtrim_buffered_bytes", "Bytes of bodies held.").set_function(lambda: admission.buffered)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        label = next((known for known in KNOWN if path.startswith(known)), "other")
        self._requests.labels(label, str(status)).inc()
        self._seconds.labels(label).observe(seconds)

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self.registry)
