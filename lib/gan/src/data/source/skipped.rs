//! Counts skipped files by reason, so that no file is left out silently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::counted;

/// The most names that are kept for a reason.
const NAMES: usize = 10;
/// The most reasons that are counted separately; further ones count as [`OTHERS`].
const REASONS: usize = 32;
/// The reason for files that do not look like images, and for reasons beyond [`REASONS`].
pub(super) const OTHERS: &str = "other files";
/// The longest name or reason that is kept, in bytes.
const LONGEST: usize = 120;

/// Skipped files, counted by reason. The size is bounded: a few reasons, and the first ten names of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SkippedFiles(BTreeMap<String, SkippedGroup>);

/// The files of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct SkippedGroup {
    count: u64,
    /// The first names.
    first: Vec<String>,
}

impl SkippedFiles {
    /// No files.
    pub const fn new() -> SkippedFiles {
        SkippedFiles(BTreeMap::new())
    }

    /// Counts a file. The reason follows the count in [`SkippedFiles::line`]: `.avif (AVIF is not read)`.
    pub fn add(&mut self, reason: &str, name: &str) {
        let group = self.group(reason);
        group.count = group.count.saturating_add(1);
        if group.first.len() < NAMES {
            group.first.push(cut(name).to_string());
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &SkippedFiles) {
        for (reason, more) in &other.0 {
            let group = self.group(reason);
            group.count = group.count.saturating_add(more.count);
            let room = NAMES.saturating_sub(group.first.len());
            group.first.extend(more.first.iter().take(room).cloned());
        }
    }

    fn group(&mut self, reason: &str) -> &mut SkippedGroup {
        let reason = cut(reason);
        let known = self.0.contains_key(reason) || self.0.len() < REASONS;
        self.0.entry(if known { reason } else { OTHERS }.to_string()).or_default()
    }

    /// Whether no file was skipped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of skipped files.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, group| sum.saturating_add(group.count))
    }

    /// Reasons with their counts, the most frequent first.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut reasons: Vec<_> = self.0.iter().map(|(reason, group)| (&**reason, group.count)).collect();
        reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        reasons.into_iter()
    }

    /// The counts in one line: `4 .avif (AVIF is not read), 2 .txt`.
    pub fn counts(&self) -> String {
        self.reasons().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
    }

    /// One line for people, `6 files skipped: 4 .avif (AVIF is not read), 2 .txt`; `None` where there are
    /// none.
    pub fn line(&self) -> Option<String> {
        (!self.is_empty()).then(|| format!("{} skipped: {}", counted(self.total(), "file"), self.counts()))
    }

    /// As JSON: for each reason `count` and `first`, the names of at most ten files.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain fields")
    }
}

/// The beginning of a text, at most [`LONGEST`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_by_reason_the_most_frequent_first() {
        let mut skipped = SkippedFiles::new();
        assert_eq!((skipped.line(), skipped.is_empty(), skipped.total()), (None, true, 0));
        skipped.add(".txt", "notes.txt");
        assert_eq!(skipped.line().unwrap(), "1 file skipped: 1 .txt");
        for i in 0..4 {
            skipped.add(".avif (AVIF is not read)", &format!("{i}.avif"));
        }
        let mut more = SkippedFiles::new();
        (0..9).for_each(|i| more.add("in subfolders", &i.to_string()));
        more.add(".txt", "readme.txt");
        skipped.merge(&more);
        let line = "15 files skipped: 9 in subfolders, 4 .avif (AVIF is not read), 2 .txt";
        assert_eq!((skipped.line().unwrap().as_str(), skipped.total()), (line, 15));
        assert_eq!(skipped.to_json()[".txt"]["first"], serde_json::json!(["notes.txt", "readme.txt"]));
        let again: SkippedFiles = serde_json::from_value(skipped.to_json()).unwrap();
        assert_eq!(again, skipped);
    }

    #[test]
    fn it_stays_small_whatever_it_counts() {
        let mut skipped = SkippedFiles::new();
        for i in 0..100_000 {
            skipped.add(&format!(".{i}é{}", "x".repeat(i % 300)), &"é".repeat(i % 300));
        }
        skipped.merge(&skipped.clone());
        assert_eq!(skipped.total(), 200_000);
        assert!(skipped.to_json().to_string().len() < 100_000, "{}", skipped.to_json().to_string().len());
        assert!(skipped.line().unwrap().len() < 8_000 && skipped.line().unwrap().contains(OTHERS));
    }
}
