//! Bilevel fax coding: ITU-T T.4 (runs, one- and two-dimensional) and T.6. The code tables are those of the
//! crate `fax`. Its own decoders know neither rows without end-of-line codes nor the two-dimensional T.4;
//! this one takes sound data alone, where libtiff guesses at what is damaged.

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader};

/// Which code, by TIFF's number of the compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// 2: rows of runs, each from a byte on.
    Runs,
    /// 3: T.4, with an end-of-line code before each row, in one dimension or in two.
    Group3 { two: bool },
    /// 4: T.6.
    Group4,
}

struct Bits<I: Iterator<Item = Result<u8, Infallible>>> {
    reader: ByteReader<I>,
    /// Bits taken, to know where bytes end; the reader has no such count of its own.
    taken: usize,
}

impl<I: Iterator<Item = Result<u8, Infallible>>> BitReader for Bits<I> {
    type Error = Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        self.reader.peek(bits)
    }

    fn consume(&mut self, bits: u8) -> Result<(), Infallible> {
        self.taken += usize::from(bits);
        self.reader.consume(bits)
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.taken.next_multiple_of(8) - self.taken) as u8
    }
}

/// Unpacks `height` rows of `width` pixels: a bit each, 1 where it is black, each row from a byte on. `None`
/// where the data are broken or end too early.
pub(super) fn unpack(data: &[u8], width: usize, height: usize, code: Code) -> Option<Vec<u8>> {
    // The reader looks ahead by two bytes.
    let padded = data.iter().copied().chain([0; 4]).map(Ok);
    let mut bits = Bits { reader: ByteReader::new(padded).ok()?, taken: 0 };
    let row_bytes = width.div_ceil(8);
    let mut rows = vec![0; row_bytes.checked_mul(height)?];
    let (mut above, mut row) = (Vec::new(), Vec::new());
    for packed in rows.chunks_exact_mut(row_bytes) {
        row.clear();
        match code {
            Code::Runs => {
                one_dimension(&mut bits, width, &mut row)?;
                bits.consume(bits.bits_to_byte_boundary()).ok()?;
            }
            Code::Group4 => two_dimensions(&mut bits, width, &above, &mut row)?,
            Code::Group3 { two } => {
                end_of_line(&mut bits)?;
                match two && !flag(&mut bits)? {
                    true => two_dimensions(&mut bits, width, &above, &mut row)?,
                    false => one_dimension(&mut bits, width, &mut row)?,
                }
            }
        }
        if bits.taken > 8 * data.len() {
            return None;
        }
        for black in row.chunks(2) {
            let end = black.get(1).map_or(width, |&end| end);
            (black[0]..end).for_each(|x| packed[x / 8] |= 128 >> (x % 8));
        }
        std::mem::swap(&mut above, &mut row);
    }
    Some(rows)
}

fn flag(bits: &mut impl BitReader) -> Option<bool> {
    let one = bits.peek(1)? == 1;
    bits.consume(1).ok()?;
    Some(one)
}

/// Eleven zeros or more, then a one.
fn end_of_line(bits: &mut impl BitReader) -> Option<()> {
    let mut zeros = 0;
    while !flag(bits)? {
        zeros += 1;
    }
    (zeros >= 11).then_some(())
}

/// A run: codes of 64 and more, then one below.
fn run(bits: &mut impl BitReader, is_black: bool) -> Option<usize> {
    let mut sum = 0;
    loop {
        let part = if is_black { black::decode(bits) } else { white::decode(bits) }?;
        sum += usize::from(part);
        if part < 64 {
            return Some(sum);
        }
        if sum > 1 << 17 {
            return None;
        }
    }
}

/// The places where the color changes, the first to black; those at the row's end are left out.
fn one_dimension(bits: &mut impl BitReader, width: usize, row: &mut Vec<usize>) -> Option<()> {
    let (mut at, mut is_black) = (0, false);
    while at < width {
        at += run(bits, is_black)?;
        is_black = !is_black;
        if at < width {
            row.push(at);
        }
    }
    (at == width).then_some(())
}

fn two_dimensions(
    bits: &mut impl BitReader,
    width: usize,
    above: &[usize],
    row: &mut Vec<usize>,
) -> Option<()> {
    // Before the row's first pixel is a white one.
    let (mut at, mut start, mut is_black) = (0, true, false);
    while at < width {
        // The first change above to the right of `at` that is to the other color, and the one after it.
        let mut next = above.partition_point(|&change| if start { change < at } else { change <= at });
        next += usize::from((next % 2 == 1) != is_black);
        let b1 = above.get(next).copied().unwrap_or(width);
        let b2 = above.get(next + 1).copied().unwrap_or(width);
        match mode::decode(bits)? {
            Mode::Pass => at = b2,
            Mode::Horizontal => {
                let first = at + run(bits, is_black)?;
                let second = first + run(bits, !is_black)?;
                if second > width {
                    return None;
                }
                row.extend([first, second]);
                at = second;
            }
            Mode::Vertical(delta) => {
                let to = b1.checked_add_signed(isize::from(delta))?;
                if to > width || to < at {
                    return None;
                }
                row.push(to);
                at = to;
                is_black = !is_black;
            }
            Mode::Extension | Mode::EOF => return None,
        }
        start = false;
    }
    // Changes at the row's end are none.
    while row.last() == Some(&width) {
        row.pop();
    }
    (at == width).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_changes() {
        // White 2 (0111), black 3 (10), white 3 (1000): ten bits, in two bytes.
        let coded = [0b0111_1010, 0b0000_0000];
        assert_eq!(unpack(&coded, 8, 1, Code::Runs).unwrap(), [0b0011_1000]);
        assert!(unpack(&coded[..1], 8, 1, Code::Runs).is_none(), "cut short");
        // Two dimensions: the same runs by the horizontal mode (001), the end by V0 (1); then three times V0.
        let coded = [0b0010_1111, 0b0111_1000];
        assert_eq!(unpack(&coded, 8, 2, Code::Group4).unwrap(), [0b0011_1000; 2]);
        assert!(unpack(&[0; 40], 8, 2, Code::Group4).is_none());
        assert!(unpack(&[], 8, 1, Code::Group3 { two: false }).is_none());
    }
}
