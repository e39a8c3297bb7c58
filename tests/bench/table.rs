//! A Markdown table, printed row by row.

/// The headings of the columns and their widths.
pub struct Table(pub &'static [(&'static str, usize)]);

impl Table {
    pub fn head(&self) {
        self.row(&self.0.iter().map(|&(head, _)| head.to_string()).collect::<Vec<_>>());
        self.row(&self.0.iter().map(|&(_, width)| "-".repeat(width)).collect::<Vec<_>>());
    }

    pub fn row(&self, cells: &[String]) {
        let padded = |(cell, &(_, width)): (&String, &(&str, usize))| format!("{cell:width$}");
        let cells: Vec<String> = cells.iter().zip(self.0).map(padded).collect();
        println!("| {} |", cells.join(" | "));
    }
}

/// Formats a value with at least three significant digits.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 1.0 => 3,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
