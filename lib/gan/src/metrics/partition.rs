//! Equal parts of a set of images, for statistics that several machines make.

/// One of equal parts of a set of images, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which part, from 1.
    pub index: usize,
    /// The number of parts.
    pub of: usize,
}

impl Partition {
    /// The images of this part among `n`.
    pub fn range(self, n: usize) -> std::ops::Range<usize> {
        let start = |index: usize| (index as u128 * n as u128 / self.of as u128) as usize;
        start(self.index - 1)..start(self.index)
    }

    /// The text that identifies the images of this part, from that of all images.
    pub(crate) fn content(self, all: &str) -> String {
        format!("part {self} of {all}")
    }
}

impl std::str::FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Partition, String> {
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Partition { index, of }),
            _ => Err("name a part as K/N, such as 3/16, K being 1 to N".into()),
        }
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}
