//! `session set`: changes a running gateway, and says that its file is as it was.

use super::args::SetArgs;
use super::{output, show};
use crate::control::api::SessionChanged;
use crate::control::change::{SetRequest, Settable};

/// `session set`.
pub(super) fn session(args: &SetArgs) -> anyhow::Result<()> {
    let request = SetRequest {
        set: Settable::Session,
        name: args.name.clone(),
        cookie: args.cookie.clone(),
        peer_cookie: args.peer_cookie.clone(),
        peer_cookie_also: args.peer_cookie_also.clone(),
    };
    let changed = show::connect(&args.ask)?.set(&request)?;
    if args.ask.json { output::json(&changed) } else { output::text(&text(&changed)) }
}

/// The answer for people. Cookies are not repeated.
fn text(changed: &SessionChanged) -> String {
    let name = &changed.name;
    if changed.changed.is_empty() {
        return format!("session {name}: nothing changed, it had these cookies\n");
    }
    let keys = changed.changed.join(", ");
    format!(
        "session {name}: {keys} changed\n\
         not written to the configuration file: put it there too, or the next start has the cookies of before\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_names_what_changed_and_says_that_the_file_did_not() {
        let changed = |keys: &[&str]| SessionChanged {
            name: "s1".to_owned(),
            changed: keys.iter().map(|key| (*key).to_owned()).collect(),
            persistent: false,
        };
        assert_eq!(
            text(&changed(&["cookie", "peer_cookie"])),
            "session s1: cookie, peer_cookie changed\n\
             not written to the configuration file: put it there too, or the next start has the cookies of before\n"
        );
        assert_eq!(text(&changed(&[])), "session s1: nothing changed, it had these cookies\n");
    }
}
