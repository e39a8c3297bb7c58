//! A JPEG's markers: what kind it is, which scans it has and where their data lie (ITU-T T.81, annex B).

use std::ops::Range;

use super::super::bytes::{big, part};
use super::super::exif;
use super::super::limits::cut_short;

/// How a frame is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// One scan of each component.
    Sequential,
    /// Scans of parts of the coefficients or of their bits.
    Progressive,
    /// Differences of samples.
    Lossless,
}

/// A component of the frame.
#[derive(Debug, Clone)]
pub(super) struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quant: u8,
}

/// The frame header.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    marker: u8,
    pub process: Process,
    precision: u8,
    pub width: usize,
    pub height: usize,
    pub components: Vec<Component>,
}

/// One scan.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    /// Numbers of the frame's components.
    pub components: Vec<usize>,
    /// The scan header, from its marker on.
    header: Range<usize>,
    /// First and last coefficient, and the number of low bits that are still missing.
    spectrum: (u8, u8, u8),
    /// The coded data, restart markers included.
    data: Range<usize>,
    /// Number of table segments before it.
    tables: usize,
}

/// How colors are coded in the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColorSpace {
    Gray,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// All of it.
#[derive(Debug)]
pub(super) struct JpegLayout {
    pub frame: Frame,
    pub scans: Vec<Scan>,
    /// Segments of tables and the restart interval, from their markers on, in order.
    tables: Vec<Range<usize>>,
    /// Whether it has an EXIF orientation other than upright.
    pub rotated: bool,
    is_jfif: bool,
    adobe_transform: Option<u8>,
}

/// The next marker at or after `at` and the place behind it. As libjpeg does, bytes between segments are
/// passed over.
fn next_marker(bytes: &[u8], mut at: usize) -> Result<(u8, usize), String> {
    loop {
        at += memchr::memchr(0xFF, bytes.get(at..).unwrap_or(&[])).ok_or_else(cut_short)? + 1;
        match bytes.get(at) {
            None => return Err(cut_short()),
            Some(0 | 0xFF) => {}
            Some(&marker) => return Ok((marker, at + 1)),
        }
    }
}

/// The place of the first marker at or after `at` that ends a scan's data.
fn end_of_data(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    loop {
        match next_marker(bytes, at)? {
            (0xD0..=0xD7, next) => at = next,
            (_, next) => return Ok(next - 2),
        }
    }
}

/// Whether a segment of Huffman tables holds as many codes as it says, and of DC ones such as there can be.
fn huffman_tables_are_sound(mut body: &[u8]) -> bool {
    while let Some((head, rest)) = body.split_at_checked(17) {
        let codes = head[1..].iter().map(|&n| usize::from(n)).sum();
        let Some((symbols, rest)) = rest.split_at_checked(codes) else { return false };
        let is_dc = head[0] < 0x10;
        if codes > 256 || head[0] & 15 > 3 || (is_dc && symbols.iter().any(|&bits| bits > 15)) {
            return false;
        }
        body = rest;
    }
    body.is_empty()
}

impl JpegLayout {
    /// Reads the markers up to the end of the image.
    ///
    /// # Errors
    /// One line: a header that contradicts itself, no end of the image.
    pub(super) fn read(bytes: &[u8]) -> Result<JpegLayout, String> {
        let damaged = |what: &str| format!("damaged: {what}");
        let (mut frame, mut scans, mut tables): (Option<Frame>, Vec<Scan>, Vec<_>) = (None, vec![], vec![]);
        let (mut is_jfif, mut adobe_transform, mut exif) = (false, None, None);
        if !bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            return Err(damaged("no marker where it begins"));
        }
        let mut at = 2;
        loop {
            let (marker, start) = next_marker(bytes, at)?;
            match marker {
                0xD9 => break,
                0xD8 => return Err(damaged("a second image begins before the first one ends")),
                // A restart marker after the last scan's data; TEM.
                0xD0..=0xD7 | 0x01 => {
                    at = start;
                    continue;
                }
                _ => {}
            }
            let length = big(part(bytes, start, 2)?);
            if length < 2 {
                return Err(damaged(&format!("marker {marker:02X} of {length} bytes")));
            }
            let (body, end) = (&part(bytes, start, length)?[2..], start + length);
            let segment = start - 2..end;
            at = end;
            match marker {
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    let parsed = Frame::parse(marker, body).ok_or_else(|| damaged("its frame header"))?;
                    if frame.replace(parsed).is_some() {
                        return Err(damaged("a second frame"));
                    }
                }
                0xC4 if !huffman_tables_are_sound(body) => return Err(damaged("a Huffman table")),
                0xC4 | 0xCC | 0xDB | 0xDD => tables.push(segment),
                0xE0 if scans.is_empty() && body.len() >= 14 && body.starts_with(b"JFIF\0") => is_jfif = true,
                0xE1 if scans.is_empty() && body.starts_with(b"Exif\0\0") => exif = exif.or(Some(body)),
                0xEE if scans.is_empty() && body.len() >= 12 && body.starts_with(b"Adobe") => {
                    adobe_transform = Some(body[11]);
                }
                0xDA => {
                    let frame = frame.as_ref().ok_or_else(|| damaged("a scan before the frame header"))?;
                    let (components, spectrum) =
                        frame.parse_scan(body).ok_or_else(|| damaged("a scan header"))?;
                    at = end_of_data(bytes, end)?;
                    let (header, data, tables) = (segment, end..at, tables.len());
                    scans.push(Scan { components, header, spectrum, data, tables });
                }
                _ => {}
            }
        }
        let frame = frame.ok_or_else(|| damaged("no frame header"))?;
        for component in 0..frame.components.len() {
            let number = match scans.iter().filter(|scan| scan.components.contains(&component)).count() {
                0 => "no scan",
                2.. if frame.process != Process::Progressive => "two scans",
                _ => continue,
            };
            return Err(damaged(&format!("component {} has {number}", component + 1)));
        }
        let rotated = exif.is_some_and(exif::is_rotated);
        Ok(JpegLayout { frame, scans, tables, rotated, is_jfif, adobe_transform })
    }

    /// How the colors are coded, by libjpeg's rules (`default_decompress_parms`).
    pub(super) fn coding(&self) -> ColorSpace {
        let components = &self.frame.components;
        match (components.len(), self.adobe_transform) {
            (1, _) => ColorSpace::Gray,
            (3, _) if self.is_jfif => ColorSpace::YCbCr,
            (3, Some(0)) => ColorSpace::Rgb,
            (3, Some(_)) => ColorSpace::YCbCr,
            (3, None) if components.iter().map(|c| c.id).eq(*b"RGB") => ColorSpace::Rgb,
            (3, None) => ColorSpace::YCbCr,
            (_, None | Some(0)) => ColorSpace::Cmyk,
            (_, Some(_)) => ColorSpace::Ycck,
        }
    }

    /// Whether the scans are of all components or of one, or the frame is progressive.
    pub(super) fn scans_are_usual(&self) -> bool {
        let all = self.frame.components.len();
        self.frame.process == Process::Progressive
            || self.scans.iter().all(|scan| [1, all].contains(&scan.components.len()))
    }

    /// Whether some bits of a progressive frame's coefficients are in no scan.
    pub(super) fn is_incomplete(&self) -> bool {
        (0..self.frame.components.len()).any(|component| {
            let mut missing = [u8::MAX; 64];
            for scan in self.scans.iter().filter(|scan| scan.components.contains(&component)) {
                let (first, last, low) = scan.spectrum;
                missing[first.into()..=last.into()].fill(low);
            }
            missing.iter().any(|&low| low > 0)
        })
    }

    /// Checks that the coded data are as long as the image can be at the shortest, before room is made for
    /// it.
    ///
    /// # Errors
    /// They are not.
    pub(super) fn check_length(&self) -> Result<(), String> {
        let is_arithmetic = self.frame.marker >= 0xC9;
        let bytes: usize = self.scans.iter().map(|scan| scan.data.len()).sum();
        let of_all = |number: fn(usize, usize) -> usize| -> usize {
            let sizes = (0..self.frame.components.len()).map(|i| self.frame.component_size(i));
            sizes.map(|(width, height)| number(width, height)).sum()
        };
        let blocks = of_all(|width, height| width.div_ceil(8) * height.div_ceil(8));
        // A code has a bit or more. There is one for each block's DC coefficient, and one more in a
        // sequential scan.
        let bits = match self.frame.process {
            Process::Sequential => 2 * blocks,
            Process::Progressive => blocks,
            Process::Lossless => of_all(|width, height| width * height),
        };
        let enough = is_arithmetic || bits <= 8 * bytes;
        enough.then_some(()).ok_or_else(|| "damaged or cut short: image data are missing".to_string())
    }

    /// A JPEG of one sequential scan alone. The coefficients of a scan do not depend on other scans.
    pub(super) fn image_of(&self, scan: &Scan, bytes: &[u8]) -> Vec<u8> {
        let frame = &self.frame;
        let components: Vec<&Component> = scan.components.iter().map(|&c| &frame.components[c]).collect();
        // The size in which the scan has as many blocks as its component has in the image.
        let scaled = |side: usize, factor: fn(&Component) -> usize| {
            let here = components.iter().map(|c| factor(c)).max().unwrap_or(1);
            (side * here).div_ceil(frame.components.iter().map(factor).max().unwrap_or(1)) as u16
        };
        let (width, height) = (scaled(frame.width, |c| c.horizontal), scaled(frame.height, |c| c.vertical));
        let mut out = vec![0xFF, 0xD8];
        self.tables[..scan.tables].iter().for_each(|table| out.extend(&bytes[table.clone()]));
        out.extend([0xFF, frame.marker, 0, 8 + 3 * components.len() as u8, frame.precision]);
        out.extend(height.to_be_bytes());
        out.extend(width.to_be_bytes());
        out.push(components.len() as u8);
        for c in &components {
            out.extend([c.id, (c.horizontal << 4 | c.vertical) as u8, c.quant]);
        }
        out.extend(&bytes[scan.header.start..scan.data.end]);
        out.extend([0xFF, 0xD9]);
        out
    }
}

impl Frame {
    fn parse(marker: u8, body: &[u8]) -> Option<Frame> {
        let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else { return None };
        if rest.len() != 3 * usize::from(count) {
            return None;
        }
        let component = |c: &[u8]| {
            let (horizontal, vertical) = (usize::from(c[1] >> 4), usize::from(c[1] & 15));
            let sound = (1..=4).contains(&horizontal) && (1..=4).contains(&vertical) && c[2] < 4;
            sound.then_some(Component { id: c[0], horizontal, vertical, quant: c[2] })
        };
        let components: Vec<Component> = rest.chunks_exact(3).map(component).collect::<Option<_>>()?;
        let process = match marker {
            0xC2 | 0xCA => Process::Progressive,
            0xC3 => Process::Lossless,
            _ => Process::Sequential,
        };
        let (width, height) = (big(&[w1, w0]), big(&[h1, h0]));
        Some(Frame { marker, process, precision, width, height, components })
    }

    /// Checks that libjpeg reads such a frame.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check(&self) -> Result<(), String> {
        let count = self.components.len();
        let unscaled = || self.is_usual() && (0..count).all(|i| self.factors(i) == (1, 1));
        let (horizontal, vertical) = self.largest_factors();
        let are_multiples =
            || self.components.iter().all(|c| horizontal % c.horizontal == 0 && vertical % c.vertical == 0);
        Err(if !matches!(self.marker, 0xC0..=0xC3 | 0xC9 | 0xCA) {
            "a JPEG of a hierarchical or arithmetic lossless kind, which is not read".into()
        } else if self.precision != 8 {
            format!("a JPEG of {} bits a sample: only 8 are read", self.precision)
        } else if self.width == 0 || self.height == 0 {
            format!("{}×{} pixels", self.width, self.height)
        } else if ![1, 3, 4].contains(&count) {
            format!("a JPEG of {count} components: 1, 3 and 4 are read")
        } else if self.process == Process::Lossless && !unscaled() {
            "a lossless JPEG of subsampled colors or four channels, which is not read".into()
        } else if !are_multiples() {
            "a JPEG whose sampling factors are no multiples of each other, which is not read".into()
        } else {
            return Ok(());
        })
    }

    /// Whether the first component is sampled no less than the others, of one or three.
    pub(super) fn is_usual(&self) -> bool {
        self.components.len() < 4 && self.factors(0) == (1, 1)
    }

    fn largest_factors(&self) -> (usize, usize) {
        let largest = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        (largest(|c| c.horizontal), largest(|c| c.vertical))
    }

    /// By how much a component is to be enlarged to the image's size, horizontally and vertically.
    pub(super) fn factors(&self, component: usize) -> (usize, usize) {
        let (horizontal, vertical) = self.largest_factors();
        let component = &self.components[component];
        (horizontal / component.horizontal, vertical / component.vertical)
    }

    /// Width and height of a component's samples.
    pub(super) fn component_size(&self, component: usize) -> (usize, usize) {
        let (horizontal, vertical) = self.largest_factors();
        let component = &self.components[component];
        let width = (self.width * component.horizontal).div_ceil(horizontal);
        (width, (self.height * component.vertical).div_ceil(vertical))
    }

    /// The components of a scan, and what of their coefficients is in it.
    fn parse_scan(&self, body: &[u8]) -> Option<(Vec<usize>, (u8, u8, u8))> {
        let (&count, rest) = body.split_first()?;
        let (components, &[first, last, bits]) = rest.split_at_checked(2 * usize::from(count))? else {
            return None;
        };
        let number = |c: &[u8]| self.components.iter().position(|component| component.id == c[0]);
        let numbers: Vec<usize> = components.chunks_exact(2).map(number).collect::<Option<_>>()?;
        let distinct = numbers.iter().enumerate().all(|(i, number)| !numbers[..i].contains(number));
        let sound = (1..=4).contains(&count) && distinct;
        if self.process != Process::Progressive {
            return sound.then_some((numbers, (0, 63, 0)));
        }
        // DC coefficients of any components, or AC ones of a single one; first all bits but some, then one by
        // one.
        let (high, low) = (bits >> 4, bits & 15);
        let band = if first == 0 { last == 0 } else { first <= last && last <= 63 && count == 1 };
        let step = if high == 0 { low <= 13 } else { low + 1 == high };
        (sound && band && step).then_some((numbers, (first, last, low)))
    }
}
