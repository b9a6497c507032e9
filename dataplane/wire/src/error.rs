//! One shape for all wire errors: a small `Copy` enum, one line of text per variant.

/// Declares a wire error enum with its texts, `Display` and `Error`.
macro_rules! wire_error {
    ($(#[$outer:meta])+ pub enum $name:ident { $($(#[$doc:meta])+ $variant:ident => $text:literal,)+ }) => {
        $(#[$outer])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])+ $variant,)+
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }

        impl core::error::Error for $name {}
    };
}
