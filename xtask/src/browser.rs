//! Sees to it that the tests find a browser to open pages in.

use crate::adapter::{install, privilege};
use crate::{Outcome, Task};

/// The programs that the tests look for; `tests/cli/browser.rs` has the same list.
const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
];

/// Succeeds when a browser is installed, installing Chromium if need be and if this user may.
pub fn ensure() -> Outcome {
    if report() {
        return Ok(());
    }
    println!("no Chromium or Chrome is installed");
    let Some(privilege) = privilege() else {
        return Err(HOW_TO_INSTALL.into());
    };
    install(privilege, "chromium").map_err(|problem| format!("{problem}; {HOW_TO_INSTALL}"))?;
    if report() { Ok(()) } else { Err(HOW_TO_INSTALL.into()) }
}

/// Names the browser; false when there is none.
fn report() -> bool {
    let found = BROWSERS.into_iter().find(|name| {
        // On Windows the program shows a window when it is asked for its version.
        let is_there = cfg!(windows) && std::path::Path::new(name).exists();
        is_there || (!cfg!(windows) && Task::new(name, &["--version"]).succeeds())
    });
    if let Some(name) = found {
        println!("{name}");
    }
    found.is_some()
}

const HOW_TO_INSTALL: &str = "no browser is installed and this program may not install one. Debian: \
    `sudo apt-get install --no-install-recommends chromium`; Fedora: `sudo dnf install chromium`; Arch: \
    `sudo pacman -S chromium`; elsewhere: Chromium or Google Chrome";
