//! Goals: the numbers that the gateway has to hold against other systems, and whether it does.

use super::results::Results;
use super::uml::Ratios;
use crate::report::{Grid, Spread};

/// The size at which goals are held: cost per frame shows most with the smallest. Units: bytes without FCS.
const SMALL: u32 = 64;

/// One goal: at least so much.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Goal {
    what: &'static str,
    must: f64,
    aim: f64,
    /// `None`: it was not measured.
    measured: Option<Spread>,
    /// What else has to be known.
    note: String,
}

/// Every goal that concerns systems side by side.
pub(super) fn goals(results: &Results, uml: Option<&Ratios>) -> Vec<Goal> {
    let rate = |systems| results.rate_ratio(systems, SMALL);
    let efficiency = |other| results.efficiency_ratio(["spanwire-udp", other], SMALL);
    let goal = |what, [must, aim]: [f64; 2], measured, note: &str| Goal {
        what,
        must,
        aim,
        measured,
        note: note.to_owned(),
    };
    vec![
        goal("rate against a null AF_XDP forwarder", [0.90, 0.97], rate(["spanwire-udp", "null"]), ""),
        goal("frames per CPU-second against kernel VXLAN + bridge", [1.5, 2.0], efficiency("vxlan"), ""),
        l2tp(results, uml),
        goal("frames per CPU-second against OpenVPN TAP, AES", [5.0, 10.0], efficiency("openvpn-aes"), ""),
        goal(
            "frames per CPU-second against OpenVPN TAP, no cipher",
            [5.0, 10.0],
            efficiency("openvpn-plain"),
            "",
        ),
    ]
}

/// Against the kernel's own L2TPv3: measured, or by its ratio to VXLAN inside User-mode Linux.
fn l2tp(results: &Results, uml: Option<&Ratios>) -> Goal {
    let ratio = |other| results.efficiency_ratio(["spanwire-udp", other], SMALL);
    let what = "frames per CPU-second against kernel l2tp_eth + bridge";
    let (must, aim) = (1.0, 1.5);
    if let Some(measured) = ratio("l2tp-udp") {
        return Goal { what, must, aim, measured: Some(measured), note: String::new() };
    }
    let by_vxlan = uml.and_then(|uml| uml.l2tp_by_vxlan(SMALL)).zip(ratio("vxlan"));
    let measured = by_vxlan.map(|(l2tp, vxlan)| Spread {
        low: vxlan.low * l2tp,
        median: vxlan.median * l2tp,
        high: vxlan.high * l2tp,
    });
    let note = by_vxlan.map_or_else(
        || "this kernel has no l2tp_eth; --uml measures it in User-mode Linux".to_owned(),
        |(l2tp, _)| {
            format!(
                "by the ratio to VXLAN; CPU time of l2tp_eth by that of VXLAN in User-mode Linux: {l2tp:.2}"
            )
        },
    );
    Goal { what, must, aim, measured, note }
}

impl Goal {
    /// How it was met.
    fn met(&self) -> &'static str {
        match self.measured {
            None => "not measured",
            Some(measured) if measured.median >= self.aim => "aim met",
            Some(measured) if measured.median >= self.must => "must met",
            Some(_) => "NOT met",
        }
    }

    fn row(&self) -> Vec<String> {
        let measured = self.measured.map_or_else(
            || "-".to_owned(),
            |Spread { low, median, high }| format!("{median:.2} ({low:.2} to {high:.2})"),
        );
        let what = if self.note.is_empty() {
            self.what.to_owned()
        } else {
            format!("{} ({})", self.what, self.note)
        };
        vec![
            what,
            format!("≥ {:.2}", self.must),
            format!("≥ {:.2}", self.aim),
            measured,
            self.met().to_owned(),
        ]
    }
}

/// The goals as a table.
pub(super) fn table(goals: &[Goal]) -> Grid {
    Grid {
        columns: ["goal, spanwire over UDP, 64 B", "must", "aim", "measured", ""].map(str::to_owned).to_vec(),
        rows: goals.iter().map(Goal::row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{measured, results};
    use super::super::uml::tests::ratios;
    use super::*;

    fn met(goals: &[Goal], what: &str) -> &'static str {
        goals.iter().find(|goal| goal.what.contains(what)).unwrap().met()
    }

    #[test]
    fn goals_are_met_or_not_by_the_median() {
        let found = |spanwire_rate, vxlan_ns| {
            let results = results(vec![
                measured("null", &[(1000, 500.0)]),
                measured("spanwire-udp", &[(spanwire_rate, 1000.0)]),
                measured("vxlan", &[(700, vxlan_ns)]),
            ]);
            goals(&results, None)
        };
        let good = found(980, 1600.0);
        assert_eq!((met(&good, "null AF_XDP"), met(&good, "VXLAN")), ("aim met", "must met"));
        let bad = found(890, 1400.0);
        assert_eq!((met(&bad, "null AF_XDP"), met(&bad, "VXLAN")), ("NOT met", "NOT met"));
        assert_eq!((met(&bad, "l2tp_eth"), met(&bad, "OpenVPN")), ("not measured", "not measured"));
    }

    #[test]
    fn l2tp_is_taken_by_its_ratio_to_vxlan_where_only_that_is_known() {
        let results =
            results(vec![measured("spanwire-udp", &[(900, 1000.0)]), measured("vxlan", &[(700, 2000.0)])]);
        let uml = ratios(&[("vxlan", 4000), ("l2tp-udp", 3000)]);
        let goal = l2tp(&results, Some(&uml));
        assert!((goal.measured.unwrap().median - 1.5).abs() < 1e-9);
        assert_eq!(goal.met(), "aim met");
    }
}
