"""What processes count for themselves, because no row says it; `api.observability.totals` adds it up."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

CONFIDENCE = Histogram(
    "kefu_confidence",
    "How sure the bot was of a question's best entry, by what it decided",
    ["decision"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0),
)
DUPLICATES = Counter("kefu_send_duplicates", "Sends that the channel refused because it had the message already")
REQUESTS = Counter("kefu_http_requests", "HTTP requests, by route and status", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "kefu_http_request_seconds",
    "How long requests took; WeCom waits five seconds for the answer to a callback",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)

for decision in ("answer", "clarify", "escalate"):
    CONFIDENCE.labels(decision)
# What an alert waits for is told before it happens: nobody sees a series rise to its first value.
REQUESTS.labels("POST", "/wecom/callback", "503")
