//! Two results beside each other.

use std::collections::BTreeMap;

use crate::report::{Figures, Report};

/// What differs between two results, of the cases that both have.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The models' names.
    pub models: [&'a str; 2],
    /// All, and each family; none where a result does not have the family.
    pub rows: Vec<(&'a str, [Option<&'a Figures>; 2])>,
    /// Cases that were right more often before.
    pub lost: Vec<&'a str>,
    /// Cases that are right more often now.
    pub won: Vec<&'a str>,
    /// Cases that only one of them has.
    pub odd: Vec<&'a str>,
    /// The share of right attempts in the cases that both have, before and after.
    pub shares: [f64; 2],
}

impl<'a> Comparison<'a> {
    /// Of the result before and the one after.
    #[must_use]
    pub fn of(before: &'a Report, after: &'a Report) -> Self {
        let shares = |report: &'a Report| -> BTreeMap<&'a str, f64> {
            let cases = report.cases.iter().filter(|case| !case.attempts.is_empty());
            cases
                .map(|case| {
                    (
                        case.name.as_str(),
                        case.right() as f64 / case.attempts.len() as f64,
                    )
                })
                .collect()
        };
        let (old, new) = (shares(before), shares(after));
        let both: Vec<(&str, f64, f64)> = old
            .iter()
            .filter_map(|(name, old)| Some((*name, *old, *new.get(name)?)))
            .collect();
        let which = |is: fn(f64, f64) -> bool| {
            both.iter()
                .filter(|(_, old, new)| is(*old, *new))
                .map(|(name, ..)| *name)
                .collect()
        };
        let odd = old.keys().filter(|name| !new.contains_key(*name));
        let odd = odd.chain(new.keys().filter(|name| !old.contains_key(*name)));
        let mean = |sum: f64| {
            if both.is_empty() {
                0.0
            } else {
                sum / both.len() as f64
            }
        };
        let families = before.families.keys().chain(after.families.keys());
        let families: std::collections::BTreeSet<&String> = families.collect();
        let mut rows = vec![("all", [Some(&before.total), Some(&after.total)])];
        rows.extend(families.into_iter().map(|name| {
            (
                name.as_str(),
                [before.families.get(name), after.families.get(name)],
            )
        }));
        Self {
            models: [&before.model, &after.model],
            rows,
            lost: which(|old, new| new < old),
            won: which(|old, new| new > old),
            odd: odd.copied().collect(),
            shares: [
                mean(both.iter().map(|(_, old, _)| old).sum()),
                mean(both.iter().map(|(_, _, new)| new).sum()),
            ],
        }
    }

    /// Whether more than this share of right attempts was lost.
    #[must_use]
    pub fn is_worse(&self, tolerance: f64) -> bool {
        self.shares[1] < self.shares[0] - tolerance - 1e-9
    }
}
