//! Redirections of a simple command: taken out of its words, here-documents remembered.

/// A simple command without its redirections.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Redirected {
    /// The command as written, quotes included, but for the redirections.
    pub(crate) text: String,
    /// End words of its here-documents, in order.
    pub(crate) here_documents: Vec<String>,
}

/// Operators, a longer one in front of its beginning. What stands in quotes or in `((...))` is none.
const OPERATORS: &[&str] = &["<<<", "<<-", "<<", "<>", "<&", "<", ">>", ">|", ">&", ">"];

/// What parts words in a shell; other blanks of Unicode are letters to it. Each is one byte long.
const BLANKS: &[char] = &[' ', '\t', '\n'];

/// Takes the redirections out of `piece`, the text of one simple command with its quotes closed.
pub(crate) fn take_out(piece: &str) -> Redirected {
    let mut found = Redirected::default();
    let mut rest = piece;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '\'' | '"' => quoted_bytes(rest, first),
            '(' if rest.starts_with("((") => rest.find("))").map_or(rest.len(), |end| end + 2),
            // Process substitution is a word, not a redirection.
            '<' | '>' if !rest[1..].starts_with('(') => {
                rest = redirection(rest, &mut found);
                continue;
            }
            other => other.len_utf8(),
        };
        found.text.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

/// Bytes of the quotation that `text` begins with, both quotes included.
fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return place + 1;
        }
        is_escaped = quote == '"' && c == '\\' && !is_escaped;
    }
    text.len()
}

/// Takes the redirection that `text` begins with out; what follows it.
fn redirection<'t>(text: &'t str, found: &mut Redirected) -> &'t str {
    let operator =
        OPERATORS.iter().find(|operator| text.starts_with(**operator)).map_or("", |operator| operator);
    // The descriptor in front (`2>`), or `&` for both outputs, is part of it.
    let word = found.text.rfind(BLANKS).map_or(0, |blank| blank + 1);
    if found.text[word..].chars().all(|c| c.is_ascii_digit() || c == '&') {
        found.text.truncate(word);
    }
    let behind = text[operator.len()..].trim_start_matches(BLANKS);
    let (target, rest) = behind.split_at(word_bytes(behind));
    if matches!(operator, "<<" | "<<-") {
        found.here_documents.push(shlex::split(target).unwrap_or_default().concat());
    }
    rest
}

/// Bytes of the word that `text` begins with.
fn word_bytes(text: &str) -> usize {
    let mut end = 0;
    while let Some(c) = text[end..].chars().next() {
        end += match c {
            '\'' | '"' => quoted_bytes(&text[end..], c),
            '\\' => 1 + text[end + 1..].chars().next().map_or(0, char::len_utf8),
            c if BLANKS.contains(&c) || matches!(c, '<' | '>') => break,
            c => c.len_utf8(),
        };
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(piece: &str, text: &str, here_documents: &[&str]) {
        let Redirected { text: found, here_documents: ends } = take_out(piece);
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((found.as_str(), ends), (text, here_documents.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn redirections_leave_with_their_targets() {
        expect("ip link 2>/dev/null >> log 2>&1 &>x < in <>both >| 'a b' up", "ip link up", &[]);
        expect("set eth10>log", "set eth10", &[]);
        expect("done<in", "done", &[]);
    }

    #[test]
    fn only_here_documents_have_an_end_word() {
        expect("cat <<EOF", "cat", &["EOF"]);
        expect("cat <<-'E F' << \\X >out", "cat", &["E F", "X"]);
        expect("read A <<< \"EOF\"", "read A", &[]);
        expect("read A <<<EOF", "read A", &[]);
    }

    #[test]
    fn operators_in_quotes_and_arithmetic_are_text() {
        for text in [
            "echo \"<< a >>\"",
            "echo '<<EOF'",
            "echo \\<\\<EOF",
            "N=$((1 << 2))",
            "a \"\\\" << b\"",
            "diff <(a) b",
        ] {
            expect(text, text, &[]);
        }
    }

    #[test]
    fn what_ends_early_is_no_panic() {
        for piece in [
            "<",
            "a <<",
            "a >&",
            "a ((",
            "\\",
            "a \\",
            "'",
            "\"\\",
            "<<\\",
            "ä<ö",
            ">\u{a0}x",
            "2>é'",
            "A=\u{a0}-->b",
        ] {
            let _ = take_out(piece);
        }
    }
}
