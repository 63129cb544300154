// SPDX-License-Identifier: GPL-2.0
//! The enumerations of the interface: each value has a number there, a name for people, and a line
//! that says what it is.

/// Defines one: its values, with the number's constant, the name and the line of each.
macro_rules! named {
    (
        $(#[$about:meta])* $type:ident ($count:expr):
        $($name:ident $constant:ident $text:literal $what:literal,)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $(#[doc = $what] $name,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: [$type; $count as usize] = [$($type::$name,)*];

            /// Its number, or bit, in the interface.
            pub fn number(self) -> u32 {
                match self {
                    $($type::$name => sys::$constant,)*
                }
            }

            /// The one with this number, or bit.
            pub fn of(number: u32) -> Option<$type> {
                $type::ALL.into_iter().find(|one| one.number() == number)
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$name => $text,)*
                }
            }

            /// What it is, in one line.
            pub fn about(self) -> &'static str {
                match self {
                    $($type::$name => $what,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
