//! Small files of the kernel's `/sys` and `/proc`, below a root that tests choose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file system as far as it is looked at.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The machine's own.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// One whose root is a folder.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where a path without leading slash lies.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text without white space around it; `None` when it cannot be read.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.read(path).ok()
    }

    /// A file's text without white space around it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.path(path))?.trim().to_owned())
    }

    /// A file's text as a number.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Names in a folder, sorted; none when it cannot be read.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A tree of a test's own, gone when dropped.
    pub(crate) struct Planted {
        pub(crate) tree: Tree,
    }

    impl Planted {
        /// With these files.
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("spanwire-tree-{}-{count}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            let planted = Self { tree: Tree::below(&root) };
            for (path, text) in files {
                planted.write(path, text);
            }
            planted
        }

        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.tree.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.tree.root);
        }
    }

    #[test]
    fn texts_come_without_their_line_feed_and_numbers_as_numbers() {
        let planted = Planted::new(&[("sys/a", "17"), ("sys/b", "two words")]);
        let tree = &planted.tree;
        assert_eq!(tree.number::<u32>("sys/a"), Some(17));
        assert_eq!(tree.text("sys/b").as_deref(), Some("two words"));
        assert_eq!((tree.number::<u32>("sys/b"), tree.text("sys/c")), (None, None));
        assert_eq!(tree.names("sys"), ["a", "b"]);
        assert_eq!(tree.names("proc"), [""; 0]);
    }
}
