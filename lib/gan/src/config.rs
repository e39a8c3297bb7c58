//! Tables of settings: each key stands once, with its type, default, range and documentation.

/// The values that a setting may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// All that its type has.
    Any,
    /// Whole numbers from the first to the second.
    Whole(u64, u64),
    /// Lists of at most so many whole numbers (first) that lie between the second and the third.
    Wholes(usize, u64, u64),
    /// Numbers above 0 and at most 1.
    Positive,
    /// Numbers of at least 0 and below 1.
    BelowOne,
    /// Numbers from 0 to 1.
    UpToOne,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Range::Any => f.write_str("any"),
            Range::Whole(from, to) => write!(f, "in {from} to {to}"),
            Range::Wholes(most, from, to) => write!(f, "at most {most} numbers in {from} to {to}"),
            Range::Positive => f.write_str("above 0 and at most 1"),
            Range::BelowOne => f.write_str("at least 0 and below 1"),
            Range::UpToOne => f.write_str("in 0 to 1"),
        }
    }
}

/// A setting's value, as far as a [`Range`] concerns it.
pub trait Setting {
    /// What is wrong with it, if it is outside of `range`.
    fn outside(&self, range: Range) -> Option<String>;
}

impl Setting for u64 {
    fn outside(&self, range: Range) -> Option<String> {
        let Range::Whole(from, to) = range else { return None };
        (!(from..=to).contains(self)).then(|| format!("{self} is not {range}"))
    }
}

impl Setting for usize {
    fn outside(&self, range: Range) -> Option<String> {
        (*self as u64).outside(range)
    }
}

impl Setting for f64 {
    fn outside(&self, range: Range) -> Option<String> {
        let inside = match range {
            Range::Positive => *self > 0.0 && *self <= 1.0,
            Range::BelowOne => (0.0..1.0).contains(self),
            Range::UpToOne => (0.0..=1.0).contains(self),
            _ => true,
        };
        (!inside).then(|| format!("{self} is not {range}"))
    }
}

impl<T: Setting> Setting for Option<T> {
    fn outside(&self, range: Range) -> Option<String> {
        self.as_ref()?.outside(range)
    }
}

impl Setting for Vec<usize> {
    fn outside(&self, range: Range) -> Option<String> {
        let Range::Wholes(most, from, to) = range else { return None };
        if self.len() > most {
            return Some(format!("{} numbers; at most {most} are possible", self.len()));
        }
        self.iter().find_map(|value| value.outside(Range::Whole(from, to)))
    }
}

/// A key of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// A former name that is still read.
    pub former: Option<&'static str>,
    /// The values that it may have, where a [`Range`] can say it.
    pub range: Range,
    /// What it sets.
    pub doc: &'static str,
}

/// A setting's key, and what is wrong with its value.
pub type Wrong = (&'static str, String);

/// Defines a table: a struct with serde, `Default`, `KEYS` and `check_ranges`. A line of it is
/// `key ["former name"]: Type = default, Range;` where the range may be left out.
macro_rules! table {
    ($(#[$meta:meta])* pub struct $table:ident {
        $($(#[doc = $doc:literal])+ $(#[serde($serde:meta)])? $key:ident $([$former:literal])? :
          $type:ty = $default:expr $(, $range:expr)?;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $table {
            $($(#[doc = $doc])+ $(#[doc = concat!(" Range: `", stringify!($range), "`.")])?
              $(#[serde($serde)])? $(#[serde(alias = $former)])? pub $key: $type,)*
        }

        impl Default for $table {
            fn default() -> $table {
                $table { $($key: $default,)* }
            }
        }

        impl $table {
            /// The keys, in order.
            pub const KEYS: &'static [$crate::config::Key] = {
                #[allow(unused_imports)]
                use $crate::config::Range::*;
                &[$($crate::config::Key {
                    name: stringify!($key),
                    former: $crate::config::last([None $(, Some($former))?]),
                    range: $crate::config::last([Any $(, $range)?]),
                    doc: concat!($($doc),+),
                }),*]
            };

            /// The first value that is outside of its range.
            #[allow(dead_code)]
            pub(crate) fn check_ranges(&self) -> Result<(), $crate::config::Wrong> {
                #[allow(unused_imports)]
                use $crate::config::{Range::*, Setting};
                $($(if let Some(what) = self.$key.outside($range) {
                    return Err((stringify!($key), what));
                })?)*
                Ok(())
            }
        }
    };
}
pub(crate) use table;

/// The last of the values that `table!` has for a key.
pub(crate) const fn last<T: Copy, const N: usize>(values: [T; N]) -> T {
    values[N - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    table! {
        /// A table.
        pub struct Oven {
            /// Degrees.
            heat ["warmth"]: u64 = 180, Whole(50, 300);
            /// The fan's share
            /// of its speed.
            fan: f64 = 0.5, UpToOne;
            /// Its color.
            color: String = "white".into();
        }
    }

    #[test]
    fn a_table_has_defaults_former_names_and_ranges() {
        let oven = |json: &str| serde_json::from_str::<Oven>(json);
        assert_eq!(oven("{}").unwrap(), Oven { heat: 180, fan: 0.5, color: "white".into() });
        assert_eq!(
            oven(r#"{"warmth": 9}"#).unwrap().check_ranges(),
            Err(("heat", "9 is not in 50 to 300".into()))
        );
        assert_eq!(
            oven(r#"{"fan": 1.5}"#).unwrap().check_ranges(),
            Err(("fan", "1.5 is not in 0 to 1".into()))
        );
        assert!(oven(r#"{"heet": 9}"#).is_err());
        let keys: Vec<_> = Oven::KEYS.iter().map(|key| (key.name, key.former, key.range)).collect();
        let expected = [
            ("heat", Some("warmth"), Range::Whole(50, 300)),
            ("fan", None, Range::UpToOne),
            ("color", None, Range::Any),
        ];
        assert_eq!(keys, expected);
        assert_eq!(Oven::KEYS[1].doc, " The fan's share of its speed.");
    }
}
