//! What kind of file its first bytes say it is.

/// A kind of image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG, with or without animation.
    Png,
    /// GIF.
    Gif,
    /// Windows bitmaps, with a file header (.bmp) or without (.dib).
    Bmp,
    /// WebP.
    WebP,
    /// TIFF, and raw files of cameras that only their content distinguishes from it.
    Tiff,
    /// TIFF with offsets of 64 bits.
    BigTiff,
    /// Netpbm's PBM, PGM, PPM and PAM, PFM of one channel.
    Pnm,
    /// PFM of three channels.
    ColorPfm,
    /// AVIF.
    Avif,
    /// HEIC and HEIF.
    Heic,
    /// JPEG XL, a bare codestream or in boxes.
    JpegXl,
    /// JPEG 2000, a bare codestream (.j2k) or in boxes (.jp2).
    Jpeg2000,
    /// JPEG XR.
    JpegXr,
    /// Photoshop.
    Psd,
    /// Icons and cursors of Windows.
    Ico,
    /// Icons of macOS.
    Icns,
    /// SVG.
    Svg,
    /// PDF.
    Pdf,
    /// PostScript.
    PostScript,
    /// GIMP.
    Xcf,
    /// OpenEXR.
    Exr,
    /// Radiance HDR.
    Hdr,
    /// Quite OK Image.
    Qoi,
    /// DirectDraw surfaces.
    Dds,
    /// DICOM.
    Dicom,
    /// FITS.
    Fits,
    /// NIfTI.
    Nifti,
    /// DjVu.
    Djvu,
    /// FLIF.
    Flif,
    /// ZSoft's PCX.
    Pcx,
    /// Raw files of cameras (CR2, CR3, RAF, ORF, RW2, X3F).
    CameraRaw,
}

impl Format {
    /// The format's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
            Format::WebP => "WebP",
            Format::Tiff => "TIFF",
            Format::BigTiff => "BigTIFF",
            Format::Pnm => "PNM",
            Format::ColorPfm => "PFM in color",
            Format::Avif => "AVIF",
            Format::Heic => "HEIC",
            Format::JpegXl => "JPEG XL",
            Format::Jpeg2000 => "JPEG 2000",
            Format::JpegXr => "JPEG XR",
            Format::Psd => "a Photoshop document",
            Format::Ico => "ICO",
            Format::Icns => "ICNS",
            Format::Svg => "SVG",
            Format::Pdf => "PDF",
            Format::PostScript => "PostScript",
            Format::Xcf => "XCF",
            Format::Exr => "OpenEXR",
            Format::Hdr => "Radiance HDR",
            Format::Qoi => "QOI",
            Format::Dds => "DDS",
            Format::Dicom => "DICOM",
            Format::Fits => "FITS",
            Format::Nifti => "NIfTI",
            Format::Djvu => "DjVu",
            Format::Flif => "FLIF",
            Format::Pcx => "PCX",
            Format::CameraRaw => "a camera's raw file",
        }
    }

    /// Whether [`decode`](super::decode) reads it. (Of those that are read, some kinds are refused by name.)
    pub fn is_read(self) -> bool {
        use Format::{BigTiff, Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
        matches!(self, Jpeg | Png | Gif | Bmp | WebP | Tiff | BigTiff | Pnm)
    }

    /// A command that makes a PNG of it, as the end of a sentence; empty where there is no usual one.
    pub(crate) fn converter(self) -> &'static str {
        match self {
            Format::Avif => " (avifdec IN.avif OUT.png)",
            Format::Heic => " (heif-convert IN.heic OUT.png)",
            Format::JpegXl => " (djxl IN.jxl OUT.png)",
            Format::Jpeg2000 => " (opj_decompress -i IN.jp2 -o OUT.png)",
            Format::Svg => " (rsvg-convert IN.svg -o OUT.png)",
            Format::Pdf => " (pdftoppm -png IN.pdf OUT)",
            Format::CameraRaw => " (dcraw -T IN makes a TIFF)",
            Format::Dicom => " (dcm2pnm +on IN.dcm OUT.png)",
            Format::Psd
            | Format::Ico
            | Format::Icns
            | Format::Dds
            | Format::Pcx
            | Format::Qoi
            | Format::Djvu => " (magick IN OUT.png)",
            _ => "",
        }
    }
}

/// The kind of image that a file begins as; `None` where it is no image that is known. The first 512 bytes
/// are enough.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    let has = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()).is_some_and(|there| there == magic);
    let begins = |magic: &[u8]| has(0, magic);
    if begins(b"\xFF\xD8\xFF") {
        return Some(Format::Jpeg);
    }
    if begins(b"\x89PNG\r\n\x1a\n") {
        return Some(Format::Png);
    }
    if begins(b"GIF87a") || begins(b"GIF89a") {
        return Some(Format::Gif);
    }
    if begins(b"RIFF") && has(8, b"WEBP") {
        return Some(Format::WebP);
    }
    if let Some(format) = tiff(bytes).or_else(|| pnm(bytes)).or_else(|| bmp(bytes)).or_else(|| boxes(bytes)) {
        return Some(format);
    }
    const OTHERS: [(&[u8], Format); 27] = [
        (b"\xFF\x0A", Format::JpegXl),
        (b"\xFF\x4F\xFF\x51", Format::Jpeg2000),
        (b"8BPS", Format::Psd),
        (b"\0\0\x01\0", Format::Ico),
        (b"\0\0\x02\0", Format::Ico),
        (b"icns", Format::Icns),
        (b"%PDF-", Format::Pdf),
        (b"%!PS", Format::PostScript),
        (b"\xC5\xD0\xD3\xC6", Format::PostScript),
        (b"gimp xcf ", Format::Xcf),
        (b"\x76\x2f\x31\x01", Format::Exr),
        (b"#?RADIANCE", Format::Hdr),
        (b"#?RGBE", Format::Hdr),
        (b"qoif", Format::Qoi),
        (b"DDS ", Format::Dds),
        (b"SIMPLE  =", Format::Fits),
        (b"\x5c\x01\0\0", Format::Nifti),
        (b"AT&TFORM", Format::Djvu),
        (b"FLIF", Format::Flif),
        (b"\x0a\x00\x01", Format::Pcx),
        (b"\x0a\x02\x01", Format::Pcx),
        (b"\x0a\x03\x01", Format::Pcx),
        (b"\x0a\x05\x01", Format::Pcx),
        (b"FUJIFILMCCD-RAW", Format::CameraRaw),
        (b"FOVb", Format::CameraRaw),
        (b"\0MRM", Format::CameraRaw),
        (b"II\xbc\x01", Format::JpegXr),
    ];
    if let Some((_, format)) = OTHERS.iter().find(|(magic, _)| begins(magic)) {
        return Some(*format);
    }
    if has(128, b"DICM") {
        return Some(Format::Dicom);
    }
    svg(bytes).then_some(Format::Svg)
}

fn tiff(bytes: &[u8]) -> Option<Format> {
    match bytes.get(..4)? {
        b"II\x2a\0" if bytes.get(8..10) == Some(b"CR") => Some(Format::CameraRaw),
        b"II\x2a\0" | b"MM\0\x2a" | b"MM\x2a\0" | b"II\0\x2a" => Some(Format::Tiff),
        b"II\x2b\0" | b"MM\0\x2b" => Some(Format::BigTiff),
        b"IIRO" | b"IIRS" | b"MMOR" | b"IIU\0" => Some(Format::CameraRaw),
        _ => None,
    }
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

/// Files of boxes: ISO's and JPEG's.
fn boxes(bytes: &[u8]) -> Option<Format> {
    match bytes.get(4..8)? {
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
