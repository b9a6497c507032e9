//! Plain columns: a header, one line per row, two spaces between, no lines drawn, nothing at the end of a line.

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// One column: its header, and where its text stands.
pub(super) type Column = (&'static str, Align);

/// Between two columns.
const GAP: &str = "  ";
/// What stands for no value, so that every line has as many words as the header.
pub(super) const NOTHING: &str = "-";

/// The text, or the sign for none.
pub(super) fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

/// Renders the header and the rows, each line ended by a line feed.
pub(super) fn render<const N: usize>(columns: &[Column; N], rows: &[[String; N]]) -> String {
    let mut widths = columns.map(|(header, _)| header.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header = columns.map(|(header, _)| header.to_owned());
    std::iter::once(&header).chain(rows).map(|row| line(columns, &widths, row)).collect()
}

/// One line of the table.
fn line<const N: usize>(columns: &[Column; N], widths: &[usize; N], row: &[String; N]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .zip(widths)
        .zip(row)
        .map(|(((_, align), width), cell)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        })
        .collect();
    cells.join(GAP).trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [("NAME", Align::Left), ("N", Align::Right), ("REASON", Align::Left)];

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let rows = [row(["a", "1000", "-"]), row(["longer", "1", "no route"])];
        assert_eq!(
            render(&COLUMNS, &rows),
            "NAME       N  REASON\n\
             a       1000  -\n\
             longer     1  no route\n"
        );
    }

    #[test]
    fn without_rows_there_is_only_the_header() {
        assert_eq!(render(&COLUMNS, &[]), "NAME  N  REASON\n");
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        let rows = [row(["\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}", "1", "x"])]; // five letters, ten bytes
        assert_eq!(render(&COLUMNS, &rows), "NAME   N  REASON\n\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}  1  x\n");
    }
}
