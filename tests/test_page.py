"""The page: one file, the numbers of the lesson, and a figure whose sliders show real descents."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zlib
from fractions import Fraction
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_porch import STRICT

import gdpure as gd
from gdpure.__main__ import main
from gdpure.plots import page
from gdpure.plots.palette import THEMES
from gdpure.plots.views.convergence import in_float64
from gdpure.plots.views.descents import curvature, descents, heavy_ball_rate

ROUNDOFF = 2.0**-53
SHOWN = {one.key: one for one in page.shown()}
by_objective = pytest.mark.parametrize("key", SHOWN)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What `gdpure --html` prints in a process of its own, and the file it writes."""
    path = tmp_path_factory.mktemp("page") / "there" / "lesson.html"
    code = (
        f"import sys; from gdpure.__main__ import main; sys.exit(main(['--html', {str(path)!r}]))"
    )
    ended = subprocess.run(
        [sys.executable, *STRICT, "-c", code], capture_output=True, timeout=600, check=False
    )
    assert ended.returncode == 0 and ended.stderr == b""
    text = ended.stdout.decode()
    assert text.splitlines()[-1] == str(path)
    return text.rpartition("Page")[0], path


@pytest.fixture(scope="module")
def whole(printed):
    return printed[1].read_text("utf-8")


# -- the file --------------------------------------------------------------------------------------


def test_one_file_that_needs_no_network(printed, whole):
    assert printed[1].stat().st_size <= 300_000
    asks = r"https?:|\bsrc=|url\((?!#)|<link|@import|\bfetch\b|XMLHttp|\bimport\b|href=\"(?!#)"
    assert not re.search(asks, whole)
    assert "default-src 'none'" in whole


def test_the_same_bytes_in_another_process(printed, whole, capsys, tmp_path):
    assert main(["--html", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == printed[1].read_bytes()


class Outline(HTMLParser):
    """Which elements are open, and the texts of the chapters as the terminal spells them."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.labels, self.chapters = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        for name in ("for", "aria-labelledby"):
            self.labels += attrs.get(name, "").split()
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()
        self.chapters += [" "] * (tag in ("td", "th", "dt", "dd", "p", "h2"))

    def handle_data(self, data):
        if "section" in self.open:
            power = "^" if self.open[-1] == "sup" else "_" if self.open[-1] == "sub" else ""
            self.chapters.append(power + data)


def outline_of(text):
    outline = Outline()
    outline.feed(text)
    outline.close()
    return outline


def test_elements_are_closed_and_labels_lead_somewhere(whole):
    outline = outline_of(whole)
    assert outline.open == [] and len(set(outline.ids)) == len(outline.ids)
    assert set(outline.labels) <= set(outline.ids)


def numbers(text):
    return re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?", text)


def test_the_numbers_are_those_that_the_lesson_prints(printed, whole):
    text = "".join(outline_of(whole).chapters).replace("\N{MINUS SIGN}", "-")
    text = re.sub(r"\u202f×\u202f10\^(-?)(\d+)", lambda e: f"e{e[1] or '+'}{e[2]:>02}", text)
    assert "1.35e-01" in text and len(numbers(text)) > 150
    assert numbers(text) == numbers(printed[0])


# -- what it stores --------------------------------------------------------------------------------


def stored(text):
    """Return the data of a page, and by objective the rows of codes, as the script finds them."""
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    buffer = zlib.decompress(base64.b64decode(data["packed"]))
    rows, runs = data["steps"] + 1, len(data["units"]) * len(data["momenta"])
    counts = [(3 + len(o["proven"])) * runs * len(o["starts"]) for o in data["objectives"]]
    high, low = np.frombuffer(buffer, np.uint8, 2 * sum(counts) * rows).reshape(2, -1).astype(int)
    steps = (high << 8 | low).reshape(-1, rows)
    steps = np.where(steps % 2, -(steps + 1) // 2, steps // 2)
    codes = ((steps.cumsum(1) + 2**15) % 2**16) - 2**15
    found = {}
    for o in data["objectives"]:
        shape = (len(data["units"]), len(data["momenta"]), len(o["starts"]), rows)
        count = (3 + len(o["proven"])) * runs * len(o["starts"])
        found[o["key"]] = codes[:count].reshape(-1, *shape)
        codes = codes[count:]
    return data, found


def descended(key, unit, momentum, start):
    """Return points and gaps of one descent, by `gd.descend` in float64."""
    one = SHOWN[key]
    with jax.enable_x64(True):
        f = in_float64(one.f)
        rule = gd.HeavyBall(unit / curvature(one.f), momentum)
        run = gd.descend(f, jnp.array(one.starts[start], jnp.float64), rule, steps=page.STEPS)
        return np.asarray(run.history.point), np.asarray(run.history.value) - float(
            gd.facts(f).minimum
        )


def places(key, points):
    """Return points in half windows from the middle, which is what a page stores."""
    low, high = np.transpose(SHOWN[key].window)
    return (points - (low + high) / 2) / ((high - low) / 2)


@by_objective
@pytest.mark.parametrize(("unit", "momentum", "start"), [(1.5, 0.0, 0), (0.3, 0.9, 2)])
def test_what_is_stored_is_what_descend_gives(whole, key, unit, momentum, start):
    data, codes = stored(whole)
    at = data["units"].index(unit), data["momenta"].index(momentum), start
    x, y, gap, *_ = (part[at] for part in codes[key])
    points, gaps = descended(key, unit, momentum, start)
    # Of numbers up to 4 x 400, a rounding to whole ones.
    assert np.abs(np.stack([x, y], 1) / page.FINE - places(key, points)).max() <= 0.5001 / page.FINE
    seen = gaps > 1e-10
    below = np.log10(gaps[seen] / gaps[0])
    assert np.abs(gap[seen] / page.DECADE - below).max() <= 0.51 / page.DECADE
    [described] = [o for o in data["objectives"] if o["key"] == key]
    assert described["first"][start] == float(f"{gaps[0]:.3g}")


def test_a_path_that_leaves_is_cut_along_its_step():
    path = np.array([[0.0, 0.0], [1.0, 0.5], [21.0, 10.5], [np.nan, np.nan]])
    seen = page._seen(path)
    assert np.abs(seen[:3]).max() == page._FAR and np.isnan(seen[3]).all()
    (a, b), (c, d) = seen[2] - path[1], path[2] - path[1]
    assert a * d == b * c and a * c > 0


# -- what is proven --------------------------------------------------------------------------------


@by_objective
def test_no_run_crosses_what_is_proven_of_it(key):
    one = SHOWN[key]
    units = np.array([0.1, 1.0, 1.9, 2.0, 3.2])
    found = descents(one.f, one.starts, units / curvature(one.f), [0.0, 0.5, 0.9], 30)
    if key == "rosenbrock":
        assert found.proven == {}
        return
    held = {name: np.isfinite(bound[..., 0]) for name, bound in found.proven.items()}
    limit = units[:, None] < 2 * (1 + np.array([[0.0, 0.5, 0.9]]))
    momentum = np.array([[0.0, 0.5, 0.9]]) > 0
    assert (held["quadratic"] == (limit & momentum)[..., None]).all()
    for name in ("convex", "strongly convex"):
        assert (held[name] == (limit & ~momentum)[..., None]).all()
    # A step rounds 8 times, at most, what is not larger than the start; k steps later that has
    # grown by k + 1 at most, powers of roots inside the unit circle. A root of a gap is a length.
    k = np.arange(31)
    off = 8 * ROUNDOFF * np.cumsum(k + 1) * np.sqrt(found.gaps[..., :1])
    for bound in found.proven.values():
        assert np.all((np.sqrt(found.gaps) <= np.sqrt(bound) + off) | np.isnan(bound))


def test_the_factor_of_the_heavy_ball_is_that_of_exact_arithmetic():
    beta, speeds = Fraction(1, 2), (Fraction(5, 2), Fraction(1, 8))
    exact = []
    for s in speeds:
        p = [Fraction(1), 1 - s]
        while len(p) < 12:
            p.append((1 + beta - s) * p[-1] - beta * p[-2])
        exact.append([float(x) ** 2 for x in p])
    got = heavy_ball_rate(*map(float, speeds), float(beta), range(12))
    # All factors are dyadic: the powers of a 2 x 2 matrix round after some steps only.
    np.testing.assert_allclose(got, np.max(exact, 0), rtol=12 * 8 * ROUNDOFF)


# -- in a browser ----------------------------------------------------------------------------------


class Browser:
    """A headless Chromium, driven through its WebDriver by the standard library."""

    def __init__(self, port, folder):
        self.root = f"http://127.0.0.1:{port}"
        options = (
            "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync "
            "disable-background-networking disable-component-update"
        ).split()
        wanted = {
            "goog:chromeOptions": {
                "args": [f"--{option}" for option in options] + [f"--user-data-dir={folder}"]
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = self.ask("/session", capabilities={"alwaysMatch": wanted})
        self.root += f"/session/{made['sessionId']}"

    def ask(self, path, method="POST", **body):
        request = urllib.request.Request(
            self.root + path,
            json.dumps(body).encode() if method == "POST" else None,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def run(self, script):
        return self.ask("/execute/sync", script=script, args=[])

    def open(self, path, fragment=""):
        self.ask("/url", url="about:blank")
        self.ask("/url", url=path.as_uri() + fragment)
        ready = """
            const [end, {dataset}] = [arguments[0], document.documentElement];
            const look = () => "ready" in dataset || "error" in dataset
              ? end(dataset.error ?? "") : setTimeout(look, 20);
            look();
        """
        return self.ask("/execute/async", script=ready, args=[])

    def press(self, name, keys):
        [element] = self.ask("/element", using="css selector", value=f"#{name}").values()
        self.ask(f"/element/{element}/value", text=keys)

    def emulate(self, command, **parameters):
        self.ask("/goog/cdp/execute", cmd=f"Emulation.{command}", params=parameters)

    def size(self, width):
        self.emulate(
            "setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )


@pytest.fixture(scope="module")
def browser():
    if not shutil.which("chromedriver"):
        pytest.skip("no Chromium with chromedriver is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        try:
            for line in driver.stdout:
                if port := re.search(r"started successfully on port (\d+)", line):
                    break
            one = Browser(port[1], folder)
            try:
                yield one
            finally:
                one.ask("", "DELETE")
        finally:
            driver.terminate()
            driver.communicate()


RIGHT, END = "\ue014", "\ue010"
DRAWN = """
const numbers = (at, name) => document.querySelector(at).getAttribute(name).match(/-?[\\d.]+/g);
return [numbers("#path .line", "points"), numbers("#path .axis", "d"),
        numbers("#gap .line", "points"), numbers("#gap .axis", "d")]
"""


def drawn(browser):
    """Return path and gaps as they are drawn: half windows from the middle, and decades."""
    path, axis, gap, frame = (np.array(part, float) for part in browser.run(DRAWN))
    left, top, bottom, right = axis
    path = path.reshape(-1, 2)
    half = (right - left) / 2
    seen = np.stack([path[:, 0] - left, bottom - path[:, 1]], 1) / half - 1
    decades = 6 - 14 * (gap.reshape(-1, 2)[:, 1] - frame[1]) / frame[2]
    return seen, decades, 1 / half, 14 / frame[2]


def test_it_loads_without_an_error(browser, printed):
    browser.size(1280)
    assert browser.open(printed[1]) == ""
    assert browser.ask("/se/log", type="browser") == []
    assert browser.run("return document.querySelectorAll('#maps > :not([hidden])').length") == 1


@by_objective
def test_a_key_on_a_slider_moves_the_path_to_what_descend_gives(browser, printed, key):
    browser.size(1280)
    browser.open(printed[1], f"#objective={key}&step=0.9&momentum=0.2&start=1")
    for presses, (unit, momentum, start) in (
        ({"step": RIGHT * 3}, (1.2, 0.2, 0)),
        ({"momentum": RIGHT * 2, "start": END}, (1.2, 0.4, 2)),
    ):
        for name, keys in presses.items():
            browser.press(name, keys)
        points, gaps = descended(key, unit, momentum, start)
        path, decades, pixel, part = drawn(browser)
        assert len(path) == len(points) == page.STEPS + 1
        # As stored, and as written: to a tenth of a pixel.
        assert np.abs(path - places(key, points)).max() <= 0.5001 / page.FINE + 0.051 * pixel
        seen = gaps > 1e-10
        # And from a first gap of three digits, at least 100.
        allowed = 0.51 / page.DECADE + 0.051 * part + 0.5 / 100 / np.log(10)
        assert np.abs(decades[seen] - np.log10(gaps[seen])).max() <= allowed
        said = browser.run("return document.getElementById('said').textContent")
        assert f"{page.STEPS} steps at {unit}/L" in said and f"momentum {momentum}" in said
        address = browser.run("return location.hash")
        assert address == f"#objective={key}&step={unit}&momentum={momentum}&start={start + 1}"
    assert browser.run("return document.documentElement.dataset.error") is None


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("objective=bowl&step=0.5&momentum=0", "falls from 5 to 3.94 × 10⁻³⁰. Proven: it is"),
        ("objective=bowl&step=1&momentum=0", "falls from 5 to 0. Proven: it is 0 at most"),
        ("objective=bowl&step=2&momentum=0", "stays at 5. At 2/L it need not fall any more."),
        ("objective=bowl&step=2.1&momentum=0", "rises from 5 to"),
        ("objective=regression&step=2.1&momentum=0", "Beyond 2/L it diverges."),
        ("objective=regression&step=2.4&momentum=0.1", "Beyond 2(1 + β)/L = 2.2/L it diverges."),
        ("objective=regression&step=2.1&momentum=0.1", "Proven: it is"),
        ("objective=rosenbrock&step=1&momentum=0", "Nothing is proven of it"),
    ],
)
def test_it_says_what_happens(browser, printed, where, words):
    assert browser.open(printed[1], f"#{where}") == ""
    assert words in browser.run("return document.getElementById('said').textContent")
    spoken = browser.run("return document.getElementById('step').getAttribute('aria-valuetext')")
    assert spoken.startswith(re.search(r"step=([\d.]+)", where)[1] + "/L = ")


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_all_of_it_can_be_seen(browser, printed, width):
    """Wherever the sliders are, nothing is cut off, and all that is drawn is a number."""
    browser.size(width)
    assert browser.open(printed[1]) == ""
    faults = browser.run(r"""
        const faults = new Set(), wide = document.documentElement;
        for (const {key} of page.objectives) {
          form.elements.objective.value = key;
          for (const step of [0, 9, 19, 24]) for (const momentum of [0, 1, 2, 9]) {
            [sliders.step.value, sliders.momentum.value] = [step, momentum];
            form.dispatchEvent(new Event("input"));
            const at = `${key} ${step} ${momentum}: `;
            const odd = document.querySelector("figure").innerHTML.match(/NaN|undefined|Infinity/);
            if (odd) faults.add(at + odd);
            if (wide.scrollWidth > wide.clientWidth) faults.add(at + "scrolls");
            for (const svg of document.querySelectorAll("svg")) {
              const box = svg.getBoundingClientRect();
              for (const text of svg.querySelectorAll("text")) {
                const {left, right, top, bottom} = text.getBoundingClientRect();
                if (left < box.left - 1 || right > box.right + 1 || top < box.top - 4
                    || bottom > box.bottom + 2) faults.add(at + text.textContent);
              }
            }
          }
        }
        return [...faults];
    """)
    assert faults == []


def test_a_start_on_the_map_can_be_chosen(browser, printed):
    browser.size(1280)
    browser.open(printed[1], "#objective=bowl&step=1&momentum=0&start=1")
    click = "document.querySelector('[data-start=\"2\"]').dispatchEvent(new MouseEvent('click', "
    browser.run(click + "{bubbles: true}))")
    assert browser.run("return location.hash").endswith("start=3")


def test_an_iterate_that_is_pointed_at_is_shown_in_both_pictures(browser, printed):
    browser.size(1280)
    browser.open(printed[1], "#objective=bowl&step=0.5&momentum=0&start=1")
    shown = browser.run("""
        const {left, top} = at("gap").getBoundingClientRect(), [x, y] = placed.gap[3];
        const place = {clientX: left + x + 1, clientY: top + y + 50};
        at("gap").dispatchEvent(new PointerEvent("pointermove", place));
        return ["map", "gap"].map((id) => {
          const ring = at(`${id}-iterate`).querySelector("circle");
          const [cx, cy] = placed[id][3].map((x) => x.toFixed(1));
          return [at(`${id}-iterate`).textContent, ring.getAttribute("cx") == cx,
                  ring.getAttribute("cy") == cy];
        });
    """)
    assert [[text.strip(), *same] for text, *same in shown] == [["k = 3", True, True]] * 2


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_light_or_dark_as_its_reader_is(browser, printed, theme):
    browser.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    browser.open(printed[1])
    color = browser.run("return getComputedStyle(document.body).backgroundColor")
    paper = THEMES[theme].paper
    assert color == f"rgb({', '.join(str(int(paper[i : i + 2], 16)) for i in (1, 3, 5))})"
