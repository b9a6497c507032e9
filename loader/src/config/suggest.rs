//! "Did you mean": the known word nearest to an unknown one.

/// The candidate that `word` was most likely meant to be; `None` when none is near.
///
/// Near: at most one third of the word's characters, and at least one, inserted, removed, replaced or swapped.
pub(crate) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_ascii_lowercase();
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "X"?` when a candidate is near, else all of them: `LEAD a, b, c`.
pub(crate) fn remedy(word: &str, lead: &str, candidates: &[&str]) -> String {
    match closest(word, candidates.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if candidates.is_empty() => format!("{lead} none"),
        None => format!("{lead} {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_letter_finds_the_word() {
        assert_eq!(closest("lnk", ["addr", "link", "l2tp"]), Some("link"));
        assert_eq!(closest("sesion_id", ["session_id", "peer_session_id"]), Some("session_id"));
        assert_eq!(closest("ROLE", ["role"]), Some("role"));
    }

    #[test]
    fn a_word_far_from_all_finds_none() {
        assert_eq!(closest("colour", ["interface", "role"]), None);
        assert_eq!(closest("x", ["a"]), None, "a whole replacement is no typo");
        assert_eq!(
            remedy("colour", "keys here are", &["interface", "role"]),
            "keys here are interface, role"
        );
    }
}
