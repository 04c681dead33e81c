"""The page in a real browser, against a server with drawn radiographs; the model is untrained."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medtrim.data import load_image, read_corpus
from medtrim.data.phantom import make_corpus
from medtrim.entities import annotate_corpus, split_sections
from medtrim.models import build_dual_encoder, save_checkpoint
from medtrim.search import readout
from medtrim.search.index import build_index, calibrate_index
from medtrim.search.searcher import Searcher
from medtrim.search.server import create_app
from medtrim.search.store import StudyIndex
from medtrim.types import Provenance

STUDIES = 40
VIEWER = "https://pacs.example/viewer?study={study_id}"
PATIENCE = 120_000  # ms, for whatever the page is waited for: a busy machine is no fault of the page
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    names = (os.environ.get("MEDTRIM_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, filter(None, names))), None)
    if path is None:
        pytest.skip("no Chromium: scripts/install-chromium installs it, or set MEDTRIM_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty phantoms, an untrained model and their index, in one folder."""
    folder = tmp_path_factory.mktemp("archive")
    make_corpus(STUDIES, folder / "corpus", seed=3, size=96)
    studies = read_corpus(folder / "corpus" / "studies.parquet", split_sections=split_sections).studies
    studies = [
        replace(s, labels={"site": "AB"[i % 2], "day": f"2024-01-{i % 28 + 1:02d}"}) for i, s in enumerate(studies)
    ]
    bundle = build_dual_encoder("tiny", texts=[s.report for s in studies], seed=0)
    model = save_checkpoint(bundle, folder / "model", Provenance("checkpoint"))
    build_index(
        model,
        studies,
        list(annotate_corpus(studies)),
        folder / "index",
        root=folder / "corpus",
        thumbnail=96,
        columns=("site",),
        date_column="day",
    )
    return folder


@pytest.fixture(scope="module")
def address(archive: Path, serving_thread: Callable[..., AbstractContextManager[int]]) -> Iterator[str]:
    app = create_app(Searcher.open(StudyIndex(archive / "index")), viewer_url=VIEWER)
    with serving_thread(app) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def opened(chromium: Browser, address: str) -> Iterator[Page]:
    """A fresh page that knows its index; what it says on the console, loads from elsewhere or fails is an error.

    Nothing fades in or out: a text that is half faded has too little contrast.
    """
    with chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("request", lambda r: None if r.url.startswith((address, "blob:")) else faults.append(r.url))
        page.goto(address)
        expect(page.locator("#count")).not_to_be_empty()
        yield page
        # A refused request is an answer of the server, which the browser lists as an error of its own.
        assert [fault for fault in faults if "Failed to load resource" not in fault] == []


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with opened(chromium, address) as page:
        yield page


@contextmanager
def answered(page: Page) -> Iterator[None]:
    """What is done inside asks the server; after it the answer is drawn, so that the page can be read at once.

    The page is busy from before its request until after it has drawn the answer.
    """
    with page.expect_response("**/api/search"):
        yield
    expect(page.locator("body")).not_to_have_class(re.compile(r"\bbusy\b"))


def ask(page: Page, words: str) -> None:
    with answered(page):
        page.fill("#text", words)
        page.keyboard.press("Enter")


def show(page: Page, film: Path) -> None:
    """Search by a film."""
    with answered(page):
        page.set_input_files("#file", film)


def hits(page: Page) -> list[str]:
    return page.locator("#hits > li").evaluate_all("items => items.map((item) => item.dataset.study)")


def marks(page: Page) -> list[str]:
    """The findings of every hit, as one text each."""
    return page.locator("#hits > li .marks").all_inner_texts()


def films(archive: Path) -> dict[str, Path]:
    return {path.stem: path for path in (archive / "corpus" / "images").iterdir()}


def save_dicom(pixels: np.ndarray, path: Path) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 2040, 4080
    dataset.PixelData = (pixels.astype(np.uint16) * 16).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_by_words(page: Page) -> None:
    ask(page, "pleural effusion")
    assert len(hits(page)) == 12
    expect(page.locator(".chip .label")).to_have_text("pleural effusion")
    assert "pleural effusion" in marks(page)[0]
    expect(page.locator("#legend")).to_be_visible()
    expect(page.locator("#mode")).to_have_text("Ranked by findings and similarity together.")
    assert page.url.endswith("#text=pleural+effusion")
    first = page.locator("#hits > li").first
    first.locator("summary").click()
    expect(first.locator("mark.present").first).to_be_visible()
    assert "effusion" in " ".join(first.locator("mark.present").all_inner_texts()) + first.inner_text()


def test_by_image_and_with_words(page: Page, archive: Path) -> None:
    study, path = sorted(films(archive).items())[7]
    show(page, path)
    expect(page.locator("#hits > li").first).to_have_attribute("data-study", study)
    expect(page.locator("#preview-image")).to_be_visible()
    expect(page.locator("#picked")).to_contain_text("96 × 96 px")
    expect(page.locator("#weighting")).to_be_hidden()
    page.fill("#text", "pleural effusion")
    with page.expect_request("**/api/search") as sent:
        page.keyboard.press("Enter")
    body = sent.value.post_data_json
    assert body["text"] == "pleural effusion"
    assert body["image"]
    assert body["image_weight"] == 0.5
    expect(page.locator("#weighting")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("“pleural effusion” and your X-ray")
    with page.expect_request("**/api/search") as sent:
        page.locator("#weight").fill("80")
    assert sent.value.post_data_json["image_weight"] == 0.8
    page.click("#clear")
    expect(page.locator("#preview")).to_be_hidden()
    expect(page.locator("#status")).to_contain_text("studies like “pleural effusion”.")


def test_what_the_model_reads_is_shown_where_it_is_calibrated(page: Page, archive: Path) -> None:
    show(page, sorted(films(archive).values())[7])
    expect(page.locator("#hits > li").first).to_be_visible()
    expect(page.locator("#readout")).to_be_hidden()  # this index is not
    words = [
        page.evaluate("async (reading) => (await import('/results.js')).readingWords(reading)", reading)
        for reading in (
            {"disease": "edema", "probability": 0.624, "side": {"left": 0.9, "right": 0.1}, "severity": {}},
            {"disease": "mass", "probability": 0.1, "side": {"left": 0.9, "right": 0.1}, "severity": {}},
            {"disease": "fracture", "probability": None, "side": {}, "severity": {}},
        )
    ]
    assert words == ["edema 62 % (left 90 %)", "mass 10 %", "fracture: not validated"]


def test_the_readout_of_a_calibrated_index_is_seen_with_what_is_not_validated(
    chromium: Browser,
    archive: Path,
    serving_thread: Callable[..., AbstractContextManager[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = shutil.copytree(archive / "index", tmp_path / "index")
    studies = read_corpus(archive / "corpus" / "studies.parquet", split_sections=split_sections).studies
    monkeypatch.setattr(readout, "FEWEST", 3)
    calibrate_index(index, studies, list(annotate_corpus(studies)), root=archive / "corpus")
    with (
        serving_thread(create_app(Searcher.open(StudyIndex(index)))) as port,
        opened(chromium, f"http://127.0.0.1:{port}/") as page,
    ):
        show(page, sorted(films(archive).values())[7])
        expect(page.locator("#readout")).to_be_visible()
        page.click("#readout summary")
        shown = page.locator("#readout").inner_text()
        assert re.search(r"\b\d{1,2} %", shown)
        assert "not validated" in shown
        page.click("#clear")
        ask(page, "pleural effusion")
        expect(page.locator("#readout")).to_be_hidden()


def test_a_dropped_dicom_is_seen_and_finds_the_study_that_it_came_from(
    page: Page, archive: Path, tmp_path: Path
) -> None:
    study, path = sorted(films(archive).items())[3]
    show(page, save_dicom(load_image(path), tmp_path / "film.dcm"))
    expect(page.locator("#hits > li").first).to_have_attribute("data-study", study)
    assert page.locator("#preview-image").evaluate("image => image.naturalWidth") == 96


def test_chips_can_be_negated_switched_edited_removed_and_added(page: Page) -> None:
    ask(page, "pleural effusion, no cardiomegaly")
    assert all("cardiomegaly" not in found for found in marks(page))
    labels = page.locator(".chip .label")
    expect(labels).to_have_text(["pleural effusion", "cardiomegaly"])

    with answered(page):
        page.get_by_role("button", name="Not “pleural effusion”").click()
    expect(page.locator("#text")).to_have_value("no pleural effusion, no cardiomegaly")
    expect(page.locator(".chip.must_not")).to_have_count(2)
    expect(page.locator("#status")).to_contain_text("no pleural effusion")
    assert all("pleural effusion" not in found for found in marks(page))
    assert page.evaluate("document.activeElement.dataset.chip") is not None  # the focus stays with the chip

    page.get_by_label("Use “cardiomegaly”").uncheck()
    expect(page.locator("#text")).to_have_value("no pleural effusion")
    expect(page.locator(".chip.off")).to_have_count(1)

    page.get_by_role("button", name="Not “pleural effusion”").click()
    page.locator(".chip .label").first.click()
    editor = page.locator("#editor")
    expect(editor).to_be_visible()
    editor.get_by_label("Side").select_option("left")
    editor.get_by_label("Severity or size").select_option("large")
    editor.get_by_role("button", name="Apply").click()
    expect(page.locator("#text")).to_have_value("large left pleural effusion")

    page.get_by_role("button", name="Remove “cardiomegaly”").click()
    page.get_by_role("button", name="+ Add a finding").click()
    editor.get_by_label("Finding").select_option("atelectasis")
    editor.get_by_label("Hits").select_option("like")
    editor.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#text")).to_have_value("large left pleural effusion, atelectasis")
    expect(page.locator(".chip.like .label")).to_have_text("atelectasis")
    page.fill("#text", "edema")
    page.keyboard.press("Enter")  # words that are typed are read anew
    expect(labels).to_have_text(["edema"])


def test_words_that_are_typed_survive_a_change_of_options(page: Page) -> None:
    page.fill("#text", "edema")
    page.locator("#options").get_by_label("Show").select_option("6")
    expect(page.locator("#text")).to_have_value("edema")
    page.click("#go")
    expect(page.locator("#hits > li")).to_have_count(6)
    page.fill("#text", "pleural effusion")
    page.locator("#options").get_by_label("Show").select_option("24")
    expect(page.locator("#status")).to_contain_text("“pleural effusion”")


def test_by_id_and_more_like_this(page: Page) -> None:
    with answered(page):
        page.fill("#study", "phantom-000005")
        page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("study phantom-000005")
    assert "phantom-000005" not in hits(page)
    expect(page.locator("#study-picture")).to_be_visible()
    other = hits(page)[0]
    with answered(page):
        page.locator("#hits > li").first.get_by_role("button", name="More like this").click()
    expect(page.locator("#status")).to_contain_text(f"study {other}")
    assert page.input_value("#study") == other
    assert page.evaluate("document.activeElement.id") == "results-title"


def test_paging_one_hit_a_patient_and_mode(page: Page) -> None:
    ask(page, "pleural effusion")
    first = hits(page)
    with answered(page):
        page.get_by_role("button", name="Next").click()
    expect(page.locator("#paging")).to_contain_text("Hits 13 to 24")
    assert not set(hits(page)) & set(first)
    with answered(page):
        page.locator("#options").get_by_label("Rank by").select_option("embedding")
    expect(page.locator("#mode")).to_have_text("Ranked by similarity alone.")
    expect(page.locator("#paging")).to_contain_text("Hits 1 to 12")
    with answered(page):
        page.get_by_label("one hit a patient").check()
    assert "patients=1" in page.url


def test_filters(page: Page) -> None:
    ask(page, "pleural effusion")
    expect(page.locator("#hits .facts").first).to_contain_text("patient")
    page.click("#filters-title")
    with answered(page):
        page.locator("#filters").get_by_label("View").select_option("AP")
    expect(page.locator("#filters-title")).to_have_text("Filters (1)")
    assert all("AP" in facts for facts in page.locator("#hits .facts").all_inner_texts())
    page.reload()
    expect(page.locator("#filters-title")).to_have_text("Filters (1)")
    expect(page.locator("#hits > li").first).to_be_visible()


def test_filters_of_dates_and_columns(page: Page) -> None:
    ask(page, "pleural effusion")
    page.click("#filters-title")
    with answered(page):
        page.locator("#filters").get_by_label("site").select_option("A")
    expect(page.locator("#filters-title")).to_have_text("Filters (1)")
    expect(page.locator("#hits .facts").filter(has_text="site B")).to_have_count(0)
    with answered(page), page.expect_request("**/api/search") as sent:
        page.locator("#filters").get_by_label("From").fill("2024-01-20")
        page.keyboard.press("Enter")
    assert sent.value.post_data_json["since"] == "2024-01-20"
    assert sent.value.post_data_json["columns"] == {"site": "A"}
    expect(page.locator("#filters-title")).to_have_text("Filters (2)")
    numbers = [int(study.rpartition("-")[2]) for study in hits(page)]
    assert numbers
    assert all(number % 2 == 0 and number % 28 >= 19 for number in numbers)


def test_viewer(page: Page, archive: Path) -> None:
    show(page, sorted(films(archive).values())[7])
    expect(page.locator("#hits > li").first).to_be_visible()
    page.locator(".picture").nth(1).click()
    viewer = page.locator("#viewer")
    expect(viewer).to_be_visible()
    expect(page.locator("#hit-pane figcaption")).to_have_text("Hit 2: 96 × 96 px")
    expect(page.locator("#query-pane figcaption")).to_have_text("Query: 96 × 96 px")
    expect(page.locator("#viewer-link")).to_have_attribute("href", VIEWER.replace("{study_id}", hits(page)[1]))
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-title")).to_have_text(f"3 · {hits(page)[2]}")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer-title")).to_have_text(f"1 · {hits(page)[0]}")
    expect(page.locator("#viewer-previous")).to_be_disabled()

    image = page.locator("#hit-pane img")
    page.keyboard.press("+")
    expect(page.locator("#zoom")).to_have_text("125 %")
    page.keyboard.press("Shift+ArrowLeft")
    expect(image).to_have_attribute("style", re.compile(r"translate\(40px, 0px\) scale\(1.25\)"))
    box = page.locator("#hit-pane").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 80)
    page.mouse.up()
    expect(image).to_have_attribute("style", re.compile(r"translate\(70px, -20px\)"))
    page.keyboard.press("i")
    expect(image).to_have_attribute("style", re.compile("filter: .*gray"))
    red = page.locator("#gray feFuncR")
    assert (float(red.get_attribute("slope") or 0), float(red.get_attribute("intercept") or 0)) == (-1, 1)
    page.keyboard.press("i")
    page.locator("#window").fill("51")
    page.locator("#level").fill("51")
    # gray 25.5 becomes black and 76.5 white: out = 5 in - 0.5
    assert float(red.get_attribute("slope") or 0) == pytest.approx(5)
    assert float(red.get_attribute("intercept") or 0) == pytest.approx(-0.5)
    page.get_by_role("button", name="Reset").click()
    expect(image).to_have_css("filter", "none")
    expect(page.locator("#viewer-report")).to_contain_text("Findings", ignore_case=True)
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()


def test_basket_and_export(page: Page) -> None:
    ask(page, "pleural effusion")
    chosen = hits(page)[:2]
    for i in range(2):
        page.locator("#hits > li").nth(i).get_by_role("button", name="Add to basket").click()
    expect(page.locator("#open-basket")).to_have_text("Basket (2)")
    page.reload()
    expect(page.locator("#open-basket")).to_have_text("Basket (2)")
    expect(page.locator("#hits > li").first.get_by_role("button", name="In basket ✓")).to_be_visible()
    page.click("#open-basket")
    with page.expect_download() as download:
        page.click("#export")
    content = Path(download.value.path()).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [row["study_id"] for row in rows] == chosen
    assert all(float(row["score"]) <= 1 and "pleural effusion" in row["findings"] for row in rows)
    assert rows[0]["query"] == "“pleural effusion”"
    page.locator("#basket").get_by_role("button", name=f"Remove {chosen[0]}").click()
    page.locator("#basket").get_by_role("button", name="Close").click()
    expect(page.locator("#open-basket")).to_have_text("Basket (1)")


def test_a_cell_that_a_spreadsheet_would_run_is_defused(page: Page) -> None:
    entry = {"study_id": '=HYPERLINK("x")', "score": -0.5, "findings": 'left, "large"', "site": "@b"}
    content = page.evaluate("async (entry) => (await import('/basket.js')).csv([entry])", entry)
    row = next(csv.DictReader(io.StringIO(content, newline="")))
    assert row["study_id"] == '\'=HYPERLINK("x")'
    assert row["score"] == "-0.5"
    assert row["findings"] == 'left, "large"'
    assert row["site"] == "'@b"


def test_errors_are_said_in_words(page: Page, tmp_path: Path) -> None:
    with answered(page):
        page.fill("#study", "nowhere")
        page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("That did not work: study 'nowhere' is not in the index.")
    expect(page.locator("#status")).to_have_class("error")
    expect(page.locator("#found")).to_be_hidden()
    (tmp_path / "notes.txt").write_text("no picture")
    page.set_input_files("#file", tmp_path / "notes.txt")
    expect(page.locator("#status")).to_contain_text("notes.txt cannot be used: file is no image in a known format")
    page.route("**/api/search", lambda route: route.abort())
    page.fill("#study", "")
    page.fill("#text", "edema")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("the server does not answer")


def test_nothing_asked_and_nothing_found(page: Page) -> None:
    page.click("#go")
    expect(page.locator("#status")).to_have_text("Write some findings, choose an X-ray or name a study first.")
    assert page.evaluate("document.activeElement.id") == "text"
    page.route("**/api/search", empty_answer)
    ask(page, "edema")
    expect(page.locator("#status")).to_contain_text("Nothing like “edema”: loosen the findings or filters.")
    expect(page.locator("#notices li")).to_have_text("few studies")


def empty_answer(route: Any) -> None:
    chips: dict[str, list[object]] = {"must": [], "must_not": [], "like": []}
    notices = [{"code": "few", "text": "few studies"}]
    body = {
        "chips": chips,
        "mode": "both",
        "notices": notices,
        "hits": [],
        "more": False,
        "query_row": None,
        "readout": [],
    }
    route.fulfill(json=body)


def test_back_and_forward(page: Page) -> None:
    ask(page, "pleural effusion")
    first = hits(page)
    with answered(page):
        page.get_by_role("button", name="Not “pleural effusion”").click()
    expect(page.locator("#text")).to_have_value("no pleural effusion")
    expect(page.locator("#status")).to_contain_text("“no pleural effusion”")
    second = hits(page)
    assert second != first
    with answered(page):
        page.go_back()
    expect(page.locator("#text")).to_have_value("pleural effusion")
    assert hits(page) == first
    with answered(page):
        page.go_forward()
    expect(page.locator("#text")).to_have_value("no pleural effusion")
    expect(page.locator("#status")).to_contain_text("“no pleural effusion”")
    assert hits(page) == second
    with answered(page):
        page.reload()
    assert hits(page) == second
    with answered(page):
        page.go_back()
    page.go_back()
    expect(page.locator("#found")).to_be_hidden()
    expect(page.locator("#text")).to_have_value("")


def test_an_xray_is_never_in_the_address(page: Page, archive: Path) -> None:
    show(page, sorted(films(archive).values())[0])
    expect(page.locator("#hits > li").first).to_be_visible()
    assert page.url.endswith("#picture=1")
    page.goto(page.url.replace("#", "?again#"))
    expect(page.locator("#status")).to_contain_text("has to be chosen again")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_in_light_and_dark_on_a_phone_and_a_desk(
    page: Page, width: int, scheme: Any, archive: Path
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    check(page, "start")
    ask(page, "large left pleural effusion, no cardiomegaly")
    page.locator("#hits summary").first.click()
    check(page, "hits")
    page.locator(".chip .label").first.click()
    check(page, "editor")
    page.keyboard.press("Escape")
    page.locator("#hits > li").first.get_by_role("button", name="Add to basket").click()
    page.click("#open-basket")
    check(page, "basket")
    page.keyboard.press("Escape")
    page.click("#open-facts")
    check(page, "facts")
    page.keyboard.press("Escape")
    page.locator(".picture").first.click()
    check(page, "viewer")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "picture"  # the focus is where it was
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def check(page: Page, place: str) -> None:
    result = Axe().run(page, options={"resultTypes": ["violations"]})
    found = [
        f"{place}: {violation['id']} at {node['target']}: {node.get('failureSummary', '')}"
        for violation in result.response["violations"]
        for node in violation["nodes"]
    ]
    assert found == []
