//! Page: one HTML file without anything from elsewhere: text, tables, and plots as SVG inside it.

use std::fmt::Write as _;

use super::document::{Document, Grid, Section};
use super::svg::{self, escaped};
use super::{Environment, folder};

/// Readable on a screen and on paper.
const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 60em; margin: 2em auto; padding: 0 1em }
h1, h2, h3 { line-height: 1.2 } h1 { font-size: 1.6em } h2 { border-top: 1px solid #ccc; margin-top: 2.5em; padding-top: 1em }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px } .wide { overflow-x: auto } .wide td:last-child { white-space: nowrap }
th, td { border-bottom: 1px solid #ddd; padding: .25em .7em; text-align: right; font-variant-numeric: tabular-nums; vertical-align: top }
th:first-child, td:first-child { text-align: left } table.facts td { text-align: left }
figure { margin: 1.5em 0 } svg { max-width: 100%; height: auto } code { background: #f2f2f2; padding: .1em .3em }
@media print { h2, h3 { break-after: avoid } figure, tr { break-inside: avoid } }";

/// The page of these documents.
pub(super) fn page(documents: &[Document]) -> String {
    let title = documents.first().map_or_else(String::new, |document| {
        let Environment { cpu, date, .. } = &document.environment;
        escaped(&format!("What spanwire costs: {cpu}, {date}"))
    });
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    if let Some(headline) = folder::headline(documents) {
        let _ = writeln!(html, "<p>{}</p>", escaped(&headline.sentence));
        figure(&mut html, &svg::draw(&headline.figure));
    }
    for document in documents {
        chapter(&mut html, document);
    }
    html.push_str("</body>\n</html>\n");
    html
}

/// One command's part.
fn chapter(html: &mut String, document: &Document) {
    let _ = writeln!(html, "<h2>{}</h2>", escaped(&document.command));
    let _ = writeln!(
        html,
        "<p>Measured by <code>{}</code>; all figures are in <a href=\"{name}.json\">{name}.json</a>.</p>",
        escaped(&document.command_line),
        name = escaped(&document.command)
    );
    document.sections.iter().for_each(|part| section(html, part));
    let _ = writeln!(html, "<h3>Measured on</h3>\n<table class=\"facts\">");
    for [name, fact] in document.environment.rows() {
        let _ = writeln!(html, "<tr><td>{}</td><td>{}</td></tr>", escaped(&name), escaped(&fact));
    }
    html.push_str("</table>\n");
}

fn section(html: &mut String, section: &Section) {
    let _ = writeln!(html, "<h3>{}</h3>", escaped(&section.title));
    for paragraph in &section.text {
        let _ = writeln!(html, "<p>{}</p>", escaped(paragraph));
    }
    section.tables.iter().for_each(|grid| table(html, grid));
    section.figures.iter().for_each(|plot| figure(html, &svg::draw(plot)));
}

fn figure(html: &mut String, svg: &str) {
    let _ = writeln!(html, "<figure>\n{svg}</figure>");
}

fn table(html: &mut String, grid: &Grid) {
    let cells = |cells: &[String], tag: &str| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
    };
    let _ = writeln!(html, "<div class=\"wide\"><table>\n<tr>{}</tr>", cells(&grid.columns, "th"));
    for row in &grid.rows {
        let _ = writeln!(html, "<tr>{}</tr>", cells(row, "td"));
    }
    html.push_str("</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_measurements_is_never_markup() {
        let grid = Grid { columns: vec!["a < b".to_owned()], rows: vec![vec!["<script>".to_owned()]] };
        let section = Section { title: "R&D".to_owned(), tables: vec![grid], ..Section::default() };
        let document = Document {
            command: "bench".to_owned(),
            command_line: "cargo xtask bench --case '<all>'".to_owned(),
            environment: Environment::default(),
            headline: None,
            sections: vec![section],
            raw: serde_json::Value::Null,
        };
        let html = page(&[document]);
        assert!(!html.contains("<script>") && !html.contains("<all>"), "{html}");
        assert!(html.contains("<th>a &lt; b</th>") && html.contains("<h3>R&amp;D</h3>"), "{html}");
    }
}
