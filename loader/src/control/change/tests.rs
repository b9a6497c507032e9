use crate::config::model::{Sequencing, SessionId, Sublayer};

use super::*;

const OLD: &str = "0123456789abcdef";
const NEW: &str = "fedcba9876543210";

fn session() -> Session {
    Session {
        name: "s1".to_owned(),
        rx_session_id: SessionId::new(1).unwrap(),
        tx_session_id: SessionId::new(2).unwrap(),
        rx_cookie: OLD.parse().unwrap(),
        rx_cookie_also: None,
        tx_cookie: OLD.parse().unwrap(),
        sublayer: Sublayer::Default,
        sequencing: Sequencing::default(),
    }
}

/// A request with these values for `cookie`, `peer_cookie` and `peer_cookie_also`.
fn request(values: [Option<&str>; 3]) -> SetRequest {
    let [cookie, peer_cookie, peer_cookie_also] = values.map(|value| value.map(str::to_owned));
    SetRequest { set: Settable::Session, name: "s1".to_owned(), cookie, peer_cookie, peer_cookie_also }
}

/// The session after the request, and what changed.
fn after(session: &Session, values: [Option<&str>; 3]) -> Result<(Session, Vec<&'static str>), String> {
    request(values).cookies()?.of(session)
}

#[test]
fn what_is_left_out_stays_and_what_changes_is_named() {
    let (one, keys) = after(&session(), [None, None, Some(NEW)]).unwrap();
    assert_eq!(one, Session { rx_cookie_also: Some(NEW.parse().unwrap()), ..session() });
    assert_eq!(keys, ["peer_cookie_also"]);
    let (two, keys) = after(&one, [Some(NEW), Some(NEW), Some("none")]).unwrap();
    let new = NEW.parse().unwrap();
    assert_eq!(two, Session { tx_cookie: new, rx_cookie: new, ..session() });
    assert_eq!(keys, ["cookie", "peer_cookie", "peer_cookie_also"]);
    assert_eq!(after(&two, [Some(NEW), None, Some("none")]).unwrap(), (two, vec![]), "it had these");
}

#[test]
fn digits_are_checked_as_in_the_file() {
    let refusal = |values| after(&session(), values).unwrap_err();
    assert_eq!(
        refusal([Some("xyz"), None, None]),
        "cookie contains 'x', which is no hexadecimal digit; give 8 or 16 hexadecimal digits"
    );
    assert_eq!(
        refusal([None, Some("abc"), None]),
        "peer_cookie has 3 hexadecimal digits, an odd number; give 8 or 16 hexadecimal digits"
    );
    assert_eq!(
        refusal([None, None, Some("")]),
        "peer_cookie_also has 0 hexadecimal digits; give 8 or 16 hexadecimal digits, or none"
    );
    assert_eq!(
        refusal([Some("none"), None, None]),
        "cookie contains 'n', which is no hexadecimal digit; give 8 or 16 hexadecimal digits"
    );
    assert_eq!(refusal([None; 3]), "nothing to set: give cookie, peer_cookie or peer_cookie_also");
}

#[test]
fn no_cookie_changes_its_length() {
    let refusal = |session: &Session, values| after(session, values).unwrap_err();
    for values in
        [[Some("01234567"), None, None], [None, Some("01234567"), None], [None, None, Some("01234567")]]
    {
        let text = refusal(&session(), values);
        assert!(text.contains("cannot be 4 bytes long while it runs, it has one of 8 bytes"), "{text}");
        assert!(text.starts_with("session s1: ") && text.ends_with("start both again"), "{text}");
    }
    let bare = Session { rx_cookie: Cookie::NONE, tx_cookie: Cookie::NONE, ..session() };
    for values in [[Some(NEW), None, None], [None, Some(NEW), None], [None, None, Some(NEW)]] {
        let text = refusal(&bare, values);
        assert!(text.contains("cannot be 8 bytes long while it runs, it has none"), "{text}");
    }
}

#[test]
fn a_request_is_written_without_what_stays_and_an_unknown_key_is_refused() {
    let text = r#"{"set":"session","name":"s1","peer_cookie_also":"none"}"#;
    assert_eq!(serde_json::to_string(&request([None, None, Some("none")])).unwrap(), text);
    assert_eq!(serde_json::from_str::<SetRequest>(text).unwrap(), request([None, None, Some("none")]));
    let refusal =
        serde_json::from_str::<SetRequest>(r#"{"set":"session","name":"s1","coookie":""}"#).unwrap_err();
    assert!(refusal.to_string().starts_with("unknown field `coookie`"), "{refusal}");
}
