//! Attachments: which bridge domain a frame belongs to, by the port or pseudowire it came from and its VLAN.
//!
//! Place on the path: the last step of `admit` (ports) and `decap` (pseudowires).

use super::bridge_domains::{DomainId, MemberId};
use wire::ethernet::VlanId;

/// Number of values of a 12-bit VLAN identifier.
const VIDS: usize = 4096;

/// Marks a VLAN without attachment in the map.
const NONE: u16 = u16::MAX;

/// Where a frame enters a bridge domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The domain.
    pub domain: DomainId,
    /// The member it comes from.
    pub member: MemberId,
    /// Whether the outermost tag is popped on the way in.
    pub pop_tag: bool,
}

/// The attachments of one port or pseudowire: the whole of it, single VLANs, or both (VLANs first).
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    whole: Option<(DomainId, MemberId)>,
    vlans: Option<Box<VlanMap>>,
}

#[derive(Clone, Debug)]
struct VlanMap {
    position: [u16; VIDS],
    ingress: Vec<(DomainId, MemberId)>,
}

impl Attachment {
    /// Every frame belongs to this member, whatever its tags.
    pub fn attach_whole(&mut self, domain: DomainId, member: MemberId) {
        self.whole = Some((domain, member));
    }

    /// Frames whose outermost tag names `vlan` belong to this member.
    ///
    /// # Panics
    /// Never: there are 4095 VLANs, fewer than the map's positions.
    pub fn attach_vlan(&mut self, vlan: VlanId, domain: DomainId, member: MemberId) {
        let map = self
            .vlans
            .get_or_insert_with(|| Box::new(VlanMap { position: [NONE; VIDS], ingress: Vec::new() }));
        let position = u16::try_from(map.ingress.len()).expect("fewer attachments than VLANs");
        map.ingress.push((domain, member));
        if let Some(slot) = map.position.get_mut(usize::from(vlan.get())) {
            *slot = position;
        }
    }

    /// Where a frame with this outermost VLAN (`None`: untagged) enters; `None`: nowhere.
    #[must_use]
    #[inline]
    pub fn ingress(&self, outer_vid: Option<u16>) -> Option<Ingress> {
        if let (Some(map), Some(vid)) = (&self.vlans, outer_vid)
            && let Some(&(domain, member)) = map
                .position
                .get(usize::from(vid))
                .and_then(|&position| map.ingress.get(usize::from(position)))
        {
            return Some(Ingress { domain, member, pop_tag: true });
        }
        self.whole.map(|(domain, member)| Ingress { domain, member, pop_tag: false })
    }

    /// Whether nothing is attached.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.whole.is_none() && self.vlans.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vlan(vid: u16) -> VlanId {
        VlanId::new(vid).unwrap()
    }

    #[test]
    fn a_vlan_attachment_takes_its_tag_and_nothing_else() {
        let mut attachment = Attachment::default();
        attachment.attach_vlan(vlan(10), DomainId(1), MemberId(4));
        let expected = Ingress { domain: DomainId(1), member: MemberId(4), pop_tag: true };
        assert_eq!(attachment.ingress(Some(10)), Some(expected));
        assert_eq!(attachment.ingress(Some(11)), None);
        assert_eq!(attachment.ingress(None), None);
    }

    #[test]
    fn a_whole_attachment_takes_every_tag_as_it_is() {
        let mut attachment = Attachment::default();
        assert!(attachment.is_empty());
        attachment.attach_whole(DomainId(0), MemberId(0));
        let expected = Some(Ingress { domain: DomainId(0), member: MemberId(0), pop_tag: false });
        assert_eq!(attachment.ingress(None), expected);
        assert_eq!(attachment.ingress(Some(4095)), expected);
    }

    #[test]
    fn vlans_are_asked_before_the_whole() {
        let mut attachment = Attachment::default();
        attachment.attach_whole(DomainId(0), MemberId(0));
        attachment.attach_vlan(vlan(7), DomainId(1), MemberId(2));
        assert_eq!(attachment.ingress(Some(7)).unwrap().domain, DomainId(1));
        assert_eq!(attachment.ingress(Some(8)).unwrap().domain, DomainId(0));
    }
}
