//! A real browser, without a window.

use std::path::Path;
use std::process::Command;

/// What is looked for; `xtask/src/browser.rs` has the same list.
const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
];

/// What the page says of itself once it is loaded, as attributes of `body`.
const QUESTIONS: &str = "<script>addEventListener('load',()=>{\
    const of=(key,value)=>document.body.setAttribute('data-'+key,value);\
    const images=[...document.images];\
    of('images',images.length);\
    of('blank',images.filter(i=>!i.complete||!i.naturalWidth).length);\
    of('fetched',performance.getEntriesByType('resource').filter(e=>!e.name.startsWith('data:')).length);\
    of('overflow',document.documentElement.scrollWidth-document.documentElement.clientWidth);\
    of('rows',[...document.querySelectorAll('table')].map(t=>t.id+'='+t.tBodies[0].rows.length).join(' '));\
    of('curves',document.querySelectorAll('polyline').length);\
    of('mistakes',document.querySelectorAll('.mistake').length);\
    })</script>";

/// What a browser made of a page.
pub struct Seen {
    pub dom: String,
    /// What it wrote to the console.
    pub console: Vec<String>,
}

impl Seen {
    /// What the page said of itself.
    pub fn answer(&self, key: &str) -> &str {
        let start = format!(" data-{key}=\"");
        let body = self.dom.rfind("<body").unwrap_or_else(|| panic!("no body: {}", self.dom));
        let text = &self.dom[body..];
        let at = text.find(&start).unwrap_or_else(|| panic!("{key} is not answered"));
        let text = &text[at + start.len()..];
        &text[..text.find('"').unwrap()]
    }

    /// The rows of a table's body.
    pub fn rows(&self, table: &str) -> usize {
        let found = self.answer("rows").split(' ').filter_map(|table| table.split_once('='));
        let found = found.into_iter().find(|(id, _)| *id == table);
        found.unwrap_or_else(|| panic!("no table {table}")).1.parse().unwrap()
    }
}

/// Opens the page, in a window as narrow as there can be. Without a browser the test says so, loudly, and
/// has checked nothing; with `GABOR_REQUIRE_BROWSER=1` it fails.
pub fn open(page: &str, folder: &Path) -> Option<Seen> {
    let file = folder.join("opened.html");
    std::fs::write(&file, page.replace("</body>", &format!("{QUESTIONS}</body>"))).unwrap();
    for browser in BROWSERS {
        let mut command = Command::new(browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--enable-logging=stderr", "--window-size=500,900"]);
        command.arg(format!("--user-data-dir={}", folder.join("browser").display()));
        command.args(["--virtual-time-budget=5000", "--dump-dom"]);
        command.arg(format!("file://{}", file.display()));
        let Ok(output) = command.output() else { continue };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{browser}: {} {stderr}", output.status);
        let console = stderr.lines().filter(|line| line.contains(":CONSOLE"));
        let console = console.map(str::to_owned).collect();
        return Some(Seen { dom: String::from_utf8(output.stdout).unwrap(), console });
    }
    assert!(
        std::env::var_os("GABOR_REQUIRE_BROWSER").is_none_or(|v| v != "1"),
        "GABOR_REQUIRE_BROWSER=1 and there is no Chromium or Chrome"
    );
    eprintln!("\n*** NOT TESTED IN A BROWSER: there is no Chromium or Chrome ***\n");
    None
}
