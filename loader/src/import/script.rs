//! Shell text to simple commands, each with the line it begins on.
//!
//! Knows quotes, comments, continued lines, the operators between commands, redirections and here-documents. Does not
//! run anything: what depends on running (substitution, control flow) is marked, for the caller to list.

use super::redirections::{Redirected, take_out};

/// One script.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file as findings name it.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// One simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// Line of the first word, from 1.
    pub(crate) line: usize,
    /// As written, blanks and continued lines joined.
    pub(crate) text: String,
    /// Its words without quotes and redirections; or why they cannot be had.
    pub(crate) words: Result<Vec<String>, &'static str>,
    /// Whether it is part of a pipeline, runs only when the command before it fails, or reads a here-document.
    pub(crate) depends: Option<&'static str>,
}

/// The simple commands of `text`, in order.
pub(crate) fn commands(text: &str) -> Vec<Command> {
    let mut scanner = Scanner::new(text);
    scanner.run();
    scanner.commands
}

struct Scanner<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    /// Characters of the command so far, and the line it began on.
    piece: String,
    piece_line: usize,
    quote: Option<char>,
    /// What stands between the command before and this one.
    joint: Joint,
    /// Here-documents that begin after this line: the place of the command that reads it, and its end word.
    here_documents: Vec<(usize, String)>,
    commands: Vec<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Sequence,
    Condition,
    Otherwise,
    Pipe,
}

/// Commands that are run for their exit status.
const TESTS: &[&str] = &["[", "[[", "test", "!", "grep", "which", "command", "type", "pgrep"];

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            rest: text.chars().peekable(),
            line: 1,
            piece: String::new(),
            piece_line: 1,
            quote: None,
            joint: Joint::Sequence,
            here_documents: Vec::new(),
            commands: Vec::new(),
        }
    }

    fn run(&mut self) {
        while let Some(c) = self.rest.next() {
            match self.quote {
                Some(quote) => self.quoted(c, quote),
                None => self.plain(c),
            }
        }
        self.end(Joint::Sequence);
    }

    fn quoted(&mut self, c: char, quote: char) {
        if c == '\\' && quote == '"' {
            self.escaped();
            return;
        }
        self.push(c);
        if c == quote {
            self.quote = None;
        }
    }

    fn plain(&mut self, c: char) {
        match c {
            '\\' => self.escaped(),
            '\'' | '"' => {
                self.push(c);
                self.quote = Some(c);
            }
            '#' if self.at_word_start() => while self.rest.next_if(|c| *c != '\n').is_some() {},
            '\n' => {
                self.end(Joint::Sequence);
                self.line += 1;
                self.skip_here_documents();
            }
            ';' => self.end(Joint::Sequence),
            '&' if self.piece.ends_with(['>', '<']) || self.rest.peek() == Some(&'>') => self.push(c),
            '|' if self.piece.ends_with('>') => self.push(c),
            '&' => {
                let next =
                    if self.rest.next_if_eq(&'&').is_some() { self.joint_of_and() } else { Joint::Sequence };
                self.end(next);
            }
            '|' => self.bar(),
            _ => self.push(c),
        }
    }

    /// `&&` after a test, or after a command that depends on something itself, makes the next one depend too.
    fn joint_of_and(&self) -> Joint {
        let first = self.piece.split_whitespace().next().unwrap_or_default();
        let is_test = TESTS.contains(&first);
        if is_test || self.joint != Joint::Sequence { Joint::Condition } else { Joint::Sequence }
    }

    /// A pipe makes both its sides depend on each other.
    fn bar(&mut self) {
        if self.rest.next_if_eq(&'|').is_some() {
            self.end(Joint::Otherwise);
            return;
        }
        let before = self.commands.len();
        self.end(Joint::Pipe);
        if let Some(command) = self.commands.get_mut(before) {
            command.depends = Some("is part of a pipeline");
        }
    }

    fn escaped(&mut self) {
        match self.rest.next() {
            Some('\n') => {
                self.line += 1;
                if self.quote.is_none() {
                    self.push(' ');
                }
            }
            Some(c) => {
                self.push('\\');
                self.push(c);
            }
            None => {}
        }
    }

    fn push(&mut self, c: char) {
        if self.piece.trim().is_empty() {
            self.piece_line = self.line;
        }
        if c == '\n' {
            self.line += 1;
        }
        self.piece.push(c);
    }

    fn at_word_start(&self) -> bool {
        self.piece.chars().next_back().is_none_or(char::is_whitespace)
    }

    /// Ends the command; `next` stands between it and the one after.
    fn end(&mut self, next: Joint) {
        let piece = std::mem::take(&mut self.piece);
        let depends = match self.joint {
            Joint::Sequence => None,
            Joint::Condition => Some("runs only under the condition before it"),
            Joint::Otherwise => Some("runs only when the command before it fails"),
            Joint::Pipe => Some("is part of a pipeline"),
        };
        self.joint = next;
        let text = piece.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return;
        }
        let Redirected { text: plain, here_documents } = take_out(&piece);
        let words = if self.quote.is_some() { None } else { shlex::split(&plain) };
        let depends = depends.or((!here_documents.is_empty()).then_some("reads a here-document"));
        self.here_documents.extend(here_documents.into_iter().map(|end| (self.commands.len(), end)));
        self.commands.push(Command {
            line: self.piece_line,
            text,
            words: words.ok_or("has a quote that is not closed"),
            depends,
        });
    }

    fn skip_here_documents(&mut self) {
        for (command, end) in std::mem::take(&mut self.here_documents) {
            if !self.skip_here_document(&end) {
                self.commands[command].words =
                    Err("reads a here-document that does not end: nothing behind this line is read");
            }
        }
    }

    /// Whether the line was found that ends the here-document.
    fn skip_here_document(&mut self, end: &str) -> bool {
        while self.rest.peek().is_some() {
            let line: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != '\n')).collect();
            let _ = self.rest.next();
            self.line += 1;
            if line.trim_start_matches('\t') == end {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        commands(text).into_iter().map(|command| (command.line, command.text)).collect()
    }

    fn words(text: &str) -> Vec<Vec<String>> {
        commands(text).into_iter().map(|command| command.words.unwrap()).collect()
    }

    #[test]
    fn commands_keep_the_line_they_begin_on() {
        let text = "#!/bin/sh\n\nip link \\\n  set eth0 up # now\nmodprobe a; modprobe b && modprobe c\n";
        let expected = [(3, "ip link set eth0 up"), (5, "modprobe a"), (5, "modprobe b"), (5, "modprobe c")];
        assert_eq!(texts(text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn quotes_hold_operators_and_comment_signs() {
        assert_eq!(words("echo 'a;b' \"c # d\" e#f"), [["echo", "a;b", "c # d", "e#f"]]);
        assert_eq!(texts("echo 'a\nb'\ntrue").last(), Some(&(3, "true".to_owned())));
    }

    #[test]
    fn redirections_are_no_words() {
        assert_eq!(words("ip link 2>/dev/null >> log 2>&1 &>x up"), [["ip", "link", "up"]]);
    }

    #[test]
    fn what_depends_on_running_is_marked() {
        let depends: Vec<_> = commands("a || b; c | d; e; [ x ] && f && g; h && i")
            .into_iter()
            .map(|c| c.depends.is_some())
            .collect();
        assert_eq!(depends, [false, true, true, true, false, false, true, true, false, false]);
    }

    #[test]
    fn a_here_document_is_no_command() {
        let found = commands("ip -batch - <<EOF\nlink add br0 type bridge\nEOF\ntrue\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].depends, Some("reads a here-document"));
        assert_eq!((found[1].line, found[1].text.as_str()), (4, "true"));
    }

    #[test]
    fn a_here_document_without_an_end_is_told_of() {
        let found = commands("cat <<EOF\nip link add br0 type bridge\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].words.as_ref().is_err_and(|reason| reason.contains("does not end")), "{found:?}");
        assert!(commands("cat <<EOF")[0].words.is_ok(), "nothing stands behind it");
    }

    #[test]
    fn what_only_looks_like_a_here_document_takes_no_command_away() {
        for first in ["read A <<< eth0", "echo \"<< starting >>\"", "echo $((1 << 2))", "a <in"] {
            let found = commands(&format!("{first}\ntrue\n"));
            assert_eq!(
                found.last().map(|command| (command.line, command.text.as_str())),
                Some((2, "true")),
                "{first}"
            );
        }
    }

    #[test]
    fn an_open_quote_is_reported() {
        assert_eq!(commands("echo 'a\nb")[0].words, Err("has a quote that is not closed"));
    }
}
