//! Numbers side by side in a terminal, with windows marked.

use crate::error::{Error, Result};

/// How a demonstration is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Whether to mark with the terminal's colours; else with brackets.
    pub colour: bool,
    /// Columns that no line goes beyond, 50 or more.
    pub width: usize,
}

/// What is special about a number in a grid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing.
    Plain,
    /// It is in the window.
    Window,
    /// It has just been computed.
    Result,
    /// It was added around the picture, or is not known yet.
    Faint,
}

/// Lines of text, with the columns that they take on the screen.
pub(super) struct Block {
    lines: Vec<String>,
    width: usize,
}

impl Style {
    /// Errors where the width is too small for any demonstration.
    pub(super) fn check(self) -> Result<()> {
        match self.width {
            50.. => Ok(()),
            width => Err(Error::setting("width", width, "give 50 columns or more")),
        }
    }

    /// A heading.
    pub(super) fn heading(self, text: &str) -> String {
        let text = self.wrap(text);
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text }
    }

    /// A number in its cell of `digits + 2` columns.
    fn cell(self, text: &str, digits: usize, mark: Mark) -> String {
        let (open, close) = match mark {
            Mark::Window if !self.colour => ('[', ']'),
            Mark::Result if !self.colour => ('<', '>'),
            _ => (' ', ' '),
        };
        let cell = format!("{open}{text:>digits$}{close}");
        let code = match mark {
            Mark::Window => "30;43",
            Mark::Result => "30;42",
            Mark::Faint => "2",
            Mark::Plain => return cell,
        };
        if self.colour { format!("\x1b[{code}m{cell}\x1b[0m") } else { cell }
    }

    /// A grid of texts under a title, `columns` a row.
    pub(super) fn grid(
        self,
        title: &str,
        texts: &[String],
        columns: usize,
        mark: impl Fn(usize, usize) -> Mark,
    ) -> Block {
        let digits = texts.iter().map(|t| t.chars().count()).max().unwrap_or(1);
        let width = (columns * (digits + 2)).max(title.chars().count());
        let missing = width - columns * (digits + 2);
        let mut lines = vec![format!("{title:<width$}")];
        for (y, row) in texts.chunks(columns.max(1)).enumerate() {
            let cells = row.iter().enumerate().map(|(x, t)| self.cell(t, digits, mark(y, x)));
            lines.push(cells.collect::<String>() + &" ".repeat(missing));
        }
        Block { lines, width }
    }

    /// Blocks side by side as far as they fit, the rest below.
    pub(super) fn beside(self, blocks: &[Block]) -> String {
        const GAP: usize = 2;
        let mut shelves: Vec<Vec<&Block>> = vec![];
        let mut taken = 0;
        for block in blocks {
            match shelves.last_mut() {
                Some(shelf) if taken + GAP + block.width <= self.width => {
                    shelf.push(block);
                    taken += GAP + block.width;
                }
                _ => {
                    shelves.push(vec![block]);
                    taken = block.width;
                }
            }
        }
        let mut lines = vec![];
        for shelf in shelves {
            let height = shelf.iter().map(|block| block.lines.len()).max().unwrap_or(0);
            for y in 0..height {
                let line = shelf.iter().map(|block| match block.lines.get(y) {
                    Some(line) => line.clone(),
                    None => " ".repeat(block.width),
                });
                lines.push(line.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned());
            }
        }
        lines.join("\n")
    }

    /// Text in lines that are not too long, those after the first indented by two.
    pub(super) fn wrap(self, text: &str) -> String {
        let mut lines: Vec<String> = vec![];
        for paragraph in text.lines() {
            let mut line = String::new();
            for word in paragraph.split(' ') {
                if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > self.width
                {
                    lines.push(std::mem::replace(&mut line, format!("  {word}")));
                } else {
                    if !line.is_empty() {
                        line.push(' ');
                    }
                    line.push_str(word);
                }
            }
            lines.push(line);
        }
        lines.join("\n")
    }
}

/// Whole numbers as texts. All numbers of the demonstrations are whole.
pub(super) fn texts(values: &[f32]) -> Vec<String> {
    values.iter().map(f32::to_string).collect()
}
