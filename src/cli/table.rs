//! Plain tables for the terminal.

/// Rows of cells, the first row a heading. Columns after the first are aligned to the right.
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Table(vec![heading.map(str::to_owned).to_vec()])
    }

    /// [`Table::new`] with as many columns as there are.
    pub(super) fn of(heading: Vec<String>) -> Self {
        Table(vec![heading])
    }

    pub(super) fn row_of(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.to_vec());
    }

    pub(super) fn print(&self) {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).enumerate().map(|(c, (cell, &width))| match c {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            super::print_line(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}

/// A count with thousands set apart: `60,965,224`.
pub(super) fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(|g| String::from_utf8_lossy(g).into_owned()).collect();
    groups.join(",")
}

/// A count in three digits and a unit: `1.43 G`.
pub(super) fn short(number: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) => format!("{:.2} {name}", number / unit),
        None => format!("{number:.0}"),
    }
}

/// A size in bytes with its unit: `151.0 MB`.
pub(super) fn bytes(number: u64) -> String {
    let number = number as f64;
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| number >= *unit as f64) {
        Some((unit, name)) => format!("{:.1} {name}", number / *unit as f64),
        None => format!("{number} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(60_965_224), "60,965,224");
        assert_eq!(thousands(7), "7");
        assert_eq!(short(1.43e9), "1.43 G");
        assert_eq!(short(12.0), "12");
        assert_eq!(bytes(150_994_944), "144.0 MiB");
    }
}
