"""The search server: a small JSON API and one page, for this machine unless a token guards it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from medtrim.data import ImageLimits
from medtrim.data.images import decode, read_source, strict_decoding
from medtrim.errors import ImageError, MedTrimError, TableError
from medtrim.search.admission import Admission, Limits
from medtrim.search.audit import AuditTrail
from medtrim.search.guard import Guard
from medtrim.search.metrics import Metrics
from medtrim.search.model_facts import describe_model
from medtrim.search.pictures import MAX_PIXELS, as_png, decode_upload, model_square, preview
from medtrim.search.query import Query as SearchQuery
from medtrim.search.searcher import Searcher
from medtrim.search.wire import (
    MAX_TEXT,
    About,
    Answer,
    Options,
    PreviewJson,
    Refusal,
    SearchRequest,
    offered_filters,
)
from medtrim.types import medtrim_version

_REFUSAL = {
    "description": "Refused, with the reason.",
    "content": {"application/json": {"schema": Refusal.model_json_schema()}},
}
REFUSALS: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 401, 403, 404, 408, 413, 422, 429, 503), _REFUSAL)
FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
MAX_ROW, MAX_VIEW = 2**63 - 1, 1000
ORIGINAL_LIMITS = ImageLimits(max_pixels=MAX_PIXELS)
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class JpegResponse(Response):
    """A JPEG."""

    media_type = "image/jpeg"


class PngResponse(Response):
    """A PNG."""

    media_type = "image/png"


DEFAULT_LIMITS = Limits()


def create_app(
    searcher: Searcher,
    *,
    token: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    audit: AuditTrail | None = None,
    viewer_url: str = "",
) -> Guard:
    """The server's application. Nothing that it is sent or sends is logged.

    Args:
        searcher: answers the queries.
        token: what every request must carry; None where only this machine can ask (see `guard.check_exposure`).
        limits: how much it takes on at a time.
        audit: where it is written who was shown which studies.
        viewer_url: address of a study in the hospital's own viewer, with `{study_id}` in it (see `check_viewer`).
    """
    metrics = Metrics(len(searcher.index))
    admission = Admission(_api(searcher, limits, metrics, audit, viewer_url), limits=limits)
    metrics.watch(admission)
    return Guard(admission, token=token, observe=metrics.observe)


def _api(
    searcher: Searcher, limits: Limits, metrics: Metrics, audit: AuditTrail | None, viewer_url: str
) -> FastAPI:
    app = FastAPI(
        title="MedTrim search",
        version=medtrim_version(),
        docs_url=None,
        redoc_url=None,
        lifespan=_decoding_strictly,
        responses=REFUSALS,
    )
    _add_error_answers(app)
    _add_probes(app, searcher, metrics)
    _add_pages(app)

    def shown(request: Request, what: str, studies: Sequence[str]) -> None:
        if audit is None:
            return
        try:
            audit.record(request.scope, request=what, studies=studies)
        except OSError as error:
            raise HTTPException(503, "the audit trail cannot be written, so nothing is shown") from error

    def answered(request: Request, query: SearchQuery) -> Response:
        found = searcher.search(query)
        shown(request, "search", [hit.study.study_id for hit in found.hits])
        row = searcher.index.study(query.study_id).row if query.study_id else None
        return Response(Answer.of(found, query_row=row).json(), media_type="application/json")

    @app.get("/api/about")
    def about() -> About:
        return About(
            medtrim=medtrim_version(),
            studies=len(searcher.index),
            diseases=list(searcher.index.diseases),
            vocabulary={axis: list(levels) for axis, levels in searcher.contradictions.axes.items()},
            facts=describe_model(searcher.index, searcher.encoder),
            filters=offered_filters(searcher.index),
            viewer_url=viewer_url,
            max_text=MAX_TEXT,
            max_upload=limits.max_body,
        )

    @app.post("/api/search", response_model=Answer)
    def search(asked: SearchRequest, request: Request) -> Response:
        return answered(request, asked.query(max_bytes=limits.max_body))

    @app.post("/api/search/image", openapi_extra=FILE_BODY, response_model=Answer)
    async def by_image(request: Request, options: Annotated[Options, Query()]) -> Response:
        content = await request.body()

        def work() -> Response:
            picture = decode_upload(content, max_bytes=limits.max_body)
            return answered(request, SearchQuery(image=picture, **options.common()))

        return await run_in_threadpool(work)

    @app.post("/api/preview", openapi_extra=FILE_BODY)
    async def upload_preview(request: Request) -> PreviewJson:
        content = await request.body()
        return await run_in_threadpool(_preview, content, limits.max_body, searcher.encoder.bundle.image_size)

    @app.get("/api/studies/{row}/thumbnail", response_class=JpegResponse)
    def thumbnail(row: Annotated[int, Path(ge=0, le=MAX_ROW)]) -> Response:
        content = searcher.index.thumbnail(row)
        if content is None:
            raise TableError("no such picture")
        return JpegResponse(content)

    @app.get("/api/studies/{row}/image", response_class=PngResponse)
    def original(
        row: Annotated[int, Path(ge=0, le=MAX_ROW)],
        request: Request,
        view: Annotated[int, Query(ge=0, le=MAX_VIEW)] = 0,
    ) -> Response:
        """The original picture at its full size, 8 bits, as PNG."""
        index = searcher.index
        study = index.studies_at([row])[0]
        path = index.image_file(study, view)
        if path is None:
            raise TableError("the study has no such view")
        content = read_source(path, study_id="original", limits=ORIGINAL_LIMITS)
        picture = decode(content, study_id="original", limits=ORIGINAL_LIMITS)
        shown(request, "picture", [study.study_id])
        return PngResponse(as_png(picture))

    return app


def _preview(content: bytes, max_bytes: int, side: int) -> PreviewJson:
    picture = decode_upload(content, max_bytes=max_bytes)
    height, width = picture.shape
    shown, square = as_png(preview(picture)), as_png(model_square(picture, side))
    return PreviewJson(
        width=width, height=height, preview=b64encode(shown).decode(), image=b64encode(square).decode()
    )


@asynccontextmanager
async def _decoding_strictly(_: FastAPI) -> AsyncIterator[None]:
    """Warnings' filters belong to the process, so they are set once around all threads that decode."""
    with strict_decoding():
        yield


def _add_error_answers(app: FastAPI) -> None:
    """Every refusal is `{"error": reason}`, in ASCII: a reason may repeat a character that UTF-8 cannot hold."""

    def answer(status: int, reason: str) -> Response:
        content = json.dumps({"error": reason})
        return Response(content, status_code=status, media_type="application/json")

    @app.exception_handler(MedTrimError)
    def _refused(_: Request, error: MedTrimError) -> Response:
        reason = error.reason if isinstance(error, ImageError) else str(error)
        return answer(404 if isinstance(error, TableError) else 422, reason)

    @app.exception_handler(RequestValidationError)
    def _malformed(_: Request, error: RequestValidationError) -> Response:
        return answer(422, "; ".join(map(_fault, error.errors())))

    @app.exception_handler(StarletteHTTPException)
    def _http(_: Request, error: StarletteHTTPException) -> Response:
        refusal = answer(error.status_code, str(error.detail))
        refusal.headers.update(error.headers or {})
        return refusal


def _add_probes(app: FastAPI, searcher: Searcher, metrics: Metrics) -> None:
    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        searcher.index.thumbnail(0)  # the index answers
        return {"status": "ready"}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics_page() -> Response:
        return PlainTextResponse(metrics.page())


def _add_pages(app: FastAPI) -> None:
    """The page and its modules, read once: requests choose among these names and never among files."""
    for file in (resources.files("medtrim.search") / "web").iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        _add_page(app, path, file.read_bytes(), MEDIA_TYPES[PurePath(file.name).suffix])


def _add_page(app: FastAPI, path: str, content: bytes, kind: str) -> None:
    @app.get(path, include_in_schema=False)
    def page() -> Response:
        return Response(content, media_type=kind)


def _fault(error: dict[str, Any]) -> str:
    """A validation error as words: where and why, without the value."""
    place = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))
    return f"{place}: {error['msg']}" if place else str(error["msg"])
