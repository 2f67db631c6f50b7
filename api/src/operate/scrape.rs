//! Histograms as processes tell them in the text format of OpenMetrics.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// Time for one process to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MAX_TEXT: usize = 8 * 1024 * 1024;

/// A histogram, or several added up.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    pub(super) sum: f64,
    pub(super) count: f64,
    /// Counts up to a bound, by the bound's text: bounds are told, not computed.
    buckets: BTreeMap<String, f64>,
}

impl Histogram {
    /// Adds another one, so many times: once, or, to take it away, minus once.
    fn add(&mut self, other: &Self, times: f64) {
        self.sum += times * other.sum;
        self.count += times * other.count;
        for (bound, count) in &other.buckets {
            *self.buckets.entry(bound.clone()).or_default() += times * count;
        }
    }

    /// Below which this share of what was observed is, as a line between bounds has it; none if nothing was observed. What is above the
    /// last bound is told as that bound.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = self
            .buckets
            .iter()
            .filter_map(|(bound, count)| Some((bound.parse().ok()?, *count)))
            .collect();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let wanted = share * self.count;
        let (mut from, mut below) = (0.0, 0.0);
        for (to, count) in buckets.into_iter().filter(|_| self.count > 0.0) {
            if count >= wanted && count > below {
                let part = (wanted - below) / (count - below);
                return Some(if to.is_finite() {
                    from + part * (to - from)
                } else {
                    from
                });
            }
            (from, below) = (to, count);
        }
        None
    }
}

/// Names and values, in the order in which they are told.
type Labels = Vec<(String, String)>;

/// What processes have told, by name and labels.
#[derive(Debug, Default)]
pub(super) struct Scrape(HashMap<String, Vec<(Labels, Histogram)>>);

impl Scrape {
    /// Asks each of these; what they tell is added up.
    ///
    /// # Errors
    /// Says which could not be read, and why.
    pub(super) async fn of(urls: &[String]) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let mut all = Self::default();
        for url in urls {
            let text = text(&client, url).await;
            let text = text.map_err(|error| format!("{url} cannot be read: {error}"))?;
            all.read(&text);
        }
        Ok(all)
    }

    /// All histograms of this name that have this label, added up.
    pub(super) fn histogram(&self, name: &str, label: Option<(&str, &str)>) -> Histogram {
        let mut sum = Histogram::default();
        for (labels, histogram) in self.0.get(name).into_iter().flatten() {
            let is_wanted = label.is_none_or(|(name, value)| {
                labels.iter().any(|(its, is)| its == name && is == value)
            });
            if is_wanted {
                sum.add(histogram, 1.0);
            }
        }
        sum
    }

    /// What has come since another, earlier one.
    pub(super) fn since(mut self, earlier: &Self) -> Self {
        for (name, of_name) in &mut self.0 {
            for (labels, histogram) in of_name {
                let before = earlier.0.get(name).into_iter().flatten();
                for (_, before) in before.filter(|(its, _)| its == labels) {
                    histogram.add(before, -1.0);
                }
            }
        }
        self
    }

    /// Adds what one process tells. What is no part of a histogram is passed over.
    fn read(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, mut labels, value)) = sample(line) else {
                continue;
            };
            let parts = [("_sum", 0), ("_count", 1), ("_bucket", 2)];
            let part = parts
                .into_iter()
                .find_map(|(suffix, part)| Some((name.strip_suffix(suffix)?, part)));
            let Some((name, part)) = part else { continue };
            let bound = labels.iter().position(|(name, _)| name == "le");
            let bound = bound.map(|place| labels.remove(place).1);
            let of_name = self.0.entry(name.to_owned()).or_default();
            let place = of_name.iter().position(|(its, _)| *its == labels);
            let place = place.unwrap_or_else(|| {
                of_name.push((labels, Histogram::default()));
                of_name.len() - 1
            });
            let Some((_, histogram)) = of_name.get_mut(place) else {
                continue;
            };
            match (part, bound) {
                (0, _) => histogram.sum += value,
                (1, _) => histogram.count += value,
                (_, Some(bound)) => *histogram.buckets.entry(bound).or_default() += value,
                _ => {}
            }
        }
    }
}

async fn text(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let told = |error: reqwest::Error| error.without_url().to_string();
    let answer = client.get(url).send().await.map_err(told)?;
    let mut answer = answer.error_for_status().map_err(told)?;
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(told)? {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_TEXT {
            return Err("the answer has no end".to_owned());
        }
    }
    String::from_utf8(body).map_err(|_| "the answer is no text".to_owned())
}

type Sample<'a> = (&'a str, Labels, f64);

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(end)?;
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.push((label.trim_start_matches(',').to_owned(), value));
            rest = behind;
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// A label's value up to its quotation mark, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(place + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                letter => letter,
            }),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a_seconds histogram\n\
        a_seconds_sum{m=\"x,\\\"y}\",o=\"1\"} 3.0\na_seconds_count{m=\"x,\\\"y}\",o=\"1\"} 4\n\
        a_seconds_bucket{le=\"1.0\",m=\"x,\\\"y}\",o=\"1\"} 2\na_seconds_bucket{le=\"+Inf\",m=\"x,\\\"y}\",o=\"1\"} 4\n\
        a_seconds_sum{m=\"z\",o=\"1\"} 1.5\na_seconds_count{m=\"z\",o=\"1\"} 1\nother_total 7\nbroken{x=\"\n{\n\n# EOF\n";

    #[test]
    fn histograms_are_read_and_added_up() {
        let mut scrape = Scrape::default();
        scrape.read(TEXT);
        let all = scrape.histogram("a_seconds", Some(("o", "1")));
        assert_eq!((all.sum, all.count), (4.5, 5.0));
        let one = scrape.histogram("a_seconds", Some(("m", "x,\"y}")));
        assert_eq!((one.sum, one.count), (3.0, 4.0));
        assert_eq!(
            (one.quantile(0.25), one.quantile(0.9)),
            (Some(0.5), Some(1.0))
        );
        assert_eq!(scrape.histogram("b", None).quantile(0.5), None);

        let mut later = Scrape::default();
        later.read(TEXT);
        later.read(TEXT);
        let since = later.since(&scrape).histogram("a_seconds", None);
        assert_eq!((since.sum, since.count), (4.5, 5.0));
    }
}
