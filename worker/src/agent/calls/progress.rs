//! How far the arguments of a streamed call have come.

/// Whether these are the first bytes of an object.
pub(super) fn begins_object(arguments: &[u8]) -> bool {
    arguments.trim_ascii_start().first() == Some(&b'{')
}

/// How far the arguments of a call have come, read byte by byte: whether they are good JSON is for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Whether the first byte was that of an object, if there was one.
    is_object: Option<bool>,
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

/// Where the arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    Within,
    Behind,
}

impl Progress {
    /// More of the arguments.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.is_object.is_none() && !byte.is_ascii_whitespace() {
                self.is_object = Some(*byte == b'{');
            }
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => self.depth = self.depth.saturating_add(1),
                b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// A call without arguments is before them for ever, as nobody can know that none come; one whose arguments are no object
    /// has no end that could be seen.
    pub(super) fn phase(self) -> Phase {
        match (self.is_object, self.depth) {
            (None, _) => Phase::Before,
            (Some(true), 0) if !self.in_string => Phase::Behind,
            _ => Phase::Within,
        }
    }
}
