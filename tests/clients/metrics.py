"""Reads /metrics with the parsers of Prometheus's client library, after some commands: metrics.py PORT METRICS_PORT."""
import sys
import urllib.request

import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

port, metrics_port = int(sys.argv[1]), int(sys.argv[2])
client = redis.Redis(port=port)
for number in range(20):
    client.set(f"key{number}", number, ex=1000 if number % 2 else None)
    client.get(f"key{number}")
client.hset("hash", mapping={"field": "value"})
for request in (["INCR", "hash"], ["NOSUCH\"\n{}"], ["EVAL", "return redis.error_reply('ODD\"X y')", "0"]):
    try:
        client.execute_command(*request)
    except redis.ResponseError:
        pass


def fetch(accept):
    request = urllib.request.Request(f"http://127.0.0.1:{metrics_port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request) as response:
        return response.headers["Content-Type"], response.read().decode()


checks = 0
for accept, read, kind in [("*/*", read_prometheus, "text/plain"),
                           ("application/openmetrics-text; version=1.0.0", read_openmetrics, "application/openmetrics-text")]:
    content_type, text = fetch(accept)
    assert content_type.startswith(kind), content_type
    families = {family.name: family for family in read(text)}
    checks += len(families)
    values = {(sample.name, *sorted(sample.labels.items())): sample.value
              for family in families.values() for sample in family.samples}
    assert values["redis_commands_total", ("cmd", "set")] == 20
    assert values["redis_db_keys", ("db", "db0")] == 21
    assert values["redis_db_keys_expiring", ("db", "db0")] == 10
    assert values["redis_errors_total", ("err", "WRONGTYPE")] == 1
    assert values["redloop_command_duration_seconds_count", ("cmd", "get")] == 20
    assert families["redloop_command_duration_seconds"].type == "histogram"
    assert families["redis_latency_percentiles_usec"].type == "summary"
    for family in families.values():
        assert family.documentation and family.type != "unknown", family.name
print("checks:", checks)
