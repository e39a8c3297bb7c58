//! What was passed over, counted by reason, so that no file is left out without a word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most names that are kept for a reason.
const NAMES: usize = 10;
/// The most reasons that are counted apart; further ones count as [`OTHERS`].
const REASONS: usize = 32;
/// The reason of files that nobody takes for images, and of reasons beyond [`REASONS`].
pub(crate) const OTHERS: &str = "other files";
/// The longest name or reason that is kept, in bytes.
const LONGEST: usize = 120;

/// Files that were passed over, counted by reason. Bounded, whatever it counts: a few reasons, the first ten
/// names of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassedOver(BTreeMap<String, Group>);

/// The files of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Group {
    count: u64,
    /// The names that came first.
    first: Vec<String>,
}

impl PassedOver {
    /// Nothing, yet.
    pub const fn new() -> PassedOver {
        PassedOver(BTreeMap::new())
    }

    /// Counts a file. The reason follows its count in [`PassedOver::line`]: `.avif (AVIF is not read)`, `in
    /// subfolders`.
    pub fn add(&mut self, reason: &str, name: &str) {
        let group = self.group(reason);
        group.count = group.count.saturating_add(1);
        if group.first.len() < NAMES {
            group.first.push(cut(name).to_string());
        }
    }

    /// Counts what another counted, after what is counted here.
    pub fn merge(&mut self, other: &PassedOver) {
        for (reason, more) in &other.0 {
            let group = self.group(reason);
            group.count = group.count.saturating_add(more.count);
            let room = NAMES.saturating_sub(group.first.len());
            group.first.extend(more.first.iter().take(room).cloned());
        }
    }

    fn group(&mut self, reason: &str) -> &mut Group {
        let reason = cut(reason);
        let known = self.0.contains_key(reason) || self.0.len() < REASONS;
        self.0.entry(if known { reason } else { OTHERS }.to_string()).or_default()
    }

    /// Whether nothing was passed over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many files were passed over.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, group| sum.saturating_add(group.count))
    }

    /// Reasons with their counts, the most frequent first.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut reasons: Vec<_> = self.0.iter().map(|(reason, group)| (&**reason, group.count)).collect();
        reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        reasons.into_iter()
    }

    /// The counts, one after another: `4 .avif (AVIF is not read), 2 .txt`.
    pub fn counts(&self) -> String {
        self.reasons().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
    }

    /// One line for people, `6 files passed over: 4 .avif (AVIF is not read), 2 .txt`; `None` where nothing
    /// was.
    pub fn line(&self) -> Option<String> {
        let files = if self.total() == 1 { "file" } else { "files" };
        (!self.is_empty()).then(|| format!("{} {files} passed over: {}", self.total(), self.counts()))
    }

    /// For `--json`: under each reason `count` and `first`, the names of at most ten files.
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
        let mut passed = PassedOver::new();
        assert_eq!((passed.line(), passed.is_empty(), passed.total()), (None, true, 0));
        passed.add(".txt", "notes.txt");
        assert_eq!(passed.line().unwrap(), "1 file passed over: 1 .txt");
        for i in 0..4 {
            passed.add(".avif (AVIF is not read)", &format!("{i}.avif"));
        }
        let mut more = PassedOver::new();
        (0..9).for_each(|i| more.add("in subfolders", &i.to_string()));
        more.add(".txt", "readme.txt");
        passed.merge(&more);
        let line = "15 files passed over: 9 in subfolders, 4 .avif (AVIF is not read), 2 .txt";
        assert_eq!((passed.line().unwrap().as_str(), passed.total()), (line, 15));
        assert_eq!(passed.to_json()[".txt"]["first"], serde_json::json!(["notes.txt", "readme.txt"]));
        let again: PassedOver = serde_json::from_value(passed.to_json()).unwrap();
        assert_eq!(again, passed);
    }

    #[test]
    fn it_stays_small_whatever_it_counts() {
        let mut passed = PassedOver::new();
        for i in 0..100_000 {
            passed.add(&format!(".{i}é{}", "x".repeat(i % 300)), &"é".repeat(i % 300));
        }
        passed.merge(&passed.clone());
        assert_eq!(passed.total(), 200_000);
        assert!(passed.to_json().to_string().len() < 100_000, "{}", passed.to_json().to_string().len());
        assert!(passed.line().unwrap().len() < 8_000 && passed.line().unwrap().contains(OTHERS));
    }
}
