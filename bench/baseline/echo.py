"""An echo service with FastAPI's default instrumentation.

Usage: python -m bench.baseline.echo PORT
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from bench.baseline.telemetry import set_up

app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer probes."""
    return {"status": "ok"}


@app.post("/echo")
async def echo(body: dict[str, Any]) -> dict[str, Any]:
    """Answer with the body of the request."""
    return {"echoed": body}


if __name__ == "__main__":
    set_up("baseline-echo")
    FastAPIInstrumentor.instrument_app(app)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
