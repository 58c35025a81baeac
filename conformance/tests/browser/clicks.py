"""Opens the HTML report in a browser, clicks its filters, and checks what is shown. Called by ci/browser-test.

usage: clicks.py KMODLAB [SCREENSHOTS]    exit code 0: all checks pass; 1: a check fails; 125: no browser can be controlled
"""

import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import synthetic_report  # noqa: E402

BEHAVIOURS = synthetic_report.BEHAVIOURS
SHOWN_HOSTILE = synthetic_report.HOSTILE.replace("\u202e", "\\u{202e}").replace("\u2066", "\\u{2066}") \
    .replace("\u200b", "\\u{200b}").replace("\x1b", "\\u{1b}")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A browser controlled by chromedriver through the WebDriver protocol of the W3C."""

    def __init__(self, port, mobile=False):
        self.base = f"http://127.0.0.1:{port}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1000"]
        options = {"args": arguments}
        if mobile:
            options["mobileEmulation"] = {"deviceMetrics": {"width": 390, "height": 800, "pixelRatio": 2, "touch": True}}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self.session = self.call("POST", "/session", {"capabilities": wanted})["sessionId"]

    def call(self, method, path, body=None):
        """Sends a request and returns its value."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:300]}") from error

    def do(self, method, path, body=None):
        """Sends a request of the session."""
        return self.call(method, f"/session/{self.session}{path}", body)

    def open(self, url):
        """Opens a page. A blank page first, so that a changed fragment alone loads the page again."""
        self.do("POST", "/url", {"url": "about:blank"})
        self.do("POST", "/url", {"url": url})

    def script(self, text, *arguments):
        """Runs a function body and returns its result."""
        return self.do("POST", "/execute/sync", {"script": text, "args": list(arguments)})

    def find(self, selector):
        """Returns the first element."""
        return self.do("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        """Clicks an element, which must be visible and not covered."""
        self.do("POST", f"/element/{self.find(selector)}/click", {})

    def press(self, name, label):
        """Clicks the filter button with this label."""
        buttons = self.do("POST", "/elements", {"using": "css selector", "value": f"#{name} button"})
        for button in buttons:
            if self.do("GET", f"/element/{button[ELEMENT]}/text") == label:
                self.do("POST", f"/element/{button[ELEMENT]}/click", {})
                return
        raise AssertionError(f"no button {label!r} in {name}")

    def keys(self, text):
        """Types keys into the focused element."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.do("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        """Returns the visible text."""
        return self.do("GET", f"/element/{self.find(selector)}/text")

    def picture(self, path):
        """Saves a screenshot."""
        path.write_bytes(base64.b64decode(self.do("GET", "/screenshot")))


IDS = "return [...document.querySelectorAll('.matrix tbody tr:not(.section) .id button')].map((b) => b.textContent)"
COLUMNS = "return [...document.querySelectorAll('.matrix thead .subject')].length"
FRAGMENT = "return location.hash"
failed = []


def holds(statement, got, expected):
    """Checks that two values are equal."""
    if got == expected:
        print(f"ok    {statement}")
    else:
        failed.append(statement)
        print(f"FAIL  {statement}: expected {expected!r}, got {got!r}")


def count(browser):
    """Returns the number of behaviours shown."""
    return len(browser.script(IDS))


def whole(browser, page):
    """Checks that everything is shown, as text."""
    browser.open(page)
    holds("all behaviours are shown", count(browser), BEHAVIOURS)
    holds("there are fifteen columns", browser.script(COLUMNS), 15)
    holds("the count is shown", browser.text("#count"), "%d of %d behaviours" % (BEHAVIOURS, BEHAVIOURS))
    holds("hostile names do not become elements", browser.script("return document.querySelectorAll('img, iframe, object').length"), 0)
    holds("a hostile name is shown as text", SHOWN_HOSTILE in browser.script(IDS), True)
    holds("a skipped kernel is shown", browser.text("#skipped-kernels"), f"kernel 9.9 was skipped: no suite offers it {SHOWN_HOSTILE}")
    holds("nothing was fetched", browser.script("return performance.getEntriesByType('resource').length"), 0)
    holds("the page's policy stops a script that got in", browser.script(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = true'; document.body.append(s); return window.hacked ?? false"), False)


def filters(browser, page):
    """Clicks each filter."""
    browser.open(page)
    browser.press("group", "path")
    holds("a group is a seventh", count(browser), BEHAVIOURS // 7)
    browser.press("group", "loop")
    holds("a second group is added to the first", count(browser), 2 * BEHAVIOURS // 7)
    holds("the fragment contains both", browser.script(FRAGMENT), "#group=path&group=loop")
    browser.click("#reset")
    holds("everything is shown again", (count(browser), browser.script(FRAGMENT)), (BEHAVIOURS, ""))
    browser.press("verdict", "fail")
    holds("only behaviours that failed", browser.script(IDS), ["load.behaviour-3"])
    holds("the badge of the outcome is pressed, too", browser.text("#outcome button[aria-pressed=true]").split()[-1], "failed")
    browser.click("#outcome button.fail")
    holds("which shows everything again", count(browser), BEHAVIOURS)
    browser.click("#outcome button.fail")
    browser.press("verdict", "error")
    holds("or were inconclusive", browser.script(IDS), ["dep.behaviour-9", "load.behaviour-3"])
    browser.press("kernel", "b")
    holds("a verdict counts only on the kernels that are shown", browser.script(IDS), ["dep.behaviour-9"])
    browser.click("#reset")
    browser.press("subject", "kmod-34")
    browser.press("kernel", "6.12")
    holds("one column is left", browser.script(COLUMNS), 1)
    holds("which leaves room for the statements", browser.text(".matrix tbody tr:nth-child(2) .statement").startswith("statement 0:"), True)
    holds("a row about the kernel alone stays, whichever subject is shown", "load.behaviour-3" in browser.script(IDS), True)
    browser.press("subject", "kmod-34")
    browser.press("subject", SHOWN_HOSTILE)
    holds("a hostile subject can be chosen", browser.script(COLUMNS), 1)
    browser.click("#reset")
    for choice, ids in [("any", ["config.behaviour-5", "load.behaviour-3"]), ("kernels", ["load.behaviour-3"]), ("subjects", ["config.behaviour-5"])]:
        browser.click(f"#differences option[value={choice}]")
        holds(f"differences: {choice}", sorted(browser.script(IDS)), ids)
    browser.click("#reset")
    browser.click("#search")
    browser.keys("Statement AGAIN 131")
    holds("a search matches all words in any case", browser.script(IDS), ["config.behaviour-131"])
    browser.click("#reset")
    browser.click("#search")
    browser.keys("nothing has this")
    holds("a search without results is reported", browser.text("#matrix"), "No behaviour matches these filters.")


def detail(browser, page):
    """Checks the details of a cell, by mouse and by keyboard."""
    browser.open(page)
    browser.press("verdict", "fail")
    browser.click(".cell.fail")
    text = browser.text("#detail")
    for part in ("statement 3", "on 6.12 with ours", "release 6.12.117-cloud-amd64", "helpers started: expected 50, got 49", "Side by side"):
        holds(f"the details contain {part!r}", part in text, True)
    holds("the wrong fact is marked", browser.text("#detail tr.wrong"), "✗ helpers started 50 49")
    holds("side by side, only different facts are highlighted", browser.text("#side tr.differs"), "helpers started 50 49")
    holds("the console excerpt is text", browser.text("#detail pre").split("\n")[39], f"[    1.000039] line 39 {SHOWN_HOSTILE}")
    browser.open(page + "#id=config.behaviour-5")
    holds("cells with the same facts are summarized for all kernels", browser.text("#side thead").split("\n")[1::2],
          [f"all kernels: ours, {SHOWN_HOSTILE}", "all kernels: kmod-34"])
    browser.open(page + "#search=flaky")
    holds("flaky rows can be searched", browser.script(IDS), ["tool.behaviour-13"])
    browser.click(".cell")
    holds("each attempt is shown", "✗ fail attempt 1 of 2" in browser.text("#detail") and "✗ n: expected 1, got 2" in browser.text("#detail"), True)
    browser.open(page + "#verdict=fail")
    browser.click(".cell.fail")
    fragment = browser.script(FRAGMENT)
    browser.open(page + fragment)
    holds("the fragment restores the view", (browser.text("#detail h2"), browser.script(IDS)), ("load.behaviour-3", ["load.behaviour-3"]))
    browser.keys("\ue00c")
    holds("Escape closes the details", browser.script("return document.getElementById('detail').hidden"), True)
    holds("and the cell is focused again", browser.script("return document.activeElement.getAttribute('aria-label')"),
          "load.behaviour-3 on 6.12 with ours: fail")
    browser.keys("\ue012\ue007")
    holds("the left arrow and Enter open the next cell", "on 6.1 with ours" in browser.text("#detail"), True)
    browser.do("POST", "/back", {})
    holds("back closes it", browser.script("return document.getElementById('detail').hidden"), True)
    browser.keys("/")
    holds("a slash focuses the search", browser.script("return document.activeElement.id"), "search")
    browser.open(page + "#" + urllib.parse.urlencode({"id": synthetic_report.HOSTILE, "kernel": synthetic_report.HOSTILE}))
    holds("a hostile fragment matches nothing", browser.text("#matrix"), "No behaviour matches these filters.")


def phone(browser, page):
    """Checks a narrow screen."""
    browser.open(page)
    wider = "return document.documentElement.scrollWidth > innerWidth"
    holds("the page is not wider than a phone", browser.script(wider), False)
    browser.click("#filters summary")
    browser.press("group", "tool")
    browser.click("#filters summary")
    browser.click(".cell")
    holds("the details fill a phone", browser.script("const r = document.getElementById('detail').getBoundingClientRect(); return [r.left, r.width === innerWidth]"), [0, True])
    holds("the details do not make it wider", browser.script(wider), False)
    browser.click("#close")
    holds("and can be closed", browser.script("return document.getElementById('detail').hidden"), True)


def errors(browser):
    """Returns the errors on the console of the page, except for the script that was inserted on purpose."""
    entries = browser.do("POST", "/se/log", {"type": "browser"})
    return [entry["message"] for entry in entries if entry["level"] == "SEVERE" and "Content Security Policy" not in entry["message"]]


def main():
    """Runs all checks."""
    kmodlab, pictures = sys.argv[1], pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as directory:
        report, page = pathlib.Path(directory, "report.json"), pathlib.Path(directory, "report.html")
        report.write_text(json.dumps(synthetic_report.report()), encoding="utf-8")
        subprocess.run([kmodlab, "report", "html", report, "-o", page], check=True)
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        browsers = []
        try:
            port = next((line.split(" port ")[-1].strip(" .\n") for line in driver.stdout if " successfully on port " in line), None)
            if port is None:
                print("chromedriver did not start")
                return 125
            wide, narrow = Browser(port), Browser(port, mobile=True)
            browsers = [wide, narrow]
            for step, browser in [(whole, wide), (filters, wide), (detail, wide), (phone, narrow)]:
                try:
                    step(browser, page.as_uri())
                except AssertionError as error:
                    failed.append(step.__name__)
                    print(f"FAIL  {step.__name__}: {error}")
                if pictures is not None:
                    browser.picture(pictures / f"{step.__name__}.png")
            for browser in browsers:
                holds("the page has no errors", errors(browser), [])
        finally:
            for browser in browsers:
                browser.do("DELETE", "")
            driver.terminate()
            driver.wait()
    print(f"{len(failed)} checks failed" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
