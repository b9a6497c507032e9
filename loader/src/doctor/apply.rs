//! Makes changes, remembers how things were, and puts them back.

use std::fmt;
use std::io;

use super::change::{Change, Setting, Value};

/// Changes that were made, to be undone.
#[derive(Debug, Default)]
pub struct Applied {
    made: Vec<Made>,
}

/// One change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The setting.
    pub setting: Setting,
    /// What it was.
    pub before: Value,
    /// What it became: what was asked for, as far as the kernel followed.
    pub now: Value,
}

/// What became of a change, or of its undoing.
#[derive(Debug)]
pub enum Outcome {
    /// It was made.
    Made(Made),
    /// It was not needed: the setting is like that.
    Needless(Setting),
    /// It was not made.
    Refused(Change, io::Error),
    /// It was put back.
    Undone(Made),
    /// Somebody changed it meanwhile, to this: it was let alone.
    Overtaken(Made, Value),
    /// It could not be put back.
    Left(Made, io::Error),
}

impl Applied {
    /// Makes a change.
    pub fn make(&mut self, change: &Change) -> Outcome {
        match self.try_make(change) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Refused(change.clone(), error),
        }
    }

    fn try_make(&mut self, Change { setting, to }: &Change) -> io::Result<Outcome> {
        let before = setting.read()?;
        if before == *to {
            return Ok(Outcome::Needless(setting.clone()));
        }
        setting.write(to)?;
        // When it cannot be read any more, what was asked for is the best guess at what it is.
        let now = setting.read().unwrap_or_else(|_| to.clone());
        if now == before {
            return Err(io::Error::other("the kernel took it, and changed nothing"));
        }
        let made = Made { setting: setting.clone(), before, now };
        self.made.push(made.clone());
        Ok(Outcome::Made(made))
    }

    /// Whether there is nothing to undo.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// Undoes everything, the last change first; what became of each.
    pub fn undo(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.made).into_iter().rev().map(undo).collect()
    }
}

impl Drop for Applied {
    /// For ways out that nobody thought of; whoever wants to know calls [`Applied::undo`].
    fn drop(&mut self) {
        for outcome in self.undo() {
            eprintln!("{outcome}");
        }
    }
}

fn undo(made: Made) -> Outcome {
    match try_undo(&made) {
        Ok(None) => Outcome::Undone(made),
        Ok(Some(other)) => Outcome::Overtaken(made, other),
        Err(error) => Outcome::Left(made, error),
    }
}

/// Puts a setting back; or the value that somebody else gave it.
fn try_undo(Made { setting, before, now }: &Made) -> io::Result<Option<Value>> {
    let present = setting.read()?;
    if present == *before {
        return Ok(None);
    }
    if present != *now {
        return Ok(Some(present));
    }
    setting.write(before)?;
    let present = setting.read()?;
    if present == *before { Ok(None) } else { Err(io::Error::other(format!("it is {present} now"))) }
}

impl Outcome {
    /// Whether a change was refused, or something is left that should not be.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Refused(..) | Self::Overtaken(..) | Self::Left(..))
    }
}

impl fmt::Display for Outcome {
    /// One line, with the command that undoes what is left by hand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_hand = |made: &Made| made.setting.command(&made.before);
        match self {
            Self::Made(made) => {
                let Made { setting, before, now } = made;
                write!(f, "changed {setting}: {before} -> {now} (undone by `{}`)", by_hand(made))
            }
            Self::Needless(setting) => write!(f, "{setting} needs no change"),
            Self::Refused(change, error) => {
                write!(f, "not changed, {}: {error} (`{}`)", change.setting, change.command())
            }
            Self::Undone(Made { setting, before, now }) => write!(f, "undone {setting}: {now} -> {before}"),
            Self::Overtaken(made, other) => {
                let Made { setting, before, now } = made;
                write!(
                    f,
                    "NOT undone, {setting}: was {before}, set to {now} here, and is {other} now: somebody else changed it; \
                     by hand: `{}`",
                    by_hand(made)
                )
            }
            Self::Left(made, error) => {
                let Made { setting, before, .. } = made;
                write!(f, "NOT undone, {setting}: was {before}: {error}; by hand: `{}`", by_hand(made))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::Planted;
    use super::*;

    fn change(planted: &Planted, path: &str, to: &str) -> Change {
        Change::of_file(planted.tree.path(path), &to)
    }

    fn texts(planted: &Planted) -> [String; 2] {
        ["a", "b"].map(|path| planted.tree.text(path).unwrap())
    }

    #[test]
    fn changes_are_made_and_undone_the_last_first() {
        let planted = Planted::new(&[("a", "1"), ("b", "2")]);
        let mut applied = Applied::default();
        assert!(matches!(applied.make(&change(&planted, "a", "10")), Outcome::Made(_)));
        assert!(matches!(applied.make(&change(&planted, "b", "20")), Outcome::Made(_)));
        assert_eq!(texts(&planted), ["10", "20"]);
        let outcomes: Vec<_> = applied.undo().iter().map(ToString::to_string).collect();
        assert_eq!(texts(&planted), ["1", "2"]);
        let path = |path| planted.tree.path(path).display().to_string();
        let expected = [format!("undone {}: 20 -> 2", path("b")), format!("undone {}: 10 -> 1", path("a"))];
        assert_eq!(outcomes, expected);
        assert!(applied.undo().is_empty(), "once");
    }

    #[test]
    fn a_setting_changed_twice_is_what_it_was_at_first() {
        let planted = Planted::new(&[("a", "1"), ("b", "2")]);
        let mut applied = Applied::default();
        for to in ["10", "11"] {
            applied.make(&change(&planted, "a", to));
        }
        assert!(applied.undo().iter().all(|outcome| !outcome.is_failure()));
        assert_eq!(texts(&planted), ["1", "2"]);
    }

    #[test]
    fn what_is_as_wanted_is_neither_changed_nor_undone() {
        let planted = Planted::new(&[("a", "1"), ("b", "2")]);
        let mut applied = Applied::default();
        assert!(matches!(applied.make(&change(&planted, "a", "1")), Outcome::Needless(_)));
        planted.write("a", "5");
        assert!(applied.undo().is_empty());
    }

    #[test]
    fn what_somebody_else_changed_meanwhile_is_let_alone_and_named() {
        let planted = Planted::new(&[("a", "1"), ("b", "2")]);
        let mut applied = Applied::default();
        applied.make(&change(&planted, "a", "10"));
        planted.write("a", "11");
        let [outcome] = applied.undo().try_into().unwrap();
        let path = planted.tree.path("a").display().to_string();
        assert!(outcome.is_failure());
        assert_eq!(
            outcome.to_string(),
            format!(
                "NOT undone, {path}: was 1, set to 10 here, and is 11 now: somebody else changed it; by hand: `echo 1 > {path}`"
            )
        );
        assert_eq!(texts(&planted), ["11", "2"]);
    }

    #[test]
    fn what_cannot_be_undone_is_named_with_its_command() {
        let planted = Planted::new(&[("a", "1"), ("b", "2")]);
        let mut applied = Applied::default();
        applied.make(&change(&planted, "a", "10"));
        let path = planted.tree.path("a");
        std::fs::remove_file(&path).unwrap();
        let [outcome] = applied.undo().try_into().unwrap();
        let text = outcome.to_string();
        assert!(outcome.is_failure() && text.starts_with("NOT undone"), "{text}");
        assert!(text.ends_with(&format!("by hand: `echo 1 > {}`", path.display())), "{text}");
    }

    #[test]
    fn a_change_that_is_refused_is_not_undone() {
        let planted = Planted::new(&[]);
        let mut applied = Applied::default();
        let outcome = applied.make(&change(&planted, "missing", "1"));
        assert!(matches!(outcome, Outcome::Refused(..)) && outcome.is_failure());
        assert!(applied.undo().is_empty());
    }

    #[test]
    fn everything_is_undone_when_it_is_dropped() {
        let planted = Planted::new(&[("a", "1"), ("b", "2")]);
        let mut applied = Applied::default();
        applied.make(&change(&planted, "a", "10"));
        drop(applied);
        assert_eq!(texts(&planted), ["1", "2"]);
    }
}
