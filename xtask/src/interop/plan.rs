//! Which cases run at once, in how many goes, and with which option of ours broken.

use anyhow::{Result, ensure};

use super::breakage::Breakage;
use super::case::{Case, Encap, Gateway, Tunnel};
use super::matrix::Matrix;

/// One go: cases that stand at the same time, in gateways that are started for them.
#[derive(Debug)]
pub(super) struct Go<'m> {
    /// Its number, for names of files.
    pub(super) number: usize,
    /// The option that is broken, when one is.
    pub(super) breakage: Option<&'static Breakage>,
    pub(super) cases: Vec<&'m Case>,
}

/// The goes for the chosen cases; with breakages, for each of these the cases that rest on the option.
///
/// # Errors
/// No chosen case rests on an option.
pub(super) fn plan<'m>(
    matrix: &Matrix,
    cases: &[&'m Case],
    breakages: &[&'static Breakage],
) -> Result<Vec<Go<'m>>> {
    let mut parts: Vec<(Option<&'static Breakage>, Vec<&Case>)> = Vec::new();
    for breakage in breakages {
        let resting = breakage.cases(&matrix.tunnels, cases);
        ensure!(!resting.is_empty(), "no chosen case rests on {}", breakage.key);
        parts.extend(compatible(&matrix.tunnels, &resting).into_iter().map(|go| (Some(*breakage), go)));
    }
    if breakages.is_empty() {
        parts.extend(compatible(&matrix.tunnels, cases).into_iter().map(|go| (None, go)));
    }
    let go = |(number, (breakage, cases))| Go { number, breakage, cases };
    Ok(parts.into_iter().enumerate().map(go).collect())
}

/// The cases in as few parts as possible, the largest last. Not all can be at once: in the kernel, a session id over IP is
/// nobody else's in the whole namespace, over UDP too (linux v6.12 `net/l2tp/l2tp_core.c`, `l2tp_session_register`).
fn compatible<'m>(tunnels: &[Tunnel], cases: &[&'m Case]) -> Vec<Vec<&'m Case>> {
    let mut parts: Vec<Vec<&Case>> = Vec::new();
    for case in cases {
        let own = ids(tunnels, case);
        let collides = |other: &&Case| {
            ids(tunnels, other).iter().any(|(gateway, id, encap)| {
                let is_rival = |(at, its, their_encap): &(Gateway, u32, Encap)| {
                    (at, its) == (gateway, id) && [*encap, *their_encap].contains(&Encap::Ip)
                };
                own.iter().any(is_rival)
            })
        };
        match parts.iter_mut().find(|part| !part.iter().any(collides)) {
            Some(part) => part.push(case),
            None => parts.push(vec![case]),
        }
    }
    parts.reverse();
    parts
}

/// The session ids of a case, with the gateway whose they are and what they come over.
fn ids(tunnels: &[Tunnel], case: &Case) -> Vec<(Gateway, u32, Encap)> {
    let ends = case.wires.iter().flat_map(|wire| {
        [0, 1].map(|end| {
            let encap = tunnels[usize::from(wire.tunnels[end])].encap;
            (wire.gateways[end], wire.ends[end].session_id, encap)
        })
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::{breakage, matrix};

    #[test]
    fn the_ends_of_the_range_over_ip_and_over_udp_are_tried_in_different_goes() {
        let matrix = matrix::all();
        let cases: Vec<_> = matrix.cases.iter().collect();
        let goes = plan(&matrix, &cases, &[]).unwrap();
        let names = |go: &Go<'_>| go.cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
        assert_eq!(goes.len(), 2);
        assert_eq!(names(&goes[0]), ["ip4/ids-1-and-max", "ip6/ids-max-and-1"]);
        assert_eq!(goes[0].cases.len() + goes[1].cases.len(), cases.len());
    }

    #[test]
    fn a_broken_option_is_tried_with_the_cases_that_rest_on_it_only() {
        let matrix = matrix::all();
        let cases: Vec<_> = matrix.cases.iter().filter(|case| case.name.starts_with("udp4/cookie")).collect();
        let breakages = breakage::named("udp_csum,cookie").unwrap();
        let goes = plan(&matrix, &cases, &breakages).unwrap();
        assert_eq!(goes.iter().map(|go| go.cases.len()).collect::<Vec<_>>(), [50, 40]);
        assert!(plan(&matrix, &cases, &breakage::named("udp6_csum_rx").unwrap()).is_err());
    }
}
