//! Numbers of payment cards in a text: a known beginning, the length that goes with it, and the check digit (ISO/IEC 7812-1, Luhn).

use std::ops::Range;

/// Digits of a card's number.
const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// Where they stand.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let groups = groups(text);
    let mut found = Vec::new();
    let mut first = 0;
    while first < groups.len() {
        match card_at(text, &groups[first..]) {
            Some(count) => {
                found.push(groups[first].start..groups[first + count - 1].end);
                first += count;
            }
            None => first += 1,
        }
    }
    found
}

/// Digits without anything between them.
fn groups(text: &str) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
        match groups.last_mut().filter(|group| group.end == at) {
            Some(group) => group.end += 1,
            None => groups.push(at..at + 1),
        }
    }
    groups
}

/// How many groups from the first one on are a card's number. Between two of them is one space, no-break space or hyphen: another number may
/// stand before or behind them in the same way.
fn card_at(text: &str, groups: &[Range<usize>]) -> Option<usize> {
    let mut digits: Vec<u8> = Vec::new();
    let mut end = None;
    for (count, group) in groups.iter().enumerate() {
        let between = end.map_or("", |end| &text[end..group.start]);
        let is_joined = matches!(between, "" | " " | "-" | "\u{a0}" | "\u{2011}");
        if !is_joined || digits.len() + group.len() > LONGEST {
            return None;
        }
        digits.extend(text[group.clone()].bytes().map(|digit| digit - b'0'));
        if is_card(&digits) {
            return Some(count + 1);
        }
        end = Some(group.end);
    }
    None
}

fn is_card(digits: &[u8]) -> bool {
    (SHORTEST..=LONGEST).contains(&digits.len()) && has_a_makers_form(digits) && passes_luhn(digits)
}

/// Whether the beginning is one of a network that issues cards, and the length one of its own.
fn has_a_makers_form(digits: &[u8]) -> bool {
    let four = digits[..4]
        .iter()
        .fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let length = digits.len();
    match four {
        // Visa.
        4000..=4999 => matches!(length, 13 | 16 | 19),
        // Mastercard, in its two ranges.
        5100..=5599 | 2221..=2720 => length == 16,
        // American Express.
        3400..=3499 | 3700..=3799 => length == 15,
        // Diners Club.
        3000..=3059 | 3600..=3699 | 3800..=3999 => matches!(length, 14 | 16),
        // JCB.
        3528..=3589 => length == 16,
        // Discover; UnionPay.
        6011 | 6440..=6599 | 6200..=6299 => matches!(length, 16..=19),
        _ => false,
    }
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit) * 2) {
            (0, doubled) => doubled / 2,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_found_and_other_numbers_are_not() {
        // The numbers that the networks publish for tests.
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
        ] {
            let text = format!("é: {card}, thanks");
            let found = find(&text);
            assert_eq!(found.len(), 1, "{card}");
            assert_eq!(&text[found[0].clone()], card);
        }
        let text = "on 27 4111 1111 1111 1111 12/29 and 5555-5555-5555-4444";
        let found: Vec<&str> = find(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(found, ["4111 1111 1111 1111", "5555-5555-5555-4444"]);
        for other in [
            "4111111111111112",
            "call 0049 170 1234567",
            "+1 415 555 2671",
            "978-3-16-148410-0",
            "DE89 3704 0044 0532 0130 00",
            "2026-11-27 17:00",
            "41111111111111114111111111111111",
            "4111  1111  1111  1111",
            "order 1234567890123456",
            "",
        ] {
            assert!(find(other).is_empty(), "{other}");
        }
    }
}
