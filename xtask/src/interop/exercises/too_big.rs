//! `fragmentation = "drop"`: the station behind us sends a packet that does not fit and that nobody may cut up, is told what fits,
//! and believes it.

use anyhow::Result;

use super::{DEADLINE, Stage, demand, station};
use crate::interop::case::{Case, Gateway};
use crate::interop::pings::Pings;

impl Stage<'_> {
    pub(super) fn too_big(&mut self, case: &Case, pings: &mut Pings) -> Result<()> {
        // The neighbour is known afterwards, and nothing is in the way of what fits.
        self.ping(case, Gateway::First, "-c 1 -b 1000", 1, pings)?;
        let mut lost = Pings::default();
        let received = self.try_ping(case, Gateway::First, "-M -c 1 -b 1472", &mut lost)?;
        demand(pings, received == 0, || "a packet arrived that was to be dropped".to_owned());
        let to = station(case, Gateway::Kernel);
        let route = self.guest.run(&format!("$ip -n pc1 route get {to}\n"), DEADLINE)?;
        let session = self.ours.session(Gateway::First, &case.wires[0].name())?;
        let told = path_mtu(&route);
        demand(pings, told.is_some() && told == session.inner_mtu, || {
            format!("pc1 knows of a path MTU of {told:?}, and {:?} fits", session.inner_mtu)
        });
        demand(pings, (session.icmp_sent, session.drops.get("too_big")) == (1, Some(&1)), || {
            format!("{} ICMP errors for dropped frames: {:?}", session.icmp_sent, session.drops)
        });
        // From now on it cuts its packets up itself.
        self.ping(case, Gateway::First, "-c 3 -p 200 -b 1472", 3, pings).map(drop)
    }
}

/// What `ip route get` says of a path MTU: `... cache expires 599sec mtu 1446`.
fn path_mtu(route: &str) -> Option<u32> {
    let words: Vec<&str> = route.split_whitespace().collect();
    let value = words.windows(2).find(|pair| pair[0] == "mtu").map(|pair| pair[1]);
    value.and_then(|value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_mtu_is_read_where_there_is_one() {
        let with = "10.1.0.2 dev p0 src 10.1.0.1 uid 0 \n    cache expires 599sec mtu 1446 \n";
        assert_eq!(path_mtu(with), Some(1446));
        assert_eq!(path_mtu("10.1.0.2 dev p0 src 10.1.0.1 uid 0 \n    cache \n"), None);
    }
}
