"""The search server: a small JSON API and one page, for this machine unless a token guards it."""

from __future__ import annotations

from importlib import resources
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from medtrim.data import ImageLimits
from medtrim.data.images import decode, strict_decoding
from medtrim.errors import ImageError, MedTrimError, TableError
from medtrim.search.guard import Guard
from medtrim.search.query import Query as SearchQuery
from medtrim.search.searcher import Searcher
from medtrim.search.wire import MAX_TEXT, About, Answer, Options, StudyQuery, TextQuery
from medtrim.types import medtrim_version

MAX_UPLOAD = 64 * 2**20
"""Largest upload in bytes; an uncompressed 16-bit chest radiograph has about 20 million."""

MAX_PIXELS = 40_000_000
WEB = {
    "/": ("index.html", "text/html"),
    "/app.css": ("app.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
}


def create_app(searcher: Searcher, *, token: str | None = None, max_upload: int = MAX_UPLOAD) -> FastAPI:
    """The server's application. Nothing that it is sent or sends is logged.

    Args:
        searcher: answers the queries.
        token: what every request must carry; None where only this machine can ask (see `guard.check_exposure`).
        max_upload: largest request body in bytes.
    """
    app = FastAPI(title="MedTrim search", version=medtrim_version(), docs_url=None, redoc_url=None)
    limits = ImageLimits(max_bytes=max_upload, max_pixels=MAX_PIXELS)

    @app.exception_handler(MedTrimError)
    def _refused(_: Request, error: MedTrimError) -> JSONResponse:
        reason = error.reason if isinstance(error, ImageError) else str(error)
        return JSONResponse({"error": reason}, status_code=404 if isinstance(error, TableError) else 422)

    @app.get("/api/about")
    def about() -> About:
        return About(
            medtrim=medtrim_version(),
            studies=len(searcher.index),
            diseases=list(searcher.index.diseases),
            max_text=MAX_TEXT,
            max_upload=max_upload,
        )

    @app.post("/api/search/text")
    def by_text(query: TextQuery) -> Answer:
        return Answer.of(
            searcher.search(SearchQuery(query.text, against=query.against, k=query.k, filters=query.filters))
        )

    @app.post("/api/search/study")
    def by_study(query: StudyQuery) -> Answer:
        asked = SearchQuery(
            study_id=query.study_id, using=query.using, against=query.against, k=query.k, filters=query.filters
        )
        return Answer.of(searcher.search(asked))

    @app.post("/api/search/image")
    async def by_image(request: Request, options: Annotated[Options, Query()]) -> Answer:
        content = await request.body()
        return await run_in_threadpool(_answer_image, searcher, content, options, limits)

    @app.get("/api/images/{row}")
    def image(row: int) -> Response:
        content = searcher.index.thumbnail(row)
        if content is None:
            raise TableError("no such picture")
        return Response(content, media_type="image/jpeg")

    for path, (name, kind) in WEB.items():
        _add_page(app, path, name, kind)
    app.add_middleware(Guard, token=token, max_body=max_upload)
    return app


def _answer_image(searcher: Searcher, content: bytes, options: Options, limits: ImageLimits) -> Answer:
    if not content:
        raise ImageError("upload", "the upload is empty")
    with strict_decoding():
        picture = decode(content, study_id="upload", limits=limits)
    asked = SearchQuery(image=picture, against=options.against, k=options.k, filters=options.filters)
    return Answer.of(searcher.search(asked))


def _add_page(app: FastAPI, path: str, name: str, kind: str) -> None:
    content = (resources.files("medtrim.search") / "web" / name).read_bytes()

    @app.get(path, include_in_schema=False)
    def page() -> Response:
        return Response(content, media_type=kind)
