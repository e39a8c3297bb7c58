//! The bytes of the strings in a pickle.

use std::io::{BufReader, Read};

use crate::Result;
use crate::data::source::span::Span;
use crate::data::source::unpack::Room;
use crate::io::pickle::{Blob, StringCoding};

/// Bytes that are not written as they are, in a temporary file.
pub(super) fn decoded(span: &Span, blob: Blob) -> Result<Span> {
    let part = span.part(blob.from, blob.len)?;
    if blob.coding == StringCoding::Raw {
        return Ok(part);
    }
    let mut room = Room::new(span)?;
    let mut out = Vec::with_capacity(1 << 16);
    let mut bytes = BufReader::with_capacity(1 << 16, part.reader()).bytes();
    let mut next = || bytes.next().transpose().map_err(crate::Error::io(&span.name));
    let damaged = || span.wrong("a damaged pickle: fetch it again");
    while let Some(byte) = next()? {
        let plain = match (blob.coding, byte) {
            (StringCoding::Latin1, 0xC2 | 0xC3) => (byte << 6) | (next()?.ok_or_else(damaged)? & 0x3F),
            (StringCoding::Latin1, 0x80..) => return Err(damaged()),
            (StringCoding::Quoted | StringCoding::Escaped, b'\\') => {
                let kind = next()?.ok_or_else(damaged)?;
                let digits = match (blob.coding, kind) {
                    (StringCoding::Quoted, b'x') => 2,
                    (StringCoding::Escaped, b'u') => 4,
                    (StringCoding::Escaped, _) => return Err(damaged()),
                    _ => 0,
                };
                let mut value = 0u32;
                for _ in 0..digits {
                    let digit = char::from(next()?.ok_or_else(damaged)?).to_digit(16);
                    value = 16 * value + digit.ok_or_else(damaged)?;
                }
                match kind {
                    _ if digits > 0 => u8::try_from(value).map_err(|_| damaged())?,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                }
            }
            (_, byte) => byte,
        };
        out.push(plain);
        if out.len() == 1 << 16 {
            room.write(span, &out)?;
            out.clear();
        }
    }
    room.write(span, &out)?;
    Ok(room.into_span(span))
}
