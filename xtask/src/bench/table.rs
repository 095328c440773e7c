//! Tables of text.

use std::fmt;

/// The space between two columns.
const GAP: usize = 2;

/// Rows of as many cells each. The first column is written from its left, the others to their
/// right, and each is as wide as it has to be.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these titles over its columns.
    pub(super) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line += &match column {
                    0 => format!("{cell:width$}"),
                    _ => format!("{:GAP$}{cell:>width$}", ""),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_below_each_other() {
        let mut table = Table::new(["", "median", "ms"]);
        table.add(["sh", "1.0", "2"].map(str::to_owned));
        table.add(["python3", "100.0", "10000"].map(str::to_owned));
        assert_eq!(
            table.to_string(),
            "         median     ms\n\
             sh          1.0      2\n\
             python3   100.0  10000\n"
        );
    }
}
