//! Patterns for what people or models have written.

/// Whether a text has the words of a pattern, in any case and order. `a b|c !d` is "a and b, or c without d".
pub(crate) fn has(text: &str, pattern: &str) -> bool {
    let text = text.to_lowercase();
    pattern.split('|').any(|words| {
        words.to_lowercase().split_whitespace().all(|word| {
            match word.strip_prefix('!').filter(|word| !word.is_empty()) {
                Some(word) => !text.contains(word),
                None => text.contains(word),
            }
        })
    })
}

/// The same for a value of few forms, such as a priority: one of the alternatives, as it is.
pub(crate) fn is(text: &str, pattern: &str) -> bool {
    pattern == "any" || pattern.split('|').any(|one| one.trim() == text)
}
