//! Session and tunnel ids: non-zero 32-bit numbers.

use core::fmt;
use core::num::NonZeroU32;

macro_rules! id {
    ($(#[$outer:meta])+ $name:ident) => {
        $(#[$outer])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(transparent)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// A checked id; `None` for 0.
            #[must_use]
            #[inline]
            pub const fn new(value: u32) -> Option<Self> {
                match NonZeroU32::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The number, in host order.
            #[must_use]
            #[inline]
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// A session id, chosen by the receiver of the packets that carry it.
    ///
    /// Range: 1..=4294967295; 0 is the control channel. Source: RFC 3931 §4.1.1.
    SessionId
}

id! {
    /// A tunnel id: the control connection id of RFC 3931. Not carried in data packets.
    ///
    /// Range: 1..=4294967295.
    TunnelId
}
