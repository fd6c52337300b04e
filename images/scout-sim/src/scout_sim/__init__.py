"""scout-sim: a stand-in for Scout on one machine, and an OTLP backend for tests.

It serves (`mqtt-trace-scout-sim --help` lists its settings):

- `GET /health`: 200 once the database is open.
- `POST /realms/{tenant}/protocol/openid-connect/token`: Bearer tokens for OAuth 2.0 client credentials, which the
  Collector's `oauth2client` extension requests.
- `POST /{tenant}/otlp/v1/{traces,metrics,logs}`: OTLP/HTTP with such a token, protobuf or JSON, plain or gzip. With
  `SCOUT_SIM_REQUIRE_TOKEN=false` it requires no token, and serves `POST /v1/{traces,metrics,logs}` as well.
- `GET /api/traces`, `/api/traces/{trace_id}`, `/api/metrics` and `/api/logs`: the query API, in JSON.
- `GET /` and `/traces/{trace_id}`: the pages, with the newest traces and the waterfall of a trace.

How a request flows: `protobuf_limits` and `otlp` turn bytes into protobuf messages, `any_value`, `records` and `points`
turn messages into rows, and `store` keeps a bounded number of rows in SQLite. `queries` reads them, `trace_tree` and
`waterfall` lay out a trace, and `pages` renders it.
"""
