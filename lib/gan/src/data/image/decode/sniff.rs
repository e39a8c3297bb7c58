//! What kind of file its first bytes say it is.

/// Defines [`Format`] by a table: its name for people, what such files begin with where that alone tells
/// them, and a usual command that makes a PNG of it.
macro_rules! formats {
    ($(
        $(#[$doc:meta])* $Format:ident = $name:literal $([$($magic:literal),+])? $($converter:literal)?,
    )+) => {
        /// A kind of image file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Format { $($(#[$doc])* $Format,)+ }

        const MAGIC: &[(Format, &[&[u8]])] = &[$((Format::$Format, &[$($($magic),+)?])),+];

        impl Format {
            /// The format's name for people.
            pub fn name(self) -> &'static str {
                match self { $(Format::$Format => $name),+ }
            }

            /// A command that makes a PNG of it, as the end of a sentence; empty where there is no usual one.
            pub(crate) fn converter(self) -> &'static str {
                match self { $(Format::$Format => concat!($(" (", $converter, ")")?)),+ }
            }
        }
    };
}

formats! {
    /// JPEG.
    Jpeg = "JPEG" [b"\xFF\xD8\xFF"],
    /// PNG, with or without animation.
    Png = "PNG" [b"\x89PNG\r\n\x1a\n"],
    /// GIF.
    Gif = "GIF" [b"GIF87a", b"GIF89a"],
    /// Windows bitmaps, with a file header (.bmp) or without (.dib).
    Bmp = "BMP",
    /// WebP.
    WebP = "WebP",
    /// TIFF, and raw files of cameras that only their content distinguishes from it.
    Tiff = "TIFF" [b"II\x2a\0", b"MM\0\x2a", b"MM\x2a\0", b"II\0\x2a"],
    /// TIFF with offsets of 64 bits.
    BigTiff = "BigTIFF" [b"II\x2b\0", b"MM\0\x2b"],
    /// Netpbm's PBM, PGM, PPM and PAM, PFM of one channel.
    Pnm = "PNM",
    /// PFM of three channels.
    ColorPfm = "PFM in color",
    /// AVIF.
    Avif = "AVIF" "avifdec IN.avif OUT.png",
    /// HEIC and HEIF.
    Heic = "HEIC" "heif-convert IN.heic OUT.png",
    /// JPEG XL, a bare codestream or in boxes.
    JpegXl = "JPEG XL" [b"\xFF\x0A"] "djxl IN.jxl OUT.png",
    /// JPEG 2000, a bare codestream (.j2k) or in boxes (.jp2).
    Jpeg2000 = "JPEG 2000" [b"\xFF\x4F\xFF\x51"] "opj_decompress -i IN.jp2 -o OUT.png",
    /// JPEG XR.
    JpegXr = "JPEG XR" [b"II\xbc\x01"],
    /// Photoshop.
    Psd = "a Photoshop document" [b"8BPS"] "magick IN OUT.png",
    /// Icons and cursors of Windows.
    Ico = "ICO" [b"\0\0\x01\0", b"\0\0\x02\0"] "magick IN OUT.png",
    /// Icons of macOS.
    Icns = "ICNS" [b"icns"] "magick IN OUT.png",
    /// SVG.
    Svg = "SVG" "rsvg-convert IN.svg -o OUT.png",
    /// PDF.
    Pdf = "PDF" [b"%PDF-"] "pdftoppm -png IN.pdf OUT",
    /// PostScript.
    PostScript = "PostScript" [b"%!PS", b"\xC5\xD0\xD3\xC6"],
    /// GIMP.
    Xcf = "XCF" [b"gimp xcf "],
    /// OpenEXR.
    Exr = "OpenEXR" [b"\x76\x2f\x31\x01"],
    /// Radiance HDR.
    Hdr = "Radiance HDR" [b"#?RADIANCE", b"#?RGBE"],
    /// Quite OK Image.
    Qoi = "QOI" [b"qoif"] "magick IN OUT.png",
    /// DirectDraw surfaces.
    Dds = "DDS" [b"DDS "] "magick IN OUT.png",
    /// DICOM.
    Dicom = "DICOM" "dcm2pnm +on IN.dcm OUT.png",
    /// FITS.
    Fits = "FITS" [b"SIMPLE  ="],
    /// NIfTI.
    Nifti = "NIfTI" [b"\x5c\x01\0\0"],
    /// DjVu.
    Djvu = "DjVu" [b"AT&TFORM"] "magick IN OUT.png",
    /// FLIF.
    Flif = "FLIF" [b"FLIF"],
    /// ZSoft's PCX.
    Pcx = "PCX" [b"\x0a\x00\x01", b"\x0a\x02\x01", b"\x0a\x03\x01", b"\x0a\x05\x01"] "magick IN OUT.png",
    /// Raw files of cameras (CR2, CR3, RAF, ORF, RW2, X3F).
    CameraRaw = "a camera's raw file"
        [b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM"]
        "dcraw -T IN makes a TIFF",
}

impl Format {
    /// Whether [`decode`](super::decode) reads it. (Of those that are read, some kinds are refused by name.)
    pub fn is_read(self) -> bool {
        use Format::{BigTiff, Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
        matches!(self, Jpeg | Png | Gif | Bmp | WebP | Tiff | BigTiff | Pnm)
    }
}

/// The kind of image that a file begins as; `None` where it is no image that is known. The first 512 bytes
/// are enough.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let begins = || MAGIC.iter().find(|(_, all)| all.iter().any(|magic| has(0, magic)));
    match bytes {
        [b'I', b'I', 0x2a, 0, _, _, _, _, b'C', b'R', ..] => Some(Format::CameraRaw),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        // Boxes may have a length like the magic number of icons.
        _ => boxes(bytes).or_else(|| begins().map(|&(format, _)| format)),
    }
    .or_else(|| pnm(bytes))
    .or_else(|| bmp(bytes))
    .or_else(|| has(128, b"DICM").then_some(Format::Dicom))
    .or_else(|| svg(bytes).then_some(Format::Svg))
}

fn pnm(bytes: &[u8]) -> Option<Format> {
    // A letter P and a digit begin many a text; the magic number is followed by white space or a comment.
    let &[b'P', kind, after] = bytes.get(..3)? else { return None };
    if !(after.is_ascii_whitespace() || after == b'#') {
        return None;
    }
    match kind {
        b'1'..=b'7' | b'f' => Some(Format::Pnm),
        b'F' => Some(Format::ColorPfm),
        _ => None,
    }
}

fn bmp(bytes: &[u8]) -> Option<Format> {
    const HEADERS: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];
    let header = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.starts_with(b"BM") {
        // Whatever its header is: two letters alone begin texts, too.
        return header(14).filter(|&size| HEADERS.contains(&size) || size < 256).map(|_| Format::Bmp);
    }
    let size = header(0)?;
    let planes = if size == 12 { bytes.get(8..10) } else { bytes.get(12..14) };
    (HEADERS.contains(&size) && planes == Some(&[1, 0])).then_some(Format::Bmp)
}

/// Files of boxes: ISO's and JPEG's. The first box is short.
fn boxes(bytes: &[u8]) -> Option<Format> {
    match bytes.get(4..8).filter(|_| bytes[0] == 0)? {
        b"JXL " => Some(Format::JpegXl),
        b"jP  " => Some(Format::Jpeg2000),
        b"ftyp" => {
            let brands = || bytes[8..].chunks_exact(4).take(16);
            match bytes.get(8..12)? {
                b"crx " => Some(Format::CameraRaw),
                _ if brands().any(|brand| matches!(brand, b"avif" | b"avis")) => Some(Format::Avif),
                b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" => Some(Format::Heic),
                _ => None,
            }
        }
        _ => None,
    }
}

fn svg(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(512)];
    let text = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
    text.starts_with(b"<svg")
        || (text.starts_with(b"<?xml") || text.starts_with(b"<!--") || text.starts_with(b"<!DOCTYPE svg"))
            && text.windows(4).any(|window| window == b"<svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let known: [(&[u8], Format); 16] = [
            (b"\xFF\xD8\xFF\xE0", Format::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Format::Png),
            (b"GIF89a\x01\0", Format::Gif),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Format::WebP),
            (b"MM\0\x2a\0\0\0\x08", Format::Tiff),
            (b"II\x2a\0\x10\0\0\0CR\x02\0", Format::CameraRaw),
            (b"II\x2b\0\x08\0\0\0", Format::BigTiff),
            (b"P5\n2 2\n255\n", Format::Pnm),
            (b"P7\nWIDTH 2\n", Format::Pnm),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1", Format::Avif),
            (b"\0\0\0\x18ftypmif1\0\0\0\0avifmif1", Format::Avif),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Format::Heic),
            (b"\xFF\x0A\x08\x10", Format::JpegXl),
            (b"\0\0\0\x0cJXL \r\n\x87\n", Format::JpegXl),
            (b"\0\0\0\x0cjP  \r\n\x87\n", Format::Jpeg2000),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"x\">", Format::Svg),
        ];
        for (bytes, format) in known {
            assert_eq!(sniff(bytes), Some(format), "{format:?}");
        }
        let mut dib = vec![40, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 24, 0];
        assert_eq!(sniff(&dib), Some(Format::Bmp));
        dib[12] = 9;
        assert_eq!(sniff(&dib), None);
        for text in
            ["", "P", "P5", "BMW is a car maker", "Portable", "P6: six", "hello, world", "<html><svg></html>"]
        {
            assert_eq!(sniff(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        let avif = super::super::decode(b"\0\0\0\x1cftypavif\0\0\0\0mif1").unwrap_err();
        assert_eq!(avif, "AVIF is not read: convert it to PNG (avifdec IN.avif OUT.png)");
        let unread = [Format::Heic, Format::Psd, Format::Exr, Format::CameraRaw];
        assert!(unread.iter().all(|format| !format.is_read()) && Format::BigTiff.is_read());
    }
}
