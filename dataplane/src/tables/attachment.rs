//! Attachments: which bridge domain a frame belongs to, by the port or pseudowire it came from and its VLAN.
//!
//! Place on the path: the last step of `admit` (ports) and `decap` (pseudowires).

use super::ids::{DomainId, MemberId};
use wire::ethernet::{self, EthernetError, Tpid, VlanId};

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

impl Ingress {
    /// Stands for a place that nothing enters by.
    pub(crate) const NOWHERE: Self =
        Self { domain: DomainId(u16::MAX), member: MemberId(u16::MAX), pop_tag: false };
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

impl VlanMap {
    #[inline]
    fn find(&self, vlan: VlanId) -> Option<(DomainId, MemberId)> {
        let position = *self.position.get(usize::from(vlan.get()))?;
        self.ingress.get(usize::from(position)).copied()
    }
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

    /// Where a frame enters; `None`: nowhere.
    ///
    /// Tags are looked at only where a VLAN is attached, so a whole port or pseudowire is transparent to anything behind
    /// the addresses. As with the kernel's VLAN interfaces, only customer tags (0x8100) name a VLAN.
    ///
    /// # Errors
    /// When the frame ends inside its header, or inside a tag that has to be looked at.
    #[inline]
    pub fn ingress(&self, frame: &[u8]) -> Result<Option<Ingress>, EthernetError> {
        if let Some(map) = &self.vlans
            && let Some(tag) = ethernet::outer_tag(frame)?
            && tag.tpid == Tpid::Customer
            && let Some((domain, member)) = map.find(tag.vid)
        {
            return Ok(Some(Ingress { domain, member, pop_tag: true }));
        }
        Ok(self.whole.map(|(domain, member)| Ingress { domain, member, pop_tag: false }))
    }

    /// The member that every frame belongs to, whatever its tags; `None`: tags have to be looked at, or nothing is attached.
    #[must_use]
    #[inline]
    pub const fn whole_alone(&self) -> Option<Ingress> {
        match (self.whole, &self.vlans) {
            (Some((domain, member)), None) => Some(Ingress { domain, member, pop_tag: false }),
            _ => None,
        }
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

    /// A frame with this EtherType and tag control information behind its addresses.
    fn frame(ethertype: [u8; 2], tci: [u8; 2]) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ethertype, &tci, &[0x88, 0xB5, 0, 0]].concat()
    }

    fn customer(vid: u8) -> Vec<u8> {
        frame([0x81, 0x00], [0, vid])
    }

    #[test]
    fn a_vlan_attachment_takes_its_tag_and_nothing_else() {
        let mut attachment = Attachment::default();
        attachment.attach_vlan(vlan(10), DomainId(1), MemberId(4));
        let expected = Ingress { domain: DomainId(1), member: MemberId(4), pop_tag: true };
        assert_eq!(attachment.ingress(&customer(10)), Ok(Some(expected)));
        assert_eq!(
            attachment.ingress(&frame([0x81, 0x00], [0xE0, 10])),
            Ok(Some(expected)),
            "whatever the priority"
        );
        assert_eq!(attachment.ingress(&customer(11)), Ok(None));
        assert_eq!(attachment.ingress(&frame([0x88, 0xB5], [0, 10])), Ok(None), "untagged");
        assert_eq!(
            attachment.ingress(&frame([0x88, 0xA8], [0, 10])),
            Ok(None),
            "a service tag names another VLAN"
        );
    }

    #[test]
    fn a_whole_attachment_takes_every_frame_as_it_is() {
        let mut attachment = Attachment::default();
        assert!(attachment.is_empty());
        attachment.attach_whole(DomainId(0), MemberId(0));
        let expected = Ok(Some(Ingress { domain: DomainId(0), member: MemberId(0), pop_tag: false }));
        assert_eq!(attachment.ingress(&customer(7)), expected);
        assert_eq!(attachment.ingress(&frame([0x81, 0x00], [0x0F, 0xFF])), expected, "VLAN id 4095");
        assert_eq!(attachment.ingress(&customer(7)[..15]), expected, "a tag cut short is payload");
    }

    #[test]
    fn a_tag_that_has_to_be_read_and_cannot_be_is_an_error() {
        let mut attachment = Attachment::default();
        attachment.attach_vlan(vlan(10), DomainId(1), MemberId(4));
        assert_eq!(attachment.ingress(&customer(10)[..15]), Err(EthernetError::Truncated));
        assert_eq!(
            attachment.ingress(&frame([0x81, 0x00], [0x0F, 0xFF])),
            Err(EthernetError::ReservedVlanId)
        );
    }

    #[test]
    fn vlans_are_asked_before_the_whole() {
        let mut attachment = Attachment::default();
        attachment.attach_whole(DomainId(0), MemberId(0));
        attachment.attach_vlan(vlan(7), DomainId(1), MemberId(2));
        assert_eq!(attachment.ingress(&customer(7)).unwrap().unwrap().domain, DomainId(1));
        assert_eq!(attachment.ingress(&customer(8)).unwrap().unwrap().domain, DomainId(0));
    }
}
