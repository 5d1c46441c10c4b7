"""Reports in a real browser: no error, sorting, hovering, the keyboard, and both widths.

Needs Chromium with its driver (Debian: chromium, chromium-driver); elsewhere the tests are skipped and say so.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accelsim.show.report import comparison_report, document_report, run_report, sweep_report
from tests.results.examples import comparison, example
from tests.show.test_report import attention_document, points, tune_document

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver on the PATH"),
]

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.binary_location = BROWSER
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        yield driver
        driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    compared = comparison()
    results = {result.scheme: result for result in compared.results}
    axes = ["tile_wise.sparsity", "scheme"]
    written = {
        "run": run_report(example("hdp")),
        "comparison": comparison_report(results, compared.document()),
        "tune": document_report("tune", tune_document("latency_us", "energy_uj")),
        "attention": document_report("attention", attention_document()),
        "sweep": sweep_report("some", axes, points(1000), {"workload": "bert", "hardware": "v100"}),
    }
    for name, page in written.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def show(browser: Any, path: Path, width: int = 1280) -> None:
    """Open a page at a width, which a window of its own could not be narrow enough for."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(path.as_uri())


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["run", "comparison", "sweep", "tune", "attention"])
def test_pages_load_without_an_error_and_fit(browser: Any, pages: Path, name: str, width: int) -> None:
    show(browser, pages / f"{name}.html", width)
    assert browser.get_log("browser") == []
    requested = [
        entry["message"] for entry in browser.get_log("performance") if "requestWillBeSent" in entry["message"]
    ]
    assert all('"url":"file://' in text or '"url":"data:' in text for text in requested)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    outside = browser.execute_script(
        """return [...document.querySelectorAll('h1, h2, h3, dl, figure, .table, .notes, svg.plot text, .track')]
        .filter(e => e.getClientRects().length && !e.closest('.scroll'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)
        .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert outside == []


def column(browser: Any, table: int, number: int) -> list[str]:
    script = """return [...document.querySelectorAll('.table')[arguments[0]].querySelectorAll('tbody tr')]
    .filter(row => !row.hidden).map(row => row.cells[arguments[1]].textContent)"""
    found: list[str] = browser.execute_script(script, table, number)
    return found


def test_a_click_and_a_key_sort_a_table(browser: Any, pages: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "comparison.html")
    head = browser.find_elements(By.CSS_SELECTOR, ".table")[0].find_elements(By.TAG_NAME, "th")[1]
    button = head.find_element(By.TAG_NAME, "button")
    before = column(browser, 0, 1)
    button.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(browser, 0, 1) == sorted(before, key=float)
    button.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    assert column(browser, 0, 1) == sorted(before, key=float, reverse=True)


def test_a_long_table_is_sorted_over_all_its_pages(browser: Any, pages: Path) -> None:
    from selenium.webdriver.common.by import By

    show(browser, pages / "sweep.html")
    frame = points(1000)
    table = browser.find_element(By.CSS_SELECTOR, "#points .table")
    heads = [head.text.replace("\u200b", "").strip() for head in table.find_elements(By.TAG_NAME, "th")]
    place = next(index for index, text in enumerate(heads) if text.startswith("latency"))
    table.find_elements(By.TAG_NAME, "button")[place].click()
    known = sorted(frame["latency_us"].dropna())
    assert [float(text) for text in column(browser, 0, place)] == pytest.approx(known[:100], rel=1e-3)
    for _ in range(9):
        table.find_element(By.CSS_SELECTOR, '[data-turn="1"]').click()
    assert "901 to 1,000 of 1,000" in table.find_element(By.CSS_SELECTOR, ".pages").text
    last = column(browser, 0, place)
    assert last[-1] == "-"
    assert [float(text) for text in last[:-1]] == pytest.approx(known[900:], rel=1e-3)
    assert not table.find_element(By.CSS_SELECTOR, '[data-turn="1"]').is_enabled()


def hover(browser: Any, element: Any) -> None:
    """Bring an element into view, wait until the page has seen that, and move onto it."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.execute_async_script(
        """arguments[0].scrollIntoView({block: 'center'});
        requestAnimationFrame(() => requestAnimationFrame(arguments[1]));""",
        element,
    )
    ActionChains(browser).move_to_element(element).perform()


def test_hovering_and_arrow_keys_tell_of_points(browser: Any, pages: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, pages / "comparison.html")
    chart = browser.find_element(By.CSS_SELECTOR, "#tradeoffs figure")
    tip = browser.find_element(By.ID, "tip")
    assert not tip.is_displayed()
    mark = chart.find_elements(By.CSS_SELECTOR, "use[data-mark]")[-1]
    hover(browser, mark)
    assert tip.is_displayed()
    assert " us\nenergy " in tip.text
    hover(browser, browser.find_element(By.TAG_NAME, "h1"))
    assert not tip.is_displayed()
    chart.send_keys(Keys.ARROW_RIGHT)
    first = tip.text
    fastest = min(comparison().results, key=lambda result: result.value("latency_us"))
    assert f"{fastest.value('latency_us'):.4g}" in first
    chart.send_keys(Keys.ARROW_RIGHT)
    assert tip.text != first
    assert browser.find_element(By.ID, "told").get_attribute("textContent").strip() == tip.text
    chart.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()


def test_hovering_tells_of_bars_and_maps(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    import accelsim

    result = accelsim.run("v100_pcie", "gemm_1024", scheme="tile_wise", values=False, engine="estimate")
    (tmp_path / "run.html").write_text(run_report(result), encoding="utf-8")
    show(browser, tmp_path / "run.html")
    tip = browser.find_element(By.ID, "tip")
    piece = browser.find_element(By.CSS_SELECTOR, "#time .bars g[data-mark] rect")
    hover(browser, piece)
    assert tip.text.startswith("tile-wise\ncompute: ")
    kept, times = browser.find_elements(By.CSS_SELECTOR, "#tiles .map")[:2]
    hover(browser, kept)
    assert "% kept" in tip.text
    times.send_keys(Keys.ARROW_RIGHT)
    assert tip.text.startswith("m 0 to ")
    assert "% of k multiplied" in tip.text
