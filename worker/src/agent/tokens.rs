//! How many tokens a text has, estimated from its characters.
//!
//! Each provider has a tokenizer of its own, and most publish none; so an exact count by one of them would be an estimate for all others, at the
//! price of megabytes of tables. What they have in common is which texts cost more than others: this goes by kinds of characters, with weights
//! that were fitted to `o200k_base` over texts in 28 languages, JSON, ids and emoji. [`tests`] print and bound the error; it is within a quarter,
//! where 4 bytes a token is off by half to double.

/// Tokens are counted in thousandths.
const ONE: u64 = 1_000;

/// What an ASCII word costs, each of its letters from the sixth on, and from the tenth on.
const WORD: u64 = 864;
const LETTER: u64 = 202;
const LATE_LETTER: u64 = 444;
const SHORT_WORD: u32 = 5;
const LONG_WORD: u32 = 9;
/// Up to three digits.
const DIGITS: u64 = 1_400;
/// A run of punctuation: in JSON it is one token.
const PUNCTUATION: u64 = 810;
/// A run of new lines, or a blank behind another.
const SPACE: u64 = 1_330;

/// Characters of a run of punctuation or new lines, beyond which it is taken for another one.
const RUN: u32 = 8;

/// Kinds of ASCII, by which runs are told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    Lower,
    Upper,
    Digit,
    Punctuation,
    Blank,
    Line,
    /// Beyond ASCII.
    Other,
}

/// Tokens of a text, about.
pub(super) fn tokens(text: &str) -> usize {
    let mut sum = 0;
    let mut before = Kind::Start;
    let mut run = 0;
    for c in text.chars() {
        let kind = kind(c);
        run = if continues(before, kind) { run + 1 } else { 1 };
        sum += match kind {
            Kind::Lower | Kind::Upper if run == 1 => WORD,
            Kind::Lower | Kind::Upper if run > LONG_WORD => LATE_LETTER,
            Kind::Lower | Kind::Upper if run > SHORT_WORD => LETTER,
            Kind::Digit if run % 3 == 1 => DIGITS,
            Kind::Punctuation if run % RUN == 1 => PUNCTUATION,
            Kind::Blank if matches!(before, Kind::Blank | Kind::Line) => SPACE,
            Kind::Line if run % RUN == 1 => SPACE,
            Kind::Other => beyond_ascii(c),
            _ => 0,
        };
        before = kind;
    }
    usize::try_from(sum.div_ceil(ONE)).unwrap_or(usize::MAX)
}

fn kind(c: char) -> Kind {
    match c {
        'a'..='z' => Kind::Lower,
        'A'..='Z' => Kind::Upper,
        '0'..='9' => Kind::Digit,
        ' ' => Kind::Blank,
        '!'..='~' => Kind::Punctuation,
        '\0'..='\x7f' => Kind::Line,
        _ => Kind::Other,
    }
}

/// Whether a character goes on with the run of the one before: `Word` is one run, `wordWord` is two, as in base64.
fn continues(before: Kind, kind: Kind) -> bool {
    match kind {
        Kind::Lower => matches!(before, Kind::Lower | Kind::Upper | Kind::Other),
        Kind::Upper => matches!(before, Kind::Upper | Kind::Other),
        kind => before == kind,
    }
}

/// What a character costs by its script.
fn beyond_ascii(c: char) -> u64 {
    match u32::from(c) {
        // Latin letters with marks: of the west, of the east, of Vietnam. Where there are many, the words around them are dearer, too.
        0xC0..=0xFF => 833,
        0x100..=0x24F => 1_379,
        0x1E00..=0x1EFF => 100,
        // Greek, Cyrillic, Hebrew, Arabic.
        0x370..=0x3FF => 390,
        0x400..=0x52F => 291,
        0x590..=0x5FF => 465,
        0x600..=0x77F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFF => 371,
        // Devanagari, the other scripts of India, Thai and Lao.
        0x900..=0x97F => 397,
        0x980..=0xDFF => 400,
        0xE00..=0xEFF => 403,
        // Han with its punctuation, kana, Hangul.
        0x3000..=0x303F | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFFEF => {
            841
        }
        0x3040..=0x30FF => 660,
        0x1100..=0x11FF | 0xAC00..=0xD7AF => 699,
        // Emoji and whatever is rare.
        0x1_0000.. => 1_831,
        _ => 1_130,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    struct Sample {
        what: String,
        counted: f64,
        text: String,
    }

    fn samples() -> Vec<Sample> {
        let lines = include_str!("tokens/samples.tsv").lines();
        let lines = lines.filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let fields: Vec<&str> = line.splitn(4, '\t').collect();
            Sample {
                what: fields[0].to_owned(),
                counted: fields[1].parse().expect("a number"),
                text: fields[3].replace("\\n", "\n"),
            }
        };
        lines.map(sample).collect()
    }

    /// `cargo unit -- --nocapture the_error` prints it.
    #[test]
    #[expect(clippy::print_stdout, reason = "the error is to be read")]
    fn the_error_of_the_estimate_is_known_and_bounded() {
        println!(
            "{:24} {:>8} {:>9} {:>7} {:>16}",
            "what", "counted", "estimated", "error", "at 4 bytes each"
        );
        let (mut of_all, mut by_bytes) = (Vec::new(), Vec::new());
        for sample in samples() {
            let error = |estimate: f64| estimate / sample.counted - 1.0;
            let estimated = tokens(&sample.text) as f64;
            let (own, plain) = (error(estimated), error(sample.text.len() as f64 / 4.0));
            println!(
                "{:24} {:>8} {estimated:>9} {:>6.0}% {:>15.0}%",
                sample.what,
                sample.counted,
                own * 100.0,
                plain * 100.0
            );
            assert!(own.abs() < 0.30, "{}: {own:+.2}", sample.what);
            of_all.push(own.abs());
            by_bytes.push(plain.abs());
        }
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        let (own, plain) = (mean(&of_all), mean(&by_bytes));
        println!(
            "mean error: {:.0}%, at 4 bytes a token {:.0}%",
            own * 100.0,
            plain * 100.0
        );
        assert!(own < 0.12, "{own:.3}");
        assert!(own * 2.0 < plain);
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "the time is to be read")]
    fn what_is_long_or_strange_is_counted_too() {
        assert_eq!(tokens(""), 0);
        for cheap in ["!", "\n", " ", "ế", "a"] {
            assert!(tokens(&cheap.repeat(8_000)) > 500, "{cheap:?}");
        }
        assert_eq!(tokens("\0\u{1}\r\n"), 2);
        assert_eq!(tokens(&"😀".repeat(1_000)), 1_831);
        let long = "add milk, Brot und молоко [{\"id\":\"0a1B\"}] ".repeat(10_000);
        let begun = Instant::now();
        assert!((100_000..400_000).contains(&tokens(&long)));
        println!("{} KiB in {:?}", long.len() / 1024, begun.elapsed());
    }
}
