"""Draws docs/images/report.png, the head of a comparison's report: ``python docs/report_picture.py``.

Needs Chromium with its driver, so `docs/generate.py` leaves it out.
"""

import base64
import io
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

WIDTH, HEIGHT = 1280, 1330


def picture() -> bytes:
    """The page of all schemes for a BERT-Base layer."""
    import accelsim
    from accelsim.show.report import comparison_report

    compared = accelsim.compare("a100_hdp", "bert_base_layer", schemes=("dense", "tile_wise", "hdp", "tile_wise+hdp"))
    page = comparison_report({result.scheme: result for result in compared.results}, compared.document())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        return _reduced(_shot(path, Path(folder) / "profile"))


def _shot(path: Path, profile: Path) -> bytes:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars")
    for flag in (*flags, "--disable-background-networking", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(path.as_uri())
        return base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])
    finally:
        driver.quit()


def _reduced(content: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").save(buffer, "png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    (ROOT / "docs/images/report.png").write_bytes(picture())
