"""The page: one file that needs no other, and fits a phone and a desktop (asked of headless Chromium)."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from xpnn_benchmarks.report import html, plots, svg

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ASK = """<iframe style="border: 0; width: {width}px; height: 2000px" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, found = {{}};
  found.width = page.documentElement.clientWidth;
  found.scroll = page.scrollingElement.scrollWidth;
  found.plots = [...page.querySelectorAll("figure svg")].map(svg => {{
    const box = svg.getBoundingClientRect(), letters = [...svg.querySelectorAll("text")];
    const sides = letters.map(text => text.getBoundingClientRect());
    const size = text => parseFloat(getComputedStyle(text).fontSize) * box.width / svg.viewBox.baseVal.width;
    return {{width: box.width, height: box.height, smallest: Math.min(...letters.map(size)),
      left: Math.min(...sides.map(s => s.left)) - box.left, right: box.right - Math.max(...sides.map(s => s.right))}};
  }});
  document.body.textContent = JSON.stringify(found);
}};
</script>"""


@pytest.fixture
def page(run, peers, tmp_path):
    run["xpnn"]["peers"] = peers
    html.write(run, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


class Elements(HTMLParser):
    """Those that were opened, with attributes; every one that must be closed is, in order."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_needs_nothing_else(page):
    elements = Elements(page).found
    assert len(page) < 1e6
    assert not [tag for tag, _ in elements if tag in ("script", "link", "img", "iframe")]
    links = [a.get("href") or a.get("xlink:href") or a.get("src") for _, a in elements]
    assert all(link.startswith("#") for link in links if link)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_what_is_linked_is_there_once(page):
    elements = Elements(page).found
    names = [a["id"] for _, a in elements if "id" in a]
    assert len(names) == len(set(names))
    linked = {(a.get("href") or a.get("xlink:href", "#"))[1:] for _, a in elements} - {""}
    assert linked | set(re.findall(r"url\(#([^)]*)\)", page)) <= set(names)


def test_it_can_be_read_aloud(page):
    elements = Elements(page).found
    assert ("html", {"lang": "en"}) in elements
    assert "<title>xpnn benchmarks, 2026-01-02 03:04 UTC</title>" in page
    drawn = [a for tag, a in elements if tag == "svg"]
    assert len(drawn) == 5  # ladder, crossover, two rooflines, peers
    assert all(a["role"] == "img" and a["aria-label"] for a in drawn)
    assert [tag for tag, _ in elements if tag == "h1"] == ["h1"]


def test_it_says_the_same(page):
    text = escaping.unescape(page)
    for said in (
        "A <CPU> [1], 2 CPUs",
        "4,000×",
        "≈ 1.50 s",
        "dense: below batch 64 use numpy",
        "steady: ",
        "1.50 (1.25 - 2.00)",
        "<strong>2.00 ms</strong>",
    ):
        assert said in text
    assert "<CPU>" not in page
    assert "xpnn bench --backend numpy --backend numba --peers --html report.html" in page


def test_sections_without_rows_are_left_out(run, tmp_path):
    run["benchmarks"] = run["benchmarks"][3:5]
    run["xpnn"] |= {"interrupted": True, "suite": "ops"}
    html.write(run, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert '<section id="ops">' in page
    assert "interrupted: " in page
    assert "--backend numba --suite ops --html" in page
    assert not [name for name in ("ladder", "crossover", "peers", "start") if f'<section id="{name}">' in page]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to lay the page out")
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits(page, tmp_path, width):
    (tmp_path / "ask.html").write_text(ASK.format(width=width, page=escaping.escape(page)))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    command = [CHROMIUM, *options, "--window-size=1400,2000", (tmp_path / "ask.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    answer = re.search(r"<body>(.*?)</body>", done.stdout, re.DOTALL)
    assert answer, done.stderr
    found = json.loads(answer[1])
    assert found["width"] in range(width - 20, width + 1)  # less a bar to scroll down by
    assert found["scroll"] <= found["width"]
    assert len(found["plots"]) == 5
    for plot in found["plots"]:
        assert min(350, 0.85 * width) < plot["width"] < width
        assert plot["height"] > 80
        assert plot["smallest"] > 9
        assert plot["left"] > -1
        assert plot["right"] > -1


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_picture_of_the_ladder(run, tmp_path, suffix):
    path = tmp_path / f"ladder{suffix}"
    plots.ladder_picture(run, path)
    first = path.read_bytes()
    plots.ladder_picture(run, path)
    assert path.read_bytes() == first
    if suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            assert picture.width == 800


def test_themes_name_the_same_colours():
    assert svg.LIGHT.keys() == svg.DARK.keys()
    assert len(set(svg.LIGHT.values())) == len(svg.LIGHT)
