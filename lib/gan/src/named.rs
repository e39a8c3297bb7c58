//! Enums whose variants have names in flags, recipes and files.

/// Defines an enum of variants with names: `enum E { A = "a", B = "b" }`.
///
/// It gets `NAMES` (in the order of the variants), `Display`, `FromStr` and serde by these names. `Display`
/// and `FromStr` are inverse to each other; the error of `FromStr` is one line that lists the names.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Enum:ident { $($(#[$of_variant:meta])* $Variant:ident = $name:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        $vis enum $Enum { $($(#[$of_variant])* #[serde(rename = $name)] $Variant,)+ }

        impl $Enum {
            /// The names that [`str::parse`] takes, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.pad(match self { $($Enum::$Variant => $name),+ })
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = String;

            fn from_str(name: &str) -> Result<$Enum, String> {
                match name {
                    $($name => Ok($Enum::$Variant),)+
                    _ => Err($crate::named::unknown(name, $Enum::NAMES)),
                }
            }
        }
    };
}
pub(crate) use named_enum;

/// The error about a name that is not one of `names`.
pub(crate) fn unknown(name: &str, names: &[&str]) -> String {
    format!("`{name}` is not one of {}; did you mean `{}`?", names.join(", "), nearest(name, names))
}

/// The candidate with the fewest insertions, deletions and replacements from `word` (Levenshtein 1966); the
/// first of equals.
///
/// # Panics
/// Without candidates.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> &'a str {
    candidates.iter().min_by_key(|c| strsim::levenshtein(word, c)).expect("at least one candidate")
}

#[cfg(test)]
mod tests {
    use super::*;

    named_enum! {
        /// Fruit.
        #[derive(Default)]
        enum Fruit {
            /// Red or green.
            #[default]
            Apple = "apple",
            /// Purple.
            PassionFruit = "passion-fruit",
        }
    }

    #[test]
    fn names_are_displayed_parsed_and_serialized() {
        assert_eq!(Fruit::NAMES, ["apple", "passion-fruit"]);
        for (fruit, name) in [(Fruit::Apple, "apple"), (Fruit::PassionFruit, "passion-fruit")] {
            assert_eq!((fruit.to_string(), name.parse()), (name.to_string(), Ok(fruit)));
            assert_eq!(serde_json::to_value(fruit).unwrap(), name);
            assert_eq!(serde_json::from_value::<Fruit>(name.into()).unwrap(), fruit);
        }
        assert_eq!(Fruit::default(), Fruit::Apple);
        assert!(serde_json::from_value::<Fruit>("Apple".into()).is_err());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names() {
        let line = "passionfruit".parse::<Fruit>().unwrap_err();
        assert_eq!(line, "`passionfruit` is not one of apple, passion-fruit; did you mean `passion-fruit`?");
        assert_eq!(nearest("", &["abc", "de", "fg"]), "de", "the first of equals");
    }
}
