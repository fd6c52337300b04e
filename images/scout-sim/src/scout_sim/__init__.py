"""scout-sim: a stand-in for Scout on one machine, and an OTLP backend for tests.

What it serves (`mqtt-trace-scout-sim --help` lists its settings):

- `GET /health` answers 200 once the database is open.
- `POST /realms/{tenant}/protocol/openid-connect/token` issues Bearer tokens for OAuth 2.0 client credentials, as the
  Collector's `oauth2client` extension asks for them.
- `POST /{tenant}/otlp/v1/{traces,metrics,logs}` takes OTLP/HTTP, protobuf or JSON, plain or gzip, behind such a token.
  With `SCOUT_SIM_REQUIRE_TOKEN=false` it asks for none and serves `POST /v1/{traces,metrics,logs}` too.
- `GET /api/traces`, `/api/traces/{trace_id}`, `/api/metrics` and `/api/logs` answer queries in JSON.
- `GET /` and `/traces/{trace_id}` are pages for people: recent traces, and the waterfall of one.

How a request flows: `otlp` turns bytes into protobuf messages and answers, `records` turns messages into rows, `store`
keeps a bounded number of rows in SQLite, `queries` reads them, `waterfall` lays a trace out, `pages` shows it.
"""
