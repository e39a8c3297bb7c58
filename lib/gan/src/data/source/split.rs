//! Splits of data sets, by the words of file names or by CelebA's list: `list_eval_partition.txt` with a line
//! `000001.jpg 0` for each image (0 train, 1 valid, 2 test). Kaggle publishes it as a table,
//! `list_eval_partition.csv`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::named::named_enum;
use crate::{Error, Result};

/// The names of the list, as its authors and Kaggle publish it.
pub(super) const LISTS: [&str; 2] = ["list_eval_partition.txt", "list_eval_partition.csv"];
/// The largest list that is read, in bytes. CelebA's has 3 MB.
pub(super) const MAX_LIST: u64 = 64 << 20;

named_enum! {
    /// A part of a data set. The numbers are CelebA's.
    pub enum Split {
        /// 162,770 images.
        Train = "train",
        /// 19,867 images.
        Valid = "valid",
        /// 19,962 images.
        Test = "test",
    }
}

impl Split {
    /// The split that a word of a file's name means.
    pub(super) fn of_word(word: &str) -> Option<Split> {
        match word.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "train" | "training" => Some(Split::Train),
            "test" | "testing" => Some(Split::Test),
            "valid" | "validation" | "val" => Some(Split::Valid),
            _ => (word == "t10k").then_some(Split::Test),
        }
    }

    /// The split that a file's name means or, where it means none, its folder's.
    pub(super) fn of_name(name: &str) -> Option<Split> {
        let name = name.to_lowercase();
        name.rsplit('/').find_map(|part| part.split(|c: char| !c.is_alphanumeric()).find_map(Split::of_word))
    }
}

/// An image's name without folders and extension. The list serves the PNG files of the aligned images, too.
pub(super) fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// CelebA's list: the split of each image, by the stem of its name.
pub(super) struct SplitList {
    /// The file name of the list.
    pub(super) name: &'static str,
    splits: HashMap<String, Split>,
}

impl SplitList {
    /// The split of the image `name`; `None` where the list does not name it.
    pub(super) fn split(&self, name: &str) -> Option<Split> {
        self.splits.get(stem(name)).copied()
    }

    /// Reads the list in `home`, one or two folders above it, or in `Eval/` of these (as published).
    pub(super) fn find(home: &Path) -> Result<SplitList> {
        let home = fs::canonicalize(if home.as_os_str().is_empty() { Path::new(".") } else { home })
            .map_err(Error::io(home))?;
        let folders = home.ancestors().take(3).flat_map(|folder| [folder.to_path_buf(), folder.join("Eval")]);
        for path in folders.flat_map(|folder| LISTS.map(|list| folder.join(list))) {
            match File::open(&path) {
                Ok(file) => {
                    let mut bytes = Vec::new();
                    file.take(MAX_LIST).read_to_end(&mut bytes).map_err(Error::io(&path))?;
                    return SplitList::parse(&path, &bytes);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(path)(e)),
            }
        }
        let what = format!(
            "no list_eval_partition.txt (or .csv) in {}, one or two folders above, or in Eval/ of these",
            home.display()
        );
        Err(Error::argument("split", what))
    }

    /// Reads a list's `bytes`; `path` names it.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<SplitList> {
        if bytes.len() as u64 == MAX_LIST {
            return Err(Error::file(path, format!("larger than {} MiB: not CelebA's list", MAX_LIST >> 20)));
        }
        let splits = parse(&text(bytes)).map_err(|what| Error::file(path, what))?;
        let name = LISTS.into_iter().find(|list| path.ends_with(list)).unwrap_or(LISTS[0]);
        Ok(SplitList { name, splits })
    }
}

/// UTF-8, or UTF-16 with a byte order mark, as Windows PowerShell writes it; without the mark.
fn text(bytes: &[u8]) -> String {
    let utf16 = |of: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks_exact(2).map(|pair| of([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xFF, 0xFE, ..] => utf16(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => utf16(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)).into_owned(),
    }
}

/// Each line has an image and its split, separated by white space, a comma or a semicolon, in quotes or not.
/// The first line of a table may name the columns, as Kaggle's does (`image_id,partition`).
fn parse(text: &str) -> Result<HashMap<String, Split>, String> {
    let mut splits = HashMap::new();
    let mut first = true;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let fields = line.rsplit_once([',', ';', '\t']).or_else(|| line.rsplit_once(char::is_whitespace));
        let (name, split) = fields.map_or(("", ""), |(name, split)| (bare(name), bare(split)));
        let known = match split {
            "0" => Some(Split::Train),
            "1" => Some(Split::Valid),
            "2" => Some(Split::Test),
            _ => split.parse().ok(),
        };
        let is_title = |word: &str| word.chars().all(|c| c.is_alphabetic() || matches!(c, '_' | '-' | ' '));
        match known {
            Some(split) if !name.is_empty() => {
                splits.insert(stem(name).to_string(), split);
            }
            _ if first && !split.is_empty() && is_title(name) && is_title(split) => {}
            _ => return Err(format!("line {}: not `000001.jpg 0` (0, 1 or 2)", number + 1)),
        }
        first = false;
    }
    Ok(splits)
}

/// A field without quotes and surrounding space.
fn bare(field: &str) -> &str {
    let field = field.trim();
    let quoted = |quote| field.strip_prefix(quote).and_then(|field| field.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(field).trim()
}
