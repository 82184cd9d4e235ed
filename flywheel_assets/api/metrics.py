"""Counters and gauges in Prometheus' text format.

Labels come from declarations, routes and statuses only, never from a record, so that their number
is bounded.
"""

from collections import defaultdict
from collections.abc import Callable

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """What the service counts.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.received("order_line", "accepted", 2)
    >>> print(metrics.text().splitlines()[2])
    flywheel_observations_total{kind="order_line",status="accepted"} 2
    """

    def __init__(self) -> None:
        self._observations: dict[tuple[str, str], int] = defaultdict(int)
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._seconds: dict[str, list[float]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}

    def received(self, kind: str | None, status: str, amount: int = 1) -> None:
        """Count records of a kind by what became of them."""
        self._observations[kind or "unknown", status] += amount

    def requested(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and how long it took."""
        self._requests[method, route, status] += 1
        taken = self._seconds.setdefault(route, [0.0] * (len(_SECONDS) + 2))
        for i, bound in enumerate(_SECONDS):
            if seconds <= bound:
                taken[i] += 1
                break
        taken[-2] += 1
        taken[-1] += seconds

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Have a value read whenever the metrics are."""
        self._gauges[name] = (description, read)

    def text(self) -> str:
        """Write all of it."""
        lines = [
            *_head("flywheel_observations_total", "counter", "Records by what became of them."),
            *(
                f'flywheel_observations_total{{kind="{kind}",status="{status}"}} {n}'
                for (kind, status), n in sorted(self._observations.items())
            ),
            *_head("flywheel_requests_total", "counter", "Requests by route and status."),
            *(
                f'flywheel_requests_total{{method="{m}",route="{route}",status="{status}"}} {n}'
                for (m, route, status), n in sorted(self._requests.items())
            ),
            *_head("flywheel_request_seconds", "histogram", "How long requests took."),
        ]
        for route, taken in sorted(self._seconds.items()):
            lines += _histogram(route, taken)
        for name, (description, read) in sorted(self._gauges.items()):
            lines += [*_head(name, "gauge", description), f"{name} {read():g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, description: str) -> list[str]:
    return [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]


def _histogram(route: str, taken: list[float]) -> list[str]:
    name, total, lines = "flywheel_request_seconds", 0.0, []
    for bound, amount in zip(_SECONDS, taken, strict=False):
        total += amount
        lines.append(f'{name}_bucket{{route="{route}",le="{bound:g}"}} {total:g}')
    lines.append(f'{name}_bucket{{route="{route}",le="+Inf"}} {taken[-2]:g}')
    lines.append(f'{name}_count{{route="{route}"}} {taken[-2]:g}')
    lines.append(f'{name}_sum{{route="{route}"}} {taken[-1]:.6f}')
    return lines
