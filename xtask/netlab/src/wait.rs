//! Waiting for a condition instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks at a condition.
const PERIOD: Duration = Duration::from_millis(50);

/// Looks until `probe` yields a value, at most for `deadline`.
///
/// `probe` returns `Err(state)` while the condition does not hold; the last state goes into the failure's text.
/// `what` completes "waited 5.0 s for ...".
///
/// # Errors
/// The deadline passed.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(state) if start.elapsed() >= deadline => {
                bail!("waited {:.1} s for {what}; last seen: {state}", start.elapsed().as_secs_f64());
            }
            Err(_) => thread::sleep(PERIOD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_the_first_success_is_returned() {
        let mut looks = 0;
        let probe = || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err("too early".to_owned()) }
        };
        assert_eq!(wait_until("the third look", Duration::from_secs(5), probe).unwrap(), 3);
    }

    #[test]
    fn a_passed_deadline_tells_the_last_state() {
        let fault = wait_until::<()>("rain", Duration::ZERO, || Err("sunshine".to_owned())).unwrap_err();
        assert!(fault.to_string().ends_with("for rain; last seen: sunshine"), "{fault}");
    }
}
