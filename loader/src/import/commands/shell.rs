//! The shell around the commands: control flow, variables, housekeeping.

use crate::import::notes::NoteKind;
use crate::import::state::State;

/// Words that open a block of commands whose running depends on something.
const OPENERS: &[&str] = &["if", "for", "while", "until", "case", "select", "{"];

/// Words that close one.
const CLOSERS: &[&str] = &["fi", "done", "esac", "}", ")"];

/// Words between them that may stand in front of a command.
const BETWEEN: &[&str] = &["then", "else", "elif", "do"];

/// Words that may stand in front of an assignment.
const DECLARERS: &[&str] = &["export", "readonly", "local", "declare"];

/// Commands followed by the names of variables that they set.
const NAME_SETTERS: &[&str] = &["for", "select", "read", "unset"];

/// Programs without an effect on the network.
const HOUSEKEEPING: &[&str] = &[
    "set", ":", "true", "false", "echo", "printf", "exit", "sleep", "cd", "umask", "trap", "shopt", "wait",
    "[", "[[", "test", "read", "unset",
];

/// Whether the program has no effect on the network.
pub(super) fn is_housekeeping(program: &str) -> bool {
    HOUSEKEEPING.contains(&program)
}

/// What a program of the script does to the network: nothing, unless it writes into the kernel's files.
pub(super) fn note_housekeeping(words: &[String], state: &mut State) {
    if words.first().is_some_and(|first| NAME_SETTERS.contains(&first.as_str())) {
        forget_changed(words, state);
    }
    let text = &state.current.text;
    if ["/proc/sys/", "/sys/"].iter().any(|place| text.contains(place)) {
        state.untranslated("a setting of the kernel stays one: keep the command where it is needed");
    } else {
        state.note(NoteKind::NotNeeded, "part of the script, not of the set-up");
    }
}

/// Whether the words open, close or stand in a block; what stands in one is noted, not translated.
pub(super) fn is_control_flow(words: &[String], state: &mut State) -> bool {
    let Some(first) = words.first().map(String::as_str) else {
        note_housekeeping(words, state);
        return true;
    };
    if let Some(is_open) = opens(first, words) {
        state.depth += usize::from(is_open);
        state.untranslated("shell control flow is not followed: import the commands that it runs");
        return true;
    }
    if CLOSERS.contains(&first) {
        if state.depth == 0 {
            state.untranslated(format!("{first:?} closes nothing that was opened"));
        }
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

/// For the first command of a block: whether the block goes on behind it.
fn opens(first: &str, words: &[String]) -> Option<bool> {
    let names_function = first.ends_with("()")
        || first.ends_with("(){")
        || words.get(1).is_some_and(|word| word.starts_with("()"))
        || first == "function";
    if names_function {
        // The brace of the body may stand on a line of its own, as a command of its own.
        return Some(words.iter().any(|word| word.ends_with('{')));
    }
    let is_block = OPENERS.contains(&first) || first.starts_with('(');
    is_block.then(|| !words.last().is_some_and(|last| last == "}" || last.ends_with(')')))
}

/// For a command that is not followed, or sets variables by input: what it may change is no longer known.
pub(super) fn forget_changed(words: &[String], state: &mut State) {
    let is_any_of = |word: &String, lists: &[&[&str]]| lists.iter().any(|list| list.contains(&word.as_str()));
    if words.first().is_some_and(|first| is_any_of(first, &[NAME_SETTERS])) {
        return words.iter().for_each(|word| state.forget(word));
    }
    let behind = words.iter().skip_while(|word| is_any_of(word, &[OPENERS, BETWEEN, DECLARERS]));
    for (name, _) in behind.map_while(|word| assignment(word)) {
        state.forget(name);
    }
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
                forget_changed(words, state);
                return None;
            }
        }
    }
    if command.first().is_some_and(|word| DECLARERS.contains(&word.as_str())) {
        command.remove(0);
    }
    let count = command.iter().take_while(|word| assignment(word).is_some()).count();
    let rest = command.split_off(count);
    if rest.is_empty() {
        if command.is_empty() {
            note_housekeeping(words, state);
        }
        for (name, value) in command.iter().filter_map(|word| assignment(word)) {
            state.assign(name, value);
        }
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

fn expand(word: &str, state: &mut State) -> Result<String, String> {
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
        match state.variables.get_mut(name) {
            Some(variable) => {
                variable.is_used = true;
                text.push_str(&variable.value);
            }
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
