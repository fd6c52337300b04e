"""The application: its routes and their dependencies."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles

from scout_sim import api, ingest, pages
from scout_sim.dependencies import Dependencies
from scout_sim.otlp import OtlpError
from scout_sim.settings import Settings
from scout_sim.store import Store
from scout_sim.tokens import Tokens


def create_app(settings: Settings, store: Store) -> FastAPI:
    """Create the application; it closes the store when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        store.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.state.dependencies = Dependencies(settings=settings, tokens=Tokens.from_settings(settings), store=store)
    app.include_router(api.router)
    app.include_router(ingest.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    app.add_exception_handler(OtlpError, ingest.refuse)
    app.add_exception_handler(RequestValidationError, api.refuse)
    return app
