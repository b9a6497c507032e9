//! Folder: `bench/results/<machine>-<date>/`, its JSON files, its page, its picture.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::document::{Document, Headline};
use super::{Environment, page, svg};
use crate::workspace;

/// The page of a folder.
pub(crate) const PAGE: &str = "index.html";

/// The picture of a folder.
pub(crate) const PICTURE: &str = "headline.svg";

/// A folder of results.
#[derive(Debug)]
pub(crate) struct ResultsFolder {
    path: PathBuf,
}

impl ResultsFolder {
    /// The folder of a machine and day. It is made when something is added.
    pub(crate) fn of(environment: &Environment) -> Self {
        let name = format!("{}-{}", environment.machine, environment.date);
        Self { path: workspace::root().join("bench/results").join(name) }
    }

    /// A folder that is there.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a document, in place of an older one of the same command, and renews page and picture.
    ///
    /// # Errors
    /// The folder cannot be written, or another document in it cannot be read.
    pub(crate) fn add(&self, document: &Document) -> Result<()> {
        ensure!(
            !document.command.is_empty()
                && document.command.chars().all(|letter| letter.is_ascii_lowercase()),
            "{:?} does not name a file",
            document.command
        );
        fs::create_dir_all(&self.path).with_context(|| format!("making {}", self.path.display()))?;
        // Without line breaks: most of it are samples, one per line otherwise.
        let text = serde_json::to_string(document)? + "\n";
        self.write(&format!("{}.json", document.command), &text)?;
        self.render()
    }

    /// Makes page and picture from the documents that are there.
    ///
    /// # Errors
    /// There is no document, or one cannot be read, or the folder cannot be written.
    pub(crate) fn render(&self) -> Result<()> {
        let documents = self.documents()?;
        ensure!(!documents.is_empty(), "{} holds no results", self.path.display());
        self.write(PAGE, &page::page(&documents))?;
        if let Some(headline) = headline(&documents) {
            self.write(PICTURE, &svg::draw(&headline.figure))?;
        }
        Ok(())
    }

    /// All documents, by their commands' names.
    fn documents(&self) -> Result<Vec<Document>> {
        let names = fs::read_dir(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        let mut paths: Vec<PathBuf> = names.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no result", path.display()))
        };
        paths.iter().map(read).collect()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// The headline that becomes the picture.
pub(super) fn headline(documents: &[Document]) -> Option<&Headline> {
    documents.iter().filter_map(|document| document.headline.as_ref()).max_by_key(|headline| headline.rank)
}

#[cfg(test)]
mod tests {
    use super::super::document::{BarSeries, Bars, Figure, Plot, Value};
    use super::*;

    fn document(command: &str, rank: u32) -> Document {
        let values = vec![Some(Value::exact(1.0))];
        let bars = Bars {
            label: "ns".to_owned(),
            categories: vec!["one".to_owned()],
            series: vec![BarSeries { name: String::new(), values }],
            marks: Vec::new(),
        };
        let figure = Figure { title: format!("of {command}"), note: String::new(), plot: Plot::Bars(bars) };
        Document {
            command: command.to_owned(),
            command_line: format!("cargo xtask {command}"),
            environment: Environment::default(),
            headline: Some(Headline { rank, sentence: String::new(), figure }),
            sections: Vec::new(),
            raw: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_page_has_all_commands_of_the_folder_and_the_picture_is_of_the_highest_rank() {
        let path = std::env::temp_dir().join(format!("spanwire-report-{}", std::process::id()));
        let folder = ResultsFolder::at(&path);
        folder.add(&document("compare", 2)).unwrap();
        folder.add(&document("bench", 1)).unwrap();
        folder.add(&document("bench", 1)).unwrap();
        let page = fs::read_to_string(path.join(PAGE)).unwrap();
        let picture = fs::read_to_string(path.join(PICTURE)).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(page.matches("cargo xtask bench").count(), 1, "{page}");
        assert!(page.contains("cargo xtask compare"), "{page}");
        assert!(picture.contains("of compare") && !picture.contains("of bench"), "{picture}");
    }

    #[test]
    fn a_command_whose_name_is_no_file_name_is_refused() {
        let folder = ResultsFolder::at(Path::new("/nonexistent"));
        let fault = folder.add(&document("../bench", 1)).unwrap_err().to_string();
        assert_eq!(fault, "\"../bench\" does not name a file");
    }
}
