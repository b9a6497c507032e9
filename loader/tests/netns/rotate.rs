//! Cookies are changed on a running pair, in the order that the manual gives, and no frame is lost.

use std::process::{Command, Output};

use super::sites::{SPANWIRE, Sites};

/// What each side sends: two cookies per side, of which one is in use.
const COOKIES: [[&str; 2]; 2] =
    [["a1a1a1a1a1a1a1a1", "a2a2a2a2a2a2a2a2"], ["b1b1b1b1b1b1b1b1", "b2b2b2b2b2b2b2b2"]];

/// Pings of the flood. It lasts for several change-overs.
const PINGS: usize = 30_000;

/// gw-a and gw-b with cookies both ways.
fn pair(name: &str) -> Sites {
    let mut sites = Sites::laid_out(name);
    for (position, (own, peers)) in [(0, (COOKIES[0], COOKIES[1])), (1, (COOKIES[1], COOKIES[0]))] {
        let lines = format!("cookie = \"{}\"\npeer_cookie = \"{}\"", own[0], peers[0]);
        let gateway = sites.start_with_session(position, &lines);
        sites.gateways.push(gateway);
    }
    sites.await_rows(0, "session", "gw-a to be up", |rows| rows.iter().all(|row| row["state"] == "up"));
    sites.await_rows(1, "session", "gw-b's end to be up", |rows| {
        rows.iter().any(|row| row["name"] == "l2tpeth0" && row["state"] == "up")
    });
    sites
}

fn set(sites: &Sites, position: usize, options: &[&str]) -> Output {
    Command::new(SPANWIRE)
        .args(["session", "set", "l2tpeth0"])
        .args(options)
        .arg("--control-socket")
        .arg(sites.file(position, "sock"))
        .output()
        .unwrap()
}

/// Sets cookies, and expects that they change.
fn change(sites: &Sites, position: usize, options: &[&str]) {
    let output = set(sites, position, options);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(" changed\nnot written to the configuration file"), "{text}");
}

/// Frames that came with the second cookie.
fn seconds(sites: &Sites, position: usize) -> u64 {
    sites.row(position, "session", "l2tpeth0")["peer_cookie_also_frames"].as_u64().unwrap()
}

/// One change-over of both directions to the cookies with number `to`.
fn change_over(sites: &Sites, to: usize) {
    let new = [COOKIES[0][to], COOKIES[1][to]];
    // What a receiver accepts, before the sender sends it.
    for position in [0, 1] {
        change(sites, position, &["--peer-cookie-also", new[1 - position]]);
    }
    let before = [seconds(sites, 0), seconds(sites, 1)];
    for position in [0, 1] {
        change(sites, position, &["--cookie", new[position]]);
    }
    // The flood may have ended meanwhile; one ping there and back goes the same way.
    sites.net.pcs[0].run(&["ping", "-c", "1", "-W", "5", "10.200.101.2"]).unwrap();
    // A frame with the new one has come: behind it there is none with the old one.
    for position in [0, 1] {
        sites.await_rows(position, "session", "frames with the new cookie", |_| {
            seconds(sites, position) > before[position]
        });
        change(sites, position, &["--peer-cookie", new[1 - position], "--peer-cookie-also", "none"]);
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn cookies_change_under_a_flood_without_loss() {
    let sites = pair("nsrotate");
    sites.expect_ping(0, 1);
    let count = PINGS.to_string();
    let flood = || sites.net.pcs[0].run(&["ping", "-f", "-q", "-c", &count, "-W", "10", "10.200.101.2"]);
    let (text, done) = std::thread::scope(|scope| {
        let flood = scope.spawn(flood);
        let mut done = 0;
        while !flood.is_finished() {
            change_over(&sites, 1 - done % 2);
            // The last one may have ended after the flood.
            done += usize::from(!flood.is_finished());
        }
        (flood.join().unwrap().unwrap(), done)
    });
    assert!(text.contains(&format!("{PINGS} received, 0% packet loss")), "{text}");
    assert!(done >= 2, "{done} change-overs during the flood");
    for position in [0, 1] {
        let row = sites.row(position, "session", "l2tpeth0");
        assert_eq!(row["drops"], serde_json::json!({}), "{row}");
        assert_eq!(row["peer_cookie_also"], false, "{row}");
    }
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_cookie_that_cannot_be_is_refused_and_the_file_stays_as_it_is() {
    let sites = pair("nsrefuse");
    let file = std::fs::read_to_string(sites.file(0, "toml")).unwrap();
    for (options, reason) in [
        (["--cookie", "a1a1"], "cookie has 4 hexadecimal digits"),
        (
            ["--peer-cookie", "b1b1b1b1"],
            "peer_cookie cannot be 4 bytes long while it runs, it has one of 8 bytes",
        ),
        (["--peer-cookie-also", "nothing"], "peer_cookie_also contains 'n', which is no hexadecimal digit"),
    ] {
        let output = set(&sites, 0, &options);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(reason), "{text}");
    }
    sites.expect_ping(0, 1);
    // The other end goes on sending the old one, which the second cookie does not take the place of.
    let output = set(&sites, 0, &["--peer-cookie", COOKIES[1][1], "--json"]);
    let changed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!({"name": "l2tpeth0", "changed": ["peer_cookie"], "persistent": false});
    assert_eq!(changed, expected);
    let lost = sites.net.pcs[0].run(&["ping", "-c", "2", "-i", "0.1", "-W", "1", "10.200.101.2"]);
    assert!(lost.is_err(), "gw-a accepts no packet with the old cookie");
    let row = sites.row(0, "session", "l2tpeth0");
    assert!(row["drops"]["cookie_mismatch"].as_u64() >= Some(2), "{row}");
    change(&sites, 0, &["--peer-cookie", COOKIES[1][0]]);
    sites.expect_ping(0, 1);
    assert_eq!(std::fs::read_to_string(sites.file(0, "toml")).unwrap(), file);
}
