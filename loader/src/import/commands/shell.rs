//! The shell around the commands: control flow, variables, housekeeping.

use crate::import::state::State;

/// Words that open a block of commands whose running depends on something.
const OPENERS: &[&str] = &["if", "for", "while", "until", "case", "select", "{", "function"];

/// Words that close one.
const CLOSERS: &[&str] = &["fi", "done", "esac", "}"];

/// Words between them that may stand in front of a command.
const BETWEEN: &[&str] = &["then", "else", "elif", "do"];

/// Programs without an effect on the network.
const HOUSEKEEPING: &[&str] = &[
    "set", ":", "true", "false", "echo", "printf", "exit", "sleep", "cd", "umask", "trap", "shopt", "wait",
    "[", "[[", "test",
];

/// Whether the program has no effect on the network.
pub(super) fn is_housekeeping(program: &str) -> bool {
    HOUSEKEEPING.contains(&program)
}

/// Whether the words open, close or stand in a block; what stands in one is noted, not translated.
pub(super) fn is_control_flow(words: &[String], state: &mut State) -> bool {
    let Some(first) = words.first().map(String::as_str) else { return true };
    let is_function = first.ends_with("()") || words.get(1).is_some_and(|word| word == "()");
    if OPENERS.contains(&first) || is_function || first.starts_with('(') {
        let closes = words.last().is_some_and(|last| last == "}" || last.ends_with(')')) && !is_function;
        state.depth += usize::from(!closes);
        state.untranslated("shell control flow is not followed: import the commands that it runs");
        return true;
    }
    if CLOSERS.contains(&first) {
        state.depth = state.depth.saturating_sub(1);
        return true;
    }
    if state.depth == 0 {
        return false;
    }
    if !(words.len() == 1 && BETWEEN.contains(&first)) {
        state.untranslated("stands inside shell control flow, which is not followed");
    }
    true
}

/// The words with variables replaced and assignments taken out. `None` when that is not possible (which is noted), or
/// when nothing is left.
pub(super) fn expanded(words: &[String], state: &mut State) -> Option<Vec<String>> {
    let mut command = Vec::new();
    for word in words {
        match expand(word, state) {
            Ok(word) => command.push(word),
            Err(reason) => {
                state.untranslated(reason);
                return None;
            }
        }
    }
    if command
        .first()
        .is_some_and(|word| matches!(word.as_str(), "export" | "readonly" | "local" | "declare"))
    {
        command.remove(0);
    }
    let count = command.iter().take_while(|word| assignment(word).is_some()).count();
    let rest = command.split_off(count);
    if rest.is_empty() {
        let values = command.iter().filter_map(|word| assignment(word));
        state.variables.extend(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    (!rest.is_empty()).then_some(rest)
}

/// `NAME=value`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, value))
}

fn expand(word: &str, state: &State) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = word;
    if word.contains('`') {
        return Err(String::from("uses the output of another command"));
    }
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if after.starts_with('(') {
            return Err(String::from("uses the output of another command"));
        }
        let (name, left) = variable(after);
        match state.variables.get(name) {
            Some(value) => text.push_str(value),
            None => return Err(format!("uses ${name}, which is known only when the script runs")),
        }
        rest = left;
    }
    text.push_str(rest);
    Ok(text)
}

/// The name after a `$`, and what follows it.
fn variable(after: &str) -> (&str, &str) {
    if let Some((name, left)) = after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        return (name, left);
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    after.split_at(end)
}
