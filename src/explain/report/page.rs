//! The page: HTML with the pictures inside.

use std::fmt::Write;

use super::Guess;
use crate::viz::html::{data_uri, escaped};

/// Classes that are listed.
const MOST_CLASSES: usize = 10;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;padding:0 1em;\
color:#222;background:#fff}h1{font-size:1.5em}h2{font-size:1.1em;margin:2em 0 .2em}p{margin:.2em 0 .6em}\
img{max-width:100%;image-rendering:pixelated}td{padding:.1em .8em .1em 0}\
.bar{display:inline-block;height:.8em;background:#bc3754}";

/// A page under construction.
pub(super) struct Page(String);

impl Page {
    /// With a title and the classes' probabilities.
    pub fn new(title: &str, model: &str, prediction: &[Guess]) -> Self {
        let title = escaped(&format!("{title}, seen by {model}"));
        let mut text = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<table>\n"
        );
        for guess in prediction.iter().take(MOST_CLASSES) {
            let percent = 100.0 * guess.probability;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "<tr><td>{}</td><td>{percent:.1} %</td><td><span class=\"bar\" \
                 style=\"width:{:.0}px\"></span></td></tr>",
                escaped(&guess.class),
                3.0 * percent
            );
        }
        text += "</table>\n";
        Page(text)
    }

    /// Adds a PNG file under a heading.
    pub fn picture(&mut self, heading: &str, text: &str, png: &[u8]) {
        let (heading, text) = (escaped(heading), escaped(text));
        let _ = writeln!(
            self.0,
            "<h2>{heading}</h2>\n<p>{text}</p>\n<img alt=\"{heading}\" \
             src=\"{}\">",
            data_uri(png)
        );
    }

    /// The whole page.
    pub fn end(mut self) -> String {
        self.0 += "</body></html>\n";
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_page() {
        let guess = Guess { class: "<b>\"&".into(), probability: 0.5 };
        let mut page = Page::new("a<script>", "m", &[guess]);
        page.picture("h>", "t", b"png");
        let text = page.end();
        assert!(!text.contains("<script>") && !text.contains("<b>"), "{text}");
        assert!(text.contains("&lt;b&gt;&quot;&amp;") && text.contains("base64,cG5n"), "{text}");
    }
}
