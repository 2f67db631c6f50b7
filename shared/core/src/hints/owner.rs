//! A user in a hint.

use std::fmt;

use sha2::{Digest, Sha256};

/// Stands for a user where the id itself, which is any text of any length, does not fit. Two users with the same one would hear
/// that they should look at their own rows, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(u128);

impl Owner {
    /// Characters of its text.
    pub const LENGTH: usize = 32;

    /// The one of this user.
    pub fn of(user_id: &str) -> Self {
        let digest = Sha256::digest(user_id);
        let half = digest.iter().take(16);
        Self(half.fold(0, |number, byte| (number << 8) | u128::from(*byte)))
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let is_one = text.len() == Self::LENGTH && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok();
        number.filter(|_| is_one).map(Self)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_and_reads_as_it_was_written() {
        for user in ["", "ada", "bob", &"é".repeat(10_000)] {
            let owner = Owner::of(user);
            let text = owner.to_string();
            assert_eq!(text.len(), Owner::LENGTH);
            assert_eq!(Owner::parse(&text), Some(owner));
        }
        assert_ne!(Owner::of("ada"), Owner::of("bob"));
        for nobody in ["", "ada", "+1", &"0".repeat(33), &"é".repeat(16)] {
            assert_eq!(Owner::parse(nobody), None, "{nobody}");
        }
    }
}
