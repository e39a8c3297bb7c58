//! Formats of images, told by a file's first bytes.

/// As many first bytes of a file as [`sniff`] needs.
pub(super) const HEAD: usize = 64;

/// A format of images: its name, and whether it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format(&'static str, bool);

impl Format {
    pub(super) fn name(self) -> &'static str {
        self.0
    }

    pub(super) fn is_read(self) -> bool {
        self.1
    }
}

/// The format of an image that begins with `head`.
pub(super) fn sniff(head: &[u8]) -> Option<Format> {
    let begins = |magic: &[u8]| head.starts_with(magic);
    let at = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let digit_or_comment = |byte: &u8| byte.is_ascii_digit() || *byte == b'#';
    Some(match () {
        () if begins(b"\xFF\xD8\xFF") => Format("JPEG", true),
        () if begins(b"\x89PNG\r\n\x1A\n") => Format("PNG", true),
        () if begins(b"GIF87a") || begins(b"GIF89a") => Format("GIF", true),
        () if begins(b"RIFF") && at(8, b"WEBP") => Format("WebP", true),
        () if begins(b"II*\0") || begins(b"MM\0*") || begins(b"II+\0") || begins(b"MM\0+") => {
            Format("TIFF", true)
        }
        // Two letters alone would be many a text: the reserved bytes are zero and the next header has a known size.
        () if begins(b"BM")
            && at(6, &[0; 4])
            && matches!(head.get(14), Some(12 | 40 | 52 | 56 | 64 | 108 | 124)) =>
        {
            Format("BMP", true)
        }
        () if begins(b"P7\nWIDTH") => Format("PNM", true),
        () if matches!(head, [b'P', b'1'..=b'6', b'\n' | b' ' | b'\r' | b'\t', next, ..] if digit_or_comment(next)) => {
            Format("PNM", true)
        }
        () if at(4, b"ftypavif") || at(4, b"ftypavis") => Format("AVIF", false),
        () if ["heic", "heix", "hevc", "heim", "heis", "mif1", "msf1"]
            .iter()
            .any(|brand| at(4, b"ftyp") && at(8, brand.as_bytes())) =>
        {
            Format("HEIC", false)
        }
        () if begins(b"\xFF\x0A") || begins(b"\0\0\0\x0CJXL \r\n\x87\n") => Format("JPEG XL", false),
        () if begins(b"\xFF\x4F\xFF\x51") || begins(b"\0\0\0\x0CjP  \r\n\x87\n") => {
            Format("JPEG 2000", false)
        }
        () if begins(b"8BPS") => Format("Photoshop", false),
        () if begins(b"\x76\x2F\x31\x01") => Format("OpenEXR", false),
        () if begins(b"#?RADIANCE") => Format("Radiance HDR", false),
        () if begins(b"qoif") => Format("QOI", false),
        () if begins(b"DDS ") => Format("DDS", false),
        _ => return None,
    })
}
