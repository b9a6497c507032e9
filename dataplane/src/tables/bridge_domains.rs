//! Bridge domains: who belongs to one LAN, and where floods go.
//!
//! Place on the path: `forward` finds the egress member here, `flood` the flood set, `encap` what a member is.

use std::sync::Arc;

pub use super::ids::{DomainId, MemberId};
use super::{
    fdb::Fdb,
    ids::{PortId, SessionIndex},
};
use wire::ethernet::VlanId;

/// Members of one group never forward to each other. 0 is no group.
pub type SplitHorizonGroup = u8;

/// Where frames for a member leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// An access port.
    Port(PortId),
    /// A pseudowire.
    Session(SessionIndex),
    /// Nowhere: the member was removed, or it is down.
    Down,
}

/// One member: an attachment circuit or a pseudowire, whole or one VLAN of it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Where frames leave.
    pub circuit: Circuit,
    /// The tag to push on the way out; it was popped on the way in. `None`: frames pass as they are.
    pub vlan: Option<VlanId>,
    /// Split-horizon group.
    pub group: SplitHorizonGroup,
}

impl Member {
    /// Whether frames can leave by it.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        !matches!(self.circuit, Circuit::Down)
    }
}

/// One LAN.
#[derive(Clone, Debug)]
pub struct BridgeDomain {
    members: Box<[Member]>,
    /// Members that are up, in order.
    flood_set: Box<[MemberId]>,
    /// Whether any member is of a split-horizon group.
    has_groups: bool,
    fdb: Arc<Fdb>,
}

impl BridgeDomain {
    /// A domain of these members; their positions are their [`MemberId`]s.
    ///
    /// # Panics
    /// With more than 65 535 members: the configuration check refuses them.
    #[must_use]
    pub fn new(members: Vec<Member>, fdb: Arc<Fdb>) -> Self {
        assert!(members.len() <= usize::from(u16::MAX), "a bridge domain has at most 65535 members");
        let flood_set =
            (0u16..).zip(&members).filter(|(_, m)| m.is_up()).map(|(id, _)| MemberId(id)).collect();
        let has_groups = members.iter().any(|member| member.group != 0);
        Self { members: members.into(), flood_set, has_groups, fdb }
    }

    /// The member at `id`.
    #[must_use]
    #[inline]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(usize::from(id.0))
    }

    /// Members a flood that came in on `ingress` goes to: those up, outside `ingress`'s split-horizon group.
    #[inline]
    pub fn flood_targets(&self, ingress: MemberId) -> impl Iterator<Item = (MemberId, &Member)> {
        let group = self.group(ingress);
        self.flood_set.iter().filter(move |id| **id != ingress).filter_map(move |&id| {
            let member = self.member(id)?;
            (group == 0 || member.group != group).then_some((id, member))
        })
    }

    /// Whether a frame may pass from one member to the other as far as split horizon goes.
    #[must_use]
    #[inline]
    pub fn may_pass(&self, from: MemberId, to: MemberId) -> bool {
        if !self.has_groups {
            return true;
        }
        let group = self.group(from);
        group == 0 || group != self.group(to)
    }

    #[inline]
    fn group(&self, id: MemberId) -> SplitHorizonGroup {
        self.member(id).map_or(0, |m| m.group)
    }

    /// Forgets the addresses behind members that are down, so that frames for them are flooded until they are heard
    /// elsewhere, as the kernel's bridge does. Main thread only; again when no worker has an older snapshot any more, because
    /// one may have learned from it meanwhile.
    pub fn forget_members_down(&self) {
        self.fdb.flush(|id| self.member(id).is_none_or(|member| !member.is_up()));
    }

    /// The domain's MAC table.
    #[must_use]
    #[inline]
    pub fn fdb(&self) -> &Fdb {
        &self.fdb
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::fdb::MacKey;

    fn member(circuit: Circuit, group: SplitHorizonGroup) -> Member {
        Member { circuit, vlan: None, group }
    }

    fn targets(domain: &BridgeDomain, ingress: u16) -> Vec<u16> {
        domain.flood_targets(MemberId(ingress)).map(|(id, _)| id.0).collect()
    }

    #[test]
    fn floods_reach_all_members_up_but_the_ingress() {
        let up = |n| member(Circuit::Port(PortId(n)), 0);
        let domain =
            BridgeDomain::new(vec![up(0), member(Circuit::Down, 0), up(2), up(3)], Arc::new(Fdb::new(1, 0)));
        assert_eq!(targets(&domain, 0), [2, 3]);
        assert_eq!(targets(&domain, 1), [0, 2, 3]);
        assert_eq!(targets(&domain, 3), [0, 2]);
    }

    #[test]
    fn addresses_behind_a_member_that_went_down_are_forgotten() {
        let fdb = Arc::new(Fdb::new(16, 0));
        let (lost, kept) = (MacKey::new([2, 0, 0, 0, 0, 1]), MacKey::new([2, 0, 0, 0, 0, 2]));
        fdb.learn(lost, MemberId(1), 1);
        fdb.learn(kept, MemberId(0), 1);
        let members = vec![member(Circuit::Port(PortId(0)), 0), member(Circuit::Down, 0)];
        BridgeDomain::new(members, Arc::clone(&fdb)).forget_members_down();
        assert_eq!((fdb.lookup(lost), fdb.lookup(kept)), (None, Some(MemberId(0))));
    }

    #[test]
    fn members_of_one_split_horizon_group_do_not_reach_each_other() {
        let up = |n, group| member(Circuit::Port(PortId(n)), group);
        let domain = BridgeDomain::new(vec![up(0, 0), up(1, 7), up(2, 7)], Arc::new(Fdb::new(1, 0)));
        assert_eq!(targets(&domain, 0), [1, 2]);
        assert_eq!(targets(&domain, 1), [0]);
        assert!(!domain.may_pass(MemberId(1), MemberId(2)));
        assert!(domain.may_pass(MemberId(0), MemberId(2)) && domain.may_pass(MemberId(2), MemberId(0)));
    }
}
