//! The committed reference page is the one that the code generates.

use std::path::PathBuf;

use loader::config::{reference::REFERENCE_PAGE, reference_markdown};

/// To renew the page: `SPANWIRE_RENEW=1 cargo test -p spanwire --test config_reference`.
#[test]
fn the_reference_page_is_up_to_date() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(REFERENCE_PAGE);
    if std::env::var_os("SPANWIRE_RENEW").is_some() {
        std::fs::write(&page, reference_markdown()).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&page).expect("the page is committed");
    assert!(
        committed == reference_markdown(),
        "{REFERENCE_PAGE} differs from the code: renew it with SPANWIRE_RENEW=1 and look at the difference"
    );
}
